"""Images of one's own as a data set: `load_images(own_images("photographs", 32))`.

Pictures are turned as their camera says, made white where they are transparent, cropped to their middle square and
resized. They are kept in memory, as bytes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sbgm.files import content_hash
from sbgm.guard import Count, Whole, checked, instance_of
from sbgm.images.data import DataNotFoundError, DataSet, Notice
from sbgm.noise import derived_generator

__all__ = ["own_images", "read_picture"]

# of files that are pictures, whether or not the Pillow at hand can read them
SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".jxl", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
FEWEST = 8  # pictures of a set
SHARE = 0.1  # of the pictures that is held out, and that may be unreadable
MOST_NAMED = 5  # files in a message


@checked
def own_images(
    source: Annotated[
        Path | str | Tensor | np.ndarray,
        instance_of((str, os.PathLike, Tensor, np.ndarray), "a folder of pictures, or a tensor or array of images"),
    ],
    size: Count = 32,
    n_channels: Literal[1, 3, None] = None,
    *,
    labels: Tensor | np.ndarray | Sequence[int] | None = None,
    seed: Whole = 0,
) -> DataSet:
    """A data set of one's own images, each cropped to its middle square and resized.

    A tenth of the images, at least four, is the test split, drawn by the seed. A folder that holds the folders `train`
    and `test` has its splits already. Images are shuffled by the seed within their split.

    Args:
        source: a folder of pictures, whose subfolders, if it has any, are the classes, in the order of their names; or
            images (N, C, H, W), C = 1 or 3, as bytes or as floats in [0, 1].
        size: H and W of the images; what is smaller is not enlarged but refused.
        n_channels: 1 for grey, 3 for colour; None makes them grey if all pictures are.
        labels: of a tensor or array, the class of each image, (N,) whole numbers from 0.
        seed: of the split and the order.

    Returns:
        The set, which `load_images` and `load_labels` take in place of a name.

    Raises:
        DataNotFoundError: there is no such folder, or there are fewer than eight pictures.
        ValueError: more than one picture, and more than a tenth of them, can't be read; or the images or labels are of
            another kind; or they don't fit into memory.

    Example:
        >>> own = sbgm.own_images(torch.rand(20, 1, 28, 28), size=8)
        >>> own.shape, sbgm.load_images(own).shape, sbgm.load_images(own, "test").shape
        ((1, 8, 8), torch.Size([16, 1, 8, 8]), torch.Size([4, 1, 8, 8]))
    """
    if not isinstance(source, Tensor | np.ndarray):
        if labels is not None:
            raise ValueError("labels must be None for a folder, because its subfolders are the classes")
        return _folder_set(Path(source), size, n_channels, seed)
    from torchvision.transforms.functional import to_pil_image

    pixels = _bytes(source, size)
    images = [_resized(to_pil_image(image), size, n_channels) for image in pixels]
    classes = []
    if labels is not None:
        labels = _whole_labels(labels, len(images))
        classes = [str(i) for i in range(int(labels.max()) + 1)]
    return _data_set("own images", images, labels, classes, None, seed)


@checked
def read_picture(
    picture: Annotated[Path | str | Image.Image, instance_of((str, os.PathLike, Image.Image), "a path or a PIL image")],
    size: Count,
    mode: Literal["L", "RGB"] = "RGB",
) -> Tensor:
    """Read a picture, turned as its camera says, white where it is transparent; crop its middle square, and resize it.

    Args:
        picture: a path or a PIL image.
        size: H and W.
        mode: "L" for grey, "RGB" for colour.

    Returns:
        (1, size, size) or (3, size, size) uint8.

    Raises:
        OSError, ValueError: it can't be read, is smaller than `size`, or has more than 8 bits a channel.

    Example:
        >>> from PIL import Image
        >>> sbgm.images.own.read_picture(Image.new("RGB", (50, 40), "red"), 8)[:, 0, 0]
        tensor([255,   0,   0], dtype=torch.uint8)
    """
    n_channels = 1 if mode == "L" else 3
    if isinstance(picture, Image.Image):
        return _resized(picture, size, n_channels)
    with Image.open(picture) as image:
        return _resized(image, size, n_channels)


def _resized(picture: Image.Image, size: int, n_channels: int | None) -> Tensor:
    """The middle square of a picture, (C, size, size) uint8; of None channels a grey one has one."""
    if picture.mode.startswith(("I", "F")):  # Pillow would clip these at 255
        raise ValueError(f"a picture must have 8 bits a channel, got mode {picture.mode!r}")
    if min(picture.size) < size:
        width, height = picture.size
        raise ValueError(f"a picture must have at least {size}×{size} pixels, got {width}×{height}")
    grey = n_channels == 1 or (n_channels is None and picture.mode in ("1", "L", "LA"))
    mode = "L" if grey else "RGB"
    picture.draft(mode, (2 * size, 2 * size))  # a JPEG is then decoded near that size, many times faster
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = ImageOps.fit(picture.convert(mode), (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).reshape(size, size, -1).permute(2, 0, 1)


def _data_set(
    title: str, images: list[Tensor], labels: Tensor | None, classes: list[str], is_test: Tensor | None, seed: int
) -> DataSet:
    """A data set of images (C, H, W); `is_test` (N,) says which are the test split, or the seed where it is None."""
    n_channels = max(len(image) for image in images)
    pixels = torch.stack([image.expand(n_channels, -1, -1) for image in images])
    order = torch.randperm(len(images), generator=derived_generator(seed))
    if is_test is None:
        n_test = max(4, round(SHARE * len(images)))
        rows = {"train": order[n_test:], "test": order[:n_test]}
    else:
        rows = {"train": order[~is_test[order]], "test": order[is_test[order]]}
    parts = {split: pixels[indices] for split, indices in rows.items()}
    return DataSet(
        title,
        (n_channels, pixels.shape[2], pixels.shape[3]),
        images=parts.__getitem__,
        labels=None if labels is None else lambda split: labels[rows[split]],
        key=f"own-{content_hash(parts['train'], parts['test'])[:16]}",
        classes=tuple(classes),
    )


# --- a tensor or an array --------------------------------------------------------------------------------------------


def _bytes(images: Tensor | np.ndarray, size: int) -> Tensor:
    """Images (N, C, H, W) as bytes; raise unless they are bytes, or floats in [0, 1]."""
    dtype = str(images.dtype).removeprefix("torch.")
    shape = tuple(images.shape)
    if dtype not in ("uint8", "float16", "bfloat16", "float32", "float64"):
        raise ValueError(
            f"source must hold bytes (uint8) or floats in [0, 1], got {dtype}; make bytes of whole numbers from 0 to "
            "255 by source.to(torch.uint8) or source.astype('uint8')"
        )
    if len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < size:
        raise ValueError(f"source must be images (N, C, H, W), C = 1 or 3, H and W at least {size}, got shape {shape}")
    if len(images) < FEWEST:
        raise DataNotFoundError(f"source must hold at least {FEWEST} images, got {len(images)}")
    images = images.detach().cpu() if isinstance(images, Tensor) else torch.tensor(images)
    if not images.is_floating_point():
        return images
    low, high = (float(bound) for bound in images.aminmax())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(f"source must hold floats in [0, 1], got values from {low:g} to {high:g}")
    return (images.float() * 255).round().byte()


def _whole_labels(labels: Tensor | np.ndarray | Sequence[int], n: int) -> Tensor:
    """Labels as an int64 tensor (n,); raise unless they are whole numbers from 0."""
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(f"labels must be {n:,} whole numbers, one an image, got {array.dtype} of shape {array.shape}")
    low = int(array.min())
    high = int(array.max())
    if low < 0 or high >= n:
        raise ValueError(f"labels must be whole numbers from 0 to at most {n - 1:,}, got {low} to {high}")
    return torch.tensor(array.astype(np.int64))


# --- a folder --------------------------------------------------------------------------------------------------------


def _folder_set(folder: Path, size: int, n_channels: int | None, seed: int) -> DataSet:
    """The data set of a folder's pictures."""
    import psutil

    files = _picture_files(folder)
    has_splits = _has_splits(folder, files)
    needed = 2 * 3 * size**2 * len(files)  # bytes: while the images are stacked they are there twice
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"size must leave room for all images in memory, but {len(files):,} of {size}×{size} pixels take "
            f"{needed / 1e9:,.1f} GB while they are read, and {free / 1e9:,.1f} GB are free"
        )
    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
        pictures = list(pool.map(lambda file: _image_or_reason(file, size, n_channels), files))
    by_place = dict(zip([file.relative_to(folder) for file in files], pictures, strict=True))
    images = {place.parts: image for place, image in by_place.items() if isinstance(image, Tensor)}
    left_out = [f"{place} ({reason})" for place, reason in by_place.items() if isinstance(reason, str)]
    if left_out:
        message = (
            f"of {len(files):,} pictures these can't be used: {_some(left_out)}. Convert them to PNG or JPEG of 8 bits"
        )
        if len(left_out) > max(1, SHARE * len(files)):
            raise ValueError(f"source must hold pictures that can be used, but {message}, or take them away")
        warnings.warn(f"{message}; now they are left out", Notice, 4)
    places = list(images)
    is_test = None
    if has_splits:
        is_test = torch.tensor([parts[0].casefold() == "test" for parts in places])
        places = [parts[1:] for parts in places]
    classes = sorted({parts[0] for parts in places if len(parts) > 1})
    labels = None
    if all(len(parts) > 1 for parts in places):  # a picture outside the subfolders has no class
        labels = torch.tensor([classes.index(parts[0]) for parts in places])
    return _data_set(folder.resolve().name, list(images.values()), labels, classes, is_test, seed)


