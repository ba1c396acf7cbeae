"""The networks for points and the perceptron for images: shapes, seeds, σ, and guidance by class."""

import math
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import DTYPES, SEEDS, batches, points, scores, seeded, sigmas_of
from sbgm import MLP, ConditionalMLP, ImageMLP
from sbgm.networks import drawn_from, guided
from sbgm.training import n_parameters

LADDER = (2.0, 0.5, 0.1)

# torch's own warning, when forward-mode differentiation is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def some_points(n=6, dim=2, seed=1, dtype=torch.float32):
    return torch.randn(n, dim, generator=seeded(seed), dtype=dtype)


def test_the_network_of_figure_2():
    """2-128-128-2 with softplus between: 2·128 + 128 + 128² + 128 + 128·2 + 2 numbers."""
    network = MLP()
    assert [type(layer) for layer in network.layers] == [nn.Linear, nn.Softplus, nn.Linear, nn.Softplus, nn.Linear]
    assert [layer.weight.shape for layer in network.layers[::2]] == [(128, 2), (128, 128), (2, 128)]
    assert n_parameters(network) == 17_154


def test_a_conditional_score_grows_as_one_over_sigma():
    """Where σ is far below the data's width, σ‖s‖ moves only as the network's view of log σ does."""
    network = ConditionalMLP(width=32, generator=seeded())
    x = some_points(500)
    with torch.no_grad():
        lengths = {sigma: float(network(x, sigma).norm(dim=1).mean()) for sigma in (1e-2, 1e-3)}
    assert 5 < lengths[1e-3] / lengths[1e-2] < 20


# --- the perceptron for images ---------------------------------------------------------------------------------------


def test_the_output_is_divided_by_sigma():
    """Without waves of log σ, and with the point scaled back, all that σ does is the division."""
    made = ImageMLP(LADDER, (1, 8, 8), 16, 2, generator=seeded())
    nn.init.normal_(made.end.weight, generator=seeded(2))  # which is zero before training
    made.frequencies.zero_()
    x = torch.rand(6, 1, 8, 8, generator=seeded(1))
    points = [0.5 + x * math.sqrt(1 + 4 * s**2) for s in (1e-4, 50.0)]  # off the ladder, which limits nothing
    torch.testing.assert_close(1e-4 * made(points[0], 1e-4), 50 * made(points[1], 50.0), rtol=1e-4, atol=1e-5)


# --- laws of any network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MLP, ConditionalMLP])
@given(points(dtypes=DTYPES), st.integers(1, 9), st.integers(1, 3), st.data(), SEEDS)
def test_a_perceptron_scores_one_point_at_a_time(kind, x, width, depth, data, seed):
    network = kind(x.shape[1], width, depth, generator=seeded(seed)).to(x.dtype)
    sigma = data.draw(sigmas_of(x))
    with untouched(x), torch.no_grad():
        assert_like(assert_one_by_one(network, x, sigma), x)
        assert_near(network(x, 0.5), network(x, torch.full((len(x),), 0.5)))
        assert torch.equal(network(x, sigma), network(x, 2 * sigma)) == (kind is MLP)  # which knows no sigma


@given(batches(), st.floats(-3, 3), st.floats(0.1, 5), st.data())
def test_the_clean_point_of_a_score_in_range_is_clamped_and_no_more(x, low, width, data):
    score = data.draw(scores(tuple(x.shape[1:])))
    sigma = data.draw(sigmas_of(x))
    clean = sbgm.denoise(score, x, sigma)
    rounding = 1e-5 * (float(x.abs().max()) + 8)
    for ends in ((low, low + width), (-1e6, 1e6)):
        kept = sbgm.denoise(sbgm.in_range(score, *ends), x, sigma)
        assert_like(kept, x)
        torch.testing.assert_close(kept, clean.clamp(*ends), rtol=0.0, atol=rounding)


def means_of_classes(x, sigma, label=2):
    """The score of N(2, 1) for the class 0, of N(5, 1) for the class 1, and of N(3, 1) for any, under noise σ."""
    means = torch.tensor([2.0, 5.0, 3.0])[label]
    return (means.reshape(-1, 1) - x) / (1 + sigma**2)


@pytest.mark.parametrize("label", [1, torch.tensor([1, 0, 2])])
@pytest.mark.parametrize("w", [0.0, 1.0, 2.5])
def test_guidance_goes_w_times_the_way_from_any_class_to_the_class(label, w):
    """As of Gaussians of one width: so of that whose mean lies w times as far from the mean of any class."""
    x = some_points(3)
    mean = 3 + w * torch.tensor([2.0, -1.0, 0.0] if isinstance(label, torch.Tensor) else [2.0]).reshape(-1, 1)
    torch.testing.assert_close(guided(means_of_classes, label, w)(x, 0.5), (mean - x) / 1.25)


def test_weights_are_drawn_from_a_generator_on_the_cpu():
    elsewhere = mock.Mock(device=torch.device("cuda:0"))
    said = r"^generator must be on the CPU, where networks begin, got one on cuda:0$"
    with pytest.raises(ValueError, match=said), drawn_from(elsewhere):
        pass
