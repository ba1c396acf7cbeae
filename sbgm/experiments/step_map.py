"""I5's map: how far Algorithm 1's samples are from real images over T and ε, and the noise that it leaves on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_positive
from sbgm.metrics import Estimate, Measured, estimate, quantise

N_SHEET = 16
"""Samples that a cell keeps to be looked at."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One T and ε of the map, and what was measured there.

    Attributes:
        n_steps: T, steps a level.
        step_size: ε, in the paper's convention x + (ε/2) s + √ε z.
        distance, se: Fréchet distance of the samples to real images.
        predicted: variance of the noise on the samples over σ_L², by `closed_forms.noise_ratio`.
        measured, measured_se: the same, of the samples, by `noise_on_constant_pixels`.
    """

    n_steps: int
    step_size: float
    distance: float
    se: float
    predicted: float
    measured: float
    measured_se: float

    @property
    def place(self) -> tuple[int, float]:
        """(T, ε)."""
        return self.n_steps, self.step_size


@dataclasses.dataclass(frozen=True)
class StepMap:
    """The cells of one network's map.

    Attributes:
        cells: in any order.
        sheets: (len(cells), N_SHEET, C, H, W) uint8, samples of each.
    """

    cells: tuple[Cell, ...]
    sheets: Tensor

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.sheets) or not self.cells:
            raise ValueError(f"sheets must be one a cell, got {len(self.sheets)} for {len(self.cells)} cells")

    def at(self, n_steps: int, step_size: float) -> Cell:
        """The cell at T and ε.

        Raises:
            KeyError: it was not measured.
        """
        return self.cells[self._index(n_steps, step_size)]

    def sheet(self, n_steps: int, step_size: float) -> Tensor:
        """Samples at T and ε, in [0, 1]: (N_SHEET, C, H, W)."""
        return self.sheets[self._index(n_steps, step_size)].float() / 255

    def n_steps(self) -> list[int]:
        """The T of the map, rising."""
        return sorted({cell.n_steps for cell in self.cells})

    def step_sizes(self) -> list[float]:
        """The ε of the map, rising."""
        return sorted({cell.step_size for cell in self.cells})

    def grid(self, name: str) -> Tensor:
        """A number of every cell as a table, T by ε, NaN where there is none: (len(n_steps()), len(step_sizes()))."""
        rows, columns = self.n_steps(), self.step_sizes()
        table = torch.full((len(rows), len(columns)), torch.nan, dtype=torch.float64)
        for cell in self.cells:
            table[rows.index(cell.n_steps), columns.index(cell.step_size)] = getattr(cell, name)
        return table

    def within(self, n_steps: Sequence[int], step_sizes: Sequence[float]) -> StepMap:
        """The part of the map with T and ε among these."""
        kept = [i for i, c in enumerate(self.cells) if c.n_steps in n_steps and c.step_size in step_sizes]
        return StepMap(tuple(self.cells[i] for i in kept), self.sheets[kept])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The map as two tensors, to be saved: `name`, a row a cell, and `name_sheets`."""
        rows = torch.tensor([dataclasses.astuple(cell) for cell in self.cells], dtype=torch.float64)
        return {name: rows, f"{name}_sheets": self.sheets}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], name: str) -> StepMap:
        """What `tensors` made a map into."""
        cells = (Cell(round(row[0]), *row[1:]) for row in tensors[name].tolist())
        return cls(tuple(cells), tensors[f"{name}_sheets"])

    def _index(self, n_steps: int, step_size: float) -> int:
        for i, cell in enumerate(self.cells):
            if cell.place == (n_steps, step_size):
                return i
        raise KeyError(f"the map has no cell at T = {n_steps}, ε = {step_size:g}")


def measure_cell(
    samples: Tensor,
    images: Tensor,
    distance: Callable[[Tensor], Measured],
    *,
    n_steps: int,
    step_size: float,
    predicted: float,
    sigma_min: float,
) -> tuple[Cell, Tensor]:
    """A cell from its samples, and the sheet that it keeps.

    Args:
        samples: (N, C, H, W), as Algorithm 1 left them.
        images: training images, some of whose pixels never change.
        distance: of samples to real images.
        n_steps, step_size, predicted: as for `Cell`.
        sigma_min: σ_L.
    """
    far, noise = distance(samples), noise_on_constant_pixels(samples, images, sigma_min)
    cell = Cell(n_steps, step_size, far.value, far.se or 0.0, predicted, noise.value, noise.se)
    return cell, quantise(samples[:N_SHEET])


def constant_pixels(images: Tensor) -> Tensor:
    """Which pixels have the same value in all images, such as a digit's corners: (C, H, W) bool."""
    return (check_batch(images, "images") == images[:1]).all(dim=0)


def noise_on_constant_pixels(samples: Tensor, images: Tensor, sigma_min: float) -> Estimate:
    """The variance of samples over σ_L² where images do not vary: all that varies there is noise.

    Args:
        samples: (N, C, H, W), N ≥ 2, neither clamped nor quantised.
        images: training images.
        sigma_min: σ_L.

    Raises:
        ValueError: every pixel of the images varies.
    """
    constant = constant_pixels(images)
    if not constant.any():
        raise ValueError("images must have pixels that never change, got none")
    noise = check_batch(samples, "samples")[:, constant].double()
    squares = (noise - noise.mean(dim=0)).square().mean(dim=1) * len(noise) / (len(noise) - 1)
    return estimate(squares / check_positive(sigma_min, "sigma_min") ** 2)
