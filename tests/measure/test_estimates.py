"""The numbers that settle claims, against repeated simulation, closed forms and cases made by hand."""

import math

import pytest
import torch

from sbgm import measure
from sbgm.measure import inception_score, share
from seeds import seeded

# --- estimates and moments -------------------------------------------------------------------------------------------


def test_estimate_is_the_mean_and_its_standard_error():
    estimate = measure.estimate(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert estimate.value == 3
    assert estimate.se == pytest.approx(math.sqrt(14 / 3 / 4))  # variance (4 + 1 + 0 + 9)/3
    assert str(measure.Estimate(3.2412, 0.0534)) == "3.24 ± 0.11"


def test_a_matrix_holds_no_independent_numbers():
    copies = torch.randn(100, 1, generator=seeded()).expand(100, 50)
    for values in (copies, copies[0, 0], copies[:1, 0]):
        with pytest.raises(ValueError, match=r"values must be two or more independent numbers, \(n,\), got shape"):
            measure.estimate(values)


@pytest.mark.parametrize(
    ("draw", "exact"),
    [
        (torch.Tensor.normal_, {"mean": 0.0, "variance": 1.0, "kurtosis": 3.0}),
        (torch.Tensor.uniform_, {"mean": 0.5, "variance": 1 / 12, "kurtosis": 1.8}),
        # its kurtosis's error needs moments that 4,000 don't pin down
        (torch.Tensor.exponential_, {"mean": 1.0, "variance": 1.0}),
    ],
)
def test_standard_errors_are_the_spread_over_repeated_simulations(draw, exact):
    """Over 400 repetitions, within 4 s.e. of a spread."""
    runs = [measure.moments(x) for x in draw(torch.empty(400, 4_000).double(), generator=seeded())]
    for moment, right in exact.items():
        values = torch.tensor([getattr(run, moment).value for run in runs])
        error = sum(getattr(run, moment).se for run in runs) / 400
        assert float(values.std()) == pytest.approx(error, rel=4 / math.sqrt(2 * 400))
        assert float(values.mean()) == pytest.approx(right, abs=4 * error / math.sqrt(400) + 0.005)


def test_the_error_of_a_kurtosis_is_that_of_its_influence_function():
    """Its derivative by the weight of each point, by automatic differentiation, where the law is skewed."""
    x = torch.randn(50, generator=seeded(), dtype=torch.float64).exp()
    weights = torch.full((50,), 1 / 50, dtype=torch.float64, requires_grad=True)
    centred = x - (weights * x).sum() / weights.sum()
    m2, m4 = ((weights * centred**k).sum() / weights.sum() for k in (2, 4))
    kurtosis = m4 / m2**2
    (influence,) = torch.autograd.grad(kurtosis, weights)
    assert measure.moments(x).kurtosis == pytest.approx((kurtosis.item(), float(influence.std() / math.sqrt(50))))


@pytest.mark.parametrize("shape", [(1,), (1, 1), (4, 2), (1, 4), ()])
def test_moments_are_of_two_or_more_points_of_one_dimension(shape):
    with pytest.raises(ValueError, match="x must be two or more points of one dimension"):
        measure.moments(torch.ones(shape))
    assert measure.moments(torch.tensor([[1.0], [3.0]])) == measure.moments(torch.tensor([1.0, 3.0]))


def test_moments_of_bytes_are_those_of_their_numbers():
    x = torch.randint(256, (1_000,), generator=seeded(), dtype=torch.uint8)
    assert measure.moments(x) == measure.moments(x.double())


# --- score error -----------------------------------------------------------------------------------------------------


def test_relative_squared_error():
    """Of all examples together, one of which has no score at all."""
    exact = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    estimated = torch.tensor([[3.0, 4.0], [1.0, 2.0]])
    assert measure.relative_squared_error(estimated, exact) == pytest.approx(0.2)


# --- modes -----------------------------------------------------------------------------------------------------------

MEANS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 10.0]])


def test_mode_weights_and_distances_by_hand():
    x = torch.tensor([[1.9, 0.0], [2.1, 0.0], [4.0, 3.0], [0.0, 5.1]])
    assert measure.mode_weights(x, MEANS).tolist() == [0.25, 0.5, 0.25]
    assert measure.distance_to_modes(x, MEANS).tolist() == pytest.approx([1.9, 1.9, 3.0, 4.9])
    assert measure.mode_weights(x[:1], MEANS).tolist() == [1, 0, 0]
    stds = [1.9 / math.sqrt(2), math.sqrt((1.9**2 + 3**2) / 4), 4.9 / math.sqrt(2)]
    assert measure.component_stds(x, MEANS).tolist() == pytest.approx(stds)
    assert measure.component_stds(x[:1], MEANS).isnan().tolist() == [False, True, True]


def test_distances_far_from_the_origin_keep_their_digits():
    """Of 40 points, beyond the 25 from which torch takes distances by a product of matrices."""
    means = torch.tensor([[1e4, 1e4], [1e4, -1e4]])
    x = means[:1] + 0.125 * torch.eye(2)[torch.arange(40) % 2]
    assert measure.distance_to_modes(x, means).tolist() == pytest.approx([0.125] * 40)


# --- images ----------------------------------------------------------------------------------------------------------


def test_psnr_of_noise_of_std_001_is_40_decibels():
    clean = torch.rand(10, 3, 64, 64, generator=seeded())
    noise = 0.01 * torch.randn(clean.shape, generator=seeded(1))
    error = 10 / math.log(10) * math.sqrt(2 / clean.numel())
    assert measure.psnr(clean + noise, clean) == pytest.approx(40, abs=4 * error)
    assert measure.psnr(clean + 0.1, clean) == pytest.approx(20, abs=1e-4)
    assert measure.psnr(clean, clean) == math.inf


def test_images_in_0_to_255_are_refused():
    clean = 255 * torch.rand(1, 16, 16, generator=seeded())
    with pytest.raises(ValueError, match=r"clean must be in \[0, 1\], got values from .* to 2"):
        measure.psnr(clean + 1, clean)


# --- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_probabilities_are_no_logits(dtype):
    """Their softmax is nearly flat: of sure classes it would make an inception score near 1."""
    logits = 20 * torch.eye(10, dtype=dtype).repeat(2, 1)
    inception_score(logits)
    with pytest.raises(ValueError, match="logits must be logits, the numbers before the softmax"):
        inception_score(logits.softmax(dim=1))


def test_the_standard_error_of_a_share_is_the_binomials():
    assert share(30, 100).se == pytest.approx(math.sqrt(0.3 * 0.7 / 100))
    assert share(100, 100).se == 0


@pytest.mark.parametrize(
    ("count", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)]
)
def test_wilsons_interval(count, n, low, high):
    """Newcombe 1998, table 1."""
    _, *interval, _ = share(count, n)
    assert interval == pytest.approx([low, high], abs=5e-5)
