"""I9, the last row of Table 1: FID, KID and Inception Score of a network on colour images, in Inception's features.

A run's checkpoint is chosen as the paper does it: by the FID of 1,000 samples of each that the run kept.
"""

import math
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from tqdm import tqdm

from curve import Entry, NamedSampler, draw_entry, renewing
from drawing import CPU, Machine, samples_key
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from sbgm.guard import Batch, Count, checked, one_of
from sbgm.images.data import SETS, SetName
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
    some_images,
)
from sbgm.measure.inception import require_enough
from sbgm.measure.judging import Reference, feature_space, reference_for
from sbgm.networks import ScoreNetwork

PAPERS_SAMPLES = 50_000
PAPERS_CHANNELS = 128
PAPERS_EVALUATIONS = 1_000
N_CHOOSING = 1_000  # samples of each checkpoint
N_FITTED = 2_000  # training images that the fast sampler's start is fitted to
N_KERNEL = 10_000  # of the reference, for KID, whose work is quadratic
N_SHOWN = 64
SamplerName = Annotated[str, one_of(("annealed", "renewing"))]


class ColourSamples:
    """Samples of networks of one architecture, kept batch by batch by the hash of their weights, and their features.

    Args:
        data: the set that the networks were trained on.
        folder: of all such samples; drawing goes on from what is there.
        inception: whose features are taken.
        sampler: "annealed", Algorithm 1 with the paper's step size, or "renewing", chapter 10's of 50 evaluations.
        n_steps: T of Algorithm 1.
        batch_size: chains side by side.
        n_reference: so many training images to compare with; None takes all.
        machine: where networks run.

    Attributes:
        model: the network that drew last; None before.
        reference: features of training images.
        statistics: their mean and covariance.
    """

    @checked
    def __init__(
        self,
        data: SetName,
        folder: Path,
        inception: Inception,
        *,
        sampler: SamplerName = "renewing",
        n_steps: Count = 100,
        batch_size: Count = 500,
        n_reference: Count | None = None,
        machine: Machine = CPU,
    ) -> None:
        self.data = data
        self.folder = folder
        self.inception = inception
        self.machine = machine
        self.model = None
        self.sampler = sampler
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.precision = machine.precision
        self.reference: Reference = reference_for(data, feature_space(data, inception), "train", n_reference)
        self.statistics = feature_statistics(self.reference.features)

    def entry(self, sigmas: Tensor) -> Entry:
        """The sampler on a network's ladder."""
        ladder = tuple(sigmas.tolist())
        if self.sampler == "renewing":
            return Entry("renewing, c = 8", renewing(ladder[0], ladder[-1], 50, 8.0), "fitted")
        paper = NamedSampler("annealed", ladder, 0.2 * ladder[-1] ** 2, self.n_steps)
        return Entry("Algorithm 1", paper, "uniform", clamped=False)

    def draw(self, weights: Path | str, n: int) -> tuple[Tensor, Tensor]:
        """n samples of a network, uint8 as they would be shown, and their features."""
        if self.model is None:
            self.model = self.machine.prepared(load_network(weights))
        else:  # in place, since compiling takes minutes
            load_weights(self.model, weights_file(weights))
        entry = self.entry(self.model.sigmas)
        size = self.batch_size
        key = samples_key(weights, f"batch{size}", self.precision, f"seed{seed('I9')}")
        fitted = some_images(self.data, "train")[:N_FITTED]
        place = self.folder / key / entry.key
        batches = draw_entry(entry, self.model, fitted, place, n, size, seed=seed("I9"), precision=self.precision)
        bar = tqdm(batches, key, math.ceil(n / size), unit="batch")
        images, features = zip(*((quantise(batch), self.inception.features(batch)) for batch in bar), strict=True)
        return torch.cat(images)[:n], torch.cat(features)[:n]


def checkpoint_fids(run: Path, samples: ColourSamples) -> dict[Path, float]:
    """The FID of 1,000 samples of each checkpoint that a run kept, by its file of weights, oldest first.

    Raises:
        FileNotFoundError: the run has no checkpoint yet.
        ValueError: one of them is damaged.
    """
    steps = [step_of(folder) for folder in checkpoints(run)] or [None]
    files = [run_weights(run, step) for step in steps]
    return {file: checkpoint_fid(samples.draw(file, N_CHOOSING)[1], samples.statistics) for file in files}


@checked
def checkpoint_fid(samples: Batch, real: FeatureStatistics) -> float:
    """The Fréchet distance of few samples, such as the paper's 1,000, by which it chooses among checkpoints.

    It exists however singular the samples' covariance C is: the eigenvalues of C C' other than 0 are those of
    X C' Xᵀ/(n − 1), where the rows of X are the samples' features less their mean. But it is far too large, so that it
    compares checkpoints at one number of samples and nothing else.

    Args:
        samples: (n, F) features of samples, n ≥ 2.
        real: statistics of 2,560 real images or more.

    Raises:
        ValueError: there is one sample only, or real are too few.
    """
    n, n_features = samples.shape
    if n < 2:
        raise ValueError(f"samples must be at least 2 for a covariance, got {n}")
    require_enough(real.n, "real")
    mean = samples.double().mean(dim=0)
    rows = (samples.double() - mean) / math.sqrt(n - 1)
    values = torch.linalg.eigvalsh(rows @ real.covariance @ rows.T)[-min(n - 1, n_features) :]  # the others are 0
    roots = values.clamp(min=0).sqrt()
    return float((mean - real.mean).square().sum() + rows.square().sum() + real.covariance.trace() - 2 * roots.sum())


