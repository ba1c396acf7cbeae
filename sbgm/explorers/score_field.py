"""Chapter 01's explorer: density and score of the perturbed mixture as σ grows."""

from __future__ import annotations

import ipywidgets
from matplotlib.figure import Figure

from sbgm import plots
from sbgm.distributions import GaussianMixture, paper_mixture
from sbgm.explorers.base import FigureExplorer


def score_field_explorer(mixture: GaussianMixture | None = None) -> FigureExplorer:
    """A slider for σ over the density q_σ (orange, darkest at its own maximum) and its score (arrows).

    Scores shrink as noise widens the density, so the arrows show (1 + σ²) times the score: far from all other modes
    they then reach, at a tenth of the length, for the nearest mean. The readout gives density and score at the origin,
    between the two modes.

    Args:
        mixture: a mixture in two dimensions; the paper's unless told otherwise.
    """
    mixture = paper_mixture() if mixture is None else mixture
    points, origin = plots.grid(20), plots.grid(20)[:1] * 0
    figure = Figure(figsize=(5.2, 4.8), dpi=90, layout="constrained")
    ax = figure.subplots()
    density = plots.draw_density(ax, plots.density_values(mixture), vmin=0, vmax=1, animated=True)
    field = plots.draw_field(ax, points, mixture.score(points), animated=True)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title=r"density $q_\sigma$, and $(1 + \sigma^2)$ times its score")

    def update(sigma: float) -> str:
        values = plots.density_values(mixture, sigma)
        density.set_data((values / values.max()).reshape(100, 100).numpy())
        field.set_UVC(*((1 + sigma**2) * mixture.score(points, sigma)).T.numpy())
        return (
            f"σ = {sigma:.1f}: at the origin the density is {float(mixture.log_prob(origin, sigma).exp()):.1e} "
            f"and the score has length {float(mixture.score(origin, sigma).norm()):.2f}"
        )

    slider = ipywidgets.FloatSlider(value=3.0, min=0.0, max=10.0, step=0.1, description="σ", readout_format=".1f")
    return FigureExplorer(
        figure, update, {"sigma": slider}, alt="Density and score field of the mixture perturbed by noise of std σ"
    )
