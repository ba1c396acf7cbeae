"""Fetching data sets so that nothing half made is ever in its place, and a failure says what to do instead.

Files are fetched and unpacked in a temporary folder beside the place, checked there, and moved in one step. What is
already there is never overwritten.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import numpy as np
import pooch
import torch
import torchvision.datasets
from torchvision.datasets import utils

from sbgm.checked import checked, one_of
from sbgm.data import (
    IDX_FILES,
    NAMES,
    SETS,
    SPLITS,
    DataNotFoundError,
    celeba_cache,
    cifar10,
    data_folder,
    how_to_get,
    idx_content,
)
from sbgm.files import DiskFullError, disk_is_full, written_whole

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["download"]

TIMEOUT = 30.0  # seconds without a word from a server
LARGEST = 400_000_000  # bytes that one may send; CIFAR-10 is 170,498,071
FAILURES = (OSError, RuntimeError, EOFError)  # those of requests are OSErrors
DISK = {
    "mnist": "70 MB",
    "fashion_mnist": "70 MB",
    "cifar10": "350 MB",
    "celeba": "1.4 GB, and 0.6 GB once prepared,",
}


@checked
def download(name: Annotated[str, one_of(NAMES)]) -> None:
    """Fetch a data set into `data_folder()` from torchvision's addresses; nothing that is there and whole is fetched.

    An interrupted download leaves nothing that looks like a data set, and the next one starts afresh. Nothing is
    overwritten. CelebA comes from Google Drive, needs the package gdown, and is then prepared, which takes minutes.

    Raises:
        ConnectionError: the download failed; the message says why, and how to go on without it.
        DiskFullError: there is no room for it.
        DataNotFoundError: what is there is incomplete or damaged; it is left as it is.
    """
    if name in ("mnist", "fashion_mnist"):
        _download_idx(name)
    elif name == "cifar10":
        _download_cifar10()
    elif name == "celeba":
        _download_celeba()


def _download_idx(name: str) -> None:
    """Fetch four idx files from torchvision's mirrors, unpack them, and put their folder into its place."""
    folder = data_folder() / SETS[name].home
    if folder.exists():
        for file in IDX_FILES:
            idx_content(name, file)
        return
    source = getattr(torchvision.datasets, folder.parent.name)
    instead = (
        'Without a network, work with load_images("mnist_small"), which ships, or copy the folder '
        f"{SETS[name].home} with its four idx files (.gz will do) from another machine into {data_folder()} (or set "
        "SBGM_DATA to the folder that holds it)."
    )
    with fetching(name, instead) as bench:
        (bench / "raw").mkdir()
        for file, md5 in source.resources:
            fetch([mirror + file for mirror in source.mirrors], bench / file, md5)
            content = gzip.decompress((bench / file).read_bytes())
            (bench / "raw" / file.removesuffix(".gz")).write_bytes(content)
        move_into_place(bench / "raw", folder)


def _download_cifar10() -> None:
    """Fetch the archive, which is kept, and unpack it; an archive put there by hand is unpacked without a network."""
    source, folder = torchvision.datasets.CIFAR10, data_folder()
    if (folder / source.base_folder).exists():
        cifar10("train")
        return
    archive = folder / source.filename
    instead = (
        'Without a network, work with load_images("photo_patches"), or copy the folder cifar-10-batches-py from '
        f"another machine into {folder} (or set SBGM_DATA to the folder that holds it)."
    )
    with fetching("cifar10", instead) as bench:
        if not archive.exists():
            fetch([source.url], bench / archive.name, source.tgz_md5)
            move_into_place(bench / archive.name, archive)
        elif not utils.check_integrity(str(archive), source.tgz_md5):
            raise DataNotFoundError(
                f"{archive} is not CIFAR-10's archive: {what_is_wrong(archive)}. Move it away, then run "
                "`sbgm download cifar10` again."
            )
        utils.extract_archive(str(archive), str(bench))
        move_into_place(bench / source.base_folder, folder / source.base_folder)


