"""The perceptron for small images: shapes, σ of any size, seeds, and what is built in before any training."""

import math

import pytest
import torch
from torch import nn

from sbgm import ImageMLP, load_network, ncsn_loss, save_network
from sbgm.training import n_parameters
from seeds import seeded

SIGMAS = [1.0, 0.1, 0.01]


def images(n=6, shape=(1, 8, 8), dtype=torch.float32):
    return torch.rand(n, *shape, generator=seeded(1), dtype=dtype)


def network(**options):
    """A small one whose last layer is not zero, as after training."""
    result = ImageMLP(SIGMAS, **{"width": 16, "n_blocks": 2, "generator": seeded(), **options})
    nn.init.normal_(result.end.weight, generator=seeded(2))
    return result


def test_the_number_of_parameters_is_that_of_its_layers():
    """First layer, n blocks of two layers, the level's layer and a norm, the last norm and the last layer."""
    w, n, d, f = 32, 3, 64, 16
    block = 2 * w + 2 * (w * w + w) + (f * w + w)
    assert n_parameters(ImageMLP(SIGMAS, width=w, n_blocks=n)) == (d * w + w) + n * block + 2 * w + (w * d + d)
    assert n_parameters(ImageMLP(SIGMAS, width=w, n_blocks=n, norm="none")) == (
        (d * w + w) + n * (block - 2 * w) + (w * d + d)
    )


def test_an_untrained_network_is_the_zero_score_with_its_loss():
    """λℓ = ½‖z‖² for the score 0: D/2 = 32 on average, with the standard error √(D/2 / n)."""
    made, x = ImageMLP(SIGMAS, generator=seeded()), images(4_000)
    assert torch.equal(made(x[:3], 0.5), torch.zeros(3, 1, 8, 8))
    with torch.no_grad():
        loss = float(ncsn_loss(made, x, made.sigmas, generator=seeded()))
    assert abs(loss - 32) < 4 * math.sqrt(32 / 4_000)


@pytest.mark.parametrize("sigma", [1e-4, 0.037, 1.0, 50.0])
def test_any_positive_sigma_will_do(sigma):
    assert bool(torch.isfinite(network()(images(), sigma)).all())


def test_the_output_is_divided_by_sigma():
    """Without waves of log σ, and with the point scaled back, all that σ does is the division."""
    made = network()
    made.frequencies.zero_()
    x = images() - 0.5
    points = [0.5 + x * math.sqrt(1 + 4 * s**2) for s in (0.1, 0.7)]
    torch.testing.assert_close(0.1 * made(points[0], 0.1), 0.7 * made(points[1], 0.7), rtol=1e-4, atol=1e-5)


def test_the_generator_alone_decides_the_weights():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    a, b, c = (ImageMLP(SIGMAS, width=8, generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name])
    assert not torch.equal(a.begin.weight, c.begin.weight)


def test_a_saved_network_is_built_again(tmp_path):
    made = network(image_shape=(3, 4, 4), width=8, norm="none")
    save_network(made, tmp_path / "a.safetensors", seed=0)
    loaded = load_network(tmp_path / "a.safetensors")
    x = images(shape=(3, 4, 4))
    assert torch.equal(loaded(x, 0.2), made(x, 0.2))
    assert loaded.image_shape == (3, 4, 4)
