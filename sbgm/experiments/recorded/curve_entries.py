"""What chapter 10's curve is made of: every sampler at every cost, and how its samples are drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from sbgm.experiments.recorded.samples import kept_batches
from sbgm.experiments.sampler_curve import renewing, samplers_within
from sbgm.generation import Start, fitted_start, gaussian_start, uniform_start
from sbgm.losses import Score
from sbgm.networks import in_range, rescaled
from sbgm.noise import derived_generator, geometric_sigmas
from sbgm.precision import autocast
from sbgm.samplers import NamedSampler, final
from sbgm.techniques import best_step_size

BUDGETS, MIDDLE, FULL = (10, 20, 50), 100, 1_000
PAPER_LADDER = tuple(geometric_sigmas(1.0, 0.01, 10).tolist())
CHOSEN = (
    "ancestral, geometric",
    "consistent, geometric",
    "predictor-corrector, power",
    "euler, power",
    "heun, power",
    "multistep, power",
)
RENEWING = (
    ("renewing, c = 8", 8.0, True),
    ("renewing, c = 20", 20.0, True),
    ("renewing all", math.inf, True),
    ("renewing all, not clamped", math.inf, False),
)
CHOSEN_FROM_TOP = ("ancestral, geometric", "multistep, power")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One sampler at one cost.

    Attributes:
        label: what curve it is a point of, such as "multistep, power".
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
        """Of the network, a sample."""
        return self.sampler.evaluations

    @property
    def key(self) -> str:
        """Names the samples by label, cost, and a hash of all settings."""
        words = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        return f"{self.label.replace(' ', '-').replace(',', '')}-{self.evaluations}-{words}"


def entries(sigmas: Tensor) -> list[Entry]:
    """Every sampler at every budget of `BUDGETS`, for a network with this ladder; Algorithm 1 at two larger ones too.

    Algorithm 1 is the paper's: σ from 1 to .01 in 10 levels, ε = 2e-5, from uniform noise. The samplers that go from
    level to level, `renewing` among them, run between the same ends, and end with a denoising step. Where the network's
    σ_1 is larger, there are curves from there as well, and one of Algorithm 1 as NCSNv2 runs it: on the network's whole
    ladder, with ε by technique 4, and denoised at the end.

    Args:
        sigmas: the network's ladder.
    """
    own, found = tuple(sigmas.tolist()), []
    wide = own[0] > 1.01 * PAPER_LADDER[0]
    for budget in (*BUDGETS, MIDDLE, FULL):
        found.append(Entry("Algorithm 1", samplers_within(budget, PAPER_LADDER)["annealed"], "uniform", clamped=False))
    if wide:
        for n_steps in (1, FULL // len(own)):
            step_size = best_step_size(own[-1], own[0] / own[1], n_steps)
            sampler = NamedSampler("annealed", own, step_size, n_steps, denoise_last=True)
            found.append(Entry("Algorithm 1, NCSNv2", sampler, "mean", clamped=False))
    for budget in BUDGETS:
        within = samplers_within(budget, PAPER_LADDER, denoise_last=True)
        found += [Entry(label, within[label], "fitted") for label in CHOSEN]
        found.append(Entry("multistep, power, not clamped", within["multistep, power"], "fitted", clamped=False))
        for label, c, clamped in RENEWING:
            found.append(Entry(label, renewing(PAPER_LADDER[0], PAPER_LADDER[-1], budget, c), "fitted", clamped))
        if wide:
            within = samplers_within(budget, own, denoise_last=True)
            found += [Entry(f"{label}, from σ₁", within[label], "mean") for label in CHOSEN_FROM_TOP]
    return found


def draw_entry(
    entry: Entry, network: nn.Module, digits: Tensor, kept: Path, n_samples: int, batch_size: int = 50, seed: int = 0
) -> Iterator[Tensor]:
    """The batches of an entry's samples, (B, C, H, W) as the sampler left them, each drawn unless it is in `kept`.

    Args:
        entry: what to draw.
        network: with its ladder in `sigmas` and its `image_shape`; another σ is reached by `rescaled` where the network
            does not have `takes_any_sigma` set.
        digits: (N, C, H, W), what starts are fitted to.
        kept: the folder of the batches, one file each, written whole.
        n_samples: at least so many in all.
        batch_size, seed: as for `measure_curve`.
    """
    score, start = _score(network, entry), _start(entry, digits)

    def drawn(batch: int) -> dict[str, Tensor]:
        generator = derived_generator(seed, batch)
        x = start((batch_size, *network.image_shape), generator).to(network.sigmas.device)
        return {"samples": final(entry.sampler.states(score, x, generator)).cpu()}

    for tensors in kept_batches(kept, math.ceil(n_samples / batch_size), drawn, entry=repr(entry)):
        yield tensors["samples"]


def _score(network: nn.Module, entry: Entry) -> Score:
    """The network's score in bfloat16 layers, at any σ, clamped where the entry says so."""
    any_sigma = network if network.takes_any_sigma else rescaled(network)
    score = autocast(any_sigma, "bf16", network.sigmas.device.type)
    return in_range(score, *network.data_range) if entry.clamped else score


def _start(entry: Entry, digits: Tensor) -> Start:
    if entry.start == "uniform":
        return uniform_start
    sigma = entry.sampler.sigmas[0]
    return fitted_start(digits, sigma) if entry.start == "fitted" else gaussian_start(sigma, digits.mean(dim=0))
