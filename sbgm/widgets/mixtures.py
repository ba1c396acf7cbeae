"""Sliders on the mixture: its score under noise, a training, Langevin dynamics, annealing, and fewer steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.image import AxesImage
from matplotlib.patches import Circle
from torch import Generator, Tensor

from sbgm import plots
from sbgm.measure import component_stds, distance_to_modes, mode_weights, moments, relative_squared_error
from sbgm.mixtures import GaussianMixture, paper_mixture
from sbgm.noise import geometric_sigmas, randn_like
from sbgm.samplers import annealed_langevin, final, level_to_level, metropolis_langevin
from sbgm.theory import half_plane_mass, langevin_variance, largest_stable_step
from sbgm.widgets.base import BLUE, ORANGE, FigureExplorer, NotDrawnError, own, panels, selection

PLANE = {"xlabel": "$x_1$", "ylabel": "$x_2$"}
FAR = 1e6  # a chain that is farther out has diverged
Function = Callable[..., Tensor]  # a score, a step or a sampler, ours or the reader's own


# --- scores ----------------------------------------------------------------------------------------------------------


def score_field_explorer(mixture: GaussianMixture | None = None, *, score: Function | None = None) -> FigureExplorer:
    """A slider for σ over the density q_σ (orange, darkest at its own maximum), its score (arrows), its modes (dots).

    Scores shrink as noise widens the density, so the arrows show (1 + σ²) times the score: far from all other modes
    they then reach, at a tenth of the length, for the nearest mean. A dot marks a zero to which the score points from
    both sides, a mode of the density; a cross marks one between two modes. They are sought on the line through the
    means of a mixture of two components, where all zeros of its score lie.

    Args:
        mixture: a mixture in two dimensions; the paper's unless told otherwise.
        score: s(x, sigma), such as your own of this mixture; the exact one unless told otherwise.
    """
    mixture = paper_mixture() if mixture is None else mixture
    score = mixture.score if score is None else own(score)
    points = plots.grid(20)
    figure, (ax,) = panels(5.2, 4.8, 1)
    density = plots.draw_density(ax, plots.density_values(mixture), vmin=0, vmax=1, animated=True)
    field = plots.draw_field(ax, points, mixture.score(points), animated=True)
    (modes,) = ax.plot([], [], "o", ms=9, mfc="white", mec="black", animated=True)
    (passes,) = ax.plot([], [], "x", ms=9, mew=2, color="black", animated=True)
    ax.set(**PLANE, title=r"density $q_\sigma$, and its score times $(1 + \sigma^2)/10$")

    def update(sigma: float) -> str:
        _shade(density, plots.density_values(mixture, sigma))
        arrows = (1 + sigma**2) * score(points, sigma)
        field.set_UVC(*arrows.T.numpy())
        tops, between = _zeros(score, mixture.means, sigma)
        modes.set_data(*tops.T)
        passes.set_data(*between.T)
        places = [f"({x:.2f}, {y:.2f})" for x, y in tops.tolist()]
        return f"σ = {sigma:.1f}: the density has its modes (dots) at {' and '.join(places)}"

    controls = {"sigma": selection("σ", [tenths / 10 for tenths in range(101)], 3.0, ".1f")}
    return FigureExplorer(
        figure, update, controls, alt="Density and score field of the mixture perturbed by noise of std σ"
    )


def _zeros(score: Function, means: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """The zeros of a score on the line through two means: those that it points to, (N, 2), and the others, (M, 2)."""
    if len(means) != 2:
        return means[:0], means[:0]
    direction = means[1] - means[0]
    t = torch.linspace(-0.1, 1.1, 12_001)[:, None]  # past the means, which are zeros where there is no noise
    line = means[0] + t * direction
    forward = score(line, sigma) @ direction > 0
    before = forward[:-1]
    after = forward[1:]
    middles = (line[1:] + line[:-1]) / 2
    return middles[before & ~after], middles[~before & after]


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
        ValueError: a snapshot is no (1521, 2) tensor.
    """
    mixture = paper_mixture() if mixture is None else mixture
    points = plots.grid(GRID)
    for iteration, scores in snapshots.items():
        if scores.shape != points.shape:
            raise ValueError(
                f"snapshots must be scores on plots.grid({GRID}), of shape {tuple(points.shape)}, "
                f"got {tuple(scores.shape)} at iteration {iteration}"
            )
    exact = mixture.score(points)
    distance = distance_to_modes(points, mixture.means)
    arrows = torch.arange(GRID**2).reshape(GRID, GRID)[::2, ::2].flatten()
    feet = points[arrows]

    figure, (ax,) = panels(5.2, 5.4, 1)
    plots.draw_density(ax, plots.density_values(mixture), alpha=0.7)
    broad = {"color": "0.65", "width": 0.008, "headwidth": 2.2, "headlength": 2.5, "headaxislength": 2.5}
    plots.draw_field(ax, feet, exact[arrows], label="exact", **broad)
    estimated = plots.draw_field(ax, feet, exact[arrows], label="estimated", animated=True, zorder=3)
    circle = Circle((0, 0), RADIUS, fill=False, lw=2, ls="--", label="region", animated=True, zorder=4)
    ax.add_patch(circle)
    ax.set(**PLANE, title="score fields: exact and estimated")
    figure.legend(loc="outside lower center", ncols=3)

    def update(iteration: int, centre_x: float, centre_y: float) -> str:
        scores = snapshots[iteration]
        estimated.set_UVC(*scores[arrows].T.numpy())
        circle.center = centre_x, centre_y
        centre = torch.tensor([centre_x, centre_y])
        inside = (points - centre).norm(dim=1) <= RADIUS
        regions = (inside, distance < 2, distance > 4)
        in_region, near, far = (relative_squared_error(scores[region], exact[region]) for region in regions)
        return (
            f"relative squared error in the region: {in_region:.2g}; "
            f"within 2 of a mode: {near:.2g}; beyond 4 from both: {far:.2g}"
        )

    iterations = sorted(snapshots)
    halves = [half / 2 for half in range(-16, 17)]
    controls = {
        "iteration": selection("iteration", iterations, iterations[-1], "d"),
        "centre_x": selection("region x₁", halves, 0.0, ".1f"),
        "centre_y": selection("region x₂", halves, 0.0, ".1f"),
    }
    alt = "Estimated over exact score field of the mixture, with a round region marked"
    return FigureExplorer(figure, update, controls, alt=alt)


