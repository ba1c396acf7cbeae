"""I11: a score network trained on raw MNIST, at three checkpoints that have not blown up, by plain Langevin dynamics.

What is done is kept; a run that was stopped goes on with the next 50 iterations, or batch of samples.
"""

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

import I6
from claims import Found, Measurement, declared, reported, run
from drawing import DIGITS, FEATURES, Drawing, digit_distance, draw
from M2 import load_raw, load_state, train_figure1
from recipes import untrained
from sbgm.images.data import load_images
from sbgm.images.weights import save_weights
from sbgm.measure import Estimate, quantise, ratio
from sbgm.measure.classifier import SHIPPED_CLASSIFIER
from sbgm.samplers import SamplerDivergedError
from sbgm.training import Step

CANDIDATES = (100, 200, 300, 350, 400, 450)
N_CHECKPOINTS = 3
N_BEFORE = 20
"""Iterations whose mean loss tells whether a network has blown up: a zero score has 0."""


def checkpoints(folder: Path, train: Callable[..., Iterator[Step]] = train_figure1) -> dict[int, Path]:
    """The weights at the first three candidates that have not blown up, by iteration of the training."""
    network, settings = untrained("mnist_raw", n_steps=CANDIDATES[-1])
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
    """1,000 samples of a checkpoint, or None where chains leave the floating-point numbers."""
    settings = {"n_samples": I6.N_SAMPLES, "n_steps": 1_000, "precision": "fp32", "kept": "last"}
    try:
        return draw(Drawing(str(file), **settings), folder, load=load_raw).states[-1]
    except SamplerDivergedError:
        return None


def i11_measurements(samples: dict[int, Tensor | None], annealed: Estimate, real: Estimate) -> list[Measurement]:
    """The measurements of I11 on the samples of each checkpoint, (N, 1, 28, 28), by iteration; see `samples_of`."""
    drawn = {step: x for step, x in samples.items() if x is not None}
    distances = {step: digit_distance(x) for step, x in drawn.items()}
    nearest = min((ratio(d, annealed) for d in distances.values()), key=lambda r: r.value, default=math.inf)
    smallest = "Fréchet distance, no noise over annealed, the smallest of three checkpoints"
    return [
        declared("I11", smallest, nearest),
        declared("I11", "control: training digits with noise σ_L, over annealed", ratio(real, annealed)),
        declared("I11", "checkpoints that had not blown up", len(samples)),
        declared("I11", "samples of each", min(map(len, drawn.values()), default=0)),
        reported("checkpoints whose chains left the floating-point numbers", len(samples) - len(drawn)),
        *(reported(f"Fréchet distance, no noise, {step} iterations", d) for step, d in distances.items()),
        reported("Fréchet distance, annealed", annealed),
    ]


def measure(folder: Path) -> Found:
    """Measure I11: the distance of samples of a network trained without noise, beside that of annealed ones."""
    samples = {step: samples_of(file, folder) for step, file in checkpoints(folder).items()}
    return Found(
        i11_measurements(samples, I6.annealed_distance(), I6.real_distance()),
        {f"samples_{step}": quantise(x) for step, x in samples.items() if x is not None},
        narrower=DIGITS,
        data=f"Fig. 1's ResNet at half its width, {I6.N_SAMPLES:,} samples at each of three checkpoints; those of I1; "
        "10,000 MNIST test images",
        note=f"{FEATURES}.",
        networks=["mnist_ncsn", SHIPPED_CLASSIFIER],
        facts={"n_samples": I6.N_SAMPLES, "n_steps": 1_000, "step_size": 2e-5, "precision": "fp32", "seed": 0},
    )


if __name__ == "__main__":
    sys.exit(run("I11", measure))
