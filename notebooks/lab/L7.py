"""L7: the score of the mixture far from its modes, learned without noise and with the largest noise, like for like.

What is done is kept; a run that was stopped goes on with the next seed.
"""

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from claims import Found, claim, declared, reported
from recipes import DATA_STD, FIGURE2_AUTHORS
from sbgm import MLP, paper_mixture, plots, sliced_score_matching_loss
from sbgm.generation import draw_batches
from sbgm.measure import estimate, region_errors

N_SEEDS, SIGMAS = 5, (0.0, 20.0)


def measure_seed(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
    """The error beyond 4 from both modes at each σ, of Fig. 2's perceptron trained by its recipe: (1, 2).

    Both networks see points divided by the standard deviation of a coordinate, so that none has the easier scale.
    """
    mixture, points, errors = paper_mixture(), plots.grid(20), []
    for sigma in SIGMAS:
        scale = math.hypot(DATA_STD, sigma)
        network = MLP(dim=2, width=128, depth=2, generator=torch.Generator().manual_seed(indices.start))

        def samples(n: int, *, generator: torch.Generator, sigma: float = sigma, scale: float = scale) -> Tensor:
            return mixture.sample(n, sigma, generator=generator) / scale

        settings = dataclasses.replace(FIGURE2_AUTHORS, seed=indices.start)
        for _ in settings.fit(network, samples, sliced_score_matching_loss):
            pass
        network.requires_grad_(False)

        def score(x: Tensor, sigma: float = 0.0, network: MLP = network, scale: float = scale) -> Tensor:
            return network(x / scale) / scale

        errors.append(region_errors(score, mixture.score, points, mixture.means, sigma).far)
    return {"errors": torch.tensor([errors], dtype=torch.float64)}


@claim("L7")
def measure(folder: Path) -> Found:
    """Measure L7."""
    parts = draw_batches(measure_seed, N_SEEDS, seed=0, batch_size=1, folder=folder)
    errors = torch.cat([part["errors"] for part in parts])
    log_ratio = estimate((errors[:, 0] / errors[:, 1]).log())
    value = math.exp(log_ratio.value)
    return Found(
        [
            declared("L7", "error without noise over error at σ = 20, like for like", value, se=value * log_ratio.se),
            reported("error far from the modes, no noise, five networks", estimate(errors[:, 0])),
            reported("error far from the modes, σ = 20, five networks", estimate(errors[:, 1])),
        ],
        {"errors": errors},
        data="the paper's mixture; Fig. 2's perceptron and recipe for both, points in units of their std, five seeds",
        note="Each error is relative to the exact score at its own σ; the ratio is a geometric mean over the seeds.",
        networks=[],
        facts={"n_seeds": N_SEEDS},
    )


if __name__ == "__main__":
    measure.start()
