"""The laws that draws and chains are compared with, by simulation and closed forms."""

import math

import pytest
import torch

import sbgm_course as checks
from answers import normal
from balance import annealed_variances
from sbgm_course import exercise
from sbgm_course.calls import MixtureField
from sbgm_course.chapter_04 import SamplesBesideData, drawn, train_score
from sbgm_course.exercise import Law, compare_law, law_of, noise

# --- checks draws ----------------------------------------------------------------------------------------------------

GAUSSIAN = Law(torch.zeros(1, 60), torch.ones(60))


def samples(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_correlations_pass_their_limit_as_often_as_stated(monkeypatch):
    monkeypatch.setattr(exercise, "FALSE_ALARM", 0.1)
    n_passed = sum(
        bool(correlations.abs().max() > limit)
        for correlations, limit in (exercise._correlations(samples(seed, 30, 40)) for seed in range(500))
    )
    assert 25 < n_passed < 80  # 50 are expected, within 4 standard errors; a few less, for pairs overlap


@pytest.mark.parametrize(("standard_errors", "most"), [(2.0, 0.3), (3.0, 0.03)])
def test_moments_are_refused_as_seldom_as_stated(monkeypatch, standard_errors, most):
    """Four departures, each beyond 2 (3) standard errors in 4.6 % (0.27 %) of all cases."""
    monkeypatch.setattr(exercise, "STANDARD_ERRORS", standard_errors)
    n_refused = sum(bool(exercise._faults(samples(seed, 2, 50, 60), GAUSSIAN)) for seed in range(500))
    assert n_refused / 500 < most


@pytest.mark.parametrize(
    ("factor", "shift", "says"),
    [
        (0.5, 0.0, ["a variance of 0.25 times the right one"]),
        (3.0, 0.0, ["a variance of 9 times the right one"]),
        (1.0, 0.1, ["the wrong mean"]),
        (3.0, 0.3, ["the wrong mean", "a variance of 9 times the right one"]),
        (1e-9, 1e-9, ["a variance of 1e-18 times the right one"]),
        (1e200, 0.0, ["a variance of inf times the right one"]),
    ],
)
def test_mean_variance_and_kurtosis_are_told_apart(factor, shift, says):
    """A law of the wrong kurtosis alone is among the wrong answers to every exercise that draws."""
    x = samples(0, 2, 500, 60)
    x = (x - x.mean()) / x.std()
    assert exercise._faults(shift + factor * x, GAUSSIAN) == says


@pytest.mark.parametrize("run", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused_in_every_run(run, value):
    calls = []

    def step(score, x, step_size, generator):
        calls.append(None)
        x = x + step_size / 2 * score(x) + step_size**0.5 * normal(x.shape, x, generator)
        x[3, 4] = value if len(calls) == 3 or run == 0 else x[3, 4]
        return x

    with pytest.raises(checks.WrongAnswer, match="NaN or infinity"):
        checks.langevin_step.try_answer(step)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (torch.Tensor.cfloat, r"your function returned complex numbers, torch.complex64: is it the root of a negative"),
        (torch.Tensor.to_sparse, "must return plain real numbers, it returned torch.float.*, torch.sparse_coo"),
    ],
    ids=["complex", "sparse"],
)
def test_an_answer_in_other_than_plain_real_numbers_is_refused(changed, says):
    with pytest.raises(checks.WrongAnswer, match=says):
        checks.gaussian_score.try_answer(lambda x, mean, std: changed((mean - x) / std**2))


def test_independent_samples_pass():
    for seed in range(100):
        compare_law(samples(seed, 2, 50, 60), GAUSSIAN, "your samples")


# --- the law of a sampler ---------------------------------------------------------------------------------------------


def chains(std: float = 1.0, n: int = 40) -> tuple[MixtureField, torch.Tensor]:
    """An exact score of N(0, std²), and n chains that all start at 3."""
    target = MixtureField(torch.ones(1), torch.zeros(1, 1), torch.tensor([std]))
    return target, torch.full((n, 1), 3.0, dtype=torch.float64)


def test_the_law_of_algorithm_1_is_that_of_theory():
    sigmas = [4.0, 2.0, 1.0]
    epsilon = 0.3
    n_steps = 5
    variance = 0.7
    score, x = chains(math.sqrt(variance))
    law = law_of(checks.annealed_langevin.right, [score, x, torch.tensor(sigmas), epsilon, n_steps])
    expected = annealed_variances(sigmas, epsilon, n_steps, variance, start=0.0)[-1]
    assert float(law.std) ** 2 == pytest.approx(expected, rel=1e-6)
    assert law.kurtosis == pytest.approx(3.0)


