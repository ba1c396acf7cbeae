"""I4: samples evolve from noise to images (Fig. 4)."""

import sys
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from claims import Found, Measurement, declared, reported, run
from drawing import CPU, DIGITS, FEATURES, Machine, digit_distance, draw_digits
from sbgm.guard import Count
from sbgm.measure import Estimate
from sbgm.measure.classifier import SHIPPED_CLASSIFIER


def measure(
    folder: Path,
    n_samples: Annotated[Count, "chains, more than 128, the number of features"] = 1_000,
    n_steps: Annotated[Count, "T, Langevin steps a level"] = 100,
    machine: Machine = CPU,
) -> Found:
    """Measure I4: the distance of the chains to real digits after each level."""
    drawn, facts = draw_digits(folder, n_samples, n_steps, machine)
    curves = {name: [digit_distance(x) for x in getattr(drawn, name)] for name in ("denoised", "states")}
    return Found(
        i4_measurements(**curves),
        {name: torch.tensor(curve) for name, curve in curves.items()},
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note=f"The denoised state is x + σ²s(x, σ); {FEATURES}.",
        narrower=f"{DIGITS}; of the denoised states, where Fig. 4 shows the states as they are",
        networks=["mnist_ncsn", SHIPPED_CLASSIFIER],
        facts=facts,
    )


def i4_measurements(denoised: list[Estimate], states: list[Estimate]) -> list[Measurement]:
    """The measurements of I4, from the distances after each level, σ_1 first."""
    ranks = [falling([d.value for d in curve]) for curve in (denoised, states)]
    return [
        declared("I4", "rank correlation, level and nearness of the denoised state", ranks[0]),
        reported("rank correlation, level and nearness of the state as it is", ranks[1]),
        reported("Fréchet distance of the denoised state after σ_1", denoised[0]),
        reported("Fréchet distance of the denoised state after σ_L", denoised[-1]),
        reported("Fréchet distance of the state as it is after σ_1", states[0]),
        reported("Fréchet distance of the state as it is after σ_L", states[-1]),
    ]


def falling(distances: list[float] | Tensor) -> float:
    """Spearman's rank correlation of place and nearness: 1 if every distance is smaller than the one before."""
    from scipy.stats import spearmanr

    return float(spearmanr(range(len(distances)), [-float(d) for d in distances]).statistic)


if __name__ == "__main__":
    sys.exit(run("I4", measure, folder="samples"))
