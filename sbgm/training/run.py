"""A training run as a folder: its settings, its log, its checkpoints. A notebook attaches to one by its path."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sbgm.files import written_whole
from sbgm.training.checkpoint import load_checkpoint, save_checkpoint
from sbgm.weights import load_network, load_weights, save_network, weights_file

if TYPE_CHECKING:
    import pandas


class Run:
    """A folder that holds a training run.

    * `settings.json`: what the run was started with.
    * `log.csv`: a row every few steps, empty where a quantity was not measured.
    * `step-0005000/`: a checkpoint, `network.safetensors`, `average.safetensors` where weights are averaged, and
      `state.pt`. It is written under another name and renamed, so that a folder with this name is whole.

    Args:
        folder: where the run is or will be.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}), {self.last_step} steps"

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder and write the settings.

        Raises:
            FileExistsError: something is there already; it is left as it is.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(f"{self.folder} is not empty; resume the run there, or choose another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self.folder / "settings.json") as partial:
            partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with.

        Raises:
            FileNotFoundError: there is no run in this folder.
        """
        path = self.folder / "settings.json"
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder} holds no training run: it has no settings.json")
        return json.loads(path.read_text(encoding="utf-8"))

    @property
    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if p.suffix != ".partial")

    @property
    def last_step(self) -> int:
        """The step of the latest checkpoint, 0 if there is none."""
        return step_of(self.checkpoints[-1]) if self.checkpoints else 0

    def log(self) -> pandas.DataFrame:
        """The log so far, a row every few steps."""
        import pandas

        return pandas.read_csv(self.folder / "log.csv")

    def network(self, step: int | None = None, *, averaged: bool = True) -> nn.Module:
        """A network of the run, ready to use.

        Args:
            step: of the checkpoint; None is the latest.
            averaged: the moving average of the weights where the run keeps one, else the weights themselves.

        Raises:
            FileNotFoundError: there is no such checkpoint (yet).
        """
        folder = self._checkpoint(self.last_step if step is None else step)
        average = folder / "average.safetensors"
        try:
            return load_network(average if averaged and average.exists() else folder / "network.safetensors")
        except (FileNotFoundError, RuntimeError):  # the second where the file went between two of its openings
            if step is None and self.last_step > step_of(folder):  # a new checkpoint took this one's place meanwhile
                return self.network(averaged=averaged)
            raise

    def save(
        self, step: int, network: nn.Module, average: nn.Module | None, state: dict[str, Any], *, keep_every: int = 0
    ) -> None:
        """Write a checkpoint, then remove those before it but every `keep_every`-th step's (0 keeps the new one only).

        Args:
            step: steps made.
            network: its weights.
            average: the moving average of them.
            state: what else the run needs to go on: tensors, numbers, strings and containers of them.
        """
        folder = self.folder / f"step-{step:07d}"
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_network(network, partial / "network.safetensors", step=step)
        if average is not None:
            save_network(average, partial / "average.safetensors", step=step)
        save_checkpoint(partial / "state.pt", **state)
        partial.rename(folder)
        for old in self.checkpoints:
            if old != folder and not (keep_every and step_of(old) % keep_every == 0):
                shutil.rmtree(old)

    def load(self, network: nn.Module, average: nn.Module | None) -> dict[str, Any]:
        """Load the latest checkpoint into the networks and return its state."""
        folder = self._checkpoint(self.last_step)
        load_weights(network, folder / "network.safetensors")
        if average is not None:
            load_weights(average, folder / "average.safetensors")
        return load_checkpoint(folder / "state.pt")

    def write_log(self, rows: list[dict[str, float]]) -> None:
        """Replace `log.csv` by these rows; a column that a row lacks stays empty."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (
            written_whole(self.folder / "log.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    def _checkpoint(self, step: int) -> Path:
        folder = self.folder / f"step-{step:07d}"
        if not folder.is_dir():
            steps = [step_of(p) for p in self.checkpoints]
            raise FileNotFoundError(f"{self.folder} holds no checkpoint of step {step}; those there: {steps or 'none'}")
        return folder


def load_trained(path: Path | str) -> nn.Module:
    """A network by the name of a shipped one, by its file, or by the folder of a run, whose latest it then is.

    Raises:
        FileNotFoundError: it is none of these, or the run has no checkpoint yet.
        ValueError: as `load_network`.
    """
    if Path(path).is_dir():
        return Run(path).network()
    if not weights_file(path).is_file():
        raise FileNotFoundError(
            f"{path} is no run's folder, no file of weights, and no network that ships; data/weights/README.md names "
            "those that ship"
        )
    return load_network(path)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(checkpoint.name.removeprefix("step-"))
