"""Fig. 2: the score of the mixture, estimated from samples by sliced score matching."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sbgm.distributions import GaussianMixture
from sbgm.losses import sliced_score_matching_loss
from sbgm.training import Step, adam, fit


@dataclasses.dataclass(frozen=True)
class Figure2:
    """Settings of the training behind Fig. 2 (Appendix B.1).

    Attributes:
        n_iterations: Adam steps.
        batch_size: fresh samples a step.
        learning_rate: Adam's; the peak where `one_cycle` is set.
        one_cycle: raise the rate, then anneal it to zero (Smith & Topin 2018), in place of a constant one.
        seed: of the samples and projections.
    """

    n_iterations: int
    batch_size: int
    learning_rate: float
    one_cycle: bool
    seed: int = 0

    @classmethod
    def authors(cls, seed: int = 0) -> Figure2:
        """The authors' recipe: 10,000 iterations of 128 samples at a constant rate of 1e-3."""
        return cls(n_iterations=10_000, batch_size=128, learning_rate=1e-3, one_cycle=False, seed=seed)

    @classmethod
    def quick(cls, seed: int = 0) -> Figure2:
        """A better estimate in less than a quarter of the time: 1,250 iterations of 256 samples, one cycle to 1e-2."""
        return cls(n_iterations=1_250, batch_size=256, learning_rate=1e-2, one_cycle=True, seed=seed)


def train_figure2(network: nn.Module, mixture: GaussianMixture, settings: Figure2) -> Iterator[Step]:
    """Train a score network on samples of a mixture by sliced score matching (Eq. 3), in place.

    Args:
        network: s(x, sigma); the paper's is `MLP(dim=2, width=128, depth=2)`.
        mixture: where the samples come from.
        settings: `Figure2.authors()` or `Figure2.quick()`.

    Yields:
        Step(step, loss) after every iteration.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer, schedule = adam(
        network, settings.learning_rate, one_cycle_steps=settings.n_iterations if settings.one_cycle else None
    )

    def loss() -> Tensor:
        x = mixture.sample(settings.batch_size, generator=generator)
        return sliced_score_matching_loss(network, x, generator=generator)

    yield from fit(loss, optimizer, settings.n_iterations, schedule=schedule)
