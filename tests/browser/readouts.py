"""What each explorer must say at its sliders' places, by closed forms or from raw states, never by the explorer."""

import json
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pytest
import torch

from sbgm import annealed_langevin, final, geometric_sigmas, paper_mixture
from sbgm.measure import component_stds, mode_weights
from sbgm.widgets.mixtures import N_STEPS, SIGMA_MAX, SIGMA_MIN, STEP_SIZE_EXPONENTS, STEP_SIZES

from .chapter import Chapter

NUMBER = r"(\d[\d.]*(?:e[-+]\d+)?)"


class Control(NamedTuple):
    """A slider: what a place on it means, its first and last place, the steps between, and where to drag it to.

    Attributes:
        fractions: of the track, from the left.
    """

    value: Callable[[float], float]
    first: float
    last: float
    n_steps: int
    fractions: tuple[float, float]

    @property
    def step(self) -> float:
        """How far a key press goes."""
        return (self.last - self.first) / self.n_steps


class Readout(NamedTuple):
    """The sentence, as a pattern with a group for each number, and the numbers, as approximations."""

    pattern: str
    numbers: list


def power_of_ten(place: float) -> float:
    return 10**place


CONTROLS: dict[str, dict[str, Control]] = {
    "01": {"σ": Control(float, 0, 10, 100, (0.7, 0.2))},
    "03": {
        "ε": Control(lambda place: STEP_SIZES[round(place)], 0, 11, 11, (0.99, 0.4)),
        "steps": Control(lambda place: N_STEPS[round(place)], 0, 18, 18, (0.3, 0.8)),
    },
    "04": {
        "σ_1": Control(lambda place: SIGMA_MAX[round(place)], 0, 14, 14, (0.2, 0.7)),
        "σ_L": Control(lambda place: SIGMA_MIN[round(place)], 0, 13, 13, (0.5, 0.8)),
        "levels": Control(int, 1, 20, 19, (0.2, 0.6)),
        "ε": Control(power_of_ten, *STEP_SIZE_EXPONENTS, (0.3, 0.6)),
    },
    "08": {"step": Control(int, 1, 29, 28, (0.15, 0.7))},
}

# Words of the text for readers who cannot see the figure.
SPOKEN = {"01": "score field", "03": "Langevin chains", "04": "annealed cloud", "08": "several fills"}


def score_field(chapter: Chapter, values: Mapping[str, float]) -> Readout:
    """Chapter 01, at the origin: both means are 5√2 away, and their weights differ by 0.6."""
    variance = 1 + values["σ"] ** 2
    density = math.exp(-25 / variance) / (2 * math.pi * variance)
    length = 0.6 * 5 * math.sqrt(2) / variance
    pattern = f"σ = {NUMBER}: at the origin the density is {NUMBER} and the score has length {NUMBER}"
    return Readout(
        pattern,
        [pytest.approx(values["σ"], abs=1e-6), pytest.approx(density, rel=0.05), pytest.approx(length, abs=0.0051)],
    )


def langevin(chapter: Chapter, values: Mapping[str, float]) -> Readout:
    """Chapter 03, N(0, 1) from ±3: after n steps the chains are ±3(1 − ε/2)ⁿ with a normal part of known variance."""
    step_size, n = values["ε"], values["steps"]
    factor = 1 - step_size / 2
    if step_size >= 4:
        pattern = f"ε = {NUMBER} is not below the bound 4v = {NUMBER}: a step multiplies distances by {NUMBER}, and .*"
        return Readout(pattern, [step_size, 4, pytest.approx(abs(factor))])
    limit = 1 / (1 - step_size / 4)
    mean_square, normal = 9 * factor ** (2 * n), limit * (1 - factor ** (2 * n))
    margin = 2 * math.sqrt((4 * mean_square * normal + 2 * normal**2) / 640)
    variance = mean_square + normal
    pattern = f"640 chains after {NUMBER} steps: variance {NUMBER} ± {NUMBER}, to settle at 1/.1 − ε/4. = {NUMBER}"
    return Readout(
        pattern,
        [
            n,
            pytest.approx(variance, abs=2 * margin + 0.005),
            pytest.approx(margin, rel=0.2, abs=0.005),
            pytest.approx(limit, abs=0.0051),
        ],
    )


def annealing(chapter: Chapter, values: Mapping[str, float]) -> Readout:
    """Chapter 04: the sampler on the same starts and noise, and the bound 4σ_L²(1 + v/σ_1²), v = 1."""
    n_levels = values["levels"]
    n_steps = 150 // n_levels
    sigmas = geometric_sigmas(values["σ_1"], values["σ_L"], n_levels)
    start = 8 * (2 * torch.rand(400, 2, generator=torch.Generator().manual_seed(0)) - 1)
    options = {"step_size": values["ε"], "n_steps": n_steps, "generator": torch.Generator().manual_seed(1)}
    x = final(annealed_langevin(paper_mixture().score, start, sigmas, **options))
    weight = float(mode_weights(x, paper_mixture().means)[1])
    margin = 2 * math.sqrt(weight * (1 - weight) / 400)
    bound = 4 * values["σ_L"] ** 2 * (1 + 1 / values["σ_1"] ** 2)
    pattern = (
        f"400 chains, {NUMBER} steps a level: weight of .5, 5. {NUMBER} ± {NUMBER}, exact 0.80; "
        f"its standard deviation {NUMBER}, exact 1; stable for ε < {NUMBER}"
    )
    return Readout(
        pattern,
        [
            n_steps,
            pytest.approx(weight, abs=0.0051),
            pytest.approx(margin, abs=0.0051),
            pytest.approx(float(component_stds(x, paper_mixture().means)[1]), abs=0.0051),
            pytest.approx(bound, rel=0.0051),
        ],
    )


def inpainting(chapter: Chapter, values: Mapping[str, float]) -> Readout:
    """Chapter 08: a step a level on a ladder from 5 to 0.02; the distances from the states that the kernel holds."""
    step = values["step"]
    sigma = 5 * 250 ** (-step / 29)
    wanted = f"[runs['right half'][{step - 1}].x, image, half.expand_as(image)]"
    printed = chapter.run_in_kernel(f"import json; print(json.dumps([t.tolist() for t in {wanted}]))")
    x, image, known = map(np.array, json.loads(printed))
    off = np.sqrt(np.mean((x - image)[:, known] ** 2))
    apart = np.sqrt(np.mean(np.var(x[:, ~known], axis=0, ddof=1)))
    assert off == pytest.approx(sigma, rel=0.1)  # 2,352 numbers: a standard error of 1.5 %
    pattern = (
        f"level {NUMBER} of {NUMBER}, σ = {NUMBER}, step {NUMBER}: "
        f"known pixels off by {NUMBER}, fills apart by {NUMBER} in the unknown"
    )
    return Readout(pattern, [step + 1, 30, *(pytest.approx(v, rel=0.06) for v in (sigma, 1, off, apart))])


READOUTS: dict[str, Callable[[Chapter, Mapping[str, float]], Readout]] = {
    "01": score_field,
    "03": langevin,
    "04": annealing,
    "08": inpainting,
}
