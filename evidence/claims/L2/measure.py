"""L2: exact scores for π = 0.2 and 0.8 within 5 of a mode; on the line between the modes they must differ, a guard."""

from ledger import Record, declared, guard, record
from sbgm import paper_mixture, plots
from sbgm.measure import distance_to_modes


def measure() -> Record:
    """Measure L2: the largest difference of the two scores."""
    grid = plots.grid(201, extent=10.0).double()
    one, other = (paper_mixture(weight=1 - pi).score(grid) for pi in (0.2, 0.8))
    difference = (one - other).abs().amax(dim=1)
    near = distance_to_modes(grid, paper_mixture().means) <= 5
    return record(
        "L2",
        [
            declared("L2", "largest difference of the scores within 5 of a mode", difference[near].max()),
            guard("largest difference anywhere", difference.max(), low=1),
        ],
    )
