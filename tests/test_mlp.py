"""The networks for points in a few dimensions: shapes, seeds, σ, and the energy whose gradient is its score."""

import pytest
import torch
from torch import nn

from sbgm import MLP, ConditionalMLP, EnergyMLP
from sbgm.training import n_parameters
from seeds import seeded

CONDITIONAL = [ConditionalMLP, EnergyMLP]

# torch's own warning, when forward-mode differentiation is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def points(n=6, dim=2, seed=1, dtype=torch.float32):
    return torch.randn(n, dim, generator=seeded(seed), dtype=dtype)


def test_the_network_of_figure_2():
    """2-128-128-2 with softplus between: 2·128 + 128 + 128² + 128 + 128·2 + 2 numbers."""
    network = MLP()
    assert [type(layer) for layer in network.layers] == [nn.Linear, nn.Softplus, nn.Linear, nn.Softplus, nn.Linear]
    assert [layer.weight.shape for layer in network.layers[::2]] == [(128, 2), (128, 128), (2, 128)]
    assert n_parameters(network) == 17_154


def test_the_network_of_figure_2_ignores_sigma():
    network, x = MLP(width=8, generator=seeded()), points()
    assert torch.equal(network(x), network(x, 3.0))
    assert torch.equal(network(x), network(x, torch.rand(6)))


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_a_conditional_score_grows_as_one_over_sigma(kind):
    """Where σ is far below the data's width, σ‖s‖ moves only as the network's view of log σ does."""
    network, x = kind(width=32, generator=seeded()), points(500)
    with torch.no_grad():
        lengths = {sigma: float(network(x, sigma).norm(dim=1).mean()) for sigma in (1e-2, 1e-3)}
    assert 5 < lengths[1e-3] / lengths[1e-2] < 20


# --- the energy ------------------------------------------------------------------------------------------------------


def test_the_quadratic_part_makes_an_energy_integrable():
    """With the last layer at 0, E = ½‖x/c‖² with c² = σ² + σ_data²: a Gaussian, whose score is −x/c²."""
    network, x = EnergyMLP(width=8, data_std=3.0, generator=seeded()), points()
    nn.init.zeros_(network.layers[-1].weight)
    nn.init.zeros_(network.layers[-1].bias)
    torch.testing.assert_close(network.energy(x, 4.0), x.square().sum(dim=1) / 50)
    torch.testing.assert_close(network(x, 4.0), -x / 25)


def test_an_energy_score_keeps_a_graph_only_where_gradients_are_wanted():
    network, x = EnergyMLP(width=8, generator=seeded()), points()
    network(x, 0.5).square().sum().backward()
    assert all(p.grad is not None for p in network.layers[0].parameters())
    assert x.grad is None
    with torch.no_grad():
        score = network(x, 0.5)
    assert not score.requires_grad
    torch.testing.assert_close(score, network(x, 0.5).detach())


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_seeded_weights_follow_torchs_own_law():
    """U(−1/√n, 1/√n) with n inputs, as an unseeded nn.Linear: range, and variance within 4 s.e."""
    weight = MLP(dim=2, width=300, generator=seeded()).layers[2].weight.detach()
    bound = 300**-0.5
    assert 0.99 * bound < float(weight.abs().max()) <= bound
    assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=4 * (0.8 / weight.numel()) ** 0.5)
    unseeded = nn.Linear(300, 300).weight.detach()
    assert float(unseeded.abs().max()) <= bound * (1 + 1e-6)
