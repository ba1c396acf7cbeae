"""Judge samples, measure a network's loss level by level, or measure a recorded claim.

--samples FILE --data SET prints every measure that applies, with its sample count and reference;
--network FILE --data SET the held-out loss of each noise level; --claim ID writes the claim's record to data/results/,
--curve NETWORK that of chapter 10's curve; a run of either that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sbgm.cli.options import count
from sbgm.lab import recorded

N_INCEPTION_REFERENCE = 5_000  # of real images, unless told otherwise: ten minutes on two cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--samples", type=Path, help="images: .safetensors, .npz, .npy or a folder of PNG files")
    what.add_argument("--network", help="a shipped network's name, a file of weights, or a run's folder")
    what.add_argument("--claim", choices=list(recorded.HOMES), help="a recorded claim's id")
    what.add_argument(
        "--curve", help="a network on MNIST, by name or file: distance against evaluations, every sampler"
    )

    images = parser.add_argument_group("for samples and networks")
    images.add_argument("--data", help="the data set, such as mnist, mnist_small or cifar10")
    images.add_argument("--split", choices=("train", "test"), default="test", help="of the data set (test)")
    images.add_argument(
        "--images",
        type=count,
        help="so many of its images: for samples all (5,000 for colour images), for a network 1,000",
    )
    images.add_argument("--seed", type=int, default=0, help="of the noise in a network's loss (0)")
    images.add_argument("--fid-weights", type=Path, help="Inception's weights ($SBGM_FID_WEIGHTS, or a download)")
    images.add_argument("--device", default="cpu", help="where Inception or the network runs (cpu)")

    claim = parser.add_argument_group("for claims")
    claim.add_argument("--iterations", type=int, help="training iterations of each run, where the claim trains")
    claim.add_argument("--n-samples", type=count, help="samples, where the claim draws them (1,000)")
    claim.add_argument("--n-images", type=count, help="test images, where the claim inpaints them (20)")
    claim.add_argument("--n-steps", type=count, help="T, Langevin steps a level, where the claim draws samples (100)")
    claim.add_argument("--step-size", type=float, help="ε, where the claim inpaints (2e-5)")
    claim.add_argument("--accept", action="store_true", help='record one that fails, as "not reproduced"')
    claim.add_argument("--compile", action="store_true", help="fuse the network's layers: minutes, then faster")
    claim.add_argument("--n-reference", type=count, help="test images that colour samples are compared with (5,000)")
    claim.add_argument("--weights", help="the network of a claim about colour images, by name or file")
    claim.add_argument(
        "--folder", type=Path, help="where the runs are kept and resumed from (runs/ID, or runs/samples)"
    )


def run(options: argparse.Namespace) -> int:
    """Do the one that was asked for."""
    if options.claim is not None:
        return _claim(options)
    if options.curve is not None:
        return _curve(options)
    if options.data is None:
        raise ValueError("--data must name the data set to compare with, such as --data mnist")
    return _samples(options) if options.samples is not None else _network(options)


def _samples(options: argparse.Namespace) -> int:
    """Print each measure as soon as it is known."""
    from sbgm.measure.inception import Inception
    from sbgm.measure.judging import COLOUR, judge, load_images_of

    samples, inception, n_reference = load_images_of(options.samples), None, options.images
    if options.data in COLOUR:
        try:
            inception = Inception(options.fid_weights, options.device)
        except (ImportError, ConnectionError) as error:
            print(f"KID and FID are left out. {error}", file=sys.stderr)
        n_reference = n_reference or min(N_INCEPTION_REFERENCE, len(_images(options)))
    for measure in judge(samples, options.data, split=options.split, n_reference=n_reference, inception=inception):
        print(measure, flush=True)
    return 0


def _network(options: argparse.Namespace) -> int:
    """Print λℓ and the optimality identity at each level, and the mean over levels."""
    import torch

    from sbgm.lab.runs import load_trained
    from sbgm.measure.judging import TITLES, some_images
    from sbgm.measure.scores import level_losses, optimality_identity

    network = load_trained(options.network).to(options.device)
    n = min(options.images or 1_000, len(_images(options)))
    images = some_images(options.data, options.split, n).to(options.device)
    losses, identity = (
        measure(network, images, network.sigmas, generator=torch.Generator().manual_seed(options.seed))
        for measure in (level_losses, optimality_identity)
    )
    dim = images[0].numel()
    print(f"{options.network}: {n:,} {TITLES[options.data]} {options.split} images, one draw of noise each, ± 2 s.e.")
    print(f"{'sigma':>10}  {'sigma^2 loss':>20}  {f'E|sigma s|^2 + 2 sigma^2 loss (best: {dim})':>30}")
    for sigma, loss, se, total, total_se in zip(network.sigmas.tolist(), *losses[:2], *identity[:2], strict=True):
        print(f"{sigma:10.4g}  {f'{loss:.3f} ± {2 * se:.3f}':>20}  {f'{total:.1f} ± {2 * total_se:.1f}':>30}")
    print(f"{'mean':>10}  {f'{losses.values.mean():.3f}':>20}")
    return 0


def _images(options: argparse.Namespace):
    from sbgm.data import load_images

    return load_images(options.data, options.split)


def _curve(options: argparse.Namespace) -> int:
    """Measure the curve of every sampler, write its record, and print it; on Ctrl-C say how to go on."""
    from sbgm.lab.curve import measure_curve
    from sbgm.lab.drawing import Machine

    folder = options.folder or Path(__file__).resolve().parents[2] / "runs" / "samples"
    settings = {"n_samples": options.n_samples} if options.n_samples else {}
    try:
        curve = measure_curve(folder, options.curve, machine=Machine(options.device, options.compile), **settings)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from the batches in {folder}.", file=sys.stderr)
        return 130
    print(curve)
    return 0


def _claim(options: argparse.Namespace) -> int:
    """Measure the claim and print its record; on Ctrl-C say how to go on."""
    from sbgm.lab.drawing import CPU, Machine

    folder = options.folder or Path(__file__).resolve().parents[2] / "runs" / recorded.folder_name(options.claim)
    given = {"n_iterations": options.iterations}
    names = ("n_samples", "n_images", "n_steps", "step_size", "n_reference", "weights")
    given |= {name: getattr(options, name) for name in names}
    machine = Machine(options.device, options.compile)
    given["machine"] = None if machine == CPU else machine
    settings = {name: value for name, value in given.items() if value is not None}
    try:
        record = recorded.evaluate(options.claim, folder, accept=options.accept, **settings)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from the last checkpoint in {folder}.", file=sys.stderr)
        return 130
    print(record.details())
    return 0
