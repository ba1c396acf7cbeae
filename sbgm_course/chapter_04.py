"""Exercises of chapter 4: annealed Langevin dynamics."""

import itertools
import math
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from sbgm.noise import geometric_sigmas
from sbgm_course.calls import Descent, MixtureField, Seed
from sbgm_course.exercise import Exercise, Sign, WrongAnswer, exercise, noise, refuse


def _ends(trial):
    for n_levels in (10, 2, 5):
        low = trial.uniform(0.01, 0.1)
        yield low * trial.uniform(20, 200), low, n_levels


@exercise("4.1", minutes=5, cases={"your ladder": _ends}, within=lambda value, tolerance: 2e-4 * value.abs())
def geometric_ladder(sigma_max, sigma_min, n_levels):
    """`geometric_ladder(sigma_max, sigma_min, n_levels)`: σ_1 > … > σ_L with one ratio between neighbours (§ 4.1).

    The ends are floats, L is an integer of at least 2; the ladder is one tensor (L,).
    """
    return sigma_max * (sigma_min / sigma_max) ** (torch.arange(n_levels) / (n_levels - 1))


geometric_ladder.mistakes = {
    "your ladder holds whole numbers":
        Sign(lambda answer, right: not answer.is_floating_point(), lambda high, low, n: torch.arange(n, 0, -1)),
    "it ascends: which level comes first?":
        lambda *case: geometric_ladder.right(*case).flip(0),
    "these levels have equal differences, not equal ratios":
        lambda high, low, n: torch.linspace(high, low, n),
    "it stops short of the smallest level: how many ratios lie between L levels?":
        lambda high, low, n: high * (low / high) ** (torch.arange(n) / n),
    "the largest level is missing at its start":
        lambda high, low, n: high * (low / high) ** (torch.arange(1, n + 1) / n),
    "the ratio of neighbours is that of the two ends: after how many of them must σ_min be reached?":
        lambda high, low, n: high * (low / high) ** torch.arange(n),
    "these are the logarithms of the levels":
        (lambda *case: geometric_ladder.right(*case).log(), lambda *case: geometric_ladder.right(*case).log10()),
    "two bases are mixed: of which number does torch.logspace take powers, and which logarithm is given?":
        lambda high, low, n: torch.logspace(math.log(high), math.log(low), n),
    "these are powers of ten between 10^σ_max and 10^σ_min: torch.logspace takes the logarithms of its ends":
        lambda high, low, n: torch.logspace(high, low, n, dtype=torch.float64),
    "these are variances: σ is a standard deviation":
        lambda *case: geometric_ladder.right(*case) ** 2,
}  # fmt: skip


def _chains(trial):
    # at last a single step, in which every draw is seen as it is
    for n_levels, n_steps, n, dim in ((3, 4, 100, 300), (4, 5, 150, 200), (1, 1, 120, 250)):
        dtype = torch.float32 if n_levels == 3 else torch.float64
        # Within these narrow ranges the laws of all mistakes are well apart.
        std = math.sqrt(trial.uniform(0.655, 0.675))
        last = trial.uniform(0.79, 0.8)
        sigmas = last * trial.uniform(1.355, 1.365) ** torch.arange(n_levels - 1, -1, -1, dtype=torch.float64)
        epsilon = trial.uniform(0.418, 0.426) * last**2
        mean = trial.randn(1, dim)
        start = (mean + trial.uniform(55, 60) + trial.rand(1, dim)).to(dtype)  # far off, so that a lost step shows
        target = MixtureField(torch.ones(1), mean, torch.tensor([std]))
        yield target, start.expand(n, dim), sigmas.to(dtype), epsilon, n_steps


@exercise("4.3", minutes=15, cases={"your chains": _chains}, draws=True)
def annealed_langevin(score, x, sigmas, epsilon, n_steps, generator):
    """`annealed_langevin(score, x, sigmas, epsilon, n_steps, generator)`: Algorithm 1, from x to the last level's end.

    x is (B, D), sigmas a descending tensor (L,), the score takes (x, σ), and all noise is drawn from the generator. The
    result is where the chains end, of x's shape and dtype.
    """
    for sigma in sigmas.tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            x = x + alpha / 2 * score(x, sigma) + math.sqrt(alpha) * noise(x, generator)
    return x


class Step(NamedTuple):
    """One step, x + drift·α s(x, told) + kick·z."""

    alpha: float
    drift: float
    told: float
    kick: float