# --- Langevin dynamics -----------------------------------------------------------------------------------------------

STEP_SIZES = (0.01, 0.05, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 3.9, 4.0, 4.5, 5.0)
N_STEPS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
BOUND = 4.0  # 4v, for components of variance v = 1


def langevin_step(score: Function, x: Tensor, step_size: float, generator: Generator) -> Tensor:
    """x + ε/2 s(x) + √ε z, of x's shape (Eq. 4)."""
    return x + step_size / 2 * score(x) + math.sqrt(step_size) * randn_like(x, generator)


def langevin_explorer(n_chains: int = 320, *, seed: int = 0, step: Function = langevin_step) -> FigureExplorer:
    """Sliders for ε and the number of steps over a Langevin cloud, on N(0, 1) or the mixture, tested or not.

    On N(0, 1) the chains start at −3 and 3 (variance 9), two for each point that is drawn, and the readout holds their
    variance against 1/(1 − ε/4). On the mixture, from uniform starts on [−8, 8]², it gives the share in (5, 5). The
    chains run anew at every move.

    Args:
        n_chains: points of the cloud; the paper draws 1,280.
        seed: of starts and noise, the same at every move.
        step: step(score, x, step_size, generator), such as your own; it makes the steps of the plain sampler.
    """
    step = own(step)
    uniform = _uniform(n_chains, torch.Generator().manual_seed(seed))
    starts = {"N(0, 1)": 3 * uniform.sign().reshape(-1, 1), "mixture": uniform}
    targets = {"N(0, 1)": GaussianMixture([1.0], [[0.0]]), "mixture": paper_mixture()}
    densities = {
        "N(0, 1)": plots.density_values(GaussianMixture([1.0], [[0.0, 0.0]])),
        "mixture": plots.density_values(targets["mixture"]),
    }
    chains = {"N(0, 1)": f"{2 * n_chains} chains, drawn as {n_chains} points,", "mixture": f"{n_chains} chains"}
    numbers = {"N(0, 1)": _variance, "mixture": _share}
    axis = torch.linspace(-plots.EXTENT, plots.EXTENT, 200)
    edges = torch.linspace(-plots.EXTENT, plots.EXTENT, 41)

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    density = plots.draw_density(left, densities["N(0, 1)"], vmin=0, vmax=1.6, animated=True)
    cloud = plots.draw_samples(left, uniform, s=7, alpha=0.7, animated=True)
    left.set(**PLANE, title="the chains, over the target's density")
    bars = right.stairs(np.zeros(40), edges.numpy(), fill=True, color="0.8", label="chains", animated=True)
    (exact,) = right.plot([], [], color=ORANGE, lw=2, label="target", animated=True)
    (settled,) = right.plot([], [], "k--", lw=1.5, label="$N(0, 1/(1-ε/4))$", animated=True)
    right.set(xlim=(-8, 8), ylim=(0, 0.6), xlabel="$x_1$", ylabel="density", title="their histogram")
    right.legend(loc="upper right", fontsize=8)

    def update(target: str, sampler: str, step_size: float, n_steps: int) -> str:
        mixture = targets[target]
        x = starts[target].clone()  # a step may work in place
        noise = torch.Generator().manual_seed(seed + 1)
        if sampler == "plain":
            x, note = _plain(step, mixture.score, x, step_size, n_steps, noise)
        else:
            x, note = _tested(mixture, x, step_size, n_steps, noise)
        limit = math.nan  # the variance where the chains settle
        if target == "N(0, 1)" and sampler == "plain" and step_size < BOUND:
            limit = langevin_variance(step_size)
            note = f", to settle at 1/(1 − ε/4) = {limit:.2f}"
        _shade(density, densities[target])
        cloud.set_offsets(x.reshape(-1, 2).numpy())
        bars.set_data(_histogram(x[:, 0], edges))
        on_x1 = _density_on_a_line(axis, mixture.weights, mixture.means[:, 0], 1.0)
        exact.set_data(axis, on_x1)
        wider = _density_on_a_line(axis, torch.ones(1), torch.zeros(1), math.sqrt(limit))
        settled.set_data(axis, wider)
        return f"{chains[target]} after {n_steps} steps: {numbers[target](x)}{note}"

    controls = {
        "target": ipywidgets.ToggleButtons(options=list(targets), description="target"),
        "sampler": ipywidgets.ToggleButtons(options=["plain", "Metropolis"], description="sampler"),
        "step_size": selection("ε", STEP_SIZES, 1.0),
        "n_steps": selection("steps", N_STEPS, 100),
    }
    return FigureExplorer(figure, update, controls, alt="A cloud of Langevin chains over its target, and a histogram")


