"""What the commands that run on several processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator


def leave_together(accelerator: Accelerator) -> None:
    """Wait for all processes, then part: one that leaves while another still talks to it aborts both."""
    accelerator.wait_for_everyone()
    accelerator.end_training()
