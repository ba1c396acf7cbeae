"""Faster layers: in 16 bits, and fused by the compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sbgm.guard import Score, checked, one_of

__all__ = [
    "autocast",
    "compiled",
    "fast_precision",
]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CHOICES = ("auto", *PRECISIONS)
# GCC 12 has a fault on processors that are newer than it: at -O3 its vectorisation of scalar code (SLP) breaks torch's
# transposition of bfloat16 blocks by AVX-512. Gradients were NaN on an Intel Xeon with AMX. Inductor writes vector
# instructions itself, so nothing is lost without SLP.
OPTIONS: dict[str, Any] = (
    {"cpp.march": "native -fno-tree-slp-vectorize"} if "AVX512" in torch.backends.cpu.get_cpu_capability() else {}
)


def fast_precision(device: torch.device | str = "cpu", cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The precision that layers are fast in on a device, a key of `PRECISIONS`.

    A CPU has "bf16" if its instructions multiply bfloat16 (AVX512-BF16, AMX, Arm's BF16), and a CUDA GPU from compute
    capability 8.0 on. Emulation is slower than "fp32". A CUDA GPU from 7.0 to 7.5 multiplies float16 fast: "fp16". All
    others have "fp32": Apple's M1 and M2 emulate bfloat16, and older torch scales no gradients on Apple's GPUs.

    Args:
        device: such as "cpu" or "cuda:1".
        cpuinfo: where Linux lists the processor's instructions. Without this file torch is asked for those of x86.

    Example:
        >>> sbgm.images.devices.fast_precision("mps")
        'fp32'
    """
    device = torch.device(device)
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability >= (8, 0):
            return "bf16"
        return "fp16" if capability >= (7, 0) else "fp32"
    if cpuinfo.is_file():
        native = not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(cpuinfo.read_text().split())
    else:
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # which another torch may not have
        native = any(getattr(torch.cpu, test, lambda: False)() for test in tests)
    return "bf16" if device.type == "cpu" and native else "fp32"


@checked
def autocast(score: Score, precision: Annotated[str, one_of(CHOICES)] = "auto", device_type: str = "cpu") -> Score:
    """A score whose layers run in the given precision, and which returns the dtype of x.

    Args:
        score: a network.
        precision: "fp32" leaves the network alone; "bf16" and "fp16" run convolutions and linear layers in bfloat16 and
            in float16; "auto" is `fast_precision(device_type)`.
        device_type: where x is.

    Example:
        >>> network = sbgm.MLP(generator=torch.Generator().manual_seed(0))
        >>> x = torch.ones(5, 2)
        >>> exact, fast = network(x), sbgm.autocast(network, "bf16")(x, 0.0)
        >>> fast.dtype, torch.allclose(exact, fast, atol=0.02)
        (torch.float32, True)
    """
    dtype = PRECISIONS[fast_precision(device_type) if precision == "auto" else precision]
    if dtype is None:
        return score

    def mixed(x: Tensor, sigma: float | Tensor, *label: int | Tensor) -> Tensor:
        with torch.autocast(device_type, dtype=dtype):
            return score(x, sigma, *label).to(x.dtype)

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
