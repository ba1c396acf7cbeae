"""M2, Fig. 1 on CIFAR-10: the long loss curves, raw and with a little noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sbgm.checked import check_count
from sbgm.data import load_images
from sbgm.lab import claims
from sbgm.lab.claims import check
from sbgm.lab.figure1 import Figure1, relative_drift, relative_spread, running_mean, train_figure1
from sbgm.lab.recording import command, enter
from sbgm.lab.runs import load_checkpoint

M2_NOISE_STD = 0.01


def measure_m2(folder: Path, n_iterations: int = 6_000) -> claims.Settled:
    """Measure M2: train Fig. 1's network on CIFAR-10, raw and with noise, and record the two loss curves.

    The runs are kept in `folder`; a run that was stopped, or was too short, goes on from there. The record, M2.json,
    and the curves, M2.safetensors, are written to `claims.results_folder()` only if all that was expected holds.

    Args:
        folder: where the two checkpoints live, noise_0.pt and noise_0.01.pt.
        n_iterations: of each run; the expectation asks for 5,000 or more.

    Returns:
        The record.

    Raises:
        DataNotFoundError: CIFAR-10 is not at hand.
        ValueError: a checkpoint belongs to a run with other settings or data.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    check_count(n_iterations, "n_iterations")
    images = load_images("cifar10")
    folder.mkdir(parents=True, exist_ok=True)
    raw, noised = (_losses(images, Figure1.laptop(std, n_iterations), folder) for std in (0.0, M2_NOISE_STD))
    settings = Figure1.laptop(M2_NOISE_STD, n_iterations)
    return enter(
        "M2",
        m2_checks(raw, noised, dim=images[0].numel()),
        {"raw": raw.float(), "noised": noised.float()},
        data=f"CIFAR-10, {len(images):,} training images",
        note="One run each, at a laptop's scale: half the paper's channels, a quarter of its batch.",
        networks=[],
        command=command("M2", iterations=n_iterations),
        facts={
            "channels": settings.channels,
            "batch_size": settings.batch_size,
            "iterations": n_iterations,
            "learning_rate": settings.learning_rate,
            "seed": settings.seed,
        },
    )


def m2_checks(raw: Tensor, noised: Tensor, *, dim: int) -> list[claims.Check]:
    """What M2 expects of two long loss curves, (T,) each, on data of `dim` dimensions.

    At noise σ no model's mean loss can be lower than −½E‖∇log q_σ‖², which is at least −D/(2σ²).
    """
    spread_raw, spread_noised = (relative_spread(losses, detrended=True) for losses in (raw, noised))
    lowest_mean = float(running_mean(noised, min(100, len(noised))).min())
    bound = -dim / (2 * M2_NOISE_STD**2)
    return [
        check("raw over noised sd/|mean|, last third, detrended", spread_raw / spread_noised, low=5),
        check("noised: move of the mean over the last quarter", relative_drift(noised), high=0.1),
        check("noised: lowest mean of 100 iterations", lowest_mean, low=bound),
        check("iterations", len(noised), low=5_000),
        check("raw: sd/|mean|, last third, detrended", spread_raw),
        check("noised: the same", spread_noised),
    ]


def _losses(images: Tensor, settings: Figure1, folder: Path) -> Tensor:
    """The losses of one run, (T,), under a progress bar that starts where the checkpoint ends."""
    path = folder / f"noise_{settings.noise_std:g}.pt"
    n_done = len(load_checkpoint(path)["losses"]) if path.exists() else 0
    losses = []
    with tqdm(
        total=settings.n_iterations,
        initial=min(n_done, settings.n_iterations),
        desc=f"noise {settings.noise_std:g}",
        unit="it",
    ) as bar:
        for step in train_figure1(images, settings, checkpoint=path):
            losses.append(step.loss)
            if step.step > n_done:
                bar.update()
    return torch.tensor(losses, dtype=torch.float64)
