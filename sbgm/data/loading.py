"""Data sets by name: images, labels, whether a set is at hand, and how to fetch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from sbgm.checked import check_choice
from sbgm.data import bundled, celeba, cifar10
from sbgm.data.mnist import FASHION_MNIST, MNIST, MNIST_SMALL, IdxSet


class _Set(NamedTuple):
    """How a set is read and fetched; one that comes with a package is always at hand."""

    images: Callable[[str], Tensor]
    labels: Callable[[str], Tensor] | None = None
    is_available: Callable[[], bool] = lambda: True
    download: Callable[[], None] = lambda: None


def _idx(files: IdxSet) -> _Set:
    return _Set(files.images, files.labels, files.is_available, files.download)


_SETS = {
    "digits": _Set(bundled.digits, bundled.digit_labels),
    "photo_patches": _Set(bundled.photo_patches),
    "mnist_small": _idx(MNIST_SMALL),
    "mnist": _idx(MNIST),
    "fashion_mnist": _idx(FASHION_MNIST),
    "cifar10": _Set(cifar10.images, cifar10.labels, cifar10.is_available, cifar10.download),
    "celeba": _Set(celeba.images, None, celeba.is_available, celeba.download),
}
NAMES = tuple(_SETS)
LABELLED = tuple(name for name in NAMES if _SETS[name].labels)
SPLITS = ("train", "test")


def load_images(name: str, split: str = "train") -> Tensor:
    """A data set's images, without their labels.

    Always at hand:

    * "digits": scikit-learn's 1,797 handwritten digits, 8×8 grey; the last fifth is the test split (other writers).
    * "photo_patches": 32×32 colour patches, 8 pixels apart, of scikit-learn's two photographs; the right quarter of
      each is the test split.
    * "mnist_small": every 19th of MNIST's training images and every 2nd of its test images: 3,158 and 5,000 28×28 grey
      digits, which ship with this project.

    Read from `data_folder()` and checksummed:

    * "mnist": 60,000 and 10,000 28×28 grey digits (LeCun et al. 1998).
    * "fashion_mnist": 60,000 and 10,000 28×28 grey articles of clothing (Xiao et al. 2017).
    * "cifar10": 50,000 and 10,000 32×32 colour images (Krizhevsky 2009).
    * "celeba": 162,770 and 19,962 faces (Liu et al. 2015), cropped to 140 and reduced to 32×32 as the paper does; the
      first call for a split takes minutes and keeps the result in `cache_folder()`.

    Args:
        name: one of the above.
        split: "train" or "test".

    Returns:
        (N, C, H, W) float32 tensor in [0, 1]. MNIST's training split takes 188 MB, CIFAR-10's 614 MB, CelebA's 2 GB.

    Raises:
        DataNotFoundError: the set is not at hand, or its folder is incomplete; the message says how to get it.
    """
    check_choice(split, "split", SPLITS)
    return _SETS[check_choice(name, "name", NAMES)].images(split)


def load_labels(name: str, split: str = "train") -> Tensor:
    """The class of each image of `load_images(name, split)`, in its order.

    Args:
        name: one of LABELLED; "photo_patches" and "celeba" have none.
        split: "train" or "test".

    Returns:
        (N,) int64 tensor.

    Raises:
        DataNotFoundError: as `load_images`.
    """
    check_choice(split, "split", SPLITS)
    return _SETS[check_choice(name, "name", LABELLED)].labels(split)


def is_available(name: str) -> bool:
    """Whether a data set is at hand; a damaged folder counts, so that `load_images` names it, never skips it."""
    return _SETS[check_choice(name, "name", NAMES)].is_available()


def download(name: str) -> None:
    """Fetch a data set into `data_folder()` from torchvision's addresses; nothing that is there and whole is fetched.

    Files are fetched, checked and unpacked in a temporary folder, and moved into their place whole: an interrupted
    download leaves nothing that looks like a data set, and the next one starts afresh. Nothing is overwritten. CelebA
    comes from Google Drive and needs the package gdown.

    Raises:
        ConnectionError: the download failed; the message says why, and how to go on without it.
        DiskFullError: there is no room for it.
        DataNotFoundError: what is there is incomplete or damaged; it is left as it is.
    """
    _SETS[check_choice(name, "name", NAMES)].download()
