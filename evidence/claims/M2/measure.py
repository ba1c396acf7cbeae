"""M2, Fig. 1: the long curves of sliced score matching on images, raw and with a little noise."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import ledger
from errors import of_networks
from figure1 import train_figure1
from ledger import Measurement, Record, declared, record, reported
from recipes import Figure1
from sbgm.files import load_tensors, save_tensors
from sbgm.images.data import load_images
from sbgm.images.devices import hardware
from sbgm.measure import Estimate, estimate

OPTIONS = {"folder": "M2"}
# --- its curves -------------------------------------------------------------------------------------------------------


def relative_spread(losses: Tensor) -> float:
    """sd/|mean| of a loss over the last third of its curve, (T,), where sd is around a straight line fitted there."""
    last = losses[len(losses) - len(losses) // 3 :].double()
    rest = last - _line(last)
    return float(rest.std() / last.mean().abs())


def relative_drift(losses: Tensor) -> float:
    """The move of the mean of a loss over the last quarter of its curve, (T,), as a share of its size.

    The change, from end to end, of a straight line fitted to that quarter, over |mean|.
    """
    last = losses[len(losses) - len(losses) // 4 :].double()
    line = _line(last)
    return float((line[-1] - line[0]).abs() / last.mean().abs())


def first_change(losses: Tensor) -> Estimate:
    """The mean loss of iterations 51 to 100 less that of 1 to 10, of a curve (T,): negative where it falls at first.

    A trend within a part counts into the standard error, which is too large then rather than too small.
    """
    first = estimate(losses[:10])
    later = estimate(losses[50:100])
    return Estimate(later.value - first.value, math.hypot(later.se, first.se))


def _line(values: Tensor) -> Tensor:
    """The least-squares straight line through equally spaced values, at the same places."""
    t = torch.arange(len(values), dtype=values.dtype) - (len(values) - 1) / 2
    return values.mean() + (t * values).sum() / t.square().sum() * t


# --- M2, Fig. 1 on CIFAR-10 -------------------------------------------------------------------------------------------

M2_NOISE = {"raw": 0.0, "noised": 0.01}
"""The standard deviation of the noise in each panel."""
M2_SETTINGS = Figure1(0.0, batch_size=32, n_steps=5_000)
N_RUNS = 2  # of each kind


def measure(folder: Path) -> Record:
    """Measure M2: train Fig. 1's network on CIFAR-10, raw and with noise, from two seeds each, and record the curves.

    The runs, raw_0, noised_0, raw_1 and so on, are made one after the other. Each is kept in `folder`, and goes on
    from there if it was stopped. A finished one leaves its curve in `runs/` beside the record, to be committed, from
    where it is taken on any machine: only runs that are missing there are made.

    Args:
        folder: of the runs.
    """
    images = load_images("cifar10")
    runs = {
        (kind, seed): dataclasses.replace(M2_SETTINGS, noise_std=std, seed=seed)
        for seed in range(N_RUNS)
        for kind, std in M2_NOISE.items()
    }
    losses = {run: _losses(images, settings, folder, "{}_{}".format(*run)) for run, settings in runs.items()}
    curves = {kind: torch.stack([losses[kind, seed] for seed in range(N_RUNS)]) for kind in M2_NOISE}
    return record(
        "M2",
        measurements(curves),
        curves,
        data=f"CIFAR-10, {len(images):,} training images",
        narrower=f"{N_RUNS} runs of each kind, with a quarter of the paper's batch and a tenth of its iterations",
        note="The ratio of scatters is the geometric mean over pairs of runs, each other number that of the worst run.",
        facts={"iterations": M2_SETTINGS.n_steps, "seeds": N_RUNS}
        | {name: getattr(M2_SETTINGS, name) for name in ("channels", "batch_size", "learning_rate")},
    )


def measurements(curves: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of M2, of long loss curves "raw" and "noised", (R, T) each for R runs.

    The ratio of scatters is the geometric mean over pairs of runs, every other number that of the worst run. At noise σ
    no model's mean loss can be lower than −½E‖∇log q_σ‖², which is at least −D/(2σ²): CIFAR-10's declared bound.
    """
    raw = curves["raw"]
    noised = curves["noised"]
    spreads = [torch.tensor([relative_spread(losses) for losses in kind]) for kind in (raw, noised)]
    log_ratios = (spreads[0] / spreads[1]).log10()  # of pairs
    lowest_mean = min(float(losses.double().unfold(0, 100, 1).mean(dim=1).min()) for losses in noised)
    change = max((first_change(losses) for losses in raw), key=lambda change: change.value + 2 * change.se)
    return [
        declared("M2", "log₁₀ of raw over noised sd/|mean|, last third, two runs", of_networks(log_ratios)),
        declared("M2", "noised: move of the mean over the last quarter", max(map(relative_drift, noised))),
        declared("M2", "noised: lowest mean of 100 iterations", lowest_mean),
        declared("M2", "raw: mean of iterations 51 to 100 less that of 1 to 10", change),
        reported("raw: sd/|mean|, last third, detrended, the least", float(spreads[0].min())),
        reported("noised: sd/|mean|, last third, detrended, the largest", float(spreads[1].max())),
    ]


def _losses(images: Tensor, settings: Figure1, folder: Path, name: str) -> Tensor:
    """The losses of one run, (T,): those of its finished curve, or of a training under a progress bar."""
    file = ledger.claims_folder() / "M2" / "runs" / f"{name}.safetensors"
    facts = settings.facts()
    if file.is_file():
        tensors, known = load_tensors(file)
        if facts.items() <= known.items():
            return tensors["losses"]
    steps = train_figure1(images, settings, folder=folder / name, save_every=50)  # a minute of one core
    torch.set_flush_denormal(True)  # ELU's slopes on raw images fall below 1e-38, where a processor takes twice as long
    try:
        losses = torch.tensor([step.loss for step in tqdm(steps, name, settings.n_steps, unit="it")])
    finally:
        torch.set_flush_denormal(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(file, {"losses": losses}, **facts, hardware=hardware(), torch=torch.__version__)
    return losses
