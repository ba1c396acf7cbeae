"""L5: the share at (5, 5) of Algorithm 1's chains by Fig. 3c's settings: by their exact law, and of 102,400 chains.

Of the paper's 1,280 points the share scatters with a standard deviation of 0.011, too much to tell 0.8 from a share
within 0.02 of it. So the law decides, see `laws.annealed_weight`; the chains must agree with it, and that of plain
Langevin dynamics must be too far from 0.8.
"""

import torch

from laws import annealed_weight
from ledger import Record, declared, record, reported
from plane import FIGURE3_SIGMAS, annealed_share


def measure() -> Record:
    """Measure L5: the law's share and the chains'."""
    by_law = annealed_weight(FIGURE3_SIGMAS, 100)
    plain_by_law = annealed_weight(torch.tensor([1.0]), 1_000)
    annealed = annealed_share()
    return record(
        "L5",
        [
            declared("L5", "distance of the law from 0.8", abs(by_law - 0.8)),
            declared("L5", "chains less their law, in s.e.", (annealed.value - by_law) / annealed.se),
            declared("L5", "control: distance from 0.8 of plain Langevin dynamics' law", abs(plain_by_law - 0.8)),
            reported("share of the chains in (5, 5)", annealed),
        ],
        note="The law is that of the chains, carried from step to step by quadrature.",
    )
