"""Fig. 1's network on images: a training by sliced score matching that can be resumed."""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from recipes import Figure1
from sbgm.files import content_hash, write_bytes
from sbgm.guard import Batch, Count, checked
from sbgm.images.networks import ResNet
from sbgm.losses import sliced_score_matching_loss
from sbgm.noise import perturb
from sbgm.training import Step, require_finite_step

STATE = "state.pt"


@checked
def train_figure1(images: Batch, settings: Figure1, *, folder: Path | str, save_every: Count = 200) -> Iterator[Step]:
    """Train the ResNet of Fig. 1 by sliced score matching, yielding the loss of every iteration.

    The run is saved every `save_every` iterations and at the end. Called again, it first yields the steps already made,
    then goes on exactly as if it had never stopped; more iterations continue it.

    Args:
        images: (N, C, H, W) in [0, 1].
        settings: see `Figure1`.
        folder: of the run.
        save_every: iterations between two savings.

    Raises:
        ValueError: the folder holds a run with other settings or images.
    """
    told = dataclasses.asdict(settings) | {"images": content_hash(images)}
    generator, weights = (torch.Generator().manual_seed(settings.seed) for _ in range(2))
    network = ResNet(settings.channels, images.shape[1], generator=weights).to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    losses: list[float] = []
    file = Path(folder) / STATE
    if file.exists():
        state = load_state(folder)
        differ = [name for name, value in told.items() if name != "n_steps" and state["told"][name] != value]
        if differ:
            raise ValueError(f"folder must hold a run of these settings and images, but in {folder} {differ} differ")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        losses = state["losses"].tolist()
        yield from (Step(i, value) for i, value in enumerate(losses[: settings.n_steps], start=1))
    file.parent.mkdir(parents=True, exist_ok=True)
    for step in range(len(losses) + 1, settings.n_steps + 1):
        x = images[torch.randint(len(images), (settings.batch_size,), generator=generator)]
        if settings.noise_std > 0:
            x = perturb(x, settings.noise_std, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        loss = sliced_score_matching_loss(network, x, generator=generator)
        loss.backward()
        losses.append(require_finite_step(loss, optimizer, step, settings.n_steps))
        optimizer.step()
        if step % save_every == 0 or step == settings.n_steps:
            content = io.BytesIO()  # not to the disk: torch reports a full one as an error about its own positions
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "told": told}
            state |= {"generator": generator.get_state(), "losses": torch.tensor(losses, dtype=torch.float64)}
            torch.save(state, content)
            write_bytes(file, content.getbuffer())
        yield Step(step, losses[-1])


def load_state(folder: Path | str) -> dict[str, Any]:
    """What a run saved last: weights, Adam's moments, the generator's state, losses, and what it was begun with."""
    return torch.load(Path(folder) / STATE, weights_only=True)
