"""Faster layers: in bfloat16, and fused by the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn

from sbgm.checked import Score, checked, one_of

__all__ = [
    "autocast",
    "compiled",
    "compiled_for_training",
    "fast_precision",
]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
MAX_GRADIENT_ERROR = 0.1


@checked
def autocast(score: Score, precision: Annotated[str, one_of(PRECISIONS)], device_type: str = "cpu") -> Score:
    """A score whose layers run in the given precision, and which returns the dtype of x.

    Args:
        score: a network.
        precision: "fp32" leaves it alone; "bf16" runs convolutions and linear layers in bfloat16.
        device_type: where x is.
    """
    dtype = PRECISIONS[precision]
    if dtype is None:
        return score

    def mixed(x: Tensor, sigma: float | Tensor) -> Tensor:
        with torch.autocast(device_type, dtype=dtype):
            return score(x, sigma).to(x.dtype)

    return mixed


def fast_precision(device_type: str = "cpu") -> str:
    """Say "bf16" where the hardware multiplies bfloat16 itself, else "fp32", which is faster there."""
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has_bf16 = any(getattr(torch.cpu, test, lambda: False)() for test in tests)
    return "bf16" if device_type == "cpu" and has_bf16 else "fp32"


def compiled(network: nn.Module) -> nn.Module:
    """Let `torch.compile` fuse the layers of a network, in place, and return it.

    The first call for each batch size takes minutes on a CPU (its result is cached on disk), and needs a C++ compiler
    there. The scores change by rounding only.
    """
    output = getattr(network, "output", None)
    if callable(output):  # what comes before looks σ up in the ladder, which would break the graph
        network.output = torch.compile(output)  # pyright: ignore[reportArgumentType] - a module may hold a function
    else:
        network.compile()
    return network


def compiled_for_training(network: nn.Module, loss: Callable[[], Tensor]) -> nn.Module:
    """`compiled(network)`, once its gradient has been compared with the plain network's.

    A compiler's fault in the backward pass is silent: the network learns, with some of its weights standing still.

    Args:
        network: compiled in place; its gradients are cleared.
        loss: the network's loss on one batch, a scalar, the same at every call.

    Raises:
        ArithmeticError: the two gradients differ by more than a tenth of their size (bfloat16 rounds far less).
    """
    plain = _gradient(network, loss)
    found = _gradient(compiled(network), loss)
    error = float((found - plain).norm() / plain.norm())
    if not error <= MAX_GRADIENT_ERROR:
        raise ArithmeticError(
            f"the gradient of the compiled network is off by {error:.2g} of its size with torch {torch.__version__}: "
            "its layers would learn wrongly; train without compile"
        )
    return network


def _gradient(network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    """The gradient of a loss in all weights together, as one vector."""
    loss().backward()
    gradient = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in network.parameters()])
    network.zero_grad(set_to_none=True)
    return gradient
