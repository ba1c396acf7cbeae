"""I10: what a denoising step at the end changes; the paper has none."""

import sys
from pathlib import Path
from typing import Annotated

from claims import Found, Measurement, reported, run
from drawing import CPU, DIGITS, FEATURES, Machine, digit_distance, draw_digits
from I5 import noise_on_constant_pixels
from sbgm.guard import Count
from sbgm.measure import Estimate, quantise, ratio, some_images
from sbgm.measure.classifier import SHIPPED_CLASSIFIER

SIGMA_L, N_SHOWN = 0.01, 16


def measure(
    folder: Path,
    n_samples: Annotated[Count, "samples, more than 128, the number of features"] = 1_000,
    n_steps: Annotated[Count, "T, Langevin steps a level"] = 100,
    machine: Machine = CPU,
) -> Found:
    """Report I10: the distance of sampled digits to real ones, with and without the step."""
    drawn, facts = draw_digits(folder, n_samples, n_steps, machine)
    images, both = some_images("mnist", "train"), {"samples": drawn.states[-1], "denoised": drawn.denoised[-1]}
    distances = [digit_distance(x) for x in both.values()]
    noise = [noise_on_constant_pixels(x, images, SIGMA_L) for x in both.values()]
    change = float((both["denoised"] - both["samples"]).square().mean().sqrt())
    return Found(
        i10_measurements(*distances, *noise),
        {name: quantise(x[:N_SHOWN]) for name, x in both.items()},
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note=f"{FEATURES}; the same chains with and without the step.",
        narrower=DIGITS,
        networks=["mnist_ncsn", SHIPPED_CLASSIFIER],
        facts=facts | {"rms_change": round(change, 5)},
        status="reported",
    )


def i10_measurements(samples: Estimate, denoised: Estimate, noise: Estimate, noise_left: Estimate) -> list[Measurement]:
    """The measurements of I10; nothing was expected of the distances, since later work found both signs.

    Args:
        samples, denoised: distances without and with the step.
        noise, noise_left: on pixels that never change, over σ_L²; see `noise_on_constant_pixels`.
    """
    return [
        reported("Fréchet distance, as Algorithm 1 ends", samples),
        reported("Fréchet distance, denoised", denoised),
        reported("denoised over not", ratio(denoised, samples)),
        reported("noise on constant pixels over σ_L², as Algorithm 1 ends", noise),
        reported("the same, denoised", noise_left),
    ]


if __name__ == "__main__":
    sys.exit(run("I10", measure, folder="samples"))
