"""Make `data/mnist_small/`, the part of MNIST that ships: every 19th training and every 2nd test image, with labels.

    python tools/mnist_small.py [FOLDER]

reads MNIST from `sbgm.data.data_folder()`, checksummed, writes four idx files compressed with xz, and prints the sha256
of their content, which `sbgm/data.py` records. The content is the same on any machine; the compressed bytes are
too, for one version of liblzma.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
from pathlib import Path

import numpy as np

from sbgm.data import IDX_FILES, load_images, load_labels, shipped_folder

# The order mixes the classes, so a stride keeps their shares. Among the training images it must be odd: those at even
# places are thinner (mean grey .123) than those at odd places (.139), since MNIST alternates between its two groups of
# writers. Each group has one half of the test images.
EVERY = {"train": 19, "test": 2}


def idx_content(array: np.ndarray) -> bytes:
    """An array of unsigned bytes as an idx file."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.tobytes()


def contents() -> dict[str, bytes]:
    """The four files, by name."""
    pairs = [
        (load_images("mnist", split)[::n, 0] * 255, load_labels("mnist", split)[::n]) for split, n in EVERY.items()
    ]
    arrays = [tensor.round().byte().numpy() for pair in pairs for tensor in pair]
    return dict(zip(IDX_FILES, map(idx_content, arrays), strict=True))


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=shipped_folder() / "mnist_small")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents().items():
        compressed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
        (folder / f"{file}.xz").write_bytes(compressed)
        print(f"{hashlib.sha256(content).hexdigest()}  {file}  {len(compressed):,} bytes compressed")


if __name__ == "__main__":
    main()
