"""Spend an hour of GPU: train, choose a checkpoint, draw 10,000 samples, measure, enter records, draw sheets.

`python tools/gpu_hour.py cifar10 --minutes 60 --channels 128 --out runs/gpu_hour`; further options are `sbgm train`'s.
The same command goes on after an interruption, and with more --minutes trains on. Inception's weights are those of
$SBGM_FID_WEIGHTS, or a download. Without a GPU it runs on the CPU, where only a toy size ends.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from claims import attached_file, load_record
from I9 import ColourSamples, checkpoint_fids
from sbgm import cli, plots
from sbgm.files import load_tensors
from sbgm.measure import Inception
from sbgm.measure.inception import require_enough
from sbgm.train.runs import Machine, Run, find_device, load_checkpoint
from sbgm.weights import whole_checkpoint

CLAIMS = {"cifar10": ("I9", "I2"), "celeba": ("I3",)}
TRAINING_SHARE = 5 / 6  # of the minutes; in the rest it draws and measures
N_ALGORITHM_1 = 200  # samples of I2 and I3, which take 1,000 evaluations each, where I9's here take 50


def main(arguments: list[str] | None = None) -> int:
    """Do what is left to do; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=list(CLAIMS), help="what to train on and to compare with")
    parser.add_argument("--minutes", type=float, default=60.0, help="in all; 5/6 go into training (60)")
    parser.add_argument("--channels", type=int, default=128, help="C, the network's width (128)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_hour"), help="where all is kept (runs/gpu_hour)")
    parser.add_argument("--n-samples", type=int, default=10_000, help="drawn for I9 (10,000)")
    parser.add_argument("--chains", type=int, default=500, help="side by side (500)")
    options, settings = parser.parse_known_args(arguments)
    try:
        for words in commands(options, settings):
            if status := cli.main([*map(str, words)]):
                return status
        return 0
    except (OSError, ValueError, ImportError) as error:
        print(f"gpu_hour: {error}", file=sys.stderr)
        return 1


def commands(options: argparse.Namespace, settings: list[str]) -> Iterator[list[object]]:
    """The commands of `sbgm` that are left to do, each given once the one before has ended well.

    Inception is loaded before the training, so that an hour does not end in a message that it is missing.
    """
    require_enough(options.n_samples, "--n-samples")
    yield ["download", options.data]
    run, folder, device = Run(options.out / "run"), options.out / "samples", find_device()
    machine, n = Machine(device, compile=device == "cuda"), 50_000  # as many as CIFAR-10 has in all
    sizes = {"batch_size": options.chains, "n_reference": n if options.data == "celeba" else None}
    samples = ColourSamples(options.data, folder, Inception(device=device), machine=machine, **sizes)

    trained = options.out / f"trained_{options.minutes:g}_minutes"
    spent = load_checkpoint(whole_checkpoint(run.folder) / "state.pt")["done"]["seconds"] if run.last_step else 0.0
    left = TRAINING_SHARE * options.minutes - spent / 60
    if not trained.exists() and (left > 0 or not spent):
        how = ["--minutes", left, "--channels", options.channels, *["--resume"] * run.begun, *settings]
        yield ["train", options.data, "--scale", "gpu", "--out", run.folder, *how]
        trained.touch()

    distances = checkpoint_fids(run, samples)
    print(*(f"{file.parent.name}: {distance}" for file, distance in distances.items()), sep="\n", flush=True)
    fast = [run.folder, "--sampler", "renewing", "--batch-size", options.chains, "--n-samples", options.n_samples]
    paper = [min(distances, key=lambda file: distances[file].value), "--n-samples", N_ALGORITHM_1]
    where = ["--device", device, *["--compile"] * machine.compile]
    for claim in CLAIMS[options.data]:
        how = fast if claim == "I9" else paper
        yield ["evaluate", "--claim", claim, "--accept", "--folder", folder, *where, "--weights", *how]
        pixels = load_tensors(attached_file(load_record(claim)))[0]["samples"].float() / 255
        plt.imsave(options.out / f"{claim}.png", plots.image_sheet(pixels).numpy())


if __name__ == "__main__":
    sys.exit(main())
