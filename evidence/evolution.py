"""How the distance of chains to real images falls from level to level: what I4 and I12 bound."""

import itertools
import math
from collections.abc import Mapping

from ledger import Measurement, declared
from sbgm.measure import Estimate


def evolution(claim_id: str, curves: Mapping[str, list[Estimate]]) -> list[Measurement]:
    """What I4 and I12 bound: how far each curve of distances falls, and that it rises at no level."""
    measurements = []
    for kind, distances in curves.items():
        fall = difference(distances[0], distances[-1])
        measurements.append(declared(claim_id, f"{kind}: distance after σ_1 minus that after σ_L", fall))
        n_farther = levels_farther(distances)
        measurements.append(declared(claim_id, f"{kind}: levels clearly farther than the one before", n_farther))
    return measurements


def levels_farther(distances: list[Estimate]) -> int:
    """How many levels' distances are larger than that of the level before by more than three standard errors."""
    rises = [difference(after, before) for before, after in itertools.pairwise(distances)]
    return sum(rise.value > 3 * rise.se for rise in rises)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b, whose errors are taken for independent."""
    return Estimate(a.value - b.value, math.hypot(a.se, b.se))
