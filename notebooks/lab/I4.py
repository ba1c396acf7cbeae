"""I4: samples evolve from noise to images (Fig. 4)."""

from pathlib import Path

import torch

from drawing import CPU, FEATURES, Machine, digit_distance, draw_digits, judged_distance
from errors import rank_correlation
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate
from sbgm.noise import perturb

N_CONTROL = 1_000
N_DRAWS = 2_000


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I4: the distance of the chains to real digits after each level, by the samples of I1."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    curves = {
        "states": [judged_distance(x) for x in drawn.states],
        "denoised": [judged_distance(x) for x in drawn.denoised],
        "real": real_digits(),
    }
    of_first = [digit_distance(x) for x in drawn.states]
    note = f"The denoised state is x + σ²s(x, σ); {FEATURES}. ± is that of the distances."
    measurements = [
        *i4_measurements(**curves),
        reported("the first classifier's rank correlation, states as they are", falling(of_first, 4)),
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
    control = "control: rank correlation, training digits with each level's noise"
    return [
        declared("I4", "rank correlation, states as they are", falling(states, 1)),
        declared("I4", "rank correlation, denoised states", falling(denoised, 2)),
        declared("I4", control, falling(real, 3)),
        reported("Fréchet distance of the state as it is after σ_1", states[0]),
        reported("Fréchet distance of the state as it is after σ_L", states[-1]),
        reported("Fréchet distance of the denoised state after σ_1", denoised[0]),
        reported("Fréchet distance of the denoised state after σ_L", denoised[-1]),
    ]


def falling(distances: list[Estimate], part: int) -> Estimate:
    """Spearman's rank correlation of level and nearness, 1 if every distance is smaller than the one before.

    Its standard error is its scatter where the distances are moved by theirs, drawn by the generator of `part`.
    """
    values, errors = torch.tensor(distances, dtype=torch.float64).T
    levels = torch.arange(len(values))
    noise = torch.randn(N_DRAWS, len(values), dtype=torch.float64, generator=derived_generator(seed("I4"), part))
    ranks = torch.tensor([rank_correlation(levels, -row) for row in values + errors * noise])
    return Estimate(rank_correlation(levels, -values), float(ranks.std()))


if __name__ == "__main__":
    options = script_options(__doc__, "samples", draws=True)
    show(measure(options.folder, machine=Machine(options.device, options.compile)))
