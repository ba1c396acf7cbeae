"""Spend an hour of GPU: train, choose a checkpoint, draw 10,000 samples, measure, enter records, draw sheets.

`python tools/gpu_hour.py cifar10 --minutes 60 --channels 128 --out runs/gpu_hour`; further options are `sbgm train`'s.
The same command goes on after an interruption, and with more --minutes trains on. Inception's weights are those of
$SBGM_FID_WEIGHTS, or a download. Without a GPU it runs on the CPU, where only a toy size ends.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from claims import attached_file, load_record
from I9 import ColourSamples, checkpoint_fids
from sbgm import cli, plots
from sbgm.files import load_tensors, write_json
from sbgm.measure import Inception
from sbgm.measure.inception import require_enough
from sbgm.train.runs import Machine, Run, find_device, load_checkpoint
from sbgm.weights import whole_checkpoint
from scale import TRAINING_SHARE

CLAIMS = {"cifar10": ("I9", "I2"), "celeba": ("I3",)}
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
    device = find_device()
    shared = {"batch_size": options.chains, "machine": Machine(device, compile=device == "cuda")}
    settings = ["--channels", str(options.channels), *settings]
    try:
        require_enough(options.n_samples, "--n-samples")
        if status := cli.main(["download", options.data]):
            return status
        # Before the training, so that an hour does not end in a message that Inception is missing.
        inception, folder = Inception(device=device), options.out / "samples"
        shared |= {"n_reference": 50_000} if options.data == "celeba" else {}  # as many as CIFAR-10 has in all
        samples = ColourSamples(options.data, folder, inception, **shared)
        return train(options, settings) or measure(options, samples)
    except (OSError, ValueError, ImportError) as error:
        print(f"gpu_hour: {error}", file=sys.stderr)
        return 1


def train(options: argparse.Namespace, settings: list[str]) -> int:
    """Train for what is left of the minutes, by `sbgm train`, unless it was done before; return the exit status."""
    run, done = Run(options.out / "run"), options.out / f"trained_{options.minutes:g}_minutes.json"
    seconds = load_checkpoint(whole_checkpoint(run.folder) / "state.pt")["done"]["seconds"] if run.last_step else 0.0
    minutes = TRAINING_SHARE * options.minutes - seconds / 60
    if done.exists() or (seconds and minutes <= 0):
        return 0
    words = ["train", options.data, "--scale", "gpu", "--out", str(run.folder), "--minutes", str(minutes)]
    if not (status := cli.main([*words, *["--resume"] * run.begun, *settings])):
        write_json(done, {"step": run.last_step})
    return status


def measure(options: argparse.Namespace, samples: ColourSamples) -> int:
    """Choose a checkpoint, measure the claims by `sbgm evaluate`, and draw a sheet of each; return the exit status."""
    distances = checkpoint_fids(run := Run(options.out / "run"), samples)
    print(*(f"{file.parent.name}: {distance}" for file, distance in distances.items()), sep="\n", flush=True)
    fast = ["--sampler", "renewing", "--batch-size", options.chains, "--n-samples", options.n_samples]
    paper = [min(distances, key=lambda file: distances[file].value), "--n-samples", N_ALGORITHM_1]
    machine = ["--device", samples.machine.device, *["--compile"] * samples.machine.compile]
    for claim in CLAIMS[options.data]:
        words = ["--claim", claim, "--accept", "--folder", samples.folder, *machine, "--weights"]
        words += [run.folder, *fast] if claim == "I9" else paper
        if status := cli.main(["evaluate", *map(str, words)]):
            return status
        pixels = load_tensors(attached_file(load_record(claim)))[0]["samples"].float() / 255
        plt.imsave(options.out / f"{claim}.png", plots.image_sheet(pixels).numpy())
    return 0


if __name__ == "__main__":
    sys.exit(main())
