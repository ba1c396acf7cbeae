"""Entering a recorded claim: its record, the file that it rests on, and what becomes of one that fails."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sbgm.files import save_tensors
from sbgm.lab import claims
from sbgm.lab.claims import Check, Settled
from sbgm.lab.hardware import hardware
from sbgm.measure import Measured, frechet_distance
from sbgm.measure.judging import feature_space, reference_for


class NotReproducedError(AssertionError):
    """A recorded claim that did not come out as expected; nothing is written until `enter()` records just that."""

    def __init__(self, claim_id: str, checks: Sequence[Check], enter: Callable[[], Settled]) -> None:
        super().__init__(f"{claim_id} failed and was not recorded\n" + "\n".join(map(str, checks)))
        self.enter = enter


def as_found(expected: Check) -> Check:
    """A check that guards what was found: as expected where that holds, else on the other side of the bound."""
    if expected.holds:
        return expected
    low, high = (expected.high, math.inf) if expected.value > expected.high else (-math.inf, expected.low)
    return dataclasses.replace(expected, low=low, high=high)


def enter(
    claim_id: str,
    checks: Sequence[claims.Check],
    content: dict[str, Tensor] | Callable[[Path], object],
    *,
    status: str = "reproduced",
    data: str,
    note: str,
    networks: Sequence[str],
    command: str,
    facts: dict[str, str | int | float],
) -> claims.Settled:
    """Write a recorded claim, ID.json, and what it rests on to `claims.results_folder()`: the one way to enter one.

    Args:
        claim_id, checks, status, data, note: as for `claims.settle`.
        content: what it rests on: tensors, such as the samples as they would be shown, uint8, for ID.safetensors; or a
            function that writes a table to the path that it is given, ID.csv.
        networks: shipped ones, if any, whose hashes the record keeps; see `claims.check_weights`.
        command: measures it anew.
        facts: how it was measured; those of the machine are added.

    Raises:
        NotReproducedError: an expectation fails; the message shows all checks, and nothing is written.
    """

    def write(status: str, checks: Sequence[claims.Check]) -> claims.Settled:
        folder = claims.results_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            save_tensors(file := folder / f"{claim_id}.safetensors", content)
        else:
            content(file := folder / f"{claim_id}.csv")
        known = {**facts, **claims.weights_facts(*networks), "hardware": hardware(), "torch": torch.__version__}
        known |= {"command": command, "file": file.name, "sha256": claims.file_hash(file)}
        record = claims.Settled(claim_id, status, tuple(checks), data, note, known)
        claims.save_record(record, folder)
        return record

    if all(c.holds for c in checks):
        return write(status, checks)
    raise NotReproducedError(claim_id, checks, lambda: write("not reproduced", [as_found(c) for c in checks]))


def digit_distance(images: Tensor, data: str = "mnist") -> Measured:
    """The Fréchet distance of grey images to a set's test images, in the features of the shipped classifier.

    Args:
        images: (N, 1, 28, 28) with N above the number of features, 128; clamped and quantised first.
        data: "mnist", or "mnist_small", which ships.
    """
    space = feature_space(data)
    reference = reference_for(data, space, "test")
    return frechet_distance(space.function(images), reference.features, against=reference.images, features=space.name)


def command(claim_id: str, **options: object) -> str:
    """The command that measures a claim with these options."""
    words = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
    return " ".join([f"python -m sbgm evaluate --claim {claim_id}", *words])
