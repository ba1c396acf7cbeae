"""L9: the share at (5, 5) of 1,000 steps that are spread over 1, 2 and 10 levels; the ten are L5's run.

Beside the chains stands the exact law of each.
"""

import math

import torch

from laws import annealed_weight
from ledger import Record, declared, record, reported, seed
from plane import FIGURE3_SIGMAS, N_CHAINS, annealed_share, uniform_starts, upper_share
from sbgm import annealed_langevin, derived_generator, final, geometric_sigmas, paper_mixture

LADDERS = {1: torch.tensor([1.0]), 2: geometric_sigmas(20.0, 1.0, 2), 10: FIGURE3_SIGMAS}


def measure() -> Record:
    """Measure L9: the share on each ladder, and its rise from one to the next."""
    score = paper_mixture(stds=0.0).score
    shares = {10: annealed_share()}
    for n in (1, 2):
        generator = derived_generator(seed("L9"), n)
        starts = uniform_starts(10 * N_CHAINS, generator)
        options = {"step_size": 0.1, "n_steps": 1_000 // n, "generator": generator}
        shares[n] = upper_share(final(annealed_langevin(score, starts, LADDERS[n], **options)))
    laws = {n: annealed_weight(ladder, 1_000 // n) for n, ladder in LADDERS.items()}
    largest_off = max(abs(shares[n].value - laws[n]) / shares[n].se for n in laws)

    def rise(n: int, more: int) -> dict[str, float]:
        return {"value": shares[more].value - shares[n].value, "se": math.hypot(shares[n].se, shares[more].se)}

    return record(
        "L9",
        [
            declared("L9", "rise of the weight from 2 levels to 10", **rise(2, 10)),
            declared("L9", "rise of the weight from 1 level to 2", **rise(1, 2)),
            reported("weight on 1 level", shares[1]),
            reported("weight on 2 levels", shares[2]),
            reported("weight on 10 levels", shares[10]),
            reported("chains from their law, the largest of three, in s.e.", largest_off),
        ],
    )
