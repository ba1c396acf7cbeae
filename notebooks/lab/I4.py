"""I4: samples evolve from noise to images (Fig. 4)."""

import sys
from pathlib import Path

import torch
from torch import Tensor

from claims import Found, Measurement, declared, reported, run
from drawing import CPU, FEATURES, Machine, NSamples, NSteps, digit_distance, draw_digits
from sbgm.measure import Estimate


def measure(
    folder: Path,
    n_samples: NSamples = 1_000,
    n_steps: NSteps = 100,
    machine: Machine = CPU,
) -> Found:
    """Measure I4: the distance of the chains to real digits after each level."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    words["narrower"] += "; of the denoised states, where Fig. 4 shows the states as they are"
    denoised = [digit_distance(x) for x in drawn.denoised]
    states = [digit_distance(x) for x in drawn.states]
    tensors = {"denoised": torch.tensor(denoised), "states": torch.tensor(states)}
    note = f"The denoised state is x + σ²s(x, σ); {FEATURES}."
    return Found(i4_measurements(denoised, states), tensors, note=note, **words)


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
