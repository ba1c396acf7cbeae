"""Standard errors that are no √n: against simulation and closed forms."""

import math

import pytest
import torch

from errors import bootstrap, extremes, largest, of_networks, rank_correlation, ratio, shares_kept, worst_over_best
from sbgm.measure import Estimate
from seeds import seeded


@pytest.mark.parametrize(("a", "b"), [(6.0, 2.0), (-6.0, 2.0), (6.0, -2.0), (0.5, 0.2)])
def test_the_error_of_a_ratio_is_the_spread_of_ratios(a, b):
    """Over 100,000 pairs, of which the denominators vary by 2 %: within 4 s.e. of a spread, and the second order."""
    errors = 0.05 * abs(a), 0.02 * abs(b)
    draws = torch.randn(2, 100_000, generator=seeded(), dtype=torch.float64)
    ratios = (a + errors[0] * draws[0]) / (b + errors[1] * draws[1])
    measured = ratio(Estimate(a, errors[0]), Estimate(b, errors[1]))
    assert measured.value == pytest.approx(a / b)
    assert measured.se == pytest.approx(float(ratios.std()), rel=0.01)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_twice_the_error_of_few_networks_holds_their_mean_as_often_as_two_sigma(n):
    few = [of_networks(row) for row in torch.randn(4_000, n, generator=seeded(n))]
    inside = sum(abs(e.value) <= 2 * e.se for e in few) / len(few)
    assert inside == pytest.approx(math.erf(math.sqrt(2)), abs=0.012)


def test_the_bootstrap_of_a_mean_is_its_standard_error():
    x = torch.randn(200, generator=seeded(1), dtype=torch.float64)
    of_mean = bootstrap(lambda i: float(x[i].mean()), 200, generator=seeded(2))
    assert of_mean.value == float(x.mean())
    assert of_mean.se == pytest.approx(float(x.std()) / math.sqrt(200), rel=0.06)


def test_the_bootstrap_of_a_rank_correlation_of_twelve_things_is_wide():
    x, noise = torch.randn(2, 12, generator=seeded(3))
    y = x + 0.3 * noise
    of_ranks = bootstrap(lambda i: rank_correlation(x[i], y[i]), 12, generator=seeded(4))
    assert of_ranks.value == pytest.approx(rank_correlation(x, y))
    assert 0.02 < of_ranks.se < 0.25
    assert math.isnan(rank_correlation(x, torch.ones(12)))
    assert rank_correlation(x, x.exp()) == pytest.approx(1)


def halves(values, se, seed):
    generator = seeded(seed)
    noisy = [[v * (1 + se * torch.randn((), generator=generator).item()) for v in values] for _ in range(2)]
    return [[Estimate(v, se * v) for v in half] for half in noisy]


def test_the_worst_of_equal_cells_chosen_by_other_samples_is_no_worse():
    logs = [math.log(worst_over_best(halves([1.0] * 19, 0.1, seed)).value) for seed in range(300)]
    assert sum(logs) / 300 == pytest.approx(0, abs=0.02)
    chosen_by_the_same = [max(e.value for e in halves([1.0] * 19, 0.1, seed)[0]) for seed in range(300)]
    assert sum(chosen_by_the_same) / 300 > 1.15  # what the choice takes out
    mean_of_largest = sum(largest(halves([1.0] * 19, 0.1, seed)).value for seed in range(300)) / 300
    assert mean_of_largest == pytest.approx(1, abs=0.02)


def test_extremes_are_chosen_by_one_half_and_taken_from_the_other():
    first, second = ([Estimate(v, 0.1) for v in values] for values in ((1.0, 2.0, 3.0), (5.0, 4.0, 6.0)))
    assert extremes([first, second]) == [
        (Estimate(6.0, 0.1), Estimate(5.0, 0.1)),
        (Estimate(3.0, 0.1), Estimate(2.0, 0.1)),
    ]
    assert worst_over_best([first, second]).value == pytest.approx(math.sqrt(6 / 5 * 3 / 2))


def test_shares_of_chains_that_seldom_cross_have_the_error_of_the_crossings():
    start = torch.arange(10_000) % 5
    shares = []
    for seed in range(200):
        crosses = torch.rand(10_000, generator=seeded(seed)) < 0.01
        end = torch.where(crosses, (start + 1) % 5, start)
        shares.append(shares_kept(start, end, 5)[0])
    spread = torch.tensor([s.value for s in shares]).std()
    assert sum(s.se for s in shares) / 200 == pytest.approx(float(spread), rel=0.15)
    assert shares_kept(start, start, 5)[0] == Estimate(pytest.approx(0.2), 0.0)
