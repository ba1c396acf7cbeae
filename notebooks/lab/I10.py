"""I10: what a denoising step at the end changes; the paper has none."""

from pathlib import Path

from drawing import CPU, SIGMA_L, Machine, digit_distance, draw_digits, judged_distance
from I5 import noise_on_constant_pixels
from ledger import Measurement, Record, record, reported, script_options, show
from sbgm.measure import Estimate, quantise, ratio, some_images
from sbgm.measure.classifier import SHIPPED_CLASSIFIER

N_SHOWN = 16
NOTE = "Fréchet distances in the features of two classifiers; the same chains with and without the step."


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Report I10: the distance of sampled digits to real ones, with and without the step."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    words["networks"].append(SHIPPED_CLASSIFIER)
    samples = drawn.states[-1]
    denoised = drawn.denoised[-1]
    words["facts"]["rms_change"] = round(float((denoised - samples).square().mean().sqrt()), 5)
    training = some_images("mnist", "train")
    measurements = i10_measurements(
        [judged_distance(x) for x in (samples, denoised)],
        [digit_distance(x) for x in (samples, denoised)],
        noise_on_constant_pixels(samples, training, SIGMA_L),
        noise_on_constant_pixels(denoised, training, SIGMA_L),
    )
    tensors = {"samples": quantise(samples[:N_SHOWN]), "denoised": quantise(denoised[:N_SHOWN])}
    return record("I10", measurements, tensors, note=NOTE, **words)


def i10_measurements(
    judged: list[Estimate], guided: list[Estimate], noise: Estimate, noise_left: Estimate
) -> list[Measurement]:
    """The measurements of I10; nothing was expected of the distances, since later work found both signs.

    Args:
        judged, guided: distances without the step and with it, by the second classifier and by the first.
        noise, noise_left: on pixels that never change, over σ_L²; see `noise_on_constant_pixels`.
    """
    return [
        reported("Fréchet distance, as Algorithm 1 ends", judged[0]),
        reported("Fréchet distance, denoised", judged[1]),
        reported("denoised over not", ratio(judged[1], judged[0])),
        reported("the first classifier's, as Algorithm 1 ends", guided[0]),
        reported("the first classifier's, denoised", guided[1]),
        reported("noise on constant pixels over σ_L², as Algorithm 1 ends", noise),
        reported("the same, denoised", noise_left),
    ]


if __name__ == "__main__":
    options = script_options(__doc__, "samples", draws=True)
    show(measure(options.folder, machine=Machine(options.device, options.compile)))
