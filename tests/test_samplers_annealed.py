"""Annealed Langevin dynamics: Fig. 3's figures, closed forms on a Gaussian, divergence, and the denoising step."""

import inspect
import itertools
import math
import re

import pytest
import torch

from sbgm import (
    GaussianMixture,
    annealed_langevin,
    final,
    geometric_sigmas,
    langevin,
    paper_mixture,
    randn_like,
)
from sbgm.measure import mode_weights, moments
from sbgm.samplers import State, langevin_step
from sbgm.theory import annealed_variance
from seeds import seeded

N_SEEDS, N_CHAINS = 20, 1_280
CODE_LADDER = geometric_sigmas(20, 1, 10)  # the authors' code
TEXT_LADDER = geometric_sigmas(10, 0.1, 10)  # the paper's text, whose bound is ε < 0.0404
MIXTURE = paper_mixture()
AUTHORS_FORM = paper_mixture(stds=0.0)  # σ is a component's whole standard deviation


def uniform_starts(n, seed=0, dtype=torch.float32):
    """n points on [−8, 8]²."""
    return 16 * torch.rand(n, 2, generator=seeded(seed), dtype=dtype) - 8


def gaussian(variance=1.0, dim=1):
    return GaussianMixture([1.0], [[0.0] * dim], math.sqrt(variance))


def by_hand(score, x, sigmas, step_size, n_steps, generator):
    """Algorithm 1 as the paper prints it, without checks or guards: the chains after each step."""
    sigmas = [float(s) for s in sigmas]
    for sigma in sigmas:
        alpha = step_size * sigma**2 / sigmas[-1] ** 2
        for _ in range(n_steps):
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x + (alpha / 2) * score(x, sigma) + math.sqrt(alpha) * z
            yield x


def test_the_algorithm_can_be_copied_out_with_three_names():
    """Without its decorators and their module, it draws the same samples."""
    sources = [inspect.getsource(inspect.unwrap(function)) for function in (langevin_step, annealed_langevin)]
    bodies = [source[source.index("def ") :] for source in sources]
    names = {"State": State, "as_list": list, "randn_like": randn_like, "math": math}
    exec("\n".join(["from __future__ import annotations", *bodies]), names)
    options = {"step_size": 0.01, "n_steps": 3, "denoise_last": True}
    arguments = MIXTURE.score, uniform_starts(10), TEXT_LADDER.tolist()
    copied = final(names["annealed_langevin"](*arguments, **options, generator=seeded()))
    assert torch.equal(copied, final(annealed_langevin(*arguments, **options, generator=seeded())))


# --- Fig. 3 and its table: the share of 1,280 chains in (5, 5), 20 seeds ---------------------------------------------
# The mean of 20 seeds has a standard error of .013/√20 = .003, ours and that of each tabled figure: ± .012 is 3 s.e.


def cloud(name):
    """20 × 1,280 points by one of the ways of the table."""
    starts = uniform_starts(N_SEEDS * N_CHAINS)
    if name == "exact":
        return MIXTURE.sample(len(starts), generator=seeded(1))
    if name == "langevin":
        return final(langevin(MIXTURE.score, starts, step_size=0.1, n_steps=1_000, generator=seeded(1)))
    target, ladder, step_size = {
        "authors' form": (AUTHORS_FORM, CODE_LADDER, 0.1),
        "convolved": (MIXTURE, CODE_LADDER, 0.1),
        "text, ε = .01": (MIXTURE, TEXT_LADDER, 0.01),
    }[name]
    return final(annealed_langevin(target.score, starts, ladder, step_size=step_size, n_steps=100, generator=seeded(1)))


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("exact", 0.799),
        ("langevin", 0.509),
        ("authors' form", 0.786),
        ("convolved", 0.785),
        ("text, ε = .01", 0.775),
    ],
)
def test_the_weight_of_a_cloud_is_the_tables(name, weight):
    weights = torch.stack([mode_weights(x, MIXTURE.means)[1] for x in cloud(name).chunk(N_SEEDS)])
    assert float(weights.mean()) == pytest.approx(weight, abs=0.012)
    # a seed scatters binomially, by .011–.014; the sd of 20 values is known to 16 %: ± 3 s.e.
    assert float(weights.std()) == pytest.approx(math.sqrt(weight * (1 - weight) / N_CHAINS), rel=0.5)


