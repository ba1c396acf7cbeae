"""Networks on the mixture: Fig. 2's perceptron, and noise conditional ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sbgm.checked import check_choice
from sbgm.distributions import GaussianMixture, paper_mixture
from sbgm.losses import ncsn_loss, score_matching_loss, sliced_score_matching_loss
from sbgm.measure import relative_squared_error
from sbgm.networks import ConditionalMLP, EnergyMLP
from sbgm.noise import geometric_sigmas, perturb
from sbgm.training import Step, adam, fit
from sbgm.weights import load_weights, save_weights, weights_folder


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


DATA_STD = math.sqrt(26)  # of the mixture's coordinates around the origin: √(5² + 1)


@dataclasses.dataclass(frozen=True)
class MixtureTraining:
    """Settings of a training on the mixture: the objective (Eq. 6) and how it is minimised.

    Attributes:
        objective: what stands for ℓ(θ; σ): "denoising" (Eq. 5), "sliced" (Eq. 3) or "exact" (Eq. 1) score matching, the
            last two on perturbed samples.
        n_iterations: Adam steps.
        batch_size: fresh samples a step, one uniform level each.
        learning_rate: Adam's; the peak where `one_cycle` is set.
        one_cycle: raise the rate, then anneal it to zero (Smith & Topin 2018), in place of a constant one.
        sigma_max, sigma_min, n_levels: the geometric ladder.
        seed: of the samples, levels, noise and projections.
    """

    objective: str = "denoising"
    n_iterations: int = 3_000
    batch_size: int = 512
    learning_rate: float = 1e-2
    one_cycle: bool = True
    sigma_max: float = 20.0
    sigma_min: float = 1.0
    n_levels: int = 10
    seed: int = 0

    @property
    def sigmas(self) -> Tensor:
        """The ladder σ_1 > … > σ_L as a float32 tensor."""
        return geometric_sigmas(self.sigma_max, self.sigma_min, self.n_levels)


def train_mixture(network: nn.Module, mixture: GaussianMixture, settings: MixtureTraining) -> Iterator[Step]:
    """Train a noise conditional score network on samples of a mixture (Eq. 6 with λ(σ) = σ²), in place.

    Args:
        network: s(x, sigma), such as `ConditionalMLP` or `EnergyMLP`.
        mixture: where the clean samples come from.
        settings: see `MixtureTraining`.

    Yields:
        Step(step, loss) after every iteration.

    Raises:
        ValueError: the objective is unknown, before the first step.
    """
    check_choice(settings.objective, "objective", ("denoising", "sliced", "exact"))
    return _train_mixture(network, mixture, settings)


def _train_mixture(network, mixture, settings):
    generator = torch.Generator().manual_seed(settings.seed)
    sigmas = settings.sigmas
    optimizer, schedule = adam(
        network, settings.learning_rate, one_cycle_steps=settings.n_iterations if settings.one_cycle else None
    )

    def loss() -> Tensor:
        x = mixture.sample(settings.batch_size, generator=generator)
        if settings.objective == "denoising":
            return ncsn_loss(network, x, sigmas, generator=generator)
        sigma = sigmas[torch.randint(len(sigmas), (len(x),), generator=generator)]
        x_noisy = perturb(x, sigma, generator=generator)
        if settings.objective == "sliced":
            values = sliced_score_matching_loss(network, x_noisy, sigma, generator=generator, reduction="none")
        else:
            values = score_matching_loss(network, x_noisy, sigma, reduction="none")
        return (sigma**2 * values).mean()

    yield from fit(loss, optimizer, settings.n_iterations, schedule=schedule)


@torch.no_grad()
def level_errors(
    network: nn.Module, mixture: GaussianMixture, sigmas: Tensor, *, n: int = 10_000, generator: torch.Generator
) -> Tensor:
    """The relative squared error of a score at each level, over n samples of q_σ there: (L,)."""
    samples = [(mixture.sample(n, sigma, generator=generator), sigma) for sigma in sigmas.tolist()]
    return torch.tensor([relative_squared_error(network(x, s), mixture.score(x, s)) for x, s in samples])


SHIPPED = {
    **{f"mixture_denoising_{seed}": (ConditionalMLP, MixtureTraining("denoising", seed=seed)) for seed in range(5)},
    **{f"mixture_sliced_{seed}": (ConditionalMLP, MixtureTraining("sliced", seed=seed)) for seed in range(5)},
    "mixture_exact_0": (ConditionalMLP, MixtureTraining("exact")),
    "mixture_energy_0": (EnergyMLP, MixtureTraining("denoising")),
}
"""The networks that ship in `data/weights/`, by the stem of their file: architecture and training."""


def train_shipped(name: str, folder: Path, *, n_iterations: int | None = None) -> nn.Module:
    """Train one of the shipped networks again and save it with the facts of its making.

    On one machine and with one thread, the file comes out the same to the last bit.

    Args:
        name: a key of SHIPPED.
        folder: where to save `name.safetensors`; it is made if need be.
        n_iterations: fewer steps than shipped, for a trial.

    Returns:
        The trained network.
    """
    network, settings = _untrained(name)
    if n_iterations is not None:
        settings = dataclasses.replace(settings, n_iterations=n_iterations)
    mixture = paper_mixture()
    losses = [step.loss for step in train_mixture(network, mixture, settings)]
    last_tenth = losses[-math.ceil(len(losses) / 10) :]
    errors = level_errors(network, mixture, settings.sigmas, generator=torch.Generator().manual_seed(0))
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(
        network,
        folder / f"{name}.safetensors",
        architecture=type(network).__name__,
        data="paper_mixture()",
        mean_loss_of_last_tenth=sum(last_tenth) / len(last_tenth),
        relative_squared_error_by_level=errors.tolist(),
        **dataclasses.asdict(settings),
    )
    return network


def load_shipped(name: str, folder: Path | None = None) -> nn.Module:
    """One of the shipped networks, ready to use.

    Args:
        name: a key of SHIPPED, such as "mixture_denoising_0".
        folder: where `train_shipped` put it; None is `data/weights/`.
    """
    network, _ = _untrained(name)
    load_weights(network, (weights_folder() if folder is None else folder) / f"{name}.safetensors")
    return network.requires_grad_(False)


def _untrained(name: str) -> tuple[nn.Module, MixtureTraining]:
    architecture, settings = SHIPPED[check_choice(name, "name", tuple(SHIPPED))]
    generator = torch.Generator().manual_seed(settings.seed)
    return architecture(dim=2, width=64, depth=3, data_std=DATA_STD, generator=generator), settings
