"""Annealed Langevin dynamics: Fig. 3's figures, closed forms on a Gaussian, divergence, and the denoising step."""

import functools
import itertools
import math

import pytest
import torch

from sbgm import (
    GaussianMixture,
    SamplerDivergedError,
    annealed_langevin,
    denoise,
    final,
    geometric_sigmas,
    langevin,
    paper_mixture,
)
from sbgm.measure import component_stds, mode_weights, moments
from sbgm.theory import annealed_variance, langevin_variance, largest_stable_step
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


# --- Fig. 3 and its table: the share of 1,280 chains in (5, 5), 20 seeds ---------------------------------------------
# The mean of 20 seeds has a standard error of .013/√20 = .003, ours and that of each tabled figure: ± .012 is 3 s.e.


@functools.cache
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
        "text, ε = .02": (MIXTURE, TEXT_LADDER, 0.02),
        "text, ε = .01": (MIXTURE, TEXT_LADDER, 0.01),
        "text, ε = .005": (MIXTURE, TEXT_LADDER, 0.005),
    }[name]
    return final(annealed_langevin(target.score, starts, ladder, step_size=step_size, n_steps=100, generator=seeded(1)))


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("exact", 0.799),
        ("langevin", 0.509),
        ("authors' form", 0.786),
        ("convolved", 0.785),
        ("text, ε = .02", 0.735),
        ("text, ε = .01", 0.775),
        ("text, ε = .005", 0.791),
    ],
)
def test_the_weight_of_a_cloud_is_the_tables(name, weight):
    weights = torch.stack([mode_weights(x, MIXTURE.means)[1] for x in cloud(name).chunk(N_SEEDS)])
    assert float(weights.mean()) == pytest.approx(weight, abs=0.012)
    # a seed scatters binomially, by .011–.014; the sd of 20 values is known to 16 %: ± 3 s.e.
    assert float(weights.std()) == pytest.approx(math.sqrt(weight * (1 - weight) / N_CHAINS), rel=0.5)


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("exact", 1.0),
        ("langevin", math.sqrt(langevin_variance(0.1))),
        ("authors' form", math.sqrt(langevin_variance(0.1))),
        ("convolved", 1.43),  # √(1 + 1), widened by ε
        ("text, ε = .005", 1.02),
    ],
)
def test_the_width_of_a_component_is_the_tables(name, std):
    """Within 3 standard errors, 1/√(2 · 2 · n), at their largest: n is 12,500 in (5, 5) and 5,000 in (−5, −5)."""
    measured = component_stds(cloud(name), MIXTURE.means)
    assert float(measured[1]) == pytest.approx(std, rel=0.0135)
    assert float(measured[0]) == pytest.approx(std, rel=0.0215)


def test_above_the_bound_an_unguarded_run_hides_its_divergence_and_ours_raises():
    """At ε = .05 the state grows by some 10⁴⁷ and comes back, with a weight of .45 (10,000 chains: ± .005)."""
    starts = uniform_starts(10_000, dtype=torch.float64)
    largest = 0.0
    for x in by_hand(MIXTURE.score, starts, TEXT_LADDER, 0.05, 100, seeded(1)):
        largest = max(largest, float(x.abs().max()))
    assert 1e45 < largest < 1e51
    assert bool(torch.isfinite(x).all())
    assert float(mode_weights(x, MIXTURE.means)[1]) == pytest.approx(0.45, abs=0.02)
    with pytest.raises(SamplerDivergedError):
        final(annealed_langevin(MIXTURE.score, starts, TEXT_LADDER, step_size=0.05, n_steps=100, generator=seeded(1)))


# --- the algorithm, step by step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("as_list", [False, True])
def test_it_is_algorithm_1_on_the_same_noise(dtype, as_list):
    starts = uniform_starts(50, dtype=dtype)
    ladder = CODE_LADDER.tolist() if as_list else CODE_LADDER
    states = [*annealed_langevin(MIXTURE.score, starts, ladder, step_size=0.3, n_steps=7, generator=seeded(1))]
    for state, x in zip(states, by_hand(MIXTURE.score, starts, CODE_LADDER, 0.3, 7, seeded(1)), strict=True):
        torch.testing.assert_close(state.x, x)
        assert state.x.dtype == dtype
    places = itertools.product(enumerate(CODE_LADDER.tolist(), start=1), range(1, 8))
    assert [((s.level, s.sigma), s.step) for s in states] == [*places]


