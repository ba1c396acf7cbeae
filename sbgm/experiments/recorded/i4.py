"""I4, Fig. 4: whether samples come closer to images level by level."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sbgm import claims
from sbgm.claims import check
from sbgm.experiments.recorded.recording import command, digit_distance, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.metrics import Measured


def evaluate(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I4 on the samples of I1: the distance to MNIST's test images after each level.

    Args:
        folder, n_samples, n_steps, machine: as for I1.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    drawn = draw(drawing, folder, machine)
    denoised, states = ([digit_distance(x) for x in images] for images in (drawn.denoised, drawn.states))
    curves = {"denoised": denoised, "states": states}
    return enter(
        "I4",
        i4_checks(denoised, states),
        {name: torch.tensor([[d.value, d.se or 0.0] for d in curve]) for name, curve in curves.items()},
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note="The denoised state is x + σ²s(x, σ); Fréchet distances in the features of our own classifier.",
        networks=["mnist_ncsn", "mnist_classifier"],
        command=command("I4", n_samples=n_samples, n_steps=n_steps),
        facts=drawing.facts(),
    )


def i4_checks(denoised: list[Measured], states: list[Measured]) -> list[claims.Check]:
    """What I4 expects of the distances after each level, σ_1 first; what is only reported has no interval."""
    return [
        check(
            "rank correlation, level and nearness of the denoised state", falling([d.value for d in denoised]), low=0.9
        ),
        check("the same, state as it is", falling([d.value for d in states])),
        check("Fréchet distance of the denoised state after σ_1", denoised[0].value, se=denoised[0].se),
        check("the same after σ_L", denoised[-1].value, se=denoised[-1].se),
        check("the state as it is after σ_1", states[0].value, se=states[0].se),
        check("the same after σ_L", states[-1].value, se=states[-1].se),
    ]


def falling(distances: list[float] | Tensor) -> float:
    """Spearman's rank correlation of place and nearness: 1 if every distance is smaller than the one before."""
    from scipy.stats import spearmanr

    return float(spearmanr(range(len(distances)), [-float(d) for d in distances]).statistic)
