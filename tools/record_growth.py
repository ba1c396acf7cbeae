"""Train the student's image network as `examples/own_network.py` does, and record how its sheet of samples grows.

    OMP_NUM_THREADS=1 python tools/record_growth.py data/weights/own_network.growth.safetensors

Two minutes of one core. The file holds the loss of every step, (3000,), the steps at which samples were drawn, (16,),
and the samples, (16, 30, 28, 28) bytes: three of each digit, with guidance w = 2, always from the same noise.
"""

import runpy
import sys
from pathlib import Path

import torch

import sbgm

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "own_network.py"
STEPS = (1, 25, 50, 100, 150, 200, 300, 400, 550, 700, 900, 1200, 1500, 2000, 2500, 3000)


def growth(steps: tuple[int, ...], n_steps: int = STEPS[-1], seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the losses of a training, the steps at which samples are drawn, and the samples as bytes."""
    example, generator = runpy.run_path(str(EXAMPLE)), torch.Generator().manual_seed(seed)
    ladder, classes = example["sigmas"], torch.arange(10).repeat(3)
    network = sbgm.DigitNetwork(ladder, example["mean"], example["variance"], generator=generator)
    losses, sheets = [], []
    for step, loss in example["train"](network, n_steps, generator):
        losses.append(loss)
        if step in steps:
            x = example["sample"](sbgm.guided(network, classes, w=2), len(classes), torch.Generator().manual_seed(0))
            sheets.append((255 * x.clamp(0, 1)).round().byte()[:, 0])
        if step == steps[-1]:
            break
    return {"steps": torch.tensor(steps), "losses": torch.tensor(losses), "sheets": torch.stack(sheets)}


if __name__ == "__main__":
    (to,) = sys.argv[1:]
    sbgm.files.save_tensors(to, growth(STEPS))