def annealed_with(
    *,
    ratio=lambda sigma, ladder: sigma**2 / ladder[-1] ** 2,
    told=lambda ladder: ladder,
    drift=0.5,
    kick=lambda alpha, sigma: alpha**0.5,
    edited=lambda levels: levels,
    draw=lambda step, n_steps: step,
    up=False,
):
    """Algorithm 1 with a mistake.

    Args:
        ratio: α/ε of a level.
        told: the σ that the score is told at each level.
        drift: the factor of α s.
        kick: the factor of z.
        edited: changes the steps, a list of Step for each level.
        draw: the number of the draw of z that a step uses.
        up: whether the ladder is taken from its end.
    """

    def mistaken(score, x, sigmas, epsilon, n_steps, generator):
        ladder = sigmas.tolist()[:: -1 if up else 1]
        levels = []
        for sigma, at in zip(ladder, told(ladder), strict=True):
            alpha = epsilon * ratio(sigma, ladder)
            levels.append([Step(alpha, drift, at, kick(alpha, sigma))] * n_steps)
        draws = {}
        for i, step in enumerate(itertools.chain.from_iterable(edited(levels))):
            number = draw(i, n_steps)
            if number not in draws:
                draws[number] = noise(x, generator)
            x = x + step.drift * step.alpha * score(x, step.told) + step.kick * draws[number]
        return x

    return mistaken


def _without_the_last_kick(levels):
    *before, last = levels
    return [*before, [*last[:-1], last[-1]._replace(kick=0.0)]]


def _denoised(levels):
    last = levels[-1][-1]
    return [*levels, [Step(last.told**2, 1.0, last.told, 0.0)]]


