"""Chapter 04's explorer: an annealed cloud as the noise ladder and the step size change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm.closed_forms import half_plane_mass, largest_stable_step
from sbgm.distributions import paper_mixture
from sbgm.explorers.base import FigureExplorer
from sbgm.losses import Score
from sbgm.metrics import mode_weights
from sbgm.noise import geometric_sigmas
from sbgm.samplers import SamplerDivergedError, annealed_langevin

SIGMA_MAX = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 25.0, 30.0)
SIGMA_MIN = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
STEP_SIZE_EXPONENTS = (-3, 1, 100)  # of 10: the first, the last, the steps between, of which one ends at 0.1


def annealing_explorer(n_chains: int = 512, total_steps: int = 120, *, seed: int = 0) -> FigureExplorer:
    """σ_1, σ_L, the number of levels L and the step size ε over an annealed cloud on the paper's mixture.

    The chains start uniformly on [−8, 8]² and run anew at every move, `total_steps` shared evenly by the levels: fewer
    than the chapter's 1,000, so that a move takes milliseconds. One level is plain Langevin dynamics at σ_L. The
    readout holds the weight of (5, 5) with twice its standard error, and the stability bound 4σ_L²(1 + v/σ_1²) for the
    components' variance v = 1. The right panel follows the weight down the ladder.

    Args:
        n_chains: points of the cloud.
        total_steps: steps of a run, over all levels; at least 20.
        seed: of starts and noise, the same at every move.
    """
    mixture = paper_mixture()
    start = plots.EXTENT * (2 * torch.rand(n_chains, 2, generator=torch.Generator().manual_seed(seed)) - 1)
    axis = torch.logspace(-1, math.log10(30), 100).tolist()

    figure = Figure(figsize=(8.4, 4.2), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    plots.draw_density(left, plots.density_values(mixture))
    cloud = plots.draw_samples(left, start, s=7, alpha=0.7, animated=True)
    left.set(xlabel="$x_1$", ylabel="$x_2$", title="where the chains end, over the data's density")
    right.plot(axis, [half_plane_mass(0.8, 5.0, math.hypot(1, s)) for s in axis], "k--", lw=1.2, label="exact")
    (path,) = right.plot([], [], "o-", color="#1f3b73", ms=4, label="chains", animated=True)
    right.set(xscale="log", xlim=(40, 0.08), ylim=(0.3, 1), xlabel=r"$\sigma$ of the level (falling)")
    right.set(ylabel="share nearer to (5, 5)", title="the weight after each level")
    right.set_xticks([30, 10, 3, 1, 0.3, 0.1], ["30", "10", "3", "1", "0.3", "0.1"])
    right.legend(loc="lower right")

    def update(sigma_max: float, sigma_min: float, n_levels: int, step_size: float) -> str:
        sigmas = [sigma_min] if n_levels == 1 else geometric_sigmas(sigma_max, sigma_min, n_levels).tolist()
        n_steps = total_steps // n_levels
        ends, error = _run(mixture.score, start, sigmas, step_size, n_steps, torch.Generator().manual_seed(seed + 1))
        shares = [float(mode_weights(x, mixture.means)[1]) for x in ends]
        path.set_data(sigmas[: len(shares)], shares)
        cloud.set_offsets((torch.full((1, 2), math.nan) if error else ends[-1]).numpy())

        bound = largest_stable_step(sigmas, variance=1.0)
        beyond = f"ε = {step_size:.3g} is beyond the bound 4σ_L²(1 + v/σ_1²) = {bound:.3g}"
        if error is not None:
            return f"{beyond}: the chains diverged at level {error.level}, step {error.step}"
        share = shares[-1]
        margin = 2 * math.sqrt(share * (1 - share) / n_chains)
        text = f"{n_chains} chains, {n_steps} steps a level: weight of (5, 5) {share:.2f} ± {margin:.2f}, exact 0.80"
        if step_size >= bound:
            return f"{text}; {beyond}, and more steps would diverge"
        return f"{text}; stable for ε < {bound:.3g}"

    def level_slider(value: float, levels: Sequence[float], description: str) -> ipywidgets.SelectionSlider:
        return ipywidgets.SelectionSlider(
            options=[(f"{level:g}", level) for level in levels], value=value, description=description
        )

    low, high, n_moves = STEP_SIZE_EXPONENTS
    controls = {
        "sigma_max": level_slider(20.0, SIGMA_MAX, "σ_1"),
        "sigma_min": level_slider(1.0, SIGMA_MIN, "σ_L"),
        "n_levels": ipywidgets.IntSlider(10, min=1, max=20, description="levels"),
        "step_size": ipywidgets.FloatLogSlider(
            0.1, min=low, max=high, step=(high - low) / n_moves, description="ε", readout_format=".3g"
        ),
    }
    return FigureExplorer(figure, update, controls, alt="An annealed cloud, and its weight in (5, 5) after each level")


@torch.inference_mode()  # saves a fifth of a move's time: hundreds of steps, each of many small operations
def _run(
    score: Score, start: Tensor, sigmas: Sequence[float], step_size: float, n_steps: int, generator: torch.Generator
) -> tuple[list[Tensor], SamplerDivergedError | None]:
    """The chains at the end of each level, as far as they came, and the error that stopped them, if one did."""
    ends = []
    try:
        for state in annealed_langevin(score, start, sigmas, step_size=step_size, n_steps=n_steps, generator=generator):
            if state.step == n_steps:
                ends.append(state.x)
    except SamplerDivergedError as error:
        return ends, error
    return ends, None
