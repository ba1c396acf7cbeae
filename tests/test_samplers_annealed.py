"""Annealed Langevin dynamics: Algorithm 1 written out, closed forms on a Gaussian, and divergence."""

import inspect
import itertools
import math
import re

import pytest
import torch

from balance import annealed_variances
from sbgm import GaussianMixture, annealed_langevin, final, geometric_sigmas, paper_mixture, randn_like
from sbgm.measure import moments
from sbgm.samplers import State, langevin_step
from seeds import seeded

CODE_LADDER = geometric_sigmas(20, 1, 10)  # the authors' code
TEXT_LADDER = geometric_sigmas(10, 0.1, 10)  # the paper's text, whose bound is ε < 0.0404
MIXTURE = paper_mixture()


def uniform_starts(n):
    """n points on [−8, 8]²."""
    return 16 * torch.rand(n, 2, generator=seeded()) - 8


def gaussian(variance=1.0, dim=1):
    return GaussianMixture([1.0], [[0.0] * dim], math.sqrt(variance))


def by_hand(score, x, sigmas, step_size, n_steps, generator):
    """Algorithm 1 as the paper prints it, without checks or guards: the chains after each step."""
    for sigma in sigmas.tolist():
        alpha = step_size * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            z = torch.randn(x.shape, generator=generator)
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


def test_it_is_algorithm_1_on_the_same_noise():
    starts = uniform_starts(50)
    states = annealed_langevin(MIXTURE.score, starts, CODE_LADDER, step_size=0.3, n_steps=7, generator=seeded(1))
    for state, x in zip(states, by_hand(MIXTURE.score, starts, CODE_LADDER, 0.3, 7, seeded(1)), strict=True):
        torch.testing.assert_close(state.x, x)


def test_the_last_state_is_the_one_before_it_denoised_if_asked_for():
    options = {"step_size": 0.01, "n_steps": 1, "generator": seeded(1), "denoise_last": True}
    *_, x, last = annealed_langevin(MIXTURE.score, uniform_starts(50), [1.0, 0.5], **options)
    torch.testing.assert_close(last.x, x.x + 0.25 * MIXTURE.score(x.x, 0.5))


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
    predicted = annealed_variances(ladder.tolist(), step_size, n_steps, variance, start)
    starts = math.sqrt(start) * torch.randn(40_000, 1, generator=seeded())
    options = {"step_size": step_size, "n_steps": n_steps, "generator": seeded(1)}
    ends = [s.x for s in annealed_langevin(gaussian(variance).score, starts, ladder, **options) if s.step == n_steps]
    for x, expected in zip(ends, predicted, strict=True):
        measured = moments(x)
        assert measured.variance.value == pytest.approx(expected, rel=5 * math.sqrt(2 / 40_000))
        assert measured.kurtosis.value == pytest.approx(3, abs=5 * math.sqrt(24 / 40_000))


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step_size", "n_steps", "level"), [(0.05, 100, 1), (0.1, 5, 2), (1e6, 100, 1)])
def test_it_raises_where_the_state_has_grown_a_million_fold_and_says_why(step_size, n_steps, level):
    """And yields every state before it. At levels of 5 steps the limit is passed beyond the first level."""
    starts = uniform_starts(64)
    arguments = MIXTURE.score, starts, TEXT_LADDER
    expected = by_hand(*arguments, step_size, n_steps, seeded(1))
    n_small = len([*itertools.takewhile(lambda x: x.abs().max() <= 1e6 * 10.0, expected)])  # σ_1 is above max |x| = 8
    states = annealed_langevin(*arguments, step_size=step_size, n_steps=n_steps, generator=seeded(1))
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
    options = {"step_size": 1.0, "n_steps": 100, "generator": seeded()}
    x = final(annealed_langevin(gaussian(dim=2).score, starts, [10.0, 1.0], **options))
    assert float(x.abs().max()) < 20
