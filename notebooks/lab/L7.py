"""L7: the score of the mixture far from its modes, learned without noise and with the largest noise, like for like.

What is done is kept; a run that was stopped goes on with the next seed.
"""

import dataclasses
import math
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from claims import Found, declared, reported, run
from recipes import DATA_STD, FIGURE2_AUTHORS
from sbgm import MLP, paper_mixture, plots, sliced_score_matching_loss
from sbgm.guard import Batch, NonNegative, Positive, Score, checked
from sbgm.images.drawing import draw_batches
from sbgm.measure import estimate, relative_squared_error
from sbgm.measure.scores import Means, nearest_modes

N_SEEDS = 5
SIGMAS = (0.0, 20.0)


class RegionErrors(NamedTuple):
    """Relative squared error of a score near the modes of a density and far from all of them."""

    near: float
    far: float


@checked
@torch.no_grad()
def region_errors(
    score: Score,
    exact: Score,
    points: Batch,
    means: Means,
    sigma: NonNegative = 0.0,
    *,
    near: Positive = 2.0,
    far: Positive = 4.0,
) -> RegionErrors:
    """Σ‖s − s*‖² / Σ‖s*‖² over the points within `near` of a mode, and over those beyond `far` from every mode.

    Args:
        score: the model s.
        exact: the exact score s*.
        points: (B, D), such as `plots.grid(100)`.
        means: (K, D), the modes.
        sigma: passed on to both.
        near, far: radii, in units of the data.

    Raises:
        ValueError: no point lies in one of the regions.
    """
    distance, _ = nearest_modes(points, means, "points")
    errors = []
    for name, inside in (("near", distance < near), ("far", distance > far)):
        if not bool(inside.any()):
            raise ValueError(f"points must reach into both regions, but none is {name} (near {near:g}, far {far:g})")
        x = points[inside]
        errors.append(relative_squared_error(score(x, sigma), exact(x, sigma)))
    return RegionErrors(*errors)


def measure_seed(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
    """The error beyond 4 from both modes at each σ, of Fig. 2's perceptron trained by its recipe: (1, 2).

    Both networks see points divided by the standard deviation of a coordinate, so that none has the easier scale.
    """
    mixture = paper_mixture()
    points = plots.grid(20)
    errors = []
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


def measure(folder: Path) -> Found:
    """Measure L7: the errors of five networks of each kind, and their ratio."""
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
        facts={"n_seeds": N_SEEDS},
    )


if __name__ == "__main__":
    sys.exit(run("L7", measure))
