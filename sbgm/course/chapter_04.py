"""Exercises of chapter 4: annealed Langevin dynamics."""

import math

import torch
from torch import Tensor, nn

from sbgm.course.calls import Descent, MixtureField, Seed
from sbgm.course.old_exercise import (
    ChainStep,
    Law,
    Trial,
    chain_law,
    compare,
    compare_law,
    exercise,
    in_both_precisions,
    refuse,
    refuse_first,
)
from sbgm.noise import geometric_sigmas


@exercise("4.1", minutes=5)
def geometric_ladder(trial: Trial) -> None:
    """`geometric_ladder(sigma_max, sigma_min, n_levels)`: σ_1 > … > σ_L with one ratio between neighbours (§ 4.1).

    The ends are floats, L is an integer of at least 2; the ladder is one tensor (L,).
    """
    for n_levels in (10, 2, 5):
        low = trial.uniform(0.01, 0.1)
        high = low * trial.uniform(20, 200)
        i = torch.arange(n_levels, dtype=torch.float64)
        log_ratio, share = math.log(low / high), i / (n_levels - 1)
        ladder = high * torch.exp(log_ratio * share)
        answer = trial.answer(ladder, high, low, n_levels)
        compare(
            answer,
            ladder,
            {
                "your ladder holds whole numbers": not answer.is_floating_point(),
                "it ascends: which level comes first?": ladder.flip(0),
                "these levels have equal differences, not equal ratios": high + (low - high) * share,
                "it stops short of the smallest level: how many ratios lie between L levels?":
                    high * torch.exp(log_ratio * i / n_levels),
                "the largest level is missing at its start": high * torch.exp(log_ratio * (i + 1) / n_levels),
                "the ratio of neighbours is that of the two ends: after how many of them must σ_min be reached?":
                    high * torch.exp(log_ratio * i),
                "these are the logarithms of the levels": ladder.log(),
                "these are the logarithms of the levels, to the base 10": ladder.log10(),
                "two bases are mixed: of which number does torch.logspace take powers, and which logarithm is given?":
                    ladder ** math.log(10),
                "these are variances: σ is a standard deviation": ladder**2,
            },
            "your ladder",
            each=True,
        )  # fmt: skip


@geometric_ladder.lends
def _(sigma_max, sigma_min, n_levels):
    return sigma_max * (sigma_min / sigma_max) ** (torch.arange(n_levels) / (n_levels - 1))


@exercise("4.2", minutes=5)
def step_sizes(trial: Trial) -> None:
    """`step_sizes(epsilon, sigmas)`: the step size α_i of every level (Algorithm 1).

    ε is a float, sigmas a descending tensor (L,); the result is (L,).
    """
    for n_levels, dtype in in_both_precisions((10, 3, 1)):
        epsilon = trial.uniform(0.01, 0.1)
        steps = 1.2 + trial.rand(n_levels)  # the ratios differ: only the levels themselves tell the step sizes
        sigmas = (trial.uniform(0.2, 0.5) * steps.cumprod(0).flip(0)).to(dtype)
        first, last = sigmas[0], sigmas[-1]
        right = epsilon * (sigmas / last) ** 2
        share = torch.arange(n_levels).flip(0).to(dtype) / max(1, n_levels - 1)
        trial.expect(
            right,
            epsilon,
            sigmas,
            mistakes={
                "the same for every level: where are larger steps safe?": torch.full_like(sigmas, epsilon),
                "these grow too slowly with σ: is it the standard deviation or the variance that counts?":
                    epsilon * sigmas / last,
                "upside down: are larger steps safe where the density is wide, or where it is narrow?":
                    epsilon * (last / sigmas) ** 2,
                "measured by the wrong end of the ladder: at which level is the step size ε itself?":
                    epsilon * (sigmas / first) ** 2,
                "not measured by any level: what must come out at the last one?": epsilon * sigmas**2,
                "the last level's σ should be squared as well: what must come out there?":
                    epsilon * sigmas**2 / last,
                "ε is lost": (sigmas / last) ** 2,
                "half of it: the ½ belongs to the drift, not to the step size": right / 2,
                "these are square roots of step sizes, which scale the noise": right.sqrt(),
                "in the wrong order: α_i belongs to sigmas[i]": right.flip(0),
                "right at both ends only: the ladder need not be geometric":
                    epsilon * (first / last) ** (2 * share),
            },
            each=True,
        )  # fmt: skip


