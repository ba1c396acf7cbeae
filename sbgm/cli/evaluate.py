"""Judge samples, measure a network's loss level by level, or measure a recorded claim.

--samples FILE --data SET prints every measure that applies, with its sample count and reference;
--network FILE --data SET the held-out loss of each noise level; --claim ID and its options, which come last, write the
claim's record to data/results/, --curve NETWORK that of chapter 10's curve; a run of either that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from sbgm.checked import one_of
from sbgm.cli.options import add_device_argument, add_threads_argument, count, data_like, lab_script, source
from sbgm.data import NAMES, SPLITS, data_set, load_images, require_checkout
from sbgm.train.runs import find_device, idle_cores

N_INCEPTION_REFERENCE = 5_000  # of real images, unless told otherwise: ten minutes on two cores
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
    parser.add_argument("--split", choices=SPLITS, default="test", help="of the data set (test)")
    parser.add_argument(
        "--images",
        dest="n_reference",
        type=count,
        help="so many of its images: for samples all (5,000 for colour images), for a network 1,000",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise in a network's loss (0)")
    parser.add_argument("--fid-weights", type=Path, help="Inception's, a file ($SBGM_FID_WEIGHTS, or a download)")


def run(options: argparse.Namespace) -> int:
    """Do the one that was asked for."""
    if options.claim is not None:
        _require_taken(options, "--claim", ())
        name, *words = options.claim or [""]
        return _record(_script(name), words, options)
    if options.curve is not None:
        _require_taken(options, "--curve", ())
        return _record(lab_script("curve", "--curve enters a record in the repository"), options.curve, options)
    torch.set_num_threads(options.threads or idle_cores())
    if "path" in options:
        _require_taken(options, "--samples", ("data", "split", "n_reference", "fid_weights", *WHERE))
    else:
        _require_taken(options, "--network", ("data", "split", "n_reference", "seed", *WHERE))
    if options.data is None:
        raise ValueError("--data must name the data set to compare with, such as --data mnist")
    return _samples(options) if "path" in options else _network_losses(options)


def _script(name: str) -> Any:
    """The script of a claim, which has its name."""
    folder = require_checkout("--claim enters a record in the repository") / "notebooks" / "lab"
    known = sorted(path.stem for path in folder.glob("[A-Z]*.py"))
    one_of(known)(name, "--claim")
    return lab_script(name, "").measure


def _record(script: Any, words: Sequence[str], options: argparse.Namespace) -> int:
    """Measure and write the record, as the script takes the words; an error then names the script's flags."""
    parser = script.parser()
    parser.add_argument("--threads", type=count, default=1, help="of the CPU (1, with which all records were made)")
    vars(options).update(vars(parser.parse_args(words)), parser=parser)
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

    samples, inception, n_reference = load_images_of(options.path), None, options.n_reference
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
    n = min(options.n_reference or 1_000, len(load_images(data, options.split)))
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
        known = ", ".join(flag for name, flag in flags.items() if name in takes) or "options after it"
        raise ValueError(f"{what} must be given only what it takes, {known}, got {', '.join(unknown)}")