annealed_langevin.mistakes = {
    "the drift is twice what it should be": annealed_with(drift=1.0),
    "the drift has the wrong sign: a step goes up the density": annealed_with(drift=-0.5),
    "the noise has the variance α²: is it multiplied by α or by √α?":
        annealed_with(kick=lambda alpha, sigma: alpha),
    "the noise has the variance α/2: the ½ belongs to the drift only":
        annealed_with(kick=lambda alpha, sigma: (alpha / 2) ** 0.5),
    "the noise has the variance 2α: is it added twice, or is this the other convention, with h = α?":
        annealed_with(kick=lambda alpha, sigma: (2 * alpha) ** 0.5),
    "this is the other convention, x + h s + √(2h) z with h = α":
        annealed_with(drift=1.0, kick=lambda alpha, sigma: (2 * alpha) ** 0.5),
    "the noise has variance 1: it still has to be scaled": annealed_with(kick=lambda alpha, sigma: 1.0),
    "the noise is multiplied by σ: in Algorithm 1 it is multiplied by √α":
        annealed_with(kick=lambda alpha, sigma: sigma),
    "there is no noise: in Algorithm 1 every step has some":
        annealed_with(kick=lambda alpha, sigma: 0.0),
    "the step size is the same at every level": annealed_with(ratio=lambda sigma, ladder: 1.0),
    "the step size grows as σ: is it the standard deviation or the variance that counts?":
        annealed_with(ratio=lambda sigma, ladder: sigma / ladder[-1]),
    "the step size is measured by the wrong end of the ladder: at which level is it ε?":
        annealed_with(ratio=lambda sigma, ladder: (sigma / ladder[0]) ** 2),
    "the step size is measured by no level: at the last one it should be ε":
        annealed_with(ratio=lambda sigma, ladder: sigma**2),
    "the step sizes are upside down: are larger steps safe where the density is wide, or where it is narrow?":
        annealed_with(ratio=lambda sigma, ladder: (ladder[-1] / sigma) ** 2),
    "the levels are taken from the smallest to the largest: where should the noise be when the chains end?":
        annealed_with(up=True, ratio=lambda sigma, ladder: (sigma / ladder[0]) ** 2),
    "the ladder ascends, and its last level is now the largest: where should the noise be when the chains end?":
        annealed_with(up=True),
    "the score is always that of the first or of the last level": (
        annealed_with(told=lambda ladder: ladder[-1:] * len(ladder)),
        annealed_with(told=lambda ladder: ladder[:1] * len(ladder)),
    ),
    "the score is that of a neighbouring level: step size and score belong to one level": (
        annealed_with(told=lambda ladder: [*ladder[1:], ladder[-1]]),
        annealed_with(told=lambda ladder: [ladder[0], *ladder[:-1]]),
    ),
    "the score is told σ²: σ is a standard deviation":
        annealed_with(told=lambda ladder: [s**2 for s in ladder]),
    "the score is told the level's number, where it should be told σ": (
        annealed_with(told=lambda ladder: [float(i) for i in range(len(ladder))]),
        annealed_with(told=lambda ladder: [float(i + 1) for i in range(len(ladder))]),
    ),
    "this is what the last level does by itself: are all levels run, each from where the one before ended?":
        annealed_with(edited=lambda levels: levels[-1:]),
    "this is what the first level does by itself: is the return inside the loop?":
        annealed_with(edited=lambda levels: levels[:1]),
    "the first or the last level is not run":
        (annealed_with(edited=lambda levels: levels[:-1]), annealed_with(edited=lambda levels: levels[1:])),
    "there is one step a level: where is T?":
        annealed_with(edited=lambda levels: [level[:1] for level in levels]),
    "T times down the whole ladder: for how long does a chain stay at a level?":
        annealed_with(edited=lambda levels: zip(*levels, strict=True)),
    "the last step is lost: is the state returned, or stored, before it is updated?":
        annealed_with(edited=lambda levels: [*levels[:-1], levels[-1][1:]]),
    "the last step has no kick: in Algorithm 1 every step has one":
        annealed_with(edited=_without_the_last_kick),
    "each level has a step too few":
        annealed_with(edited=lambda levels: [level[1:] for level in levels]),
    "each level has a step too many":
        annealed_with(edited=lambda levels: [level[:1] + level for level in levels]),
    "there is a step of denoising at the end; Algorithm 1 has none": annealed_with(edited=_denoised),
    "there is a step too many": annealed_with(edited=lambda levels: [*levels, levels[-1][:1]]),
    "the same noise is used in several steps: every step draws its own": (
        annealed_with(draw=lambda step, n_steps: step // n_steps),
        annealed_with(draw=lambda step, n_steps: step % n_steps),
        annealed_with(draw=lambda step, n_steps: 0),
    ),
}  # fmt: skip


# --- a training -------------------------------------------------------------------------------------------------------

POINTS = 150  # of each level, at which a score is compared with the exact one
SCALED = 40  # of each level, at which a score may be the same but for the factor 1/σ


class Trained:
    """Measurements of a score that was trained on a ladder.

    Attributes:
        scores: (L, L·POINTS + L·SCALED, 2).
        sigmas: (L,).
        factor: (L,), by how much the scores of each level are too long.
        cosine: (L,), with the exact scores.
        error: (L,), squared, relative to the exact scores; 1 for a score of zero.
        times: the mean factor.
        worst: error.
        levels: at which the score is wrong, as text.
    """

    def __init__(self, scores, exact, sigmas):
        own = torch.stack([scores[i, i * POINTS : (i + 1) * POINTS] for i in range(len(sigmas))]).double()
        product = (own * exact).sum(dim=(1, 2))
        size = exact.square().sum(dim=(1, 2))
        self.scores = scores
        self.sigmas = sigmas
        self.factor = product / size
        self.cosine = product / (size * own.square().sum(dim=(1, 2))).sqrt().clamp(min=1e-30)
        self.error = (own - exact).square().sum(dim=(1, 2)) / size
        self.times = float(self.factor.log().mean().exp())
        self.worst = float(self.error.max())
        self.last = float(self.factor[-1])
        self.levels = ", ".join(f"{float(sigma):.2g}" for sigma in sigmas[self.error > 0.35])

    def fits(self, factor):
        """Whether all scores have the right direction, and these factors are the same up to a third."""
        return (self.cosine > 0.8).all() and factor.max() < 1.35 * factor.min()

    def off_by_a_power(self):
        """Whether the scores are right but for a factor σ, σ² or 1/σ."""
        return any(self.fits(self.factor / self.sigmas**power) for power in (1, 2, -1))

    def only_small(self):
        """Whether the score is worse at the largest level than at all small ones."""
        return self.error[0] > 0.1 and self.error[0] > self.error[len(self.sigmas) // 2 :].max()

    def unseeing(self):
        """Whether σ only scales the network's input or output."""
        output = self.scores * self.sigmas[:, None, None]
        scaled = output[:, len(self.sigmas) * POINTS :].unflatten(1, (len(self.sigmas), SCALED))
        return _alike(output) or _alike(torch.stack([scaled[i, i] for i in range(len(self.sigmas))]))


def _alike(values):
    return (values - values[:1]).abs().max() < 1e-5 * values.abs().max()


def _judge_training(exercise, trial):
    turn = trial.uniform(0, 2 * math.pi)
    angles = torch.tensor([turn + 2 * math.pi * i / 3 + trial.uniform(-0.3, 0.3) for i in range(3)])
    radii = torch.tensor([trial.uniform(3.5, 4.5) for _ in range(3)])
    means = radii[:, None] * torch.stack([angles.cos(), angles.sin()], dim=1)
    weights = torch.tensor([0.15, 0.25, 0.6])[torch.randperm(3, generator=trial.generator)]
    target = MixtureField(weights, means, torch.tensor([trial.uniform(0.35, 0.5) for _ in range(3)]))
    data = target.sample(2000, generator=trial.generator)
    sigmas = geometric_sigmas(8.0, 0.2, 8)

    # first points at which the exact score is at hand, then points that are one point for a network of x/√(16 + σ²)
    # alone, which is how the hint scales x
    points = [target.sample(POINTS, sigma, generator=trial.generator) for sigma in sigmas.tolist()]
    places = torch.randn(SCALED, 2, generator=trial.generator)
    scaled = [math.sqrt(16 + sigma**2) * places for sigma in sigmas.tolist()]
    all_points = torch.cat([*points, *scaled])
    start = 16 * trial.rand(1000, 2, dtype=torch.float32) - 8
    descent = Descent(all_points, sigmas, start, step_size=0.5 * 0.2**2, n_steps=50, seed=trial.integer(0, 2**31))
    like = torch.cat([all_points.repeat(len(sigmas), 1), start])
    answer = trial.answer(like, data, sigmas, Seed(trial.integer(0, 2**31)), descent)

    scores = answer[: -len(start)].reshape(len(sigmas), *all_points.shape)
    exact = torch.stack([target.score(points[i], sigma) for i, sigma in enumerate(sigmas.tolist())]).double()
    trained = Trained(scores, exact, sigmas.double())
    for sentence, sign in exercise.mistakes.items():
        refuse(sign.shown(trained), sentence.format(trained=trained))
    refuse_samples(answer[-len(start) :], target, math.sqrt(0.2**2 / (1 - 0.5 / 4)))


def _listed(shares):
    return " / ".join(f"{share:.2f}" for share in shares.tolist())


def refuse_samples(x, target, noise):
    """Raise WrongAnswer unless samples (N, 2) with some noise have the target's clusters, in shares and widths."""
    if not x.isfinite().all():
        raise WrongAnswer(
            "the chains of Algorithm 1 diverge with your score, which is far too large somewhere: what should it do "
            "far from the data?"
        )
    distance, nearest = torch.cdist(x, target.means).min(dim=1)
    widths = (target.stds**2 + noise**2).sqrt()
    shares = nearest.bincount(minlength=3) / len(x)
    if (shares - target.weights).abs().max() > 0.14:
        raise WrongAnswer(
            f"your samples' clusters have the shares {_listed(shares)}, and should have {_listed(target.weights)}: let "
            "the learning rate fall towards the end of the training, or train longer"
        )
    stray = float((distance > 5 * widths[nearest]).double().mean())
    spreads = [distance[nearest == k].square().mean().sqrt() / math.sqrt(2) / widths[k] for k in range(3)]
    too_flat = "train longer, and let the learning rate fall towards the end"
    refuse(stray > 0.04, f"{stray:.0%} of your samples lie far from all data: {too_flat}")
    refuse(max(spreads) > 1.6, f"a cluster of your samples is {max(spreads):.2g} times too wide: {too_flat}")
    narrow = min(spreads)
    refuse(narrow < 0.75, f"a cluster of your samples has {narrow:.2g} times its width: is the score too large?")


@partial(Exercise, number="4.6", minutes=30, judge=_judge_training)
def train_score(data, sigmas, generator):
    """`train_score(data, sigmas, generator)`: a network trained on data (N, 2), as a score that takes (x, σ).

    sigmas is the ladder (L,). The score is called with points (B, 2) and with σ as a float, and returns (B, 2); it is
    judged by what Algorithm 1 draws with it. Batches, levels and noise come from the generator.
    """
    return trained_with(data, sigmas, generator)


def trained_with(
    data,
    sigmas,
    generator,
    *,
    n_steps=500,
    levels: Any = slice(None),
    weight=torch.square,
    told=True,
    divided=True,
):
    """A score after `n_steps` steps of Eq. 6 on some levels, with λ(σ) = weight(σ).

    The network sees x divided by its size at σ and, if `told`, log σ; its output is divided by σ if `divided`.
    """
    layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def score(x, sigma):
        sigma = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1).expand(len(x), 1)
        level = sigma.log() if told else torch.zeros_like(sigma)
        out = layers(torch.cat([x / (16 + sigma**2).sqrt(), level], dim=1))
        return out / sigma if divided else out

    sigmas = sigmas[levels]
    optimizer = torch.optim.Adam(layers.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        x = data[torch.randint(len(data), (1_000,), generator=generator)]
        sigma = sigmas[torch.randint(len(sigmas), (1_000, 1), generator=generator)]
        z = torch.randn(x.shape, generator=generator)
        residual = sigma * score(x + sigma * z, sigma) + z
        loss = (weight(sigma) / sigma**2 * residual**2).sum(dim=1).mean() / 2  # Eq. 6
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return score


def _at_one_level(data, sigmas, generator):
    """A score that is asked at σ = 1 whatever σ is."""
    score = trained_with(data, sigmas, generator, n_steps=50)
    return lambda x, sigma: score(x, 1.0)


def _changed(change):
    """A mistake in a score that is trained well: `change(s, σ)` in its place."""

    def mistaken(data, sigmas, generator):
        score = trained_with(data, sigmas, generator)
        return lambda x, sigma: change(score(x, sigma), sigma)

    return mistaken


train_score.mistakes = {
    "your score holds NaN or infinity: is the learning rate too large?":
        Sign(lambda trained: not trained.scores.isfinite().all(), _changed(lambda s, sigma: s * math.nan)),
    "your score is the same at every level: is the network given σ?":
        Sign(lambda trained: _alike(trained.scores), _at_one_level),
    "your network does not see σ, which only scales its input or its output: give it σ, or log σ, as an input, too":
        Sign(Trained.unseeing, partial(trained_with, n_steps=50, told=False)),
    "your score points away from the data: the target is −z/σ":
        Sign(lambda trained: (trained.cosine < -0.5).double().mean() > 0.5, _changed(lambda s, sigma: -s)),
    "your score is right up to a power of σ: divide a network that predicts −z by σ, and one that predicts x − x̃ by σ²":
        Sign(Trained.off_by_a_power, _changed(lambda s, sigma: s * sigma)),
    "your score is {trained.times:.2g} times the right one at every level": Sign(
        lambda trained: trained.fits(trained.factor) and not 0.7 < trained.times < 1.4,
        _changed(lambda s, sigma: s / 2),
    ),
    "your score is hardly better than zero at most levels, with a relative squared error of {trained.worst:.2g}: is "
    "the network trained on noisy points, and for long enough?": Sign(
        lambda trained: (trained.error > 0.6).double().mean() > 0.5 and (trained.error > 0.3).all(),
        partial(trained_with, n_steps=0),
    ),
    # without the weight all levels are trained, the large ones hardly: the error falls slowly from level to level
    "your score is good at the small levels and has a relative squared error of {trained.worst:.2g} at the large ones: "
    "is each level's loss multiplied by σ²? With λ = 1 the small levels outweigh the large ones": Sign(
        lambda trained: (
            trained.only_small()
            and 0.25 < trained.error[0] < 1.6
            and trained.error[2] > trained.error[0] / 4
            and trained.error[3] > 0.05
        ),
        partial(trained_with, weight=torch.ones_like),
    ),
    "your score is good at the small levels and has a relative squared error of {trained.worst:.2g} at the large ones: "
    "are levels drawn from the whole ladder, from σ = 8 on, and is each level's loss multiplied by σ²?":
        Sign(Trained.only_small, partial(trained_with, levels=[4, 5, 6, 7])),
    "your score is right at σ = 8, and at σ = 0.2 only {trained.last:.2g} times the right one: scores grow as 1/σ. "
    "Does your network divide its output by σ? If so, train longer": Sign(
        lambda trained: (
            trained.error[:2].max() < 0.1 and trained.last < 0.7 and trained.last < trained.factor[:-2].min()
        ),
        partial(trained_with, divided=False),
    ),
    "your score is wrong at σ = {trained.levels}, with a relative squared error of {trained.worst:.2g}, and better at "
    "the other levels: is a level drawn for every example, from the whole ladder? If so, train longer":
        Sign(lambda trained: trained.levels, partial(trained_with, levels=[0, 1, 2, 3])),
}  # fmt: skip
