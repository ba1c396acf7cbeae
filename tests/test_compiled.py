"""Compiled layers on a CPU: they must learn as the others do, every weight of them.

A wrong gradient is silent: with the upsampling of `functional.interpolate`, torch 2.13 lost in bfloat16 the gradient of
all that lies below it, and the training went on with what was left.
"""

import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional

from sbgm import RefineNet, autocast, geometric_sigmas, ncsn_loss
from sbgm.networks import drawn_from
from sbgm.precision import compiled
from sbgm.refinenet import ChainedPooling, ConditionalInstanceNorm, MultiResolutionFusion
from sbgm.train.images import NCSN, train_ncsn
from sbgm.train.runs import Run, TrainingSettings
from seeds import seeded

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")


class Fusion(nn.Module):
    """A fusion of two maps, the second half the size of the first, and the pooling that comes after."""

    def __init__(self):
        super().__init__()
        with drawn_from(seeded()):
            self.fusion = MultiResolutionFusion([8, 8], 8, lambda n: ConditionalInstanceNorm(n, 3))
            self.pooling = ChainedPooling(8, lambda n: ConditionalInstanceNorm(n, 3))

    def forward(self, x, sigma):
        level = torch.tensor([0, 1, 2, 0])
        return self.pooling(self.fusion([x, functional.avg_pool2d(x, 2)], level, x.shape[2:]), level)


def refinenet():
    return RefineNet(geometric_sigmas(1.0, 0.01, 10), channels=8, image_channels=1, generator=seeded(0))


def gradients(network, precision, shape):
    """Each weight's gradient of the denoising loss on four images of noise."""
    x, ladder = torch.rand(shape, generator=torch.Generator().manual_seed(0)), geometric_sigmas(1.0, 0.01, 10)
    ncsn_loss(autocast(network, precision), x, ladder, generator=torch.Generator().manual_seed(1)).backward()
    return {name: p.grad for name, p in network.named_parameters()}


@needs_a_compiler
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


def run_of_two_steps(folder, *, compile):
    """The losses of a short training on digits, and its weights."""
    training = TrainingSettings(n_steps=2, batch_size=4, log_every=1, measure_every=2, save_every=2, compile=compile)
    settings = NCSN("digits", channels=4, n_levels=3, n_held_out=8, training=training)
    return [step.loss for step in train_ncsn(settings, folder)], Run(folder).network().state_dict()


def test_a_training_with_a_compiler_that_loses_gradients_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch, "compile", lambda output, **_: lambda x, level: output(x, level).detach() + 0 * output(x, level)
    )
    with pytest.raises(ArithmeticError, match=r"the compiled network is off by 1 of its size.*without compile"):
        run_of_two_steps(tmp_path / "lost", compile=True)
    assert Run(tmp_path / "lost").last_step == 0


def test_the_comparison_leaves_the_training_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda output, **_: output)
    losses, weights = run_of_two_steps(tmp_path / "compared", compile=True)
    plain_losses, plain_weights = run_of_two_steps(tmp_path / "plain", compile=False)
    assert losses == plain_losses
    for name, value in plain_weights.items():
        assert torch.equal(value, weights[name]), name