def _variance(x: Tensor) -> str:
    """The variance of chains on a line, (B, 1), with twice its standard error."""
    variance = moments(x).variance
    return f"variance {variance.value:.3g} ± {2 * variance.se:.2g}"


def _share(x: Tensor) -> str:
    """The share of chains in the plane, (B, 2), at (5, 5), with twice its standard error."""
    return f"share in (5, 5) {_weight(x)}"


def _plain(
    step: Function, score: Function, x: Tensor, step_size: float, n_steps: int, generator: Generator
) -> tuple[Tensor, str]:
    """The chains after n_steps steps, and a note where ε is too large; NotDrawnError where one is out of sight."""
    note = ""
    if step_size >= BOUND:
        factor = abs(1 - step_size / 2)
        note = f"; ε = {step_size:g} is not below the bound 4v = {BOUND:g}: a step multiplies distances by {factor:g}"
    for n in range(1, n_steps + 1):
        x = step(score, x, step_size, generator)
        if x.abs().max() > FAR:
            raise NotDrawnError(f"after step {n} a chain is farther out than a million{note}")
    return x, note


def _tested(
    target: GaussianMixture, x: Tensor, step_size: float, n_steps: int, generator: Generator
) -> tuple[Tensor, str]:
    """The chains after n_steps steps with Metropolis' test, and the share accepted in the second half of the steps."""
    if n_steps == 0:
        return x, ""
    options = {"log_prob": target.log_prob, "step_size": step_size, "n_steps": n_steps, "generator": generator}
    states = list(metropolis_langevin(target.score, x, **options))
    accepted = torch.stack([torch.as_tensor(state.accepted) for state in states[n_steps // 2 :]])
    rate = float(accepted.float().mean())
    return states[-1].x, f"; accepted {rate:.0%}"


# --- annealing, and going from level to level ------------------------------------------------------------------------

SIGMA_MAX = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 25.0, 30.0)
SIGMA_MIN = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 1.95, 2.0, 2.05, 2.5, 5.0)


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
    second. One level is plain Langevin dynamics at σ_L. The readout holds the weight of (5, 5) with twice its standard
    error, its component's standard deviation beside √(1 + σ_L²), and the bound on η, 2(1 + v/σ₁²) for the components'
    variance v = 1. The right panel follows the weight down the ladder.

    Args:
        n_chains: points of the cloud.
        total_steps: steps of a run, over all levels; at least 20.
        seed: of starts and noise, the same at every move.
        sampler: sampler(score, x, sigmas, epsilon, n_steps, generator), such as your own Algorithm 1, which returns
            where the chains end.
    """
    sampler = own(sampler)
    mixture = paper_mixture()
    start = _uniform(n_chains, torch.Generator().manual_seed(seed))
    axis = torch.logspace(-1, math.log10(30), 100).tolist()

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    cloud = _cloud(left, start)
    exact = [half_plane_mass(0.8, 5.0, math.hypot(1, sigma)) for sigma in axis]
    right.plot(axis, exact, "k--", lw=1.2, label="exact")
    (path,) = right.plot([], [], "o-", color=BLUE, ms=4, label="chains", animated=True)
    right.set(xscale="log", xlim=(40, 0.08), xlabel=r"$\sigma$ of the level (falling)")
    right.set(ylim=(0.3, 1), ylabel="share nearer to (5, 5)", title="the weight after each level")
    right.set_xticks([30, 10, 3, 1, 0.3, 0.1], ["30", "10", "3", "1", "0.3", "0.1"])
    right.legend(loc="lower right")

    def update(sigma_max: float, sigma_min: float, n_levels: int, eta: float) -> str:
        sigmas = torch.tensor([sigma_min])
        if n_levels > 1:
            sigmas = geometric_sigmas(sigma_max, sigma_min, n_levels)
        n_steps = total_steps // n_levels
        largest_epsilon = largest_stable_step(sigmas, variance=1.0)
        bound = largest_epsilon / (2 * sigma_min**2)
        stability = f"stable for η < {bound:.3g}"
        if eta >= bound:
            stability = f"η = {eta:g} is beyond the bound 2(1 + v/σ₁²) = {bound:.3g}, and chains diverge in the end"
        noise = torch.Generator().manual_seed(seed + 1)
        epsilon = 2 * eta * sigma_min**2
        ends = _level_ends(sampler, mixture.score, start, sigmas, epsilon, n_steps, noise, stability)
        end = ends[-1]
        weights = [float(mode_weights(x, mixture.means)[1]) for x in ends]
        n_drawn = min(len(weights), n_levels)  # a sampler of one's own may leave a level out
        path.set_data(sigmas[:n_drawn], weights[:n_drawn])
        cloud.set_offsets(end.numpy())
        std = float(component_stds(end, mixture.means)[1])
        exact_std = math.hypot(1, sigma_min)
        return (
            f"{n_chains} chains, {n_steps} steps a level: weight of (5, 5) {_weight(end)}; "
            f"its standard deviation {std:.2f}, exact {exact_std:.2f}; {stability}"
        )

    controls = {
        "sigma_max": selection("σ₁", SIGMA_MAX, 10.0),
        "sigma_min": selection("σ_L", SIGMA_MIN, 0.1),
        "n_levels": selection("levels", range(1, 21), 10),
        "eta": selection("η", SHARES, 0.25),
    }
    return FigureExplorer(figure, update, controls, alt="An annealed cloud, and its weight in (5, 5) after each level")


@torch.inference_mode()  # saves a fifth of a move's time: hundreds of steps, each of many small operations
def _level_ends(
    sampler: Function,
    score: Function,
    x: Tensor,
    sigmas: Tensor,
    epsilon: float,
    n_steps: int,
    generator: Generator,
    stability: str,
) -> list[Tensor]:
    """Where the chains are at the end of each level, from a sampler that tells only where they end.

    A level ends where the next one first asks for the score. NotDrawnError says where a chain is out of sight, and
    `stability`, why.
    """
    begins: dict[float, Tensor] = {}

    def noting(x: Tensor, sigma: float | Tensor) -> Tensor:
        levels = torch.as_tensor(sigma).flatten()
        begins.setdefault(float(levels[0]), x.clone())  # the sampler may go on in place
        if x.abs().max() > FAR:
            raise NotDrawnError(f"at level {len(begins)} a chain is farther out than a million: {stability}")
        return score(x, sigma)

    end = sampler(noting, x.clone(), sigmas, epsilon, n_steps, generator)
    return [*list(begins.values())[1:], end]


def level_step(score: Function, x: Tensor, sigma: float, sigma_next: float, c: float, generator: Generator) -> Tensor:
    """One step of the family, from noise σ to σ': takes the share 1 − (σ'/σ)^{1+c} off; of x's shape."""
    ladder = [sigma, sigma_next]
    return final(level_to_level(score, x, ladder, lambda r: 1 - r ** (1 + c), generator=generator))


