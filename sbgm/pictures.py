"""Images of one's own as a data set: a folder of pictures, a file of arrays, or any sequence of pictures.

Every picture is read once, cropped to its middle square and resized. The bytes are kept in a file that is mapped into
memory, so that a set may be larger than memory: `load_images(own_images("photographs", 32))`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sbgm.checked import Count, Whole, checked
from sbgm.data import DataNotFoundError, DataSet, Notice, cache_folder
from sbgm.files import content_hash, write_json, written_whole
from sbgm.noise import derived_generator

__all__ = ["own_images", "read_picture"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FEW = 0.1  # the share of pictures that may be unreadable, and the share that is held out
HIDDEN = re.compile(r"(^|/)(\.|__)")  # what a Mac leaves, such as ._1.png and __MACOSX
MANY = 500  # pictures that are worth several processes to read them


def _source(source: Any, name: str) -> None:
    if not isinstance(source, os.PathLike) and not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
        raise TypeError(f"{name} must be a folder, a file of arrays or a sequence of pictures, got {source!r}")


@checked
def own_images(
    source: Annotated[Path | str | Sequence[Any], _source],
    size: Count = 32,
    n_channels: Literal[1, 3, None] = None,
    *,
    seed: Whole = 0,
) -> DataSet:
    """A data set of pictures of any sizes and modes, each cropped to its middle square and resized.

    A tenth of the pictures, at least four, is the test split, drawn by the seed. A folder that holds nothing but the
    folders `train` and `test` has its splits already.

    Args:
        source: a folder, whose subfolders, if it has any, are the classes, in the order of their names; an `.npy` or
            `.npz` file of images, in an `.npz` as "images" or as the only array, beside "labels" if there are any; or a
            sequence of pictures, such as a tensor or a `datasets.Dataset`. A picture is a path, a PIL image, or an
            array (H, W), (H, W, C) or (C, H, W) of bytes or of floats in [0, 1]; with its class it is a pair
            (image, label) or a dictionary with "image" and "label".
        size: H and W of the images.
        n_channels: 1 for grey, 3 for colour; None makes them grey if all pictures are.
        seed: of the split.

    Returns:
        The set, which `load_images` and `load_labels` take in place of a name.

    Raises:
        DataNotFoundError: there are fewer than eight pictures.
        ValueError: more than one picture, and more than a tenth of them, can't be read; the message names them.

    Example:
        >>> own = sbgm.own_images(torch.rand(20, 1, 28, 28), size=8)
        >>> own.shape, sbgm.load_images(own).shape, sbgm.load_images(own, "test").shape
        ((1, 8, 8), torch.Size([16, 1, 8, 8]), torch.Size([4, 1, 8, 8]))
    """
    title, pictures, classes, files, n_test = _listed(source)
    if (n := len(pictures)) < 8:
        raise DataNotFoundError(f"source must hold eight pictures or more ({' '.join(SUFFIXES)}), got {n} in {title}")
    order = list(range(n))
    if n_test is None:
        n_test = max(4, round(FEW * n))
        order = torch.randperm(n, generator=derived_generator(seed)).tolist()
    read = functools.partial(_read_some, pictures, size, "L" if n_channels == 1 else "RGB")
    key = hashlib.sha256(json.dumps([files, order, size, n_channels]).encode()).hexdigest()[:16]
    pixels, facts = _read_all(read, order, (3, size, size), cache_folder() / f"own-{key}.npy" if files else None)
    if left_out := dict(facts["left_out"]):
        named = "; ".join(f"{pictures[i][0] if files else f'picture {i}'} ({why})" for i, why in left_out.items())
        if len(left_out) > max(1, FEW * n):
            raise ValueError(f"source must hold pictures that can be read, but of {n:,} these can't: {named}")
        warnings.warn(f"of {n:,} pictures these can't be read and are left out: {named}", Notice, 3)
    grey, labels = facts["grey"] or n_channels == 1, torch.tensor(facts["labels"])
    images = torch.from_numpy(pixels)[: len(labels), : 1 if grey else 3]
    border = sum(i not in left_out for i in order[: n - n_test])
    parts = {"train": slice(border), "test": slice(border, None)}
    return DataSet(
        title,
        (images.shape[1], size, size),
        images=lambda split: images[parts[split]],
        labels=(lambda split: labels[parts[split]]) if bool((labels >= 0).all()) else None,
        key=f"own-{facts['sha256'][:16]}",
        classes=tuple(classes or map(str, range(int(labels.max()) + 1))),
    )


def _listed(source: Any) -> tuple[str, Sequence[Any], Sequence[str], list[Any], int | None]:
    """A title, the pictures, unread, their classes, what tells their files apart, how many of the last are tests."""
    if not isinstance(source, str | os.PathLike):
        return "own images", source, (), [], None
    path, n_test = Path(source), None
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file()]
        found = {file: parts for file in files if not HIDDEN.search("/".join(parts := file.relative_to(path).parts))}
        stats = [(*parts, (stat := file.stat()).st_size, stat.st_mtime_ns) for file, parts in found.items()]
        if {parts[0] for parts in found.values()} == {"train", "test"}:
            n_test = sum(parts[0] == "test" for parts in found.values())
            found = {file: found[file][1:] for file in sorted(found, key=lambda file: found[file][0] == "test")}
        classes = sorted({parts[0] for parts in found.values() if len(parts) > 1})
        pictures = [(file, classes.index(parts[0]) if len(parts) > 1 else -1) for file, parts in found.items()]
        return path.name, pictures, classes, stats, n_test
    if path.suffix not in (".npy", ".npz") or not path.is_file():
        raise DataNotFoundError(f"source must be a folder, an .npy or an .npz file, but there is none at {path}")
    arrays = np.load(path, mmap_mode="r", allow_pickle=False)
    arrays = {"images": arrays} if path.suffix == ".npy" else arrays
    images = arrays["images" if "images" in arrays else next(iter(arrays))]
    labels = arrays["labels"] if "labels" in arrays else [-1] * len(images)
    stats = [path.stat().st_size, path.stat().st_mtime_ns]
    return path.stem, list(zip(images, labels, strict=True)), (), stats, None


@checked
def read_picture(picture: Any, size: Count, mode: Literal["L", "RGB"] = "RGB") -> Tensor:
    """Read a picture, turned as its camera says, white where it is transparent; crop its middle square, and resize it.

    Args:
        picture: a path, a PIL image or an array, see `own_images`.
        size: H and W.
        mode: "L" for grey, "RGB" for colour.

    Returns:
        (1, size, size) or (3, size, size) uint8.

    Example:
        >>> sbgm.pictures.read_picture(torch.rand(3, 50, 40), 8).shape
        torch.Size([3, 8, 8])
    """
    return _resized(_opened(picture), size, mode)


def _opened(picture: Any) -> Image.Image:
    """A picture as an image that Pillow knows."""
    from torchvision.transforms.functional import convert_image_dtype, to_pil_image

    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | os.PathLike):
        return Image.open(picture)
    image = torch.tensor(np.asarray(picture))
    if image.ndim == 3 and image.shape[2] in (1, 3):
        image = image.permute(2, 0, 1)
    if image.is_floating_point() and not 0 <= image.min() <= image.max() <= 1:
        raise ValueError(f"floats must lie in [0, 1], got {float(image.min()):g} to {float(image.max()):g}")
    return to_pil_image(convert_image_dtype(image, torch.uint8))


def _resized(image: Image.Image, size: int, mode: str) -> Tensor:
    """The middle square of an image in a mode, (C, size, size) bytes."""
    image.draft(mode, (2 * size, 2 * size))  # a JPEG is then decoded near that size, many times faster
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).reshape(size, size, -1).permute(2, 0, 1)


def _read_some(pictures: Sequence[Any], size: int, mode: str, indices: Sequence[int]) -> list[tuple[Any, ...]]:
    """Of each picture its index, bytes, whether it is grey, and label; or its index and why it can't be read."""
    found: list[tuple[Any, ...]] = []
    for i in indices:
        try:
            picture, label = pictures[i], -1
            if isinstance(picture, Mapping):
                picture, label = picture["image"], picture.get("label", -1)
            elif isinstance(picture, tuple | list) and len(picture) == 2:
                picture, label = picture
            image = _opened(picture)
            grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
            found.append((i, _resized(image, size, mode).numpy(), grey, int(label)))
        except (OSError, SyntaxError, ValueError, TypeError, KeyError, Image.DecompressionBombError) as error:
            found.append((i, f"{type(error).__name__}: {error}"))
    return found


