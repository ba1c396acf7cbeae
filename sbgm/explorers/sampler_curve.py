"""Chapter 10's second explorer: samples of every sampler at every cost, beside the curve of their distances."""

from __future__ import annotations

import math

import ipywidgets
from matplotlib.figure import Figure

from sbgm import plots
from sbgm.experiments.recorded.curve import MeasuredPoint, SamplerCurve
from sbgm.explorers.base import FigureExplorer

N_COLUMNS = 4


def sampler_curve_explorer(curve: SamplerCurve) -> FigureExplorer:
    """The sampler and the number of network evaluations over stored samples, and where they are on the curve.

    Nothing is sampled here. A sampler that was not measured at a cost shows the nearest one that was. The readout gives
    the Fréchet distance with twice its standard error, and the share of samples that the classifier is sure of.

    Args:
        curve: from `load_curve` or `measure_curve`.
    """
    labels, budgets = curve.labels(), sorted({point.evaluations for point in curve.points})
    best = curve.fast()
    sheets = {
        (p.label, p.evaluations): plots.image_sheet(curve.sheet(p), n_columns=N_COLUMNS).numpy() for p in curve.points
    }

    figure = Figure(figsize=(8.8, 4.0), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    picture = plots.draw_images(left, curve.sheet(best), n_columns=N_COLUMNS, animated=True)
    for label in labels:
        points = curve.curve(label)
        right.plot([p.evaluations for p in points], [p.distance for p in points], "-", color="0.75", lw=1)
    (line,) = right.plot([], [], "o-", color="#1f3b73", animated=True, label="this sampler")
    (here,) = right.plot([], [], "s", color="#d95f02", ms=10, animated=True, label="the samples shown")
    right.axhline(curve.algorithm_1().distance, color="k", linestyle="--", lw=1, label="Algorithm 1, all evaluations")
    right.set(xscale="log", yscale="log", xlabel="network evaluations", ylabel="Fréchet distance")
    right.legend(loc="upper right", fontsize=8)

    def update(label: str, evaluations: int) -> str:
        points = curve.curve(label)
        point = _nearest(points, evaluations)
        picture.set_data(sheets[label, point.evaluations])
        line.set_data([p.evaluations for p in points], [p.distance for p in points])
        here.set_data([point.evaluations], [point.distance])
        return (
            f"{label}, {point.evaluations} evaluations: Fréchet distance {point.distance:.3g} ± {2 * point.se:.2g}; "
            f"the classifier is sure of {point.sure:.0%}"
        )

    controls = {
        "label": ipywidgets.Dropdown(options=labels, value=best.label, description="sampler"),
        "evaluations": ipywidgets.SelectionSlider(
            options=budgets, value=best.evaluations, description="evaluations", style={"description_width": "initial"}
        ),
    }
    return FigureExplorer(
        figure, update, controls, alt="Samples of a network by a sampler at a cost, and distance against evaluations"
    )


def _nearest(points: list[MeasuredPoint], evaluations: int) -> MeasuredPoint:
    """The point whose cost is nearest in ratio."""
    return min(points, key=lambda p: abs(math.log(p.evaluations / evaluations)))
