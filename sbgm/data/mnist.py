"""MNIST, Fashion-MNIST, and the part of MNIST that ships: 28×28 grey images with labels, in idx files, checksummed."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sbgm.data.fetching import fetch, fetching, move_into_place
from sbgm.data.folder import DataNotFoundError, data_folder, shipped_folder

PREFIXES = {"train": "train", "test": "t10k"}
FILES = tuple(f"{prefix}-{kind}-ubyte" for prefix in PREFIXES.values() for kind in ("images-idx3", "labels-idx1"))
OPENERS = {"": open, ".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True)
class IdxSet:
    """A set of four idx files, plain or compressed, as torchvision lays them out.

    Args:
        title: the set's name in messages.
        name: its name in `load_images`.
        home: its folder inside `base()`, such as "MNIST/raw", after the class of `torchvision.datasets` that reads it.
        sha256: of the content of each of FILES, which recompression does not change.
    """

    title: str
    name: str
    home: str
    sha256: tuple[str, str, str, str]

    def base(self) -> Path:
        """The folder that holds `home`."""
        return data_folder()

    def folder(self) -> Path:
        """The folder that holds the files."""
        return self.base() / self.home

    def images(self, split: str) -> Tensor:
        """(N, 1, 28, 28) images."""
        pixels = read_idx(self._content(f"{PREFIXES[split]}-images-idx3-ubyte"))
        return torch.from_numpy(pixels[:, None].astype(np.float32)).div_(255)  # in place: 60,000 images are 188 MB

    def labels(self, split: str) -> Tensor:
        """(N,) the class of each of `images(split)`."""
        return torch.from_numpy(read_idx(self._content(f"{PREFIXES[split]}-labels-idx1-ubyte")).astype(np.int64))

    def is_available(self) -> bool:
        """Whether there is a folder of it, be it damaged."""
        return self.folder().exists()

    def download(self) -> None:
        """Fetch the four files from torchvision's mirrors, unpack them, and put their folder into its place."""
        import torchvision.datasets

        if self.is_available():
            for file in FILES:
                self._content(file)
            return
        source = getattr(torchvision.datasets, Path(self.home).parent.name)
        with fetching(self.title, "70 MB", self._instead()) as bench:
            (bench / "raw").mkdir()
            for file, md5 in source.resources:
                fetch([mirror + file for mirror in source.mirrors], bench / file, md5)
                content = gzip.decompress((bench / file).read_bytes())
                (bench / "raw" / file.removesuffix(".gz")).write_bytes(content)
            move_into_place(bench / "raw", self.folder())

    def _instead(self) -> str:
        return (
            'Without a network, work with load_images("mnist_small"), which ships, or copy the folder '
            f"{self.home} with its four idx files (.gz will do) from another machine into "
            f"{data_folder()} (or set SBGM_DATA to the folder that holds it)."
        )

    def _how_to_get_it(self) -> str:
        return f'Run sbgm.data.download("{self.name}") once, or set SBGM_DATA to the folder that holds {self.home}.'

    def _content(self, file: str) -> bytes:
        """A file's content, checked."""
        folder = self.folder()
        if not folder.exists():
            raise DataNotFoundError(f"{self.title} is not in {self.base()}. {self._how_to_get_it()}")
        paths = [folder / (file + suffix) for suffix in OPENERS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None or hashlib.sha256(content := _read(path)).hexdigest() != self.sha256[FILES.index(file)]:
            raise DataNotFoundError(
                f"{self.title} in {folder} is incomplete or damaged: {file} missing or with a wrong checksum. Move "
                f"that folder away. {self._how_to_get_it()}"
            )
        return content


class ShippedIdxSet(IdxSet):
    """The like, tracked in the repository's `data/`, whatever $SBGM_DATA says; there is nothing to fetch."""

    def base(self) -> Path:
        """The folder that holds `home`."""
        return shipped_folder()

    def is_available(self) -> bool:
        """Always: if it is missing or damaged, that must be said."""
        return True

    def download(self) -> None:
        """Nothing: it ships."""

    def _how_to_get_it(self) -> str:
        return f"It ships with the repository: `git checkout data/{self.home}` brings it back."


def read_idx(content: bytes) -> np.ndarray:
    """The unsigned bytes in an idx file: 0, 0, 8, the number of axes; each axis's length, big-endian; the bytes.

    Raises:
        ValueError: it is no such file, or its length is not the one that its axes give.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"content must be an idx file of unsigned bytes, got one that starts with {content[:4]!r}")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise ValueError(f"content of shape {shape} must have {start + math.prod(shape)} bytes, got {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read(path: Path) -> bytes:
    """A file's content, decompressed; nothing, which no checksum fits, if it can't be."""
    try:
        with OPENERS[path.suffix if path.suffix in OPENERS else ""](path, "rb") as file:
            return file.read()
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError):
        return b""


MNIST = IdxSet(
    "MNIST",
    "mnist",
    "MNIST/raw",
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
FASHION_MNIST = IdxSet(
    "Fashion-MNIST",
    "fashion_mnist",
    "FashionMNIST/raw",
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
MNIST_SMALL = ShippedIdxSet(  # made by tools/mnist_small.py
    "MNIST's part that ships",
    "mnist_small",
    "mnist_small",
    (
        "422c9dac1ad2c26fa217aa57f79ea39bb269fb61270104a9fdbc777fed18d5f4",
        "45e05b417863e9c20a06bf2b77189b63127108b02e58bd8fc467fef7fb4fd2b3",
        "a51e2d3dd51e45c9b4d3696ea77423669135a941d6f9dd0601b1f25118d2faeb",
        "c8d9c1279793466699980474ba7404217cd19185782723424d76af81c28b86c4",
    ),
)
