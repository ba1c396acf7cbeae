"""I11: a score network trained on raw MNIST, at three checkpoints that have not blown up, by plain Langevin dynamics.

What is done is kept; a run that was stopped goes on with the next 50 iterations, or batch of samples.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor
from torch.nn import functional

import I6
from drawing import FEATURES, Drawing, draw, judged_distance, wrong_digits
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from M2 import load_raw, load_state, train_figure1
from recipes import untrained
from sbgm import derived_generator
from sbgm.files import file_hash
from sbgm.images.data import load_images
from sbgm.images.weights import save_weights
from sbgm.measure import Estimate, confident_share, in_batches, quantise, ratio, shown
from sbgm.measure.classifier import JUDGE, load_classifier
from sbgm.measure.distances import shuffled_blocks
from sbgm.samplers import SamplerDivergedError
from sbgm.training import Step

CANDIDATES = (100, 200, 300, 350, 400, 450)
N_CHECKPOINTS = 3
N_SAMPLES = 500
"""Of each checkpoint: where a classifier is sure of none of them, Wilson's interval ends below 1 %."""
N_BEFORE = 20
"""Iterations whose mean loss tells whether a network has blown up: a zero score has 0."""


def checkpoints(folder: Path, train: Callable[..., Iterator[Step]] = train_figure1) -> dict[int, Path]:
    """The weights at the first three candidates that have not blown up, by iteration of the training."""
    network, settings = untrained("mnist_raw", n_steps=CANDIDATES[-1], seed=seed("I11"))
    losses = []
    chosen: dict[int, Path] = {}
    for step in train(load_images("mnist"), settings, folder=folder / "run", save_every=50):
        losses.append(step.loss)
        if step.step not in CANDIDATES or len(chosen) == N_CHECKPOINTS:
            continue
        file = folder / f"raw_{step.step}.safetensors"
        if not file.exists():
            state = load_state(folder / "run")  # the run keeps its last state alone
            if len(state["losses"]) != step.step:
                raise FileNotFoundError(f"{file} is missing, and the run has gone on: remove {folder}, and begin anew")
            network.load_state_dict(state["network"])
            save_weights(network, file, loss=sum(losses[-N_BEFORE:]) / N_BEFORE, n_steps=step.step)
        if sum(losses[-N_BEFORE:]) / N_BEFORE < 0:
            chosen[step.step] = file
    return chosen


def samples_of(file: Path, folder: Path) -> Tensor | None:
    """Samples of a checkpoint, or None where chains leave the floating-point numbers."""
    settings = {"n_samples": N_SAMPLES, "n_steps": 1_000, "precision": "fp32", "kept": "last"}
    # With seed("I11") itself, which the same bounds leave as it was, the first 250 were known before 500 were declared.
    drawing = Drawing(str(file), seed=seed("I11") + 1, **settings)
    try:
        return draw(drawing, folder, load=load_raw).states[-1]
    except SamplerDivergedError:
        return None


def sure_share(images: Tensor) -> Estimate:
    """The share of images whose class the second classifier is 90 % sure of; none of n is not known to ± 0."""
    found = confident_share(in_batches(load_classifier(JUDGE), shown(images)))
    return Estimate(found.value, (found.high - found.value) / 2)  # the upper end of Wilson's interval


def i11_measurements(
    samples: dict[int, Tensor | None], annealed: Estimate, controls: dict[str, Estimate]
) -> list[Measurement]:
    """The measurements of I11.

    Args:
        samples: of each checkpoint, (N, 1, 28, 28), by iteration; see `samples_of`.
        annealed, controls: distances, see `I6.control_distances`.
    """
    drawn = {step: x for step, x in samples.items() if x is not None}
    distances = {step: judged_distance(x) for step, x in drawn.items()}
    farther = I6.farther_control(controls)
    nearest = min((ratio(d, farther) for d in distances.values()), default=math.inf)
    surest = max((sure_share(x) for x in drawn.values()), default=0)
    ratios = {"nearest of three checkpoints over the farther control": nearest}
    ratios["share that the second classifier is 90 % sure of, the largest of three"] = surest
    ratios |= I6.against_controls("I11", annealed, controls)
    return [
        *(declared("I11", label, number) for label, number in ratios.items()),
        declared("I11", "checkpoints that had not blown up", len(samples)),
        reported("checkpoints whose chains left the floating-point numbers", len(samples) - len(drawn)),
        *(reported(f"Fréchet distance, no noise, {step} iterations", d) for step, d in distances.items()),
        reported("Fréchet distance, annealed", annealed),
        *(reported(f"Fréchet distance, {name}", distance) for name, distance in controls.items()),
    ]


def sure_of_controls() -> list[Measurement]:
    """The share that the classifier is sure of, of digits that are turned, joined, jumbled and blurred."""
    made = wrong_digits(N_SAMPLES, derived_generator(seed("I11"), 0, 2))
    digits = made["training"]
    blurred = functional.avg_pool2d(functional.pad(digits, [2] * 4, mode="reflect"), 5, stride=1)
    jumbled = shuffled_blocks(digits, generator=derived_generator(seed("I11"), 0, 3))
    kinds = {"turned": made["turned"], "joined": made["joined"], "jumbled": jumbled, "blurred": blurred}
    return [
        reported(f"share that the classifier is sure of, {name} digits", sure_share(x)) for name, x in kinds.items()
    ]


def measure(folder: Path) -> Record:
    """Measure I11: the distance of samples of a network trained without noise, beside those of the controls."""
    files = checkpoints(folder)
    samples = {step: samples_of(file, folder) for step, file in files.items()}
    annealed = judged_distance(I6.annealed_samples(N_SAMPLES))
    measurements = i11_measurements(samples, annealed, I6.control_distances("I11", N_SAMPLES, 1))
    hashes = {f"sha256 of {file.name}": file_hash(file) for file in files.values()}
    return record(
        "I11",
        [*measurements, *sure_of_controls()],
        {f"samples_{step}": quantise(x) for step, x in samples.items() if x is not None},
        narrower="half the width of Fig. 1's network, on MNIST, three checkpoints of one training",
        data=f"Fig. 1's ResNet at half its width, {N_SAMPLES} samples at each of three checkpoints; as many of I1 "
        "and of each control; 10,000 MNIST test images",
        note=f"{FEATURES}.",
        networks=["mnist_ncsn", JUDGE],
        facts={"n_samples": N_SAMPLES, "n_steps": 1_000, "step_size": 2e-5, "precision": "fp32"} | hashes,
    )


if __name__ == "__main__":
    show(measure(script_options(__doc__, "I11").folder))
