"""I10: what a denoising step at the end changes; the paper has none."""

import sys
from pathlib import Path

from claims import Found, Measurement, reported, run
from drawing import CPU, FEATURES, Machine, NSamples, NSteps, digit_distance, draw_digits
from I5 import noise_on_constant_pixels
from sbgm.measure import Estimate, quantise, ratio, some_images

SIGMA_L = 0.01
N_SHOWN = 16


def measure(
    folder: Path,
    n_samples: NSamples = 1_000,
    n_steps: NSteps = 100,
    machine: Machine = CPU,
) -> Found:
    """Report I10: the distance of sampled digits to real ones, with and without the step."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    samples = drawn.states[-1]
    denoised = drawn.denoised[-1]
    words["facts"]["rms_change"] = round(float((denoised - samples).square().mean().sqrt()), 5)
    training = some_images("mnist", "train")
    measurements = i10_measurements(
        digit_distance(samples),
        digit_distance(denoised),
        noise_on_constant_pixels(samples, training, SIGMA_L),
        noise_on_constant_pixels(denoised, training, SIGMA_L),
    )
    tensors = {"samples": quantise(samples[:N_SHOWN]), "denoised": quantise(denoised[:N_SHOWN])}
    return Found(measurements, tensors, note=f"{FEATURES}; the same chains with and without the step.", **words)


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
