"""Exercises of chapter 10: beyond NCSN."""

from __future__ import annotations

import math
from collections.abc import Callable

from sbgm.course.calls import TanhField
from sbgm.course.exercise import Trial, as_tensor, compare, exercise
from sbgm.course.problems import exact_levels, ladder_problem
from sbgm.theory import level_ratio


@exercise("10.2", minutes=10)
def score_of_ddpm(trial: Trial) -> None:
    """`score_of_ddpm(predict_noise, x, sigma)`: s(x, σ) = −ε̂(√ᾱ x, ᾱ)/σ with ᾱ = 1/(1 + σ²), of a DDPM network ε̂.

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
            "noise is divided by σ², and it is measured in units of σ: s = −(x̃ − x)/σ² and x̃ − x = σz":
                -noise / sigma**2,
            "noise is multiplied by σ: the smaller σ, the longer the score": -sigma * noise,
            "this is the score of y, −ε̂/√(1 − ᾱ): that of x, which is y/√ᾱ, is asked for": -noise / root,
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
            levels_with(_solved(lambda g: _share(math.sqrt(dim) * (g - 1), 3 * g), 0.5)),
        "this γ is that of 3 where 3γ belongs":
            levels_with(_solved(lambda g: _share(math.sqrt(2 * dim) * (g - 1), 3), 0.5)),
        "this γ is that of CIFAR-10: with the dimension it changes": levels_with(level_ratio(3_072)),
        "γ is rounded to two digits after the point, too few by far": levels_with(round(gamma, 2)),
        "γ is rounded to three digits after the point, too few": levels_with(round(gamma, 3)),
        "σ_1/σ_L is upside down": round(2 - exact),
        "this is another group's answer: is `problem` made with your variant?":
            answer in [round(exact_levels(other)) for other in others],
    }  # fmt: skip
    compare(as_tensor(answer), round(exact), mistakes)


def _share(shift: float, width: float) -> float:
    """The share of a standard normal within `width` of −`shift`."""
    return 0.5 * (math.erf((shift + width) / math.sqrt(2)) - math.erf((shift - width) / math.sqrt(2)))


def _solved(function: Callable[[float], float], value: float) -> float:
    """Return where a falling function has a value, by bisection between 1 and 100; NaN if nowhere there."""
    low, high = 1.0, 100.0
    if not function(high) < value < function(low):
        return math.nan
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > value else (low, middle)
    return high


@exercise("10.4", minutes=5)
def flow_step(trial: Trial) -> None:
    """`flow_step(score, x, sigma, sigma_next)`: one Euler step of the probability flow, dx/dσ = −σ s(x, σ).

    x is (B, *shape), σ and σ′ are floats, in either order: a step may go up or down. The result has x's shape and
    dtype.
    """
    for score, x, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.4, 0.7)
        for after in (sigma * trial.uniform(0.5, 0.8), sigma * trial.uniform(1.2, 1.5)):
            s, step = score(x, sigma), after - sigma
            slope = -sigma * s
            end = x + step * slope
            heun = x + step / 2 * (slope - after * score(end, after))
            mistakes = {
                "right on the way down, wrong on the way up: dσ has a sign"
                if step > 0 else
                "the step has the wrong sign: is dσ the new σ less the old, and is the equation's minus there?":
                    x - step * slope,
                "there is no σ in the slope": x - step * s,
                "the slope has σ², and should have σ": x + step * sigma * slope,
                "the slope is not multiplied by the step dσ": x + slope,
                "the slope's factor σ is that of the end: Euler's step takes it all from the start":
                    x - step * after * s,
                "the score is taken at the end's σ: Euler's step takes it all from the start":
                    x - step * sigma * score(x, after),
                "the slope is taken at the end's σ: Euler's step takes it all from the start":
                    x - step * after * score(x, after),
                "this is a step in σ² (or with the mean of both σ), not Euler's in σ":
                    x + 0.5 * (sigma**2 - after**2) * s,
                "this is the drift of ancestral sampling, which goes with fresh noise":
                    x + (sigma**2 - after**2) * s,
                "this is Heun's step, which is better: Euler's has one evaluation of the score": heun,
                "the slope has a ½ too much": x + step * slope / 2,
                "all noise is taken off: it is to be that of the next σ": x + sigma**2 * s,
                "the score was not told σ: it is s(x, σ)": x - step * sigma * score(x, 0.0),
                "this is the move alone: a step starts from x": step * slope,
                "this is the slope alone: where does a step of it lead to?": slope,
                "nothing moves": x,
            }  # fmt: skip
            trial.expect(end, score, x, sigma, after, mistakes=mistakes)


@exercise("10.7", minutes=5)
def guided_score(trial: Trial) -> None:
    """`guided_score(score, score_of_class, x, sigma, weight)`: s(x, σ) + w (s(x, σ | c) − s(x, σ)), guidance.

    Both scores take x, (B, *shape), and the float σ; the weight is a float, 0 for no guidance and 1 for the class's own
    score. The result has x's shape and dtype.
    """
    for score, x, _ in trial.batches((6, 2), (3, 1, 4, 4)):
        of_class = TanhField.random(x[0].numel(), trial.generator, x.dtype)
        sigma = trial.uniform(0.4, 0.9)
        for weight in (trial.uniform(2, 4), trial.uniform(0.2, 0.8)):
            s, c = score(x, sigma), of_class(x, sigma)
            mistakes = {
                "this is the other convention, (1 + w) s_c − w s, in which w = 0 is the class's own score":
                    c + weight * (c - s),
                "the difference has the wrong sign: it should lead from all classes to the one": s - weight * (c - s),
                "the two scores are exchanged: w = 0 is to be no guidance": c + weight * (s - c),
                "the class's score is added whole: what do both scores have in common?": s + weight * c,
                "this is the difference alone: to what is it added?": weight * (c - s),
                "this is the class's score, w = 1, whatever the weight": c,
                "this is the score without guidance, w = 0, whatever the weight": s,
                "the weight is used as its square": s + weight**2 * (c - s),
                "the scores were not told σ: they are s(x, σ)":
                    score(x, 0.0) + weight * (of_class(x, 0.0) - score(x, 0.0)),
                "the result is moved on by x: a score is asked for, not a step": x + s + weight * (c - s),
            }  # fmt: skip
            trial.expect(s + weight * (c - s), score, of_class, x, sigma, weight, mistakes=mistakes)
