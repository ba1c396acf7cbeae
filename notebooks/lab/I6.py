"""I6: samples of the network of one noise level, by plain Langevin dynamics, beside the annealed ones of I1."""

import sys
from pathlib import Path

from torch import Tensor

from claims import Found, Measurement, declared, load_record, reported, run, seed
from drawing import CPU, DIGITS, FEATURES, HOW_DRAWN, Drawing, Machine, draw, judged_distance, wrong_digits
from sbgm import derived_generator
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, quantise, ratio
from sbgm.measure.classifier import JUDGE

N_SAMPLES = 250


def annealed_samples() -> Tensor:
    """The first samples of I1, from those that its record stores."""
    return load_record("I1").tensors["samples"][:N_SAMPLES].float() / 255


def control_distances(claim_id: str) -> dict[str, Estimate]:
    """The distances of as many training digits and of the controls made of them, see `wrong_digits`."""
    made = wrong_digits(N_SAMPLES, derived_generator(seed(claim_id), 0, 1))
    return {name: judged_distance(images) for name, images in made.items()}


def against_controls(annealed: Estimate, controls: dict[str, Estimate]) -> dict[str, Estimate]:
    """The bounded ratios that I6 and I11 share, by label: annealed samples, and real digits moved by two pixels."""
    farther = max(controls["turned"], controls["joined"])
    nearer = min(controls["turned"], controls["joined"])
    return {
        "annealed over the nearer control": ratio(annealed, nearer),
        "control: digits moved by two pixels over the farther control": ratio(controls["moved"], farther),
    }


def i6_measurements(one_level: Estimate, annealed: Estimate, controls: dict[str, Estimate]) -> list[Measurement]:
    """The measurements of I6, from the distances of samples and controls."""
    farther = max(controls["turned"], controls["joined"])
    ratios = {"one level over the farther control": ratio(one_level, farther)}
    ratios |= against_controls(annealed, controls)
    distances = {"one level": one_level, "annealed": annealed} | controls
    return [
        *(declared("I6", label, number) for label, number in ratios.items()),
        *(reported(f"Fréchet distance, {name}", distance) for name, distance in distances.items()),
    ]


def measure(folder: Path, machine: Machine = CPU) -> Found:
    """Measure I6: the distance of samples by plain Langevin dynamics, beside that of annealed ones and of controls."""
    drawing = Drawing("mnist_one_level", n_samples=N_SAMPLES, n_steps=1_000, kept="last", seed=seed("I6"))
    samples = draw(drawing, folder, machine).states[-1]
    measurements = i6_measurements(
        judged_distance(samples), judged_distance(annealed_samples()), control_distances("I6")
    )
    for name in ("mnist_one_level", "mnist_ncsn"):
        loss = load_network(name).facts["held_out_loss_by_level"][-1]
        measurements.append(reported(f"held-out loss at σ = 0.01, {name}", loss))
    return Found(
        measurements,
        {"samples": quantise(samples)},
        data=f"mnist_one_level, {N_SAMPLES} samples; as many of I1 and of each control; 10,000 MNIST test images",
        note=f"{FEATURES}.",
        narrower=DIGITS,
        networks=["mnist_one_level", "mnist_ncsn", JUDGE],
        facts=drawing.facts(*HOW_DRAWN) | {"compiled": machine.compile},
    )


if __name__ == "__main__":
    sys.exit(run("I6", measure, folder="samples"))
