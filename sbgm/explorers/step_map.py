"""Chapter 09's explorer: samples at every T and ε, beside the maps of their distance and of the noise left on them."""

from __future__ import annotations

import ipywidgets
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sbgm import plots
from sbgm.experiments.step_map import StepMap
from sbgm.explorers.base import FigureExplorer

N_COLUMNS = 4


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
