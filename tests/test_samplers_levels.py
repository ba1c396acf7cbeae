"""The samplers that go from level to level: closed forms on a Gaussian, orders of convergence, the paper's mixture."""

import contextlib
import itertools
import math

import pytest
import torch

from counting import CountedScore
from sbgm import (
    GaussianMixture,
    NamedSampler,
    SamplerDivergedError,
    ancestral,
    consistent_annealed,
    denoise,
    final,
    geometric_sigmas,
    paper_mixture,
    power_sigmas,
    predictor_corrector,
    probability_flow,
)
from sbgm.measure import moments
from sbgm.samplers import consistent_step_bounds
from seeds import seeded

MIXTURE = paper_mixture()
LADDER = geometric_sigmas(20, 0.5, 20).double()
N = 40_000


def gaussian(variance, dim=1):
    return GaussianMixture([1.0], [[0.0] * dim], math.sqrt(variance))


def starts(variance, n=N, dim=1):
    return math.sqrt(variance) * torch.randn(n, dim, generator=seeded(7), dtype=torch.float64)


def of_each_kind(sigmas, denoise_last=False):
    """Every sampler but Algorithm 1 on a ladder; the consistent one with an ε in the middle of what is allowed."""
    sigmas = tuple(float(s) for s in sigmas)
    step_size = 1.3 * consistent_step_bounds(sigmas)[0]
    common = {"sigmas": sigmas, "denoise_last": denoise_last}
    return [
        NamedSampler("consistent", step_size=step_size, **common),
        NamedSampler("ancestral", **common),
        NamedSampler("predictor-corrector", step_size=0.1 * sigmas[-1] ** 2, n_steps=2, **common),
        *(NamedSampler(method, **common) for method in ("euler", "heun", "multistep")),
    ]


def run(sampler, score, x):
    return list(sampler.states(score, x, seeded(1)))


# --- variances on a Gaussian -----------------------------------------------------------------------------------------


def check_variances(states, predicted):
    """Within 5 standard errors, √(2/40,000) each; the law stays Gaussian, kurtosis 3 ± 5 √(24/40,000)."""
    for state, expected in zip(states, predicted, strict=True):
        measured = moments(state.x)
        assert measured.variance.value == pytest.approx(expected, rel=5 * math.sqrt(2 / N))
        assert measured.kurtosis.value == pytest.approx(3, abs=5 * math.sqrt(24 / N))


@pytest.mark.parametrize("sigmas", [LADDER, torch.tensor([3.0, 2.0, 1.5, 0.5, 0.4]).double()])
@pytest.mark.parametrize(("variance", "start"), [(1.0, 401.0), (25.0, 4.0)])
@pytest.mark.parametrize("position", [0.0, 0.2, 0.5, 1.0])
def test_the_consistent_samplers_variance_follows_the_recursion(sigmas, variance, start, position):
    low, high = consistent_step_bounds(sigmas)
    options = {"step_size": low + position * (high - low)}
    states = consistent_annealed(gaussian(variance).score, starts(start), sigmas, generator=seeded(1), **options)
    check_variances(states, consistent_variance(sigmas, variance=variance, start=start, **options))


def consistent_variance(sigmas, *, step_size, variance, start):
    """V ← (1 − ησ_k²/(v + σ_k²))² V + σ_{k+1}² − (1 − η)²σ_k² with η = ε/(2σ_L²), at σ_2 … σ_L."""
    result, eta = [], step_size / (2 * float(sigmas[-1]) ** 2)
    for a, b in itertools.pairwise(float(s) ** 2 for s in sigmas):
        start = (1 - eta * a / (variance + a)) ** 2 * start + max(0.0, b - (1 - eta) ** 2 * a)
        result.append(start)
    return result


def ancestral_variance(sigmas, *, variance, start):
    """V ← (1 − (σ_k² − σ_{k+1}²)/(v + σ_k²))² V + σ_{k+1}²(σ_k² − σ_{k+1}²)/σ_k², at σ_2 … σ_L."""
    result = []
    for a, b in itertools.pairwise(float(s) ** 2 for s in sigmas):
        start = (1 - (a - b) / (variance + a)) ** 2 * start + b * (a - b) / a
        result.append(start)
    return result


