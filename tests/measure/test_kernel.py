"""The kernel distance against a double loop, its mean over repeated draws, and its standard error."""

import math

import pytest
import torch

from sbgm.measure import kernel_distance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(x, y):
    """The definition, pair by pair."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize("block_size", [3, 7, 100])
def test_it_is_the_double_loop_over_pairs(block_size):
    x, y = normal(9, 4) + 0.5, normal(13, 4, seed=1)
    assert kernel_distance(x, y, block_size=block_size).value == pytest.approx(by_hand(x, y))


def test_its_standard_error_is_the_jackknifes():
    """Every point left out in turn, samples and reference apart."""
    x, y = normal(9, 4) + 0.5, normal(13, 4, seed=1)

    def without(i, z):
        return torch.cat([z[:i], z[i + 1 :]])

    variance = 0.0
    for values in (
        torch.tensor([by_hand(without(i, x), y) for i in range(9)]),
        torch.tensor([by_hand(x, without(i, y)) for i in range(13)]),
    ):
        variance += (len(values) - 1) / len(values) * float((values - values.mean()).square().sum())
    assert kernel_distance(x, y).se == pytest.approx(math.sqrt(variance), rel=1e-4)


def test_it_is_unbiased_between_draws_of_one_distribution_whatever_their_numbers():
    """Mean 0 within 3 s.e. over 300 draws of 20 and 40 points; with the diagonal of the kernel it would not be."""
    pairs = [(normal(20, 5, seed=2 * i), normal(40, 5, seed=2 * i + 1)) for i in range(1, 301)]
    values = torch.tensor([kernel_distance(x, y).value for x, y in pairs])
    se = float(values.std()) / math.sqrt(300)
    assert abs(float(values.mean())) < 3 * se
    diagonal = torch.tensor([float(((x.square().mean(1) + 1) ** 3).mean()) / 20 for x, _ in pairs]).mean()
    assert diagonal > 20 * se  # what the biased estimator would add


def test_the_standard_error_is_the_spread_over_repeated_draws():
    runs = [kernel_distance(normal(100, 5, seed=2 * i) + 0.4, normal(200, 5, seed=2 * i + 1)) for i in range(1, 201)]
    spread = float(torch.tensor([run.value for run in runs]).std())
    assert sum(run.se for run in runs) / 200 == pytest.approx(spread, rel=4 / math.sqrt(400))
