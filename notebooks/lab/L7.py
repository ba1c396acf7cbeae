"""L7: the score of the mixture far from its modes, learned without noise and with the largest noise.

The networks without noise, on points as they are, are those of Fig. 2: L1 takes its numbers from them. What is done is
kept; a run that was stopped goes on with the next seed.
"""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from errors import of_networks
from ledger import Record, declared, record, reported, script_options, seed, show
from recipes import DATA_STD, FIGURE2_AUTHORS, kept_parts
from sbgm import MLP, paper_mixture, plots, sliced_score_matching_loss
from sbgm.guard import Batch, NonNegative, Positive, Score, checked
from sbgm.images.drawing import kept_folder
from sbgm.measure import relative_squared_error
from sbgm.measure.scores import Means, nearest_modes

N_SEEDS = 6
SCALES = ("points as they are", "in units of their std")
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


def errors_of_training(sigma: float, scale: float, network_seed: int) -> RegionErrors:
    """The errors of Fig. 2's perceptron, trained by its recipe on samples of q_σ that are divided by `scale`."""
    mixture = paper_mixture()
    network = MLP(dim=2, width=128, depth=2, generator=torch.Generator().manual_seed(network_seed))

    def samples(n: int, *, generator: torch.Generator) -> Tensor:
        return mixture.sample(n, sigma, generator=generator) / scale

    settings = dataclasses.replace(FIGURE2_AUTHORS, seed=network_seed)
    for _ in settings.fit(network, samples, sliced_score_matching_loss):
        pass
    network.requires_grad_(False)

    def score(x: Tensor, sigma: float = 0.0) -> Tensor:
        return network(x / scale) / scale

    return region_errors(score, mixture.score, plots.grid(100), mixture.means, sigma)


def measure_seed(part: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The errors near the modes and far from them at each scale and σ: (1, 2, 2) each."""
    network_seed = seed("L7") + part
    errors = []
    for scale in SCALES:
        for sigma in SIGMAS:
            divisor = 1.0 if scale == "points as they are" else math.hypot(DATA_STD, sigma)
            errors.append(errors_of_training(sigma, divisor, network_seed))
    near, far = torch.tensor(errors, dtype=torch.float64).T
    shape = (1, len(SCALES), len(SIGMAS))
    return {"near": near.reshape(shape), "far": far.reshape(shape)}


def measure(folder: Path) -> Record:
    """Measure L7: the errors of six networks of each kind, and their ratio at either scale."""
    place = kept_folder(folder / "errors", dataclasses.asdict(FIGURE2_AUTHORS) | {"scales": SCALES, "sigmas": SIGMAS})
    parts = list(kept_parts(measure_seed, N_SEEDS, seed=seed("L7"), folder=place))
    near, far = (torch.cat([part[name] for part in parts]) for name in ("near", "far"))
    bounded = []
    of_kinds = []
    for i, scale in enumerate(SCALES):
        log_ratio = (far[:, i, 0] / far[:, i, 1]).log10()
        label = f"log₁₀ of error without noise over error at σ = 20, {scale}"
        bounded.append(declared("L7", label, of_networks(log_ratio)))
        for j, sigma in enumerate(SIGMAS):
            of_kinds.append(reported(f"error far from the modes, σ = {sigma:g}, {scale}", of_networks(far[:, i, j])))
    return record(
        "L7",
        [*bounded, *of_kinds],
        {"near": near, "far": far},
        narrower="in two dimensions, on one mixture",
        data="the paper's mixture; Fig. 2's perceptron and recipe for all, six seeds",
        note="Each error is relative to the exact score at its own σ.",
        facts={"n_seeds": N_SEEDS},
    )


if __name__ == "__main__":
    show(measure(script_options(__doc__, "L7").folder))
