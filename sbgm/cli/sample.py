"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or machines, or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

from __future__ import annotations

import argparse
import functools

from torch import nn

from sbgm import data
from sbgm.cli.options import (
    add_drawing_arguments,
    count,
    draw,
    files_in,
    leave_together,
    network_from,
    require_shape,
    sampler_from,
    write,
)
from sbgm.generation import SAMPLERS, Start, fitted_start, gaussian_start, generate, uniform_start
from sbgm.lab.runs import make_accelerator


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
        "--data", choices=data.NAMES, help="the data set, 2,000 training images of it, of --start fitted"
    )


def run(options: argparse.Namespace) -> int:
    """Sample, write, and say what it took."""
    accelerator = make_accelerator(cpu=options.cpu)
    files = files_in(options.out, "samples.safetensors", overwrite=options.overwrite)
    network = network_from(options, accelerator)
    sampler, score = sampler_from(options, network, options.sampler)
    start = options.start or ("uniform" if sampler.name == "annealed" else "gaussian")
    sampling = functools.partial(
        generate,
        lambda x, generator: sampler.states(score, x, generator),
        options.n,
        network.image_shape,
        start=_start(start, options.data, sampler.sigmas[0], network),
    )
    samples, facts = draw(options, accelerator, sampler, options.n, sampling)
    if accelerator.is_main_process:
        write(files, {"samples": samples}, samples[:64], 8, sampler=sampler.name, start=start, **facts)
        print(
            f"{options.n} images, {sampler.evaluations} evaluations of the network each, in {facts['seconds']:.1f} s: "
            f"{files[0]}"
        )
    leave_together(accelerator)
    return 0


def _start(start: str, name: str | None, sigma: float, network: nn.Module) -> Start:
    """Return what draws the starting points; `name` is that of the data to which they are fitted."""
    if (name is not None) != (start == "fitted"):
        raise ValueError(f"--data must be given with --start fitted, and only then, got {name} with {start}")
    if start == "fitted":
        return fitted_start(require_shape(data.load_images(name)[:2_000], name, network), sigma)
    return uniform_start if start == "uniform" else gaussian_start(sigma)
