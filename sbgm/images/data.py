"""Images as float tensors in [0, 1], their labels, and what the paper does to them before training.

Some sets ship with this project or with scikit-learn; the others are read from `data_folder()`, where the command
`sbgm download NAME` puts them. What comes from where, and under what terms, is in `data/README.md`.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sbgm.files import data_folder, from_extra, shipped_folder
from sbgm.guard import checked, one_of

__all__ = [
    "NAMES",
    "SETS",
    "SPLITS",
    "DataNotFoundError",
    "DataSet",
    "dequantised",
    "flipped",
    "is_available",
    "load_images",
    "load_labels",
]

SPLITS = ("train", "test")


class DataNotFoundError(FileNotFoundError):
    """A data set is not at hand, or what is there is incomplete; the message says what to do."""


# --- data sets by name -----------------------------------------------------------------------------------------------


@checked
def load_images(name: SetOrName, split: Split = "train") -> Tensor:
    """A data set's images, without their labels.

    Always at hand:

    * "digits": scikit-learn's 1,797 handwritten digits, 8×8 grey; the last fifth is the test split. They come writer by
      writer, and 22 of the training digits are by a writer of some 100 of the 360 test digits.
    * "photo_patches": 32×32 colour patches, 8 pixels apart, of scikit-learn's two photographs; the right quarter of
      each is the test split.
    * "mnist_small": every 19th of MNIST's training images and every 2nd of its test images: 3,158 and 5,000 28×28 grey
      digits, which ship with this project.

    Read from `data_folder()`, by torchvision, which checks what it fetches:

    * "mnist": 60,000 and 10,000 28×28 grey digits (LeCun et al. 1998).
    * "fashion_mnist": 60,000 and 10,000 28×28 grey articles of clothing (Xiao et al. 2017).
    * "cifar10": 50,000 and 10,000 32×32 colour images (Krizhevsky 2009).

    Args:
        name: one of the above, or a set of one's own, see `sbgm.own_images`.
        split: "train" or "test".

    Returns:
        (N, C, H, W) float32 tensor in [0, 1]. MNIST's training split takes 188 MB, CIFAR-10's 614 MB.

    Raises:
        DataNotFoundError: the set is not at hand, or its folder is incomplete; the message says how to get it.

    Example:
        >>> images = sbgm.load_images("digits")
        >>> images.shape, images.dtype
        (torch.Size([1437, 1, 8, 8]), torch.float32)
        >>> float(images.min()), float(images.max())
        (0.0, 1.0)
    """
    return as_floats(data_set(name).images(split))


@checked
def load_labels(name: SetOrName, split: Split = "train") -> Tensor:
    """The class of each image of `load_images(name, split)`, in its order.

    Args:
        name: as for `load_images`; "photo_patches" and a set of one's own without classes have no labels.
        split: "train" or "test".

    Returns:
        (N,) int64 tensor.

    Raises:
        DataNotFoundError: as `load_images`.
        ValueError: the set has no labels.

    Example:
        >>> sbgm.load_labels("digits")[:5]
        tensor([0, 1, 2, 3, 4])
    """
    dataset = data_set(name)
    if dataset.labels is None:
        raise ValueError(f"name must be of a set with a class for every image, and {dataset.title} has none")
    return dataset.labels(split)


def data_set(name: str | DataSet) -> DataSet:
    """The data set of a name, or one's own as it is."""
    return name if isinstance(name, DataSet) else SETS[name]


@checked
def is_available(name: SetName) -> bool:
    """Whether a data set is at hand; a damaged folder counts, so that `load_images` names it, never skips it.

    Example:
        >>> sbgm.images.data.is_available("digits")
        True
    """
    return not SETS[name].home or (data_folder() / SETS[name].home).exists()