@pytest.mark.parametrize("sigmas", [LADDER, torch.tensor([3.0, 2.0, 1.5, 0.5, 0.4]).double()])
@pytest.mark.parametrize(("variance", "start"), [(1.0, 401.0), (25.0, 4.0)])
def test_the_ancestral_samplers_variance_follows_the_recursion(sigmas, variance, start):
    states = ancestral(gaussian(variance).score, starts(start), sigmas, generator=seeded(1))
    check_variances(states, ancestral_variance(sigmas, variance=variance, start=start))


def test_the_predictor_correctors_variance_follows_both_recursions():
    sigmas, variance, step_size, current, predicted = LADDER.tolist(), 1.0, 0.3, 50.0, []
    for a, b in itertools.pairwise(sigmas):
        (current,) = ancestral_variance([a, b], variance=variance, start=current)
        predicted.append(current)
        alpha = step_size * b**2 / sigmas[-1] ** 2
        for _ in range(2):
            current = (1 - alpha / (2 * (variance + b**2))) ** 2 * current + alpha
            predicted.append(current)
    options = {"step_size": step_size, "n_steps": 2, "generator": seeded(1)}
    check_variances(predictor_corrector(gaussian(variance).score, starts(50.0), sigmas, **options), predicted)


# --- one formula, three samplers -------------------------------------------------------------------------------------


def test_the_smallest_consistent_step_is_eulers():
    x, sigmas = MIXTURE.sample(50, 16.0, generator=seeded()).double(), [16.0, 8.0, 4.0, 2.0, 1.0]
    low, _ = consistent_step_bounds(sigmas)
    ours = consistent_annealed(MIXTURE.score, x, sigmas, step_size=low, generator=seeded(1))
    for a, b in zip(ours, probability_flow(MIXTURE.score, x, sigmas, method="euler"), strict=True):
        torch.testing.assert_close(a.x, b.x)


def test_a_consistent_step_that_rounding_puts_below_the_smallest_adds_no_noise():
    low, _ = consistent_step_bounds([4.0, 2.0, 1.0])
    options = {"sigmas": [4.0, 2.0, 1.0], "step_size": low * (1 - 5e-7)}
    ends = [final(consistent_annealed(MIXTURE.score, torch.ones(3, 2), **options, generator=seeded(i))) for i in (1, 2)]
    assert torch.equal(*ends)


def test_ancestral_and_consistent_steps_as_published():
    """x + (σ_k² − σ_{k+1}²)s + √(σ_{k+1}²(σ_k² − σ_{k+1}²)/σ_k²) z, and x + ησ_k²s + σ_{k+1}√(1 − ((1 − η)/r)²) z."""
    x, sigmas, eta = starts(400.0, 50, 2), [20.0, 8.0, 4.0], 0.7
    for name in ("ancestral", "consistent"):
        generator, current = seeded(1), x
        states = run(
            NamedSampler(name, tuple(sigmas), 2 * 16 * eta if name == "consistent" else None), MIXTURE.score, x
        )
        for state, (a, b) in zip(states, itertools.pairwise(sigmas), strict=True):
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            s = MIXTURE.score(current, a)
            if name == "ancestral":
                current = current + (a**2 - b**2) * s + math.sqrt(b**2 * (a**2 - b**2) / a**2) * z
            else:
                current = current + eta * a**2 * s + b * math.sqrt(1 - ((1 - eta) / (b / a)) ** 2) * z
            torch.testing.assert_close(state.x, current)


# --- the probability flow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
@pytest.mark.parametrize("make", [geometric_sigmas, power_sigmas])
def test_the_order_of_convergence(method, order, make):
    """On N(0, v), whose solution is x √((v + σ_L²)/(v + σ_1²)); halved steps divide the error by 2^order, ± 6 %."""
    x, errors = torch.tensor([[3.0], [-7.0]], dtype=torch.float64), []
    for n in (201, 401, 801):
        end = final(probability_flow(gaussian(2.0).score, x, make(10, 0.1, n).double(), method=method))
        exact = x * math.sqrt((2 + 0.1**2) / (2 + 10**2))
        errors.append(float(((end - exact) / exact).abs().max()))
    # float32 ladders end exactly, and are off by rounding in between, which no error above 1e-6 feels
    assert errors[-1] > 1e-6
    assert [math.log2(a / b) for a, b in itertools.pairwise(errors)] == pytest.approx([order, order], abs=0.06)


