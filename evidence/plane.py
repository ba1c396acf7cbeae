"""What claims in the plane share: the paper's mixture, chains and exact laws on it, and networks trained on its points.

Numbers are those of the claim that is named; the others take the same draws.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from errors import of_networks
from laws import annealed_weight
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import DATA_STD, MixtureTraining, kept_parts, trained_mixture
from sbgm import (
    MLP,
    GaussianMixture,
    annealed_langevin,
    denoising_score_matching_loss,
    derived_generator,
    final,
    geometric_sigmas,
    langevin,
    paper_mixture,
    plots,
)
from sbgm.guard import Batch, NonNegative, Positive, Score, checked
from sbgm.images.drawing import kept_folder
from sbgm.measure import Estimate, Share, estimate, mode_weights, relative_squared_error, share
from sbgm.measure.scores import Means, nearest_modes
from sbgm.training import fit_score

N_CHAINS = 1_280
"""The paper's, in a cloud of Fig. 3."""
FIGURE3_SIGMAS = geometric_sigmas(20.0, 1.0, 10)
TEXT_SIGMAS = geometric_sigmas(10.0, 0.1, 10)
"""The ladder of § 4.3; Fig. 3's stands in the appendix."""
FIGURE2_SIGMA = 1.0
"""The noise at which S2's networks are trained."""
N_TRAININGS = 5

# --- sums over a grid -------------------------------------------------------------------------------------------------


def fine_grid() -> tuple[Tensor, Tensor]:
    """161 × 161 points on [−14, 14]², (N, 2) float64, and the mass of p in each one's cell, (N,)."""
    points = plots.grid(161, extent=14.0).double()
    return points, paper_mixture().log_prob(points).exp() * (28 / 160) ** 2


# --- S2, S4 and S9: networks on points --------------------------------------------------------------------------------


def trained_on_points(loss: Callable[..., Tensor], generator: torch.Generator) -> MLP:
    """Chapter 2's network and training, 1,250 iterations, by loss(network, x, generator=…) of a batch x."""
    network = MLP(generator=generator)
    steps = fit_score(
        network,
        lambda n: paper_mixture().sample(n, generator=generator),
        lambda network, x: loss(network, x, generator=generator),
        n_steps=1250,
        batch_size=256,
        learning_rate=1e-2,
        one_cycle=True,
        generator=generator,
    )
    for _ in steps:
        pass
    return network


def denoising_network(part: int) -> MLP:
    """One of S2's networks, trained by denoising score matching at FIGURE2_SIGMA."""
    loss = functools.partial(denoising_score_matching_loss, sigma=FIGURE2_SIGMA)
    return trained_on_points(loss, derived_generator(seed("S2"), part))


@torch.no_grad()
def distances(networks: Sequence[nn.Module], points: Tensor, exact: Tensor) -> Estimate:
    """The mean squared distance of networks to an exact score (N, 2) at points (N, 2)."""
    return of_networks(torch.tensor([squared_distance(network(points), exact) for network in networks]))


def squared_distance(a: Tensor, b: Tensor) -> float:
    """The mean over points of ‖a − b‖², of (N, 2) each."""
    return float((a - b).square().sum(dim=1).mean())


# --- L1 and L7: errors by region --------------------------------------------------------------------------------------


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


# --- L3 to L6 and L9: chains ------------------------------------------------------------------------------------------


def uniform_starts(n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """n points on [−8, 8]², where the paper's chains start."""
    return 16 * torch.rand(n, 2, generator=generator, dtype=dtype) - 8


def upper_share(x: Tensor) -> Share:
    """The share of chains (N, 2) that end nearer to (5, 5), with its standard error: the chains are independent."""
    return share(int((mode_weights(x, paper_mixture().means)[1] * len(x)).round()), len(x))


N_CLOUDS = 32


def clouds(
    mixture: GaussianMixture, generator: torch.Generator, watch: Callable[[Tensor], None] | None = None
) -> Tensor:
    """The ends of N_CLOUDS clouds of Langevin chains from uniform starts, ε = 0.1; every tenth of 1,000 is watched."""
    starts = uniform_starts(N_CLOUDS * N_CHAINS, generator)
    for state in langevin(mixture.score, starts, step_size=0.1, n_steps=1000, generator=generator):
        if watch is not None and state.step % 10 == 0:  # in ten steps no chain goes 14 units and back
            watch(state.x)
    return state.x


def cloud_share(x: Tensor) -> Estimate:
    """The share of each cloud that is nearest to (5, 5): mean and standard error over the clouds."""
    means = paper_mixture().means
    return estimate(torch.stack([mode_weights(cloud, means)[1] for cloud in x.split(N_CHAINS)]))


def annealed_share() -> Share:
    """L5's: Algorithm 1 by Fig. 3c's settings, 102,400 chains with exact scores."""
    generator = derived_generator(seed("L5"), 0)
    starts = uniform_starts(80 * N_CHAINS, generator)
    score = paper_mixture(stds=0.0).score  # σ is the whole standard deviation of a component, as in the authors' code
    return upper_share(
        final(annealed_langevin(score, starts, FIGURE3_SIGMAS, step_size=0.1, n_steps=100, generator=generator))
    )


# --- L8 and F2: chains with learned scores ----------------------------------------------------------------------------

N_NETWORKS = 10
N_LEARNED_CHAINS = 12_800
SETTINGS = MixtureTraining()


def draw_shares(claim_id: str, architecture: Callable[..., nn.Module], folder: Path) -> Tensor:
    """The share of the chains of Algorithm 1 that end nearer to (5, 5), for each of N_NETWORKS trainings: (n,)."""
    mixture = paper_mixture()

    def draw(part: int, generator: torch.Generator) -> dict[str, Tensor]:
        settings = dataclasses.replace(SETTINGS, seed=seed(claim_id) + part)
        network = trained_mixture(architecture, mixture, settings, DATA_STD)
        x = uniform_starts(N_LEARNED_CHAINS, generator)
        x = final(annealed_langevin(network, x, SETTINGS.sigmas, step_size=0.1, n_steps=100, generator=generator))
        return {"shares": mode_weights(x, mixture.means)[1:]}

    settings = dataclasses.asdict(SETTINGS) | {"architecture": architecture.__name__, "n_chains": N_LEARNED_CHAINS}
    place = kept_folder(folder / "shares", settings)
    parts = kept_parts(draw, N_NETWORKS, seed=seed(claim_id), folder=place)
    return torch.cat([tensors["shares"] for tensors in parts])


def share_measurements(claim_id: str, kind: str, shares: Tensor) -> list[Measurement]:
    """The measurements of L8 or F2, from the shares (n,) of ten "networks" or "energies"."""
    law = annealed_weight(SETTINGS.sigmas, 100, variance=1.0)
    of_all = of_networks(shares)
    return [
        declared(claim_id, f"share less the exact scores', ten {kind}", Estimate(of_all.value - law, of_all.se)),
        reported(f"share of the chains in (5, 5), ten {kind}", of_all),
        reported("share by the exact scores' law", law),
    ]


def record_shares(claim_id: str, kind: str, shares: Tensor, *, narrower: str) -> Record:
    """Write the record of L8 or F2."""
    return record(
        claim_id,
        share_measurements(claim_id, kind, shares),
        {"shares": shares},
        narrower=narrower,
        data=f"the paper's mixture, ten {kind}",
        note=f"{N_LEARNED_CHAINS:,} chains for each; ± is that of the mean over trainings.",
        facts={"n_networks": N_NETWORKS, "n_chains": N_LEARNED_CHAINS},
    )