# --- the algorithm, step by step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("as_list", [False, True])
def test_it_is_algorithm_1_on_the_same_noise(dtype, as_list):
    starts = uniform_starts(50, dtype=dtype)
    ladder = CODE_LADDER.tolist() if as_list else CODE_LADDER
    states = annealed_langevin(MIXTURE.score, starts, ladder, step_size=0.3, n_steps=7, generator=seeded(1))
    for state, x in zip(states, by_hand(MIXTURE.score, starts, CODE_LADDER, 0.3, 7, seeded(1)), strict=True):
        torch.testing.assert_close(state.x, x)
        assert state.x.dtype == dtype


# --- on a Gaussian, closed forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ladder", "step_size", "n_steps", "variance", "start"),
    [
        (CODE_LADDER, 0.1, 100, 1.0, 20.0),  # settles at every level
        (CODE_LADDER, 0.1, 5, 1.0, 20.0),  # settles at none
        (TEXT_LADDER, 0.01, 20, 1.0, 1.0),  # starts too narrow
        (TEXT_LADDER, 0.039, 20, 1.0, 100.0),  # 3 % below the bound, overshooting at every step
        (torch.tensor([3.0, 1.0]), 2.0, 3, 0.0, 4.0),  # few, large steps, and data that are a point
    ],
)
def test_the_variance_after_each_level_follows_the_recursion(ladder, step_size, n_steps, variance, start):
    """Within 5 standard errors, √(2/40,000) = .7 % each; the law stays Gaussian, kurtosis 3 ± 5 √(24/40,000)."""
    predicted = annealed_variance(ladder, step_size=step_size, n_steps=n_steps, variance=variance, start=start)
    starts = math.sqrt(start) * torch.randn(40_000, 1, generator=seeded())
    options = {"step_size": step_size, "n_steps": n_steps, "generator": seeded(1)}
    ends = [s.x for s in annealed_langevin(gaussian(variance).score, starts, ladder, **options) if s.step == n_steps]
    for x, expected in zip(ends, predicted, strict=True):
        measured = moments(x)
        assert measured.variance.value == pytest.approx(expected, rel=5 * math.sqrt(2 / 40_000))
        assert measured.kurtosis.value == pytest.approx(3, abs=5 * math.sqrt(24 / 40_000))


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("step_size", "level"), [(0.05, 1), (0.1, 2), (1e6, 1)])
def test_it_raises_where_the_state_has_grown_a_million_fold_and_says_why(step_size, level, dtype):
    """And yields every state before it. At levels of 5 steps the limit is passed beyond the first level."""
    starts, n_steps = uniform_starts(64, dtype=dtype), 5 if level == 2 else 100
    expected = by_hand(MIXTURE.score, starts, TEXT_LADDER, step_size, n_steps, seeded(1))
    states = annealed_langevin(
        MIXTURE.score, starts, TEXT_LADDER, step_size=step_size, n_steps=n_steps, generator=seeded(1)
    )
    n_small = len([*itertools.takewhile(lambda x: x.abs().max() <= 1e6 * 10.0, expected)])  # σ_1 is above max |x| = 8
    assert len([*itertools.islice(states, n_small)]) == n_small
    step = n_small % n_steps + 1
    said = f"level {level} of 10 (sigma = {TEXT_LADDER[level - 1]:g}), step {step}: the state is no longer finite"
    with pytest.raises(FloatingPointError, match=re.escape(said)) as caught:
        next(states)
    assert f"step_size = {step_size:g} is" in str(caught.value)
    assert "4σ_L²(1 + v/σ_1²), here 0.04 × (1 + v/100)" in str(caught.value)
    bound = pytest.approx(0.04)  # 4σ_L², safe for data of any variance
    assert vars(caught.value) == {"step_size": step_size, "level": level, "step": step, "bound": bound}


def test_far_starts_are_no_divergence():
    starts = torch.tensor([[1e8, 1e8], [0.0, -1e8], [0.0, 0.0]])  # near ones beside them
    x = final(
        annealed_langevin(gaussian(dim=2).score, starts, [10.0, 1.0], step_size=1.0, n_steps=100, generator=seeded())
    )
    assert float(x.abs().max()) < 20
