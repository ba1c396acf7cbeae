"""I6, Appendix C.1: one small noise level with plain Langevin dynamics, against annealing."""

from __future__ import annotations

from pathlib import Path

from sbgm import claims
from sbgm.claims import check
from sbgm.experiments.recorded.recording import command, digit_distance, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.metrics import Measured, quantise

N_SHOWN = 64


def evaluate(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I6: 10 T steps of Langevin dynamics with the network of one level, beside the samples of I1.

    Args:
        folder, n_samples, n_steps, machine: as for I1; both ask their network 10 T times.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    annealed, plain = drawings(n_samples, n_steps)
    images = draw(plain, folder, machine).states[-1]
    return enter(
        "I6",
        i6_checks(digit_distance(images), digit_distance(draw(annealed, folder, machine).states[-1])),
        {"samples": quantise(images[:N_SHOWN])},
        data=f"mnist_one_level and mnist_ncsn, {n_samples:,} samples each; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier.",
        networks=["mnist_one_level", "mnist_ncsn", "mnist_classifier"],
        command=command("I6", n_samples=n_samples, n_steps=n_steps),
        facts=plain.facts(),
    )


def drawings(n_samples: int, n_steps: int) -> tuple[Drawing, Drawing]:
    """Annealed samples with T steps a level, and as many evaluations of the network of one level."""
    return Drawing("mnist_ncsn", n_samples, n_steps), Drawing("mnist_one_level", n_samples, 10 * n_steps)


def i6_checks(one_level: Measured, annealed: Measured) -> list[claims.Check]:
    """What I6 expects of the two distances."""
    return [
        check("Fréchet distance, one level over annealed", one_level.value / annealed.value, low=5),
        check("Fréchet distance, one level", one_level.value, se=one_level.se),
        check("Fréchet distance, annealed", annealed.value, se=annealed.se),
    ]
