"""Images as float tensors in [0, 1]: small ones that scikit-learn carries, and CIFAR-10 where it is at hand."""

from __future__ import annotations

import http.client
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from sbgm._validate import check_choice

NAMES = ("digits", "photo_patches", "cifar10")
SPLITS = ("train", "test")


class DataNotFoundError(FileNotFoundError):
    """A data set is not at hand, or what is there is incomplete; the message says what to do."""


def data_folder() -> Path:
    """Where downloads live: $SBGM_DATA if it is set, else the repository's `data/`."""
    if chosen := os.environ.get("SBGM_DATA"):
        return Path(chosen).expanduser()
    return Path(__file__).resolve().parent.parent / "data"


def load_images(name: str, split: str = "train") -> Tensor:
    """A data set's images, without their labels.

    * "digits": scikit-learn's 1,797 handwritten digits, 8×8 grey; the last fifth is the test split (other writers).
    * "photo_patches": 32×32 colour patches, 8 pixels apart, of scikit-learn's two photographs; the right quarter of
      each is the test split.
    * "cifar10": 50,000 and 10,000 32×32 colour images (Krizhevsky 2009), read from `data_folder()`, checksummed.

    Args:
        name: one of the above.
        split: "train" or "test".

    Returns:
        (N, C, H, W) float32 tensor in [0, 1].

    Raises:
        DataNotFoundError: CIFAR-10 is not at hand, or its folder is incomplete; the message says how to get it.
    """
    check_choice(split, "split", SPLITS)
    load = {"digits": _digits, "photo_patches": _photo_patches, "cifar10": _cifar10}
    return load[check_choice(name, "name", NAMES)](split)


def is_available(name: str) -> bool:
    """Whether a data set is at hand; a damaged folder counts, so that `load_images` names it, never skips it."""
    return check_choice(name, "name", NAMES) != "cifar10" or (data_folder() / "cifar-10-batches-py").exists()


def download(name: str) -> None:
    """Fetch a data set into `data_folder()` through torchvision; nothing is fetched that is already there and whole.

    The archive is checksummed before it is unpacked, and the unpacked folder moved into its place as a whole: an
    interrupted download leaves no folder that looks like a data set, and the next one starts afresh.

    Raises:
        ConnectionError: the download failed; the message says how to go on without a network.
        DataNotFoundError: a folder is there, but incomplete or damaged; it is left as it is.
    """
    if check_choice(name, "name", NAMES) != "cifar10":
        return  # the others come with scikit-learn
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url, extract_archive

    folder = data_folder()
    if is_available(name):
        _check_cifar10(folder)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url(CIFAR10.url, str(folder), CIFAR10.filename, CIFAR10.tgz_md5)
        with tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as unpacked:
            extract_archive(str(folder / CIFAR10.filename), unpacked)
            (Path(unpacked) / CIFAR10.base_folder).replace(folder / CIFAR10.base_folder)
    except (OSError, RuntimeError, http.client.HTTPException) as error:  # a URLError is an OSError
        raise ConnectionError(
            f"CIFAR-10 could not be downloaded into {folder} ({error}). Without a network, work with "
            'load_images("photo_patches"), or copy the folder cifar-10-batches-py from another machine into '
            f"{folder} (or set SBGM_DATA to the folder that holds it)."
        ) from error


def _digits(split: str) -> Tensor:
    from sklearn.datasets import load_digits

    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
    n_train = len(images) * 4 // 5
    return images[:n_train] if split == "train" else images[n_train:]


def _photo_patches(split: str, size: int = 32, stride: int = 8) -> Tensor:
    from sklearn.datasets import load_sample_images

    patches = []
    for photo in load_sample_images().images:
        image = torch.tensor(photo, dtype=torch.float32).permute(2, 0, 1) / 255
        border = image.shape[2] * 3 // 4
        part = image[:, :, :border] if split == "train" else image[:, :, border:]
        windows = part.unfold(1, size, stride).unfold(2, size, stride)  # (C, rows, columns, size, size)
        patches.append(windows.permute(1, 2, 0, 3, 4).flatten(0, 1))
    return torch.cat(patches)


def _cifar10(split: str) -> Tensor:
    from torchvision.datasets import CIFAR10

    folder = data_folder()
    _check_cifar10(folder)
    images = torch.from_numpy(CIFAR10(str(folder), train=split == "train").data)
    return images.permute(0, 3, 1, 2).contiguous().float().div_(255)  # in place: 50,000 images are 614 MB


def _check_cifar10(folder: Path) -> None:
    """Raise unless every batch file of CIFAR-10 is there with the checksum that torchvision knows."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    base = folder / CIFAR10.base_folder
    if not base.exists():
        raise DataNotFoundError(
            f'CIFAR-10 is not in {folder}. Run sbgm.data.download("cifar10") once (170 MB), or set SBGM_DATA to the '
            "folder that holds cifar-10-batches-py."
        )
    files = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]
    broken = [name for name, md5 in files if not check_integrity(str(base / name), md5)]
    if broken:
        raise DataNotFoundError(
            f"CIFAR-10 in {base} is incomplete or damaged: {', '.join(broken)} missing or with a wrong checksum. "
            'Move that folder away, then run sbgm.data.download("cifar10"), or copy a whole one there.'
        )
