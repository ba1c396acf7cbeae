"""Fig. 1: sliced score matching on raw images, and on images with a little noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sbgm._validate import check_batch
from sbgm.losses import sliced_score_matching_loss
from sbgm.networks.initial import initial_weights_from
from sbgm.networks.resnet import ResNet
from sbgm.noise import perturb
from sbgm.training import Step, fit, load_checkpoint, save_checkpoint


@dataclasses.dataclass(frozen=True)
class Figure1:
    """Sliced score matching on images, raw or perturbed by N(0, noise_std² I) (Section 3.1, Appendix B.1).

    The defaults are the paper's; `Figure1.laptop` is a sixteenth of the work an iteration.

    Attributes:
        noise_std: standard deviation of the noise: 0 for the left panel, 0.01 (variance 0.0001) for the right.
        channels: width of the ResNet.
        batch_size: images an iteration.
        learning_rate: Adam's.
        n_iterations: iterations.
        seed: of weights, batches, noise and projections.
    """

    noise_std: float
    channels: int = 32
    batch_size: int = 128
    learning_rate: float = 1e-3
    n_iterations: int = 50_001
    seed: int = 0

    @classmethod
    def laptop(cls, noise_std: float, n_iterations: int = 6_000) -> Figure1:
        """Half the channels and a quarter of the batch."""
        return cls(noise_std, channels=16, batch_size=32, n_iterations=n_iterations)


def train_figure1(
    images: Tensor, settings: Figure1, *, checkpoint: Path | None = None, save_every: int = 200
) -> Iterator[Step]:
    """Train the ResNet of Fig. 1 by sliced score matching, yielding the loss of every iteration.

    With a `checkpoint`, the run is saved there every `save_every` iterations and at the end. Called again, it first
    yields the steps already made, then goes on exactly as if it had never stopped; more iterations continue the run.

    Args:
        images: (N, C, H, W) in [0, 1].
        settings: see `Figure1`.
        checkpoint: file that holds the run.
        save_every: iterations between two savings.

    Raises:
        ValueError: the checkpoint belongs to a run with other settings.
    """
    check_batch(images, "images")
    generator = torch.Generator().manual_seed(settings.seed)
    with initial_weights_from(settings.seed):
        network = ResNet(settings.channels, images.shape[1]).to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    losses: list[float] = []

    identity = dataclasses.asdict(settings)
    identity.pop("n_iterations")
    identity |= {"n_images": len(images), "image_sum": float(images.cpu().sum(dtype=torch.float64))}
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if state["identity"] != identity:
            raise ValueError(f"checkpoint {checkpoint} belongs to a run with {state['identity']}, not {identity}")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        losses = state["losses"].tolist()
        yield from (Step(i, value) for i, value in enumerate(losses[: settings.n_iterations], start=1))

    def loss() -> Tensor:
        chosen = torch.randint(len(images), (settings.batch_size,), generator=generator)
        x = images[chosen]
        if settings.noise_std > 0:
            x = perturb(x, settings.noise_std, generator=generator)
        return sliced_score_matching_loss(network, x, generator=generator)

    def save() -> None:
        save_checkpoint(
            checkpoint,
            identity=identity,
            network=network.state_dict(),
            optimizer=optimizer.state_dict(),
            generator=generator.get_state(),
            losses=torch.tensor(losses, dtype=torch.float64),
        )

    for step in fit(loss, optimizer, settings.n_iterations, first_step=len(losses) + 1):
        losses.append(step.loss)
        if checkpoint is not None and (step.step % save_every == 0 or step.step == settings.n_iterations):
            save()
        yield step
