"""Chapter 10's first explorer: the family of steps from one noise level to the next, on the mixture."""

from __future__ import annotations

import math

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm.distributions import paper_mixture
from sbgm.explorers.base import FigureExplorer
from sbgm.metrics import component_stds, mode_weights
from sbgm.noise import geometric_sigmas
from sbgm.samplers import final
from sbgm.samplers.consistent import level_to_level

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