def test_the_flow_gives_each_start_the_quantile_that_it_has():
    """In one dimension the flow is monotone: it maps the q-quantile of the mixture at σ_1 to that at σ_L."""
    mixture = GaussianMixture([0.3, 0.7], [[-2.0], [3.0]], [0.5, 1.0])

    def cdf(x, sigma):
        widths = (mixture.stds.double() ** 2 + sigma**2).sqrt()
        return (mixture.weights.double() * torch.special.ndtr((x - mixture.means[:, 0].double()) / widths)).sum(dim=1)

    x = torch.linspace(-20, 25, 60, dtype=torch.float64)[:, None]
    end = final(probability_flow(mixture.score, x, power_sigmas(10, 0.05, 400).double()))
    torch.testing.assert_close(cdf(end, 0.05), cdf(x, 10.0), rtol=0, atol=2e-4)


# --- states, costs, divergence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("denoise_last", [False, True])
def test_states_say_where_x_stands_and_what_it_cost(index, denoise_last):
    sampler = of_each_kind([4.0, 2.0, 1.0], denoise_last)[index]
    score, x = CountedScore(MIXTURE.score), torch.zeros(3, 2)
    states = run(sampler, score, x)
    assert score.evaluations == sampler.evaluations
    assert len(states) == sampler.n_states
    steps = 3 if sampler.name == "predictor-corrector" else 1
    expected = [(level, step, 4.0 / 2 ** (level - 1)) for level in (2, 3) for step in range(1, steps + 1)]
    expected += [(3, steps + 1, 1.0)] * denoise_last
    assert [(s.level, s.step, s.sigma) for s in states] == expected
    if denoise_last:
        assert torch.equal(states[-1].x, denoise(MIXTURE.score, states[-2].x, 1.0))
    assert torch.equal(x, torch.zeros(3, 2))


@pytest.mark.parametrize("index", range(6))
def test_a_score_that_turns_nan_is_caught_at_that_level(index):
    def score(x, sigma):
        return x * (math.nan if sigma == 2.0 else 0.0)

    with pytest.raises(SamplerDivergedError) as caught:
        run(of_each_kind([4.0, 2.0, 1.0])[index], score, torch.zeros(3, 2))
    error = caught.value
    name = of_each_kind([4.0, 2.0])[index].name
    at_once = name in ("heun", "predictor-corrector")  # those ask at σ_2 on arriving there
    assert error.level == (2 if at_once else 3)
    assert error.step == (2 if name == "predictor-corrector" else 1)
    if name == "predictor-corrector":
        assert "predictor_corrector diverged at level 2 of 3 (sigma = 2), step 2: the state is" in str(error)
        assert error.bound == pytest.approx(4.0)
    else:
        assert "check that it is finite" in str(error)


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize(("pull", "diverges"), [(3e6, False), (1.2e7, True)])
def test_the_guards_scale_is_the_largest_noise_level(index, pull, diverges):
    """From 0 with σ_1 = 4, σ_2 = 1, a step of .38 to .98 of the pull: up to 4·10⁶ it is let pass."""

    def score(x, sigma):
        return torch.where(x.abs() < 1e3, pull / sigma**2, 0.0)

    with pytest.raises(SamplerDivergedError) if diverges else contextlib.nullcontext():
        run(of_each_kind([4.0, 1.0])[index], score, torch.zeros(3, 2))


def test_a_corrector_beyond_the_bound_raises():
    options = {"step_size": 5.0, "n_steps": 200, "generator": seeded()}
    with pytest.raises(SamplerDivergedError, match=r"the bound for data of variance v is 4σ_L²\(1 \+ v/σ_1²\), here 4"):
        final(predictor_corrector(gaussian(0.01).score, starts(1.0, 20), [2.0, 1.0], **options))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "Langevin"}, "name must be one of 'annealed', 'consistent'"),
        ({"name": "annealed", "step_size": 0.1}, "n_steps must be given for annealed, got None"),
        ({"name": "heun", "step_size": 0.1}, "step_size has no meaning for heun, got 0.1"),
        ({"name": "ancestral", "sigmas": (1.0, 2.0)}, "sigmas must be finite, positive and strictly descending"),
    ],
)
def test_a_named_sampler_refuses_settings_that_it_has_no_use_for(settings, message):
    with pytest.raises(ValueError, match=message):
        NamedSampler(**{"sigmas": (2.0, 1.0)} | settings)
