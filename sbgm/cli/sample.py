"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or machines, or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor

from sbgm.checked import Count
from sbgm.cli.options import DrawingCommand, add_drawing_arguments, data_like, require_shape, source, value_of
from sbgm.data import NAMES, load_images
from sbgm.generation import SAMPLERS, fitted_start, gaussian_start, uniform_start
from sbgm.networks import guided, label_tensor
from sbgm.samplers import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_drawing_arguments(parser)
    parser.add_argument("-n", type=value_of(Count), default=64, help="images (64)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="annealed", help="annealed is Algorithm 1, the default")
    parser.add_argument(
        "--start",
        choices=["uniform", "gaussian", "fitted"],
        help="uniform noise (the default for annealed), 0.5 + σ_1 z (for the others), or draws from a normal law "
        "fitted to --data, better where σ_1 is not large",
    )
    parser.add_argument(
        "--data",
        type=source(*NAMES),
        metavar="DATA",
        help="a data set or a folder of images, 2,000 training images of it, of --start fitted",
    )
    parser.add_argument("--label", type=int, nargs="+", metavar="N", help="the class of each image, in turn (any)")
    parser.add_argument("--guidance", type=float, help="w of s + w (s_c − s), how much the class is exaggerated (2)")


def run(options: argparse.Namespace) -> int:
    """Sample, write, and say what it took."""
    command = DrawingCommand(options, "samples.safetensors")
    sampler, score = command.sampler(options.sampler)
    shape, labels = command.network.image_shape, None
    if options.label is not None:
        if not command.network.n_classes:
            raise ValueError(f"--label must be left out, because {options.network} was trained without classes")
        labels = torch.tensor(options.label).repeat(options.n)[: options.n]
        label_tensor(labels, labels, command.network.n_classes)
    elif options.guidance is not None:
        raise ValueError(f"--guidance must come with --label, got {options.guidance} alone")
    w = 2.0 if options.guidance is None else options.guidance

    def states(x: Tensor, generator: torch.Generator, *label: Tensor) -> Iterator[State]:
        return sampler.states(guided(score, *label, w) if label else score, x, generator)

    name, fitted_to = options.start or ("uniform" if sampler.name == "annealed" else "gaussian"), []
    if (options.data is not None) != (name == "fitted"):
        raise ValueError(f"--data must be given with --start fitted, and only then, got {options.data} with {name}")
    if name == "fitted":
        fitted_to = [require_shape(load_images(data_like(options.data, shape))[:2_000], options.data, command.network)]
        start = fitted_start(*fitted_to, sampler.sigmas[0])
    else:
        start = uniform_start if name == "uniform" else gaussian_start(sampler.sigmas[0])
    images, facts = command.draw(states, options.n, sampler, *fitted_to, start=start, given=labels)
    facts |= {"sampler": sampler.name, "start": name}
    facts |= {"label": options.label, "guidance": w} if options.label else {}
    return command.write(f"{options.n} images", images, facts, {"samples": images}, images[:64], 8)
