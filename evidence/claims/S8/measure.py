"""S8: what a training step costs with the exact trace, with one direction, and by denoising, in D dimensions."""

import itertools
import math
import time
from collections.abc import Callable

import pandas
import torch
from torch import Tensor

from errors import ratio
from ledger import Measurement, Record, declared, record, reported, seed
from sbgm import (
    MLP,
    denoising_score_matching_loss,
    derived_generator,
    score_matching_loss,
    sliced_score_matching_loss,
)
from sbgm.measure import Estimate, estimate

DIMS = (2, 12, 48, 192, 768, 3_072)
"""The plane, and colour images of 2 × 2 to 32 × 32 pixels."""
KINDS = ("exact", "sliced", "denoising")
BATCH_SIZE = 4
N_ROUNDS = 10
SECONDS = 0.05
"""How long a step is repeated in a round, at least."""
Table = pandas.DataFrame


def step_seconds(step: Callable[[], Tensor]) -> float:
    """The CPU time of a loss and its backward pass, in seconds: the mean over SECONDS, or over one if it takes longer.

    The time of the process, not of the clock: it hardly depends on what else the machine does.
    """
    n = 0
    start = time.process_time()
    while True:
        step().backward()
        n += 1
        passed = time.process_time() - start
        if passed > SECONDS:
            return passed / n


def step_costs(dim: int, n_rounds: int = N_ROUNDS) -> Tensor:
    """Seconds a training step of Fig. 2's perceptron in `dim` dimensions takes: (rounds, 3), the columns as KINDS."""
    generator = derived_generator(seed("S8"), dim)
    network = MLP(dim, width=128, depth=2, generator=generator)
    x = torch.rand(BATCH_SIZE, dim, generator=generator)
    steps = {
        "exact": lambda: score_matching_loss(network, x),
        "sliced": lambda: sliced_score_matching_loss(network, x, generator=generator),
        "denoising": lambda: denoising_score_matching_loss(network, x, 0.1, generator=generator),
    }
    rounds = []
    for _ in range(1 + n_rounds):  # the kinds in turn; the first round is left out
        rounds.append([step_seconds(steps[kind]) for kind in KINDS])
    return torch.tensor(rounds[1:], dtype=torch.float64)


def times(costs: Tensor, kind: str, other: str) -> Estimate:
    """How many times as long a step of one kind takes as one of another: the geometric mean over rounds (n, 3)."""
    log_ratio = estimate((costs[:, KINDS.index(kind)] / costs[:, KINDS.index(other)]).log())
    value = math.exp(log_ratio.value)
    return Estimate(value, value * log_ratio.se)


def cost_table(costs: dict[int, Tensor]) -> Table:
    """A row for each D: the seconds of a step of each kind, and their ratios with standard errors."""
    rows = []
    for dim, rounds in costs.items():
        row = {"D": dim, **dict(zip(KINDS, rounds.log().mean(dim=0).exp().tolist(), strict=True))}
        for kind, other in (("exact", "denoising"), ("sliced", "denoising"), ("exact", "sliced")):
            row[f"{kind} over {other}"], row[f"{kind} over {other}, se"] = times(rounds, kind, other)
        rows.append(row)
    return pandas.DataFrame(rows)


def measurements(table: Table) -> list[Measurement]:
    """The measurements of S8, from the table."""
    of_dim = table.set_index("D")

    def number(kind: str, other: str, dim: int) -> Estimate:
        return Estimate(of_dim[f"{kind} over {other}"][dim], of_dim[f"{kind} over {other}, se"][dim])

    growths = [ratio(number("exact", "sliced", b), number("exact", "sliced", a)) for a, b in itertools.pairwise(DIMS)]
    return [
        declared("S8", "exact over sliced step, D = 3,072", number("exact", "sliced", 3_072)),
        declared("S8", "exact over sliced step, from one D to the next, the least", min(growths)),
        declared(
            "S8",
            "sliced over denoising step, the largest of six D",
            max(number("sliced", "denoising", dim) for dim in DIMS),
        ),
        *(
            reported(f"{kind} over denoising step, D = {dim:,}", number(kind, "denoising", dim))
            for dim in DIMS
            for kind in ("exact", "sliced")
        ),
    ]


def measure() -> Record:
    """Measure S8: the cost of a step of each kind at each D."""
    table = cost_table({dim: step_costs(dim) for dim in DIMS})
    return record(
        "S8",
        measurements(table),
        table,
        narrower="a perceptron, where the paper means deep networks",
        data=f"Fig. 2's perceptron, random points of D coordinates, {BATCH_SIZE} a step",
        note="CPU time on one thread. The ratios depend on the network and the library.",
        facts={"n_rounds": N_ROUNDS, "batch_size": BATCH_SIZE},
    )
