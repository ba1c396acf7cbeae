"""Judge samples by every measure that applies, beside controls, each with its sample count and its reference."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import torch

from sbgm.apps.options import Device, name_or_path
from sbgm.apps.sampling import Threads, data_like
from sbgm.guard import Count, checked, one_of
from sbgm.images.data import NAMES, SPLITS, data_set, load_images
from sbgm.images.devices import find_device, idle_cores
from sbgm.measure.estimates import Share
from sbgm.measure.inception import Inception
from sbgm.measure.judging import Judged, judge, load_images_of

N_COLOUR_REFERENCE = 5_000  # real images, unless told otherwise: ten minutes of Inception on two cores


GROUPS: dict[str, str] = {}
EXAMPLE = "sbgm evaluate runs/digits mnist"


@checked
@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `sbgm evaluate`."""

    samples: Annotated[Path, "a folder from `sbgm sample`, a folder of PNGs, or a file: .safetensors, .npz, .npy"]
    data: Annotated[str, name_or_path(*NAMES), "a data set or folder to compare with"]
    _: dataclasses.KW_ONLY
    split: Annotated[str, one_of(SPLITS), "which split of the data set, train or test"] = "test"
    images: Annotated[Count | None, "how many of its images to use (all; 5,000 for colour)"] = None
    fid_weights: Annotated[Path | None, "file with Inception's weights ($SBGM_FID_WEIGHTS, or a download)"] = None
    device: Device = None
    threads: Threads = None


def main(**given: Any) -> None:
    """Print each measure as soon as it is known; `given` are fields of `Options`."""
    options = Options(**given)
    torch.set_num_threads(options.threads or idle_cores())
    samples = load_images_of(options.samples)
    reference = data_like(options.data, tuple(samples.shape[1:]))
    n_reference = options.images
    inception = None
    if data_set(reference).shape[0] == 3:
        n_reference = n_reference or N_COLOUR_REFERENCE
        try:
            inception = Inception(options.fid_weights, find_device(options.device))
        except (ImportError, OSError, ValueError) as error:
            if options.fid_weights is not None:
                raise
            print(f"KID and FID are left out; the distance by contours is still measured. {error}", file=sys.stderr)
    if n_reference is not None:
        n_reference = min(n_reference, len(load_images(reference, options.split)))
    for judged in judge(samples, reference, split=options.split, n_reference=n_reference, inception=inception):
        print(sentence(judged), flush=True)


def sentence(judged: Judged) -> str:
    """Say in a line what a measure gave; ± is twice the standard error.

    Such as "Fréchet distance 3.24 ± 0.11 (1,000 samples against 10,000 MNIST test images, …)".
    """
    if judged.left_out:
        return f"{judged.name}: left out, because {judged.left_out}"
    if isinstance(judged.number, Share):  # says itself of how many
        return f"{judged.name}: {judged.number}"
    control = f"control, {judged.control}: " if judged.control else ""
    against = f" against {judged.n_reference:,} {judged.reference}" if judged.n_reference else ""
    return f"{control}{judged.name} {judged.number} ({judged.n:,} samples{against})"
