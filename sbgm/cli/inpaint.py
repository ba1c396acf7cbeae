"""Fill in the unknown pixels of images of a data set (Algorithm 2): fills.safetensors as they are, and a sheet.

A row of the sheet is an image, what of it is known, and its fills. On several GPUs, machines or processes:
torchrun --nproc_per_node 8 -m sbgm inpaint …
"""

from __future__ import annotations

import argparse
import time

import torch

from sbgm import masks
from sbgm.cli import options
from sbgm.cli.options import leave_together
from sbgm.data import NAMES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_network_arguments(parser)
    parser.add_argument("data", choices=NAMES, help="whose images are occluded")
    parser.add_argument("--split", choices=["train", "test"], default="test", help="(test)")
    parser.add_argument("--mask", choices=masks.KINDS, default="right-half", help="what is unknown (right-half)")
    parser.add_argument("--images", type=options.count, default=8, help="the split's first so many images (8)")
    parser.add_argument(
        "--fills", type=options.count, default=6, help="fills of each (6; the paper makes 20 of 20 images)"
    )
    options.add_langevin_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Inpaint, write, and say what it took."""
    from sbgm.data import load_images
    from sbgm.generation import generate
    from sbgm.lab.hardware import make_accelerator
    from sbgm.noise import derived_generator
    from sbgm.precision import autocast
    from sbgm.samplers import NamedSampler, inpaint

    accelerator = make_accelerator(cpu=options.cpu)
    files = [options.out / "fills.safetensors", options.out / "sheet.png"]
    options.check_free(files, overwrite=options.overwrite)
    network = options.load(options, accelerator)
    score = autocast(network, options.precision, accelerator.device.type)
    images = load_images(options.data, options.split)[: options.images]
    if tuple(images.shape[1:]) != network.image_shape:
        raise ValueError(
            f"data must be images of shape {network.image_shape}, which {options.network} was trained on, but "
            f"{options.data} has {tuple(images.shape[1:])}"
        )
    mask = masks.make_mask(options.mask, network.image_shape, generator=derived_generator(options.seed))
    sigmas = network.sigmas.tolist()
    step_size = options.default_step_size(sigmas) if options.step_size is None else options.step_size
    n_steps = 100 if options.n_steps is None else options.n_steps
    cost = NamedSampler("annealed", tuple(sigmas), step_size, n_steps, denoise_last=options.denoise)
    device = accelerator.device

    def fill(x: torch.Tensor, generator: torch.Generator, of: torch.Tensor):
        settings = {"step_size": step_size, "n_steps": n_steps, "denoise_last": options.denoise}
        return inpaint(score, x, sigmas, image=of, mask=mask.to(device), generator=generator, **settings)

    begin = time.perf_counter()
    n = len(images) * options.fills
    with options.progress(accelerator, n, options.batch_size, cost.n_states) as on_state:
        fills = generate(
            fill, n, network.image_shape, given=images.repeat_interleave(options.fills, dim=0), seed=options.seed,
            batch_size=options.batch_size, accelerator=accelerator, on_state=on_state,
        )  # fmt: skip
    if accelerator.is_main_process:
        seconds = time.perf_counter() - begin
        fills = fills.unflatten(0, (len(images), options.fills))
        facts = {
            "network": str(options.network), "data": options.data, "split": options.split, "mask": options.mask,
            "step_size": step_size, "n_steps": n_steps, "sigmas": sigmas, "denoise": options.denoise,
            "seed": options.seed, "batch_size": options.batch_size, "precision": options.precision,
            "evaluations": cost.evaluations, "seconds": round(seconds, 3),
        }  # fmt: skip
        known = torch.where(mask, images, 0.5)
        rows = torch.cat([images[:, None], known[:, None], fills], dim=1)
        tensors = {"images": images, "mask": mask, "fills": fills}
        options.write(*files, tensors, rows.flatten(0, 1), 2 + options.fills, **facts)
        print(
            f"{options.fills} fills of {len(images)} images, {cost.evaluations} evaluations of the network each, in "
            f"{seconds:.1f} s: {files[0]}"
        )
    leave_together(accelerator)
    return 0
