"""Fetching data sets so that nothing half made is ever in its place, and a failure says what to do instead.

Files are fetched and unpacked in a temporary folder beside the place, checked there, and moved in one step. What is
already there is never overwritten. `files.fetch` leaves a server that is silent or too slow, or sends more than
`LARGEST` allows; an archive is unpacked only once its checksum is right, so that how much comes out of it is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision.datasets
from PIL import Image
from safetensors.torch import save
from torchvision.datasets import utils
from torchvision.transforms.functional import center_crop, resize
from tqdm import tqdm

from sbgm import files
from sbgm.checked import checked
from sbgm.data import (
    IDX_FILES,
    SETS,
    SPLITS,
    DataNotFoundError,
    Name,
    celeba_cache,
    cifar10,
    data_folder,
    idx_content,
)
from sbgm.files import DiskFullError, disk_is_full, fetch, written_whole

__all__ = ["download"]


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
    match name:
        case "mnist" | "fashion_mnist":
            _download_idx(name)
        case "cifar10":
            _download_cifar10()
        case "celeba":
            _download_celeba()


def _download_idx(name: str) -> None:
    """Fetch four idx files from torchvision's mirrors, unpack them, and put their folder into its place."""
    folder = data_folder() / SETS[name].home
    if folder.exists():
        for file in IDX_FILES:
            idx_content(name, file)
        return
    source = getattr(torchvision.datasets, folder.parent.name)
    with fetching(name) as bench:
        (bench / "raw").mkdir()
        for file, md5 in source.resources:
            fetch_first(name, [mirror + file for mirror in source.mirrors], bench / file, md5)
            utils.extract_archive(str(bench / file), str(bench / "raw"))
        move_into_place(bench / "raw", folder)


def _download_cifar10() -> None:
    """Fetch the archive, which is kept, and unpack it; an archive put there by hand is unpacked without a network."""
    source, folder = torchvision.datasets.CIFAR10, data_folder()
    if (folder / source.base_folder).exists():
        cifar10("train")
        return
    archive = folder / source.filename
    with fetching("cifar10") as bench:
        obtain("cifar10", source.url, archive, source.tgz_md5, bench)
        with tarfile.open(archive) as tar:  # the filter lets no member leave the folder; Python 3.11.3 has none yet
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            tar.extractall(bench)
        move_into_place(bench / source.base_folder, folder / source.base_folder)


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
    if not unprepared:
        return
    with fetching("celeba") as bench:
        for file_id, md5, file in torchvision.datasets.CelebA.file_list:
            if file in wanted:
                obtain("celeba", GOOGLE_DRIVE + file_id, folder / file, md5, bench)
    for split in unprepared:
        prepare_celeba(split)


def prepare_celeba(split: str) -> None:
    """Crop and reduce a split's photographs, and write them with a checksum to `celeba_cache(split)`, whole.

    Raises:
        DataNotFoundError: a photograph is missing or damaged.
        DiskFullError: there is no room.
    """
    rows = (line.split() for line in (_celeba_folder() / PARTITION).read_text(encoding="ascii").splitlines())
    names = [name for name, part in rows if part == PARTS[split]]
    photos = _celeba_photos(names)
    pixels = np.empty((len(names), SIZE, SIZE, 3), np.uint8)
    for i, name in enumerate(tqdm(names, desc=f"preparing CelebA ({split}), once", unit=" images")):
        try:
            with (photos / name).open("rb") as file, Image.open(file, formats=["JPEG"]) as photo:
                pixels[i] = crop_and_resize(photo)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataNotFoundError(
                f"CelebA in {_celeba_folder()} is damaged: {name} can't be used ({error}). Move {photos} away, "
                "then unpack or fetch it afresh."
            ) from error
    prepared = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    facts = {
        "sha256": hashlib.sha256(prepared.numpy()).hexdigest(),
        "source": "CelebA, aligned and cropped",
        "terms": "non-commercial research",
    }
    celeba_cache(split).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(celeba_cache(split)) as partial:
        partial.write_bytes(save({"images": prepared}, facts))


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
    return np.asarray(resize(center_crop(photo.convert("RGB"), CROP), SIZE))


def _celeba_folder() -> Path:
    return data_folder() / SETS["celeba"].home


def _celeba_photos(names: list[str]) -> Path | zipfile.Path:
    """The folder of photographs, or the archive's folder where it was not unpacked; all of `names` are in it."""
    folder = _celeba_folder() / PHOTOS
    if not folder.is_dir():
        return zipfile.Path(folder.with_name(ARCHIVE), PHOTOS + "/")
    missing = sorted(set(names) - {path.name for path in folder.iterdir()})
    if missing:
        raise DataNotFoundError(
            f"CelebA in {folder} is incomplete: {len(missing):,} of {len(names):,} photographs are missing, the first "
            f"is {missing[0]}. Move that folder away and unpack {ARCHIVE} again, or leave the archive packed in "
            f"{folder.parent}: it is read as it is."
        )
    return folder


