"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or machines, or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

from __future__ import annotations

import argparse
import time

from sbgm import data, samplers
from sbgm.cli import options
from sbgm.cli.options import leave_together
from sbgm.samplers import NamedSampler


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_network_arguments(parser)
    parser.add_argument("-n", type=options.count, default=64, help="images (64)")
    parser.add_argument(
        "--sampler", choices=samplers.NAMES, default="annealed", help="annealed is Algorithm 1, the default"
    )
    options.add_langevin_arguments(parser)
    parser.add_argument(
        "--levels", type=options.count, help="levels of a ladder between the network's ends, instead of its own"
    )
    parser.add_argument("--schedule", choices=["geometric", "power"], default="geometric", help="of such a ladder")
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
    from sbgm.generation import generate
    from sbgm.lab.hardware import make_accelerator
    from sbgm.precision import autocast
    from sbgm.refinenet import rescaled

    accelerator = make_accelerator(cpu=options.cpu)
    files = [options.out / "samples.safetensors", options.out / "sheet.png"]
    options.check_free(files, overwrite=options.overwrite)
    network = options.load(options, accelerator)
    sampler = sampler_from(options, network.sigmas.tolist())
    off_ladder = options.levels is not None and not network.takes_any_sigma
    score = autocast(rescaled(network) if off_ladder else network, options.precision, accelerator.device.type)
    start = options.start or ("uniform" if sampler.name == "annealed" else "gaussian")
    draw_start = start_from(start, options.data, sampler.sigmas[0], network.image_shape)
    begin = time.perf_counter()
    with options.progress(accelerator, options.n, options.batch_size, sampler.n_states) as on_state:
        samples = generate(
            lambda x, generator: sampler.states(score, x, generator),
            options.n,
            network.image_shape,
            seed=options.seed,
            batch_size=options.batch_size,
            start=draw_start,
            accelerator=accelerator,
            on_state=on_state,
        )
    if accelerator.is_main_process:
        seconds = time.perf_counter() - begin
        facts = {
            "network": str(options.network), "sampler": sampler.name, "step_size": sampler.step_size,
            "n_steps": sampler.n_steps, "sigmas": list(sampler.sigmas), "denoise": options.denoise, "start": start,
            "seed": options.seed, "batch_size": options.batch_size, "precision": options.precision,
            "evaluations": sampler.evaluations, "seconds": round(seconds, 3),
        }  # fmt: skip
        options.write(*files, {"samples": samples}, samples[:64], 8, **facts)
        print(
            f"{options.n} images, {sampler.evaluations} evaluations of the network each, in {seconds:.1f} s: {files[0]}"
        )
    leave_together(accelerator)
    return 0


def start_from(start: str, name: str | None, sigma: float, shape: tuple[int, ...]):
    """What draws the starting points; `name` is that of the data to which they are fitted."""
    from sbgm.generation import fitted_start, gaussian_start, uniform_start

    if (name is not None) != (start == "fitted"):
        raise ValueError(f"--data must be given with --start fitted, and only then, got {name} with {start}")
    if start == "fitted":
        images = data.load_images(name)[:2_000]
        if tuple(images.shape[1:]) != shape:
            raise ValueError(f"data must be images of shape {shape}, but {name} has {tuple(images.shape[1:])}")
        return fitted_start(images, sigma)
    return uniform_start if start == "uniform" else gaussian_start(sigma)


def sampler_from(options: argparse.Namespace, own: list[float]) -> NamedSampler:
    """The sampler that the options ask for, on the network's own ladder or on another between its ends."""
    from sbgm.noise import geometric_sigmas, power_sigmas

    sigmas = own
    if options.levels is not None:
        make = geometric_sigmas if options.schedule == "geometric" else power_sigmas
        sigmas = make(own[0], own[-1], options.levels).tolist()
    step_size, n_steps = options.step_size, options.n_steps
    if options.sampler in ("annealed", "predictor-corrector"):
        step_size = options.default_step_size(sigmas) if step_size is None else step_size
        n_steps = (100 if options.sampler == "annealed" else 1) if n_steps is None else n_steps
    return NamedSampler(options.sampler, tuple(sigmas), step_size, n_steps, denoise_last=options.denoise)
