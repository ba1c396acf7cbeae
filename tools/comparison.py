"""How nbval compares a chapter's fresh outputs with its stored ones: as stored, decimals to their last digit.

Two processors may round a sum differently, so a decimal may differ by one unit of its last printed digit; words and
integers may not. Figures are compared, by their pixels, only where the environment variable SBGM_FIGURES is set, since
other versions of Matplotlib draw otherwise: with "name" a stale figure is named, with "fail" its cell fails too.

Of nbval this uses two classes, and in them the methods `collect` and `compare_outputs`.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest

import numpy as np
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile
from PIL import Image, ImageSequence

from notebooks import stored_outputs

# .509, -3.2, 1.5e-4, 2e-05 and the .5 of ".5σ"; not the integer 12, the version 2.13.0 or the 3.5 of "x3.5"
DECIMAL = re.compile(r"((?<![\w.])[-+]?(?:\d*\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?!\d|\.\d))")
CHANNEL_TOLERANCE = 16  # of 255
STALE_SHARE = 0.01  # of a figure's pixels


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


def share_of_changed_pixels(stored: str, fresh: str) -> float:
    """Return the share of a figure's pixels of which a channel differs by more than CHANNEL_TOLERANCE.

    Both are PNGs in base64, "" where there is none. Of a film the share is that of the frame that differs most. It is 1
    if the sizes, or the numbers of frames, differ.
    """
    stored_frames = _frames(stored)
    fresh_frames = _frames(fresh)
    if [frame.shape for frame in stored_frames] != [frame.shape for frame in fresh_frames]:
        return 1.0
    pairs = zip(stored_frames, fresh_frames, strict=True)
    return max(float((abs(a - b) > CHANNEL_TOLERANCE).any(axis=-1).mean()) for a, b in pairs)


def _frames(png: str) -> list[np.ndarray]:
    if not png:
        return []
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        # signed, so that two may be subtracted
        return [np.asarray(frame.convert("RGBA"), dtype=np.int16) for frame in ImageSequence.Iterator(image)]


def _figures(outputs: list[NotebookNode]) -> list[str]:
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


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
        same = super().compare_outputs(fresh, stored, skip_compare)
        mode = os.environ.get("SBGM_FIGURES")
        stale = list(self._stale_figures(fresh, stored)) if mode else []
        self.user_properties += [("stale figure", sentence) for sentence in stale]  # for the run's summary
        if stale and mode == "fail":
            self.comparison_traceback += stale
            return False
        return same

    def _stale_figures(self, fresh: list[NotebookNode], stored: list[NotebookNode]) -> Iterator[str]:
        for stored_png, fresh_png in zip_longest(_figures(stored), _figures(fresh), fillvalue=""):
            share = share_of_changed_pixels(stored_png, fresh_png)
            if share > STALE_SHARE:
                yield f"{self.path.name}, cell {self.cell.id}: {share:.1%} of a figure's pixels differ in a fresh run"


def _take_over_same_text(fresh: dict, stored: dict) -> None:
    for key in ("text", "text/plain", "text/markdown"):
        if key in fresh and key in stored and same_to_last_digit(stored[key], fresh[key]):
            fresh[key] = stored[key]