# --- CelebA: 202,599 aligned photographs, for non-commercial research, not to be redistributed -----------------------

CROP, SIZE = 140, 32
PHOTO_SIZE = (178, 218)  # width, height
PARTITION, PHOTOS, ARCHIVE = "list_eval_partition.txt", "img_align_celeba", "img_align_celeba.zip"
PARTS = {"train": "0", "test": "2"}  # as the partition's file counts; 1 is for validation, which the paper leaves out


def _download_celeba() -> None:
    """Fetch the list of splits and the archive of photographs, which is read without unpacking it, and prepare them."""
    unprepared = [split for split in SPLITS if not celeba_cache(split).exists()]
    if not unprepared:
        return
    base = _celeba_folder()
    instead = (
        "Google Drive limits how often a file may be fetched in a day: try again tomorrow. Or fetch "
        f"img_align_celeba.zip and list_eval_partition.txt in a browser from "
        f"https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into {base}, or copy them there from another machine. "
        'Without them, work with load_images("cifar10") or load_images("photo_patches").'
    )
    with fetching("celeba", instead) as bench:
        for file in [PARTITION] if (base / PHOTOS).is_dir() else [PARTITION, ARCHIVE]:
            if (base / file).exists():
                _require_celeba(base / file)
                continue
            fetch_from_google_drive(*_celeba_ids(file), bench / file)
            move_into_place(bench / file, base / file)
    for split in unprepared:
        prepare_celeba(split)


