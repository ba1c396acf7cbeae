"""Sliders on the mixture: its score under noise, a training, Langevin dynamics, annealing, and fewer steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, StepPatch
from torch import Generator, Tensor

from sbgm import plots, samplers
from sbgm.measure import component_stds, distance_to_modes, mode_weights, moments, relative_squared_error
from sbgm.mixtures import GaussianMixture, paper_mixture
from sbgm.noise import geometric_sigmas
from sbgm.samplers import annealed_langevin, final, level_to_level, metropolis_langevin
from sbgm.theory import half_plane_mass, langevin_variance, largest_stable_step
from sbgm.widgets.base import FigureExplorer, NotDrawnError, own, panels, selection

PLANE = {"xlabel": "$x_1$", "ylabel": "$x_2$"}
FAR = 1e6  # a chain that is farther out has diverged
Function = Callable[..., Tensor]  # a score, a step or a sampler, ours or the reader's own


# --- scores ----------------------------------------------------------------------------------------------------------


def score_field_explorer(*, score: Function | None = None, drawn_by: Sequence[Function] = ()) -> FigureExplorer:
    """A slider for σ over the paper's mixture: q_σ (amber, darkest at its own maximum), its score, its modes (dots).

    Scores shrink as noise widens the density, so the arrows show (1 + σ²) times the score: far from all other modes
    they then reach, at a tenth of the length, for the nearest mean. A dot marks a zero to which the score points from
    both sides, a mode of the density; a cross marks one from which it points away. They are sought on the line through
    the means, where all zeros of the exact score lie.

    Args:
        score: s(x, sigma), such as your own of this mixture; the exact one unless told otherwise.
        drawn_by: your own functions that the score calls; the title names those that a check has refused.
    """
    mixture = paper_mixture()
    title = rf"density $q_\sigma$, and its score times $(1 + \sigma^2)/10${plots.refused(score, *drawn_by)}"
    score = mixture.score if score is None else own(score)
    points = plots.grid(20)
    figure, (ax,) = panels(5.2, 4.8, 1)
    density = plots.draw_density(ax, plots.density_values(mixture), vmin=0, vmax=1, animated=True)
    field = plots.draw_field(ax, points, mixture.score(points), animated=True)
    (dots,) = ax.plot([], [], "o", ms=9, mfc="white", mec=plots.COLOURS.exact, animated=True)
    (crosses,) = ax.plot([], [], "x", color=plots.COLOURS.exact, ms=9, mew=2, animated=True)
    ax.set(**PLANE, title=title)

    def update(sigma: float) -> str:
        _shade(density, mixture, sigma)
        arrows = (1 + sigma**2) * score(points, sigma)
        field.set_UVC(*arrows.T.numpy())
        modes, between = _zeros(score, mixture.means, sigma)
        dots.set_data(*modes.T)
        crosses.set_data(*between.T)
        places = [f"({x:.2f}, {y:.2f})" for x, y in modes.tolist()]
        return f"σ = {sigma:.1f}: modes by this score (dots): {' and '.join(places) or 'none'}"

    sigmas = [tenths / 10 for tenths in range(101)]
    controls = {"sigma": selection("σ", sigmas, 3.0, ".1f")}
    alt = "Density and score field of the mixture perturbed by noise of std σ"
    return FigureExplorer(figure, update, controls, alt=alt)


def _zeros(score: Function, means: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """The zeros of a score on the line through two means: those that it points to, (N, 2), and the others, (M, 2)."""
    direction = means[1] - means[0]
    t = torch.linspace(-0.1, 1.1, 12_001)[:, None]  # past the means, which are zeros where there is no noise
    line = means[0] + t * direction
    forward = score(line, sigma) @ direction > 0
    before = forward[:-1]
    after = forward[1:]
    middles = (line[1:] + line[:-1]) / 2
    return middles[before & ~after], middles[~before & after]


def _shade(picture: AxesImage, mixture: GaussianMixture, sigma: float = 0.0) -> None:
    """Show the density q_σ of a mixture, darkest at its own maximum."""
    density = plots.density_values(mixture, sigma)
    picture.set_data((density / density.max()).reshape(100, 100).numpy())


GRID = 39  # points a side; every second one, 20 a side as in the paper's figure, carries an arrow
RADIUS = 2.0  # of the circle


def training_explorer(
    snapshots: Mapping[int, Tensor], mixture: GaussianMixture | None = None, *, drawn_by: Sequence[Function] = ()
) -> FigureExplorer:
    """Sliders for the training step and for the centre of a circle; fields are looked up, never computed.

    The readout gives the relative squared error of the estimate in the circle, within 2 of a mode and beyond 4 from
    every mode.

    Args:
        snapshots: the network's scores on `plots.grid(39)`, (1521, 2), by step; 0 is the untrained network.
        mixture: what it was trained on; the paper's unless told otherwise.
        drawn_by: your own functions behind it; the title names those that a check has refused.

    Raises:
        ValueError: a snapshot is no (1521, 2) tensor.
    """
    mixture = paper_mixture() if mixture is None else mixture
    points = plots.grid(GRID)
    for step, scores in snapshots.items():
        if scores.shape != points.shape:
            raise ValueError(
                f"snapshots must be scores on plots.grid({GRID}), of shape {tuple(points.shape)}, "
                f"got {tuple(scores.shape)} at step {step}"
            )
    exact = mixture.score(points)
    distance = distance_to_modes(points, mixture.means)
    places = torch.arange(GRID**2).reshape(GRID, GRID)
    arrows = places[1::3, 1::3].flatten()
    feet = points[arrows]

    figure, (ax,) = panels(5.2, 5.4, 1)
    plots.draw_density(ax, plots.density_values(mixture), alpha=0.7)
    broad = {"color": plots.COLOURS.noise, "width": 0.008, "headwidth": 2.2, "headlength": 2.5, "headaxislength": 2.5}
    plots.draw_field(ax, feet, exact[arrows], label="exact", **broad)
    estimated = plots.draw_field(ax, feet, exact[arrows], label="estimated", animated=True, zorder=3)
    circle = Circle((0, 0), RADIUS, fill=False, lw=2, ls="--", animated=True, zorder=4)
    ax.add_patch(circle)
    ax.set(**PLANE, title=f"score fields: exact and estimated{plots.refused(*drawn_by)}")
    figure.legend(loc="outside lower center", ncols=2)

    def update(step: int, centre_x: float, centre_y: float) -> str:
        scores = snapshots[step]
        estimated.set_UVC(*scores[arrows].T.numpy())
        circle.center = centre_x, centre_y
        distances = (points - torch.tensor(circle.center)).norm(dim=1)
        inside = distances <= RADIUS

        def error(where: Tensor) -> str:
            return f"{relative_squared_error(scores[where], exact[where]):.2g}"

        return (
            f"relative squared error in the circle: {error(inside)}; "
            f"within 2 of a mode: {error(distance < 2)}; beyond 4 from both: {error(distance > 4)}"
        )

    steps = sorted(snapshots)
    halves = [half / 2 for half in range(-16, 17)]
    controls = {
        "step": selection("step", steps, steps[-1], "d"),
        "centre_x": selection("circle x₁", halves, 0.0, ".1f"),
        "centre_y": selection("circle x₂", halves, 0.0, ".1f"),
    }
    alt = "Estimated over exact score field of the mixture, with a circle marked"
    return FigureExplorer(figure, update, controls, alt=alt)


# --- Langevin dynamics -----------------------------------------------------------------------------------------------

STEP_SIZES = (0.01, 0.05, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 3.9, 4.0, 4.5, 5.0)
N_STEPS = (0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
BOUND = 4.0  # 4v, for components of variance v = 1


def langevin_step(score: Function, x: Tensor, step_size: float, generator: Generator) -> Tensor:
    """x + ε/2 s(x) + √ε z, of x's shape (Eq. 4)."""
    return samplers.langevin_step(score, x, step_size, 0.0, generator)