@checked
def measure(
    folder: Path,
    n_samples: Annotated[int, require_enough] = PAPERS_SAMPLES,
    n_reference: Annotated[int, require_enough] | None = None,
    sampler: SamplerName = "annealed",
    batch_size: Count = 500,
    weights: str = "cifar10_ncsn",
    machine: Machine = CPU,
) -> Record:
    """Measure I9, against the paper's numbers where there are as many samples as the paper's, else to be reported.

    Args:
        folder: of samples.
        n_samples: 2,560 at least, which is checked before any is drawn.
        n_reference: training images that they are compared with; None takes all.
        sampler: "annealed", which is Algorithm 1 with the paper's 1,000 evaluations, or "renewing", of 50.
        batch_size: chains side by side.
        weights: a shipped network's name, a file, or the folder of a run, whose checkpoint of the lowest FID of 1,000
            samples is taken.
        machine: where the network runs.
    """
    settings = {"sampler": sampler, "batch_size": batch_size, "n_reference": n_reference}
    inception = Inception(device=machine.device)
    samples = ColourSamples("cifar10", folder, inception, machine=machine, **settings)
    chosen = None
    file = weights
    how = {}
    if Path(weights).is_dir():
        distances = checkpoint_fids(Path(weights), samples)
        file = min(distances, key=lambda file: distances[file])
        chosen = distances[file]
        how = {"checkpoint": file.parent.name, "checkpoints": len(distances)}
    images, features = samples.draw(file, n_samples)
    score = inception_score(inception.logits(features)) if inception.has_logits else None
    differs = differences(load_network(file), n_samples, samples.n_steps, sampler)
    real = samples.reference
    distance = fid(features, samples.statistics)
    kernel = kid(features, real.features[:N_KERNEL])
    on_gpu = torch.device(machine.device).type == "cuda"
    return record(
        "I9",
        i9_measurements(n_samples, distance, kernel, score, chosen, bounded=not differs),
        {"samples": images[:N_SHOWN]},
        data=f"{n_samples:,} samples; {len(real.features):,} of {SETS['cifar10'].title}'s training images, "
        f"{N_KERNEL:,} for KID",
        note=f"FID from fewer samples is larger.{'' if score else ' No Inception Score: its weights have no logits.'}",
        narrower="; ".join([*differs, *smaller_differences(file, samples.precision)]),
        networks=[str(file)],
        facts=how
        | {
            "n_samples": n_samples,
            "n_steps": samples.n_steps,
            "sampler": sampler,
            "batch_size": batch_size,
            "weights": weights,
            "evaluations": samples.entry(samples.model.sigmas).evaluations,
            "parameters": sum(p.numel() for p in samples.model.parameters()),
            "precision": samples.precision,
            "seed": seed("I9"),
            "inception": inception.name,
            "device": torch.cuda.get_device_name(machine.device) if on_gpu else machine.device,
        },
    )


def differences(network: ScoreNetwork, n_samples: int, n_steps: int, sampler: str) -> list[str]:
    """In what a measurement is not the paper's, whose numbers then do not bound it."""
    channels = network.arguments.get("channels")
    evaluations = n_steps * len(network.sigmas)
    differs = []
    if channels != PAPERS_CHANNELS:
        differs.append(f"{channels} channels, where the paper has {PAPERS_CHANNELS}")
    if sampler != "annealed" or evaluations != PAPERS_EVALUATIONS:
        differs.append(f"{sampler} sampler, where the paper's takes {PAPERS_EVALUATIONS:,} evaluations")
    if n_samples < PAPERS_SAMPLES:
        differs.append(f"{n_samples:,} samples, where the paper has {PAPERS_SAMPLES:,}")
    return differs


def smaller_differences(file: str | Path, precision: str) -> list[str]:
    """In what a measurement that the paper's numbers bound is not quite the paper's."""
    differs = []
    if precision != "fp32":
        differs.append(f"drawn in {precision}")
    if Path(file).stem == "average":
        differs.append("averaged weights, which the paper has not")
    return differs


def i9_measurements(
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


if __name__ == "__main__":
    options = script_options(
        __doc__,
        "samples",
        draws=True,
        more={
            "--n-samples": {"type": int, "default": PAPERS_SAMPLES, "help": "2,560 at least (50,000)"},
            "--sampler": {
                "default": "annealed",
                "choices": ("annealed", "renewing"),
                "help": "Algorithm 1, or chapter 10's of 50 evaluations (annealed)",
            },
            "--weights": {
                "default": "cifar10_ncsn",
                "help": "a shipped network's name, a file, or the folder of a run, whose checkpoint of the lowest FID "
                "of 1,000 samples is taken (cifar10_ncsn)",
            },
        },
    )
    settings = {name: getattr(options, name) for name in ("n_samples", "sampler", "weights")}
    show(measure(options.folder, machine=Machine(options.device, options.compile), **settings))
