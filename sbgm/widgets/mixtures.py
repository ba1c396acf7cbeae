"""Sliders on the mixture: its score under noise, a training, Langevin dynamics, annealing, and fewer steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import ipywidgets
import numpy as np
import torch
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from torch import Tensor

from sbgm import plots
from sbgm.distributions import GaussianMixture, paper_mixture
from sbgm.measure import component_stds, distance_to_modes, mode_weights, moments, relative_squared_error
from sbgm.noise import geometric_sigmas
from sbgm.samplers import (
    SamplerDivergedError,
    State,
    annealed_langevin,
    final,
    langevin,
    level_to_level,
    metropolis_langevin,
)
from sbgm.theory import half_plane_mass, langevin_variance, largest_stable_step, metropolis_acceptance
from sbgm.widgets.base import FigureExplorer, panels, selection

PLANE = {"xlabel": "$x_1$", "ylabel": "$x_2$"}


# --- scores ----------------------------------------------------------------------------------------------------------


def score_field_explorer(mixture: GaussianMixture | None = None) -> FigureExplorer:
    """A slider for σ over the density q_σ (orange, darkest at its own maximum) and its score (arrows).

    Scores shrink as noise widens the density, so the arrows show (1 + σ²) times the score: far from all other modes
    they then reach, at a tenth of the length, for the nearest mean. The readout gives density and score at the origin,
    between the two modes.

    Args:
        mixture: a mixture in two dimensions; the paper's unless told otherwise.
    """
    mixture = paper_mixture() if mixture is None else mixture
    points, origin = plots.grid(20), torch.zeros(1, 2)
    figure, (ax,) = panels(5.2, 4.8, 1)
    density = plots.draw_density(ax, plots.density_values(mixture), vmin=0, vmax=1, animated=True)
    field = plots.draw_field(ax, points, mixture.score(points), animated=True)
    ax.set(**PLANE, title=r"density $q_\sigma$, and its score times $(1 + \sigma^2)/10$")

    def update(sigma: float) -> str:
        _shade(density, plots.density_values(mixture, sigma))
        field.set_UVC(*((1 + sigma**2) * mixture.score(points, sigma)).T.numpy())
        return (
            f"σ = {sigma:.1f}: at the origin the density is {float(mixture.log_prob(origin, sigma).exp()):.1e} "
            f"and the score has length {float(mixture.score(origin, sigma).norm()):.2f}"
        )

    return FigureExplorer(
        figure,
        update,
        {"sigma": ipywidgets.FloatSlider(3.0, min=0.0, max=10.0, step=0.1, description="σ", readout_format=".1f")},
        alt="Density and score field of the mixture perturbed by noise of std σ",
    )


def _shade(picture: AxesImage, density: Tensor) -> None:
    """Show another density on `plots.grid(100)`, darkest at its own maximum."""
    picture.set_data((density / density.max()).reshape(100, 100).numpy())


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

    figure, (ax,) = panels(5.2, 5.4, 1)
    plots.draw_density(ax, plots.density_values(mixture), alpha=0.7)
    broad = {"color": "0.65", "width": 0.008, "headwidth": 2.2, "headlength": 2.5, "headaxislength": 2.5}
    plots.draw_field(ax, points[arrows], exact[arrows], **broad)
    estimated = plots.draw_field(ax, points[arrows], exact[arrows], animated=True, zorder=3)
    region = ax.add_patch(Circle((0, 0), RADIUS, fill=False, linewidth=2, linestyle="--", animated=True, zorder=4))
    ax.set(**PLANE, title="score fields: exact and estimated")
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
    return FigureExplorer(
        figure,
        update,
        {
            "iteration": ipywidgets.SelectionSlider(options=iterations, value=iterations[-1], description="iteration"),
            "centre_x": ipywidgets.FloatSlider(value=0.0, description="region x₁", **side),
            "centre_y": ipywidgets.FloatSlider(value=0.0, description="region x₂", **side),
        },
        alt="Estimated over exact score field of the mixture, with a round region marked",
    )


# --- annealing, and going from level to level ------------------------------------------------------------------------


SIGMA_MAX = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 25.0, 30.0)
SIGMA_MIN = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
STEP_SIZE_EXPONENTS = (-3, 1, 100)  # of 10: the first, the last, the steps between, of which one ends at 0.1


def annealing_explorer(n_chains: int = 400, total_steps: int = 150, *, seed: int = 0) -> FigureExplorer:
    """Sliders for σ_1, σ_L, the number of levels L and the step size ε over an annealed cloud on the paper's mixture.

    The chains start uniformly on [−8, 8]² and run anew at every move, `total_steps` shared evenly by the levels: fewer
    than the chapter's 1,000, so that a move takes a tenth of a second. The ladder at first is one on which so few steps
    do. One level is plain Langevin dynamics at σ_L. The readout holds the weight of (5, 5) with twice its standard
    error, its component's standard deviation beside that of the data, and the stability bound 4σ_L²(1 + v/σ₁²) for the
    components' variance v = 1. The right panel follows the weight down the ladder.

    Args:
        n_chains: points of the cloud.
        total_steps: steps of a run, over all levels; at least 20.
        seed: of starts and noise, the same at every move.
    """
    mixture = paper_mixture()
    start = _uniform(n_chains, torch.Generator().manual_seed(seed))
    axis = torch.logspace(-1, math.log10(30), 100).tolist()

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    plots.draw_density(left, plots.density_values(mixture))
    cloud = plots.draw_samples(left, start, s=7, alpha=0.7, animated=True)
    left.set(**PLANE, title="where the chains end, over the data's density")
    right.plot(axis, [half_plane_mass(0.8, 5.0, math.hypot(1, s)) for s in axis], "k--", lw=1.2, label="exact")
    (path,) = right.plot([], [], "o-", color="#1f3b73", ms=4, label="chains", animated=True)
    right.set(
        xscale="log",
        xlim=(40, 0.08),
        ylim=(0.3, 1),
        title="the weight after each level",
        xlabel=r"$\sigma$ of the level (falling)",
        ylabel="share nearer to (5, 5)",
    )
    right.set_xticks([30, 10, 3, 1, 0.3, 0.1], ["30", "10", "3", "1", "0.3", "0.1"])
    right.legend(loc="lower right")

    def update(sigma_max: float, sigma_min: float, n_levels: int, step_size: float) -> str:
        sigmas = [sigma_min] if n_levels == 1 else geometric_sigmas(sigma_max, sigma_min, n_levels).tolist()
        options = {"n_steps": total_steps // n_levels, "generator": torch.Generator().manual_seed(seed + 1)}
        states, error = _until_divergence(
            annealed_langevin(mixture.score, start, sigmas, step_size=step_size, **options)
        )
        ends = [state.x for state in states if state.step == options["n_steps"]]
        path.set_data(sigmas[: len(ends)], [float(mode_weights(x, mixture.means)[1]) for x in ends])
        cloud.set_offsets((torch.full((1, 2), math.nan) if error else ends[-1]).numpy())

        bound = largest_stable_step(sigmas, variance=1.0)
        beyond = f"ε = {step_size:.3g} is beyond the bound 4σ_L²(1 + v/σ₁²) = {bound:.3g}"
        if error is not None:
            return f"{beyond}: the chains diverged at level {error.level}, step {error.step}"
        stability = f"{beyond}, and more steps would diverge" if step_size >= bound else f"stable for ε < {bound:.3g}"
        std = float(component_stds(ends[-1], mixture.means)[1])
        unused = "" if n_levels > 1 else " (at σ_L: one level has no σ₁)"
        return (
            f"{n_chains} chains, {options['n_steps']} steps a level{unused}: weight of (5, 5) "
            f"{_weight(ends[-1], mixture)}; its standard deviation {std:.2f}, exact 1; {stability}"
        )

    low, high, n_moves = STEP_SIZE_EXPONENTS
    return FigureExplorer(
        figure,
        update,
        {
            "sigma_max": selection("σ₁", SIGMA_MAX, 10.0),
            "sigma_min": selection("σ_L", SIGMA_MIN, 0.3),
            "n_levels": ipywidgets.IntSlider(10, min=1, max=20, description="levels"),
            "step_size": ipywidgets.FloatLogSlider(
                10**-1.28, min=low, max=high, step=(high - low) / n_moves, description="ε", readout_format=".3g"
            ),
        },
        alt="An annealed cloud, and its weight in (5, 5) after each level",
    )


def level_steps_explorer(n_chains: int = 1_024, *, seed: int = 0) -> FigureExplorer:
    """Sliders for how much noise a step takes off and puts back, and for the number of steps, on the paper's mixture.

    With r = σ_{k+1}/σ_k, a step takes η = 1 − r^{1+c} of the noise off and puts as much back as makes σ_{k+1} of it.
    c = 0 adds none (Euler's step of the probability flow), c = 1 is ancestral sampling, a large c replaces nearly all.
    The chains start as the data's mean plus noise of σ = 40 and go to 0.1 down a geometric ladder, with exact scores.
    The readout gives the weight of (5, 5) and the standard deviation of its component beside the exact ones.

    Args:
        n_chains: points of the cloud; they run anew at every move.
        seed: of starts and noise, the same at every move.
    """
    sigma_max, sigma_min, mixture = 40.0, 0.1, paper_mixture()
    z = torch.randn(n_chains, 2, generator=torch.Generator().manual_seed(seed))
    start = (mixture.weights[:, None] * mixture.means).sum(dim=0) + sigma_max * z
    exact_std = math.hypot(1, sigma_min)
    edges, axis = torch.linspace(-12, 12, 49), torch.linspace(-12, 12, 241)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    plots.draw_density(left, plots.density_values(mixture))
    cloud = plots.draw_samples(left, start, s=7, alpha=0.7, animated=True)
    left.set(**PLANE, title="where the chains end, over the data's density")
    modes = mixture.means.sum(dim=1) / math.sqrt(2)
    right.plot(axis, _density_on_a_line(axis, mixture.weights, modes, exact_std), "k--", lw=1.2, label="exact")
    (bars,) = right.plot(middles, [0.0] * 48, drawstyle="steps-mid", color="#1f3b73", label="chains", animated=True)
    right.set(xlabel=r"$(x_1 + x_2)/\sqrt{2}$", ylabel="density", ylim=(0, 0.5), title="along the line of the modes")
    right.legend(loc="upper left")

    def update(noise: float, n_steps: int) -> str:
        sigmas = geometric_sigmas(sigma_max, sigma_min, n_steps + 1).tolist()
        generator = torch.Generator().manual_seed(seed + 1)
        x = final(level_to_level(mixture.score, start, sigmas, lambda r: 1 - r ** (1 + noise), generator=generator))
        cloud.set_offsets(x.numpy())
        counts, _ = np.histogram((x.sum(dim=1) / math.sqrt(2)).numpy(), edges.numpy())
        bars.set_ydata(counts / n_chains / 0.5)
        near = float(mode_weights(x, mixture.means)[1]) * n_chains
        std, r = float(component_stds(x, mixture.means)[1]), sigmas[1] / sigmas[0]
        return (
            f"{n_steps} steps, r = {r:.2f}, η = {1 - r ** (1 + noise):.2f}: weight of (5, 5) {_weight(x, mixture)}; "
            f"its standard deviation {std:.2f} ± {2 * std / math.sqrt(4 * near):.2f}, exact {exact_std:.2f}"
        )

    return FigureExplorer(
        figure,
        update,
        {
            "noise": ipywidgets.FloatSlider(0.0, min=0.0, max=5.0, step=0.25, description="c"),
            "n_steps": ipywidgets.IntSlider(20, min=4, max=100, description="steps"),
        },
        alt="Chains that went from noise to the mixture in few steps, and their density",
    )


def _uniform(n_chains: int, generator: torch.Generator) -> Tensor:
    """Starting points on [−8, 8]², (n_chains, 2)."""
    return plots.EXTENT * (2 * torch.rand(n_chains, 2, generator=generator) - 1)


def _weight(x: Tensor, mixture: GaussianMixture) -> str:
    """The share of chains nearer to (5, 5), with twice its standard error, beside the paper's weight."""
    share = float(mode_weights(x, mixture.means)[1])
    return f"{share:.2f} ± {2 * math.sqrt(share * (1 - share) / len(x)):.2f}, exact 0.80"


def _density_on_a_line(u: Tensor, weights: Tensor, means: Tensor, std: float) -> Tensor:
    """Σ_k w_k N(u; m_k, std²): (N,) and (K,) -> (N,)."""
    offsets = u[:, None] - means
    return (weights * torch.exp(-(offsets**2) / (2 * std**2))).sum(dim=1) / (math.sqrt(2 * math.pi) * std)


@torch.inference_mode()  # saves a fifth of a move's time: hundreds of steps, each of many small operations
def _until_divergence(states: Iterator[State]) -> tuple[list[State], SamplerDivergedError | None]:
    """Run a sampler, and return its states as far as it came and the error that stopped it, or None."""
    seen = []
    try:
        for state in states:
            seen.append(state)
    except SamplerDivergedError as error:
        return seen, error
    return seen, None


# --- Langevin dynamics -----------------------------------------------------------------------------------------------


STEP_SIZES = (0.01, 0.05, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 3.9, 4.0, 4.5, 5.0)
N_STEPS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
BOUND = 4.0  # 4v, for components of variance v = 1


class Chains(NamedTuple):
    """B chains at one step size: where they stood after each of N_STEPS, as far as they came.

    Attributes:
        x: (K, B, D) after each of N_STEPS, up to a divergence.
        acceptance: the share of proposals accepted since the entry before; NaN where none is tested.
        diverged_at: the step at which the sampler raised, or None.
    """

    x: Tensor
    acceptance: list[float]
    diverged_at: int | None


def langevin_explorer(n_chains: int = 320, *, seed: int = 0) -> FigureExplorer:
    """Sliders for ε and the number of steps over a Langevin cloud, on N(0, 1) or the mixture, tested or not.

    On N(0, 1), from half the chains at −3 and half at 3 (variance 9), the readout holds the variance against
    1/(1 − ε/4) and the acceptance rate against quadrature; these chains are drawn in pairs, as points of the plane. On
    the mixture, from uniform starts on [−8, 8]², it gives the share in (5, 5). The chains are run here, once; the
    sliders seek among their states.

    Args:
        n_chains: points of the cloud; the paper draws 1,280.
        seed: of starts and noise.
    """
    targets = {"N(0, 1)": GaussianMixture([1.0], [[0.0]]), "mixture": paper_mixture()}
    in_the_plane = targets | {"N(0, 1)": GaussianMixture([1.0], [[0.0, 0.0]])}
    densities = {name: plots.density_values(mixture) for name, mixture in in_the_plane.items()}
    runs = _run_all(targets, n_chains, torch.Generator().manual_seed(seed))
    acceptances = {step_size: metropolis_acceptance(step_size, n_points=401) for step_size in STEP_SIZES}
    axis, edges = torch.linspace(-plots.EXTENT, plots.EXTENT, 200), torch.linspace(-plots.EXTENT, plots.EXTENT, 41)

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    density = plots.draw_density(left, densities["N(0, 1)"], vmin=0, vmax=1.6, animated=True)
    cloud = plots.draw_samples(left, torch.zeros(n_chains, 2), s=7, alpha=0.7, animated=True)
    left.set(**PLANE, title="the chains, over the target's density")
    bars = right.stairs(torch.zeros(40).numpy(), edges.numpy(), fill=True, color="0.8", label="chains", animated=True)
    (exact,) = right.plot([], [], color="#d95f02", lw=2, label="target", animated=True)
    (settled,) = right.plot([], [], "k--", lw=1.5, label="$N(0, 1/(1-ε/4))$", animated=True)
    right.set(xlim=(-8, 8), ylim=(0, 0.6), xlabel="$x_1$", ylabel="density", title="their histogram")
    right.legend(loc="upper right", fontsize=8)

    def update(target: str, sampler: str, step_size: float, n_steps: int) -> str:
        run, mixture, index = runs[target, sampler, step_size], targets[target], N_STEPS.index(n_steps)
        x = run.x[index] if index < len(run.x) else torch.full((2, 1), math.nan)
        _shade(density, densities[target])
        cloud.set_offsets(x.reshape(-1, 2).numpy())
        bars.set_data(torch.histogram(x[:, 0], edges).hist.numpy() / (len(x) * float(edges[1] - edges[0])))
        exact.set_data(axis, _density_on_a_line(axis, mixture.weights, mixture.means[:, 0], 1.0))
        predicted = target == "N(0, 1)" and sampler == "plain" and step_size < BOUND
        variance = langevin_variance(step_size) if predicted else math.nan
        settled.set_data(axis, _density_on_a_line(axis, torch.ones(1), torch.zeros(1), math.sqrt(variance)))

        if sampler == "plain" and step_size >= BOUND:
            return _divergence(run, step_size, n_steps)
        if target == "N(0, 1)":
            measured, limit = moments(x).variance, f"1/(1 − ε/4) = {variance:.2f}" if predicted else "1"
            text = f"variance {measured.value:.2f} ± {2 * measured.se:.2f}, to settle at {limit}"
            settling = f", to settle at {acceptances[step_size]:.0%}"
        else:
            text, settling = f"share in (5, 5) {_weight(x, mixture)}", ""
        accepted = f"; accepted {run.acceptance[index]:.0%}{settling}" if sampler == "Metropolis" and n_steps else ""
        pairs = f", drawn as {len(x) // 2} points," if x.shape[1] == 1 else ""
        return f"{len(x)} chains{pairs} after {n_steps} steps: {text}{accepted}"

    return FigureExplorer(
        figure,
        update,
        {
            "target": ipywidgets.ToggleButtons(options=list(targets), description="target"),
            "sampler": ipywidgets.ToggleButtons(options=["plain", "Metropolis"], description="sampler"),
            "step_size": ipywidgets.SelectionSlider(options=STEP_SIZES, value=1.0, description="ε"),
            "n_steps": ipywidgets.SelectionSlider(options=N_STEPS, value=100, description="steps"),
        },
        alt="A cloud of Langevin chains over its target, and a histogram",
    )


def _run_all(
    targets: dict[str, GaussianMixture], n_chains: int, generator: torch.Generator
) -> dict[tuple[str, str, float], Chains]:
    """The chains of both targets and both samplers at every step size, by (target, sampler, step size)."""
    starts = {
        "N(0, 1)": torch.tensor([-3.0, 3.0]).repeat(n_chains)[torch.randperm(2 * n_chains, generator=generator), None],
        "mixture": _uniform(n_chains, generator),
    }
    batches = [
        ("plain", [step_size for step_size in STEP_SIZES if step_size < BOUND]),
        *(("plain", [step_size]) for step_size in STEP_SIZES if step_size >= BOUND),  # one that diverges stops a batch
        ("Metropolis", STEP_SIZES),
    ]
    runs = {}
    for (name, start), (sampler, step_sizes) in itertools.product(starts.items(), batches):
        chains = _run(targets[name], start, step_sizes, sampler == "Metropolis", generator)
        runs |= {(name, sampler, step_size): run for step_size, run in zip(step_sizes, chains, strict=True)}
    return runs


def _run(
    target: GaussianMixture, start: Tensor, step_sizes: list[float], metropolis: bool, generator: torch.Generator
) -> list[Chains]:
    """Run chains from one start at several step sizes, as one batch: a step ε is a step 1 in units of √ε."""
    n_sizes, unit = len(step_sizes), torch.tensor(step_sizes).sqrt().repeat_interleave(len(start))[:, None]
    first = start.repeat(n_sizes, 1)
    sampler, options = langevin, {"step_size": 1.0, "n_steps": N_STEPS[-1], "generator": generator}
    if metropolis:
        sampler, options["log_prob"] = metropolis_langevin, lambda y, sigma: target.log_prob(unit * y, sigma)
    states, error = _until_divergence(
        sampler(lambda y, sigma: unit * target.score(unit * y, sigma), first / unit, **options)
    )
    x = torch.stack([first, *(unit * state.x for state in states if state.step in N_STEPS)])
    untested = torch.full((len(first),), math.nan)
    accepted = torch.stack([untested if state.accepted is None else state.accepted.float() for state in states])
    accepted = accepted.unflatten(1, (n_sizes, -1)).mean(dim=2)  # by step and step size
    rates = [accepted[before:after].mean(dim=0).tolist() for before, after in itertools.pairwise(N_STEPS[: len(x)])]
    return [
        Chains(chains, [math.nan, *(rate[i] for rate in rates)], error and error.step)
        for i, chains in enumerate(x.unflatten(1, (n_sizes, -1)).unbind(dim=1))
    ]


def _divergence(run: Chains, step_size: float, n_steps: int) -> str:
    """The readout for ε beyond the bound 4v: how the variance grows, or the step at which the sampler raised."""
    text = (
        f"ε = {step_size:g} is not below the bound 4v = {BOUND:g}: a step multiplies distances by "
        f"{abs(1 - step_size / 2):g}, and "
    )
    if run.diverged_at is not None and n_steps >= run.diverged_at:
        return f"{text}langevin raised at step {run.diverged_at}"
    variance = float(run.x[N_STEPS.index(n_steps)].double().var(correction=0))  # in one coordinate
    return f"{text}the variance grows without end, now {variance:.3g}"