def langevin_explorer(n_chains: int = 320, *, seed: int = 0, step: Function = langevin_step) -> FigureExplorer:
    """Sliders for ε and the number of steps over a Langevin cloud, on N(0, 1) or the mixture, tested or not.

    On N(0, 1) the chains start at −3 and 3 (variance 9), two for each point that is drawn, and the readout holds their
    variance against 1/(1 − ε/4). On the mixture, from uniform starts on [−8, 8]², it gives the share at (5, 5). The
    chains run anew at every move.

    Args:
        n_chains: points of the cloud; the paper draws 1,280.
        seed: of starts and noise, the same at every move.
        step: step(score, x, step_size, generator), such as your own; it makes the steps of the plain sampler.
    """
    title = f"the chains, over their target{plots.refused(step)}"
    step = own(step)
    uniform = _uniform(n_chains, seed)
    at_three = 3 * uniform.sign().reshape(-1, 1)
    starts = {"N(0, 1)": at_three, "mixture": uniform}
    planes = {"N(0, 1)": GaussianMixture([1.0], [[0.0, 0.0]]), "mixture": paper_mixture()}
    axis = torch.linspace(-plots.EXTENT, plots.EXTENT, 200)
    edges = torch.linspace(-plots.EXTENT, plots.EXTENT, 41)

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    density = plots.draw_density(left, torch.zeros(100**2), vmin=0, vmax=1.6, animated=True)
    cloud = plots.draw_samples(left, uniform, s=7, alpha=0.7, animated=True)
    left.set(**PLANE, title=title)
    bars = _bars(right, edges, fill=True, color=plots.COLOURS.moving, alpha=0.4)
    (exact,) = right.plot([], [], color=plots.COLOURS.data, lw=2, label="target", animated=True)
    (settled,) = right.plot([], [], "--", color=plots.COLOURS.exact, lw=1.5, label="$N(0, 1/(1-ε/4))$", animated=True)
    right.set(xlim=(-8, 8), ylim=(0, 0.6), xlabel="$x_1$", ylabel="density", title="their histogram")
    right.legend(loc="upper right", fontsize=8)

    def update(target: str, sampler: str, step_size: float, n_steps: int) -> str:
        plane = planes[target]
        line = GaussianMixture(plane.weights, plane.means[:, :1])  # its law of x₁
        x = starts[target]
        mixture = line if target == "N(0, 1)" else plane
        run = _tested if sampler == "Metropolis" else partial(_plain, step)
        x, note = run(mixture, x, step_size, n_steps, _seeded(seed + 1))
        _shade(density, plane)
        cloud.set_offsets(x.reshape(-1, 2).numpy())
        bars.set_data(_histogram(x[:, 0], edges))
        exact.set_data(axis, _density(line, axis))
        settled.set_data([], [])
        if target == "mixture":
            return f"{n_chains} chains after {n_steps} steps: share at (5, 5) {_share(x, plane)}{note}"
        if sampler == "plain" and step_size < BOUND:
            limit = langevin_variance(step_size)
            wider = GaussianMixture([1.0], [[0.0]], math.sqrt(limit))
            settled.set_data(axis, _density(wider, axis))
            note = f", to settle at 1/(1 − ε/4) = {limit:.2f}"
        variance = moments(x).variance
        return (
            f"{len(x)} chains, drawn as {n_chains} points, after {n_steps} steps: "
            f"variance {variance.value:.2f} ± {2 * variance.se:.2f}{note}"
        )

    controls = {
        "target": ipywidgets.ToggleButtons(options=list(starts), description="target"),
        "sampler": ipywidgets.ToggleButtons(options=["plain", "Metropolis"], description="sampler"),
        "step_size": selection("ε", STEP_SIZES, 1.0),
        "n_steps": selection("steps", N_STEPS, 100),
    }
    return FigureExplorer(figure, update, controls, alt="A cloud of Langevin chains over its target, and a histogram")


