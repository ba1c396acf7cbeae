"""Chapter 02's explorer: an estimated score field over the exact one, as training goes on, region by region."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from torch import Tensor

from sbgm import plots
from sbgm.distributions import GaussianMixture, paper_mixture
from sbgm.measure import distance_to_modes, relative_squared_error
from sbgm.widgets.base import FigureExplorer

GRID = 39  # points a side; every second one, 20 a side as in the paper's figure, carries an arrow
RADIUS = 2.0  # of the region


def training_explorer(snapshots: Mapping[int, Tensor], mixture: GaussianMixture | None = None) -> FigureExplorer:
    """Sliders for the training iteration and for the centre of a round region; fields are looked up, never computed.

    The readout gives the relative squared error of the estimate in the region, within 2 of a mode and beyond 4 from
    every mode.

    Args:
        snapshots: the network's scores on `plots.grid(39)`, (1521, 2), by iteration; 0 is the untrained network.
        mixture: what it was trained on; the paper's unless told otherwise.

    Raises:
        ValueError: there are fewer than two snapshots, or one is no (1521, 2) tensor.
    """
    mixture = paper_mixture() if mixture is None else mixture
    points = plots.grid(GRID)
    if len(snapshots) < 2:
        raise ValueError(f"snapshots must hold at least two iterations, got {len(snapshots)}")
    for iteration, scores in snapshots.items():
        if scores.shape != points.shape:
            raise ValueError(
                f"snapshots must be scores on plots.grid({GRID}), of shape {tuple(points.shape)}, "
                f"got {tuple(scores.shape)} at iteration {iteration}"
            )
    exact, distance = mixture.score(points), distance_to_modes(points, mixture.means)
    arrows = torch.arange(GRID**2).reshape(GRID, GRID)[::2, ::2].flatten()

    figure = Figure(figsize=(5.2, 5.4), dpi=90, layout="constrained")
    ax = figure.subplots()
    plots.draw_density(ax, plots.density_values(mixture), alpha=0.7)
    broad = {"color": "0.65", "width": 0.008, "headwidth": 2.2, "headlength": 2.5, "headaxislength": 2.5}
    plots.draw_field(ax, points[arrows], exact[arrows], **broad)
    estimated = plots.draw_field(ax, points[arrows], exact[arrows], animated=True, zorder=3)
    region = ax.add_patch(Circle((0, 0), RADIUS, fill=False, linewidth=2, linestyle="--", animated=True, zorder=4))
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title="score fields: exact and estimated")
    figure.legend(
        handles=[
            Line2D([], [], color="0.65", linewidth=4, label="exact"),
            Line2D([], [], color="#1f3b73", linewidth=1.5, label="estimated"),
            Line2D([], [], color="black", linewidth=2, linestyle="--", label="region"),
        ],
        loc="outside lower center",
        ncols=3,
    )

    def update(iteration: int, centre_x: float, centre_y: float) -> str:
        scores = snapshots[iteration]
        estimated.set_UVC(*scores[arrows].T.numpy())
        region.center = centre_x, centre_y
        inside = torch.linalg.vector_norm(points - torch.tensor([centre_x, centre_y]), dim=1) <= RADIUS
        in_region, near, far = (
            relative_squared_error(scores[chosen], exact[chosen]) for chosen in (inside, distance < 2, distance > 4)
        )
        return (
            f"relative squared error in the region: {in_region:.2g}; "
            f"within 2 of a mode: {near:.2g}; beyond 4 from both: {far:.2g}"
        )

    iterations = sorted(snapshots)
    side = {"min": -plots.EXTENT, "max": plots.EXTENT, "step": 0.5, "readout_format": ".1f"}
    controls = {
        "iteration": ipywidgets.SelectionSlider(options=iterations, value=iterations[-1], description="iteration"),
        "centre_x": ipywidgets.FloatSlider(value=0.0, description="region x₁", **side),
        "centre_y": ipywidgets.FloatSlider(value=0.0, description="region x₂", **side),
    }
    return FigureExplorer(
        figure, update, controls, alt="Estimated over exact score field of the mixture, with a round region marked"
    )
