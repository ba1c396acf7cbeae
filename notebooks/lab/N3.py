"""N3: sliced against denoising score matching for noise conditional networks, at ten times lab 4's budget.

What is done is kept; a run that was stopped goes on with the next network.
"""

import itertools
import math
from pathlib import Path

import torch
from torch import Tensor

from errors import of_networks
from laws import annealed_weight
from ledger import Record, declared, record, reported, script_options, seed, show
from recipes import DATA_STD, MixtureTraining, kept_parts, level_errors, trained_mixture
from sbgm import ConditionalMLP, annealed_langevin, final, paper_mixture
from sbgm.images.drawing import kept_folder
from sbgm.measure import Estimate, component_stds, mode_weights
from sbgm.theory import annealed_variance

N_SEEDS = 5
N_CHAINS = 12_800
N_STEPS = 30_000
OBJECTIVES = ("denoising", "sliced")
RUNS = list(itertools.product(range(N_SEEDS), OBJECTIVES))
SIGMAS = MixtureTraining().sigmas


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
    """Measure N3: the errors of five networks of each kind, their ratio, and their samples."""
    place = kept_folder(folder / "networks", {"runs": RUNS, "n_steps": N_STEPS, "n_chains": N_CHAINS})
    parts = list(kept_parts(measure_network, len(RUNS), seed=seed("N3"), folder=place))
    errors, samples = (torch.cat([part[name] for part in parts]) for name in ("errors", "samples"))
    by_kind = {kind: slice(i, None, len(OBJECTIVES)) for i, kind in enumerate(OBJECTIVES)}
    denoising, sliced = (errors[by_kind[kind]].log10().mean(dim=1) for kind in OBJECTIVES)
    law = annealed_weight(SIGMAS, 100, variance=1.0)
    log_ratio = of_networks(sliced - denoising)
    numbers = [declared("N3", "log₁₀ of squared error, sliced over denoising", log_ratio)]
    for kind in reversed(OBJECTIVES):
        control = "" if kind == "sliced" else "control: "
        share = of_networks(samples[by_kind[kind], 0])
        difference = Estimate(share.value - law, share.se)
        std = worst_std(samples[by_kind[kind]])
        label = f"component std off its prediction, five {kind} networks, the worst of ten"
        numbers.append(declared("N3", f"{control}share less the exact scores', five {kind} networks", difference))
        numbers.append(declared("N3", f"{control}{label}", std))
    by_level = (errors[by_kind["sliced"]].log() - errors[by_kind["denoising"]].log()).mean(dim=0).exp()
    return record(
        "N3",
        [*numbers, reported("ratio at one level, the largest", float(by_level.max()))],
        {"errors": errors, "samples": samples},
        narrower="in two dimensions, on one mixture",
        data="the paper's mixture, five networks of each kind",
        note=f"{N_STEPS:,} steps of 512, ten times those of the networks that ship.",
        facts={"n_iterations": N_STEPS, "n_chains": N_CHAINS, "n_seeds": N_SEEDS},  # keys of the record before
    )


if __name__ == "__main__":
    show(measure(script_options(__doc__, "N3").folder))