def level_steps_explorer(n_chains: int = 1_024, *, seed: int = 0, step: Function = level_step) -> FigureExplorer:
    """Sliders for how much noise a step takes off and puts back, and for the number of steps, on the paper's mixture.

    With r = σ_{k+1}/σ_k, a step takes η = 1 − r^{1+c} of the noise off and puts as much back as makes σ_{k+1} of it.
    c = 0 adds none (Euler's step of the probability flow), c = 1 is ancestral sampling, a large c replaces nearly all.
    The chains start as the data's mean plus noise of σ = 40 and go to 0.1 down a geometric ladder, with exact scores.
    The readout gives the weight of (5, 5) and the standard deviation of its component beside the exact ones.

    Args:
        n_chains: points of the cloud; they run anew at every move.
        seed: of starts and noise, the same at every move.
        step: step(score, x, sigma, sigma_next, c, generator), such as your own.
    """
    step = own(step)
    sigma_max = 40.0
    sigma_min = 0.1
    mixture = paper_mixture()
    z = torch.randn(n_chains, 2, generator=torch.Generator().manual_seed(seed))
    mean = mixture.weights @ mixture.means
    start = mean + sigma_max * z
    exact_std = math.hypot(1, sigma_min)
    edges = torch.linspace(-12, 12, 49)
    axis = torch.linspace(-12, 12, 241)

    figure, (left, right) = panels(8.4, 4.2, 1, 1)
    cloud = _cloud(left, start)
    modes = mixture.means.sum(dim=1) / math.sqrt(2)
    exact = _density_on_a_line(axis, mixture.weights, modes, exact_std)
    right.plot(axis, exact, "k--", lw=1.2, label="exact")
    bars = right.stairs(np.zeros(48), edges.numpy(), color=BLUE, label="chains", animated=True)
    right.set(xlabel=r"$(x_1 + x_2)/\sqrt{2}$", ylabel="density", ylim=(0, 0.5), title="along the line of the modes")
    right.legend(loc="upper left")

    def update(noise: float, n_steps: int) -> str:
        sigmas = geometric_sigmas(sigma_max, sigma_min, n_steps + 1).tolist()
        generator = torch.Generator().manual_seed(seed + 1)
        x = start.clone()  # a step may work in place
        for sigma, sigma_next in itertools.pairwise(sigmas):
            x = step(mixture.score, x, sigma, sigma_next, noise, generator)
        cloud.set_offsets(x.numpy())
        along = x.sum(dim=1) / math.sqrt(2)
        bars.set_data(_histogram(along, edges))
        near = float(mode_weights(x, mixture.means)[1]) * n_chains
        std = float(component_stds(x, mixture.means)[1])
        margin = std / math.sqrt(near)  # twice the standard error of std, from 2 · near coordinates
        r = sigmas[1] / sigmas[0]
        eta = 1 - r ** (1 + noise)
        return (
            f"{n_steps} steps, r = {r:.2f}, η = {eta:.2f}: weight of (5, 5) {_weight(x)}; "
            f"its standard deviation {std:.2f} ± {margin:.2f}, exact {exact_std:.2f}"
        )

    controls = {
        "noise": selection("c", [quarters / 4 for quarters in range(21)], 0.0),
        "n_steps": selection("steps", range(4, 101), 20),
    }
    alt = "Chains that went from noise to the mixture in few steps, and their density"
    return FigureExplorer(figure, update, controls, alt=alt)


