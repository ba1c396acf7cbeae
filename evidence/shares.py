"""Annealed Langevin dynamics with scores of the mixture that ten trainings learned, beside what exact scores give."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from errors import of_networks
from laws import annealed_weight
from ledger import Record, declared, record, reported, seed
from recipes import DATA_STD, MixtureTraining, kept_parts, trained_mixture
from sbgm import annealed_langevin, final, paper_mixture
from sbgm.images.drawing import kept_folder
from sbgm.measure import Estimate, mode_weights

N_NETWORKS = 10
N_CHAINS = 12_800
SETTINGS = MixtureTraining()


def draw_shares(claim_id: str, architecture: Callable[..., nn.Module], folder: Path) -> Tensor:
    """The share of the chains of Algorithm 1 that end nearer to (5, 5), for each of N_NETWORKS trainings: (n,)."""
    mixture = paper_mixture()

    def draw(part: int, generator: torch.Generator) -> dict[str, Tensor]:
        settings = dataclasses.replace(SETTINGS, seed=seed(claim_id) + part)
        network = trained_mixture(architecture, mixture, settings, DATA_STD)
        x = 16 * torch.rand(N_CHAINS, 2, generator=generator) - 8
        x = final(annealed_langevin(network, x, SETTINGS.sigmas, step_size=0.1, n_steps=100, generator=generator))
        return {"shares": mode_weights(x, mixture.means)[1:]}

    settings = dataclasses.asdict(SETTINGS) | {"architecture": architecture.__name__, "n_chains": N_CHAINS}
    place = kept_folder(folder / "shares", settings)
    parts = kept_parts(draw, N_NETWORKS, seed=seed(claim_id), folder=place)
    return torch.cat([tensors["shares"] for tensors in parts])


def record_shares(claim_id: str, kind: str, shares: Tensor, *, narrower: str) -> Record:
    """Write the record that the shares of ten networks, or energies, bear."""
    law = annealed_weight(SETTINGS.sigmas, 100, variance=1.0)
    share = of_networks(shares)
    difference = Estimate(share.value - law, share.se)
    return record(
        claim_id,
        [
            declared(claim_id, f"share less the exact scores', ten {kind}", difference),
            reported(f"share of the chains in (5, 5), ten {kind}", share),
            reported("share by the exact scores' law", law),
        ],
        {"shares": shares},
        narrower=narrower,
        data=f"the paper's mixture, ten {kind}",
        note=f"{N_CHAINS:,} chains for each; ± is that of the mean over trainings.",
        facts={"n_networks": N_NETWORKS, "n_chains": N_CHAINS},
    )
