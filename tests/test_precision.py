"""Mixed precision: what runs in bfloat16, what comes back, and that nothing else changes."""

import pytest
import torch
from torch import nn

from sbgm.precision import autocast, compiled


class Layer(nn.Module):
    """A linear layer that remembers what it worked in."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(3, 3), None

    def forward(self, x, sigma):
        result = self.linear(x)
        self.seen = result.dtype
        return result


def test_layers_run_in_bfloat16_and_the_score_has_the_dtype_of_x():
    layer, x = Layer(), torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    score = autocast(layer, "bf16")
    result = score(x, 0.1)
    assert (layer.seen, result.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(result, layer(x, 0.1), rtol=0.02, atol=0.02)
    result.sum().backward()
    assert layer.linear.weight.grad.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_fp32_leaves_the_score_alone():
    layer = Layer()
    assert autocast(layer, "fp32") is layer
    with pytest.raises(ValueError, match="precision must be one of 'fp32', 'bf16', got 'fp16'"):
        autocast(layer, "fp16")


class TwoPart(nn.Module):
    """A network with its layers in `output`, and something before that can't be compiled as a whole."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def output(self, x):
        return self.linear(x)

    def forward(self, x, sigma):
        if bool((x > 1e6).any()):
            raise ValueError("x")
        return self.output(x) / sigma


@pytest.mark.parametrize("network", [TwoPart, Layer])
def test_a_compiled_network_gives_the_same_scores(network, monkeypatch):
    seen, compile_ = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: (seen.append(f), compile_(f, backend="eager"))[1])
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: (seen.append(self.forward), self)[1])
    plain, x = network(), torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    expected = plain(x, 0.1)
    assert compiled(plain) is plain
    assert [f.__name__ for f in seen] == ["output" if network is TwoPart else "forward"]
    torch.testing.assert_close(plain(x, 0.1), expected)
