"""Chapter 03's explorer: a Langevin cloud as the step size and the number of steps change."""

from __future__ import annotations

import math
from typing import NamedTuple

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm.closed_forms import langevin_variance, metropolis_acceptance
from sbgm.distributions import GaussianMixture, paper_mixture
from sbgm.explorers.base import FigureExplorer
from sbgm.metrics import mode_weights, moments
from sbgm.samplers import SamplerDivergedError, langevin, metropolis_langevin

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
                trajectories = _run(targets[name], start, batch, sampler == "Metropolis", generator)
                runs |= {(name, sampler, step_size): run for step_size, run in zip(batch, trajectories, strict=True)}
    return runs


def _run(
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