# --- on a Gaussian, closed forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ladder", "step_size", "n_steps", "variance", "start"),
    [
        (CODE_LADDER, 0.1, 100, 1.0, 20.0),  # settles at every level
        (CODE_LADDER, 0.1, 5, 1.0, 20.0),  # settles at none
        (TEXT_LADDER, 0.01, 20, 1.0, 1.0),  # starts too narrow
        (TEXT_LADDER, 0.039, 20, 1.0, 100.0),  # 3 % below the bound, overshooting at every step
        (torch.tensor([3.0, 1.0]), 2.0, 3, 0.25, 4.0),  # few, large steps
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
@pytest.mark.parametrize("step_size", [0.05, 0.1, 1.0, 1e6])
def test_beyond_the_bound_it_raises_and_says_where_and_why(dtype, step_size):
    states = annealed_langevin(
        MIXTURE.score,
        uniform_starts(64, dtype=dtype),
        TEXT_LADDER,
        step_size=step_size,
        n_steps=100,
        generator=seeded(1),
    )
    with pytest.raises(SamplerDivergedError) as caught:
        final(states)
    error = caught.value
    assert error.step_size == step_size
    assert error.level == 1
    assert 1 <= error.step < 100
    assert error.bound == pytest.approx(0.04)  # 4σ_L², safe for data of any variance
    message = str(error)
    assert f"step_size = {step_size:g}" in message
    assert f"level 1 of 10 (sigma = 10), step {error.step}: the state is" in message
    assert "4σ_L²(1 + v/σ_1²), here 0.04 × (1 + v/100)" in message
    assert isinstance(error, FloatingPointError)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_raises_at_the_very_step_at_which_the_state_has_grown_a_million_fold(dtype):
    """Levels of 5 steps, so that the limit is passed beyond the first level."""
    starts = uniform_starts(64, dtype=dtype)
    limit = 1e6 * 10.0  # σ_1 is larger than max |x| = 8
    sizes = [float(x.abs().max()) for x in by_hand(MIXTURE.score, starts, TEXT_LADDER, 0.1, 5, seeded(1))]
    first = next(i for i, size in enumerate(sizes) if size > limit)
    states = annealed_langevin(MIXTURE.score, starts, TEXT_LADDER, step_size=0.1, n_steps=5, generator=seeded(1))
    for size in sizes[:first]:  # every state before it is yielded
        assert float(next(states).x.abs().max()) == pytest.approx(size, rel=1e-4)
    with pytest.raises(SamplerDivergedError, match=r"level 2 of 10 \(sigma = 5\.99") as caught:
        next(states)
    assert (caught.value.level, caught.value.step) == (first // 5 + 1, first % 5 + 1)


def test_far_starts_are_no_divergence():
    starts = torch.tensor([[1e8, 1e8], [0.0, -1e8], [0.0, 0.0]])  # near ones beside them
    x = final(
        annealed_langevin(gaussian(dim=2).score, starts, [10.0, 1.0], step_size=1.0, n_steps=100, generator=seeded())
    )
    assert float(x.abs().max()) < 20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_threshold_is_the_bound_for_components_of_variance_one(dtype):
    """At r times the bound, growth a step is 2r − 1: 10⁶-fold takes 356 steps at r = 1.02, and never comes at .98."""
    bound = largest_stable_step(TEXT_LADDER, variance=1.0)
    assert bound == pytest.approx(0.0404)

    def run(step_size):
        starts = uniform_starts(64, dtype=dtype)
        options = {"step_size": step_size, "n_steps": 400, "generator": seeded(1)}
        return final(annealed_langevin(MIXTURE.score, starts, TEXT_LADDER, **options))

    assert bool(torch.isfinite(run(0.98 * bound)).all())
    with pytest.raises(SamplerDivergedError) as caught:
        run(1.02 * bound)
    assert caught.value.level == 1


# --- denoising -------------------------------------------------------------------------------------------------------


def posterior_mean(mixture, x, sigma):
    """E[clean | noisy] by Bayes' rule, component by component, without any score."""
    total, mass = torch.zeros_like(x), torch.zeros(len(x), 1, dtype=x.dtype)
    for weight, mean, std in zip(mixture.weights, mixture.means.to(x.dtype), mixture.stds, strict=True):
        spread = float(std) ** 2 + sigma**2
        likelihood = float(weight) * torch.exp(-(x - mean).square().sum(1, keepdim=True) / (2 * spread)) / spread
        total += likelihood * (float(std) ** 2 * x + sigma**2 * mean) / spread
        mass += likelihood
    return total / mass


@pytest.mark.parametrize("stds", [1.0, [0.5, 2.0], 0.0])
@pytest.mark.parametrize("sigma", [0.5, 2.0, 5.0])
def test_denoising_gives_the_exact_posterior_mean(stds, sigma):
    mixture = GaussianMixture([0.2, 0.8], [[-2.0, -1.0], [1.0, 3.0]], stds)
    x = 3 * torch.randn(200, 2, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(
        denoise(mixture.score, x, sigma), posterior_mean(mixture, x, sigma), rtol=1e-7, atol=1e-7
    )


def test_denoise_last_adds_one_state_without_noise():
    starts = uniform_starts(100)
    options = {"step_size": 0.1, "n_steps": 10}
    without = list(annealed_langevin(MIXTURE.score, starts, CODE_LADDER, generator=seeded(1), **options))
    with_it = list(
        annealed_langevin(MIXTURE.score, starts, CODE_LADDER, generator=seeded(1), denoise_last=True, **options)
    )
    assert len(without) == 100
    assert len(with_it) == 101
    assert all(torch.equal(a.x, b.x) for a, b in zip(without, with_it, strict=False))
    last = with_it[-1]
    assert (last.level, last.step, last.sigma) == (10, 11, 1.0)
    assert torch.equal(last.x, denoise(MIXTURE.score, without[-1].x, 1.0))
