"""I9, the last row of Table 1: FID, KID and Inception Score of a network on colour images, in Inception's features.

A run's checkpoint is chosen as the paper does it: by the FID of 1,000 samples of each that the run kept. Without
weights, the hours are counted that the paper's network would take.
"""

import math
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from curve import Entry, NamedSampler, draw_entry, renewing
from features import inception_space, reference_for, some_images
from ledger import Measurement, Record, declared, record, reported, seed
from samples import CPU, PAPERS_SAMPLES, Machine, differences, smaller_differences
from sbgm import RefineNet, geometric_sigmas
from sbgm.guard import checked
from sbgm.images.data import SETS
from sbgm.images.weights import checkpoints, load_network, load_weights, run_weights, step_of, weights_file
from sbgm.measure import (
    Estimate,
    FeatureStatistics,
    Inception,
    feature_statistics,
    fid,
    inception_score,
    kid,
    quantise,
)
from sbgm.measure.inception import require_enough
from sbgm.networks import ScoreNetwork

OPTIONS = {
    "folder": "samples",
    "draws": True,
    "more": {
        "--n-samples": {"type": int, "default": PAPERS_SAMPLES, "help": "of samples, at least 2,560 (50,000)"},
        "--sampler": {
            "default": "annealed",
            "choices": ("annealed", "renewing"),
            "help": "Algorithm 1, or one of 50 steps",
        },
        "--weights": {"help": "a network's name, a file, or a run's folder; without it the hours are counted"},
    },
}
N_STEPS = 100  # T of Algorithm 1
A100 = 0.3 * 312e12 * 3_600
"""Operations an hour, at an assumed 30 % of its peak in bfloat16."""
N_CHOOSING = 1_000  # samples of each checkpoint
N_FITTED = 2_000  # training images that the fast sampler's start is fitted to
N_KERNEL = 10_000  # of the reference, for KID, whose work is quadratic
N_SHOWN = 64


def entry_on(sigmas: Tensor, sampler: str) -> Entry:
    """A network's sampler: "annealed", Algorithm 1 with the paper's step size, or "renewing", chapter 12's of 50 steps.

    Args:
        sigmas: the network's ladder.
        sampler: its name.
    """
    ladder = tuple(sigmas.tolist())
    if sampler == "renewing":
        return Entry("renewing, c = 8", renewing(ladder[0], ladder[-1], 50, 8.0), "fitted")
    paper = NamedSampler("annealed", ladder, 0.2 * ladder[-1] ** 2, N_STEPS)
    return Entry("Algorithm 1", paper, "uniform", clamped=False)


def draw_samples(
    file: Path | str, n: int, model: ScoreNetwork, sampler: str, folder: Path, machine: Machine, batch_size: int
) -> Tensor:
    """Draw n samples of a network, or take them from a folder: (n, 3, H, W).

    Args:
        file: of its weights, or a shipped network's name.
        n: samples.
        model: a network of the same architecture, which gets these weights in place, since compiling takes minutes.
        sampler: see `entry_on`.
        folder: of all such samples.
        machine: where the model is.
        batch_size: chains side by side.
    """
    load_weights(model, weights_file(file))
    fitted = some_images("cifar10", "train")[:N_FITTED]
    place = folder / weights_file(file).stem
    options = {"seed": seed("I9"), "precision": machine.precision, "batch_size": batch_size, "folder": place}
    return draw_entry(entry_on(model.sigmas, sampler), model, fitted, n, **options)


def checkpoint_fid(samples: Tensor, real: FeatureStatistics) -> float:
    """The Fréchet distance of few samples, such as the paper's 1,000, by which it chooses among checkpoints.

    It exists however singular the samples' covariance C is: the eigenvalues of C C' other than 0 are those of
    X C' Xᵀ/(n − 1), where the rows of X are the samples' features less their mean. But it is far too large, so that it
    compares checkpoints at one number of samples and nothing else.

    Args:
        samples: (n, F) features of samples, n ≥ 2.
        real: statistics of real images.
    """
    n, n_features = samples.shape
    mean = samples.double().mean(dim=0)
    rows = (samples.double() - mean) / math.sqrt(n - 1)
    values = torch.linalg.eigvalsh(rows @ real.covariance @ rows.T)[-min(n - 1, n_features) :]  # the others are 0
    roots = values.clamp(min=0).sqrt()
    return float((mean - real.mean).square().sum() + rows.square().sum() + real.covariance.trace() - 2 * roots.sum())