@step_sizes.lends
def _(epsilon, sigmas):
    return epsilon * (sigmas / sigmas[-1]) ** 2


@exercise("4.3", minutes=15)
def annealed_langevin(trial: Trial) -> None:
    """`annealed_langevin(score, x, sigmas, epsilon, n_steps, generator)`: Algorithm 1, from x to the last level's end.

    x is (B, D), sigmas a descending tensor (L,), the score takes (x, σ), and all noise is drawn from the generator. The
    result is where the chains end, of x's shape and dtype.
    """
    # at last a single step, in which every draw is seen as it is
    for n_levels, n_steps, n, dim in ((3, 4, 100, 300), (4, 5, 150, 200), (1, 1, 120, 250)):
        dtype = torch.float32 if n_levels == 3 else torch.float64
        # Within these narrow ranges the laws of all known mistakes are well apart.
        variance, last = trial.uniform(0.88, 0.92), trial.uniform(0.81, 0.83)
        sigmas = last * trial.uniform(1.55, 1.57) ** torch.arange(n_levels - 1, -1, -1, dtype=torch.float64)
        sigmas, epsilon = sigmas.to(dtype), trial.uniform(0.56, 0.58) * last**2
        mean = trial.randn(1, dim)
        target = MixtureField(torch.ones(1), mean, torch.tensor([math.sqrt(variance)]))
        start = (mean + trial.uniform(55, 60) + trial.rand(1, dim)).to(dtype)  # far off, so that a lost step shows
        law, mistakes = _laws(start.double() - mean, variance, sigmas.tolist(), epsilon, n_steps)
        runs = trial.runs(start.expand(n, dim), target, start.expand(n, dim), sigmas, epsilon, n_steps)
        compare_law(runs - mean, law, mistakes, "your chains")


@annealed_langevin.lends
def _(score, x, sigmas, epsilon, n_steps, generator):
    for sigma in sigmas.tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x + alpha / 2 * score(x, sigma) + math.sqrt(alpha) * z
    return x