def not_readable(name: str, reason: str) -> DataNotFoundError:
    """Return the error of a data set that can't be read, which says why and what to do."""
    dataset = SETS[name]
    run = f"run `sbgm download {name}` once ({dataset.size})"
    if is_available(name):
        words = f"{dataset.title} can't be read from {data_folder()}: {reason}. Move {dataset.home} away, then {run}."
    else:
        words = f"{dataset.title} is not in {data_folder()} yet: {run}."
    return DataNotFoundError(
        f"{words} Or set SBGM_DATA to the folder that holds {dataset.home}. Without a network, see "
        f"{shipped_folder() / 'README.md'}."
    )


# --- before training -------------------------------------------------------------------------------------------------


def dequantised(x: Tensor, generator: torch.Generator) -> Tensor:
    """Spread each of the 256 grey values evenly over its own 1/256 of [0, 1].

        x · 255/256 + u/256,  u ~ U[0, 1)                 (the authors' code)

    A pixel k/255 becomes (k + u)/256, so that the density of the data has no spikes.

    Args:
        x: (B, C, H, W) images in [0, 1].
        generator: source of the noise u.

    Returns:
        (B, C, H, W) images in [0, 1].

    Example:
        >>> x = torch.tensor([[[[0.0, 1.0]]]])
        >>> y = sbgm.images.data.dequantised(x, torch.Generator().manual_seed(0))
        >>> (256 * y).floor()  # every grey value stays in its own bin
        tensor([[[[  0., 255.]]]])
    """
    u = torch.rand(x.shape, generator=generator, device=generator.device, dtype=x.dtype)
    return (x * 255 + u.to(x.device)) / 256


def flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability ½, as the authors do on CelebA and CIFAR-10.

    Args:
        x: (B, C, H, W) images in [0, 1].
        generator: decides which images are flipped.

    Returns:
        (B, C, H, W) images.

    Example:
        >>> x = torch.tensor([0.0, 1.0]).expand(1000, 1, 1, 2)  # a thousand images, black left and white right
        >>> mirrored = sbgm.images.data.flipped(x, torch.Generator().manual_seed(0))
        >>> f"{mirrored[..., 0].mean():.1f}"  # the share that is white on the left
        '0.5'
    """
    u = torch.rand(len(x), 1, 1, 1, generator=generator, device=generator.device)
    return torch.where((u < 0.5).to(x.device), x.flip(-1), x)


# --- scikit-learn's: handwritten digits, and patches of two photographs ----------------------------------------------


def _digits(split: str, field: str = "images") -> Tensor:
    """The images (N, 8, 8) or the "target" (N,) of the digits; the last fifth is the test split."""
    with from_extra("images"):
        from sklearn.datasets import load_digits

    rows = torch.from_numpy(getattr(load_digits(), field))
    n_train = len(rows) * 4 // 5
    return rows[:n_train] if split == "train" else rows[n_train:]


def _photo_patches(split: str) -> Tensor:
    """(N, 3, 32, 32) patches, 8 pixels apart; the photographs' right quarters are the test split."""
    with from_extra("images"):
        from sklearn.datasets import load_sample_images

    photos = torch.tensor(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    border = photos.shape[3] * 3 // 4
    parts = photos[..., :border] if split == "train" else photos[..., border:]
    windows = parts.unfold(2, 32, 8).unfold(3, 32, 8)  # (N, C, rows, columns, 32, 32)
    return as_floats(windows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2))


# --- MNIST's kin and CIFAR-10, which torchvision reads ----------------------------------------------------------------


