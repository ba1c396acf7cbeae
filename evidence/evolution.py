"""How the distance of chains to real images falls from level to level, and where it ends: what I4 and I12 bound."""

import itertools
import math
from collections.abc import Mapping

from ledger import Measurement, declared
from sbgm.measure import Estimate, ratio


def evolution(claim_id: str, curves: Mapping[str, list[Estimate]]) -> list[Measurement]:
    """What I4 and I12 bound: how far each curve of distances falls, and that it rises at no level."""
    measurements = []
    for kind, distances in curves.items():
        fall = difference(distances[0], distances[-1])
        measurements.append(declared(claim_id, f"{kind}: distance after σ_1 minus that after σ_L", fall))
        n_farther = levels_farther(distances)
        measurements.append(declared(claim_id, f"{kind}: levels clearly farther than the one before", n_farther))
    return measurements


def ends(claim_id: str, wrong: str, of_wrong: Estimate, last: Mapping[str, Estimate]) -> list[Measurement]:
    """What I4 and I12 bound at the last level: distances over that of wrong images.

    Args:
        claim_id: of the two.
        wrong: what these images are, such as "turned digits".
        of_wrong: their distance.
        last: the distances of the last level, by kind.
    """
    label = f"distance at σ_L over that of {wrong}"
    return [declared(claim_id, f"{kind}: {label}", ratio(distance, of_wrong)) for kind, distance in last.items()]


def levels_farther(distances: list[Estimate]) -> int:
    """How many levels' distances are larger than that of the level before by more than three standard errors."""
    rises = [difference(after, before) for before, after in itertools.pairwise(distances)]
    return sum(rise.value > 3 * rise.se for rise in rises)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b, whose errors are taken for independent."""
    return Estimate(a.value - b.value, math.hypot(a.se, b.se))
