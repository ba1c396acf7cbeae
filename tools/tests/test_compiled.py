"""The gradients of layers that this machine's compiler has compiled."""

import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional

from sbgm import RefineNet, geometric_sigmas, ncsn_loss
from sbgm.images.devices import autocast, compiled
from sbgm.images.refinenet import ConditionalInstanceNorm, MultiResolutionFusion
from sbgm.networks import drawn_from
from seeds import seeded

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
SIGMAS = geometric_sigmas(1.0, 0.01, 10)


class Fusion(nn.Module):
    """A fusion of two maps, the second half the size of the first: compilers have lost its gradients."""

    def __init__(self):
        super().__init__()
        with drawn_from(seeded()):
            self.fusion = MultiResolutionFusion([8, 8], 8, lambda n: ConditionalInstanceNorm(n, 3))

    def forward(self, x, sigma):
        level = torch.tensor([0, 1, 2, 0])
        return self.fusion([x, functional.avg_pool2d(x, 2)], level, x.shape[2:])


def refinenet():
    return RefineNet(SIGMAS, channels=8, image_channels=1, generator=seeded(0))


def gradients(network, precision, shape):
    """Each weight's gradient of the denoising loss on four images of noise."""
    x = torch.rand(shape, generator=seeded())
    ncsn_loss(autocast(network, precision), x, SIGMAS, generator=seeded(1)).backward()
    return {name: p.grad for name, p in network.named_parameters()}


@pytest.mark.parametrize(
    ("make", "shape"),
    [(Fusion, (4, 8, 14, 14)), pytest.param(refinenet, (4, 1, 28, 28), marks=pytest.mark.slow)],  # some five minutes
)
@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp32", marks=pytest.mark.slow)])
def test_a_compiled_network_has_every_gradient_of_the_plain_one(make, shape, precision):
    network = make()
    expected = gradients(network, precision, shape)
    found = gradients(compiled(make()), precision, shape)
    tolerance = 0.05 if precision == "bf16" else 1e-3
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm()
        assert error < tolerance, f"{name}: the compiled gradient is off by {error:.3f} of its size"