def torchvisions(name: str) -> type[Any]:
    """Torchvision's class of a set that it reads and fetches."""
    with from_extra("images"):
        from torchvision import datasets

    return {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[name]


def _read(name: str, split: str) -> Any:
    """A split of such a set in `data_folder()`, with its images in `data` and its labels in `targets`.

    Raises:
        DataNotFoundError: it is missing, incomplete or damaged.
    """
    try:
        return torchvisions(name)(data_folder(), train=split == "train")
    except (RuntimeError, ValueError, AssertionError) as error:  # the last two: an idx file that was cut off
        raise not_readable(name, "a file is missing or damaged") from error


def _mnist_small(split: str, kind: str, n_header: int) -> Tensor:
    """The bytes after the header of an idx file that ships; xz, which packs it, has a checksum of its own."""
    prefix = "train" if split == "train" else "t10k"
    file = shipped_folder() / "mnist_small" / f"{prefix}-{kind}-ubyte.xz"
    content = bytearray(lzma.decompress(file.read_bytes()))
    return torch.frombuffer(content, dtype=torch.uint8, offset=n_header)


def as_floats(pixels: Tensor) -> Tensor:
    """Images as floats in [0, 1]: bytes over 255, and floats as they are."""
    if pixels.is_floating_point():
        return pixels
    return pixels.float().div_(255)  # in place: CIFAR-10's 50,000 images are 614 MB


# --- the table -------------------------------------------------------------------------------------------------------


class DataSet(NamedTuple):
    """A data set.

    Attributes:
        title: its name in text.
        shape: (C, H, W) of an image.
        images: a split's images, (N, C, H, W) float32 in [0, 1], or bytes that stand for 0 … 1.
        labels: a split's classes, (N,) int64, or None where it has none.
        home: the folder inside `data_folder()` that holds its files, empty where nothing need be fetched.
        size: of what is fetched.
        classes: the names of the labels; empty where they are their numbers.

    Example:
        >>> sbgm.images.data.SETS["cifar10"].shape, sbgm.images.data.SETS["cifar10"].size
        ((3, 32, 32), '170 MB')
    """

    title: str
    shape: tuple[int, int, int]
    images: Callable[[str], Tensor]
    labels: Callable[[str], Tensor] | None = None
    home: str = ""
    size: str = ""
    classes: tuple[str, ...] = ()


CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _of_mnists_kind(title: str, name: str, home: str, size: str, classes: tuple[str, ...] = ()) -> DataSet:
    return DataSet(
        title,
        (1, 28, 28),
        images=lambda split: as_floats(_read(name, split).data[:, None]),
        labels=lambda split: _read(name, split).targets,
        home=home,
        size=size,
        classes=classes,
    )


SETS = {
    "digits": DataSet(
        "8×8 digits",
        (1, 8, 8),
        images=lambda split: _digits(split)[:, None].float() / 16,
        labels=lambda split: _digits(split, "target"),
    ),
    "photo_patches": DataSet("photo patches", (3, 32, 32), _photo_patches),
    "mnist_small": DataSet(
        "MNIST (small)",
        (1, 28, 28),
        images=lambda split: as_floats(_mnist_small(split, "images-idx3", 16).reshape(-1, 1, 28, 28)),
        labels=lambda split: _mnist_small(split, "labels-idx1", 8).long(),
    ),
    "mnist": _of_mnists_kind("MNIST", "mnist", "MNIST/raw", "12 MB"),
    "fashion_mnist": _of_mnists_kind("Fashion-MNIST", "fashion_mnist", "FashionMNIST/raw", "31 MB", CLOTHES),
    "cifar10": DataSet(
        "CIFAR-10",
        (3, 32, 32),
        images=lambda split: as_floats(torch.from_numpy(_read("cifar10", split).data).permute(0, 3, 1, 2).contiguous()),
        labels=lambda split: torch.tensor(_read("cifar10", split).targets),
        home="cifar-10-batches-py",
        size="170 MB",
        classes=CIFAR10_CLASSES,
    ),
}
NAMES = tuple(SETS)
SetName = Annotated[str, one_of(NAMES)]
Split = Annotated[str, one_of(SPLITS)]


def _set_or_name(value: Any, name: str) -> None:
    if not isinstance(value, DataSet):
        one_of(NAMES)(value, name)


SetOrName = Annotated[str | DataSet, _set_or_name]
