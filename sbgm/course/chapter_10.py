"""Exercises of chapter 10: beyond NCSN."""

import math

import torch
from scipy.optimize import brentq

from sbgm.course.calls import MixtureField
from sbgm.course.old_exercise import Law, Trial, as_tensor, compare, compare_law, exercise, noise_mistakes
from sbgm.course.problems import exact_levels, ladder_problem
from sbgm.theory import level_ratio


@exercise("10.2", minutes=10)
def score_of_ddpm(trial: Trial) -> None:
    """`score_of_ddpm(predict_noise, x, sigma)`: s(x, σ) = −ẑ(√ᾱ x, ᾱ)/σ with ᾱ = 1/(1 + σ²), of a DDPM network ẑ.

    predict_noise takes y = √ᾱ x, (B, *shape), and the float ᾱ; x is (B, *shape), σ a float. The result has x's shape
    and dtype.
    """
    for predict_noise, x, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.4, 0.9)
        alpha_bar = 1 / (1 + sigma**2)
        y, root = math.sqrt(alpha_bar) * x, math.sqrt(1 - alpha_bar)
        noise = predict_noise(y, alpha_bar)
        mistakes = {
            "this is the predicted noise: a score is shorter or longer, by what factor?": noise,
            "this is minus the predicted noise: what does a score have in its denominator?": -noise,
            "the sign is wrong: the noise points away from the data, the score towards them": noise / sigma,
            "noise is divided by σ², and it is measured in units of σ: s = −(x − x_0)/σ² and x − x_0 = σz":
                -noise / sigma**2,
            "noise is multiplied by σ: the smaller σ, the longer the score": -sigma * noise,
            "this is the score of y, −ẑ/√(1 − ᾱ): that of x, which is y/√ᾱ, is asked for": -noise / root,
            "the network was given x: it has seen y = √ᾱ x in training": -predict_noise(x, alpha_bar) / sigma,
            "the network was given x/√ᾱ: y is the shorter one":
                -predict_noise(x / math.sqrt(alpha_bar), alpha_bar) / sigma,
            "the network was given ᾱ x: variances have the factor ᾱ, and x its root":
                -predict_noise(alpha_bar * x, alpha_bar) / sigma,
            "the network was told σ: it knows levels by ᾱ": -predict_noise(y, sigma) / sigma,
            "the network was told 1 − ᾱ: ᾱ is the share of the data, 1 where there is no noise":
                -predict_noise(y, 1 - alpha_bar) / sigma,
            "ᾱ and 1 − ᾱ are exchanged: ᾱ is 1 where there is no noise":
                -predict_noise(root * x, 1 - alpha_bar) / sigma,
            "the network was told √ᾱ: it knows levels by ᾱ": -predict_noise(y, math.sqrt(alpha_bar)) / sigma,
            "σ² = 1 − ᾱ is the noise of y: on x, which is y/√ᾱ, it is (1 − ᾱ)/ᾱ":
                -predict_noise(math.sqrt(1 - sigma**2) * x, 1 - sigma**2) / sigma,
            "ᾱ = 1/(1 + σ) has no square: it is variances that are compared":
                -predict_noise(x / math.sqrt(1 + sigma), 1 / (1 + sigma)) / sigma,
        }  # fmt: skip
        trial.expect(-noise / sigma, predict_noise, x, sigma, mistakes=mistakes)


@score_of_ddpm.lends
def _(predict_noise, x, sigma):
    alpha_bar = 1 / (1 + sigma**2)
    return -predict_noise(alpha_bar**0.5 * x, alpha_bar) / sigma


