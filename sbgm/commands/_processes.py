"""What the commands that run on several processes share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator


def leave_together(accelerator: Accelerator) -> None:
    """Wait for all processes, then part: one that leaves while another still talks to it aborts both."""
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        # The thread that did the waiting needs Python's lock to free what it holds. Old torch (2.4) keeps the lock
        # while it ends that thread: without this pause it hung for good, once in some 350 times.
        time.sleep(0.2)
    accelerator.end_training()
