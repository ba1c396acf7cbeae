"""Images of one's own as a data set: `load_images(own_images("photographs", 32))`.

Pictures are turned as their camera says, made white where they are transparent, cropped to their middle square and
resized. They are kept in memory, as bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sbgm.guard import ArgumentError, Count, Whole, checked, instance_of
from sbgm.images.data import DataNotFoundError, DataSet
from sbgm.noise import derived_generator

__all__ = ["own_images"]

# Those that Pillow can't read everywhere, such as a phone's .heic, are refused by name, and not passed over.
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif")
Arrays = Tensor | np.ndarray
Source = Annotated[
    Path | str | Arrays, instance_of(Path | str | Arrays, "a folder of pictures, or a tensor or array (N, C, H, W)")
]


@checked
def own_images(
    source: Source,
    size: Count = 32,
    n_channels: Literal[1, 3, None] = None,
    *,
    labels: Arrays | None = None,
    seed: Whole = 0,
) -> DataSet:
    """A data set of one's own images, each cropped to its middle square and resized.

    A tenth of the images, at least four, is the test split, drawn by the seed. A folder that holds the folders `train`
    and `test` has its splits already. Images are shuffled by the seed within their split.

    Files whose suffix is no picture's are ignored, and so is what is hidden. Links to folders are not followed, which a
    warning says, and so it does of a picture beside the subfolders, by which there are no classes.

    Args:
        source: a folder of pictures, whose subfolders, if it has any, are the classes, in the order of their names; or
            images (N, C, H, W), C = 1 or 3, as bytes or as floats in [0, 1].
        size: H and W of the images, an int; what is smaller is not enlarged but refused.
        n_channels: 1 for grey, 3 for colour; None makes them grey if all pictures are.
        labels: of a tensor or array, the class of each image, (N,) whole numbers from 0; each class has an image.
        seed: an int, of the split and the order.

    Returns:
        The set, which `load_images` and `load_labels` take in place of a name.

    Raises:
        DataNotFoundError: there is no such folder.
        ValueError: there are fewer than eight images; or pictures can't be read, are smaller than `size`, or are grey
            of more than 8 bits, and the message names them all; or the images or labels are of another kind.

    Example:
        >>> own = sbgm.own_images(torch.rand(20, 1, 28, 28), size=8)
        >>> own.shape, sbgm.load_images(own).shape, sbgm.load_images(own, "test").shape
        ((1, 8, 8), torch.Size([16, 1, 8, 8]), torch.Size([4, 1, 8, 8]))
    """
    if isinstance(source, Arrays):
        pixels = _bytes(source).permute(0, 2, 3, 1).squeeze(3).numpy()
        images = [_square(Image.fromarray(image), size, n_channels) for image in pixels]
        classes = []
        if labels is not None:
            labels = torch.as_tensor(labels).cpu()
            numbers = torch.arange(len(labels.unique()))
            if labels.shape != (len(images),) or not torch.equal(labels.unique(), numbers):
                raise ValueError(f"labels must be {len(images):,} whole numbers from 0, without a gap, got {labels}")
            classes = [str(number) for number in numbers.tolist()]
            labels = labels.long()
        return _data_set("own images", images, labels, classes, None, seed)

    if labels is not None:
        raise ValueError("labels must be None for a folder, because its subfolders are the classes")
    folder = Path(source)
    if not folder.is_dir():
        raise DataNotFoundError(f"source must be a folder of pictures, and {folder} is none")
    pictures = _pictures(folder)
    tops = {file.relative_to(folder).parts[0] for file in pictures}
    is_split = not {"train", "test"}.isdisjoint(top.casefold() for top in tops)
    if is_split and tops != {"train", "test"}:
        raise ArgumentError("source", "hold all its pictures in train and test, or none", sorted(tops))
    images = _read(pictures, size, n_channels)
    places = [file.relative_to(folder).parts for file in pictures]
    is_test = None
    if is_split:
        is_test = torch.tensor([parts[0] == "test" for parts in places])
        places = [parts[1:] for parts in places]
    names = [parts[0] for parts in places if len(parts) > 1]
    classes = []
    if names and len(names) < len(images):
        beside = next(file for file, parts in zip(pictures, places, strict=True) if len(parts) == 1)
        warnings.warn(f"the images have no classes, because not all lie in subfolders, such as {beside}", stacklevel=3)
    if len(names) == len(images):  # a picture outside the subfolders has no class
        classes = sorted(set(names))
        labels = torch.tensor([classes.index(name) for name in names])
    return _data_set(folder.resolve().name, images, labels, classes, is_test, seed)


def _square(picture: Image.Image, size: int, n_channels: int | None) -> Tensor:
    """The middle square of a picture, (C, size, size) uint8; of None channels a grey one has one."""
    if picture.mode.startswith(("I", "F")):  # Pillow would clip these at 255
        raise ValueError(f"a picture must have 8 bits per channel, got mode {picture.mode!r}")
    if min(picture.size) < size:
        raise ValueError(f"a picture must have at least {size}×{size} pixels, got {picture.width}×{picture.height}")
    is_grey = n_channels == 1 or (n_channels is None and picture.mode in ("1", "L", "LA"))
    mode = "L" if is_grey else "RGB"
    picture.draft(mode, (2 * size, 2 * size))  # a JPEG is then decoded near that size, many times faster
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    square = ImageOps.fit(picture.convert(mode), (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).reshape(size, size, -1).permute(2, 0, 1)


def _bytes(images: Arrays) -> Tensor:
    """Images (N, C, H, W) as bytes; raise unless they are bytes, or floats in [0, 1]."""
    images = torch.as_tensor(images).cpu()
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"source must be images (N, C, H, W) with C = 1 or 3, got shape {tuple(images.shape)}")
    if images.is_floating_point() and bool(((images >= 0) & (images <= 1)).all()):
        return (images.float() * 255).round().byte()
    if images.dtype != torch.uint8:
        raise ValueError(f"source must hold bytes (uint8) or floats in [0, 1], got others of {images.dtype}")
    return images


def _pictures(folder: Path) -> list[Path]:
    """The files below a folder that are pictures by their suffix, in the order of their paths."""
    pictures = []
    links = []
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)  # such as a Mac's ._1.png
        if path.suffix.lower() in SUFFIXES and not is_hidden and path.is_file():
            pictures.append(path)
        if path.is_symlink() and path.is_dir() and not is_hidden:
            links.append(str(path))
    if links:
        warnings.warn(f"links to folders are not followed: {', '.join(links)}", stacklevel=4)
    return pictures


def _read(files: Sequence[Path], size: int, n_channels: int | None) -> list[Tensor]:
    """The pictures in files, each (1 or 3, size, size); raise unless all can be used."""

    def read(file: Path) -> Tensor | str:
        try:
            with Image.open(file) as picture:
                return _square(picture, size, n_channels)
        except Exception as error:  # a decoder of a damaged file may raise anything
            return f"\n  {file}: {error}"

    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
        results = list(pool.map(read, files))
    bad = [result for result in results if isinstance(result, str)]
    if bad:
        share = f"{len(bad):,} of {len(files):,} can't be"
        raise ArgumentError("source", f"hold pictures that can be used, and {share}; remove them:{''.join(bad)}")
    return [result for result in results if isinstance(result, Tensor)]


def _data_set(
    title: str, images: list[Tensor], labels: Tensor | None, classes: list[str], is_test: Tensor | None, seed: int
) -> DataSet:
    """A data set of images (C, H, W); `is_test` (N,) says which are the test split, or the seed where it is None."""
    if len(images) < 8:
        raise ArgumentError("source", f"hold at least 8 images ({' '.join(SUFFIXES)})", len(images))
    n_channels = max(len(image) for image in images)
    pixels = torch.stack([image.expand(n_channels, -1, -1) for image in images])
    order = torch.randperm(len(images), generator=derived_generator(seed))
    if is_test is None:
        is_test = torch.zeros(len(images), dtype=torch.bool)
        is_test[order[: max(4, round(len(images) / 10))]] = True
    rows = {"train": order[~is_test[order]], "test": order[is_test[order]]}
    parts = {split: pixels[indices] for split, indices in rows.items()}
    return DataSet(
        title,
        (n_channels, pixels.shape[2], pixels.shape[3]),
        images=parts.__getitem__,
        labels=None if labels is None else lambda split: labels[rows[split]],
        classes=tuple(classes),
    )