@exercise("10.3", minutes=10)
def levels_needed(trial: Trial) -> None:
    """`levels_needed()`: how many levels technique 2 with overlap ½ asks for, from σ_1 to σ_L in D dimensions.

    The numbers are those of `ladder_problem(variant)`; the answer takes no argument and is the nearest whole number.
    """
    problem = ladder_problem(trial.variant)
    dim, gamma = problem["dim"], level_ratio(problem["dim"])
    exact = exact_levels(problem)
    answer = float(trial.answer(exact))
    others = [ladder_problem(v) for v in range(max(10, trial.variant + 2)) if v != trial.variant]

    def levels_with(ratio: float) -> int:
        return round(exact_levels(problem, ratio))

    mistakes = {
        "a number of levels is whole": answer % 1 != 0,
        "one level too few: how many ratios lie between L levels, and is the result cut off instead of rounded?":
            round(exact - 1),
        "two levels too few: how many ratios lie between L levels, and is the result cut off instead of rounded?":
            round(exact - 2),
        "one level too many: is γ exact enough? An error in its fourth digit after the point moves L":
            round(exact + 1),
        "ln γ is not γ − 1, though nearly": levels_with(math.exp(gamma - 1)),
        "ln γ is not γ − 1, though nearly, and L levels have fewer ratios than L":
            round(exact_levels(problem, math.exp(gamma - 1)) - 1),
        "the ladder is geometric: its levels have equal ratios, not equal differences":
            round(1 + (problem["sigma_max"] - problem["sigma_min"]) / (gamma - 1)),
        "this γ is that of √D where √(2D) belongs":
            levels_with(brentq(lambda g: _share(math.sqrt(dim) * (g - 1), 3 * g) - 0.5, 1, 100)),
        "this γ is that of 3 where 3γ belongs":
            levels_with(brentq(lambda g: _share(math.sqrt(2 * dim) * (g - 1), 3) - 0.5, 1, 100)),
        "this γ is that of CIFAR-10: with the dimension it changes": levels_with(level_ratio(3_072)),
        "γ is rounded to two digits after the point, too few by far": levels_with(round(gamma, 2)),
        "γ is rounded to three digits after the point, too few": levels_with(round(gamma, 3)),
        "σ_1/σ_L is upside down": round(2 - exact),
        "this is another group's answer: is `problem` made with your variant?":
            answer in [round(exact_levels(other)) for other in others],
    }  # fmt: skip
    compare(as_tensor(answer), round(exact), mistakes)


@levels_needed.lends
def _(variant=0):
    return round(exact_levels(ladder_problem(variant)))


def _share(shift: float, width: float) -> float:
    """The share of a standard normal within `width` of −`shift`."""
    return 0.5 * (math.erf((shift + width) / math.sqrt(2)) - math.erf((shift - width) / math.sqrt(2)))


