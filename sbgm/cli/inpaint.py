"""Fill in the unknown pixels of images (Algorithm 2): fills.safetensors as they are, and a sheet.

A row of the sheet is an image, what of it is known, and its fills. On several GPUs, machines or processes:
torchrun --nproc_per_node 8 -m sbgm inpaint …
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sbgm import masks
from sbgm.checked import Count
from sbgm.cli.options import DrawingCommand, add_drawing_arguments, data_like, require_shape, source, value_of
from sbgm.data import NAMES, SPLITS, as_floats, load_images
from sbgm.noise import derived_generator
from sbgm.pictures import read_picture
from sbgm.samplers import State, inpaint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_drawing_arguments(parser)
    parser.add_argument(
        "data", type=source(*NAMES), metavar="DATA", help="a data set, a folder of images, or a picture, to be occluded"
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="(test)")
    parser.add_argument(
        "--mask",
        type=source(*masks.KINDS),
        default="right-half",
        help=f"what is unknown: {', '.join(masks.KINDS)} (right-half), or what is black in a picture",
    )
    parser.add_argument("--images", type=value_of(Count), default=8, help="the split's first so many images (8)")
    parser.add_argument(
        "--fills", type=value_of(Count), default=6, help="fills of each (6; the paper makes 20 of 20 images)"
    )


def run(options: argparse.Namespace) -> int:
    """Inpaint, write, and say what it took."""
    command = DrawingCommand(options, "fills.safetensors")
    shape = command.network.image_shape
    if options.data not in NAMES and Path(options.data).is_file():
        images = as_floats(read_picture(options.data, shape[-1], "L" if shape[0] == 1 else "RGB")[None])
    else:
        images = load_images(data_like(options.data, shape), options.split)[: options.images]
    images = require_shape(images, options.data, command.network)
    if options.mask in masks.KINDS:
        mask = masks.make_mask(options.mask, shape, generator=derived_generator(options.seed))
    else:
        mask = read_picture(options.mask, shape[-1], "L") > 127
    sampler, score = command.sampler()
    settings = {"step_size": sampler.step_size, "n_steps": sampler.n_steps, "denoise_last": options.denoise}

    def fill(x: Tensor, generator: torch.Generator, of: Tensor) -> Iterator[State]:
        return inpaint(score, x, sampler.sigmas, image=of, mask=mask.to(of.device), generator=generator, **settings)

    of_each = images.repeat_interleave(options.fills, dim=0)
    drawn, facts = command.draw(fill, len(of_each), sampler, images, mask, given=of_each)
    facts |= {name: getattr(options, name) for name in ("data", "split", "mask")}
    fills = drawn.unflatten(0, (len(images), options.fills))
    tensors = {"images": images, "mask": mask, "fills": fills}
    rows = torch.cat([images[:, None], torch.where(mask, images, 0.5)[:, None], fills], dim=1).flatten(0, 1)
    what = f"{options.fills} fills of {len(images)} images"
    return command.write(what, drawn, facts, tensors, rows, 2 + options.fills)
