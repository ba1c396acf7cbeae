"""How the distance of chains to real images falls from level to level, and where it ends: what I4 and I12 bound."""

import itertools
import math
from collections.abc import Mapping

from ledger import Measurement, declared, reported
from sbgm.measure import Estimate, ratio


def evolution(
    claim_id: str, distance: str, real: str, wrong: str, curves: Mapping[str, list[Estimate]]
) -> list[Measurement]:
    """The measurements of I4 or I12: how far chains fall, that they rise at no level, and how near they end.

    Args:
        claim_id: of the two.
        distance: what is measured by, such as "HOG distance".
        real: what real images are, such as "photographs".
        wrong: what the wrong images are, such as "turned digits".
        curves: the distances of "states", "denoised" states and "real" images with each level's noise, σ_1 first; and
            in a list each those of "wrong" images and of "smooth" blobs, with the noise σ_L.
    """
    chains = {kind: curves[kind] for kind in ("states", "denoised")}
    (of_wrong,) = curves["wrong"]
    measurements = []
    for name, distances in (chains | {f"control: {real} with each level's noise": curves["real"]}).items():
        fall = difference(distances[0], distances[-1])
        measurements.append(declared(claim_id, f"{name}: distance after σ_1 minus that after σ_L", fall))
        n_farther = levels_farther(distances)
        measurements.append(declared(claim_id, f"{name}: levels clearly farther than the one before", n_farther))
    for name, distances in (chains | {"control: random blobs": curves["smooth"]}).items():
        over_wrong = ratio(distances[-1], of_wrong)
        measurements.append(declared(claim_id, f"{name}: distance at σ_L over that of {wrong}", over_wrong))
    for kind, name in (("states", "state as it is"), ("denoised", "denoised state")):
        measurements.append(reported(f"{distance} of the {name} after σ_1", chains[kind][0]))
        measurements.append(reported(f"{distance} of the {name} after σ_L", chains[kind][-1]))
    measurements.append(reported(f"{distance} of {wrong}", of_wrong))
    measurements.append(reported(f"{distance} of random blobs", curves["smooth"][0]))
    return measurements


def levels_farther(distances: list[Estimate]) -> int:
    """How many levels' distances are larger than that of the level before by more than three standard errors."""
    rises = [difference(after, before) for before, after in itertools.pairwise(distances)]
    return sum(rise.value > 3 * rise.se for rise in rises)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b, whose errors are taken for independent."""
    return Estimate(a.value - b.value, math.hypot(a.se, b.se))
