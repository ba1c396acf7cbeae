"""Fig. 1: sliced score matching on images, raw and with a little noise."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sbgm.checked import check_batch
from sbgm.data import load_images
from sbgm.files import content_hash
from sbgm.lab.hardware import hardware
from sbgm.lab.runs import load_checkpoint, save_checkpoint
from sbgm.losses import sliced_score_matching_loss
from sbgm.networks import ResNet, initial_weights_from
from sbgm.noise import perturb
from sbgm.training import Step, fit
from sbgm.weights import load_weights, save_weights, weights_file


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


def relative_spread(losses: Tensor, *, detrended: bool = False) -> float:
    """sd/|mean| of a loss over the last third of its curve, (T,) with T ≥ 9.

    Args:
        losses: the loss of every iteration.
        detrended: take the standard deviation around a straight line, fitted to that third, in place of the mean.
    """
    last = _last(losses, 3)
    rest = last - _line(last) if detrended else last
    return float(rest.std() / last.mean().abs())


def relative_drift(losses: Tensor) -> float:
    """How far the mean of a loss moves over the last quarter of its curve, (T,), as a share of its size.

    The change, from end to end, of a straight line fitted to that quarter, over |mean|.
    """
    last = _last(losses, 4)
    line = _line(last)
    return float((line[-1] - line[0]).abs() / last.mean().abs())


def running_mean(losses: Tensor, n: int = 100) -> Tensor:
    """The means of n consecutive losses: (T,) -> (T − n + 1,)."""
    if not 1 <= n <= len(losses):
        raise ValueError(f"n must be 1 … {len(losses)}, the number of losses, got {n}")
    return losses.double().unfold(0, n, 1).mean(dim=1)


def _last(losses: Tensor, parts: int) -> Tensor:
    if losses.ndim != 1 or len(losses) < 9:
        raise ValueError(f"losses must be at least nine numbers, (T,), got shape {tuple(losses.shape)}")
    if not bool(torch.isfinite(losses).all()):
        raise ValueError("losses must be finite, but they hold NaN or infinity")
    return losses[len(losses) - len(losses) // parts :].double()


def _line(values: Tensor) -> Tensor:
    """The least-squares straight line through equally spaced values, at the same places."""
    t = torch.arange(len(values), dtype=values.dtype)
    t = t - t.mean()
    return values.mean() + (t * values).sum() / t.square().sum() * t


RAW = "mnist_raw"
SETTINGS = Figure1.laptop(noise_std=0.0, n_iterations=500)
IMAGE_SHAPE = (1, 28, 28)


def train_shipped_raw(folder: Path, settings: Figure1 = SETTINGS) -> Path:
    """Train the shipped network again by sliced score matching on raw MNIST, and save it with the facts of its making.

    Args:
        folder: for `mnist_raw.safetensors` and the run's checkpoint, `mnist_raw.pt`, from which it goes on.
        settings: other than the shipped ones, for a trial.

    Returns:
        The file of weights.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = load_images("mnist")
    start = time.perf_counter()
    losses = [s.loss for s in train_figure1(images, settings, checkpoint=folder / f"{RAW}.pt")]
    network = ResNet(settings.channels, IMAGE_SHAPE[0])
    network.load_state_dict(load_checkpoint(folder / f"{RAW}.pt")["network"])
    path = folder / f"{RAW}.safetensors"
    save_weights(
        network,
        path,
        dtype=torch.float16,
        command="sbgm.lab.figure1.train_shipped_raw(folder)",
        data=f"MNIST, {len(images):,} training images, without noise",
        data_sha256=content_hash(images),
        settings=dataclasses.asdict(settings),
        seconds=round(time.perf_counter() - start),
        last_losses=[float(f"{loss:.4g}") for loss in losses[-5:]],
        hardware=hardware(),
        torch=torch.__version__,
    )
    return path


def load_raw(name: str = RAW) -> nn.Module:
    """The network trained on raw images, in evaluation mode, its weights fixed; it takes any σ and ignores it.

    Its `sigmas` are the one level 0.01, so that Algorithm 1 is plain Langevin dynamics with the step size ε.
    """
    path = weights_file(name)
    network = ResNet(SETTINGS.channels, IMAGE_SHAPE[0])
    load_weights(network, path)
    network.sigmas, network.image_shape = torch.tensor([0.01]), IMAGE_SHAPE
    return network.eval().requires_grad_(False)
