"""Exercises of chapter 10: beyond NCSN."""

from __future__ import annotations

import math
from collections.abc import Callable

from sbgm.course.exercise import Trial, as_tensor, compare, exercise
from sbgm.course.problems import exact_levels, ladder_problem
from sbgm.theory import level_ratio

RATIO_TOLERANCE = 1e-4  # of γ − 1


@exercise(chapter=10, minutes=15)
def ladder_ratio(trial: Trial) -> None:
    """`ladder_ratio(dim, overlap)`: technique 2's γ, Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ) = overlap.

    `dim` is D, `overlap` a number between 0.3 and 0.65; the answer is one number, with γ − 1 right to four digits.
    """
    for dim, low, high in ((3_072, 0.3, 0.45), (784, 0.55, 0.65), (64, 0.3, 0.45), (16, 0.55, 0.65)):
        overlap = trial.uniform(low, high)
        right = level_ratio(dim, overlap)
        gamma = float(trial.answer(right, dim, overlap))
        root = math.sqrt(2 * dim)
        there = f"{_share(root * (gamma - 1), 3 * gamma):.3g}"
        known = {
            "γ is nearly right: go on until four digits of γ − 1 no longer change":
                abs((gamma - right) / (right - 1)) < 0.01,
            "this is γ − 1": right - 1,
            "upside down: γ is the larger level over the smaller one": 1 / right,
            "γ is 1 here, where all of a level's noise overlaps: which half of the interval is kept?": 1.0,
            "the other share: this overlap is 1 less the one that is asked for": level_ratio(dim, 1 - overlap),
            "√D where √(2D) belongs: the noise's length has standard deviation σ/√2":
                _solved(lambda g, dim=dim: _share(math.sqrt(dim) * (g - 1), 3 * g), overlap),
            "2D where √(2D) belongs": _solved(lambda g, dim=dim: _share(2 * dim * (g - 1), 3 * g), overlap),
            "the shell's width grows with γ too: is it 3 where it should be 3γ?":
                _solved(lambda g, root=root: _share(root * (g - 1), 3), overlap),
            "within one standard deviation of the shell, where three are asked for":
                _solved(lambda g, root=root: _share(root * (g - 1), g), overlap),
            f"in {dim:,} dimensions the overlap at your γ is {there}, and should be {overlap:.3g}": 1 < gamma < 1e6,
        }  # fmt: skip
        compare(as_tensor(gamma), right, known, tolerance=RATIO_TOLERANCE * (right - 1))


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


@exercise(chapter=10, minutes=10)
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


@exercise(chapter=10, minutes=10)
def consistent_step(trial: Trial) -> None:
    """`consistent_step(score, x, sigma, sigma_next, eta, z)`: one step of consistent annealed sampling.

    x + ησ² s(x, σ) + σ′√(1 − ((1 − η)/r)²) z with r = σ′/σ, for σ′ < σ and 1 − r < η ≤ 1. x and z are (B, *shape), the
    others floats; the result has x's shape and dtype.
    """
    for score, x, z in trial.batches((6, 2), (3, 1, 4, 4)):
        sigma, r = trial.uniform(0.4, 0.9), trial.uniform(0.6, 0.9)
        after = r * sigma
        for eta in (1 - r * trial.uniform(0.7, 0.9), 1.0):
            s, kept = score(x, sigma), (1 - eta) / r
            drift, fresh = eta * sigma**2 * s, after * math.sqrt(1 - kept**2)
            mistakes = {
                "there is no fresh noise": x + drift,
                "the fresh noise has all of the next level's variance: some of the old noise is still there":
                    x + drift + after * z,
                "the fresh noise is scaled by σ: it belongs to the level that the step goes to":
                    x + drift + sigma * math.sqrt(1 - kept**2) * z,
                "the root of the fresh noise's factor is missing": x + drift + after * (1 - kept**2) * z,
                "variances are subtracted: is a square missing under the root?":
                    x + drift + after * math.sqrt(1 - kept) * z,
                "standard deviations are subtracted: what adds up for independent noises?":
                    x + drift + after * (1 - kept) * z,
                "variances are subtracted, but the old noise's is not squared as a whole: what of (1 − η)/r?":
                    x + drift + after * math.sqrt(max(0.0, 1 - (1 - eta) / r**2)) * z,
                "r is missing: how much of the old noise is left, measured by the new level?":
                    x + drift + after * math.sqrt(1 - (1 - eta) ** 2) * z,
                "r is upside down: which of the two levels is the smaller?":
                    x + drift + after * math.sqrt(1 - ((1 - eta) * r) ** 2) * z,
                "η is what is taken off; what is left?":
                    x + drift + after * math.sqrt(max(0.0, 1 - (eta / r) ** 2)) * z,
                "this is Langevin's noise, √(2η)σ, which is more": x + drift + sigma * math.sqrt(2 * eta) * z,
                "the drift is half of what it should be: η is ε/2σ_L², the ½ is in it": x + drift / 2 + fresh * z,
                "the drift is that of the next level: it starts from σ": x + eta * after**2 * s + fresh * z,
                "the drift is off by a factor σ: is it multiplied by a standard deviation or a variance?":
                    x + eta * sigma * s + fresh * z,
                "the drift has no σ² in it": x + eta * s + fresh * z,
                "the drift has no η in it": x + sigma**2 * s + fresh * z,
                "the drift has the wrong sign: a step goes up the density": x - drift + fresh * z,
                "the noise has the wrong sign; its law is right, but here z is given": x + drift - fresh * z,
                "the score is taken at the next level: where is x now?":
                    x + eta * sigma**2 * score(x, after) + fresh * z,
                "the score was not told σ: it is s(x, σ)": x + eta * sigma**2 * score(x, 0.0) + fresh * z,
                "the old x is lost: a step starts from where the chain is": drift + fresh * z,
            }  # fmt: skip
            trial.expect(x + drift + fresh * z, score, x, sigma, after, eta, z, mistakes=mistakes)


@exercise(chapter=10, minutes=5)
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
