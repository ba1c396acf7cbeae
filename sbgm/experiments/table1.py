"""The paper's Table 1, as published: Inception Score and FID of models of CIFAR-10."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """One row of the paper's Table 1.

    Attributes:
        model, reference: its name, and whom the paper cites for it.
        conditional: whether the model is told an image's class.
        score: Inception Score.
        score_spread: what stands after its ±, None where nothing does.
        fid: Fréchet Inception Distance, None where the table has a dash.
    """

    model: str
    reference: str
    conditional: bool
    score: float
    score_spread: float | None = None
    fid: float | None = None


def published_table() -> list[PublishedRow]:
    """The eleven rows of Table 1 in its order, unconditional models first; `table1.toml` says how they were checked."""
    table = tomllib.loads((Path(__file__).parent / "table1.toml").read_text(encoding="utf-8"))
    return [
        PublishedRow(conditional=kind == "conditional", **row)
        for kind in ("unconditional", "conditional")
        for row in table[kind]
    ]
