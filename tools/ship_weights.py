"""Ship networks: `tools/ship_weights.py digits_mlp runs/mnist_ncsn` writes each one's file into data/weights/.

A name of `recipes.SHIPPED` is trained first, in seconds or minutes; a run, which has its training behind it, gives
its averaged weights and its log. Each file says how it was made: data and its hash, settings, seconds, hardware, and
what the network is worth.
"""

import argparse
import dataclasses
import hashlib
import math
import sys
import tempfile
from pathlib import Path

import pandas
import torch
from torch import nn

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from M2 import load_state, train_figure1
from recipes import (
    SHIPPED,
    ClassifierTraining,
    DigitsTraining,
    Figure1,
    MixtureTraining,
    accuracy,
    level_errors,
    sample_digits,
    timed,
    train_classifier,
    train_digits,
    train_mixture,
    untrained,
)
from sbgm.apps.train import Settings, last_step, load_checkpoint, read_record
from sbgm.files import Fact, content_hash, file_hash, read_facts
from sbgm.images.data import load_images, load_labels
from sbgm.images.devices import hardware
from sbgm.images.weights import load_network, save_network, save_weights, weights_file, weights_folder
from sbgm.measure import frechet_distance, level_losses
from sbgm.measure.classifier import LeNet
from sbgm.mixtures import paper_mixture
from sbgm.networks import ImageMLP, ResNet


def main() -> None:
    """Ship what is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", help="a name of SHIPPED, or a run's folder, whose name is the network's")
    parser.add_argument("--to", type=Path, default=weights_folder(), help="the folder to write to")
    options = parser.parse_args()
    for what in options.what:
        print(ship(what, options.to))


def ship(what: str, to: Path, **changes: object) -> Path:
    """Write a network's file, `to/name.safetensors`, with the facts of its making.

    On one machine and with one thread, a training of SHIPPED gives the same weights to the last bit.

    Args:
        what: a name of SHIPPED, or a run's folder, whose averaged weights are written in half precision.
        to: the folder to write to; it is made if need be.
        changes: to the settings of SHIPPED's training, such as n_steps=100 for a trial.

    Returns:
        The file.
    """
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{Path(what).name}.safetensors"
    if what not in SHIPPED:
        return ship_run(Path(what), path)
    network, settings = untrained(what, **changes)
    trained = {
        MixtureTraining: on_mixture,
        DigitsTraining: on_digits,
        ClassifierTraining: on_mnist,
        Figure1: on_raw,
    }
    facts = trained[type(settings)](network, settings)
    facts |= {"command": f"tools/ship_weights.py {what}", "hardware": hardware(), "torch": torch.__version__}
    if isinstance(network, ImageMLP):
        save_network(network, path, settings=settings.facts(), **facts)
        return path
    facts |= {"architecture": type(network).__name__, **settings.facts()}
    save_weights(network, path, dtype=torch.float16 if isinstance(network, LeNet | ResNet) else None, **facts)
    return path


def on_mixture(network: nn.Module, settings: MixtureTraining) -> dict[str, Fact]:
    """Train a network on the mixture; return the facts of its training and its errors."""
    mixture = paper_mixture()
    losses, seconds = timed(train_mixture(network, mixture, settings))
    last_tenth = losses[-math.ceil(len(losses) / 10) :]
    errors = level_errors(network, mixture, settings.sigmas, generator=torch.Generator().manual_seed(0))
    return {
        "data": "paper_mixture()",
        "seconds": seconds,
        "mean_loss_of_last_tenth": sum(last_tenth) / len(last_tenth),
        "relative_squared_error_by_level": errors.tolist(),
    }


def on_digits(network: ImageMLP, settings: DigitsTraining, n_samples: int = 1_000) -> dict[str, Fact]:
    """Train a network on the 8×8 digits; return the facts of its training, its losses and its samples' distance."""
    images, held_out = load_images("digits"), load_images("digits", "test")
    _, seconds = timed(train_digits(network, images, settings))
    losses = level_losses(network, held_out, settings.sigmas, generator=torch.Generator().manual_seed(1))
    samples = sample_digits(network, n_samples, generator=torch.Generator().manual_seed(2))
    return {
        "data_range": [0.0, 1.0],
        "data": f"digits, {len(images):,} training images",
        "data_sha256": hashlib.sha256(images.mul(16).round().byte().numpy().tobytes()).hexdigest(),
        "seconds": seconds,
        "held_out_images": len(held_out),
        "held_out_loss_by_level": [round(float(value), 3) for value in losses.values],
        "frechet_distance": round(frechet_distance(samples.flatten(1), images.flatten(1)).value, 3),
        "frechet_distance_of": f"{n_samples:,} samples (T = 100, ε = 2e-5) to the training images, in pixels",
    }