# --- fetching --------------------------------------------------------------------------------------------------------

LARGEST = {"mnist": 9_912_422, "fashion_mnist": 26_421_880, "cifar10": 170_498_071, "celeba": 1_443_490_838}
"""The bytes of a set's largest file; a server may send no more."""
DISK = {
    "mnist": "70 MB",
    "fashion_mnist": "70 MB",
    "cifar10": "350 MB",
    "celeba": "1.4 GB, and 0.6 GB once prepared,",
}
COPY = "from another machine into {folder} (or set SBGM_DATA to the folder that holds it)."
IDX_INSTEAD = (
    'Without a network, work with load_images("mnist_small"), which ships, or copy the folder {home} with its four idx '
    "files (.gz will do) " + COPY
)
INSTEAD = {  # of a download
    "mnist": IDX_INSTEAD,
    "fashion_mnist": IDX_INSTEAD,
    "cifar10": 'Without a network, work with load_images("photo_patches"), or copy the folder {home} ' + COPY,
    "celeba": (
        "Google Drive limits how often a file may be fetched in a day: try again tomorrow. Or fetch "
        "img_align_celeba.zip and list_eval_partition.txt in a browser from "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into {folder}/{home}, or copy them there from another "
        'machine. Without them, work with load_images("cifar10") or load_images("photo_patches").'
    ),
}


@contextlib.contextmanager
def fetching(name: str) -> Iterator[Path]:
    """Give a temporary folder inside `data_folder()`, and remove it whatever happens.

    Raises:
        DiskFullError: the message says how much is needed.
        ConnectionError: the body failed in another way; the message says why, and what to do instead.
    """
    title, folder = SETS[name].title, data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as bench:
            yield Path(bench)
    except DataNotFoundError:
        raise
    except OSError as error:
        if disk_is_full(error):
            raise DiskFullError(
                f"The disk is full: {title} takes {DISK[name]} in {folder}. Free some space there, or set SBGM_DATA to "
                "a folder on another disk. Nothing half made was left behind."
            ) from error
        raise ConnectionError(
            f"{title} could not be downloaded into {folder} ({_words(error)}). {_instead(name)}"
        ) from error


def obtain(name: str, url: str, place: Path, md5: str, bench: Path) -> None:
    """Fetch a file that is kept, on the bench, and move it into its place; one that is there already must be whole.

    Raises:
        DataNotFoundError: the one that is there is not whole; it is left as it is.
    """
    if not place.exists():
        fetch_first(name, [url], bench / place.name, md5)
        move_into_place(bench / place.name, place)
    elif not utils.check_integrity(str(place), md5):
        raise DataNotFoundError(
            f"{place} is not {SETS[name].title}'s: {what_is_wrong(place)}. Move it away, then run "
            f"`sbgm download {name}` again. {_instead(name)}"
        )


def fetch_first(name: str, urls: Sequence[str], path: Path, md5: str) -> None:
    """Write a data set's file to `path`, from the first of several addresses that sends it whole.

    Raises:
        ConnectionError: none did; the message gives each one's reason.
    """
    reasons = []
    for url in urls:
        try:
            fetch(url, path, LARGEST[name])
        except (OSError, ValueError) as error:  # those of requests are the first; the second: a nonsensical header
            if disk_is_full(error):
                raise
            silent = f", after {files.TIMEOUT:g} seconds without a word" if "timed out" in str(error) else ""
            reasons.append(f"{url}: {_words(error)}{silent}")
            continue
        if utils.check_integrity(str(path), md5):
            return
        reasons.append(f"{url}: what came was not the file, {what_is_wrong(path)}")
    raise ConnectionError("; ".join(reasons))


def move_into_place(made: Path, place: Path) -> None:
    """Move what was made and checked into its place, in one step; what another process put there meanwhile stays."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        made.replace(place)


def what_is_wrong(path: Path) -> str:
    """Why a file whose checksum is wrong may be so, in a few words."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):  # sent with good status in place of what one asked for
        return (
            "it is a web page, not the data: a quota notice (Google Drive's says that too many users have viewed or "
            "downloaded the file) or a network's log-in page"
        )
    return f"its {path.stat().st_size:,} bytes have a wrong checksum: a broken transfer, or another file"


def _instead(name: str) -> str:
    return INSTEAD[name].format(folder=data_folder(), home=SETS[name].home)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
