"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or machines, or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sbgm import data
from sbgm.cli.options import Drawing, add_drawing_arguments, count, data_like, require_shape, source
from sbgm.generation import SAMPLERS, Start, fitted_start, gaussian_start, generate, uniform_start
from sbgm.networks import guided, label_tensor
from sbgm.samplers import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_drawing_arguments(parser)
    parser.add_argument("-n", type=count, default=64, help="images (64)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="annealed", help="annealed is Algorithm 1, the default")
    parser.add_argument(
        "--start",
        choices=["uniform", "gaussian", "fitted"],
        help="uniform noise (the default for annealed), 0.5 + σ_1 z (for the others), or draws from a normal law "
        "fitted to --data, better where σ_1 is not large",
    )
    parser.add_argument(
        "--data",
        type=source(*data.NAMES),
        metavar="DATA",
        help="a data set or a folder of images, 2,000 training images of it, of --start fitted",
    )
    parser.add_argument("--label", type=int, nargs="+", metavar="N", help="the class of each image, in turn (any)")
    parser.add_argument("--guidance", type=float, help="w of s + w (s_c − s), how much the class is exaggerated (2)")


def run(options: argparse.Namespace) -> int:
    """Sample, write, and say what it took."""
    drawing = Drawing(options, "samples.safetensors")
    sampler, score = drawing.sampler(options.sampler)
    labels = None
    if options.label is not None:
        labels = torch.tensor(options.label).repeat(options.n)[: options.n]
        label_tensor(labels, labels, drawing.network.n_classes)
    elif options.guidance is not None:
        raise ValueError(f"guidance must come with --label, got {options.guidance} alone")
    w = 2.0 if options.guidance is None else options.guidance

    def states(x: Tensor, generator: torch.Generator, *label: Tensor) -> Iterator[State]:
        return sampler.states(guided(score, *label, w) if label else score, x, generator)

    start = options.start or ("uniform" if sampler.name == "annealed" else "gaussian")
    sampling = functools.partial(
        generate,
        states,
        options.n,
        drawing.network.image_shape,
        start=_start(start, options.data, sampler.sigmas[0], drawing.network),
        given=labels,
    )
    facts = {"sampler": sampler.name, "start": start}
    facts |= {"label": options.label, "guidance": w} if options.label else {}
    return drawing.draw(
        f"{options.n} images", options.n, sampler, sampling, lambda x: ({"samples": x}, x[:64], 8), facts
    )


def _start(start: str, name: str | None, sigma: float, network: nn.Module) -> Start:
    """Return what draws the starting points; `name` is that of the data to which they are fitted."""
    if (name is not None) != (start == "fitted"):
        raise ValueError(f"--data must be given with --start fitted, and only then, got {name} with {start}")
    if start == "fitted":
        images = data.load_images(data_like(name, network.image_shape))
        return fitted_start(require_shape(images[:2_000], name, network), sigma)
    return uniform_start if start == "uniform" else gaussian_start(sigma)
