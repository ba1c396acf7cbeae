"""The networks for points and for small images: shapes, seeds, σ, the energy, and the network of Fig. 1."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import DTYPES, EXACT, SEEDS, batches, images, points, scores, seeded, sigmas_of
from sbgm import MLP, ConditionalMLP, EnergyMLP, ImageMLP, ResNet, load_network, save_network
from sbgm.training import n_parameters

# --- points in a few dimensions --------------------------------------------------------------------------------------

CONDITIONAL = [ConditionalMLP, EnergyMLP]

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


def test_the_network_of_figure_2_ignores_sigma():
    network, x = MLP(width=8, generator=seeded()), some_points()
    assert torch.equal(network(x), network(x, 3.0))
    assert torch.equal(network(x), network(x, torch.rand(6)))


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_a_conditional_score_grows_as_one_over_sigma(kind):
    """Where σ is far below the data's width, σ‖s‖ moves only as the network's view of log σ does."""
    network, x = kind(width=32, generator=seeded()), some_points(500)
    with torch.no_grad():
        lengths = {sigma: float(network(x, sigma).norm(dim=1).mean()) for sigma in (1e-2, 1e-3)}
    assert 5 < lengths[1e-3] / lengths[1e-2] < 20


# --- the energy ------------------------------------------------------------------------------------------------------


def test_the_quadratic_part_makes_an_energy_integrable():
    """With the last layer at 0, E = ½‖x/c‖² with c² = σ² + σ_data²: a Gaussian, whose score is −x/c²."""
    network, x = EnergyMLP(width=8, data_std=3.0, generator=seeded()), some_points()
    nn.init.zeros_(network.layers[-1].weight)
    nn.init.zeros_(network.layers[-1].bias)
    torch.testing.assert_close(network.energy(x, 4.0), x.square().sum(dim=1) / 50)
    torch.testing.assert_close(network(x, 4.0), -x / 25)


def test_an_energy_score_keeps_a_graph_only_where_gradients_are_wanted():
    network, x = EnergyMLP(width=8, generator=seeded()), some_points()
    network(x, 0.5).square().sum().backward()
    assert all(p.grad is not None for p in network.layers[0].parameters())
    assert x.grad is None
    with torch.no_grad():
        score = network(x, 0.5)
    assert not score.requires_grad
    torch.testing.assert_close(score, network(x, 0.5).detach())


# --- the perceptron for images ---------------------------------------------------------------------------------------

SIGMAS = [1.0, 0.1, 0.01]


def some_images(n=6, shape=(1, 8, 8), dtype=torch.float32):
    return torch.rand(n, *shape, generator=seeded(1), dtype=dtype)


def network(**options):
    """A small one whose last layer is not zero, as after training."""
    result = ImageMLP(SIGMAS, **{"width": 16, "n_blocks": 2, "generator": seeded(), **options})
    nn.init.normal_(result.end.weight, generator=seeded(2))
    return result


@pytest.mark.parametrize("sigma", [1e-4, 0.037, 1.0, 50.0])
def test_any_positive_sigma_will_do(sigma):
    assert bool(torch.isfinite(network()(some_images(), sigma)).all())


def test_the_output_is_divided_by_sigma():
    """Without waves of log σ, and with the point scaled back, all that σ does is the division."""
    made = network()
    made.frequencies.zero_()
    x = some_images() - 0.5
    some_points = [0.5 + x * math.sqrt(1 + 4 * s**2) for s in (0.1, 0.7)]
    torch.testing.assert_close(0.1 * made(some_points[0], 0.1), 0.7 * made(some_points[1], 0.7), rtol=1e-4, atol=1e-5)


def test_a_saved_network_is_built_again(tmp_path):
    made = network(image_shape=(3, 4, 4), width=8, norm="none")
    save_network(made, tmp_path / "a.safetensors", seed=0)
    loaded = load_network(tmp_path / "a.safetensors")
    x = some_images(shape=(3, 4, 4))
    assert torch.equal(loaded(x, 0.2), made(x, 0.2))
    assert loaded.image_shape == (3, 4, 4)


# --- the network of Fig. 1 -------------------------------------------------------------------------------------------


def small(seed=0):
    return ResNet(channels=8, generator=torch.Generator().manual_seed(seed))


def images_of_resnet(n=3, size=16, seed=1):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def plain_forward(weights, x):
    """The network written out in functions, from a list of weights in the order in which they are used."""

    def convolution(h, transposed=False, stride=1):
        weight, bias = next(weights), next(weights)
        if transposed:
            return functional.conv_transpose2d(h, weight, bias, stride, padding=1, output_padding=stride - 1)
        return functional.conv2d(h, weight, bias, stride, padding=1)

    def norm(h):
        return functional.group_norm(h, 8, next(weights), next(weights))

    def encoder(h, stride=1):
        branch = norm(convolution(functional.elu(norm(convolution(h, stride=stride)))))
        return functional.elu(branch + (h if stride == 1 else convolution(h, stride=stride)))

    def decoder(h, stride=1):
        branch = norm(convolution(functional.elu(norm(convolution(h, True))), True, stride))
        return functional.elu(branch + (h if stride == 1 else convolution(h, True, stride)))

    h = convolution(2 * x - 1)
    h = encoder(encoder(encoder(encoder(encoder(h), 2)), 2))
    h = decoder(decoder(decoder(decoder(decoder(h), 2)), 2))
    return convolution(h)


def test_scores_are_those_of_the_network_written_out():
    network, x = small().double(), images_of_resnet(size=8).double()
    weights = iter(network.state_dict().values())  # a block's branch comes before its shortcut
    torch.testing.assert_close(network(x), plain_forward(weights, x), rtol=1e-12, atol=1e-12)
    assert next(weights, None) is None


def test_it_ignores_sigma_and_maps_its_input_to_minus_one_to_one():
    network, x, seen = small(), images_of_resnet(), []
    assert torch.equal(network(x), network(x, torch.rand(3)))
    network.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    network(x)
    assert torch.equal(seen[0], 2 * x - 1)


# --- laws of any network ---------------------------------------------------------------------------------------------

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
