"""Exercises of chapter 12: beyond NCSN."""

import torch

from sbgm_course.calls import MixtureField
from sbgm_course.exercise import exercise, noise


def _networks(trial):
    for predict_noise, x, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        yield predict_noise, x, trial.uniform(0.4, 0.9)


@exercise("12.1", minutes=10, cases=_networks)
def score_of_ddpm(predict_noise, x, sigma):
    """`score_of_ddpm(predict_noise, x, sigma)`: s(x, σ) = −ẑ(√ᾱ x, ᾱ)/σ with ᾱ = 1/(1 + σ²), of a DDPM network ẑ.

    predict_noise takes y = √ᾱ x, (B, *shape), and the float ᾱ; x is (B, *shape), σ a float. The result has x's shape
    and dtype.
    """
    alpha_bar = 1 / (1 + sigma**2)
    return -predict_noise(alpha_bar**0.5 * x, alpha_bar) / sigma


def _ddpm_with(*, power=-1, scale=0.5, told=lambda sigma, share: share, share=lambda sigma: 1 / (1 + sigma**2)):
    """The score −σ^power ẑ(ᾱ^scale x, told), with ᾱ = share(σ)."""

    def mistaken(predict_noise, x, sigma):
        alpha_bar = share(sigma)
        return -(sigma**power) * predict_noise(alpha_bar**scale * x, told(sigma, alpha_bar))

    return mistaken


score_of_ddpm.mistakes = {
    "off by a power of σ: the noise ẑ is measured in units of σ, and s = −(x − x_0)/σ² where x − x_0 = σẑ":
        tuple(_ddpm_with(power=power) for power in (0, -2, 1)),
    "this is the score of y, −ẑ/√(1 − ᾱ): that of x, which is y/√ᾱ, is asked for":
        lambda predict_noise, x, sigma: (1 + sigma**2) ** 0.5 * score_of_ddpm.right(predict_noise, x, sigma),
    "the network's first argument is another multiple of x: it has seen y = √ᾱ x in training":
        tuple(_ddpm_with(scale=scale) for scale in (0, -0.5, 1)),
    "the network is told another number than ᾱ, the data's share of the variance": (
        _ddpm_with(told=lambda sigma, share: sigma),
        _ddpm_with(told=lambda sigma, share: 1 - share),
        _ddpm_with(told=lambda sigma, share: share**0.5),
    ),
    "ᾱ and 1 − ᾱ are exchanged: ᾱ is 1 where there is no noise":
        _ddpm_with(share=lambda sigma: sigma**2 / (1 + sigma**2)),
    "σ² = 1 − ᾱ is the noise of y: on x, which is y/√ᾱ, it is (1 − ᾱ)/ᾱ":
        _ddpm_with(share=lambda sigma: 1 - sigma**2),
    "ᾱ is 1/(1 + σ²), the share of a variance: is there a root, or no square?": (
        _ddpm_with(share=lambda sigma: 1 / (1 + sigma)),
        _ddpm_with(share=lambda sigma: (1 + sigma**2) ** -0.5),
    ),
    "this is x itself: where is the network asked?": lambda predict_noise, x, sigma: 1 * x,
    "this is the clean point, x − σ ẑ: the score is asked for":
        lambda predict_noise, x, sigma: x + sigma**2 * score_of_ddpm.right(predict_noise, x, sigma),
}  # fmt: skip


def _steps(trial):
    # such that no two of the mistakes below lead to nearly the same law
    for n, dim, dtype in ((100, 300, torch.float32), (150, 200, torch.float64)):
        std = torch.tensor([trial.uniform(0.5, 0.9)])
        target = MixtureField(torch.ones(1), torch.zeros(1, dim), std)
        sigma = trial.uniform(1.3, 1.35)
        x = (3 * trial.randn(1, dim, dtype=dtype)).expand(n, dim)
        sigma_next = sigma * trial.uniform(0.58, 0.6)
        yield target, x, sigma, sigma_next, trial.uniform(2.0, 2.1)


