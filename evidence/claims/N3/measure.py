"""N3: sliced against denoising score matching for noise conditional networks.

What is done is kept; a run that was stopped goes on with the next network.
"""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from errors import of_networks
from laws import annealed_variance, annealed_weight
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import DATA_STD, MixtureTraining, kept_parts, level_errors, trained_mixture
from sbgm import ConditionalMLP, annealed_langevin, final, paper_mixture
from sbgm.images.drawing import kept_folder
from sbgm.measure import Estimate, component_stds, mode_weights

OPTIONS = {"folder": "N3"}
N_SEEDS = 5
N_CHAINS = 12_800
N_STEPS = 30_000
OBJECTIVES = ("denoising", "sliced")
RUNS = list(itertools.product(range(N_SEEDS), OBJECTIVES))
SIGMAS = MixtureTraining().sigmas
LOG_RATIO = "log₁₀ of squared error, sliced over denoising"


def measure_network(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The error at each level (1, L) of a network, and its samples' share in (5, 5) and component stds (1, 3)."""
    part, objective = RUNS[number]
    mixture = paper_mixture()
    settings = MixtureTraining(objective, n_steps=N_STEPS, seed=seed("N3") + part)
    network = trained_mixture(ConditionalMLP, mixture, settings, DATA_STD)
    errors = level_errors(network, mixture, SIGMAS, generator=generator)
    starts = 16 * torch.rand(N_CHAINS, 2, generator=generator) - 8
    x = final(annealed_langevin(network, starts, SIGMAS, step_size=0.1, n_steps=100, generator=generator))
    samples = [mode_weights(x, mixture.means)[1], *component_stds(x, mixture.means)]
    return {"errors": errors[None], "samples": torch.stack(samples)[None]}


def worst_std(samples: Tensor) -> Estimate:
    """How far component stds (N, 2) of samples (N, 3) are off what theory says of Algorithm 1, the worst of them."""
    variances = annealed_variance(SIGMAS, step_size=0.1, n_steps=100, variance=1.0, start=0.0)
    off = []
    for share, *stds in samples.tolist():
        for std, part in zip(stds, (1 - share, share), strict=True):
            off.append(Estimate(abs(std / math.sqrt(variances[-1]) - 1), 1 / math.sqrt(4 * part * N_CHAINS)))
    return max(off)


def measure(folder: Path) -> Record:
    """Measure N3: the samples and the errors of five networks of each kind."""
    place = kept_folder(folder / "networks", {"runs": RUNS, "n_steps": N_STEPS, "n_chains": N_CHAINS})
    parts = list(kept_parts(measure_network, len(RUNS), seed=seed("N3"), folder=place))
    kept = {name: torch.cat([part[name] for part in parts]) for name in ("errors", "samples")}
    numbers = measurements(kept)
    log_ratio = next(m.value for m in numbers if m.label == LOG_RATIO)
    return record(
        "N3",
        numbers,
        kept,
        narrower="in two dimensions, on one mixture; the score's squared error is "
        f"{10**log_ratio:.1f} times denoising's",
        data="the paper's mixture, five networks of each kind",
        note=f"{N_STEPS:,} steps of 512.",
        facts={"n_iterations": N_STEPS, "n_chains": N_CHAINS, "n_seeds": N_SEEDS},  # keys of the record before
    )


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of N3, from the "errors" (N, L) and the "samples" (N, 3) of networks in the order of RUNS."""
    errors = kept["errors"]
    samples = kept["samples"]
    by_kind = {kind: slice(i, None, len(OBJECTIVES)) for i, kind in enumerate(OBJECTIVES)}
    denoising, sliced = (samples[by_kind[kind]] for kind in OBJECTIVES)
    stds = [of_networks(of_mode) for of_mode in (sliced / denoising)[:, 1:].T]
    control = of_networks(denoising[:, 0])
    log_errors = {kind: errors[by_kind[kind]].log10() for kind in OBJECTIVES}
    log_ratio = of_networks((log_errors["sliced"] - log_errors["denoising"]).mean(dim=1))
    by_level = 10 ** (log_errors["sliced"] - log_errors["denoising"]).mean(dim=0)
    law = annealed_weight(SIGMAS, 100, variance=1.0)
    return [
        declared(
            "N3", "share in (5, 5), sliced less denoising, five pairs", of_networks(sliced[:, 0] - denoising[:, 0])
        ),
        declared(
            "N3",
            "component std, sliced over denoising, five pairs, the farther from 1",
            max(stds, key=lambda std: abs(std.value - 1) + 2 * std.se),
        ),
        declared(
            "N3", "sliced: error of a level, the largest of five networks", float(errors[by_kind["sliced"]].max())
        ),
        declared(
            "N3",
            "control: share less the exact scores', five denoising networks",
            Estimate(control.value - law, control.se),
        ),
        declared(
            "N3",
            "control: component std off its prediction, five denoising networks, the worst of ten",
            worst_std(denoising),
        ),
        reported(LOG_RATIO, log_ratio),
        reported("ratio at one level, the largest", float(by_level.max())),
        reported(
            "share less the exact scores', five sliced networks",
            Estimate(float(sliced[:, 0].mean()) - law, of_networks(sliced[:, 0]).se),
        ),
    ]
