"""The noise conditional score network on images: the paper's settings and a laptop's, and its training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import KW_ONLY, field
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from sbgm.checked import Batch, Count, Positive, Score, checked, count_from, one_of, unchecked
from sbgm.data import Images, dequantise, load_images, random_flip
from sbgm.files import content_hash
from sbgm.losses import ncsn_loss
from sbgm.measure import level_losses
from sbgm.networks import ScoreNetwork
from sbgm.noise import derived_generator, geometric_sigmas
from sbgm.refinenet import RefineNet
from sbgm.train.runs import PartLoss, Run, TrainingSettings, make_accelerator, train
from sbgm.training import Step
from sbgm.weights import load_weights, weights_file

__all__ = [
    "DATA",
    "NCSN",
    "SCALES",
    "GeometricLadder",
    "train_ncsn",
]

DATA = ("digits", "mnist_small", "mnist", "fashion_mnist", "cifar10", "celeba")
SCALES = ("laptop", "gpu", "paper")
ORDER, PART, HELD_OUT = range(3)  # what a derived generator is for
Accelerator = Any  # an accelerate.Accelerator; Accelerate is loaded where there is one
Data, ScaleName = Annotated[str, one_of(DATA)], Annotated[str, one_of(SCALES)]


@checked
@dataclasses.dataclass(frozen=True, kw_only=True)
class GeometricLadder:
    """Noise levels σ_1 > … > σ_L whose neighbours have one ratio; the paper's for images unless told otherwise."""

    sigma_max: Positive = field(default=1.0, metadata={"help": "the largest noise level, σ_1"})
    sigma_min: Positive = field(default=0.01, metadata={"help": "the smallest noise level, σ_L"})
    n_levels: Count = field(default=10, metadata={"help": "L, noise levels of the geometric ladder"})

    @property
    def sigmas(self) -> Tensor:
        """The ladder σ_1 > … > σ_L as a float32 tensor, or the one level σ_L where n_levels is 1 (Appendix C.1)."""
        if self.n_levels == 1:
            return torch.tensor([self.sigma_min])
        return geometric_sigmas(self.sigma_max, self.sigma_min, self.n_levels)


@checked
@dataclasses.dataclass(frozen=True)
class NCSN(GeometricLadder):
    """A noise conditional score network on images and its training (Sections 4.1, 4.2, Appendix B.2).

    `training` holds the `TrainingSettings`; the metadata "help" of the other fields says what they are.
    """

    data: str = field(metadata={"help": "the images' name"})
    channels: Annotated[int, count_from(2)] = field(default=128, metadata={"help": "C, the width of the RefineNet"})
    _: KW_ONLY
    conditional: bool = field(default=True, metadata={"help": "tell the network the level, by its instance norms"})
    divide_by_sigma: bool = field(default=False, metadata={"help": "divide the network's output by σ"})
    flips: bool = field(default=False, metadata={"help": "mirror every other image, chosen at random"})
    n_held_out: Annotated[int, count_from(2)] = field(
        default=64, metadata={"help": "images a level that the held-out loss is measured on"}
    )
    initial: str | None = field(default=None, metadata={"help": "a trained network to start from, by name or file"})
    training: TrainingSettings = field(default_factory=TrainingSettings)

    @classmethod
    @checked
    def of_scale(cls, data: Data, scale: ScaleName) -> NCSN:
        """Settings by name: "paper", the paper's, in float32; "gpu", the same in the precision that the device is fast
        in, compiled, with averaged weights beside the raw ones; "laptop", a width of 32 and a quarter of the batch, in
        the device's fast precision, averaged, for hours on two cores.
        """
        flips = data in ("cifar10", "celeba")
        if scale == "laptop":
            steps = 20_000 if flips else 10_000
            training = TrainingSettings(
                steps, batch_size=32, ema_decay=0.999, precision="auto", log_every=50, measure_every=500, save_every=250
            )
            return cls(data, channels=32, flips=flips, training=training)
        training = TrainingSettings(keep_every=5_000)
        if scale == "gpu":
            training = dataclasses.replace(training, precision="auto", ema_decay=0.999, compile=True)
        return cls(data, channels=128 if flips else 64, flips=flips, n_held_out=1_000, training=training)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> NCSN:
        """The settings that `dataclasses.asdict` turned into a dictionary, without the hash of a run's images."""
        own = {name: value for name, value in settings.items() if name != "images_sha256"}
        return cls(**{**own, "training": TrainingSettings(**settings["training"])})

    def network(self, image_shape: tuple[int, ...]) -> RefineNet:
        """The network that training starts from, for images of shape (C, H, W).

        Raises:
            FileNotFoundError, ValueError: `initial` names no file, or one of another architecture.
        """
        network = RefineNet(
            self.sigmas,
            self.channels,
            image_shape[0],
            conditional=self.conditional,
            divide_by_sigma=self.divide_by_sigma,
            generator=torch.Generator().manual_seed(self.training.seed),
        )
        if self.initial is not None:
            load_weights(network, weights_file(self.initial))
        network.image_shape, network.data_range = tuple(image_shape), (0.0, 1.0)
        return network