def _plain(
    step: Function, target: GaussianMixture, x: Tensor, step_size: float, n_steps: int, generator: Generator
) -> tuple[Tensor, str]:
    """The chains after n_steps steps, and a note where ε is too large; NotDrawnError where one is out of sight."""
    note = ""
    if step_size >= BOUND:
        factor = abs(1 - step_size / 2)
        note = f"; ε = {step_size:g} is not below the bound 4v = {BOUND:g}: a step multiplies distances by {factor:g}"
    for n in range(1, n_steps + 1):
        x = step(target.score, x, step_size, generator)
        _require_in_sight(x, f"after step {n}", note)
    return x, note


def _tested(
    target: GaussianMixture, x: Tensor, step_size: float, n_steps: int, generator: Generator
) -> tuple[Tensor, str]:
    """The chains after n_steps steps with Metropolis' test, and the share accepted in the second half of the steps."""
    if n_steps == 0:
        return x, ""
    options = {"log_prob": target.log_prob, "step_size": step_size, "n_steps": n_steps, "generator": generator}
    states = list(metropolis_langevin(target.score, x, **options))
    accepted = [torch.as_tensor(state.accepted) for state in states[n_steps // 2 :]]
    rate = float(torch.stack(accepted).float().mean())
    return states[-1].x, f"; accepted {rate:.0%}"


# --- annealing, and going from level to level ------------------------------------------------------------------------

SIGMA_MAX = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0)
SIGMA_MIN = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
SHARES = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 1.95, 2.0, 2.05, 2.5, 5.0)


