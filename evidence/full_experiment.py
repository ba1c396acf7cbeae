"""Record runs for chapter 7, beside which a reader's run is drawn: its losses, and how many of its digits can be read.

    for seed in 0 1 2; do
        sbgm train digits --channels 16 --divide-by-sigma --batch-size 64 --steps 1200 --learning-rate 6e-3 \\
            --warm-up 100 --schedule cosine --ema 0.99 --measure-every 300 --precision fp32 --threads 1 \\
            --seed $seed --out runs/$seed
    done
    python evidence/full_experiment.py minutes=runs/0,runs/1,runs/2

Each NAME=FOLDER is a run of the chapter, or of `sbgm train`; several folders are runs that differ in their seed. Of a
run on scikit-learn's digits 500 samples are drawn as the chapter draws them, and read by a classifier. What the
file holds under other names stays.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import avg_pool2d

import ledger
from sbgm.files import load_tensors, save_tensors
from sbgm.images.data import load_images, load_labels
from sbgm.images.drawing import generate
from sbgm.images.weights import load_network
from sbgm.noise import derived_generator
from sbgm.samplers import annealed_langevin, denoise

FILE = "full_experiment.safetensors"
N_SAMPLES = 500
HOW = {"n_steps": 20, "step_size": 1e-4}  # T ε is the paper's, in a fifth of its evaluations
SURE = 0.9  # the probability of its class from which on the classifier counts as sure


def sure(images: Tensor) -> float:
    """The share of 8×8 digits (N, 1, 8, 8) of which a logistic regression on real digits is sure."""
    classifier = LogisticRegression(max_iter=1_000)
    classifier.fit(load_images("digits").flatten(1), load_labels("digits"))
    chances = classifier.predict_proba(images.clamp(0, 1).flatten(1))
    return float((chances.max(axis=1) > SURE).mean())


def sure_of_run(run: Path) -> float:
    """The share of 500 samples of a run's network, denoised, of which the classifier is sure."""
    network = load_network(run)
    samples = generate(
        lambda x, generator: annealed_langevin(network, x, network.sigmas, **HOW, generator=generator),
        (N_SAMPLES, 1, 8, 8),
        seed=0,
        batch_size=100,
    )
    return sure(denoise(network, samples, network.ladder[-1]).detach())


def controls() -> dict[str, float]:
    """The same share of images that are no samples: digits never seen, the same blurred, and noise."""
    real = load_images("digits", "test")
    return {
        "test digits": sure(real),
        "blurred digits": sure(avg_pool2d(real, 3, 1, 1)),
        "noise": sure(torch.rand(N_SAMPLES, 1, 8, 8, generator=derived_generator(1))),
    }


def recorded(name: str, runs: list[Path]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What the folders of runs that differ in their seed tell: tensors by name, and their settings.

    Returns:
        NAME_steps (N,) and NAME_held_out (R, N), of each run at each measurement. With the settings of runs on digits
        stand the shares of which the classifier is sure: of each run's samples, and of the controls.

    Raises:
        ValueError: the runs differ in another setting, or were measured at other steps.
    """
    logs = [pandas.read_csv(run / "log.csv").dropna() for run in runs]
    settings = [json.loads((run / "settings.json").read_text(encoding="utf-8")) for run in runs]
    seeds = [of_run.pop("seed") for of_run in settings]
    steps = [log["step"].tolist() for log in logs]
    if any(one != settings[0] for one in settings) or any(one != steps[0] for one in steps):
        raise ValueError(f"the runs of {name} must differ in their seed alone")
    tensors = {
        f"{name}_steps": torch.tensor(steps[0]),
        f"{name}_held_out": torch.tensor([log["held_out"].tolist() for log in logs]),
    }
    seconds = [round(float(log["seconds"].iloc[-1])) for log in logs]
    facts: dict[str, Any] = settings[0] | {"seeds": seeds, "seconds": seconds}
    if settings[0]["data"] == "digits":
        facts |= {"sure": [sure_of_run(run) for run in runs], "controls": controls()}
    return tensors, {name: facts}


def main(words: list[str]) -> None:
    """Add the runs that are named to the file."""
    path = ledger.results_folder() / FILE
    tensors, facts = load_tensors(path) if path.exists() else ({}, {})
    for word in words:
        name, _, folders = word.partition("=")
        of_runs, settings = recorded(name, [Path(folder) for folder in folders.split(",")])
        tensors |= of_runs
        facts |= settings
    save_tensors(path, tensors, **facts)


if __name__ == "__main__":
    main(sys.argv[1:])
