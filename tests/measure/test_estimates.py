"""The numbers that settle claims, against repeated simulation, closed forms and cases made by hand."""

import math

import pytest
import torch

from sbgm import GaussianMixture, measure, paper_mixture
from sbgm.measure import class_shares, class_test, confident_share, share
from seeds import seeded

# --- estimates and moments -------------------------------------------------------------------------------------------


def test_estimate_is_the_mean_and_its_standard_error():
    estimate = measure.estimate(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert estimate.value == 3
    assert estimate.se == pytest.approx(math.sqrt(14 / 3 / 4))  # variance (4 + 1 + 0 + 9)/3
    assert str(measure.Estimate(3.2412, 0.0534)) == "3.24 ± 0.11"


DRAWS = {
    "normal": (lambda shape, g: torch.randn(shape, generator=g, dtype=torch.float64), 1.0, 3.0),
    "exponential": (lambda shape, g: -torch.rand(shape, generator=g, dtype=torch.float64).log(), 1.0, 9.0),
    "uniform": (lambda shape, g: torch.rand(shape, generator=g, dtype=torch.float64), 1 / 12, 1.8),
}


@pytest.mark.parametrize("name", ["normal", "uniform", "exponential"])
def test_standard_errors_are_the_spread_over_repeated_simulations(name):
    """400 repetitions on 4,000 points: the spread of an estimate is its mean standard error, within 4 s.e. of a spread.

    The exponential's kurtosis is left out: its standard error needs moments that 4,000 points don't pin down.
    """
    draw, variance, kurtosis = DRAWS[name]
    runs = [measure.moments(x) for x in draw((400, 4_000), seeded())]
    for moment, exact in (("mean", None), ("variance", variance), ("kurtosis", kurtosis)):
        if (name, moment) == ("exponential", "kurtosis"):
            continue
        values = torch.tensor([getattr(run, moment).value for run in runs])
        errors = torch.tensor([getattr(run, moment).se for run in runs])
        assert float(values.std()) == pytest.approx(float(errors.mean()), rel=4 / math.sqrt(2 * 400))
        if exact is not None:
            assert float(values.mean()) == pytest.approx(exact, abs=4 * float(errors.mean()) / math.sqrt(400) + 0.005)


# --- score error -----------------------------------------------------------------------------------------------------


def test_relative_squared_error():
    """Of all examples together, one of which has no score at all."""
    estimated, exact = torch.tensor([[3.0, 4.0], [1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert measure.relative_squared_error(estimated, exact) == pytest.approx(0.2)


def test_fisher_divergence_of_two_gaussians():
    """½E‖−x + x/v‖² = ½ D (1 − 1/v)² v for x ~ N(0, vI)."""
    wide = GaussianMixture([1.0], [[0.0, 0.0, 0.0]], 2.0)
    x = wide.sample(50_000, generator=seeded())
    divergence = measure.fisher_divergence(lambda x, sigma: -x, wide.score, x)
    assert divergence.value == pytest.approx(0.5 * 3 * (1 - 1 / 4) ** 2 * 4, abs=4 * divergence.se)
    assert 0 < divergence.se < 0.02


@pytest.mark.parametrize("shape", [(9, 1), (1, 2), (2,), (9, 2, 1)])
def test_scores_that_would_only_broadcast_are_refused(shape):
    mixture, x = paper_mixture(), 9 * torch.eye(9, 2)

    def wrong(x, sigma):
        return torch.ones(shape)

    for score, exact, name in ((wrong, mixture.score, "score"), (mixture.score, wrong, "exact")):
        with pytest.raises(ValueError, match=rf"{name} must return x's shape, \(9, 2\), got "):
            measure.fisher_divergence(score, exact, x)


# --- modes -----------------------------------------------------------------------------------------------------------

MEANS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 10.0]])


def test_mode_weights_and_distances_by_hand():
    x = torch.tensor([[1.9, 0.0], [2.1, 0.0], [4.0, 3.0], [0.0, 5.1]])
    assert measure.mode_weights(x, MEANS).tolist() == [0.25, 0.5, 0.25]
    assert measure.distance_to_modes(x, MEANS).tolist() == pytest.approx([1.9, 1.9, 3.0, 4.9])
    assert measure.mode_weights(x[:1], MEANS).tolist() == [1, 0, 0]
    exact = [1.9 / math.sqrt(2), math.sqrt((1.9**2 + 3**2) / 4), 4.9 / math.sqrt(2)]
    assert measure.component_stds(x, MEANS).tolist() == pytest.approx(exact)
    assert measure.component_stds(x[:1], MEANS).isnan().tolist() == [False, True, True]


def switches(*paths, means=((-5.0,), (5.0,)), radius=1.0):
    """The switches of chains on a line, each given by its positions."""
    counter = measure.SwitchCounter(torch.tensor(means), radius)
    for x in torch.tensor(paths).T:
        counter.update(x[:, None])
    return counter.switches.tolist()


def test_a_switch_is_from_near_one_mean_to_near_another():
    there_and_back = [-5.0, -2.0, 2.0, 5.0, 5.5, 0.0, -4.5]
    stays = [-5.0, -4.2, -5.9, -5.0, -4.5, -5.5, -5.0]
    turns_round = [-5.0, -2.0, 2.0, 3.9, 1.0, -3.0, -5.0]
    jumps = [-5.0, 5.0, -5.0, 5.0, -5.0, 5.0, -5.0]
    assert switches(there_and_back, stays, turns_round, jumps) == [2, 0, 0, 6]


def test_jitter_on_a_border_counts_for_nothing():
    between_modes = [-0.1, 0.1, -0.1, 0.1, -0.1]
    on_the_rim = [-3.9, -4.1, -3.9, -4.1, -3.9]
    after_a_switch = [-5.0, 4.1, 3.9, 4.1, 3.9]
    assert switches(between_modes, on_the_rim, after_a_switch) == [0, 0, 1]


def test_switches_among_three_modes():
    assert switches([-5.0, 0.0, 5.0, -5.0], means=((-5.0,), (0.0,), (5.0,))) == [3]


# --- images ----------------------------------------------------------------------------------------------------------


def test_psnr_of_noise_of_std_001_is_40_decibels():
    clean = torch.rand(10, 3, 64, 64, generator=seeded())
    noisy = clean + 0.01 * torch.randn(clean.shape, generator=seeded(1))
    assert measure.psnr(noisy, clean) == pytest.approx(40, abs=4 * 10 / math.log(10) * math.sqrt(2 / clean.numel()))
    assert measure.psnr(clean + 0.1, clean) == pytest.approx(20, abs=1e-4)
    assert measure.psnr(clean, clean) == math.inf


@pytest.mark.parametrize("compare", [measure.psnr, measure.ssim])
def test_images_in_0_to_255_are_refused(compare):
    clean = 255 * torch.rand(1, 16, 16, generator=seeded())
    with pytest.raises(ValueError, match=r"clean must be in \[0, 1\], got values from .* to 2"):
        compare(clean + 1, clean)


def test_moments_of_bytes_are_those_of_their_numbers():
    x = torch.randint(256, (1_000,), generator=seeded(), dtype=torch.uint8)
    assert measure.moments(x) == measure.moments(x.double())


def test_ssim_is_1_for_equal_images_and_falls_with_noise():
    rows = torch.linspace(0, 1, 32)
    clean = (rows[:, None] * rows[None, :]).expand(3, 32, 32).clone()
    z = torch.randn(clean.shape, generator=seeded())
    assert measure.ssim(clean, clean) == pytest.approx(1)
    values = [measure.ssim(clean + sigma * z, clean) for sigma in (0.01, 0.1, 0.5)]
    assert 1 > values[0] > values[1] > values[2]
    assert measure.ssim((clean + 0.1 * z).requires_grad_(), clean) == values[1]
    assert values[0] > 0.9


# --- shares ----------------------------------------------------------------------------------------------------------


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
