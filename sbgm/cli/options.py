"""What the commands share: options, the network, the progress bar, processes, and files that are never overwritten."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from sbgm.files import save_tensors, written_whole
from sbgm.generation import OnState
from sbgm.precision import PRECISIONS, compiled
from sbgm.samplers import State

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


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, where it runs, and where the result goes."""
    parser.add_argument("network", help="a shipped network's name, a file of weights, or a run's folder")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier run there")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--batch-size", type=count, default=64, help="chains side by side in each process (64)")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="fp32", help="of the network's layers (fp32)")
    parser.add_argument("--compile", action="store_true", help="fuse the layers by torch.compile: minutes, then faster")
    parser.add_argument("--cpu", action="store_true", help="run on the CPU even where there is a GPU")


def add_langevin_arguments(parser: argparse.ArgumentParser) -> None:
    """Step size, steps, and the last step."""
    parser.add_argument("--n-steps", type=count, help="T, Langevin steps a level (100)")
    parser.add_argument("--step-size", type=float, help="ε of x + (ε/2) s + √ε z at σ_L (the paper's, 0.2 σ_L²: 2e-5)")
    parser.add_argument("--denoise", action="store_true", help="end with the expected clean image, x + σ_L² s")


def count(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def check_free(files: list[Path], *, overwrite: bool) -> None:
    """Raise if one of the files is there and must not be replaced."""
    taken = [str(file) for file in files if file.exists()]
    if taken and not overwrite:
        raise FileExistsError(f"{' and '.join(taken)} exists already; choose another --out, or add --overwrite")


def load(options: argparse.Namespace, accelerator: Accelerator) -> nn.Module:
    """The network that the options name, on the accelerator's device."""
    from sbgm.lab.runs import load_trained

    network = load_trained(options.network).to(accelerator.device)
    if network.image_shape is None:
        raise ValueError(f"network must be one for images, but {options.network} does not say of which shape")
    return compiled(network) if options.compile else network


def default_step_size(sigmas: list[float]) -> float:
    """The paper's ε = 2e-5 at σ_L = .01, kept in proportion to σ_L²."""
    return 0.2 * sigmas[-1] ** 2


@contextmanager
def progress(accelerator: Accelerator, n: int, batch_size: int, n_states: int) -> Iterator[OnState]:
    """A bar over the steps of this process's batches, shown by the first process."""
    from tqdm import tqdm

    n_batches = math.ceil(n / batch_size)
    mine = len(range(accelerator.process_index, n_batches, accelerator.num_processes))
    bar = tqdm(total=mine * n_states, unit="step", disable=not accelerator.is_main_process)

    def on_state(indices: range, state: State) -> None:
        bar.set_postfix(
            batch=f"{indices.start // batch_size + 1}/{n_batches}", sigma=f"{state.sigma:.3g}", refresh=False
        )
        bar.update()

    try:
        with bar:
            yield on_state
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        raise SystemExit(130) from None


def write(
    file: Path, sheet: Path, tensors: dict[str, Tensor], pictures: Tensor, n_columns: int, **facts: object
) -> None:
    """Write the tensors as they are, and pictures, clamped to [0, 1], as a sheet."""
    from PIL import Image

    from sbgm.plots import image_sheet

    file.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(file, tensors, **facts)
    pixels = (image_sheet(pictures, n_columns) * 255).round().byte().numpy()
    with written_whole(sheet) as partial:
        Image.fromarray(pixels).save(partial, format="png")
