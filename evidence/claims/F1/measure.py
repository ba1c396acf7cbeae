"""F1: five scores with four samplers, on three mixtures, three networks of each learned score.

What is done is kept; a run that was stopped goes on with the next score.
"""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from energies import EnergyMLP, hamiltonian
from errors import shares_kept
from laws import annealed_variance
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import MixtureTraining, kept_parts, trained_mixture
from sbgm import (
    ConditionalMLP,
    GaussianMixture,
    annealed_langevin,
    final,
    langevin,
    metropolis_langevin,
    paper_mixture,
)
from sbgm.images.drawing import kept_folder
from sbgm.measure import Estimate, component_stds
from sbgm.measure.scores import nearest_modes
from sbgm.theory import langevin_variance

OPTIONS = {"folder": "F1"}
N_CHAINS = 25_600
N_SEEDS = 3
RING = [[10 * math.sin(2 * math.pi * k / 5), 10 * math.cos(2 * math.pi * k / 5)] for k in range(5)]
MIXTURES = {
    "two": paper_mixture(),
    "three": GaussianMixture([0.2, 0.3, 0.5], [[-6.0, -6.0], [6.0, -6.0], [0.0, 8.0]]),
    "five": GaussianMixture([0.1, 0.15, 0.2, 0.25, 0.3], RING),
}
SCORES = ("exact", "exact score matching", "denoising", "sliced", "energy gradient")
UNTESTED = "one level, Hamiltonian steps without a test: weight off the start's, the worst"
HAVE_DENSITY = ("exact", "energy gradient")
"""The scores with a density, so that steps can be tested."""
SAMPLERS = ("Langevin", "Metropolis", "Hamiltonian", "annealed")
EXACT = [(name, 0, "exact") for name in MIXTURES]
RUNS = EXACT + list(itertools.product(MIXTURES, range(N_SEEDS), SCORES[1:]))
SIGMAS = MixtureTraining().sigmas
V = 1 + float(SIGMAS[-1]) ** 2
"""The variance of a component at the last level."""


def trained(mixture: GaussianMixture, score: str, network_seed: int) -> nn.Module:
    """A network for a mixture, built and trained as `MixtureTraining` says."""
    objective = {"exact score matching": "exact", "sliced": "sliced"}.get(score, "denoising")
    architecture = EnergyMLP if score == "energy gradient" else ConditionalMLP
    size = math.sqrt(1 + float(mixture.weights @ mixture.means.square().mean(dim=1)))  # of a coordinate, around 0
    return trained_mixture(architecture, mixture, MixtureTraining(objective, seed=network_seed), size)


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


def measure_run(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A row for each sampler and mode: sampler, predicted std, std, share of the chains and its standard error."""
    name, part, score = RUNS[number]
    mixture = MIXTURES[name]
    n_modes = len(mixture.means)
    if score == "exact":
        model = mixture.score
        log_prob = mixture.log_prob
    else:
        model = trained(mixture, score, seed("F1") + part)
        log_prob = model.log_prob if score == "energy gradient" else None
    rows = []
    for sampler, x in ends(mixture, model, log_prob, generator).items():
        predicted = predicted_std(sampler, log_prob is not None)
        stds = component_stds(x, mixture.means)
        start = torch.arange(len(x)) % n_modes
        _, end = nearest_modes(x, mixture.means, "x")
        for std, share in zip(stds.tolist(), shares_kept(start, end, n_modes), strict=True):
            se = share.se
            if sampler == "annealed":  # whose chains forget where they started
                se = math.sqrt(share.value * (1 - share.value) / len(x))
            rows.append([SAMPLERS.index(sampler), predicted, std, share.value, se])
    return {"rows": torch.tensor(rows, dtype=torch.float64)}


def measure(folder: Path) -> Record:
    """Measure F1: the worst standard deviation and the worst weights of all combinations."""
    place = kept_folder(folder / "scores", {"runs": RUNS, "samplers": SAMPLERS, "n_chains": N_CHAINS})
    parts = kept_parts(measure_run, len(RUNS), seed=seed("F1"), folder=place)
    tables = {", ".join(map(str, run)): part["rows"] for run, part in zip(RUNS, parts, strict=True)}
    numbers = measurements(tables)
    moved = next(m.value for m in numbers if m.label == UNTESTED)
    return record(
        "F1",
        numbers,
        tables,
        narrower="in two dimensions, on three mixtures; Hamiltonian steps without a test move a mode's share by up to "
        f"{moved:.3f}",
        data="the paper's mixture, one of three modes and one of five; three networks of each learned score",
        note=f"{N_CHAINS:,} chains for each combination; each number is the worst of all.",
        facts={"n_chains": N_CHAINS, "n_seeds": N_SEEDS},
    )


def measurements(tables: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of F1, from the rows of `measure_run` for each of RUNS, by its words: "five, 0, sliced"."""
    of_exact = {}
    stds = []
    annealed = []
    one_level = []
    untested = []
    n_combinations = 0
    for mixture, part, score in RUNS:
        rows = tables[f"{mixture}, {part}, {score}"].tolist()
        n_modes = len(MIXTURES[mixture].means)
        n_combinations += len(rows) // n_modes
        for i, (number, predicted, std, share, se) in enumerate(rows):
            sampler = SAMPLERS[int(number)]
            mode = i % n_modes
            stds.append(Estimate(abs(std / predicted - 1), 1 / math.sqrt(4 * share * N_CHAINS)))
            off_start = Estimate(abs(share - 1 / n_modes), se)
            if sampler == "Hamiltonian" and score not in HAVE_DENSITY:
                untested.append(off_start)
            elif sampler != "annealed":
                one_level.append(off_start)
            elif score == "exact":
                of_exact[mixture, mode] = Estimate(share, se)
            else:
                exact = of_exact[mixture, mode]
                annealed.append(Estimate(abs(share - exact.value), math.hypot(se, exact.se)))
    return [
        declared("F1", "component std off its prediction, the worst", max(stds)),
        declared("F1", "annealed: weight off the exact score's, the worst", max(annealed)),
        declared("F1", "one level: weight off the start's, the worst", max(one_level)),
        declared("F1", UNTESTED, max(untested)),
        reported("combinations", n_combinations),
        reported("numbers that the worst std is of", len(stds)),
        reported("weights that the worst annealed one is of", len(annealed)),
    ]
