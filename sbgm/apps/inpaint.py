"""Fill in the unknown pixels of images (Algorithm 2): fills.safetensors as they are, and a sheet.

A row of the sheet shows an image, the part that is known, and the fills. On several GPUs or processes:
torchrun --nproc_per_node 8 -m sbgm inpaint …
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from sbgm import samplers
from sbgm.apps.options import name_or_path
from sbgm.apps.sampling import DRAWING_GROUPS, Command, DrawingOptions, counted, data_like, require_shape
from sbgm.guard import Count, Score, checked, one_of
from sbgm.images import masks
from sbgm.images.data import NAMES, SPLITS, as_floats, load_images
from sbgm.images.drawing import cost_of
from sbgm.images.own import read_picture
from sbgm.noise import derived_generator
from sbgm.samplers import State

KINDS = ", ".join(masks.KINDS)
GROUPS = {**DRAWING_GROUPS, "split": "what is filled in"}
EXAMPLE = "sbgm inpaint mnist_ncsn mnist_small --mask centre-box --out runs/fills"


@checked
@dataclasses.dataclass(frozen=True)
class Options(DrawingOptions):
    """The options of `sbgm inpaint`."""

    data: Annotated[
        str,
        name_or_path(*NAMES, path="a folder or a picture"),
        "a data set, a folder of images, or a picture, of which a part is hidden",
    ]
    _: dataclasses.KW_ONLY
    split: Annotated[str, one_of(SPLITS), "train or test"] = "test"
    mask: Annotated[
        str, name_or_path(*masks.KINDS, path="a picture"), f"what is hidden: {KINDS}, or what is black in a picture"
    ] = "right-half"
    images: Annotated[Count, "how many images, from the start of the split"] = 8
    fills: Annotated[Count, "fills per image; the paper makes 20 for each of 20 images"] = 6


def main(**given: Any) -> None:
    """Fill in each image several times, write the fills, and say what it took; `given` are fields of `Options`."""
    options = Options(**given)
    command = Command(options, "fills.safetensors")
    shape = command.network.image_shape
    if options.data not in NAMES and Path(options.data).is_file():
        truth = as_floats(read_picture(options.data, shape[-1], "L" if shape[0] == 1 else "RGB")[None])
    else:
        truth = load_images(data_like(options.data, shape), options.split)[: options.images]
    truth = require_shape(truth, options.data, command.network)
    if options.mask in masks.KINDS:
        known = masks.make_mask(options.mask, shape, generator=derived_generator(options.seed))
    else:
        known = read_picture(options.mask, shape[-1], "L") > 127
    sigmas = command.sigmas
    settings = options.settings_of("annealed", sigmas[-1])

    def run(score: Score, x: Tensor, generator: torch.Generator, image: Tensor, mask: Tensor) -> Iterator[State]:
        steps = {**settings, "denoise_last": options.denoise}
        return samplers.inpaint(score, x, sigmas, image=image, mask=mask, generator=generator, **steps)

    def states(x: Tensor, generator: torch.Generator, image: Tensor) -> Iterator[State]:
        return run(command.score, x, generator, image, known.to(image.device))

    cost = cost_of(lambda score, x, generator: run(score, x, generator, x, x[0] == 0))
    of_each = truth.repeat_interleave(options.fills, dim=0)
    own_options = {name: getattr(options, name) for name in ("data", "split", "mask", "images", "fills")}
    own_options |= {"sigmas": sigmas, **settings}
    drawn, facts = command.draw(states, len(of_each), cost, own_options, truth, known, given=of_each)
    filled = drawn.unflatten(0, (len(truth), options.fills))
    tensors = {"images": truth, "mask": known, "fills": filled}
    seen = torch.where(known, truth, 0.5)
    rows = torch.cat([truth[:, None], seen[:, None], filled], dim=1).flatten(0, 1)
    said = f"{counted(options.fills, 'fill')} of {counted(len(truth), 'image')}"
    command.write(said, drawn, facts, tensors, rows, n_columns=2 + options.fills)
