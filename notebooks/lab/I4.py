"""I4: samples evolve from noise to images (Fig. 4)."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from drawing import CPU, FEATURES, Machine, digit_distance, draw_digits, judged_distance
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate
from sbgm.noise import perturb

N_CONTROL = 1_000


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I4: the distance of the chains to real digits after each level, by the samples of I1."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    curves = {
        "states": [judged_distance(x) for x in drawn.states],
        "denoised": [judged_distance(x) for x in drawn.denoised],
        "real": real_digits(),
    }
    of_first = [digit_distance(x) for x in drawn.states]
    note = f"The denoised state is x + σ²s(x, σ); {FEATURES}. The ten distances are taken for independent."
    measurements = [
        *i4_measurements(**curves),
        reported("levels clearly farther by the first classifier, states as they are", levels_farther(of_first)),
    ]
    tensors = {name: torch.tensor(curve) for name, curve in curves.items()}
    return record("I4", measurements, tensors, note=note, **words)


def real_digits() -> list[Estimate]:
    """The distances of training digits with the noise of each level, which a measure of this kind must order."""
    generator = derived_generator(seed("I4"))
    images = load_images("mnist")
    digits = images[torch.randperm(len(images), generator=generator)[:N_CONTROL]]
    sigmas = load_network("mnist_ncsn").sigmas.tolist()
    return [judged_distance(perturb(digits, sigma, generator=generator)) for sigma in sigmas]


def i4_measurements(states: list[Estimate], denoised: list[Estimate], real: list[Estimate]) -> list[Measurement]:
    """The measurements of I4, from the distances after each level, σ_1 first."""
    names = {"states": "state as it is", "denoised": "denoised state"}
    ends = [
        reported(f"Fréchet distance of the {names[kind]} after σ_{level}", distances[i])
        for kind, distances in (("states", states), ("denoised", denoised))
        for level, i in (("1", 0), ("L", -1))
    ]
    curves = {"states": states, "denoised": denoised, "control: digits with each level's noise": real}
    return [*evolution("I4", curves), *ends]


def evolution(claim_id: str, curves: Mapping[str, list[Estimate]]) -> list[Measurement]:
    """What I4 and I12 bound: how far each curve of distances falls, and that it rises at no level."""
    measurements = []
    for kind, distances in curves.items():
        fall = difference(distances[0], distances[-1])
        measurements.append(declared(claim_id, f"{kind}: distance after σ_1 minus that after σ_L", fall))
        n_farther = levels_farther(distances)
        measurements.append(declared(claim_id, f"{kind}: levels clearly farther than the one before", n_farther))
    return measurements


def levels_farther(distances: list[Estimate]) -> int:
    """How many levels' distances are larger than that of the level before by more than three standard errors."""
    rises = [difference(after, before) for before, after in itertools.pairwise(distances)]
    return sum(rise.value > 3 * rise.se for rise in rises)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b, whose errors are taken for independent."""
    return Estimate(a.value - b.value, math.hypot(a.se, b.se))


if __name__ == "__main__":
    options = script_options(__doc__, "samples", draws=True)
    show(measure(options.folder, machine=Machine(options.device, options.compile)))
