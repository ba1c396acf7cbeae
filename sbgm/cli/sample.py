"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or machines, or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor

from sbgm.checked import Count, did_you_mean
from sbgm.cli.options import DrawingCommand, add_drawing_arguments, data_like, require_shape, source, value_of
from sbgm.data import NAMES, load_images
from sbgm.generation import SAMPLERS, fitted_start, gaussian_start, uniform_start
from sbgm.networks import ScoreNetwork, guided
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
    parser.add_argument(
        "--label", nargs="+", metavar="NAME", help="the class of each image, in turn, by its name or number (any)"
    )
    parser.add_argument("--guidance", type=float, help="w of s + w (s_c − s), how much the class is exaggerated (2)")


def run(options: argparse.Namespace) -> int:
    """Sample, write, and say what it took."""
    command = DrawingCommand(options, "samples.safetensors")
    sampler, score = command.sampler(options.sampler)
    shape, labels, classes = command.network.image_shape, None, {}
    if options.label is not None:
        classes = named_classes(command.network, options.label)
        labels = torch.tensor(list(classes.values())).repeat(options.n)[: options.n]
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
    if classes:
        facts |= {"label": list(classes.values()), "label_names": list(classes), "guidance": w}
    n_columns = len(classes) if len(classes) > 1 else 8
    shown = images[: 8 * n_columns]
    return command.write(f"{options.n} images", images, facts, {"samples": images}, shown, n_columns, list(classes))


def named_classes(network: ScoreNetwork, labels: list[str]) -> dict[str, int]:
    """Find which classes of a network labels mean: each is a class's name or, if it is none, a class's number.

    Returns:
        {name: number}, in the order of the labels, each class once.

    Raises:
        ValueError: the network has no such class.
    """
    if not network.n_classes:
        raise ValueError(f"--label must be left out, because this network was trained without classes, got {labels[0]}")
    names = network.classes or tuple(map(str, range(network.n_classes)))
    numbers = {str(number): number for number in range(len(names))}
    numbers |= {name: number for number, name in enumerate(names)}
    for label in labels:
        if label not in numbers:
            choices = f"{', '.join(names)}, or its number, 0 to {len(names) - 1}"
            raise ValueError(f"--label must be a class, {choices}, got {label!r}{did_you_mean(label, names)}")
    return {names[numbers[label]]: numbers[label] for label in labels}