def _read_all(read: Any, order: list[int], shape: tuple[int, ...], path: Path | None) -> tuple[np.ndarray, Any]:
    """The bytes (N, C, H, W) of all pictures that can be read, in the order wanted, and facts; kept, if at a path."""
    if path is None:
        pixels = np.empty((len(order), *shape), np.uint8)
        return pixels, _fill(pixels, read, order)
    if not path.with_suffix(".json").is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            facts = _fill(np.lib.format.open_memmap(partial, "w+", np.uint8, (len(order), *shape)), read, order)
        write_json(path.with_suffix(".json"), facts)
    return np.load(path, mmap_mode="c"), json.loads(path.with_suffix(".json").read_bytes())


def _fill(pixels: np.ndarray, read: Any, order: list[int]) -> dict[str, Any]:
    """Read pictures into rows of bytes, by several processes if there are many; return what is known of them."""
    from torch.utils.data import DataLoader

    workers = min(8, os.cpu_count() or 1) if len(order) > MANY and sys.platform == "linux" else 0
    batches: Any = DataLoader(order, batch_size=64, num_workers=workers, collate_fn=read)  # pyright: ignore[reportArgumentType] - a list has all that a Dataset needs
    labels, left_out, grey = [], [], True
    for i, *row in itertools.chain.from_iterable(batches):
        if len(row) == 1:
            left_out.append((i, *row))
        else:
            pixels[len(labels)], grey = row[0], grey and row[1]
            labels.append(row[2])
    sha256 = content_hash(torch.from_numpy(pixels[: len(labels)]))
    return {"labels": labels, "left_out": left_out, "grey": grey, "sha256": sha256}
