"""Chapter 12's curve: the distance of every sampler's samples by its number of network evaluations."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas
import torch
from torch import Tensor, nn
from tqdm import tqdm

import ledger
from command_line import script_options
from features import confident_share, some_images
from ledger import Record, as_recorded, attach, check_weights
from samples import CPU, Machine, digit_distance, kept_samples
from sbgm.files import content_hash, load_tensors, write_json
from sbgm.guard import Score
from sbgm.images.devices import autocast
from sbgm.images.drawing import Start, cost_of, fitted_start, gaussian_start, uniform_start
from sbgm.images.networks import DigitNetwork
from sbgm.images.refinenet import rescaled
from sbgm.images.weights import load_network, weights_file
from sbgm.measure import in_batches, quantise, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.networks import guided, in_range
from sbgm.noise import geometric_sigmas
from sbgm.samplers import (
    State,
    ancestral,
    annealed_langevin,
    level_to_level,
    probability_flow,
    watched,
)

# --- a sampler that no chapter has ------------------------------------------------------------------------------------


@watched()
def consistent_annealed(
    score: Score,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    step_size: float,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Consistent annealed sampling (Jolicoeur-Martineau et al. 2020): `level_to_level` with η = ε/(2σ_L²).

    The drift is that of Algorithm 1. (The paper's ε is that of x + εs + √(2ε) z, half of ours.)
    """
    eta = step_size / (2 * sigmas[-1] ** 2)
    return level_to_level(score, x, sigmas, lambda r: eta, generator=generator, denoise_last=denoise_last)


SAMPLERS = {"annealed": annealed_langevin, "consistent": consistent_annealed, "ancestral": ancestral}


# --- samplers of a given cost -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class NamedSampler:
    """A sampler, by a name of `SAMPLERS` or a method of the probability flow, with its ladder and its settings."""

    name: str
    sigmas: tuple[float, ...]
    step_size: float | None = None
    n_steps: int | None = None
    denoise_last: bool = False

    def states(self, score: Score, x: Tensor, generator: torch.Generator) -> Iterator[State]:
        """Run it from the starting points x, (B, *shape)."""
        settings = {"step_size": self.step_size, "n_steps": self.n_steps}
        given = {name: value for name, value in settings.items() if value is not None}
        if self.name not in SAMPLERS:  # the probability flow by a method of that name, which draws nothing
            return probability_flow(score, x, self.sigmas, method=self.name, denoise_last=self.denoise_last)
        sampler = SAMPLERS[self.name]
        return sampler(score, x, self.sigmas, generator=generator, denoise_last=self.denoise_last, **given)

    @property
    def evaluations(self) -> int:
        """How often it asks for the score."""
        return cost_of(self.states)[1]


def sampler_within(name: str, budget: int, sigmas: Tensor) -> NamedSampler:
    """The sampler "ancestral", or "euler" or "heun" of the flow, that asks for the score as often as the budget allows.

    It is on a geometric ladder of its own, and spends one evaluation on x + σ_L² s(x, σ_L).

    Args:
        name: of the sampler.
        budget: evaluations, 4 or more.
        sigmas: the network's ladder σ_1 > … > σ_L, between whose ends it runs.
    """
    own = sigmas.tolist()
    n_steps = (budget - 1) // 2 if name == "heun" else budget - 1
    return NamedSampler(name, tuple(geometric_sigmas(own[0], own[-1], n_steps + 1).tolist()), denoise_last=True)


def renewing(high: float, low: float, budget: int, c: float) -> NamedSampler:
    """Consistent sampling with much fresh noise: η = 1 − r^{1+c} on a geometric ladder, denoised at the end.

    c = 0 is Euler's step of the probability flow, c = 1 ancestral sampling; a large c renews nearly all of the noise in
    every step, and c = ∞ all of it, so that errors of a learned score don't last.

    Args:
        high, low: the ends of the ladder.
        budget: evaluations, 2 or more.
        c: how much noise is renewed, above 0.
    """
    n_steps = budget - 1
    eta = 1 - (low / high) ** ((1 + c) / n_steps)
    sigmas = tuple(geometric_sigmas(high, low, n_steps + 1).tolist())
    return NamedSampler("consistent", sigmas, 2 * low**2 * eta, denoise_last=True)


