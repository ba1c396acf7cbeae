"""The noise conditional score network on images: the paper's settings and a laptop's, and its training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, field
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from sbgm.files import content_hash
from sbgm.guard import (
    Count,
    Network,
    Positive,
    Score,
    checked,
    count_from,
    instance_of,
    one_of,
    require_score,
    unchecked,
)
from sbgm.images.data import SETS, DataSet, as_floats, dequantise, random_flip
from sbgm.images.own import own_images
from sbgm.images.refinenet import RefineNet
from sbgm.images.weights import OwnNetwork, load_weights, own_source
from sbgm.losses import ncsn_loss
from sbgm.measure import level_losses
from sbgm.networks import DigitNetwork, ScoreNetwork, drawn_from
from sbgm.noise import derived_generator, geometric_sigmas
from sbgm.train.progress import save_images, write_page
from sbgm.train.runs import PartLoss, Run, TrainingSettings, make_accelerator, train
from sbgm.training import Step

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
HIDDEN_SHARE = 0.1  # of labels are hidden in training, so that the network learns the score of any class too
N_KNOWN = 2_000  # training images that starts, mean and variance are taken from
Accelerator = Any  # an accelerate.Accelerator; Accelerate is loaded where there is one
ScaleName = Annotated[str, one_of(SCALES)]


def data_of(name: str, size: int = 32) -> DataSet:
    """The data set of a name, or that of a folder or file, its images cropped and resized.

    Raises:
        ValueError: it is neither.
        DataNotFoundError: as `own_images`.
    """
    if name not in SETS and not Path(name).exists():
        one_of([*DATA, "a folder of images"])(name, "data")
    return SETS[name] if name in SETS else own_images(name, size)


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

    data: str = field(metadata={"help": "the images' name, or the folder that holds them"})
    channels: Annotated[int, count_from(2)] = field(default=128, metadata={"help": "C, the width of the RefineNet"})
    _: KW_ONLY
    conditional: bool = field(default=True, metadata={"help": "tell the network the level, by its instance norms"})
    divide_by_sigma: bool = field(default=False, metadata={"help": "divide the network's output by σ"})
    flips: bool = field(default=False, metadata={"help": "mirror every other image, chosen at random"})
    size: Count = field(default=32, metadata={"help": "pixels a side of a folder's images, cropped and resized"})
    classes: bool = field(
        default=False, metadata={"help": "tell the network an image's class, hidden in one of ten, for sample --label"}
    )
    architecture: str | None = field(
        default=None,
        metadata={"help": "in place of RefineNet: DigitNetwork, or one's own, FILE.py:CLASS, which runs that file"},
    )
    n_held_out: Annotated[int, count_from(2)] = field(
        default=64, metadata={"help": "images a level that the held-out loss is measured on"}
    )
    initial: str | None = field(default=None, metadata={"help": "a trained network to start from, by name or file"})
    training: TrainingSettings = field(default_factory=TrainingSettings)

    @classmethod
    @checked
    def of_scale(cls, data: str, scale: ScaleName) -> NCSN:
        """Settings by name: "paper", the paper's, in float32; "gpu", the same in the precision that the device is fast
        in, compiled, with averaged weights beside the raw ones; "laptop", a width of 32 and a quarter of the batch, in
        the device's fast precision, averaged, for hours on two cores.
        """
        flips = data in ("cifar10", "celeba")
        if scale == "laptop":
            steps = 20_000 if flips else 10_000
            training = TrainingSettings(
                steps, batch_size=32, ema_decay=0.999, precision="auto", log_every=50, save_every=250
            )
            return cls(data, channels=32, flips=flips, training=training)
        training = TrainingSettings(keep_every=5_000)
        if scale == "gpu":
            training = dataclasses.replace(training, precision="auto", ema_decay=0.999, compile=True)
        return cls(data, channels=128 if flips else 64, flips=flips, n_held_out=1_000, training=training)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> NCSN:
        """The settings that `dataclasses.asdict` turned into a dictionary, without the names and hashes beside them."""
        own = {name: value for name, value in settings.items() if not name.endswith(("_names", "_sha256"))}
        return cls(**{**own, "training": TrainingSettings(**settings["training"])})

    def network(self, image_shape: tuple[int, ...], n_classes: int = 0, images: Tensor | None = None) -> ScoreNetwork:
        """The network that training starts from, for images of shape (C, H, W).

        Args:
            image_shape: (C, H, W).
            n_classes: 0 where it takes no label.
            images: whose mean and variance a `DigitNetwork`, or one's own network, may ask for.

        Raises:
            FileNotFoundError, ValueError: `initial` names no file, or one of another architecture, or `architecture`
                is no file.
        """
        sigmas, generator = self.sigmas, torch.Generator().manual_seed(self.training.seed)
        given: dict[str, Any] = {"image_shape": list(image_shape), "n_classes": n_classes}
        if images is not None:
            given |= {"mean": float(images.mean()), "variance": float(images.var())}
        if self.architecture is None:
            options = {"conditional": self.conditional, "divide_by_sigma": self.divide_by_sigma, "n_classes": n_classes}
            network = RefineNet(sigmas, self.channels, image_shape[0], **options, generator=generator)
        elif self.architecture == DigitNetwork.__name__:
            network = DigitNetwork(sigmas, **given, generator=generator)
        else:
            with drawn_from(generator):
                network = OwnNetwork(sigmas, **own_source(self.architecture), n_classes=n_classes, given=given)  # pyright: ignore[reportArgumentType] - a path and its hash
        if self.initial is not None:
            load_weights(network, self.initial)
        network.image_shape, network.data_range = tuple(image_shape), (0.0, 1.0)
        return network


@checked
def train_ncsn(
    settings: NCSN,
    folder: Path | str,
    *,
    resume: bool = False,
    network: Network | None = None,
    images: Annotated[
        DataSet | None, instance_of((DataSet, type(None)), "a data set, such as own_images makes")
    ] = None,
    accelerator: Accelerator = None,
) -> Iterator[Step]:
    """Train a noise conditional score network by Eq. 6 in a run's folder, yielding after each step.

    At each measurement eight images are drawn from the same starts, into `sheets/`, where the ladder has several
    levels, and `progress.html` shows them with the losses.

    Args:
        settings: what to train; a resumed run may differ from what it was started with in its number of threads, and,
            where the learning rate is constant, in its number of steps. A precision "auto" and threads 0 are decided
            and recorded when the run starts.
        folder: of the run, see `Run`.
        resume: go on with the run in this folder.
        network: what to train, in place: a `ScoreNetwork`, or any module s(x, sigma), or s(x, sigma, label) where
            `settings.classes` is set, see `OwnNetwork`; None makes `settings.network`.
        images: what to train on, such as a set of `own_images`; None is `settings.data`.
        accelerator: see `train`.

    Raises:
        FileExistsError: the folder is not empty and `resume` is not set.
        FileNotFoundError: `resume` is set and the folder holds no run.
        BlockingIOError: another process trains the run.
        ValueError: the run in the folder was started with other settings or images, or made more steps, or its latest
            checkpoint is damaged, the batch is larger than the data, `settings.initial` is of another architecture, or
            the network gives no scores of the images' shape. Nothing has been written then.
    """
    accelerator = accelerator or make_accelerator()
    device, run, data = accelerator.device, Run(folder), images or data_of(settings.data, settings.size)
    pixels, labels, names = data.images("train"), None, []
    if settings.classes:
        if data.labels is None:
            raise ValueError("classes must be left out, because these images have none; a class is a subfolder's name")
        labels = data.labels("train").to(device)
        names = list(data.classes) or [str(label) for label in range(int(labels.max()) + 1)]
    n_classes = len(names)
    recorded = run.settings.get("training", {}) if resume else {}
    settings = dataclasses.replace(settings, training=settings.training.settled(device, recorded))
    started = dataclasses.asdict(settings) | {"class_names": names, "images_sha256": content_hash(pixels)}
    if settings.architecture and ":" in settings.architecture:
        started["architecture_sha256"] = own_source(settings.architecture)["sha256"]
    if resume and accelerator.is_main_process:
        run.resume(started, but="n_steps" if settings.training.schedule == "constant" else "")
    if len(pixels) < settings.training.batch_size:
        raise ValueError(f"batch_size must be at most the {len(pixels)} images, got {settings.training.batch_size}")
    known, held_out = _floats(pixels[:N_KNOWN]), _floats(data.images("test")[: settings.n_held_out])
    if network is None:
        begun = resume and run.last_step  # then its checkpoint has all weights, and `initial` may be gone
        made_by = dataclasses.replace(settings, initial=None) if begun else settings
        network = made_by.network(tuple(pixels.shape[1:]), n_classes, known)
    elif not isinstance(network, ScoreNetwork):
        network = OwnNetwork(settings.sigmas, type(network).__qualname__, n_classes=n_classes, module=network)
        network.image_shape = tuple(pixels.shape[1:])
    network.classes = tuple(names)
    with torch.no_grad():
        given = known[:2], settings.sigmas[:1].expand(2), *[torch.zeros(2, dtype=torch.long)] * settings.classes
        require_score(network.eval()(*given), known[:2], "network")
    loss = _part_loss(resident(pixels, device), settings, accelerator, labels, n_classes)
    known, held_out = known.to(device), held_out.to(device)

    def measure(score: Score, step: int) -> dict[str, float]:
        generator = derived_generator(settings.training.seed, HELD_OUT, device=device)
        values = level_losses(score, held_out, settings.sigmas, generator=generator).values.tolist()
        if accelerator.is_main_process and settings.n_levels > 1:  # which ancestral sampling needs
            path = run.folder / "sheets" / f"step-{step:07d}.png"
            save_images(score, known, settings.sigmas, settings.training.seed, path, names)
        return {"held_out": sum(values) / len(values)} | {f"level_{i}": v for i, v in enumerate(values, start=1)}

    def watch(rows: list[dict[str, float]]) -> None:
        accelerator.log(rows[-1], step=rows[-1]["step"])
        if "held_out" in rows[-1]:
            write_page(run.folder, rows, settings.training.n_steps)

    steps = train(network, loss, run, settings.training, measure=measure, watch=watch, accelerator=accelerator)
    if not resume and accelerator.is_main_process:
        run.create(started)  # now that nothing is wrong with the settings
    accelerator.wait_for_everyone()
    return steps


def _floats(images: Tensor) -> Tensor:
    """Images in [0, 1], of bytes if they are."""
    return images if images.is_floating_point() else as_floats(images)


def resident(images: Tensor, device: torch.device) -> Tensor:
    """The training images on a device, or where they are if a CUDA GPU has less than four times the memory free."""
    if device.type == "cuda" and 4 * images.nbytes > torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)


def read_ahead(read: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
    """Return `read`, by a thread that reads what the next step needs while this one is computed, so no GPU waits."""
    reading = functools.lru_cache(maxsize=2)(functools.partial(ThreadPoolExecutor(1).submit, read))

    def batch(step: int) -> Tensor:
        now, _ = reading(step), reading(step + 1)
        return now.result()

    return batch


def _part_loss(
    images: Tensor, settings: NCSN, accelerator: Accelerator, labels: Tensor | None = None, n_classes: int = 0
) -> PartLoss:
    """Eq. 6 on a part of a step's batch: every epoch goes through the images once, in an order of its own.

    The images were looked at when the training began: a look at a value in each step would be a wait for a GPU.
    """
    seed, size, device = settings.training.seed, settings.training.batch_size, accelerator.device
    process, n_processes = accelerator.process_index, accelerator.num_processes
    sigmas = torch.as_tensor(settings.sigmas, device=device)

    @functools.lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        return torch.randperm(len(images), generator=derived_generator(seed, ORDER, epoch)).to(images.device)

    def rows(step: int) -> Tensor:  # of this process's parts, which are every n_processes-th
        epoch, position = divmod(step - 1, len(images) // size)
        return order(epoch)[position * size : (position + 1) * size][process::n_processes]

    def read(step: int) -> Tensor:
        return images[rows(step)]

    batch = read if images.device.type == device.type else read_ahead(read)

    def loss(score: Any, step: int, part: int, n_parts: int) -> Tensor:
        mine = slice(part // n_processes, None, n_parts // n_processes)
        generator = derived_generator(seed, PART, step, part, device=device)
        x = unchecked(dequantise)(_floats(batch(step)[mine].to(device)), generator=generator)
        if settings.flips:
            x = unchecked(random_flip)(x, generator=generator)
        if labels is None:
            return unchecked(ncsn_loss)(score, x, sigmas, generator=generator)
        hidden = torch.rand(len(x), generator=generator, device=device) < HIDDEN_SHARE
        label = labels[rows(step)[mine].to(device)].masked_fill(hidden, n_classes)
        return unchecked(ncsn_loss)(lambda x, sigma: score(x, sigma, label), x, sigmas, generator=generator)

    return loss