def _laws(
    start: Tensor, variance: float, sigmas: list[float], epsilon: float, n_steps: int
) -> tuple[Law, dict[str, Law]]:
    """The law of Algorithm 1's chains on N(0, variance·I), and what known mistakes make of it."""
    first, last = sigmas[0], sigmas[-1]
    alphas = [epsilon * (sigma / last) ** 2 for sigma in sigmas]

    def levels(alphas=alphas, at=sigmas, drift=0.5, power=1.0, noise=1.0, n_steps=n_steps):
        """n_steps steps x + drift·α s(x, at) + √(noise·α^power) z for every α."""
        return [[ChainStep(drift * a, noise * a**power, sigma)] * n_steps for a, sigma in zip(alphas, at, strict=True)]

    right = levels()
    up = sigmas[::-1]
    alphas_up = [epsilon * (sigma / first) ** 2 for sigma in up]
    one_step = [ChainStep(alphas[-1] / 2, alphas[-1], last)]
    unkicked = ChainStep(alphas[-1] / 2, 0.0, last)
    wrong = {
        "the drift is twice what it should be": levels(drift=1.0),
        "the drift has the wrong sign: a step goes up the density": levels(drift=-0.5),
        "the noise has the variance α²: is it multiplied by α or by √α?": levels(power=2.0),
        "the noise has the variance α/2: the ½ belongs to the drift only": levels(noise=0.5),
        "the noise has the variance 2α: is it added twice, or is this the other convention, with h = α?":
            levels(noise=2.0),
        "this is the other convention, x + h s + √(2h) z with h = α": levels(drift=1.0, noise=2.0),
        "the noise has variance 1: it still has to be scaled": levels(power=0.0),
        "the step size is the same at every level": levels([epsilon] * len(sigmas)),
        "the step size grows as σ: is it the standard deviation or the variance that counts?":
            levels([epsilon * sigma / last for sigma in sigmas]),
        "the step size is measured by the wrong end of the ladder: at which level is it ε?":
            levels([epsilon * (sigma / first) ** 2 for sigma in sigmas]),
        "the step size is measured by no level: at the last one it should be ε":
            levels([epsilon * sigma**2 for sigma in sigmas]),
        "the levels are taken from the smallest to the largest: where should the noise be when the chains end?":
            levels(alphas[::-1], up),
        "the ladder ascends, and its last level is now the largest: where should the noise be when the chains end?":
            levels(alphas_up, up),
        "the score is always that of the last level": levels(at=[last] * len(sigmas)),
        "the score is always that of the first level": levels(at=[first] * len(sigmas)),
        "the score is that of the level after: step size and score belong to one level": levels(at=[*sigmas[1:], last]),
        "the score is that of the level before: step size and score belong to one level":
            levels(at=[first, *sigmas[:-1]]),
        "the score is not told σ": levels(at=[0.0] * len(sigmas)),
        "the score is told the level's number, from 0, where it should be told σ":
            levels(at=[float(i) for i in range(len(sigmas))]),
        "the score is told the level's number, from 1, where it should be told σ":
            levels(at=[float(i + 1) for i in range(len(sigmas))]),
        "this is what the last level does by itself: are all levels run, each from where the one before ended?":
            right[-1:],
        "this is what the first level does by itself: is the return inside the loop?": right[:1],
        "the last level is not run": right[:-1],
        "the first level is not run": right[1:],
        "there is one step a level: where is T?": levels(n_steps=1),
        "T times down the whole ladder: for how long does a chain stay at a level?":
            [[level[0] for level in right]] * n_steps,
        "the last step is lost: is the state returned, or stored, before it is updated?": [*right[:-1], right[-1][1:]],
        "the last step has no kick: in Algorithm 1 every step has one": [*right[:-1], [*right[-1][:-1], unkicked]],
        "each level has a step too few": levels(n_steps=n_steps - 1),
        "each level has a step too many": levels(n_steps=n_steps + 1),
        "there is a step of denoising at the end; Algorithm 1 has none": [*right, [ChainStep(last**2, 0.0, last)]],
        "there is a step too many": [*right, one_step],
    }  # fmt: skip
    known = {sentence: chain_law(start, variance, steps) for sentence, steps in wrong.items()} | {
        "the noise is a product of two normal draws: its variance is right and its law is wrong":
            chain_law(start, variance, right, kurtosis=9.0),
        "the noise is uniform in [0, 1): torch.rand where torch.randn belongs":
            chain_law(start, variance, levels(noise=1 / 12), kurtosis=1.8, noise_mean=math.sqrt(3)),
        "the same noise is used in every step of a level":
            chain_law(start, variance, right, draw=lambda i: i // n_steps),
        "the same noise is used at every level": chain_law(start, variance, right, draw=lambda i: i % n_steps),
        "the same noise is used in every step": chain_law(start, variance, right, draw=lambda i: 0),
    }  # fmt: skip
    return chain_law(start, variance, right), known


@exercise("4.6", minutes=30)
def train_score(trial: Trial) -> None:
    """`train_score(data, sigmas, generator)`: a network trained on data (N, 2), as a score that takes (x, σ).

    sigmas is the ladder (L,). The score is called with points (B, 2) and with σ as a float, and returns (B, 2); it is
    judged by what Algorithm 1 draws with it. Batches, levels and noise come from the generator.
    """
    turn = trial.uniform(0, 2 * math.pi)
    angles = torch.tensor([turn + 2 * math.pi * i / 3 + trial.uniform(-0.3, 0.3) for i in range(3)])
    radii = torch.tensor([trial.uniform(3.5, 4.5) for _ in range(3)])
    means = radii[:, None] * torch.stack([angles.cos(), angles.sin()], dim=1)
    weights = torch.tensor([0.15, 0.25, 0.6])[torch.randperm(3, generator=trial.generator)]
    target = MixtureField(weights, means, torch.tensor([trial.uniform(0.35, 0.5) for _ in range(3)]))
    data, sigmas = target.sample(2000, generator=trial.generator), geometric_sigmas(8.0, 0.2, 8)

    # where the exact score is known, and where a network of x/√(16 + σ²) alone, as the hint scales x, sees one point
    points = [target.sample(POINTS, sigma, generator=trial.generator) for sigma in sigmas.tolist()]
    places = torch.randn(SCALED, 2, generator=trial.generator)
    scaled = [math.sqrt(16 + sigma**2) * places for sigma in sigmas.tolist()]
    asked = torch.cat([*points, *scaled])
    start = 16 * trial.rand(1000, 2, dtype=torch.float32) - 8
    descent = Descent(asked, sigmas, start, step_size=0.5 * 0.2**2, n_steps=50, seed=trial.integer(0, 2**31))
    like = torch.cat([asked.repeat(len(sigmas), 1), start])
    answer = trial.answer(like, data, sigmas, Seed(trial.integer(0, 2**31)), descent)
    scores, samples = answer[: -len(start)].reshape(len(sigmas), *asked.shape), answer[-len(start) :]

    refuse_first(
        {"your score holds NaN or infinity: is the learning rate too large?": not scores.isfinite().all()}
        | _without_sigma(scores, sigmas)
    )
    own = [scores[i, i * POINTS : (i + 1) * POINTS] for i in range(len(sigmas))]
    exact = [target.score(points[i], sigma) for i, sigma in enumerate(sigmas.tolist())]
    refuse_first(_score_mistakes(torch.stack(own).double(), torch.stack(exact).double(), sigmas.double()))
    diverged = "the chains of Algorithm 1 diverge with your score, which is far too large somewhere: what should it do "
    refuse(not samples.isfinite().all(), diverged + "far from the data?")
    refuse_first(_sample_mistakes(samples, target, math.sqrt(0.2**2 / (1 - 0.5 / 4))))


@train_score.lends
def _(data, sigmas, generator):
    layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def score(x, sigma):
        sigma = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1).expand(len(x), 1)
        return layers(torch.cat([x / (16 + sigma**2).sqrt(), sigma.log()], dim=1)) / sigma

    n_steps = 500
    optimizer = torch.optim.Adam(layers.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        x = data[torch.randint(len(data), (1_000,), generator=generator)]
        sigma = sigmas[torch.randint(len(sigmas), (1_000, 1), generator=generator)]
        z = torch.randn(x.shape, generator=generator)
        loss = ((sigma * score(x + sigma * z, sigma) + z) ** 2).sum(dim=1).mean() / 2  # Eq. 6
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return score


POINTS = 150  # of each level, at which a score is compared with the exact one
SCALED = 40  # of each level, at which a score may be the same but for the factor 1/σ


def _without_sigma(scores: Tensor, sigmas: Tensor) -> dict[str, bool]:
    """Tell by scores, (L, L·POINTS + L·SCALED, 2), that a network does not see σ: {sentence: does it apply}."""

    def alike(values: Tensor) -> bool:
        return bool((values - values[:1]).abs().max() < 1e-5 * values.abs().max())

    noise = scores * sigmas[:, None, None]  # what a network gives that is divided by σ
    scaled = noise[:, len(sigmas) * POINTS :].unflatten(1, (len(sigmas), SCALED))
    return {
        "your score is the same at every level: is the network given σ?": alike(scores),
        "your network does not see σ, which only scales its input or its output: give it σ, or log σ, as an input, too":
            alike(noise) or alike(torch.stack([scaled[i, i] for i in range(len(sigmas))])),
    }  # fmt: skip


def _score_mistakes(found: Tensor, exact: Tensor, sigmas: Tensor) -> dict[str, bool]:
    """Compare scores (L, POINTS, 2) with the exact ones level by level: {sentence: does it apply}."""
    product, size, own = ((a * b).sum(dim=(1, 2)) for a, b in ((found, exact), (exact, exact), (found, found)))
    factor, cosine = product / size, product / (size * own).sqrt().clamp(min=1e-30)
    error = ((found - exact) ** 2).sum(dim=(1, 2)) / size  # 1 for a score of zero
    half, fits = len(sigmas) / 2, bool((cosine > 0.8).all())
    times = float(factor.log().mean().exp())
    largest, smallest, worst = float(sigmas[0]), float(sigmas[-1]), f"a relative squared error of {error.max():.2g}"
    at_large = f"your score is good at the small levels and has {worst} at the large ones"
    only_small = error[0] > 0.1 and error[0] > error[len(sigmas) // 2 :].max()
    listed = ", ".join(f"{float(sigma):.2g}" for sigma in sigmas[error > 0.35])
    return {
        "your score points away from the data: the target is −z/σ": (cosine < -0.5).sum() > half,
        "your score is right times σ: a network that predicts −z has still to be divided by σ":
            fits and _even(factor / sigmas),
        "your score is right times σ²: a network that predicts x − x̃ has still to be divided by σ²":
            fits and _even(factor / sigmas**2),
        "your score is right divided by σ: is it divided twice, or is the target −z/σ²?":
            fits and _even(factor * sigmas),
        f"your score is {times:.2g} times the right one at every level":
            fits and _even(factor) and not 0.7 < times < 1.4,
        f"your score is hardly better than zero at most levels, with {worst}: is the network trained long enough?":
            (error > 0.6).sum() > half and (error > 0.3).all(),
        # without the weight all levels are trained, the large ones hardly: the error falls slowly from level to level
        f"{at_large}: is each level's loss multiplied by σ²? With λ = 1 the small levels outweigh the large ones":
            only_small and 0.25 < error[0] < 1.6 and error[2] > error[0] / 4 and error[3] > 0.05,
        f"{at_large}: are levels drawn from the whole ladder, from σ = {largest:.2g} on, and is each level's loss "
        "multiplied by σ²?": only_small,
        f"your score is right at σ = {largest:.2g}, and at σ = {smallest:.2g} only {float(factor[-1]):.2g} times the "
        "right one: scores grow as 1/σ. Does your network divide its output by σ? If so, train longer":
            error[:2].max() < 0.1 and factor[-1] < 0.7 and factor[-1] < factor[:-2].min(),
        f"your score is wrong at σ = {listed}, with {worst}, and better at the other levels: is a level drawn for "
        "every example, from the whole ladder? If so, train longer": listed != "",
    }  # fmt: skip


def _even(factor: Tensor) -> bool:
    """Whether positive numbers (L,) are the same up to a third."""
    return bool(factor.max() < 1.35 * factor.min())


def _sample_mistakes(x: Tensor, target: MixtureField, noise: float) -> dict[str, bool]:
    """Compare samples (N, 2) with the target's clusters, in shares, widths and strays: {sentence: does it apply}."""
    distance, nearest = torch.cdist(x, target.means).min(dim=1)
    widths = (target.stds**2 + noise**2).sqrt()
    shares = nearest.bincount(minlength=3) / len(x)
    found, right = (" / ".join(f"{w:.2f}" for w in those.tolist()) for those in (shares, target.weights))
    stray = float((distance > 5 * widths[nearest]).double().mean())
    spread = torch.stack([distance[nearest == k].square().mean().sqrt() / math.sqrt(2) / widths[k] for k in range(3)])
    widest, narrowest = float(spread.max()), float(spread.min())
    too_flat = "train longer, and let the learning rate fall towards the end"
    return {
        f"your samples' clusters have the shares {found}, and should have {right}: let the learning rate fall towards "
        "the end of the training, or train longer": bool((shares - target.weights).abs().max() > 0.14),
        f"{stray:.0%} of your samples lie far from all data: {too_flat}": stray > 0.04,
        f"a cluster of your samples is {widest:.2g} times too wide: {too_flat}": widest > 1.6,
        f"a cluster of your samples has {narrowest:.2g} times its width: is the score too large?": narrowest < 0.75,
    }
