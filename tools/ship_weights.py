"""Ship a run's network: `tools/ship_weights.py runs/mnist_ncsn` writes data/weights/mnist_ncsn.safetensors and its log.

The file says how it was made: command, data and its hash, seed, steps, seconds, hardware, held-out loss by level.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pandas
import torch

from sbgm.cli.train import FLAGS, flag
from sbgm.data import load_images
from sbgm.files import content_hash, file_hash, read_facts
from sbgm.measure import level_losses
from sbgm.train.images import NCSN
from sbgm.train.runs import Run, hardware
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
    network, log, images = run.network(), run.log(), load_images(settings.data, "train")
    held_out = load_images(settings.data, "test")[:n_held_out]
    losses = level_losses(network, held_out, settings.sigmas, generator=torch.Generator().manual_seed(0))
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{run.folder.name}.safetensors"
    before = {} if settings.initial is None else {"started_from": origin(weights_file(settings.initial))}
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
        hardware=run.load({}).get("hardware", hardware()),  # which runs of older versions do not say
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
    kept = {name: facts[name] for name in ("command", "steps", "seconds", "started_from") if name in facts}
    return {"name": file.stem, "sha256": file_hash(file), **kept}


def continued(earlier: pandas.DataFrame, log: pandas.DataFrame) -> pandas.DataFrame:
    """Two logs as one: the second's steps and seconds count on from the first's."""
    last = earlier.iloc[-1]
    shifted = log.assign(step=log["step"] + int(last["step"]), seconds=log["seconds"] + last["seconds"])
    return pandas.concat([earlier, shifted], ignore_index=True)


def command(settings: NCSN, name: str) -> str:
    """The command that makes such a run: each setting that is not the laptop's, and the number of steps."""
    usual = NCSN.of_scale(settings.data, "laptop")
    now, before = ({**vars(s), **vars(s.training), "training": None} for s in (settings, usual))
    changes = [option(k, value) for k, value in now.items() if value != before[k] or k == "n_steps"]
    return " ".join(["python -m sbgm train", settings.data, f"--out runs/{name}", *changes])


def option(setting: str, value: object) -> str:
    """What gives a setting this value on the command line."""
    if isinstance(value, bool):
        return flag(setting) if value or setting in FLAGS else flag(setting).replace("--", "--no-")
    return f"{flag(setting)} {value}"


if __name__ == "__main__":
    main()