def run_annealed_langevin(
    score: Function, x: Tensor, sigmas: Tensor, epsilon: float, n_steps: int, generator: Generator
) -> Tensor:
    """Where the chains of Algorithm 1 end: of x's shape."""
    return final(annealed_langevin(score, x, sigmas, step_size=epsilon, n_steps=n_steps, generator=generator))


def annealing_explorer(
    n_chains: int = 400, total_steps: int = 250, *, seed: int = 0, sampler: Function = run_annealed_langevin
) -> FigureExplorer:
    """Sliders for σ₁, σ_L, the number of levels L and η = ε/(2σ_L²) over an annealed cloud on the paper's mixture.

    η is the share of the noise that a step takes off, at every level alike. The sliders begin where chapter 4 is: σ
    from 10 to 0.1 in 10 levels, η = ¼ (ε = 0.005). The chains start uniformly on [−8, 8]² and run anew at every move,
    `total_steps` shared evenly by the levels: a quarter of the chapter's 1,000, so that a move takes a tenth of a
    second. One level is plain Langevin dynamics at σ_L. The readout holds the share at (5, 5), the standard
    deviation there beside √(1 + σ_L²), and the bound on η, 2(1 + v/σ₁²) for the components' variance v = 1. The
    right panel follows the share down the ladder.

    Args:
        n_chains: points of the cloud.
        total_steps: steps of a run, over all levels; at least 20.
        seed: of starts and noise, the same at every move.
        sampler: sampler(score, x, sigmas, epsilon, n_steps, generator), such as your own Algorithm 1, which returns
            where the chains end.
    """
    mixture = paper_mixture()
    start = _uniform(n_chains, seed)
    axis = torch.logspace(-1, math.log10(30), 100).tolist()

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    cloud = _cloud(left, start, sampler)
    sampler = own(sampler)
    exact = [half_plane_mass(0.8, 5.0, math.hypot(1, sigma)) for sigma in axis]
    right.plot(axis, exact, "--", color=plots.COLOURS.exact, lw=1.2, label="exact")
    (path,) = right.plot([], [], "o-", color=plots.COLOURS.moving, ms=4, label="chains", animated=True)
    right.set(xscale="log", xlim=(40, 0.08), xlabel=r"$\sigma$ of the level (falling)")
    right.set(ylim=(0.4, 1), ylabel="share nearer to (5, 5)", title="the share after each level")
    ticks = (30, 10, 3, 1, 0.3, 0.1)
    right.set_xticks(ticks, map(str, ticks))
    right.legend(loc="lower right")

    def update(sigma_max: float, sigma_min: float, n_levels: int, eta: float) -> str:
        sigmas = torch.tensor([sigma_min])
        if n_levels > 1:
            sigmas = geometric_sigmas(sigma_max, sigma_min, n_levels)
        n_steps = total_steps // n_levels
        epsilon = 2 * eta * sigma_min**2
        bound = largest_stable_step(sigmas, variance=1.0) / (2 * sigma_min**2)
        stability = f"; stable for η < {bound:.3g}"
        if eta >= bound:
            stability = f"; η = {eta:g} is beyond the bound 2(1 + v/σ₁²) = {bound:.3g}, and chains diverge in the end"

        def run(score: Function) -> Tensor:
            noise = _seeded(seed + 1)
            return sampler(score, start, sigmas, epsilon, n_steps, noise)

        x, ends = _ends(run, mixture.score, stability)
        shares = [float(mode_weights(end, mixture.means)[1]) for end in ends.values()]
        path.set_data(list(ends), shares)
        cloud.set_offsets(x.numpy())
        return f"{n_steps} steps a level: {_share_and_width(x, mixture, sigma_min)}{stability}"

    controls = {
        "sigma_max": selection("σ₁", SIGMA_MAX, 10.0),
        "sigma_min": selection("σ_L", SIGMA_MIN, 0.1),
        "n_levels": selection("levels", range(1, 21), 10),
        "eta": selection("η", SHARES, 0.25),
    }
    return FigureExplorer(figure, update, controls, alt="An annealed cloud, and the share at (5, 5) after each level")


