"""Judge samples, measure a network's loss level by level, or measure a recorded claim.

--samples FILE --data SET prints every measure that applies, with its sample count and reference;
--network FILE --data SET the held-out loss of each noise level; --claim ID and its options, which come last, write the
claim's record to data/results/, --curve NETWORK that of chapter 10's curve; a run of either that was stopped goes on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sbgm.checked import Count, Whole, one_of
from sbgm.cli.options import add_device_argument, add_threads_argument, data_like, lab_script, source, value_of
from sbgm.data import NAMES, SPLITS, data_set, load_images, require_checkout
from sbgm.precision import find_device, idle_cores

N_INCEPTION_REFERENCE = 5_000  # of real images, unless told otherwise: ten minutes on two cores
COMMON = ("data", "split", "images", "device", "threads")
TAKES = {"samples": (*COMMON, "fid_weights"), "network": (*COMMON, "seed"), "claim": (), "curve": ()}
"""What is measured, and the options that it takes; each has the name of its flag."""
DEFAULTS = {"split": "test", "seed": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--samples", type=Path, help="images: .safetensors, .npz, .npy or a folder of PNG")
    what.add_argument("--network", help="a shipped network's name, a file of weights, or a run's folder")
    what.add_argument(
        "--claim",
        nargs=argparse.REMAINDER,
        help="a recorded claim's id, and its own options: --claim I1 --help lists them",
    )
    what.add_argument(
        "--curve",
        nargs=argparse.REMAINDER,
        help="a network on MNIST, by name or file: distance against evaluations, every sampler; and options, as above",
    )
    add_device_argument(parser)
    add_threads_argument(parser)
    parser.add_argument("--data", type=source(*NAMES), metavar="DATA", help="a data set or folder to compare with")
    parser.add_argument("--split", choices=SPLITS, help="of the data set (test)")
    parser.add_argument(
        "--images",
        type=value_of(Count),
        help="so many of its images: for samples all (5,000 for colour images), for a network 1,000",
    )
    parser.add_argument("--seed", type=value_of(Whole), help="of the noise in a network's loss (0)")
    parser.add_argument("--fid-weights", type=Path, help="Inception's, a file ($SBGM_FID_WEIGHTS, or a download)")
    parser.set_defaults(**DEFAULTS)


def run(options: argparse.Namespace) -> int:
    """Do the one that was asked for."""
    (what,) = (name for name in TAKES if getattr(options, name) is not None)
    others = (name for name in (*COMMON, "fid_weights", "seed") if name not in TAKES[what])
    if unknown := [name for name in others if getattr(options, name) not in (None, DEFAULTS.get(name))]:
        known, got = (", ".join(f"--{n.replace('_', '-')}" for n in names) for names in (TAKES[what], unknown))
        raise ValueError(f"--{what} must be given only what it takes, {known or 'options after it'}, got {got}")
    if what == "claim":
        name, *words = options.claim or [""]
        return _record(_script(name), words)
    if what == "curve":
        return _record(lab_script("curve", "--curve enters a record in the repository").measure, options.curve)
    torch.set_num_threads(options.threads or idle_cores())
    if options.data is None:
        raise ValueError("--data must name the data set to compare with, such as --data mnist")
    return _samples(options) if what == "samples" else _network_losses(options)


def _script(name: str) -> Any:
    """The script of a claim, which has its name."""
    folder = require_checkout("--claim enters a record in the repository") / "notebooks" / "lab"
    known = sorted(path.stem for path in folder.glob("[A-Z]*.py"))
    one_of(known)(name, "--claim")
    return lab_script(name, "").measure


def _record(script: Any, words: Sequence[str]) -> int:
    """Measure and write the record, as the script takes the words."""
    parser = script.parser()
    parser.add_argument("--threads", type=value_of(Count), default=1, help="of the CPU (1, as of all records)")
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    try:
        script.run(options)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from what is in {options.folder}.", file=sys.stderr)
        return 130
    return 0


def _samples(options: argparse.Namespace) -> int:
    """Print each measure as soon as it is known."""
    from sbgm.measure.inception import Inception
    from sbgm.measure.judging import judge, load_images_of

    samples, inception, n_reference = load_images_of(options.samples), None, options.images
    data = data_like(options.data, tuple(samples.shape[1:]))
    if data_set(data).shape[0] == 3:
        try:
            inception = Inception(options.fid_weights, find_device(options.device))
        except (ImportError, ConnectionError) as error:
            print(f"KID and FID are left out. {error}", file=sys.stderr)
        n_reference = n_reference or min(N_INCEPTION_REFERENCE, len(load_images(data, options.split)))
    for measure in judge(samples, data, split=options.split, n_reference=n_reference, inception=inception):
        print(measure, flush=True)
    return 0


def _network_losses(options: argparse.Namespace) -> int:
    """Print λℓ and the optimality identity at each level, and the mean over levels."""
    import pandas

    from sbgm.measure.judging import some_images
    from sbgm.measure.scores import level_losses, optimality_identity
    from sbgm.weights import load_network

    where = find_device(options.device)
    network = load_network(options.network).to(where)
    data = data_like(options.data, network.image_shape)
    n = min(options.images or 1_000, len(load_images(data, options.split)))
    images = some_images(data, options.split, n).to(where)
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
    title = data_set(data).title
    print(f"{options.network}: {n:,} {title} {options.split} images, one draw of noise each, ± 2 s.e.")
    print(pandas.DataFrame(table).to_string(index=False))
    print(f"mean over the levels: {losses.values.mean():.3f}")
    return 0
