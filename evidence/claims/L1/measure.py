"""L1: the error of Fig. 2's networks beyond 4 from both modes, divided by that within 2 of one.

Six networks by the authors' recipe decide: those without noise on points as they are that L7 trained. Two by chapter
2's quick recipe stand beside them. A seventh by the authors' recipe ships; a guard holds it to what its file says.
"""

import dataclasses
import math

import torch

from errors import of_networks
from ledger import Record, declared, guard, load_record, record, reported, seed
from plane import region_errors
from recipes import FIGURE2_QUICK, Training, fisher_divergence
from sbgm import MLP, load_weights, paper_mixture, plots, sliced_score_matching_loss
from sbgm.images.weights import weights_file

SHIPPED = "figure2_authors"


def trained(settings: Training) -> MLP:
    """Fig. 2's network, trained by sliced score matching on fresh points; SHIPPED is that of FIGURE2_AUTHORS."""
    network = MLP(dim=2, width=128, depth=2, generator=torch.Generator().manual_seed(settings.seed))
    for _ in settings.fit(network, paper_mixture().sample, sliced_score_matching_loss):
        pass
    return network


def measure() -> Record:
    """Measure L1: the ratio of errors, six networks, and two by the quick recipe."""
    mixture = paper_mixture()
    of_l7 = load_record("L7").tensors
    far, near = (of_l7[f"points as they are, Fig. 2's recipe: {kind}"][:, 0] for kind in ("far", "near"))
    quick = []
    for part in range(2):
        network = trained(dataclasses.replace(FIGURE2_QUICK, seed=seed("L1") + part))
        errors = region_errors(network, mixture.score, plots.grid(100), mixture.means)
        quick.append(math.log10(errors.far / errors.near))
    shipped = MLP(dim=2, width=128, depth=2)
    facts = load_weights(shipped, weights_file(SHIPPED))
    held_out = mixture.sample(5_000, generator=torch.Generator().manual_seed(9))  # as for the file's facts
    divergence = fisher_divergence(shipped, mixture.score, held_out).value
    return record(
        "L1",
        [
            declared("L1", "log₁₀ of error far over near, six networks", of_networks((far / near).log10())),
            reported("error far, six networks", of_networks(far)),
            reported("error near, six networks", of_networks(near)),
            reported("the same, the quick recipe, two networks", of_networks(torch.tensor(quick))),
            guard(
                "shipped network: Fisher divergence over the one at the end of its training",
                divergence / facts["fisher_divergence"]["10000"],
                low=0.99,
                high=1.01,
            ),
        ],
        data="six networks by the authors' recipe, trained by L7",
        networks=[SHIPPED],
    )
