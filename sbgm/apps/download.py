"""Fetch a data set into the data folder, checked by its checksums; what is there is not fetched again."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from PIL import Image
from torch import Tensor

from sbgm import files
from sbgm.files import data_folder, from_extra, shipped_folder
from sbgm.guard import checked
from sbgm.images.data import NAMES, SETS, SPLITS, DataNotFoundError, SetName, celeba_cache, torchvisions

with from_extra("images"):
    from torchvision.transforms.functional import pil_to_tensor
    from tqdm import tqdm


@checked
def download(name: SetName) -> None:
    """Fetch a data set into `data_folder()`, from where torchvision does, unless it is there and whole, and say so.

    An interrupted download is taken up by the next one. CelebA is fetched in a browser; of it this prepares what lies
    in `data_folder()`, which takes minutes.

    Raises:
        ConnectionError: the download failed; the message says why.
        DataNotFoundError: what is there is damaged.
    """
    if name == "celeba":
        for split in SPLITS:
            if not celeba_cache(split).exists():
                prepare_celeba(split)
    elif SETS[name].home:
        with fetching(name):
            torchvisions(name)(data_folder(), download=True)
    for split in SPLITS:
        SETS[name].images(split)  # and so see whether it is whole
    print(f"{name} is ready; downloads are kept in {data_folder()}")


@contextlib.contextmanager
def fetching(name: str) -> Iterator[None]:
    """Turn what torchvision or the disk raises in the body into a ConnectionError that says how to go on."""
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(files.TIMEOUT)  # torchvision sets none: it would wait for a silent server for ever
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConnectionError(
            f"{SETS[name].title} could not be downloaded into {data_folder()} ({reason}). Move "
            f"{SETS[name].home} away if it is there, and run the same command again. How to continue without it: "
            f"{shipped_folder() / 'README.md'}"
        ) from error
    finally:
        socket.setdefaulttimeout(usual)


# --- CelebA: 202,599 aligned photographs, for non-commercial research, not to be redistributed -----------------------

PARTITION = "list_eval_partition.txt"
PHOTOS = "img_align_celeba"
PARTS = {"train": "0", "test": "2"}  # as the partition's file counts; 1 is for validation, which the paper leaves out
PHOTO_SIZE = (178, 218)  # width, height
MIDDLE = (19, 39, 159, 179)  # the left, upper, right and lower end of its middle 140×140 pixels
SIZE = 32


def prepare_celeba(split: str) -> None:
    """Crop and reduce a split's photographs, and write them to `celeba_cache(split)`, whole."""
    folder = data_folder() / SETS["celeba"].home
    if not (folder / PARTITION).is_file():
        words = f"fetch {PARTITION} and the folder {PHOTOS} in a browser, and put both into {folder}; see"
        raise DataNotFoundError(f"{words} {shipped_folder() / 'README.md'}")
    rows = [line.split() for line in (folder / PARTITION).read_text(encoding="ascii").splitlines()]
    names = [name for name, part in rows if part == PARTS[split]]
    images = torch.empty(len(names), 3, SIZE, SIZE, dtype=torch.uint8)
    for i, name in enumerate(tqdm(names, desc=f"preparing CelebA ({split}), once", unit=" images")):
        with Image.open(folder / PHOTOS / name) as photo:
            images[i] = crop_and_resize(photo)
    facts = {"source": "CelebA, aligned and cropped", "terms": "non-commercial research"}
    celeba_cache(split).parent.mkdir(parents=True, exist_ok=True)
    files.save_tensors(celeba_cache(split), {"images": images}, **facts)


def crop_and_resize(photo: Image.Image) -> Tensor:
    """The paper's preprocessing of CelebA: the middle 140×140 pixels, reduced to 32×32 by a bilinear filter.

    The filter is Pillow's, a triangle as wide as the reduction (140/32 pixels to each side), so that nothing aliases.

    Args:
        photo: an aligned photograph, 178×218.

    Returns:
        (3, 32, 32) uint8.

    Raises:
        ValueError: the photograph is of another size, so that the middle would not be the face.
    """
    if photo.size != PHOTO_SIZE:
        raise ValueError(f"photo must be {PHOTO_SIZE[0]}×{PHOTO_SIZE[1]} pixels, got {photo.size[0]}×{photo.size[1]}")
    return pil_to_tensor(photo.convert("RGB").crop(MIDDLE).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


# --- the command -----------------------------------------------------------------------------------------------------

EXAMPLE = "sbgm download mnist"
ONE_OF_THE_NAMES = f"one of {', '.join(NAMES)}"  # Sphinx reads no f-string in a class


@checked
@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `sbgm download`."""

    name: Annotated[SetName, ONE_OF_THE_NAMES]


def main(**given: Any) -> None:
    """Fetch the data set that `given`, the fields of `Options`, names."""
    download(Options(**given).name)
