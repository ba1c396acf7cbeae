"""Ship a run's network: `tools/ship_weights.py runs/mnist_ncsn` writes data/weights/mnist_ncsn.safetensors and its log.

The file says how it was made: command, data and its hash, seed, steps, seconds, hardware, held-out loss by level.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pandas
import torch

from sbgm.data import load_images
from sbgm.files import content_hash, file_hash, read_facts
from sbgm.lab.ncsn import NCSN
from sbgm.lab.runs import Run, hardware
from sbgm.measure import level_losses
from sbgm.weights import save_network, weights_file, weights_folder


def main() -> None:
    """Ship the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="+", help="the run's folder; its name is the network's")
    parser.add_argument("--to", type=Path, default=weights_folder(), help="the folder to write to")
    options = parser.parse_args()
    for folder in options.run:
        print(ship(Run(folder), options.to))


def ship(run: Run, to: Path, n_held_out: int = 256) -> Path:
    """Write the averaged weights of a run's latest checkpoint in half precision, with the facts of their making."""
    settings = NCSN.from_dict(run.settings)
    settings = dataclasses.replace(settings, training=dataclasses.replace(settings.training, n_steps=run.last_step))
    network = run.network()
    images = load_images(settings.data, "train")
    held_out = load_images(settings.data, "test")[:n_held_out]
    losses = level_losses(network, held_out, settings.sigmas, generator=torch.Generator().manual_seed(0))
    log, before = run.log(), started_from(settings.initial)
    earlier = log_before(settings.initial)
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{run.folder.name}.safetensors"
    save_network(
        network,
        path,
        dtype=torch.float16,
        image_shape=list(images.shape[1:]),
        data_range=[0.0, 1.0],
        command=command(settings, run.folder.name),
        data=f"{settings.data}, {len(images):,} training images",
        data_sha256=content_hash(images),
        settings=dataclasses.asdict(settings),
        steps=run.last_step,
        **before,
        seconds=round(float(log["seconds"][log["step"] <= run.last_step].iloc[-1])),
        hardware=hardware(),
        held_out_images=n_held_out,
        held_out_loss_by_level=[round(float(v), 3) for v in losses.values],
    )
    whole = log if earlier is None else continued(earlier, log)
    whole.to_csv(path.with_suffix(".log.csv"), index=False)
    return path


def started_from(initial: str | None) -> dict[str, object]:
    """What a run started from, where that was a trained network: its file's hash and what it says of its own making."""
    if initial is None:
        return {}
    file = weights_file(initial)
    facts = read_facts(file)
    kept = {name: facts[name] for name in ("command", "steps", "seconds", "started_from") if name in facts}
    return {"started_from": {"name": file.stem, "sha256": file_hash(file), **kept}}


def log_before(initial: str | None) -> pandas.DataFrame | None:
    """The log beside the trained network that a run started from, if there is one."""
    file = None if initial is None else weights_file(initial).with_suffix(".log.csv")
    return pandas.read_csv(file) if file is not None and file.is_file() else None


def continued(earlier: pandas.DataFrame, log: pandas.DataFrame) -> pandas.DataFrame:
    """Two logs as one: the second's steps and seconds count on from the first's."""
    last = earlier.iloc[-1]
    shifted = log.assign(step=log["step"] + int(last["step"]), seconds=log["seconds"] + last["seconds"])
    return pandas.concat([earlier, shifted], ignore_index=True)


def command(settings: NCSN, name: str) -> str:
    """The command that makes such a run."""
    words = ["python -m sbgm train", settings.data, f"--out runs/{name}"]
    usual = NCSN.of_scale(settings.data, "laptop")
    options = {"channels": "--channels", "sigma_max": "--sigma-max", "sigma_min": "--sigma-min", "n_levels": "--levels"}
    for name, option in options.items():
        if (value := getattr(settings, name)) != getattr(usual, name):
            words.append(f"{option} {value:g}")
    if settings.initial is not None:
        words.append(f"--from {settings.initial}")
    for name, option in {"batch_size": "--batch-size", "learning_rate": "--learning-rate", "seed": "--seed"}.items():
        if (value := getattr(settings.training, name)) != getattr(usual.training, name):
            words.append(f"{option} {value:g}")
    words += ["--compile"] * settings.training.compile
    words += ["--unconditional"] * (not settings.conditional) + ["--divide-by-sigma"] * settings.divide_by_sigma
    return " ".join([*words, f"--steps {settings.training.n_steps}"])


if __name__ == "__main__":
    main()
