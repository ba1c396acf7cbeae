"""How nbval compares a chapter's fresh outputs with its stored ones: as stored, decimals to their last digit.

Two processors may round a sum differently, so a decimal may differ by one unit of its last printed digit; words and
integers may not. Of nbval this uses two classes, and in them the methods `collect` and `compare_outputs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile

from notebooks import stored_outputs

# .509, -3.2, 1.5e-4, 2e-05 and the .5 of ".5σ"; not the integer 12, the version 2.13.0 or the 3.5 of "x3.5"
DECIMAL = re.compile(r"((?<![\w.])[-+]?(?:\d*\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?!\d|\.\d))")


def same_to_last_digit(old: str, new: str) -> bool:
    """Whether two texts have the same words, and decimals that differ by at most one unit of the last printed digit.

    If one of two decimals was printed with more digits, its last digit counts. White space may differ, as in columns
    that a minus sign widens.
    """
    old_parts = DECIMAL.split(old)
    new_parts = DECIMAL.split(new)  # words at even places, decimals at odd ones
    return (
        len(old_parts) == len(new_parts)
        and all(a.split() == b.split() for a, b in zip(old_parts[::2], new_parts[::2], strict=True))
        and all(_within_a_unit(Decimal(a), Decimal(b)) for a, b in zip(old_parts[1::2], new_parts[1::2], strict=True))
    )


def _within_a_unit(a: Decimal, b: Decimal) -> bool:
    unit = Decimal(1).scaleb(min(a.as_tuple().exponent, b.as_tuple().exponent))
    return abs(a - b) <= unit


class Chapter(IPyNbFile):
    """A notebook, compared to the last digit."""

    def collect(self) -> Iterator[ChapterCell]:
        """Yield nbval's cells as cells of ours."""
        for item in super().collect():
            yield ChapterCell.from_parent(
                self, name=item.name, cell_num=item.cell_num, cell=item.cell, options=item.options
            )


class ChapterCell(IPyNbCell):
    """A code cell, compared to the last digit."""

    def compare_outputs(self, test: list[NotebookNode], ref: list[NotebookNode], skip_compare=None) -> bool:
        """Compare the fresh outputs `test` with the stored `ref`, both reduced to what is ever stored."""
        fresh = stored_outputs(test)
        stored = stored_outputs(ref)
        for fresh_output, stored_output in zip(fresh, stored, strict=False):
            _take_over_same_text(fresh_output, stored_output)
            _take_over_same_text(fresh_output.get("data", {}), stored_output.get("data", {}))
        return super().compare_outputs(fresh, stored, skip_compare)


def _take_over_same_text(fresh: dict, stored: dict) -> None:
    for key in ("text", "text/plain", "text/markdown"):
        if key in fresh and key in stored and same_to_last_digit(stored[key], fresh[key]):
            fresh[key] = stored[key]