def on_mnist(network: nn.Module, settings: ClassifierTraining) -> dict[str, Fact]:
    """Train a classifier on MNIST; return the facts of its training and its accuracy.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    images, labels = load_images("mnist"), load_labels("mnist")
    _, seconds = timed(train_classifier(network, images, labels, settings))
    if isinstance(network, LeNet):
        network.half().float()  # the file's precision, so that it holds what was tested
    return {
        "data": f"MNIST, {len(images):,} training images",
        "data_sha256": content_hash(images, labels),
        "seconds": seconds,
        "test_accuracy": accuracy(network, load_images("mnist", "test"), load_labels("mnist", "test")),
    }


def on_raw(network: nn.Module, settings: Figure1) -> dict[str, Fact]:
    """Train Fig. 1's network on raw MNIST; return the facts of its training.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    images = load_images("mnist")
    with tempfile.TemporaryDirectory() as folder:
        losses, seconds = timed(train_figure1(images, settings, folder=folder))
        network.load_state_dict(load_state(folder)["network"])
    return {
        "data": f"MNIST, {len(images):,} training images, without noise",
        "data_sha256": content_hash(images),
        "seconds": seconds,
        "last_losses": [float(f"{loss:.4g}") for loss in losses[-5:]],
    }


def ship_run(run: Path, path: Path, n_held_out: int = 256) -> Path:
    """Write the averaged weights of a run's latest checkpoint, and its log, beside them."""
    record, steps = read_record(run), last_step(run)
    settings = Settings(**{field.name: record[field.name] for field in dataclasses.fields(Settings)})
    settings = dataclasses.replace(settings, steps=steps)
    network, log = load_network(run), pandas.read_csv(run / "log.csv")
    images = load_images(settings.data, "train")
    held_out = load_images(settings.data, "test")[:n_held_out]
    losses = level_losses(network, held_out, settings.sigmas, generator=torch.Generator().manual_seed(0))
    before = {} if settings.initial is None else {"started_from": origin(weights_file(settings.initial))}
    save_network(
        network,
        path,
        dtype=torch.float16,
        image_shape=list(images.shape[1:]),
        data_range=[0.0, 1.0],
        command=f"tools/ship_weights.py {run}",
        data=f"{settings.data}, {len(images):,} training images",
        data_sha256=content_hash(images),
        settings=dataclasses.asdict(settings),
        steps=steps,
        **before,
        seconds=round(float(log["seconds"][log["step"] <= steps].iloc[-1])),
        hardware=load_checkpoint(run, {})["hardware"],
        held_out_images=n_held_out,
        held_out_loss_by_level=[round(float(v), 3) for v in losses.values],
    )
    earlier = settings.initial and weights_file(settings.initial).with_suffix(".log.csv")
    whole = continued(pandas.read_csv(earlier), log) if earlier and earlier.is_file() else log
    whole.to_csv(path.with_suffix(".log.csv"), index=False)
    return path


def origin(file: Path) -> dict[str, object]:
    """What tells where a run started: a trained network's name, its file's hash and what it says of its own making."""
    facts = read_facts(file)
    kept = {name: facts[name] for name in ("command", "settings", "steps", "seconds", "started_from") if name in facts}
    return {"name": file.stem, "sha256": file_hash(file), **kept}


def continued(earlier: pandas.DataFrame, log: pandas.DataFrame) -> pandas.DataFrame:
    """Two logs as one: the second's steps and seconds count on from the first's."""
    last = earlier.iloc[-1]
    shifted = log.assign(step=log["step"] + int(last["step"]), seconds=log["seconds"] + last["seconds"])
    return pandas.concat([earlier, shifted], ignore_index=True)


if __name__ == "__main__":
    main()
