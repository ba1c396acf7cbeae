"""Record runs for chapter 7, beside which a reader's run is drawn: losses, and sheets from the same noise.

    python evidence/full_experiment.py hour=runs/full_experiment/hour-mnist_small minute=runs/a,runs/b,runs/c …

Each NAME=FOLDER is a run of the chapter, or of `sbgm train`; several folders are runs that differ in their seed. What
the file holds under other names stays.
"""

import json
import sys
from pathlib import Path

import pandas
import torch
from torch import Tensor

import ledger
from sbgm.files import load_tensors, save_tensors

FILE = "full_experiment.safetensors"


def recorded(name: str, runs: list[Path]) -> tuple[dict[str, Tensor], dict[str, object]]:
    """What the folders of runs that differ in their seed tell: tensors by name, and their settings.

    Returns:
        NAME_steps (N,), NAME_held_out (R, N) of each run at each measurement and, of a single run, NAME_sheets
        (N, 8, H, W) uint8 of grey images.

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
    if len(runs) == 1:
        files = [runs[0] / "sheets" / f"step-{step:07d}.safetensors" for step in steps[0]]
        sheets = torch.stack([load_tensors(file)[0]["sheet"] for file in files])
        tensors[f"{name}_sheets"] = (255 * sheets.squeeze(2).clamp(0, 1)).round().byte()
    seconds = [round(float(log["seconds"].iloc[-1])) for log in logs]
    return tensors, {name: settings[0] | {"seeds": seeds, "seconds": seconds}}


def main(words: list[str]) -> None:
    """Add the runs that are named to the file."""
    path = ledger.results_folder() / FILE
    tensors, facts = load_tensors(path) if path.exists() else ({}, {})
    for word in words:
        name, _, folders = word.partition("=")
        tensors.pop(f"{name}_sheets", None)  # of a single run that stood there
        of_runs, settings = recorded(name, [Path(folder) for folder in folders.split(",")])
        tensors |= of_runs
        facts |= settings
    save_tensors(path, tensors, **facts)


if __name__ == "__main__":
    main(sys.argv[1:])
