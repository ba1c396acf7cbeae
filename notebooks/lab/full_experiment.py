"""Record runs for chapter 11, beside which a reader's run is drawn: losses, and sheets from the same noise.

    python notebooks/lab/full_experiment.py hour=runs/full_experiment/hour-mnist_small …

Each NAME=FOLDER is a run of the chapter, or of `sbgm train`. What the file holds of other runs stays.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas
import torch
from PIL import Image
from torch import Tensor

import records
from sbgm.files import load_tensors, save_tensors

FILE = "full_experiment.safetensors"


def recorded(name: str, run: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """What a run's folder tells: tensors by name, and its settings.

    Returns:
        NAME_steps (N,) and NAME_held_out (N,), at each measurement, and NAME_sheets (N, 8, H, W) uint8 of grey images.
    """
    log = pandas.read_csv(run / "log.csv").dropna()
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    tensors = {
        f"{name}_steps": torch.tensor(log["step"].to_numpy()),
        f"{name}_held_out": torch.tensor(log["held_out"].to_numpy(), dtype=torch.float32),
        f"{name}_sheets": torch.stack([sheet(run / "sheets" / f"step-{step:07d}.png") for step in log["step"]]),
    }
    return tensors, {name: settings | {"seconds": round(float(log["seconds"].iloc[-1]))}}


def sheet(path: Path) -> Tensor:
    """The eight images of a sheet, (8, H, W) uint8: `save_sheet` has enlarged them, with a border of one pixel."""
    pixels = torch.from_numpy(np.asarray(Image.open(path).convert("L")).copy())
    # (1 + H + 1) by 1 + 8 (W + 1) pixels of a square image, each enlarged to a square of the same size
    side = next(n for n in range(4, 129) if pixels.shape[0] * (1 + 8 * (n + 1)) == pixels.shape[1] * (n + 2))
    scale = pixels.shape[0] // (side + 2)
    small = pixels[scale // 2 :: scale, scale // 2 :: scale]
    return small[1:-1, 1:].unfold(1, side, side + 1).permute(1, 0, 2)


def main(words: list[str]) -> None:
    """Add the runs that are named to the file."""
    path = records.results_folder() / FILE
    tensors, facts = load_tensors(path) if path.exists() else ({}, {})
    for word in words:
        name, _, run = word.partition("=")
        of_run, settings = recorded(name, Path(run))
        tensors |= of_run
        facts |= settings
    save_tensors(path, tensors, **facts)


if __name__ == "__main__":
    main(sys.argv[1:])