@exercise("10.4", minutes=10)
def level_step(trial: Trial) -> None:
    """`level_step(score, x, sigma, sigma_next, c, generator)`: x + (1 − r^{1+c}) σ² s(x, σ) + σ′ √(1 − r^{2c}) z.

    r = σ′/σ < 1, and c ≥ 0 is a float; z ~ N(0, I) is drawn from the generator. x is (B, *shape), σ and σ′ are floats.
    The result has x's shape and dtype.
    """
    # without fresh noise at last
    for n, dim, dtype, some in (
        (100, 300, torch.float32, True),
        (150, 200, torch.float64, True),
        (3, 5, torch.float64, False),
    ):
        std, sigma, r = trial.uniform(0.5, 0.9), trial.uniform(1.2, 1.6), trial.uniform(0.5, 0.7)
        after, c = r * sigma, trial.uniform(1.6, 2.4) if some else 0.0
        target = MixtureField(torch.ones(1), torch.zeros(1, dim), torch.tensor([std]))
        x = (3 * trial.randn(1, dim, dtype=dtype)).expand(n, dim)
        full = sigma**2 * target(x, sigma).double()  # which leads to the mean of where x came from
        share, fresh = 1 - r ** (1 + c), after**2 * (1 - r ** (2 * c))
        mean = x + share * full
        mistakes = {
            "the sign is wrong: noise is taken off along the score": Law(x - share * full, fresh),
            "the share 1 − r is taken off, as by the flow, and fresh noise is put back all the same: what is c for?":
                Law(x + (1 - r) * full, fresh),
            "the share 1 − r^c is taken off: where is the 1 in its exponent?": Law(x + (1 - r**c) * full, fresh),
            "r^{1+c} is the share that is left, not the one that is taken off": Law(x + (1 - share) * full, fresh),
            "the score is multiplied by σ, and not by its square": Law(x + share * full / sigma, fresh),
            "the score is multiplied by σ′²: the noise that is taken off is the one of σ":
                Law(x + share * r**2 * full, fresh),
            "the score is multiplied by no σ²": Law(x + share * full / sigma**2, fresh),
            "the score was told σ′: at which level is x?":
                Law(x + share * sigma**2 * target(x, after).double(), fresh),
            "the score was told no σ: it is s(x, σ)": Law(x + share * sigma**2 * target(x, 0.0).double(), fresh),
            "all noise is taken off, and the fresh noise does not make up for it": Law(x + full, fresh),
            "the step is right, and the old x is lost": Law(share * full, fresh),
            "c is 1 here whatever it should be: this is the ancestral step":
                Law(x + (1 - r**2) * full, after**2 * (1 - r**2)),
            "there is no fresh noise": Law(mean, 0.0),
            "the fresh noise is that of the level σ′ as a whole: a part of the old noise is still there":
                Law(mean, after**2),
            "the fresh noise is measured by σ: on which level does the step end?": Law(mean, fresh / r**2),
            "the root over 1 − r^{2c} is missing": Law(mean, after**2 * (1 - r ** (2 * c)) ** 2),
            "the root is of 1 − r^c: variances add up, and r^c is a standard deviation":
                Law(mean, after**2 * (1 - r**c)),
            "the fresh noise is multiplied by its variance, and not by the root of it": Law(mean, fresh**2),
        }  # fmt: skip
        mistakes |= noise_mistakes(mean, fresh)
        compare_law(trial.runs(x, target, x, sigma, after, c), Law(mean, fresh), mistakes if some else {})


@level_step.lends
def _(score, x, sigma, sigma_next, c, generator):
    r = sigma_next / sigma
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x + (1 - r ** (1 + c)) * sigma**2 * score(x, sigma) + sigma_next * (1 - r ** (2 * c)) ** 0.5 * z


@exercise("10.5", minutes=10)
def heun_step(trial: Trial) -> None:
    """`heun_step(score, x, sigma, sigma_next)`: one step of Heun's for the probability flow, dx/dσ = −σ s(x, σ).

    x is (B, *shape), σ and σ′ are floats, in either order: a step may go up or down. The result has x's shape and
    dtype.
    """
    for score, x, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.4, 0.7)
        for after in (sigma * trial.uniform(0.5, 0.8), sigma * trial.uniform(1.2, 1.5)):
            step = after - sigma
            slope = -sigma * score(x, sigma)
            end = x + step * slope
            there = -after * score(end, after)
            right = x + step / 2 * (slope + there)
            middle, at = x + step / 2 * slope, sigma + step / 2
            mistakes = {
                "right on the way down, wrong on the way up: dσ has a sign"
                if step > 0 else
                "the step has the wrong sign: is dσ the new σ minus the old, and is the equation's minus there?":
                    x - step / 2 * (slope - after * score(x - step * slope, after)),
                "this is Euler's step: where is the second look?": end,
                "the two slopes are added up: Heun's takes their mean": x + step * (slope + there),
                "this goes on from the end of Euler's step: the mean slope leads from x":
                    end + step / 2 * (slope + there),
                "only the slope at the end is used: Heun's takes the mean of both": x + step * there,
                "the second slope is taken at x: it belongs to the end of Euler's step":
                    x + step / 2 * (slope - after * score(x, after)),
                "the second slope has the σ of the start: it belongs to the end":
                    x + step / 2 * (slope - sigma * score(end, sigma)),
                "the second slope's factor is the σ of the start": x + step / 2 * (slope - sigma * score(end, after)),
                "the second score is told the σ of the start": x + step / 2 * (slope - after * score(end, sigma)),
                "one slope has a minus and the other has none: dx/dσ = −σ s at both ends":
                    x + step / 2 * (slope - there),
                "there is no σ in the slopes":
                    x - step / 2 * (score(x, sigma) + score(x - step * score(x, sigma), after)),
                "this is the slope half way, the midpoint rule, as good as Heun's, which takes the mean of both ends":
                    x - step * at * score(middle, at),
                "the scores are averaged, and multiplied by one σ: each slope has its own":
                    x - step * sigma * (score(x, sigma) + score(end, after)) / 2,
                "the scores were not told σ: they are s(x, σ)":
                    x - step / 2 * (sigma * score(x, 0.0) + after * score(x - step * sigma * score(x, 0.0), 0.0)),
                "this is the move alone: a step starts from x": right - x,
                "nothing moves": x,
            }  # fmt: skip
            trial.expect(right, score, x, sigma, after, mistakes=mistakes)