# --- the entries ------------------------------------------------------------------------------------------------------

BUDGETS = (10, 20, 50, 100)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One sampler at one cost.

    Attributes:
        label: of the curve that it is a point of, such as "the flow, Heun".
        sampler: with its ladder and settings.
        start: "uniform" noise, the data's "mean" plus noise of level σ_1, or a normal law "fitted" to perturbed data.
        clamped: keep the network's estimates within the data's range, see `in_range`.
    """

    label: str
    sampler: NamedSampler
    start: str
    clamped: bool = True

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for a sample."""
        return self.sampler.evaluations


GUIDANCE = 2.0
GUIDED = (
    ("the flow, Euler", "euler"),
    ("the flow, Heun", "heun"),
    ("ancestral, c = 1", "ancestral"),
)


def guided_entries(sigmas: Tensor) -> list[Entry]:
    """Six samplers of a network that knows classes, compared fairly: one start, one ladder's ends, one last step.

    All begin as the data's mean plus noise of σ_1, go down to σ_L with guidance w = 2, and end with a denoising step,
    which counts. An evaluation is one of the guided score, and two of the network. Algorithm 1 takes 1, 3, 10 and 33
    steps at each level of the network's ladder, with ε = 0.2 σ_L².

    Args:
        sigmas: the network's ladder.
    """
    own = tuple(sigmas.tolist())
    found = []
    for budget in BUDGETS:
        for label, name in GUIDED:
            found.append(Entry(label, sampler_within(name, budget, sigmas), "mean", clamped=False))
        for label, c in (("c = 8", 8.0), ("all noise renewed", math.inf)):
            found.append(Entry(label, renewing(own[0], own[-1], budget, c), "mean", clamped=False))
    for n_steps in (1, 3, 10, 33):
        sampler = NamedSampler("annealed", own, 0.2 * own[-1] ** 2, n_steps, denoise_last=True)
        found.append(Entry("Algorithm 1", sampler, "mean", clamped=False))
    return found


