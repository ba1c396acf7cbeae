"""Sliders of chapters 9 and 10: step sizes level by level, the sampler curve, the map of T and ε."""

from __future__ import annotations

import math

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sbgm import plots
from sbgm.distributions import paper_mixture
from sbgm.lab.curve import MeasuredPoint, SamplerCurve
from sbgm.lab.i5 import StepMap
from sbgm.measure import component_stds, mode_weights
from sbgm.noise import geometric_sigmas
from sbgm.samplers import final, level_to_level
from sbgm.widgets.base import FigureExplorer

SIGMA_MAX, SIGMA_MIN = 40.0, 0.1


def level_steps_explorer(n_chains: int = 1_024, *, seed: int = 0) -> FigureExplorer:
    """How much noise is taken off and put back in a step, and how many steps there are, on the paper's mixture.

    With r = σ_{k+1}/σ_k, a step takes η = 1 − r^{1+c} of the noise off and puts as much back as makes σ_{k+1} of it.
    c = 0 adds none (Euler's step of the probability flow), c = 1 is ancestral sampling, a large c replaces nearly all.
    The chains start as the data's mean plus noise of σ = 40 and go to 0.1 down a geometric ladder, with exact scores.
    The readout gives the weight of (5, 5) and the standard deviation of its component beside the exact ones.

    Args:
        n_chains: points of the cloud; they run anew at every move.
        seed: of starts and noise, the same at every move.
    """
    mixture = paper_mixture()
    centre = (mixture.weights[:, None] * mixture.means).sum(dim=0)
    z = torch.randn(n_chains, 2, generator=torch.Generator().manual_seed(seed))
    start, exact_std = centre + SIGMA_MAX * z, math.hypot(1, SIGMA_MIN)
    edges = torch.linspace(-12, 12, 49)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    axis = torch.linspace(-12, 12, 241)

    figure = Figure(figsize=(8.4, 4.2), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    plots.draw_density(left, plots.density_values(mixture))
    cloud = plots.draw_samples(left, start, s=7, alpha=0.7, animated=True)
    left.set(xlabel="$x_1$", ylabel="$x_2$", title="where the chains end, over the data's density")
    right.plot(axis, _along_the_diagonal(axis, exact_std), "k--", lw=1.2, label="exact")
    (bars,) = right.plot(middles, [0.0] * 48, drawstyle="steps-mid", color="#1f3b73", label="chains", animated=True)
    right.set(xlabel=r"$(x_1 + x_2)/\sqrt{2}$", ylabel="density", ylim=(0, 0.5), title="along the line of the modes")
    right.legend(loc="upper left")

    def update(noise: float, n_steps: int) -> str:
        sigmas, generator = geometric_sigmas(SIGMA_MAX, SIGMA_MIN, n_steps + 1), torch.Generator().manual_seed(seed + 1)
        run = level_to_level(
            "level_steps", mixture.score, start, sigmas.tolist(), lambda r: 1 - r ** (1 + noise), generator, False
        )
        x = final(run)
        cloud.set_offsets(x.numpy())
        counts, _ = np.histogram((x.sum(dim=1) / math.sqrt(2)).numpy(), edges.numpy())
        bars.set_ydata(counts / n_chains / 0.5)
        weight, std = float(mode_weights(x, mixture.means)[1]), float(component_stds(x, mixture.means)[1])
        margins = 2 * math.sqrt(weight * (1 - weight) / n_chains), 2 * std / math.sqrt(4 * weight * n_chains)
        r = float(sigmas[1] / sigmas[0])
        return (
            f"{n_steps} steps, r = {r:.2f}, η = {1 - r ** (1 + noise):.2f}: weight of (5, 5) {weight:.2f} ± "
            f"{margins[0]:.2f}, exact 0.80; its standard deviation {std:.2f} ± {margins[1]:.2f}, exact {exact_std:.2f}"
        )

    controls = {
        "noise": ipywidgets.FloatSlider(0.0, min=0.0, max=5.0, step=0.25, description="c"),
        "n_steps": ipywidgets.IntSlider(20, min=4, max=100, description="steps"),
    }
    return FigureExplorer(
        figure, update, controls, alt="Chains that went from noise to the mixture in few steps, and their density"
    )


def _along_the_diagonal(u: Tensor, std: float) -> Tensor:
    """The density of (x₁ + x₂)/√2 under the mixture of chapter 3, with components of this standard deviation."""
    end = 5 * math.sqrt(2)
    normals = [torch.exp(-((u - m) ** 2) / (2 * std**2)) / (math.sqrt(2 * math.pi) * std) for m in (-end, end)]
    return 0.2 * normals[0] + 0.8 * normals[1]


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


def step_map_explorer(step_map: StepMap) -> FigureExplorer:
    """T and ε over stored samples of Algorithm 1, and where they are on two maps.

    Nothing is sampled here. The readout gives the Fréchet distance with twice its standard error, and the variance of
    the noise on the samples over σ_L², as the closed form predicts it and as measured where images never change.

    Args:
        step_map: every pair of its T and ε is a cell, such as the digits' of I5's record.

    Raises:
        ValueError: a pair is missing.
    """
    rows, columns = step_map.n_steps(), step_map.step_sizes()
    distances, ratios = step_map.grid("distance"), step_map.grid("predicted")
    if distances.isnan().any():
        raise ValueError(f"step_map must have a cell at every T in {rows} and ε in {columns}")
    sheets = {
        cell.place: plots.image_sheet(step_map.sheet(*cell.place), n_columns=N_COLUMNS).numpy()
        for cell in step_map.cells
    }

    figure = Figure(figsize=(9.9, 3.4), dpi=90, layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1.35, 1.35))
    start = rows[len(rows) // 2], columns[len(columns) // 2]
    picture = plots.draw_images(axes[0], step_map.sheet(*start), n_columns=N_COLUMNS, animated=True)
    axes[0].set_title("samples", fontsize=10)
    frames = []
    for ax, values, title in (
        (axes[1], distances, "Fréchet distance"),
        (axes[2], ratios, r"predicted noise / $\sigma_L^2$"),
    ):
        plots.draw_number_map(ax, values, rows, [f"{eps:.0e}".replace("e-0", "e-") for eps in columns])
        ax.set(xlabel="ε", ylabel="T")
        ax.set_title(title, fontsize=10)
        frames.append(ax.add_patch(Rectangle((0, 0), 1, 1, fill=False, ec="#d95f02", lw=3, animated=True)))

    def update(n_steps: int, step_size: float) -> str:
        cell = step_map.at(n_steps, step_size)
        picture.set_data(sheets[cell.place])
        for frame in frames:
            frame.set_xy((columns.index(step_size) - 0.5, rows.index(n_steps) - 0.5))
        return (
            f"T = {n_steps}, ε = {step_size:g} (h = {step_size / 2:g}): Fréchet distance {cell.distance:.3g} ± "
            f"{2 * cell.se:.2g}; noise over σ_L² predicted {cell.predicted:.3g}, measured {cell.measured:.3g}"
        )

    controls = {
        "n_steps": ipywidgets.SelectionSlider(options=rows, value=start[0], description="T"),
        "step_size": ipywidgets.SelectionSlider(
            options=[(f"{eps:g}", eps) for eps in columns], value=start[1], description="ε"
        ),
    }
    return FigureExplorer(
        figure, update, controls, alt="Samples of Algorithm 1, and maps over T and ε of their distance and their noise"
    )