@heun_step.lends
def _(score, x, sigma, sigma_next):
    slope = -sigma * score(x, sigma)
    end = x + (sigma_next - sigma) * slope
    return x + (sigma_next - sigma) / 2 * (slope - sigma_next * score(end, sigma_next))


@exercise("10.8", minutes=10)
def velocity_of_score(trial: Trial) -> None:
    """`velocity_of_score(score, y, tau)`: E[z − x_0 | y] for y = (1 − τ) x_0 + τ z, of a score s(x, σ).

    With x = y/(1 − τ) and σ = τ/(1 − τ), it is ẑ − x̂_0 = −σ s − (x + σ² s). y is (B, *shape), τ a float between 0 and
    1. The result has y's shape and dtype.
    """

    def velocity(x, sigma, s):
        return -sigma * s - (x + sigma**2 * s)

    for score, y, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        tau = trial.uniform(0.3, 0.45)
        x, sigma = y / (1 - tau), tau / (1 - tau)

        s = score(x, sigma)
        clean, noise = x + sigma**2 * s, -sigma * s
        mistakes = {
            "the sign is wrong: τ rises towards the noise": clean - noise,
            "this is ẑ, the noise: from where does the velocity lead to it?": noise,
            "this is −x̂_0: to where does the velocity lead from the clean point?": -clean,
            "this is x̂_0, the clean point": clean,
            "x̂_0 and ẑ are added up: the velocity is the way from the one to the other": clean + noise,
            "the score is used for ẑ: ẑ = −σ s": s - clean,
            "the sign of ẑ is wrong: ẑ = −σ s": -noise - clean,
            "x̂_0 lacks a square: x̂_0 = x + σ² s": noise - (x + sigma * s),
            "the way starts at x and not at x̂_0; or is τ taken for σ?": noise - x,  # the same for a TanhField
            "this is the score": s,
            "the way starts at y and not at x̂_0, or is 1 − τ times too short": noise - y,
            "the score was given y, which is shrunken: x = y/(1 − τ)": velocity(y, sigma, score(y, sigma)),
            "the score was given the right x, and x̂_0 is made of y": noise - (y + sigma**2 * s),
            "neither is y the score's x, nor τ its σ": velocity(y, tau, score(y, tau)),
            "the score was told τ: it knows levels by σ": velocity(x, sigma, score(x, tau)),
            "the score was told no σ: it is s(x, σ)": velocity(x, sigma, score(x, 0.0)),
            "σ is upside down: it is small where τ is small": velocity(x, 1 / sigma, score(x, 1 / sigma)),
            "τ and 1 − τ are exchanged: at τ = 1 there is nothing but noise":
                velocity_of_score.lent(score, y, 1 - tau),
        }  # fmt: skip
        trial.expect(noise - clean, score, y, tau, mistakes=mistakes)


@velocity_of_score.lends
def _(score, y, tau):
    x, sigma = y / (1 - tau), tau / (1 - tau)
    s = score(x, sigma)
    return -sigma * s - (x + sigma**2 * s)
