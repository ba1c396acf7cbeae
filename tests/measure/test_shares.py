"""Shares of a classifier's classes and of sure samples, with intervals that hold what they promise."""

import pytest
import torch

from sbgm.measure import class_shares, class_test, confident_share, share


def test_shares_by_hand():
    logits = torch.tensor([[0.0, 5.0, 0.0], [0.0, 1.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    shares = class_shares(logits)
    assert [s.value for s in shares] == [0.25, 0.75, 0]
    assert (shares[2].low, shares[2].n) == (0, 4)
    assert confident_share(logits).value == 0.75  # e⁵/(e⁵ + 2) = .987, e/(e + 2) = .58
    assert confident_share(logits, 0.5).value == 1


def test_a_confidence_of_just_the_threshold_counts():
    logits = torch.tensor([[0.5, 0.5]]).log()
    assert confident_share(logits, 0.5).value == 1
    assert confident_share(logits, 0.500001).value == 0


def test_wilsons_interval():
    """Newcombe 1998, table 1: 81 of 263 gives .2553 to .3662, 0 of 20 gives 0 to .1611."""
    assert share(81, 263)[1:3] == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert share(0, 20)[1:3] == (0, pytest.approx(0.1611, abs=5e-5))
    assert share(20, 20)[1:3] == (pytest.approx(1 - 0.1611, abs=5e-5), 1)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.8])
def test_the_interval_covers_the_truth_about_95_times_in_100(p):
    """Over all counts of 200, each with its binomial probability."""
    likely = torch.distributions.Binomial(200, torch.tensor(p, dtype=torch.float64)).log_prob(torch.arange(201.0)).exp()
    covered = torch.tensor([found.low <= p <= found.high for found in (share(c, 200) for c in range(201))])
    assert float(likely[covered].sum()) == pytest.approx(0.95, abs=0.025)


# --- the test of class shares ----------------------------------------------------------------------------------------


def one_hot(classes):
    return torch.nn.functional.one_hot(torch.as_tensor(classes), 3).float()


def test_chi_squared_by_hand():
    """Of 40 samples 20, 10, 10 are expected: 15, 20, 5 give 25/20 + 100/10 + 25/10 = 13.75, and p = e^−6.875."""
    labels = torch.tensor([0, 0, 1, 2])
    found = class_test(one_hot([0] * 15 + [1] * 20 + [2] * 5), labels)
    assert found.statistic == pytest.approx(13.75)
    assert found.n_degrees == 2
    assert found.p == pytest.approx(2.718281828**-6.875)
    assert str(found) == "χ² = 13.8 with 2 degrees of freedom, p = 0.001"