def _picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder, without what is hidden, such as a Mac's ._1.png and __MACOSX."""
    if not folder.is_dir():
        raise DataNotFoundError(
            f"source must be a folder of pictures, and {folder} is none; give a file of arrays as an array, such as "
            "numpy.load(FILE)"
        )
    files = []
    for file in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith((".", "__")) for part in file.relative_to(folder).parts)
        if file.suffix.lower() in SUFFIXES and file.is_file() and not is_hidden:
            files.append(file)
    if len(files) < FEWEST:
        raise DataNotFoundError(
            f"source must hold at least {FEWEST} pictures ({' '.join(SUFFIXES)}), got {len(files)} in {folder}"
        )
    return files


def _has_splits(folder: Path, files: list[Path]) -> bool:
    """Whether a folder holds the folders train and test; raise where it holds one of them, or more than them."""
    filled = {file.relative_to(folder).parts[0].casefold() for file in files}
    folders = {path.name.casefold() for path in folder.iterdir() if path.is_dir()}
    if not folders & {"train", "test"}:
        return False
    if filled != {"train", "test"}:
        raise ValueError(
            "source must hold its pictures in two folders, train and test, if it holds one of them, but in "
            f"{folder} they lie in {_some(sorted(filled))}. If train or test is a class, give it another name"
        )
    return True


def _image_or_reason(file: Path, size: int, n_channels: int | None) -> Tensor | str:
    """A picture (C, size, size), or why it can't be used."""
    try:
        with Image.open(file) as picture:
            return _resized(picture, size, n_channels)
    except Exception as error:  # a decoder of a damaged file may raise anything
        return f"{type(error).__name__}: {error}"


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
