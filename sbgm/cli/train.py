"""Train a noise conditional score network on images; Ctrl-C saves, --resume goes on.

On several GPUs: torchrun --nproc_per_node 8 -m sbgm train …
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
from pathlib import Path

from sbgm.cli.options import leave_together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from sbgm.lab.ncsn import DATA, SCALES

    parser.add_argument("data", choices=DATA, help="what to train on")
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="the settings to start from (laptop)")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder, by habit runs/NAME")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    parser.add_argument("--cpu", action="store_true", help="train on the CPU even where there is a GPU")

    change = parser.add_argument_group("changes to the scale's settings")
    change.add_argument("--steps", type=int, help="training steps")
    change.add_argument("--from", dest="initial", help="trained weights to start from: a shipped network or a file")
    change.add_argument("--channels", type=int, help="width C of the network")
    change.add_argument("--sigma-max", type=float, help="σ_1")
    change.add_argument("--sigma-min", type=float, help="σ_L")
    change.add_argument("--levels", type=int, help="L; 1 trains at σ_L alone")
    change.add_argument("--unconditional", action="store_true", help="one set of norms for all levels")
    change.add_argument("--divide-by-sigma", action="store_true", help="divide the output by σ, as NCSNv2 does")
    change.add_argument("--batch-size", type=int, help="images a step, over all processes")
    change.add_argument("--learning-rate", type=float, help="Adam's")
    change.add_argument("--ema", type=float, help="decay of the averaged weights; 0 keeps none")
    change.add_argument("--precision", choices=["fp32", "bf16"], help="of the layers")
    change.add_argument("--compile", action="store_true", help="fuse the layers by torch.compile: minutes, then faster")
    change.add_argument("--accumulation", type=int, help="parts of a process's share of the batch")
    change.add_argument("--save-every", type=int, help="steps between checkpoints")
    change.add_argument("--keep-every", type=int, help="keep the checkpoints of every so many steps")
    change.add_argument("--seed", type=int, help="of weights, data order and noise")


def run(options: argparse.Namespace) -> int:
    """Train, under a progress bar with rate, time left and loss."""
    from tqdm import tqdm

    from sbgm.files import DiskFullError
    from sbgm.lab.hardware import make_accelerator
    from sbgm.lab.ncsn import train_ncsn
    from sbgm.lab.runs import Run

    settings = settings_from(options)
    accelerator = make_accelerator(cpu=options.cpu)
    steps = train_ncsn(settings, options.out, resume=options.resume, accelerator=accelerator)
    interrupted = []
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))  # the step under way is finished first
    try:
        bar = tqdm(
            total=settings.training.n_steps,
            initial=Run(options.out).last_step,
            desc=str(options.out),
            unit="step",
            disable=not accelerator.is_main_process,
        )
        with contextlib.closing(steps), bar:
            for step in steps:
                bar.set_postfix(loss=f"{step.loss:.1f}", refresh=False)
                bar.update()
                if interrupted:
                    break
    except DiskFullError as error:
        saved = Run(options.out).last_step
        after = f"The same command with --resume then goes on from step {saved}." if saved else ""
        raise DiskFullError(f"{error} {after}".rstrip()) from error
    finally:
        signal.signal(signal.SIGINT, before)
    leave_together(accelerator)
    if interrupted and accelerator.is_main_process:
        saved = Run(options.out).last_step
        print(f"\nStopped and saved at step {saved}. The same command with --resume goes on.", file=sys.stderr)
    return 130 if interrupted else 0


def settings_from(options: argparse.Namespace):
    """The scale's settings with the changes that the command line asks for; --resume starts from the run's own."""
    from sbgm.lab.ncsn import NCSN
    from sbgm.lab.runs import Run

    try:
        started = Run(options.out).settings if options.resume else None
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"--resume must find a run in --out, but {error}; leave --resume out to start one, or give a run's folder"
        ) from None
    settings = NCSN.from_dict(started) if started else NCSN.of_scale(options.data, options.scale)
    if settings.data != options.data:
        raise ValueError(f"data must be {settings.data!r}, as the run in {options.out} was started with")
    network = {
        "channels": options.channels,
        "sigma_max": options.sigma_max,
        "sigma_min": options.sigma_min,
        "n_levels": options.levels,
        "conditional": False if options.unconditional else None,
        "divide_by_sigma": True if options.divide_by_sigma else None,
        "initial": options.initial,
    }
    training = {
        "n_steps": options.steps,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "ema_decay": options.ema,
        "precision": options.precision,
        "accumulation": options.accumulation,
        "compile": True if options.compile else None,
        "save_every": options.save_every,
        "keep_every": options.keep_every,
        "seed": options.seed,
    }
    changed = dataclasses.replace(settings.training, **{k: v for k, v in training.items() if v is not None})
    return dataclasses.replace(settings, training=changed, **{k: v for k, v in network.items() if v is not None})
