"""Sliders on the mixture: its score under noise, Langevin dynamics, annealing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm.checked import Score
from sbgm.distributions import GaussianMixture, paper_mixture
from sbgm.measure import mode_weights, moments
from sbgm.noise import geometric_sigmas
from sbgm.samplers import SamplerDivergedError, annealed_langevin, langevin, metropolis_langevin
from sbgm.theory import half_plane_mass, langevin_variance, largest_stable_step, metropolis_acceptance
from sbgm.widgets.base import FigureExplorer


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
        ends, error = _run_annealing(
            mixture.score, start, sigmas, step_size, n_steps, torch.Generator().manual_seed(seed + 1)
        )
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
def _run_annealing(
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


STEP_SIZES = (0.01, 0.05, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 3.9, 4.0, 4.5, 5.0)
N_STEPS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
BOUND = 4.0  # 4v, for components of variance v = 1


class Trajectory(NamedTuple):
    """A batch of chains at one step size: where it stood after each of N_STEPS, as far as it came.

    Attributes:
        x: the (B, D) chains after each of N_STEPS, up to a divergence.
        acceptance: the share of proposals accepted since the entry before; NaN where none is tested.
        diverged_at: the step at which the sampler raised, or None.
    """

    x: list[Tensor]
    acceptance: list[float]
    diverged_at: int | None


def langevin_explorer(n_chains: int = 320, *, seed: int = 0) -> FigureExplorer:
    """Step size ε and number of steps over a Langevin cloud, on N(0, 1) or the mixture, with the test or without.

    On N(0, 1), from half the chains at −3 and half at 3 (variance 9), the readout holds the variance against
    1/(1 − ε/4) and the acceptance rate against quadrature; these chains are drawn in pairs, as points of the plane. On
    the mixture, from uniform starts on [−8, 8]², it gives the share in (5, 5). The chains are run here, once; the
    sliders seek among their states.

    Args:
        n_chains: points of the cloud; the paper draws 1,280.
        seed: of starts and noise.
    """
    targets = {"N(0, 1)": GaussianMixture([1.0], [[0.0]]), "mixture": paper_mixture()}
    pictures = {"N(0, 1)": GaussianMixture([1.0], [[0.0, 0.0]]), "mixture": paper_mixture()}
    densities = {name: plots.density_values(picture) for name, picture in pictures.items()}
    runs = _run_all(targets, n_chains, torch.Generator().manual_seed(seed))
    acceptances = {step_size: metropolis_acceptance(step_size, n_points=401) for step_size in STEP_SIZES}
    axis = torch.linspace(-plots.EXTENT, plots.EXTENT, 200)
    edges = torch.linspace(-plots.EXTENT, plots.EXTENT, 41)

    figure = Figure(figsize=(8.4, 4.2), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    density = plots.draw_density(left, densities["N(0, 1)"], vmin=0, vmax=1.6, animated=True)
    cloud = plots.draw_samples(left, torch.zeros(n_chains, 2), s=7, alpha=0.7, animated=True)
    left.set(xlabel="$x_1$", ylabel="$x_2$", title="the chains, over the target's density")
    bars = right.stairs(torch.zeros(40).numpy(), edges.numpy(), fill=True, color="0.8", label="chains", animated=True)
    (exact,) = right.plot([], [], color="#d95f02", lw=2, label="target", animated=True)
    (settled,) = right.plot([], [], "k--", lw=1.5, label="$N(0, 1/(1-ε/4))$", animated=True)
    right.set(xlim=(-8, 8), ylim=(0, 0.6), xlabel="$x_1$", ylabel="density", title="their histogram")
    right.legend(loc="upper right", fontsize=8)

    def update(target: str, sampler: str, step_size: float, n_steps: int) -> str:
        run, index = runs[target, sampler, step_size], N_STEPS.index(n_steps)
        x = run.x[index] if index < len(run.x) else torch.full((2, 1), math.nan)
        values = densities[target]
        density.set_data((values / values.max()).reshape(100, 100).numpy())
        cloud.set_offsets(x.reshape(-1, 2).numpy())
        bars.set_data(torch.histogram(x[:, 0], edges).hist.numpy() / (len(x) * float(edges[1] - edges[0])))
        exact.set_data(axis.numpy(), _first_coordinate_density(targets[target], axis).numpy())
        predicted = target == "N(0, 1)" and sampler == "plain" and step_size < BOUND
        variance = langevin_variance(step_size) if predicted else math.nan
        settled.set_data(axis.numpy(), _first_coordinate_density(targets["N(0, 1)"], axis, variance).numpy())

        if sampler == "plain" and step_size >= BOUND:
            return _divergence(run, step_size, n_steps)
        text = f"{len(x)} chains after {n_steps} steps: "
        if target == "N(0, 1)":
            limit = f"1/(1 − ε/4) = {variance:.2f}" if predicted else "1"
            measured = moments(x).variance
            text += f"variance {measured.value:.2f} ± {2 * measured.se:.2f}, to settle at {limit}"
        else:
            share = float(mode_weights(x, targets[target].means)[1])
            text += f"share in (5, 5) {share:.2f} ± {2 * math.sqrt(share * (1 - share) / len(x)):.2f}, exact 0.80"
        if sampler == "Metropolis" and n_steps > 0:
            text += f"; accepted {run.acceptance[index]:.0%}"
            text += f", to settle at {acceptances[step_size]:.0%}" if target == "N(0, 1)" else ""
        return text

    controls = {
        "target": ipywidgets.ToggleButtons(options=list(targets), description="target"),
        "sampler": ipywidgets.ToggleButtons(options=["plain", "Metropolis"], description="sampler"),
        "step_size": ipywidgets.SelectionSlider(options=STEP_SIZES, value=1.0, description="ε"),
        "n_steps": ipywidgets.SelectionSlider(options=N_STEPS, value=100, description="steps"),
    }
    return FigureExplorer(figure, update, controls, alt="A cloud of Langevin chains over its target, and a histogram")


def _run_all(
    targets: dict[str, GaussianMixture], n_chains: int, generator: torch.Generator
) -> dict[tuple[str, str, float], Trajectory]:
    """The trajectories of both targets and both samplers at every step size, by (target, sampler, step size)."""
    two_points = torch.tensor([-3.0, 3.0]).repeat(n_chains)[torch.randperm(2 * n_chains, generator=generator), None]
    uniform = plots.EXTENT * (2 * torch.rand(n_chains, 2, generator=generator) - 1)
    stable = [step_size for step_size in STEP_SIZES if step_size < BOUND]
    alone = [[step_size] for step_size in STEP_SIZES if step_size >= BOUND]  # where one diverges, all would stop
    runs = {}
    for name, start in (("N(0, 1)", two_points), ("mixture", uniform)):
        for sampler, batches in (("plain", [stable, *alone]), ("Metropolis", [STEP_SIZES])):
            for batch in batches:
                trajectories = _run_langevin(targets[name], start, batch, sampler == "Metropolis", generator)
                runs |= {(name, sampler, step_size): run for step_size, run in zip(batch, trajectories, strict=True)}
    return runs


def _run_langevin(
    target: GaussianMixture, start: Tensor, step_sizes: list[float], metropolis: bool, generator: torch.Generator
) -> list[Trajectory]:
    """Run chains from one start at several step sizes, as one batch: a step ε is a step 1 in units of √ε."""
    unit = torch.tensor(step_sizes).sqrt().repeat_interleave(len(start))[:, None]

    def score(y: Tensor, sigma: float) -> Tensor:
        return unit * target.score(unit * y, sigma)

    def log_prob(y: Tensor, sigma: float) -> Tensor:
        return target.log_prob(unit * y, sigma)

    first = start.repeat(len(step_sizes), 1)
    options = {"step_size": 1.0, "n_steps": N_STEPS[-1], "generator": generator}
    if metropolis:
        states = metropolis_langevin(score, first / unit, log_prob=log_prob, **options)
    else:
        states = langevin(score, first / unit, **options)
    untested = torch.full((len(first),), math.nan)
    clouds, rates, accepted, diverged_at = [first], [untested], [], None
    try:
        for state in states:
            accepted.append(untested if state.accepted is None else state.accepted.float())
            if state.step in N_STEPS:
                clouds.append(unit * state.x)
                rates.append(torch.stack(accepted).mean(dim=0))
                accepted = []
    except SamplerDivergedError as error:
        diverged_at = error.step
    n_chains = len(start)
    return [
        Trajectory(
            [cloud[i * n_chains : (i + 1) * n_chains] for cloud in clouds],
            [float(rate[i * n_chains : (i + 1) * n_chains].mean()) for rate in rates],
            diverged_at,
        )
        for i in range(len(step_sizes))
    ]


def _first_coordinate_density(target: GaussianMixture, axis: Tensor, variance: float = 1.0) -> Tensor:
    """The density of the target's first coordinate, were its components of this variance."""
    offsets = axis[:, None] - target.means[:, 0]
    return (target.weights * torch.exp(-(offsets**2) / (2 * variance))).sum(dim=1) / math.sqrt(2 * math.pi * variance)


def _divergence(run: Trajectory, step_size: float, n_steps: int) -> str:
    text = (
        f"ε = {step_size:g} is not below the bound 4v = {BOUND:g}: a step multiplies distances by "
        f"{abs(1 - step_size / 2):g}, and "
    )
    if run.diverged_at is not None and n_steps >= run.diverged_at:
        return f"{text}langevin raised at step {run.diverged_at}"
    variance = float(run.x[N_STEPS.index(n_steps)].double().var(correction=0))  # in one coordinate
    return f"{text}the variance grows without end, now {variance:.3g}"