def record_hours() -> Record:
    """Count the hours that the paper's settings would take, from the operations of one evaluation of one image.

    A training step costs three evaluations an image, one forward and about twice as much backward.
    """
    papers = RefineNet(geometric_sigmas(1.0, 0.01, 10), channels=128).to("meta")  # which computes nothing but shapes
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        papers.output(torch.empty(1, 3, 32, 32, device="meta"), torch.zeros(1, dtype=torch.long, device="meta"))
    evaluation = counter.get_total_flops()
    to_train = 3 * evaluation * 128 * 200_000  # a batch of 128 images, 200,000 steps
    to_draw = evaluation * 1_000 * PAPERS_SAMPLES
    return record(
        "I9",
        [
            reported("hours of training, one A100 at an assumed 94 TFLOP/s", to_train / A100),
            reported("hours of drawing 50,000 samples, the same", to_draw / A100),
        ],
        note="Hours from the operations of the paper's settings; the rate is an assumption, 30 % of the peak in "
        "bfloat16.",
    )


@checked
def measure(
    folder: Path | None = None,
    n_samples: Annotated[int, require_enough] = PAPERS_SAMPLES,
    sampler: str = "annealed",
    batch_size: int = 500,
    weights: str | None = None,
    machine: Machine = CPU,
) -> Record:
    """Measure I9, against the paper's numbers where there are as many samples as the paper's, else to be reported.

    Args:
        folder: of samples; None will do for hours.
        n_samples: 2,560 at least, which is checked before any is drawn.
        sampler: "annealed", which is Algorithm 1 with the paper's 1,000 evaluations, or "renewing", of 50.
        batch_size: chains side by side.
        weights: a shipped network's name, a file, or the folder of a run, whose checkpoint of the lowest FID of 1,000
            samples is taken; None counts the hours.
        machine: where the network runs.
    """
    if weights is None:
        return record_hours()
    inception = Inception(device=machine.device)
    real = reference_for("cifar10", inception_space(inception), "train")
    statistics = feature_statistics(real)
    run = Path(weights)
    files = [run_weights(run, step_of(step)) for step in checkpoints(run)] or [weights_file(weights)]
    model = machine.prepared(load_network(files[0]))
    how_drawn = model, sampler, folder, machine, batch_size
    chosen = None
    file = files[0]
    how = {}
    if run.is_dir():
        distances = {}
        for checkpoint in files:
            features = inception.features(draw_samples(checkpoint, N_CHOOSING, *how_drawn))
            distances[checkpoint] = checkpoint_fid(features, statistics)
        file = min(distances, key=lambda file: distances[file])
        chosen = distances[file]
        how = {"checkpoint": file.parent.name, "checkpoints": len(distances)}
    samples = draw_samples(file, n_samples, *how_drawn)
    features = inception.features(samples)
    score = inception_score(inception.logits(features)) if inception.has_logits else None
    differs = differences(load_network(file), n_samples, N_STEPS, sampler)
    distance = fid(features, statistics)
    kernel = kid(features, real[:N_KERNEL])
    on_gpu = torch.device(machine.device).type == "cuda"
    return record(
        "I9",
        measurements(n_samples, distance, kernel, score, chosen, bounded=not differs),
        {"samples": quantise(samples[:N_SHOWN])},
        data=f"{n_samples:,} samples; {len(real):,} of {SETS['cifar10'].title}'s training images, {N_KERNEL:,} for KID",
        note=f"FID from fewer samples is larger.{'' if score else ' No Inception Score: its weights have no logits.'}",
        narrower="; ".join([*differs, *smaller_differences(file, machine.precision)]),
        networks=[str(file)],
        facts=how
        | {
            "n_samples": n_samples,
            "n_steps": N_STEPS,
            "sampler": sampler,
            "batch_size": batch_size,
            "weights": weights,
            "evaluations": entry_on(model.sigmas, sampler).evaluations,
            "parameters": sum(p.numel() for p in model.parameters()),
            "precision": machine.precision,
            "seed": seed("I9"),
            "inception": inception.name,
            "device": torch.cuda.get_device_name(machine.device) if on_gpu else machine.device,
        },
    )


def measurements(
    n_samples: int,
    distance: Estimate,
    kernel: Estimate,
    score: tuple[float, float] | None,
    chosen: float | None = None,
    *,
    bounded: bool,
) -> list[Measurement]:
    """The measurements of I9.

    Args:
        n_samples: how many the numbers are of.
        distance, kernel: FID and KID.
        score: Inception Score and its standard deviation over ten splits, where the weights have logits.
        chosen: FID of `N_CHOOSING` samples, by which the checkpoint was chosen.
        bounded: hold FID and score to the paper's numbers.
    """
    found = {f"FID, {n_samples:,} samples": distance}
    if score is not None:
        found["Inception Score"] = Estimate(score[0], score[1] / math.sqrt(10))
    measured = [declared("I9", k, x) if bounded else reported(k, x) for k, x in found.items()]
    measured.append(reported("KID", kernel))
    if chosen is not None:
        choice = "for choosing a checkpoint; not comparable with FID of 50,000"
        measured.append(reported(f"FID of {N_CHOOSING:,} samples, {choice}", chosen))
    return measured
