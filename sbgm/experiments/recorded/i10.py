"""I10: the samples of I1 with and without a denoising step at the end, which the paper does not take."""

from __future__ import annotations

from pathlib import Path

from sbgm import claims
from sbgm.claims import check
from sbgm.experiments.recorded.recording import command, digit_distance, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.experiments.step_map import noise_on_constant_pixels
from sbgm.metrics import Estimate, Measured, quantise
from sbgm.metrics.reference import some_images

SIGMA_L = 0.01
N_SHOWN = 16


def evaluate(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I10 on the samples of I1: the distance to MNIST's test images as they are, and denoised.

    Args:
        folder, n_samples, n_steps, machine: as for I1.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    drawn = draw(drawing, folder, machine)
    samples, denoised = drawn.states[-1], drawn.denoised[-1]
    images = some_images("mnist", "train")
    noise = [noise_on_constant_pixels(x, images, SIGMA_L) for x in (samples, denoised)]
    return enter(
        "I10",
        i10_checks(digit_distance(samples), digit_distance(denoised), *noise),
        {"samples": quantise(samples[:N_SHOWN]), "denoised": quantise(denoised[:N_SHOWN])},
        status="reported",
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier; the same chains with and without the step.",
        networks=["mnist_ncsn", "mnist_classifier"],
        command=command("I10", n_samples=n_samples, n_steps=n_steps),
        facts=drawing.facts() | {"rms_change": round(float((denoised - samples).square().mean().sqrt()), 5)},
    )


def i10_checks(samples: Measured, denoised: Measured, noise: Estimate, noise_left: Estimate) -> list[claims.Check]:
    """What I10 reports; nothing was expected of the distances, since later work found both signs.

    Args:
        samples, denoised: distances without and with the step.
        noise, noise_left: on pixels that never change, over σ_L²; see `noise_on_constant_pixels`.
    """
    return [
        check("Fréchet distance, as Algorithm 1 ends", samples.value, se=samples.se),
        check("Fréchet distance, denoised", denoised.value, se=denoised.se),
        check("denoised over not", denoised.value / samples.value),
        check("noise on constant pixels over σ_L², as Algorithm 1 ends", noise.value, se=noise.se),
        check("the same, denoised", noise_left.value, se=noise_left.se),
    ]
