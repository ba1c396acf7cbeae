"""The 1,000 samples of MNIST that I1, I4 and I7 rest on, which are drawn once, and what their records share.

What is drawn is kept; a run that was stopped goes on with the next batch of samples.
"""

from pathlib import Path
from typing import Any

from drawing import CPU, HOW_DRAWN, Drawing, Drawn, Machine, draw, narrower_width
from sbgm.images.data import load_images
from sbgm.measure.classifier import JUDGE

SEED = 3140693905
"""Of the samples: I1's, when they were drawn."""


def mnist_samples(
    folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU
) -> tuple[Drawn, dict[str, Any]]:
    """Draw samples of the shipped network, or take them from a folder.

    Args:
        folder: of samples.
        n_samples: how many, more than 128.
        n_steps: T, Langevin steps a level.
        machine: where the network runs.

    Returns:
        The chains after each level, and the arguments of `ledger.record` that their records share.
    """
    load_images("mnist")  # missing images are told before the drawing
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": SEED}
    drawing = Drawing("mnist_ncsn", n_steps=n_steps, precision="bf16", **sizes)
    words = {
        "data": f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        "narrower": f"{narrower_width()}one training, on MNIST",
        "networks": ["mnist_ncsn", JUDGE],
        "facts": drawing.facts(*HOW_DRAWN),
    }
    return draw(drawing, folder, machine), words
