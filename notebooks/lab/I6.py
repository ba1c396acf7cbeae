"""I6: 1,000 samples of the network of one noise level, by plain Langevin dynamics, beside the annealed ones of I1."""

import sys
from pathlib import Path

import torch
from torch import Tensor

from claims import Found, Measurement, declared, load_record, reported, run
from drawing import CPU, DIGITS, FEATURES, HOW_DRAWN, Drawing, Machine, digit_distance, draw
from sbgm.measure import Estimate, quantise, ratio, some_images
from sbgm.measure.classifier import SHIPPED_CLASSIFIER
from sbgm.noise import perturb

N_SAMPLES = 1_000
SIGMA_L = 0.01
ONE_LEVEL = Drawing("mnist_one_level", n_samples=N_SAMPLES, n_steps=1_000, kept="last")


def annealed_distance() -> Estimate:
    """The distance of I1's samples, as many, from those that its record stores."""
    return digit_distance(load_record("I1").tensors["samples"].float() / 255)


def real_distance() -> Estimate:
    """The distance of as many training digits with the noise that samples carry: the control."""
    digits = some_images("mnist", "train", N_SAMPLES)
    return digit_distance(perturb(digits, SIGMA_L, generator=torch.Generator().manual_seed(1)))


def i6_measurements(samples: Tensor, annealed: Estimate, real: Estimate) -> list[Measurement]:
    """The measurements of I6 on samples of one level, (N, 1, 28, 28)."""
    distance = digit_distance(samples)
    return [
        declared("I6", "Fréchet distance, one level over annealed", ratio(distance, annealed)),
        declared("I6", "control: training digits with noise σ_L, over annealed", ratio(real, annealed)),
        declared("I6", "samples", len(samples)),
        reported("Fréchet distance, one level", distance),
        reported("Fréchet distance, annealed", annealed),
        reported("Fréchet distance, training digits with noise σ_L", real),
    ]


def measure(folder: Path, machine: Machine = CPU) -> Found:
    """Measure I6: the distance of samples by plain Langevin dynamics, beside that of annealed ones."""
    samples = draw(ONE_LEVEL, folder, machine).states[-1]
    return Found(
        i6_measurements(samples, annealed_distance(), real_distance()),
        {"samples": quantise(samples)},
        data=f"mnist_one_level, {N_SAMPLES:,} samples; those of I1; 10,000 MNIST test images",
        note=f"{FEATURES}.",
        narrower=DIGITS,
        networks=["mnist_one_level", "mnist_ncsn", SHIPPED_CLASSIFIER],
        facts=ONE_LEVEL.facts(*HOW_DRAWN) | {"compiled": machine.compile},
    )


if __name__ == "__main__":
    sys.exit(run("I6", measure, folder="samples"))
