"""Networks as scores: shapes, dtypes, one example at a time, seeds; and what wraps a score in another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import DTYPES, EXACT, SEEDS, batches, images, points, scores, seeded, sigmas_of
from sbgm.training import n_parameters

LADDER = (2.0, 0.5, 0.1)
ON_PLANE = {"MLP": sbgm.MLP, "ConditionalMLP": sbgm.ConditionalMLP, "EnergyMLP": sbgm.EnergyMLP}
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda n: 4 * n), st.integers(1, 3).map(lambda n: 4 * n))


def image_network(kind: str, shape: tuple[int, int, int], dtype: torch.dtype, seed: int) -> torch.nn.Module:
    """A small network of random weights for images of a shape."""
    if kind == "ImageMLP":
        network = sbgm.ImageMLP(LADDER, shape, 8, 1, generator=seeded(seed))
    elif kind == "DigitNetwork":
        network = sbgm.DigitNetwork(LADDER, image_shape=shape, width=8, n_blocks=1, generator=seeded(seed))
    elif kind == "RefineNet":
        network = sbgm.RefineNet(LADDER, 2, shape[0], divide_by_sigma=seed % 2 == 0, generator=seeded(seed))
    else:
        network = sbgm.ResNet(8, shape[0], generator=seeded(seed))
    with torch.no_grad():  # some layers are zero at the start
        for i, p in enumerate(network.parameters()):
            p.copy_(p + 0.1 * torch.randn(p.shape, generator=seeded(seed + i)))
    return network.to(dtype).eval()


@pytest.mark.parametrize("name", ON_PLANE)
@given(points(dtypes=DTYPES), st.integers(1, 9), st.integers(1, 3), st.data(), SEEDS)
def test_a_perceptron_scores_one_point_at_a_time_and_is_its_seeds_own(name, x, width, depth, data, seed):
    sigma = data.draw(sigmas_of(x))
    with untouched(x):
        networks = [ON_PLANE[name](x.shape[1], width, depth, generator=seeded(seed)).to(x.dtype) for _ in range(2)]
        with torch.no_grad():
            s = assert_one_by_one(networks[0], x, sigma)
            assert_near(networks[0](x, 0.5), networks[0](x, torch.full((len(x),), 0.5)))
    assert_like(s, x)
    assert torch.equal(s, networks[1](x, sigma))
    assert n_parameters(networks[0]) == sum(p.numel() for p in networks[1].parameters())


@given(points(dtypes=st.just(torch.float64)), st.data(), SEEDS)
def test_an_energys_score_is_minus_its_gradient(x, data, seed):
    sigma, network = data.draw(sigmas_of(x)), sbgm.EnergyMLP(x.shape[1], 8, 2, generator=seeded(seed)).double()
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(network.energy(x, sigma).sum(), x)
    assert_near(network(x, sigma), -gradient)
    assert torch.equal(network.log_prob(x, sigma), -network.energy(x, sigma))


@pytest.mark.parametrize("kind", ["ImageMLP", "DigitNetwork", "RefineNet", "ResNet"])
@given(images(SIZES, st.just(torch.float64), max_size=3), SEEDS)
def test_a_network_scores_one_image_at_a_time(kind, x, seed):
    network = image_network(kind, tuple(x.shape[1:]), x.dtype, seed)
    sigma = torch.tensor(LADDER, dtype=x.dtype)[torch.randint(3, (len(x),), generator=seeded(seed))]
    with untouched(x), torch.no_grad():
        assert_like(assert_one_by_one(network, x, sigma), x)
        assert_near(network(x, 0.5), network(x, torch.full((len(x),), 0.5)))
        assert_like(network.float()(x.float(), sigma), x.float())


@given(images(SIZES, EXACT), st.data(), SEEDS)
def test_an_image_perceptron_starts_at_zero_and_its_ladder_limits_nothing(x, data, seed):
    network = sbgm.ImageMLP(LADDER, tuple(x.shape[1:]), 4, 1, generator=seeded(seed)).to(x.dtype)
    assert torch.equal(network(x, data.draw(sigmas_of(x))), torch.zeros_like(x))


@given(images(SIZES, EXACT, max_size=3), st.integers(0, 3), st.floats(0, 5), SEEDS)
def test_a_guided_score_is_linear_in_its_weight(x, label, w, seed):
    network = sbgm.DigitNetwork(LADDER, n_classes=3, image_shape=tuple(x.shape[1:]), width=8, n_blocks=1).to(x.dtype)
    of_any, of_class, guided = (sbgm.guided(network, label, weight)(x, 0.5) for weight in (0.0, 1.0, w))
    assert_near(guided - of_any, w * (of_class - of_any))


@given(batches(), st.floats(-3, 3), st.floats(0.1, 5), st.data())
def test_the_clean_point_of_a_score_in_range_is_clamped_and_no_more(x, low, width, data):
    score, sigma = data.draw(scores(tuple(x.shape[1:]))), data.draw(sigmas_of(x))
    clean = sbgm.denoise(score, x, sigma)
    kept = sbgm.denoise(sbgm.in_range(score, low, low + width), x, sigma)
    assert_like(kept, x)
    size = float(x.abs().max()) + 8
    assert float((kept - clean.clamp(low, low + width)).abs().max()) <= size * (
        1e-5 if x.dtype == torch.float32 else 1e-12
    )
    wide = sbgm.in_range(score, -1e6, 1e6)
    assert_one_by_one(wide, x, sigma)
    assert float((sbgm.denoise(wide, x, sigma) - clean).abs().max()) <= 1e-5 * size
