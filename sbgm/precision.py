"""Faster layers: in bfloat16, and fused by the compiler."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sbgm.checked import Score, checked, one_of

__all__ = [
    "autocast",
    "compiled",
]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
# For a processor that it does not know, GCC 12 tunes code for none in particular. At -O3, its turning of scalars into
# vectors (SLP) then spoils torch's transposition of bfloat16 blocks by AVX-512: gradients were NaN on an Intel Xeon
# with AMX. Inductor writes vector instructions itself, and can do without.
OPTIONS: dict[str, Any] = (
    {"cpp.march": "native -fno-tree-slp-vectorize"} if "AVX512" in torch.backends.cpu.get_cpu_capability() else {}
)


@checked
def autocast(score: Score, precision: Annotated[str, one_of(PRECISIONS)], device_type: str = "cpu") -> Score:
    """A score whose layers run in the given precision, and which returns the dtype of x.

    Args:
        score: a network.
        precision: "fp32" leaves it alone; "bf16" runs convolutions and linear layers in bfloat16.
        device_type: where x is.

    Example:
        >>> network = sbgm.MLP(generator=torch.Generator().manual_seed(0))
        >>> x = torch.ones(5, 2)
        >>> exact, fast = network(x), sbgm.autocast(network, "bf16")(x, 0.0)
        >>> fast.dtype, torch.allclose(exact, fast, atol=0.02)
        (torch.float32, True)
    """
    dtype = PRECISIONS[precision]
    if dtype is None:
        return score

    def mixed(x: Tensor, sigma: float | Tensor) -> Tensor:
        with torch.autocast(device_type, dtype=dtype):
            return score(x, sigma).to(x.dtype)

    return mixed


def compiled(network: nn.Module) -> nn.Module:
    """Let `torch.compile` fuse the layers of a network, in place, and return it.

    The first call for each batch size takes minutes on a CPU (its result is cached on disk), and needs a C++ compiler
    there. The scores change by rounding only.
    """
    output = getattr(network, "output", None)
    if callable(output):  # what comes before looks σ up in the ladder, which would break the graph
        network.output = torch.compile(output, options=OPTIONS)  # pyright: ignore[reportArgumentType] - a module may hold a function
    else:
        network.compile(options=OPTIONS)
    return network