def _steps_of_the_flow(trial):
    for *case, _ in _steps(trial):
        yield *case, 0.0


@exercise(
    "12.3",
    minutes=10,
    cases={"your samples": _steps, "without fresh noise, your answer": _steps_of_the_flow},
    draws=True,
)
def level_step(score, x, sigma, sigma_next, c, generator):
    """`level_step(score, x, sigma, sigma_next, c, generator)`: x + (1 − r^{1+c}) σ² s(x, σ) + σ′ √(1 − r^{2c}) z.

    r = σ′/σ < 1, and c ≥ 0 is a float; z ~ N(0, I) is drawn from the generator. x is (B, *shape), σ and σ′ are floats.
    The result has x's shape and dtype.
    """
    r = sigma_next / sigma
    mean = x + (1 - r ** (1 + c)) * sigma**2 * score(x, sigma)
    std = sigma_next * (1 - r ** (2 * c)) ** 0.5
    return mean + std * noise(x, generator)


def _level_with(
    *,
    start=1.0,
    share=lambda r, c: 1 - r ** (1 + c),
    variance=lambda sigma, after: sigma**2,
    told=lambda sigma, after: sigma,
    fresh=lambda sigma, r, c: r * sigma * (1 - r ** (2 * c)) ** 0.5,
):
    """The step with another share that is taken off, another variance or level for the score, or other fresh noise."""

    def mistaken(score, x, sigma, after, c, generator):
        r = after / sigma
        move = share(r, c) * variance(sigma, after) * score(x, told(sigma, after))
        return start * x + move + fresh(sigma, r, c) * noise(x, generator)

    return mistaken


level_step.mistakes = {
    "the sign is wrong: noise is taken off along the score": _level_with(share=lambda r, c: r ** (1 + c) - 1),
    "the share 1 − r is taken off, as by the flow, and fresh noise is put back all the same: what is c for?":
        _level_with(share=lambda r, c: 1 - r),
    "the share 1 − r^c is taken off: where is the 1 in its exponent?": _level_with(share=lambda r, c: 1 - r**c),
    "r^{1+c} is the share that is left, not the one that is taken off": _level_with(share=lambda r, c: r ** (1 + c)),
    "the score is multiplied by another number: the noise that is taken off has the variance σ²": (
        _level_with(variance=lambda sigma, after: sigma),
        _level_with(variance=lambda sigma, after: after**2),
        _level_with(variance=lambda sigma, after: 1.0),
    ),
    "the score was told σ′: at which level is x?": _level_with(told=lambda sigma, after: after),
    "all noise is taken off, and the fresh noise does not make up for it": _level_with(share=lambda r, c: 1.0),
    "the step is right, and the old x is lost": _level_with(start=0.0),
    "c is 1 here whatever it should be: this is the ancestral step":
        lambda score, x, sigma, after, c, generator: level_step.right(score, x, sigma, after, 1.0, generator),
    "there is no fresh noise": _level_with(fresh=lambda sigma, r, c: 0.0),
    "the fresh noise is that of the level σ′ as a whole: a part of the old noise is still there":
        _level_with(fresh=lambda sigma, r, c: r * sigma),
    "the fresh noise is measured by σ: on which level does the step end?":
        _level_with(fresh=lambda sigma, r, c: sigma * (1 - r ** (2 * c)) ** 0.5),
    "the root over 1 − r^{2c} is missing": _level_with(fresh=lambda sigma, r, c: r * sigma * (1 - r ** (2 * c))),
    "the root is of 1 − r^c: variances add up, and r^c is a standard deviation":
        _level_with(fresh=lambda sigma, r, c: r * sigma * (1 - r**c) ** 0.5),
    "the fresh noise is multiplied by its variance, and not by the root of it":
        _level_with(fresh=lambda sigma, r, c: (r * sigma) ** 2 * (1 - r ** (2 * c))),
}  # fmt: skip


