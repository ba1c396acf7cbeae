"""Where to compute, with how many threads, and with faster layers: in 16 bits, and fused by the compiler."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sbgm.files import from_extra
from sbgm.guard import ArgumentError, Score, checked, one_of

__all__ = [
    "autocast",
    "compiled",
    "fast_precision",
]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# GCC 12 has a fault on processors that are newer than it: at -O3 its vectorisation of scalar code (SLP) breaks torch's
# transposition of bfloat16 blocks by AVX-512. Gradients were NaN on an Intel Xeon with AMX. Inductor writes vector
# instructions itself, so nothing is lost without SLP. That of torch 2.9 can't leave it out, and a training looks at
# the compiled gradients anyway.
MARCH = "native -fno-tree-slp-vectorize"


def fast_precision(device: torch.device | str = "cpu") -> str:
    """The precision that layers are fast in on a device, a key of `PRECISIONS`.

    A CPU has "bf16" if its instructions multiply bfloat16 (AVX512-BF16, AMX, Arm's BF16), and a CUDA GPU from compute
    capability 8.0 on. Emulation is slower than "fp32". A CUDA GPU from 7.0 to 7.5 multiplies float16 fast: "fp16". All
    others have "fp32": Apple's M1 and M2 emulate bfloat16, and older torch scales no gradients on Apple's GPUs. So has
    a CPU where torch can't tell its instructions, such as torch 2.9.

    Args:
        device: such as "cpu" or "cuda:1".

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
    native = any(processor().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16" if device.type == "cpu" and native else "fp32"


@checked
def autocast(
    score: Score, precision: Annotated[str, one_of(("auto", *PRECISIONS))] = "auto", device_type: str = "cpu"
) -> Score:
    """A score whose layers run in the given precision, and which returns the dtype of x.

    Args:
        score: a network.
        precision: "fp32" leaves the network alone; "bf16" and "fp16" run convolutions and linear layers in bfloat16 and
            in float16; "auto" is `fast_precision(device_type)`.
        device_type: the kind of device that x is on, such as "cpu".

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
    has_fault = "AVX512" in torch.backends.cpu.get_cpu_capability()
    can_avoid_it = "cpp.march" in torch._inductor.list_options()
    options: dict[str, Any] = {"cpp.march": MARCH} if has_fault and can_avoid_it else {}
    output = getattr(network, "output", None)
    if callable(output):  # what comes before looks σ up in the ladder, which would break the graph
        network.output = torch.compile(output, options=options)  # pyright: ignore[reportArgumentType] - a module may hold a function
    else:
        network.compile(options=options)
    return network


# --- the hardware -----------------------------------------------------------------------------------------------------


def processor() -> Mapping[str, Any]:
    """Its name and which instructions it has, by name; empty where torch, such as 2.9, can't tell."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def hardware(device: torch.device | str = "cpu") -> str:
    """The processor, its cores, and how many threads torch uses, as far as this machine tells; and a device's GPU."""
    model = processor().get("cpu_name") or platform.machine()
    words = [model, f"{os.cpu_count()} cores", f"{torch.get_num_threads()} threads"]
    if torch.device(device).type == "cuda":
        words.append(torch.cuda.get_device_name(device))
    return ", ".join(words)


def find_device(name: str | None = None) -> str:
    """Where to compute: on the device of this name, else on the GPU if there is one, else on the CPU.

    Several processes, such as torchrun starts, need a CUDA GPU each, and share the CPU where there is none.

    Raises:
        ValueError: this machine has no device of that name.
    """
    if name is not None:
        try:
            torch.empty(0, device=name)
        except (RuntimeError, AssertionError):  # each device has an error of its own
            raise ArgumentError("device", "be one of this machine's, such as cpu", name) from None
        return name
    if torch.cuda.is_available():
        return "cuda"
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun sets it
    return "mps" if torch.backends.mps.is_available() and not several else "cpu"


def idle_cores() -> int:
    """How many threads to compute with: as many as cores are idle, from 1 to the number that torch would take.

    That number is all cores, or what OMP_NUM_THREADS or `torch.set_num_threads` says. A thread that has to wait for its
    turn on a busy core keeps all others waiting: two threads were then up to 30 times slower than one.
    """
    most = torch.get_num_threads()
    if most == 1:
        return 1
    with from_extra("images"):
        import psutil
    idle = (1 - psutil.cpu_percent(interval=0.5) / 100) * (psutil.cpu_count() or 1)
    return max(1, min(most, round(idle)))


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, and return it: to a CUDA GPU in the memory format that is fast there.

    The process then rounds float32 factors to TF32 on such a GPU, and lets cuDNN try out which convolution is fastest.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - as torch's own
    return network.to(device)
