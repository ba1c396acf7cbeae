"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of ten kinds, read as torchvision unpacks them, checksummed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sbgm.data.fetching import fetch, fetching, move_into_place, what_is_wrong
from sbgm.data.folder import DataNotFoundError, data_folder


def images(split: str) -> Tensor:
    """(N, 3, 32, 32) images, 50,000 or 10,000."""
    from torchvision.datasets import CIFAR10

    folder = data_folder()
    _check(folder)
    pixels = torch.from_numpy(CIFAR10(str(folder), train=split == "train").data)
    return pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)  # in place: 50,000 images are 614 MB


def labels(split: str) -> Tensor:
    """(N,) classes 0 to 9, in the order of `images(split)`."""
    from torchvision.datasets import CIFAR10

    folder = data_folder()
    _check(folder)
    return torch.tensor(CIFAR10(str(folder), train=split == "train").targets, dtype=torch.int64)


def is_available() -> bool:
    """Whether there is a folder of CIFAR-10, be it damaged."""
    return (data_folder() / "cifar-10-batches-py").exists()


def download() -> None:
    """Fetch the archive, which is kept, and unpack it; an archive put there by hand is unpacked without a network."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, extract_archive

    folder = data_folder()
    if is_available():
        _check(folder)
        return
    archive = folder / CIFAR10.filename
    instead = (
        'Without a network, work with load_images("photo_patches"), or copy the folder cifar-10-batches-py from '
        f"another machine into {folder} (or set SBGM_DATA to the folder that holds it)."
    )
    with fetching("CIFAR-10", "350 MB", instead) as bench:
        if not archive.exists():
            fetch([CIFAR10.url], bench / archive.name, CIFAR10.tgz_md5)
            move_into_place(bench / archive.name, archive)
        elif not check_integrity(str(archive), CIFAR10.tgz_md5):
            raise DataNotFoundError(
                f"{archive} is not CIFAR-10's archive: {what_is_wrong(archive)}. Move it away, then run "
                'sbgm.data.download("cifar10") again.'
            )
        extract_archive(str(archive), str(bench))
        move_into_place(bench / CIFAR10.base_folder, folder / CIFAR10.base_folder)


def _check(folder: Path) -> None:
    """Raise unless every batch file is there with the checksum that torchvision knows."""
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
