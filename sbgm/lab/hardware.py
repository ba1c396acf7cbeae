"""The hardware: what a measurement ran on, for records and model cards, and where to compute."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator


def hardware() -> str:
    """The processor, its cores, and how many threads torch uses, as far as this machine tells."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def make_accelerator(*, cpu: bool = False) -> Accelerator:
    """Choose where to compute: the device that Accelerate finds, or the CPU where processes share no CUDA GPUs.

    Accelerate joins processes on the CPU only if told to: otherwise each, without a GPU, takes itself for the only one.

    Args:
        cpu: take the CPU even where there is a GPU.
    """
    from accelerate import Accelerator

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun sets it
    return Accelerator(cpu=cpu or (several and not torch.cuda.is_available()))