def _flows(trial):
    for score, x, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.4, 0.7)
        ratios = (trial.uniform(0.5, 0.8), trial.uniform(1.2, 1.5))
        for ratio in ratios:
            yield score, x, sigma, sigma * ratio


@exercise("12.4", minutes=10, cases=_flows)
def heun_step(score, x, sigma, sigma_next):
    """`heun_step(score, x, sigma, sigma_next)`: one step of Heun's for the probability flow, dx/dσ = −σ s(x, σ).

    x is (B, *shape), σ and σ′ are floats, in either order: a step may go up or down. The result has x's shape and
    dtype.
    """
    step = sigma_next - sigma
    slope = -sigma * score(x, sigma)
    end = x + step * slope
    slope_there = -sigma_next * score(end, sigma_next)
    return x + step / 2 * (slope + slope_there)


def _heun_with(
    *,
    combined=lambda x, end, step, slope, there: x + step / 2 * (slope + there),
    step=lambda sigma, after: after - sigma,
    slope=lambda score, x, sigma: -sigma * score(x, sigma),
    second=lambda slope, x, end, sigma, after: slope(end, after),
):
    """The step with another combination of the two slopes, another dσ, another slope, or another second one."""

    def mistaken(score, x, sigma, after):
        def of_score(x, sigma):
            return slope(score, x, sigma)

        first = of_score(x, sigma)
        end = x + step(sigma, after) * first
        return combined(x, end, step(sigma, after), first, second(of_score, x, end, sigma, after))

    return mistaken


def _midpoint(score, x, sigma, after):
    middle = (sigma + after) / 2
    half_way = x - (middle - sigma) * sigma * score(x, sigma)
    return x - (after - sigma) * middle * score(half_way, middle)


heun_step.mistakes = {
    "right on the way down, wrong on the way up: dσ has a sign":
        _heun_with(step=lambda sigma, after: -abs(after - sigma)),
    "the step has the wrong sign: is dσ the new σ minus the old, and is the equation's minus there?":
        _heun_with(step=lambda sigma, after: sigma - after),
    "this is Euler's step: where is the second look?": _heun_with(combined=lambda x, end, step, slope, there: end),
    "the two slopes are added up: Heun's takes their mean":
        _heun_with(combined=lambda x, end, step, slope, there: x + step * (slope + there)),
    "this goes on from the end of Euler's step: the mean slope leads from x":
        _heun_with(combined=lambda x, end, step, slope, there: end + step / 2 * (slope + there)),
    "only the slope at the end is used: Heun's takes the mean of both":
        _heun_with(combined=lambda x, end, step, slope, there: x + step * there),
    "the second slope is taken at x: it belongs to the end of Euler's step":
        _heun_with(second=lambda slope, x, end, sigma, after: slope(x, after)),
    "the second slope has the σ of the start: it belongs to the end":
        _heun_with(second=lambda slope, x, end, sigma, after: slope(end, sigma)),
    "the second slope's factor is the σ of the start: each slope has its own":
        _heun_with(second=lambda slope, x, end, sigma, after: sigma / after * slope(end, after)),
    "the second score is told the σ of the start":
        _heun_with(second=lambda slope, x, end, sigma, after: after / sigma * slope(end, sigma)),
    "one slope has a minus and the other has none: dx/dσ = −σ s at both ends":
        _heun_with(combined=lambda x, end, step, slope, there: x + step / 2 * (slope - there)),
    "there is no σ in the slopes": _heun_with(slope=lambda score, x, sigma: -score(x, sigma)),
    "this is the slope half way, the midpoint rule, as good as Heun's, which takes the mean of both ends": _midpoint,
    "this is the move alone: a step starts from x":
        lambda score, x, sigma, after: heun_step.right(score, x, sigma, after) - x,
    "nothing moves": lambda score, x, sigma, after: 1 * x,
}  # fmt: skip