@torch.inference_mode()  # saves a fifth of a move's time: hundreds of steps, each of many small operations
def _ends(run: Callable[[Function], Tensor], score: Function, note: str) -> tuple[Tensor, dict[float, Tensor]]:
    """Where the chains of a sampler end, and where they are at the end of each level, by its σ.

    A level ends where the next one first asks for the score, which is all that is seen of a reader's own sampler.
    NotDrawnError says where a chain is out of sight.
    """
    begins: dict[float, Tensor] = {}

    def noting(x: Tensor, sigma: float | Tensor) -> Tensor:
        level = torch.as_tensor(sigma).flatten()[0]
        begins.setdefault(float(level), x.clone())  # the sampler may go on in place
        _require_in_sight(x, f"at level {len(begins)}", note)
        return score(x, sigma)

    x = run(noting)
    ends = [*begins.values(), x][1:]
    return x, dict(zip(begins, ends, strict=True))


def level_step(score: Function, x: Tensor, sigma: float, sigma_next: float, c: float, generator: Generator) -> Tensor:
    """One step of the family, from noise σ to σ': takes the share 1 − (σ'/σ)^{1+c} off; of x's shape."""
    taken_off = 1 - (sigma_next / sigma) ** (1 + c)
    return final(level_to_level(score, x, [sigma, sigma_next], lambda r: taken_off, generator=generator))


def level_steps_explorer(n_chains: int = 1_024, *, seed: int = 0, step: Function = level_step) -> FigureExplorer:
    """Sliders for how much noise a step takes off and puts back, and for the number of steps, on the paper's mixture.

    With r = σ_{k+1}/σ_k, a step takes η = 1 − r^{1+c} of the noise off and puts as much back as makes σ_{k+1} of it.
    c = 0 adds none (Euler's step of the probability flow), c = 1 is ancestral sampling, a large c replaces nearly all.
    The chains start as the data's mean plus noise of σ = 40 and go to 0.1 down a geometric ladder, with exact scores.
    The readout gives the share at (5, 5) and the standard deviation there beside the exact ones.

    Args:
        n_chains: points of the cloud; they run anew at every move.
        seed: of starts and noise, the same at every move.
        step: step(score, x, sigma, sigma_next, c, generator), such as your own.
    """
    sigma_max = 40.0
    sigma_min = 0.1
    mixture = paper_mixture()
    mean = mixture.weights @ mixture.means
    start = mean + sigma_max * torch.randn(n_chains, 2, generator=_seeded(seed))
    along = torch.full((2, 1), 1 / math.sqrt(2))  # the direction from mode to mode
    axis = torch.linspace(-12, 12, 241)
    edges = torch.linspace(-12, 12, 49)

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    cloud = _cloud(left, start, step)
    step = own(step)
    line = GaussianMixture(mixture.weights, mixture.means @ along, math.hypot(1, sigma_min))
    right.plot(axis, _density(line, axis), "--", color=plots.COLOURS.exact, lw=1.2, label="exact")
    bars = _bars(right, edges, color=plots.COLOURS.moving)
    right.set(xlabel=r"$(x_1 + x_2)/\sqrt{2}$", ylabel="density", ylim=(0, 0.5), title="along the line of the modes")
    right.legend(loc="upper left")

    def update(noise: float, n_steps: int) -> str:
        sigmas = geometric_sigmas(sigma_max, sigma_min, n_steps + 1).tolist()
        generator = _seeded(seed + 1)
        x = start
        for sigma, sigma_next in itertools.pairwise(sigmas):
            x = step(mixture.score, x, sigma, sigma_next, noise, generator)
        cloud.set_offsets(x.numpy())
        bars.set_data(_histogram((x @ along)[:, 0], edges))
        r = sigmas[1] / sigmas[0]
        eta = 1 - r ** (1 + noise)
        return f"{n_steps} steps, r = {r:.2f}, η = {eta:.2f}: {_share_and_width(x, mixture, sigma_min)}"

    quarters = [n / 4 for n in range(21)]
    controls = {
        "noise": selection("c", quarters, 5.0),
        "n_steps": selection("steps", range(4, 101), 20),
    }
    alt = "Chains that went from noise to the mixture in few steps, and their density"
    return FigureExplorer(figure, update, controls, alt=alt)