def draw_entry(
    entry: Entry,
    network: nn.Module,
    digits: Tensor,
    n_samples: int,
    *,
    batch_size: int = 50,
    seed: int = 0,
    precision: str = "bf16",
    folder: Path | None = None,
) -> Tensor:
    """Draw an entry's samples: (N, C, H, W) as the sampler left them.

    Args:
        entry: what to draw.
        network: with its ladder in `sigmas` and its `image_shape`; another σ is reached by `rescaled` where the network
            does not have `takes_any_sigma` set. A `DigitNetwork` is guided to the classes 0, 1, …, 9 in turn.
        digits: (N, C, H, W), what starts are fitted to.
        n_samples: how many.
        batch_size: chains side by side.
        seed: of all of it; samplers with the same start begin alike.
        precision: of the network's layers, see `sbgm.images.devices`.
        folder: of samples of this network, from which those that are there are taken; None keeps none.
    """
    classes = torch.arange(n_samples) % network.n_classes if isinstance(network, DigitNetwork) else None
    title = f"{entry.label}, {entry.evaluations}"
    n_states, _ = cost_of(entry.sampler.states)

    def states(x: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Iterable[State]:
        score = _score(network, entry, precision) if labels is None else guided(network, labels, GUIDANCE)
        chains = entry.sampler.states(score, x, generator)
        return tqdm(chains, title, n_states, leave=False, unit="step", disable=None)  # on a terminal alone

    settings = dataclasses.asdict(entry.sampler) | {"start": entry.start, "clamped": entry.clamped}
    settings |= {"guidance": GUIDANCE, "precision": precision, "fitted_to": content_hash(digits)}
    place = None if folder is None else folder / title.replace(",", "").replace(" ", "-")
    sizes = {"seed": seed, "batch_size": batch_size, "start": _start(entry, digits)}
    return kept_samples(states, network, n_samples, folder=place, settings=settings, given=classes, **sizes)


def _score(network: nn.Module, entry: Entry, precision: str) -> Score:
    """The network's score at any σ, clamped where the entry says so."""
    any_sigma = network if network.takes_any_sigma else rescaled(network)
    score = autocast(any_sigma, precision, network.sigmas.device.type)
    return in_range(score, *network.data_range) if entry.clamped else score


def _start(entry: Entry, digits: Tensor) -> Start:
    if entry.start == "uniform":
        return uniform_start
    sigma = entry.sampler.sigmas[0]
    return fitted_start(digits, sigma) if entry.start == "fitted" else gaussian_start(sigma, digits.mean(dim=0))


# --- the curve --------------------------------------------------------------------------------------------------------

CURVE = "sampler_curve_"  # what the names of records of curves begin with
N_SHEET = 16
"""Samples of each point that are kept to be looked at."""
N_FITTED = 1_000
"""Training digits that a fitted start is fitted to."""
N_CONFIRMED = 1_000
"""Samples of each of two points that are measured once more."""


@dataclasses.dataclass(frozen=True)
class SamplerCurve:
    """How near to the data samplers come with few and with many evaluations of one network, and some of the samples.

    Both tables have a row for each sampler and number of evaluations. Their columns:

    - `label`: the sampler's name. `evaluations`: of the network, for a sample; they rise from row to row of a label.
    - `distance`, `se`: Fréchet distance to MNIST's test images in the features of `mnist_classifier`, and its standard
      error. `judge`, `judge_se`: in those of `mnist_judge`, where the record has them.
    - `sure`: the share of samples that `mnist_classifier` is at least 90 % sure of.
    - of `confirmed` alone, `n_samples`: how many were drawn anew; `smallest_class`, `largest_class`: the shares of
      samples that the classifier puts in its rarest and commonest class.

    Attributes:
        points: the table of all samplers and costs.
        facts: of the measurement; the hashes of network and classifier among them.
        sheets: (16, 1, 28, 28) uint8 by "label, evaluations".
        confirmed: the nearest of `cheaper()`, and the one that the classifier is surest of, measured once more on
            samples from other noise: the best of many is flattered by its choice.
    """

    points: pandas.DataFrame
    facts: dict[str, str | int | float]
    sheets: dict[str, Tensor]
    confirmed: pandas.DataFrame

    def __str__(self) -> str:
        """The whole curve as text: a line for each label, with its distances ± 2 s.e. by evaluations."""
        lines = [f"Fréchet distance ± 2 s.e., {self.facts['n_samples']:,} samples, by evaluations"]
        for label, points in self.points.groupby("label", sort=False):
            values = (f"{p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}" for p in points.itertuples())
            lines.append(f"{label:<32}" + "  ".join(f"{value:<20}" for value in values).rstrip())
        lines += [
            f"anew, {p.n_samples:,} samples of {p.label}, {p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}, "
            f"sure of {p.sure:.1%}, classes {p.smallest_class:.1%} to {p.largest_class:.1%}"
            for p in self.confirmed.itertuples()
        ]
        return "\n".join(lines)

    def algorithm_1(self) -> pandas.Series:
        """The best that Algorithm 1 does with all of its evaluations, 1,000 or a ladder's multiple just below."""
        points = self.points[self.points["label"].str.startswith("Algorithm 1")]
        dearest = points[points["evaluations"] > 0.9 * points["evaluations"].max()]
        return dearest.loc[dearest["distance"].idxmin()]

    def cheaper(self) -> pandas.DataFrame:
        """The other samplers with at most a tenth of Algorithm 1's evaluations, the nearest to the data first."""
        others = self.points[~self.points["label"].str.startswith("Algorithm 1")]
        return others[others["evaluations"] <= self.algorithm_1().evaluations / 10].sort_values("distance")


def load_curve(network: str) -> SamplerCurve:
    """The recorded curve of a network.

    Raises:
        FileNotFoundError, ValueError: as `load_record`.
    """
    name = f"{CURVE}{network}"
    file = ledger.results_folder() / f"{name}.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    facts = check_weights(Record(name, "", (), facts=content["facts"])).facts
    points, confirmed = (pandas.DataFrame(content[table]) for table in ("points", "confirmed"))
    tensors, _ = load_tensors(as_recorded(file.with_suffix(".safetensors"), facts))
    return SamplerCurve(points, facts, tensors, confirmed)


def measure_curve(
    folder: Path, network: str, n_samples: int = 1_000, batch_size: int = 50, machine: Machine = CPU
) -> SamplerCurve:
    """Measure every sampler's samples on a network, `guided_entries`, and write the network's record.

    Of the samplers with a tenth of Algorithm 1's evaluations or fewer, the nearest to the data and the one that the
    classifier is surest of are then measured again, on samples from other noise.

    The samples are kept batch by batch in `folder`; a run that was stopped goes on from there.

    Args:
        folder: of samples.
        network: a shipped `DigitNetwork`, or a file of one.
        n_samples: of each sampler, more than 128, the number of features.
        batch_size: chains side by side.
        machine: where the network runs.
    """
    model = machine.prepared(load_network(network))
    wanted = guided_entries(model.sigmas)
    digits = some_images("mnist_small", "train", N_FITTED)

    stem = weights_file(network).stem
    sizes = {"batch_size": batch_size, "folder": Path(folder) / stem}
    points = []
    sheets = {}
    for entry in tqdm(wanted, "curve", unit="sampler"):
        samples = draw_entry(entry, model, digits, n_samples, **sizes)
        points.append(_measured(entry, samples))
        sheets[f"{entry.label}, {entry.evaluations}"] = quantise(samples[:N_SHEET])
    curve = SamplerCurve(pandas.DataFrame(points), {}, sheets, pandas.DataFrame())
    cheaper = curve.cheaper()
    best = [wanted[i] for i in dict.fromkeys([cheaper.index[0], cheaper["sure"].idxmax()])]
    confirmed = []
    for entry in best:
        samples = draw_entry(entry, model, digits, N_CONFIRMED, seed=1, **sizes)
        confirmed.append(_confirmed(entry, samples))
    how_drawn = {"n_samples": n_samples, "batch_size": batch_size, "seed": 0}
    facts = attach(
        ledger.results_folder() / f"{CURVE}{stem}.safetensors",
        sheets,
        how_drawn | {"reference": "10,000 MNIST test images"},
        networks=[network, SHIPPED_CLASSIFIER, JUDGE],
    )
    content = {"facts": facts, "points": points, "confirmed": confirmed}
    write_json(ledger.results_folder() / f"{CURVE}{stem}.json", content)
    return dataclasses.replace(curve, facts=facts, confirmed=pandas.DataFrame(confirmed))


def _measured(entry: Entry, samples: Tensor) -> dict[str, str | float]:
    """A row of `SamplerCurve.points`."""
    distance = digit_distance(samples)
    judge = digit_distance(samples, classifier=JUDGE)
    sure = confident_share(in_batches(load_classifier(), shown(samples)))
    return {
        "label": entry.label,
        "evaluations": entry.evaluations,
        "distance": distance.value,
        "se": distance.se,
        "sure": sure.value,
        "judge": judge.value,
        "judge_se": judge.se,
    }


def _confirmed(entry: Entry, samples: Tensor) -> dict[str, str | float]:
    """A row of `SamplerCurve.confirmed`."""
    counts = torch.bincount(in_batches(load_classifier(), shown(samples)).argmax(dim=1), minlength=10)
    shares = (counts.double() / len(samples)).tolist()
    classes = {"smallest_class": min(shares), "largest_class": max(shares)}
    return {**_measured(entry, samples), "n_samples": len(samples), **classes}


def main() -> None:
    """Measure the curve that the command line names, and print it."""
    more = {
        "network": {"help": "a shipped DigitNetwork, or a file of one"},
        "--n-samples": {"type": int, "default": 1_000, "help": "of each sampler, more than 128 (1,000)"},
        "--batch-size": {"type": int, "default": 50, "help": "chains side by side (50)"},
    }
    print(measure_curve(**script_options(__doc__, "samples", draws=True, more=more)))


if __name__ == "__main__":
    main()
