"""CelebA (Liu et al. 2015): 202,599 faces, cropped and reduced to 32×32 as the paper does, and kept in a cache.

The photographs are for non-commercial research and are not to be redistributed.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sbgm.data.fetching import fetch_from_google_drive, fetching, move_into_place, what_is_wrong
from sbgm.data.folder import DataNotFoundError, cache_folder, data_folder

if TYPE_CHECKING:
    from PIL import Image

CROP, SIZE = 140, 32
PHOTO_SIZE = (178, 218)  # width, height
PARTITION, PHOTOS, ARCHIVE = "list_eval_partition.txt", "img_align_celeba", "img_align_celeba.zip"
PARTS = {"train": "0", "test": "2"}  # as the partition's file counts; 1 is for validation, which the paper leaves out
HOW_TO_GET_IT = (
    'Run sbgm.data.download("celeba") once (1.4 GB), or fetch img_align_celeba.zip and list_eval_partition.txt by hand '
    "from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (no need to unpack) into {base}, or set SBGM_DATA to the "
    "folder that holds celeba."
)


def images(split: str) -> Tensor:
    """(N, 3, 32, 32) images, 162,770 or 19,962; the first call for a split prepares them, which takes minutes."""
    cache = _cache(split)
    pixels = _read_cache(cache) if cache.exists() else _prepare(split)
    return pixels.float().div_(255)  # in place: 162,770 images are 2 GB


def is_available() -> bool:
    """Whether there is a folder of CelebA, be it damaged, or what was prepared from one."""
    return _base().exists() or _all_prepared()


def download() -> None:
    """Fetch the list of splits and the archive of aligned photographs, which is read without unpacking it."""
    base = _base()
    if _all_prepared():
        return
    wanted = [PARTITION] if (base / PHOTOS).is_dir() else [PARTITION, ARCHIVE]
    ids = {file: file_id for file_id, _, file in _file_list()}
    instead = (
        "Google Drive limits how often a file may be fetched in a day: try again tomorrow. Or fetch "
        f"img_align_celeba.zip and list_eval_partition.txt in a browser from "
        f"https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into {base}, or copy them there from another machine. "
        'Without them, work with load_images("cifar10") or load_images("photo_patches").'
    )
    with fetching("CelebA", "1.4 GB, and 0.6 GB once prepared,", instead) as bench:
        for file in wanted:
            if (base / file).exists():
                _check(base / file)
                continue
            fetch_from_google_drive(ids[file], bench / file, _md5(file))
            move_into_place(bench / file, base / file)


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


def _base() -> Path:
    return data_folder() / "celeba"


# --- the photographs -------------------------------------------------------------------------------------------------


def _prepare(split: str) -> Tensor:
    """Decode and reduce a split's photographs, and leave the result in the cache if there is room."""
    from PIL import Image
    from tqdm import tqdm

    names = _names(split)
    pixels = np.empty((len(names), SIZE, SIZE, 3), np.uint8)
    with _photos(names) as photos:
        for i, name in enumerate(tqdm(names, desc=f"preparing CelebA ({split}), once", unit=" images")):
            try:
                with (photos / name).open("rb") as file, Image.open(file) as photo:
                    pixels[i] = crop_and_resize(photo)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                raise DataNotFoundError(
                    f"CelebA in {_base()} is damaged: {name} can't be used ({error}). Move {photos} away, then unpack "
                    "or fetch it afresh."
                ) from error
    prepared = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    _write_cache(_cache(split), prepared)
    return prepared


def _names(split: str) -> list[str]:
    """The photographs of a split, in the order of CelebA's list."""
    base = _base()
    if not base.exists():
        raise DataNotFoundError(f"CelebA is not in {data_folder()}. {HOW_TO_GET_IT.format(base=base)}")
    _check(base / PARTITION)
    rows = (line.split() for line in (base / PARTITION).read_text(encoding="ascii").splitlines())
    return [name for name, part in rows if part == PARTS[split]]


@contextlib.contextmanager
def _photos(names: list[str]) -> Iterator[Path | zipfile.Path]:
    """The folder of photographs, or the archive's folder where it was not unpacked; all of `names` are in it."""
    base = _base()
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
        _check(base / ARCHIVE)
        with zipfile.ZipFile(base / ARCHIVE) as archive:
            yield zipfile.Path(archive, PHOTOS + "/")


def _file_list() -> list[tuple[str, str, str]]:
    """Google Drive's id, md5 and name of CelebA's files, as torchvision knows them."""
    from torchvision.datasets import CelebA

    return CelebA.file_list


def _md5(file: str) -> str:
    return next(md5 for _, md5, name in _file_list() if name == file)


def _check(path: Path) -> None:
    """Raise unless a file of CelebA is there with the checksum that torchvision knows."""
    from torchvision.datasets.utils import check_integrity

    how_to_get_it = HOW_TO_GET_IT.format(base=_base())
    if not path.is_file():
        raise DataNotFoundError(f"CelebA in {path.parent} is incomplete: {path.name} is missing. {how_to_get_it}")
    if not check_integrity(str(path), _md5(path.name)):
        raise DataNotFoundError(
            f"{path} is not CelebA's: {what_is_wrong(path)}. Move it away. {how_to_get_it} Google Drive limits how "
            "often a file may be fetched in a day: where it sent a page, try again tomorrow."
        )


# --- the cache: one file a split, whose name says what was done ------------------------------------------------------


def _cache(split: str) -> Path:
    return cache_folder() / f"celeba_crop{CROP}_bilinear{SIZE}_{split}.safetensors"


def _all_prepared() -> bool:
    return all(_cache(split).exists() for split in PARTS)


def _write_cache(path: Path, pixels: Tensor) -> None:
    """Write the prepared images with their checksum, whole or not at all; without room or leave, warn and go on."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    facts = {"sha256": _sha256(pixels), "source": "CelebA, aligned and cropped", "terms": "non-commercial research"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as bench:
            save_file({"images": pixels}, Path(bench) / path.name, facts)
            (Path(bench) / path.name).replace(path)
    except (OSError, SafetensorError) as error:  # the latter where the disk is full
        warnings.warn(
            f"CelebA was prepared, but could not be kept in {path.parent} ({error}); the next call prepares it again",
            stacklevel=2,
        )


def _read_cache(path: Path) -> Tensor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            pixels, sha256 = file.get_tensor("images"), file.metadata()["sha256"]
        whole = _sha256(pixels) == sha256
    except (SafetensorError, KeyError, TypeError):  # no such file, tensor, fact, or facts
        whole = False
    if not whole:
        raise DataNotFoundError(f"{path} is damaged. Delete it; the next call prepares it again from {_base()}.")
    return pixels


def _sha256(pixels: Tensor) -> str:
    return hashlib.sha256(pixels.numpy()).hexdigest()
