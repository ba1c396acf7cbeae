"""Judge samples, measure a network's loss level by level, or measure a recorded claim.

--samples FILE --data SET prints every measure that applies, with its sample count and reference;
--network FILE --data SET the held-out loss of each noise level; --claim ID writes the claim's record to data/results/,
--curve NETWORK that of chapter 10's curve; a run of either that was stopped goes on.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

from sbgm.checked import one_of
from sbgm.cli.options import add_device_argument, add_threads_argument, count, lab_script
from sbgm.data import NAMES, SETS, SPLITS, load_images, runs_folder
from sbgm.train.runs import CPU, Machine, find_device, idle_cores

N_INCEPTION_REFERENCE = 5_000  # of real images, unless told otherwise: ten minutes on two cores
SETTINGS = {
    "n_iterations": ("--iterations", int, "of each training, where the claim trains"),
    "n_seeds": ("--seeds", count, "M2's trainings of each kind (2)"),
    "n_samples": ("--n-samples", count, "samples, where the claim draws them (1,000; I9 50,000)"),
    "n_images": ("--n-images", count, "test images, where the claim inpaints them (20)"),
    "n_steps": ("--n-steps", count, "T, Langevin steps a level, where the claim draws samples (100)"),
    "sampler": ("--sampler", str, "I9's: annealed, which is Algorithm 1, or renewing, of 50 evaluations (annealed)"),
    "batch_size": ("--batch-size", count, "I9's chains side by side (500)"),
    "step_size": ("--step-size", float, "ε, where the claim inpaints, or draws faces (2e-5)"),
    "weights": ("--weights", str, "the network of I2, I3, I5, I8 or I9, by name or file; I9's by run, too"),
    "faces": ("--faces", str, "a network on CelebA, a file, whose fills of test faces I8 measures as well"),
    "fid_weights": ("--fid-weights", Path, "Inception's weights, a file ($SBGM_FID_WEIGHTS, or a download)"),
}
"""The settings of claims' measurements, by their argument: flag, type and meaning."""
WHERE = ("device", "threads")
WHAT = ("path", "network", "claim", "curve")
"""Where the parser puts what is measured."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--samples",
        dest="path",
        default=argparse.SUPPRESS,
        type=Path,
        help="images: .safetensors, .npz, .npy or a folder of PNG",
    )
    what.add_argument("--network", help="a shipped network's name, a file of weights, or a run's folder")
    what.add_argument("--claim", metavar="ID", help="a recorded claim's id")
    what.add_argument(
        "--curve", help="a network on MNIST, by name or file: distance against evaluations, every sampler"
    )
    add_device_argument(parser)
    add_threads_argument(parser)

    images = parser.add_argument_group("for samples and networks")
    images.add_argument("--data", choices=NAMES, help="the data set to compare with")
    images.add_argument("--split", choices=SPLITS, default="test", help="of the data set (test)")
    images.add_argument(
        "--images",
        "--n-reference",
        dest="n_reference",
        type=count,
        help="so many of its images: for samples all (5,000 for colour images), for a network 1,000; for I2 "
        "test images (5,000), for I9 training images (all)",
    )
    images.add_argument("--seed", type=int, default=0, help="of the noise in a network's loss (0)")

    claim = parser.add_argument_group("for claims and curves")
    for name, (flag, kind, meaning) in SETTINGS.items():
        claim.add_argument(flag, dest=name, type=kind, help=meaning)
    claim.add_argument("--accept", action="store_true", help='record one that fails, as "not reproduced"')
    claim.add_argument("--compile", action="store_true", help="fuse the network's layers: minutes, then faster")
    claim.add_argument(
        "--folder", type=Path, help="where the runs are kept and resumed from (runs/ID, or runs/samples)"
    )


def run(options: argparse.Namespace) -> int:
    """Do the one that was asked for."""
    recorded_one = options.claim is not None or options.curve is not None
    torch.set_num_threads(options.threads or (1 if recorded_one else idle_cores()))  # as all records were made
    if recorded_one:
        return _record(options)
    if "path" in options:
        _require_taken(options, "--samples", ("data", "split", "n_reference", "fid_weights", *WHERE))
    else:
        _require_taken(options, "--network", ("data", "split", "n_reference", "seed", *WHERE))
    if options.data is None:
        raise ValueError("--data must name the data set to compare with, such as --data mnist")
    return _samples(options) if "path" in options else _network_losses(options)


def _samples(options: argparse.Namespace) -> int:
    """Print each measure as soon as it is known."""
    from sbgm.measure.inception import Inception
    from sbgm.measure.judging import judge, load_images_of

    samples, inception, n_reference = load_images_of(options.path), None, options.n_reference
    if SETS[options.data].shape[0] == 3:
        try:
            inception = Inception(options.fid_weights, find_device(options.device))
        except (ImportError, ConnectionError) as error:
            print(f"KID and FID are left out. {error}", file=sys.stderr)
        n_reference = n_reference or min(N_INCEPTION_REFERENCE, len(load_images(options.data, options.split)))
    for measure in judge(samples, options.data, split=options.split, n_reference=n_reference, inception=inception):
        print(measure, flush=True)
    return 0


def _network_losses(options: argparse.Namespace) -> int:
    """Print λℓ and the optimality identity at each level, and the mean over levels."""
    import pandas

    from sbgm.measure.judging import some_images
    from sbgm.measure.scores import level_losses, optimality_identity
    from sbgm.train.runs import load_trained

    where = find_device(options.device)
    network = load_trained(options.network).to(where)
    n = min(options.n_reference or 1_000, len(load_images(options.data, options.split)))
    images = some_images(options.data, options.split, n).to(where)
    losses, identity = (
        measure(network, images, network.sigmas, generator=torch.Generator().manual_seed(options.seed))
        for measure in (level_losses, optimality_identity)
    )
    table = {
        "sigma": [f"{sigma:.4g}" for sigma in network.sigmas.tolist()],
        "sigma^2 loss": [f"{x:.3f} ± {2 * se:.3f}" for x, se in zip(*losses[:2], strict=True)],
        f"E|sigma s|^2 + 2 sigma^2 loss (best: {images[0].numel()})":
            [f"{x:.1f} ± {2 * se:.1f}" for x, se in zip(*identity[:2], strict=True)],
    }  # fmt: skip
    title = SETS[options.data].title
    print(f"{options.network}: {n:,} {title} {options.split} images, one draw of noise each, ± 2 s.e.")
    print(pandas.DataFrame(table).to_string(index=False))
    print(f"mean over the levels: {losses.values.mean():.3f}")
    return 0


def _record(options: argparse.Namespace) -> int:
    """Measure a claim or a curve, write its record, and print it; on Ctrl-C say how to go on."""
    purpose = f"{'--claim' if options.claim else '--curve'} enters a record in the repository"
    recorded, curve = (lab_script(name, purpose) for name in ("recorded", "curve"))
    if options.claim:
        one_of(recorded.MEASURES)(options.claim, "--claim", {})
    measure = recorded.MEASURES[options.claim] if options.claim else curve.measure_curve
    parameters = inspect.signature(measure).parameters
    settings = [name for name in (*SETTINGS, "n_reference") if name in parameters]
    where = ["device", "compile"] if "machine" in parameters else []
    takes = [*settings, *where, "threads", "folder", *(["accept"] if options.claim else [])]
    _require_taken(options, options.claim or "--curve", takes)
    given = {name: value for name in settings if (value := getattr(options, name)) is not None}
    machine = Machine(find_device(options.device), options.compile)
    if where and machine != CPU:
        given["machine"] = machine
    folder = options.folder or runs_folder() / (recorded.folder_name(options.claim) if options.claim else "samples")
    try:
        if options.claim:
            print(recorded.evaluate(options.claim, folder, accept=options.accept, **given).details())
        else:
            print(curve.measure_curve(folder, options.curve, **given))
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from what is in {folder}.", file=sys.stderr)
        return 130
    return 0


def _require_taken(options: argparse.Namespace, what: str, takes: Iterable[str]) -> None:
    """Raise where an option is given that what is asked for does not take."""
    parser = options.parser
    flags = {
        a.dest: a.option_strings[0]
        for a in parser._actions
        if a.dest not in ("help", *WHAT) and a.help != argparse.SUPPRESS
    }
    given = [name for name in flags if getattr(options, name) != parser.get_default(name)]
    if unknown := [flags[name] for name in given if name not in takes]:
        known = ", ".join(flag for name, flag in flags.items() if name in takes)
        raise ValueError(f"{what} must be given only what it takes, {known}, got {', '.join(unknown)}")