# --- what several of them draw and say -------------------------------------------------------------------------------


def _cloud(ax: Axes, x: Tensor, drawn_by: Function) -> PathCollection:
    """Draw the mixture's density, and chains over it that a sampler or a step will move."""
    plots.draw_density(ax, plots.density_values(paper_mixture()))
    ax.set(**PLANE, title=f"where the chains end{plots.refused(drawn_by)}")
    return plots.draw_samples(ax, x, s=7, alpha=0.7, animated=True)


def _seeded(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


def _uniform(n_chains: int, seed: int) -> Tensor:
    """Starting points on [−8, 8]², (n_chains, 2)."""
    unit = torch.rand(n_chains, 2, generator=_seeded(seed))
    return plots.EXTENT * (2 * unit - 1)


def _require_in_sight(x: Tensor, when: str, note: str) -> None:
    """Raise NotDrawnError where a chain is farther out than can be drawn."""
    if not x.abs().max() < FAR:  # NaN is nowhere
        raise NotDrawnError(f"{when} a chain is farther out than a million{note}")


def _share(x: Tensor, mixture: GaussianMixture) -> str:
    """The share of chains nearest to the second mean, with twice its standard error, and the component's weight."""
    share = float(mode_weights(x, mixture.means)[1])
    weight = float(mixture.weights[1])
    margin = 2 * math.sqrt(share * (1 - share) / len(x))
    return f"{share:.2f} ± {margin:.2f}, exact {weight:.2f}"


def _share_and_width(x: Tensor, mixture: GaussianMixture, sigma: float) -> str:
    """The share and the standard deviation of the chains at (5, 5), each with twice its error, beside those of q_σ."""
    n_near = mode_weights(x, mixture.means)[1] * len(x)
    std = component_stds(x, mixture.means)[1]
    margin = std / n_near.sqrt()  # twice its standard error, from 2 · n_near coordinates
    exact = math.hypot(1, sigma)
    width = f"standard deviation there {float(std):.2f} ± {float(margin):.2f}, exact {exact:.2f}"
    return f"share at (5, 5) {_share(x, mixture)}; {width}"


def _bars(ax: Axes, edges: Tensor, **style: Any) -> StepPatch:
    """Draw bars between edges that move, as yet without a height."""
    heights = np.zeros(len(edges) - 1)
    return ax.stairs(heights, edges.numpy(), label="chains", animated=True, **style)


def _histogram(u: Tensor, edges: Tensor) -> np.ndarray:
    """The density of points u, (N,), in each bin; a point outside counts in none."""
    counts = torch.histogram(u.float(), edges).hist
    return (counts / (len(u) * edges.diff())).numpy()


def _density(line: GaussianMixture, axis: Tensor) -> Tensor:
    """A one-dimensional mixture's density at places, (N,)."""
    return line.log_prob(axis[:, None]).exp()
