"""F1: five scores with four samplers, on three mixtures, from two seeds each.

What is done is kept; a run that was stopped goes on with the next score.
"""

import itertools
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from claims import Found, declared, reported, run
from recipes import MixtureTraining, train_mixture
from sbgm import (
    ConditionalMLP,
    EnergyMLP,
    GaussianMixture,
    annealed_langevin,
    final,
    hamiltonian,
    langevin,
    metropolis_langevin,
    paper_mixture,
)
from sbgm.images.drawing import draw_batches
from sbgm.measure import component_stds, mode_weights
from sbgm.theory import annealed_variance, langevin_variance

N_CHAINS = 25_600
N_SEEDS = 2
RING = [[10 * math.sin(2 * math.pi * k / 5), 10 * math.cos(2 * math.pi * k / 5)] for k in range(5)]
MIXTURES = {
    "two": paper_mixture(),
    "three": GaussianMixture([0.2, 0.3, 0.5], [[-6.0, -6.0], [6.0, -6.0], [0.0, 8.0]]),
    "five": GaussianMixture([0.1, 0.15, 0.2, 0.25, 0.3], RING),
}
SCORES = ("exact", "exact score matching", "denoising", "sliced", "energy gradient")
SAMPLERS = ("Langevin", "Metropolis", "Hamiltonian", "annealed")
RUNS = list(itertools.product(MIXTURES, range(N_SEEDS), SCORES))
SIGMAS = MixtureTraining().sigmas
V = 1 + float(SIGMAS[-1]) ** 2
"""The variance of a component at the last level."""


def trained(mixture: GaussianMixture, score: str, seed: int) -> nn.Module:
    """A network for a mixture, built and trained as those that ship are for the paper's."""
    objective = {"exact score matching": "exact", "sliced": "sliced"}.get(score, "denoising")
    architecture = EnergyMLP if score == "energy gradient" else ConditionalMLP
    size = math.sqrt(1 + float(mixture.weights @ mixture.means.square().mean(dim=1)))  # of a coordinate, around 0
    network = architecture(dim=2, width=64, depth=3, data_std=size, generator=torch.Generator().manual_seed(seed))
    for _ in train_mixture(network, mixture, MixtureTraining(objective, seed=seed)):
        pass
    return network.requires_grad_(False)


def ends(mixture: GaussianMixture, score: object, log_prob: object, generator: torch.Generator) -> dict[str, Tensor]:
    """The last states of each sampler's chains, which start at the means, as many at each."""
    start = mixture.means.repeat(N_CHAINS // len(mixture.means), 1)
    one_level = {"sigma": float(SIGMAS[-1]), "generator": generator}
    runs = {
        "Langevin": langevin(score, start, step_size=0.1, n_steps=150, **one_level),
        "Hamiltonian": hamiltonian(
            score, start, log_prob=log_prob, step_size=0.8, n_leapfrog=3, n_steps=20, **one_level
        ),
        "annealed": annealed_langevin(score, start, SIGMAS, step_size=0.1, n_steps=100, generator=generator),
    }
    if log_prob is not None:
        runs["Metropolis"] = metropolis_langevin(
            score, start, log_prob=log_prob, step_size=0.5, n_steps=50, **one_level
        )
    return {name: final(states) for name, states in runs.items()}


def predicted_std(sampler: str, tested: bool) -> float:
    """What theory says of a component's standard deviation; a test makes a sampler exact."""
    if sampler == "annealed":
        return math.sqrt(annealed_variance(SIGMAS, step_size=0.1, n_steps=100, variance=1.0, start=0.0)[-1])
    steps = {"Langevin": 0.1, "Hamiltonian": None if tested else 0.8**2}
    step_size = steps.get(sampler)
    return math.sqrt(V if step_size is None else langevin_variance(step_size, V))


def measure_run(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
    """A row for each sampler and mode: sampler, predicted std, std, share of the chains, the mixture's weight."""
    name, seed, score = RUNS[indices.start]
    mixture = MIXTURES[name]
    model = mixture if score == "exact" else trained(mixture, score, seed)
    log_prob = model.log_prob if score in ("exact", "energy gradient") else None
    rows = []
    for sampler, x in ends(mixture, mixture.score if score == "exact" else model, log_prob, generator).items():
        predicted = predicted_std(sampler, log_prob is not None)
        stds = component_stds(x, mixture.means)
        shares = mode_weights(x, mixture.means)
        for std, share, weight in zip(stds.tolist(), shares.tolist(), mixture.weights.tolist(), strict=True):
            rows.append([SAMPLERS.index(sampler), predicted, std, share, weight])
    return {"rows": torch.tensor(rows, dtype=torch.float64)}


def measure(folder: Path) -> Found:
    """Measure F1: the worst standard deviation and the worst weights of all combinations."""
    found = [part["rows"] for part in draw_batches(measure_run, len(RUNS), seed=0, batch_size=1, folder=folder)]
    stds = []
    annealed = []
    one_level = []
    for rows in found:
        for sampler, predicted, std, share, weight in rows.tolist():
            n_modes = len(rows) // len({row[0] for row in rows.tolist()})
            stds.append((abs(std / predicted - 1), 1 / math.sqrt(4 * share * N_CHAINS)))
            error = math.sqrt(share * (1 - share) / N_CHAINS)
            if SAMPLERS[int(sampler)] == "annealed":
                annealed.append((abs(share - weight), error))
            else:  # chains that cannot cross keep the start's shares, without sampling error
                one_level.append(abs(share - 1 / n_modes))
    n_combinations = sum(len({row[0] for row in rows.tolist()}) for rows in found)
    std, std_se = max(stds)
    weight, weight_se = max(annealed)
    return Found(
        [
            declared("F1", "component std off its prediction, the worst", std, se=std_se),
            declared("F1", "weight annealed off the mixture's, the worst", weight, se=weight_se),
            declared("F1", "weight on one level off the start's, the worst", max(one_level)),
            declared("F1", "combinations", n_combinations),
            reported("numbers that the worst std is of", len(stds)),
            reported("weights that the worst annealed one is of", len(annealed)),
        ],
        {f"{name}, {seed}, {score}": rows for (name, seed, score), rows in zip(RUNS, found, strict=True)},
        narrower="in two dimensions, on three mixtures",
        data="the paper's mixture, one of three modes and one of five; two networks of each learned score",
        note=f"{N_CHAINS:,} chains for each combination; each number is the worst of all.",
        facts={"n_chains": N_CHAINS, "n_seeds": N_SEEDS, "seed": 0},
    )


if __name__ == "__main__":
    sys.exit(run("F1", measure))