DRAWS = {
    "normal": normal,
    "product": lambda *arguments: normal(*arguments) * normal(*arguments),
    "uniform": lambda shape, x, generator: torch.rand(shape, generator=generator, dtype=x.dtype),
}


@pytest.mark.parametrize("law", DRAWS)
@pytest.mark.parametrize("draw", [int, lambda i: i // 3, lambda i: i % 3, lambda i: 0])
def test_the_law_of_a_chain_is_that_of_its_draws(draw, law):
    def chain(score, x, generator, noise=noise):
        draws = {}
        for i in range(6):
            if draw(i) not in draws:
                draws[draw(i)] = noise(x, generator)
            x = x + 0.3 * score(x, 0.5 + i) + 0.4 * i * draws[draw(i)]
        return x

    expected = law_of(chain, chains(), law)
    score, x = chains(n=100_000)
    drawn = chain(score, x, torch.Generator().manual_seed(0), lambda x, g: DRAWS[law](x.shape, x, g))
    u = (drawn - expected.mean[:1]) / expected.std
    assert float(u.mean()) == pytest.approx(0, abs=5 / math.sqrt(len(u)))
    assert float(u.var()) == pytest.approx(1, abs=5 * math.sqrt((expected.kurtosis - 1) / len(u)))
    assert float(u.pow(4).mean()) == pytest.approx(expected.kurtosis, rel=0.1)


# --- a trained score's samples ----------------------------------------------------------------------------------------


def three_clusters(*weights: float) -> MixtureField:
    means = torch.tensor([[4.0, 0.0], [-2.0, 3.5], [-2.0, -3.5]])
    return MixtureField(torch.tensor(weights), means, torch.full((3,), 0.4))


TARGET = three_clusters(0.15, 0.25, 0.6)


def beside_data(change, seed: int = 0) -> SamplesBesideData:
    """What is seen of 1,000 fresh points with noise, after a change of them, beside 300 data."""
    generator = torch.Generator().manual_seed(seed)
    data = TARGET.sample(300, generator=generator)
    x = TARGET.sample(1000, 0.04, generator=generator)
    return drawn(change(x, data, generator), data, TARGET, 0.04, generator)


def around_the_means(factor: float):
    """Make clusters wider or narrower."""

    def change(x, data, generator):
        means = TARGET.means[torch.cdist(x, TARGET.means).argmin(dim=1)]
        return means + factor * (x - means)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, data, generator: x * math.nan, "diverge with your score"),
        (lambda x, data, generator: torch.cat([x[200:], x[:200] * 3]), "20% of your samples lie far from all data"),
        (around_the_means(1.6), "is the score too small"),
        (around_the_means(0.7), "is the score too large"),
        (lambda x, data, g: three_clusters(0.4, 0.3, 0.3).sample(1000, 0.04, generator=g), "have the shares"),
        (lambda x, data, g: data.repeat(3, 1) + 0.04 * torch.randn(900, 2, generator=g), "they are copies"),
    ],
    ids=["diverged", "stray", "wide", "narrow", "shares", "copies"],
)
def test_samples_are_told_by_what_is_wrong_with_them(change, words):
    seen = beside_data(change)
    (said,) = [sentence for sentence, sign in train_score.mistakes.items() if sign.shown(seen)]
    assert words in said.format(drawn=seen)


def test_half_of_all_fresh_points_are_nearer_to_the_data_than_half_of_them():
    """In 40 draws of the data, within four standard errors of 1,000 points and of the median of 20,000."""
    seen = [beside_data(lambda x, data, generator: x, seed) for seed in range(40)]
    assert not any(sign.shown(one) for one in seen for sign in train_score.mistakes.values())
    shares = torch.tensor([one.near for one in seen])
    assert (shares - 0.5).abs().max() < 4 * math.sqrt(0.25 / 1000 + 0.25 / 20_000)
    assert 0.7 < shares.std() / math.sqrt(0.25 / 1000 + 0.25 / 20_000) < 1.4


def test_a_network_without_sigma_is_no_score_and_the_check_says_so():
    def only_x(x):
        return -x

    with pytest.raises(checks.WrongAnswer, match="this one, called with x and σ, raised"):
        checks.train_score.try_answer(lambda *arguments: only_x)