def _cloud(ax: Axes, x: Tensor) -> PathCollection:
    """Draw the mixture's density, and chains over it that move."""
    plots.draw_density(ax, plots.density_values(paper_mixture()))
    ax.set(**PLANE, title="where the chains end, over the data's density")
    return plots.draw_samples(ax, x, s=7, alpha=0.7, animated=True)


def _uniform(n_chains: int, generator: Generator) -> Tensor:
    """Starting points on [−8, 8]², (n_chains, 2)."""
    unit = torch.rand(n_chains, 2, generator=generator)
    return plots.EXTENT * (2 * unit - 1)


def _weight(x: Tensor) -> str:
    """The share of chains nearer to (5, 5) than to (−5, −5), with twice its standard error, and the paper's weight."""
    share = float((x.sum(dim=1) > 0).double().mean())
    variance = share * (1 - share) / len(x)
    return f"{share:.2f} ± {2 * math.sqrt(variance):.2f}, exact 0.80"


def _histogram(u: Tensor, edges: Tensor) -> np.ndarray:
    """The density of points u, (N,), in each bin; a point outside counts in none."""
    counts = torch.histogram(u.float(), edges).hist
    return (counts / (len(u) * edges.diff())).numpy()


def _density_on_a_line(u: Tensor, weights: Tensor, means: Tensor, std: float) -> Tensor:
    """Σ_k w_k N(u; m_k, std²): (N,) and (K,) -> (N,)."""
    offsets = u[:, None] - means
    bells = torch.exp(-(offsets**2) / (2 * std**2)) / (math.sqrt(2 * math.pi) * std)
    return bells @ weights
