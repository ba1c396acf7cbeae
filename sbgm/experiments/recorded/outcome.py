"""What becomes of a recorded claim that did not come out as expected."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from sbgm.claims import Check, Settled


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