def prepare_celeba(split: str) -> None:
    """Crop and reduce a split's photographs, and write them with a checksum to `celeba_cache(split)`, whole.

    Raises:
        DataNotFoundError: a photograph, the archive or the list of splits is missing or damaged.
        DiskFullError: there is no room.
    """
    from PIL import Image
    from safetensors.torch import save
    from tqdm import tqdm

    names = _celeba_names(split)
    pixels = np.empty((len(names), SIZE, SIZE, 3), np.uint8)
    with _celeba_photos(names) as photos:
        for i, name in enumerate(tqdm(names, desc=f"preparing CelebA ({split}), once", unit=" images")):
            try:
                with (photos / name).open("rb") as file, Image.open(file) as photo:
                    pixels[i] = crop_and_resize(photo)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                raise DataNotFoundError(
                    f"CelebA in {_celeba_folder()} is damaged: {name} can't be used ({error}). Move {photos} away, "
                    "then unpack or fetch it afresh."
                ) from error
    prepared = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    sha256 = hashlib.sha256(prepared.numpy()).hexdigest()
    facts = {"sha256": sha256, "source": "CelebA, aligned and cropped", "terms": "non-commercial research"}
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
    from PIL import Image

    if photo.size != PHOTO_SIZE:
        raise ValueError(f"photo must be {PHOTO_SIZE[0]}×{PHOTO_SIZE[1]} pixels, got {photo.size[0]}×{photo.size[1]}")
    left, top = ((length - CROP) // 2 for length in photo.size)
    face = photo.convert("RGB").crop((left, top, left + CROP, top + CROP))
    return np.asarray(face.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _celeba_folder() -> Path:
    return data_folder() / SETS["celeba"].home


def _celeba_names(split: str) -> list[str]:
    """The photographs of a split, in the order of CelebA's list."""
    _require_celeba(_celeba_folder() / PARTITION)
    rows = (line.split() for line in (_celeba_folder() / PARTITION).read_text(encoding="ascii").splitlines())
    return [name for name, part in rows if part == PARTS[split]]


@contextlib.contextmanager
def _celeba_photos(names: list[str]) -> Iterator[Path | zipfile.Path]:
    """The folder of photographs, or the archive's folder where it was not unpacked; all of `names` are in it."""
    base = _celeba_folder()
    if (base / PHOTOS).is_dir():
        missing = sorted(set(names) - {path.name for path in (base / PHOTOS).iterdir()})
        if missing:
            raise DataNotFoundError(
                f"CelebA in {base / PHOTOS} is incomplete: {len(missing):,} of {len(names):,} photographs are missing, "
                f"the first is {missing[0]}. Move that folder away and unpack {ARCHIVE} again, or leave the archive "
                f"packed in {base}: it is read as it is."
            )
        yield base / PHOTOS
    else:
        _require_celeba(base / ARCHIVE)
        with zipfile.ZipFile(base / ARCHIVE) as archive:
            yield zipfile.Path(archive, PHOTOS + "/")


def _celeba_ids(file: str) -> tuple[str, str]:
    """Google Drive's id and the md5 of one of CelebA's files, as torchvision knows them."""
    return next((file_id, md5) for file_id, md5, name in torchvision.datasets.CelebA.file_list if name == file)


def _require_celeba(path: Path) -> None:
    """Raise unless a file of CelebA is there with the checksum that torchvision knows."""
    if not path.is_file():
        raise DataNotFoundError(
            f"CelebA in {path.parent} is incomplete: {path.name} is missing. {how_to_get('celeba')}"
        )
    if not utils.check_integrity(str(path), _celeba_ids(path.name)[1]):
        raise DataNotFoundError(
            f"{path} is not CelebA's: {what_is_wrong(path)}. Move it away. {how_to_get('celeba')} Google Drive limits "
            "how often a file may be fetched in a day: where it sent a page, try again tomorrow."
        )


# --- fetching --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def fetching(name: str, instead: str) -> Iterator[Path]:
    """Give a temporary folder inside `data_folder()`, and remove it whatever happens.

    Args:
        name: of the data set that is fetched.
        instead: what to do if it can't be fetched, whole sentences.

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
    except FAILURES as error:
        if disk_is_full(error):
            raise DiskFullError(
                f"The disk is full: {title} takes {DISK[name]} in {folder}. Free some space there, or set SBGM_DATA to "
                "a folder on another disk. Nothing half made was left behind."
            ) from error
        raise ConnectionError(f"{title} could not be downloaded into {folder} ({_words(error)}). {instead}") from error


def fetch(urls: Sequence[str], path: Path, md5: str) -> None:
    """Write the file to `path`, from the first of several mirrors that sends it whole.

    Raises:
        ConnectionError: none did; the message gives each one's reason.
    """
    reasons = []
    for url in urls:
        try:
            with path.open("wb") as file:
                pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)(url, _Limited(file), None)
            if not utils.check_integrity(str(path), md5):
                raise RuntimeError("File not found or corrupted.")
            return
        except FAILURES as error:
            if disk_is_full(error):
                raise
            reasons.append(f"{url}: {_reason(error, path)}")
    raise ConnectionError("; ".join(reasons))


class _Limited:
    """A file that takes LARGEST bytes at most."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.flush = file, file.flush

    def write(self, chunk: bytes) -> None:
        self.file.write(chunk)
        if self.file.tell() > LARGEST:
            raise OSError(f"more than {LARGEST:,} bytes came, which is too many to be the file")


def fetch_from_google_drive(file_id: str, md5: str, path: Path) -> None:
    """Write a file that Google Drive shares to `path`, by the package gdown.

    Raises:
        ConnectionError: it did not arrive whole; the message tells a quota page from a broken transfer.
    """
    try:
        utils.download_file_from_google_drive(file_id, str(path.parent), path.name, md5)
    except Exception as error:  # gdown's own errors share no class
        if disk_is_full(error):
            raise
        raise ConnectionError(f"{path.name} from Google Drive: {_reason(error, path)}") from error


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


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, RuntimeError) and path.is_file():  # the checksum is wrong
        return "what came was not the file, " + what_is_wrong(path)
    return _words(error)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
