"""Train a noise conditional score network on images; Ctrl-C, SIGTERM and --minutes save, --resume goes on.

On several GPUs: torchrun --nproc_per_node 8 -m sbgm train …
"""

import argparse
import contextlib
import dataclasses
import math
import shlex
import signal
import sys
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas
from tqdm import tqdm

from sbgm.cli.options import add_device_argument, leave_together, source, value_of
from sbgm.guard import Positive
from sbgm.train.images import DATA, NCSN, SCALES, train_ncsn
from sbgm.train.runs import Run, TrainingSettings, make_accelerator

FLAGS = {
    "architecture": "--network",
    "conditional": "--unconditional",
    "ema_decay": "--ema",
    "initial": "--from",
    "n_held_out": "--held-out",
    "n_levels": "--levels",
    "n_steps": "--steps",
}
"""The flags of settings whose flag is not their name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: a flag for each setting of `NCSN` and `TrainingSettings`, and what is no setting."""
    parser.add_argument(
        "data", type=source(*DATA), metavar="DATA", help=f"what to train on: {', '.join(DATA)}, or a folder of images"
    )
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="the settings to start from (laptop)")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder, by habit runs/NAME")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    add_device_argument(parser)
    parser.add_argument(
        "--minutes", type=value_of(Positive), default=math.inf, help="save and stop after so long, without compiling"
    )
    parser.add_argument("--tracker", metavar="NAME", help="write the log to tensorboard, wandb, … too")
    change = parser.add_argument_group(
        "changes to the scale's settings", "in brackets what holds where the table below says nothing else"
    )
    for settings in (NCSN, TrainingSettings):
        hints = typing.get_type_hints(settings, include_extras=True)
        for field in dataclasses.fields(settings):
            if field.default is not dataclasses.MISSING:
                _add_setting(change, field, hints[field.name])
    parser.epilog = f"What each scale sets:\n\n{scale_table()}"


def _add_setting(group: argparse._ArgumentGroup, field: dataclasses.Field, hint: Any) -> None:
    meaning = field.metadata["help"]
    how: dict[str, Any]
    if field.default is True:
        how, meaning = {"action": "store_false"}, f"do not {meaning}"
    elif field.default is False:
        how = {"action": argparse.BooleanOptionalAction}
    elif field.default is None:
        how = {"metavar": "NAME"}
    elif typing.get_origin(hint) is Literal:
        how, meaning = {"choices": typing.get_args(hint)}, f"{meaning} ({field.default})"
    else:
        how = {"type": value_of(hint), "metavar": "N" if isinstance(field.default, int) else "X"}
        meaning = f"{meaning} ({field.default})"
    group.add_argument(flag(field.name), dest=field.name, default=argparse.SUPPRESS, help=meaning, **how)


def flag(setting: str) -> str:
    """Return the flag that sets a setting."""
    return FLAGS.get(setting, f"--{setting.replace('_', '-')}")


def scale_table() -> str:
    """Lay out the settings in which the scales differ, a row each, for grey and for colour images."""
    scales = {
        (images, scale): NCSN.of_scale(data, scale)
        for images, data in (("grey", "mnist"), ("colour", "cifar10"))
        for scale in SCALES
    }
    table = pandas.DataFrame({name: vars(settings) | vars(settings.training) for name, settings in scales.items()})
    table = table.drop(["data", "training"]).rename(index=flag)
    return table[table.nunique(axis=1) > 1].to_string()


def run(options: argparse.Namespace) -> int:
    """Train, under a progress bar with rate, time left and loss."""
    begin, settings = time.monotonic(), settings_from(options)
    accelerator = make_accelerator(options.device, options.tracker, options.out)
    if options.scale != "laptop" and accelerator.device.type == "cpu":
        print(f"sbgm train: no GPU is used; --scale {options.scale} takes weeks on a CPU", file=sys.stderr)
    stopped, steps = False, train_ncsn(settings, options.out, resume=options.resume, accelerator=accelerator)
    accelerator.init_trackers(options.out.name)
    say = print if accelerator.is_main_process else _silent
    say(f"Look at {options.out / 'sheets'}, or open {options.out / 'progress.html'} in a browser, while it trains.")
    names = Run(options.out).settings.get("class_names") or []
    if names:
        say(f"Classes, as --label takes them: {', '.join(names)}.")
    if compiling := settings.training.compile:
        say("Compiling the network, which takes minutes on a CPU and is kept for the next time …")
    with (
        _noted(signal.SIGINT, signal.SIGTERM) as came,
        contextlib.closing(steps),  # pyright: ignore[reportArgumentType] - a generator
        tqdm(
            total=settings.training.n_steps,
            initial=Run(options.out).last_step,
            desc=str(options.out),
            unit="step",
            disable=not accelerator.is_main_process,
        ) as bar,
    ):
        for step in steps:
            if compiling:
                bar.unpause()  # its clock, too, starts at the first step
                begin, compiling = time.monotonic(), False
            bar.set_postfix(loss=f"{step.loss:.1f}", refresh=False)
            bar.update()
            if came or time.monotonic() - begin >= 60 * options.minutes:
                accelerator.set_trigger()
            if stopped := accelerator.check_trigger():  # all processes stop after the same step, or one waits for ever
                break
    leave_together(accelerator)
    step, n_steps = Run(options.out).last_step, settings.training.n_steps
    if stopped:
        say(f"Stopped and saved at step {step:,} of {n_steps:,}. The same command with --resume goes on.")
    else:
        say(f"All {n_steps:,} steps are made.")
    say(f"To draw images from the network: {shlex.join(_drawing(options.out, names))}")
    return 128 + came[0] if came else 0


def _silent(words: str) -> None:
    """Say nothing, as all processes except the first do."""


def _drawing(run: Path, names: list[str]) -> list[str]:
    """The command that draws images from a run's network: a few, of each of its first classes where it has any."""
    command = ["sbgm", "sample", str(run), "--out", f"{run}_samples"]
    if not names:
        return [*command, "-n", "16"]
    some = names[:8]
    return [*command, "-n", str(2 * len(some)), "--label", *some]


@contextlib.contextmanager
def _noted(*signals: signal.Signals) -> Iterator[list[int]]:
    """Give a list of those of these signals that came, none of which ends the step under way."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in signals}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def settings_from(options: argparse.Namespace) -> NCSN:
    """Return the scale's settings with the changes that the command line asks for; --resume starts from the run's own.

    Raises:
        FileNotFoundError: --resume is given, and --out holds no run.
        ValueError: a setting can't be, or the run in --out is of other data, or its settings are damaged.
    """
    try:
        settings = (
            NCSN.from_dict(Run(options.out).settings) if options.resume else NCSN.of_scale(options.data, options.scale)
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"--resume must find a run in --out, but {error}; give a run's folder, or start one in an empty folder "
            "without --resume"
        ) from None
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"--resume must find a run's settings in {options.out}/settings.json, but there {error}; replace it by "
            "that of a run started with the same settings elsewhere"
        ) from error
    if settings.data != options.data:
        raise ValueError(f"data must be {settings.data!r}, as the run in {options.out} was started with")
    return _changed(settings, options, training=_changed(settings.training, options))


def _changed(settings: Any, options: argparse.Namespace, **more: object) -> Any:
    """Return a dataclass with its fields changed to what the options say."""
    given = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(settings)}
    return dataclasses.replace(settings, **{k: v for k, v in given.items() if v is not None} | more)
