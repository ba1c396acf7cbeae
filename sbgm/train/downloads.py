"""Fetching data sets so that nothing half made is ever in its place, and a failure says what to do instead.

torchvision fetches and unpacks in a hidden folder beside the place, from which the data are moved in one step. What is
already there is never overwritten. CelebA, which torchvision can't fetch without another package, comes from Google
Drive by `files.fetch`, and is prepared here.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import datasets
from torchvision.datasets.utils import check_integrity
from torchvision.transforms.functional import center_crop, resize
from tqdm import tqdm

from sbgm import files
from sbgm.checked import checked
from sbgm.data import SETS, SPLITS, DataNotFoundError, Name, celeba_cache, data_folder, is_available, without_download
from sbgm.files import DiskFullError, disk_is_full, fetch, save_tensors

__all__ = ["download"]

SOURCES = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}


@checked
def download(name: Name) -> None:
    """Fetch a data set into `data_folder()` from torchvision's addresses; nothing that is there and whole is fetched.

    An interrupted download leaves nothing that looks like a data set, and the next one starts afresh. Nothing is
    overwritten. CelebA comes from Google Drive, and is then prepared, which takes minutes.

    Raises:
        ConnectionError: the download failed; the message says why, and how to go on without it.
        DiskFullError: there is no room for it.
        DataNotFoundError: what is there is incomplete or damaged; it is left as it is.
    """
    if name == "celeba":
        _download_celeba()
    elif is_available(name):
        for split in SPLITS:
            for read in filter(None, (SETS[name].images, SETS[name].labels)):
                read(split)
    else:
        with fetching(name) as bench:
            by_hand = data_folder() / datasets.CIFAR10.filename
            if name == "cifar10" and by_hand.is_file():
                shutil.copy(by_hand, bench)
            SOURCES[name](bench, download=True)
            move_into_place(bench / SETS[name].home, data_folder() / SETS[name].home)


# --- CelebA: 202,599 aligned photographs, for non-commercial research, not to be redistributed -----------------------

CROP, SIZE = 140, 32
PHOTO_SIZE = (178, 218)  # width, height
PARTITION, PHOTOS, ARCHIVE = "list_eval_partition.txt", "img_align_celeba", "img_align_celeba.zip"
GOOGLE_DRIVE = "https://drive.usercontent.google.com/download?confirm=t&id="
PARTS = {"train": "0", "test": "2"}  # as the partition's file counts; 1 is for validation, which the paper leaves out


def _download_celeba() -> None:
    """Fetch the list of splits, and the archive of photographs unless they are there unpacked, and prepare each split.

    Both files are kept. With both splits prepared nothing is fetched.
    """
    unprepared, folder = [split for split in SPLITS if not celeba_cache(split).exists()], _celeba_folder()
    wanted = (PARTITION,) if (folder / PHOTOS).is_dir() else (PARTITION, ARCHIVE)
    for file_id, md5, file in datasets.CelebA.file_list if unprepared else ():
        if file in wanted and not (folder / file).exists():
            with fetching("celeba") as bench:
                move_into_place(fetch(GOOGLE_DRIVE + file_id, bench, file, f"md5:{md5}"), folder / file)
        elif file in wanted and not check_integrity(str(folder / file), md5):
            raise DataNotFoundError(
                f"{folder / file} is not CelebA's, since its checksum is wrong. Move it away, then run "
                f"`sbgm download celeba` again. {without_download('celeba')}"
            )
    for split in unprepared:
        prepare_celeba(split)


def prepare_celeba(split: str) -> None:
    """Crop and reduce a split's photographs, and write them to `celeba_cache(split)`, whole.

    Raises:
        DataNotFoundError: a photograph is missing or damaged.
        DiskFullError: there is no room.
    """
    folder = _celeba_folder()
    rows = (line.split() for line in (folder / PARTITION).read_text(encoding="ascii").splitlines())
    names = [name for name, part in rows if part == PARTS[split]]
    photos = folder / PHOTOS if (folder / PHOTOS).is_dir() else zipfile.Path(folder / ARCHIVE, PHOTOS + "/")
    pixels = np.empty((len(names), SIZE, SIZE, 3), np.uint8)
    for i, name in enumerate(tqdm(names, desc=f"preparing CelebA ({split}), once", unit=" images")):
        try:
            with (photos / name).open("rb") as file, Image.open(file, formats=["JPEG"]) as photo:
                pixels[i] = crop_and_resize(photo)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataNotFoundError(
                f"CelebA in {folder} is incomplete or damaged: {name} can't be used ({error}). Move {photos} away, "
                "then unpack or fetch it afresh."
            ) from error
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    facts = {"source": "CelebA, aligned and cropped", "terms": "non-commercial research"}
    celeba_cache(split).parent.mkdir(parents=True, exist_ok=True)
    save_tensors(celeba_cache(split), {"images": images}, **facts)


def crop_and_resize(photo: Image.Image) -> np.ndarray:
    """The paper's preprocessing of CelebA: the middle 140×140 pixels, reduced to 32×32 by a bilinear filter.

    The filter is Pillow's, a triangle as wide as the reduction (140/32 pixels to each side), so that nothing aliases.

    Args:
        photo: an aligned photograph, 178×218.

    Returns:
        (32, 32, 3) unsigned bytes.

    Raises:
        ValueError: the photograph is of another size, so that the middle would not be the face.
    """
    if photo.size != PHOTO_SIZE:
        raise ValueError(f"photo must be {PHOTO_SIZE[0]}×{PHOTO_SIZE[1]} pixels, got {photo.size[0]}×{photo.size[1]}")
    # torchvision's annotations know tensors alone
    square: Any = center_crop(photo.convert("RGB"), [CROP])  # pyright: ignore[reportArgumentType]
    return np.asarray(resize(square, [SIZE]))


def _celeba_folder() -> Path:
    return data_folder() / SETS["celeba"].home


# --- fetching --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def fetching(name: str) -> Iterator[Path]:
    """Give a temporary folder inside `data_folder()`, and remove it whatever happens.

    A server that says nothing for `files.TIMEOUT` seconds is left.

    Raises:
        DiskFullError: there is no room.
        ConnectionError: the body failed in another way; the message says why, and what to do instead.
    """
    title, folder, before = SETS[name].title, data_folder(), socket.getdefaulttimeout()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(files.TIMEOUT)  # torchvision sets none
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as bench:
            yield Path(bench)
    except (OSError, RuntimeError, ValueError) as error:  # torchvision raises the second, pooch the third
        if disk_is_full(error):
            raise DiskFullError(
                f"The disk is full: {title}, {SETS[name].size} packed, does not fit into {folder}. Free some space "
                "there, or set SBGM_DATA to a folder on another disk. Nothing half made was left behind."
            ) from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ConnectionError(
            f"{title} could not be downloaded into {folder} ({reason}). {without_download(name)}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def move_into_place(made: Path, place: Path) -> None:
    """Move what was made and checked into its place, in one step; what another process put there meanwhile stays."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        made.replace(place)
