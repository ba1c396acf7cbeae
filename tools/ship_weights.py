"""Ship networks: `PYTHONPATH=evidence python tools/ship_weights.py digits_mlp runs/mnist_ncsn`.

Each network's file is written into data/weights/. A name of `recipes.SHIPPED` is trained first, in seconds or minutes;
a run, which has its training behind it, gives its averaged weights and its log. Each file says how it was made: data
and its hash, settings, seconds, hardware, and what the network is worth.
"""

import argparse
import dataclasses
import hashlib
from pathlib import Path

import pandas
import torch
from torch import Tensor, nn

import recipes
from sbgm.apps.train import Settings, read_record
from sbgm.files import Fact, content_hash, file_hash, read_facts
from sbgm.images.data import load_images, load_labels
from sbgm.images.devices import hardware
from sbgm.images.drawing import uniform_start
from sbgm.images.weights import load_network, save_network, save_weights, weights_file, weights_folder
from sbgm.measure import frechet_distance, level_losses
from sbgm.measure.classifier import LeNet
from sbgm.networks import ImageMLP
from sbgm.samplers import annealed_langevin, final


def main() -> None:
    """Ship what is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", help="a name of SHIPPED, or a run's folder, whose name is the network's")
    parser.add_argument("--to", type=Path, default=weights_folder(), help="the folder to write to")
    options = parser.parse_args()
    for what in options.what:
        print(ship(what, options.to))


def ship(what: str, to: Path, **changes: object) -> Path:
    """Write a network's file, `to/name.safetensors`, with the facts of its making, and return the file.

    On one machine and with one thread, a training of SHIPPED gives the same weights to the last bit.

    Args:
        what: a name of SHIPPED, or a run's folder, whose averaged weights are written in half precision.
        to: the folder to write to; it is made if need be.
        changes: to the settings of SHIPPED's training, such as n_steps=100 for a trial.

    Raises:
        DataNotFoundError: the network is trained on MNIST, which is not at hand.
    """
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{Path(what).name}.safetensors"
    if what not in recipes.SHIPPED:
        return ship_run(Path(what), path)
    network, settings = recipes.untrained(what, **changes)
    trained = {
        recipes.DigitsTraining: on_digits,
        recipes.ClassifierTraining: on_mnist,
    }
    facts = trained[type(settings)](network, settings)
    facts |= {"command": f"tools/ship_weights.py {what}", "hardware": hardware(), "torch": torch.__version__}
    if isinstance(network, ImageMLP):
        save_network(network, path, settings=settings.facts(), **facts)
        return path
    facts |= {"architecture": type(network).__name__, **settings.facts()}
    save_weights(network, path, dtype=torch.float16 if isinstance(network, LeNet) else None, **facts)
    return path


def on_digits(network: ImageMLP, settings: recipes.DigitsTraining, n_samples: int = 1_000) -> dict[str, Fact]:
    """Train a network on the 8×8 digits; return the facts of its training, its losses and its samples' distance."""
    images = load_images("digits")
    held_out = load_images("digits", "test")
    _, seconds = recipes.timed(recipes.train_digits(network, images, settings))
    generator = torch.Generator().manual_seed(2)
    x = uniform_start((n_samples, *network.image_shape), generator)
    samples = final(annealed_langevin(network, x, network.sigmas, step_size=2e-5, n_steps=100, generator=generator))
    return {
        "data_range": [0.0, 1.0],
        "data": f"digits, {len(images):,} training images",
        "data_sha256": hashlib.sha256(images.mul(16).round().byte().numpy().tobytes()).hexdigest(),
        "seconds": seconds,
        "held_out_images": len(held_out),
        "held_out_loss_by_level": held_out_losses(network, held_out, settings.sigmas, seed=1),
        "frechet_distance": round(frechet_distance(samples.flatten(1), images.flatten(1)).value, 3),
        "frechet_distance_of": f"{n_samples:,} samples (T = 100, ε = 2e-5) to the training images, in pixels",
    }


def on_mnist(network: nn.Module, settings: recipes.ClassifierTraining) -> dict[str, Fact]:
    """Train a classifier on MNIST; return the facts of its training and its accuracy."""
    images = load_images("mnist")
    labels = load_labels("mnist")
    _, seconds = recipes.timed(recipes.train_classifier(network, images, labels, settings))
    if isinstance(network, LeNet):
        network.half().float()  # the file's precision, so that it holds what was tested
    return {
        "data": f"MNIST, {len(images):,} training images",
        "data_sha256": content_hash(images, labels),
        "seconds": seconds,
        "test_accuracy": recipes.accuracy(network, load_images("mnist", "test"), load_labels("mnist", "test")),
    }


def held_out_losses(network: nn.Module, images: Tensor, sigmas: Tensor, seed: int) -> list[float]:
    """The loss at each level, to three digits after the point."""
    losses = level_losses(network, images, sigmas, generator=torch.Generator().manual_seed(seed))
    return [round(loss.value, 3) for loss in losses]


def ship_run(run: Path, path: Path, n_held_out: int = 256) -> Path:
    """Write the averaged weights of a run's latest checkpoint, and its log, beside them."""
    record = read_record(run)
    network = load_network(run)
    steps = network.facts["step"]
    names = [field.name for field in dataclasses.fields(Settings) if field.name in record]
    settings = Settings(**{name: record[name] for name in names})
    settings = dataclasses.replace(settings, steps=steps)
    log = pandas.read_csv(run / "log.csv")
    log = log[log["step"] <= steps]  # a killed run's log may go beyond its last checkpoint
    seconds = float(log["seconds"].iloc[-1])
    images = load_images(settings.data, "train")
    held_out = load_images(settings.data, "test")[:n_held_out]
    facts: dict[str, Fact] = {
        "image_shape": list(images.shape[1:]),
        "data_range": [0.0, 1.0],
        "command": f"tools/ship_weights.py {run}",
        "data": f"{settings.data}, {len(images):,} training images",
        "data_sha256": content_hash(images),
        "settings": dataclasses.asdict(settings),
        "steps": steps,
    }
    if settings.from_ is not None:
        before = weights_file(settings.from_)
        facts["started_from"] = origin(before)
        if before.with_suffix(".log.csv").is_file():
            log = continued(pandas.read_csv(before.with_suffix(".log.csv")), log)
    facts |= {
        "seconds": round(seconds),
        "hardware": network.facts["hardware"],
        "held_out_images": n_held_out,
        "held_out_loss_by_level": held_out_losses(network, held_out, settings.sigmas, seed=0),
    }
    save_network(network, path, dtype=torch.float16, **facts)
    log.to_csv(path.with_suffix(".log.csv"), index=False)
    return path


def origin(file: Path) -> dict[str, object]:
    """What tells where a run started: a trained network's name, its file's hash and what it says of its own making."""
    facts = read_facts(file)
    told = {name: facts[name] for name in ("command", "settings", "steps", "seconds", "started_from") if name in facts}
    return {"name": file.stem, "sha256": file_hash(file), **told}


def continued(earlier: pandas.DataFrame, log: pandas.DataFrame) -> pandas.DataFrame:
    """Two logs as one: the second's steps and seconds count on from the first's."""
    last = earlier.iloc[-1]
    shifted = log.assign(step=log["step"] + int(last["step"]), seconds=log["seconds"] + last["seconds"])
    return pandas.concat([earlier, shifted], ignore_index=True)


if __name__ == "__main__":
    main()