def _mixed(trial):
    for score, y, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        yield score, y, trial.uniform(0.3, 0.45)


@exercise("12.6", minutes=10, cases=_mixed)
def velocity_of_score(score, y, tau):
    """`velocity_of_score(score, y, tau)`: E[z − x_0 | y] for y = (1 − τ) x_0 + τ z, of a score s(x, σ).

    With x = y/(1 − τ) and σ = τ/(1 − τ), it is ẑ − x̂_0 = −σ s − (x + σ² s). y is (B, *shape), τ a float between 0 and
    1. The result has y's shape and dtype.
    """
    x = y / (1 - tau)
    sigma = tau / (1 - tau)
    s = score(x, sigma)
    return -sigma * s - (x + sigma**2 * s)


def _velocity_with(
    combined=lambda x, sigma, s: -sigma * s - (x + sigma**2 * s),
    *,
    point=lambda y, tau: y / (1 - tau),
    level=lambda tau: tau / (1 - tau),
    told=lambda sigma, tau: sigma,
):
    """The velocity of another combination, or with another x or σ, or another σ that the score is told."""

    def mistaken(score, y, tau):
        x = point(y, tau)
        sigma = level(tau)
        return combined(x, sigma, score(x, told(sigma, tau)))

    return mistaken


def _with_y(combined):
    """A velocity that uses y where x belongs, after the score was asked at x."""

    def mistaken(score, y, tau):
        sigma = tau / (1 - tau)
        return combined(y, sigma, score(y / (1 - tau), sigma))

    return mistaken


velocity_of_score.mistakes = {
    "this is ẑ, the noise: from where does the velocity lead to it?": _velocity_with(lambda x, sigma, s: -sigma * s),
    "this is x̂_0, the clean point, or −x̂_0: from where does the velocity lead, and to where?":
        (_velocity_with(lambda x, sigma, s: -(x + sigma**2 * s)), _velocity_with(lambda x, sigma, s: x + sigma**2 * s)),
    "x̂_0 and ẑ are added up: the velocity is the way from the one to the other":
        _velocity_with(lambda x, sigma, s: -sigma * s + x + sigma**2 * s),
    "the score is used for ẑ: ẑ = −σ s":
        _velocity_with(lambda x, sigma, s: s - (x + sigma**2 * s)),
    "the sign of ẑ is wrong: ẑ = −σ s":
        _velocity_with(lambda x, sigma, s: sigma * s - (x + sigma**2 * s)),
    "x̂_0 lacks a square: x̂_0 = x + σ² s":
        _velocity_with(lambda x, sigma, s: -sigma * s - (x + sigma * s)),
    # a TanhField is divided by 1 + σ, so that both mistakes give the same numbers
    "the way starts at x and not at x̂_0; or is τ taken for σ?":
        _velocity_with(lambda x, sigma, s: -sigma * s - x),
    "this is the score":
        _velocity_with(lambda x, sigma, s: s),
    "the way starts at y and not at x̂_0, or is 1 − τ times too short":
        _with_y(lambda y, sigma, s: -sigma * s - y),
    "the score was given y, which is shrunken: x = y/(1 − τ)":
        _velocity_with(point=lambda y, tau: y),
    "the score was given the right x, and x̂_0 is made of y":
        _with_y(lambda y, sigma, s: -sigma * s - (y + sigma**2 * s)),
    "y is not the score's x, and τ is not its σ":
        _velocity_with(point=lambda y, tau: y, level=lambda tau: tau),
    "the score was told τ: it knows levels by σ":
        _velocity_with(told=lambda sigma, tau: tau),
    "σ is upside down: it is small where τ is small":
        _velocity_with(level=lambda tau: (1 - tau) / tau),
    "τ and 1 − τ are exchanged: at τ = 1 there is nothing but noise":
        lambda score, y, tau: velocity_of_score.right(score, y, 1 - tau),
}  # fmt: skip
