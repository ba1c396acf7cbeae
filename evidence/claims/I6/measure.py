"""I6: samples of the network of one noise level, by plain Langevin dynamics, beside the annealed ones of I1."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from errors import ratio
from ledger import Measurement, Record, declared, load_record, record, reported, seed
from samples import (
    CPU,
    FEATURES,
    HOW_DRAWN,
    Drawing,
    Machine,
    draw,
    images_of,
    judged_distance,
    narrower_width,
    wrong_digits,
)
from sbgm import derived_generator
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, quantise
from sbgm.measure.classifier import JUDGE

OPTIONS = {"folder": "samples", "draws": True}
N_SAMPLES = 250
N_CONTROL = 5_000
"""Real digits of each kind for the control that no sample enters: as many as make its ± small."""
MOVED = f"control: {N_CONTROL:,} digits moved by two pixels over the farther control"


def annealed_samples(n: int) -> Tensor:
    """The first n samples of I1, from the 1,000 that its record stores."""
    return images_of(load_record("I1").tensors["samples"][:n])


def control_distances(n: int, part: int) -> dict[str, Estimate]:
    """The distances of n training digits and of the controls made of them, see `wrong_digits`."""
    made = wrong_digits(n, derived_generator(seed("I6"), 0, part))
    return {name: judged_distance(images) for name, images in made.items()}


def farther_control(controls: dict[str, Estimate]) -> Estimate:
    """The larger distance of turned digits and joined halves."""
    return max(controls["turned"], controls["joined"])


def over_nearer(annealed: Estimate, controls: dict[str, Estimate]) -> Estimate:
    """The distance of annealed samples over the smaller one of turned digits and joined halves."""
    return ratio(annealed, min(controls["turned"], controls["joined"]))


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I6, from the "samples" of one level (N, 1, 28, 28)."""
    samples = images_of(kept["samples"])
    one_level = judged_distance(samples)
    annealed = judged_distance(annealed_samples(len(samples)))
    controls = control_distances(len(samples), 1)
    many = control_distances(N_CONTROL, 4)
    ratios = {
        "one level over the farther control": ratio(one_level, farther_control(controls)),
        "annealed over the nearer control": over_nearer(annealed, controls),
        MOVED: ratio(many["moved"], farther_control(many)),
    }
    distances = {"one level": one_level, "annealed": annealed} | controls
    return [
        *(declared("I6", label, number) for label, number in ratios.items()),
        *(reported(f"Fréchet distance, {name}", distance) for name, distance in distances.items()),
    ]


def measure(folder: Path, machine: Machine = CPU) -> Record:
    """Measure I6: the distance of samples by plain Langevin dynamics, beside that of annealed ones and of controls."""
    drawing = Drawing("mnist_one_level", n_samples=N_SAMPLES, n_steps=1_000, every_level=False, seed=seed("I6"))
    kept = {"samples": quantise(draw(drawing, folder, machine).states[-1])}
    networks = ("mnist_one_level", "mnist_ncsn")
    losses = {name: load_network(name).facts["held_out_loss_by_level"][-1] for name in networks}
    return record(
        "I6",
        [
            *measurements(kept),
            *(reported(f"held-out loss at σ = 0.01, {name}", loss) for name, loss in losses.items()),
        ],
        kept,
        data=f"mnist_one_level, {N_SAMPLES} samples; as many of I1 and of each control; 10,000 MNIST test images",
        note=f"{FEATURES}.",
        narrower=f"{narrower_width()}one training, on MNIST",
        networks=[*networks, JUDGE],
        facts=drawing.facts(*HOW_DRAWN) | {"compiled": machine.compile},
    )