@checked
def train_ncsn(
    settings: NCSN,
    folder: Path | str,
    *,
    resume: bool = False,
    network: ScoreNetwork | None = None,
    images: Images | None = None,
    held_out: Batch | None = None,
    accelerator: Accelerator | None = None,
) -> Iterator[Step]:
    """Train a noise conditional score network by Eq. 6 in a run's folder, yielding after each step.

    Args:
        settings: what to train; a resumed run may differ from what it was started with in its numbers of steps and of
            threads only. A precision "auto" and threads 0 are decided and recorded when the run starts.
        folder: of the run, see `Run`.
        resume: go on with the run in this folder.
        network: what to train, in place, one for these images; None makes `settings.network`.
        images: (N, C, H, W) in [0, 1] to train on; None loads `settings.data`.
        held_out: images for the held-out loss; None loads the test split.
        accelerator: see `train`.

    Raises:
        FileExistsError: the folder is not empty and `resume` is not set.
        FileNotFoundError: `resume` is set and the folder holds no run.
        BlockingIOError: another process trains the run.
        ValueError: the run in the folder was started with other settings or images, or made more steps, or its latest
            checkpoint is damaged, the batch is larger than the data, or `settings.initial` is of another architecture.
    """
    accelerator = make_accelerator() if accelerator is None else accelerator
    run, images = Run(folder), load_images(settings.data, "train") if images is None else images
    recorded = run.settings.get("training", {}) if resume else {}
    settings = dataclasses.replace(settings, training=settings.training.settled(accelerator.device, recorded))
    started = dataclasses.asdict(settings) | {"images_sha256": content_hash(images)}
    if resume and accelerator.is_main_process:
        run.resume(started, but="n_steps")
    held_out = load_images(settings.data, "test") if held_out is None else held_out
    if len(images) < settings.training.batch_size:
        raise ValueError(f"batch_size must be at most the {len(images)} images, got {settings.training.batch_size}")
    if network is None:
        begun = resume and run.last_step  # then its checkpoint has all weights, and `initial` may be gone
        network = (dataclasses.replace(settings, initial=None) if begun else settings).network(images.shape[1:])
    loss = _part_loss(resident(images, accelerator.device), settings, accelerator.device)
    held_out = held_out[: settings.n_held_out].to(accelerator.device)

    def measure(score: Score) -> dict[str, float]:
        generator = derived_generator(settings.training.seed, HELD_OUT, device=held_out.device)
        values = level_losses(score, held_out, settings.sigmas, generator=generator).values.tolist()
        return {"held_out": sum(values) / len(values)} | {f"level_{i}": v for i, v in enumerate(values, start=1)}

    steps = train(network, loss, run, settings.training, measure=measure, accelerator=accelerator)
    if not resume and accelerator.is_main_process:
        run.create(started)  # now that nothing is wrong with the settings
    accelerator.wait_for_everyone()
    return steps


def resident(images: Tensor, device: torch.device) -> Tensor:
    """The training images on a device, or where they are if a CUDA GPU has less than four times the memory free."""
    if device.type == "cuda" and 4 * images.nbytes > torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)


def _part_loss(images: Tensor, settings: NCSN, device: torch.device) -> PartLoss:
    """Eq. 6 on a part of a step's batch: every epoch goes through the images once, in an order of its own.

    The images were looked at when the training began: a look at a value in each step would be a wait for a GPU.
    """
    seed, size = settings.training.seed, settings.training.batch_size
    sigmas = torch.as_tensor(settings.sigmas, device=device)

    @functools.lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        return torch.randperm(len(images), generator=derived_generator(seed, ORDER, epoch)).to(images.device)

    def loss(score: Score, step: int, part: int, n_parts: int) -> Tensor:
        epoch, position = divmod(step - 1, len(images) // size)
        rows = order(epoch)[position * size : (position + 1) * size]
        generator = derived_generator(seed, PART, step, part, device=device)
        x = unchecked(dequantise)(images[rows[part::n_parts]].to(device), generator=generator)
        if settings.flips:
            x = unchecked(random_flip)(x, generator=generator)
        return unchecked(ncsn_loss)(score, x, sigmas, generator=generator)

    return loss
