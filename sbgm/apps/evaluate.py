"""Judge samples by every measure that applies, beside controls, each with its sample count and its reference."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch

from sbgm.apps.drawing import Threads, data_like
from sbgm.apps.options import Device, name_or_path
from sbgm.guard import Count, one_of
from sbgm.images.data import NAMES, SPLITS, data_set, load_images
from sbgm.images.devices import find_device, idle_cores
from sbgm.measure.inception import Inception
from sbgm.measure.judging import judge, load_images_of

N_COLOUR_REFERENCE = 5_000  # real images, unless told otherwise: ten minutes of Inception on two cores


def main(
    *,
    samples: Annotated[Path, "images: .safetensors, .npz, .npy or a folder of PNG"],
    data: Annotated[str, name_or_path(*NAMES), "a data set or folder to compare with"],
    split: Annotated[str, one_of(SPLITS), "of the data set, train or test"] = "test",
    images: Annotated[Count | None, "so many of its images (all; of colour images 5,000)"] = None,
    fid_weights: Annotated[Path | None, "Inception's, a file ($SBGM_FID_WEIGHTS, or a download)"] = None,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Print each measure as soon as it is known."""
    torch.set_num_threads(threads or idle_cores())
    pictures = load_images_of(samples)
    reference = data_like(data, tuple(pictures.shape[1:]))
    inception = None
    if data_set(reference).shape[0] == 3:
        images = images or N_COLOUR_REFERENCE
        try:
            inception = Inception(fid_weights, find_device(device))
        except (ImportError, OSError, ValueError) as error:
            if fid_weights is not None:
                raise
            print(f"KID and FID are left out; the distance by contours stays. {error}", file=sys.stderr)
    if images is not None:
        images = min(images, len(load_images(reference, split)))
    for measure in judge(pictures, reference, split=split, n_reference=images, inception=inception):
        print(measure, flush=True)
