"""Print the first table of data/results/SPEED.md, as measured here: `make bench`. A busy machine is refused."""

import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from functools import partial

import psutil
import torch

from sbgm import (
    ancestral,
    annealed_langevin,
    autocast,
    final,
    geometric_sigmas,
    langevin,
    load_network,
    paper_mixture,
    rescaled,
    widgets,
)
from sbgm.images.devices import hardware

BUSY_PERCENT = 10.0
Row = tuple[str, float, str, float]  # what is measured, the figure, its unit, and the largest that it should be


def seconds(work: Callable[[], object], n: int = 1) -> float:
    """The median wall time of n calls."""
    return statistics.median(timeit.repeat(work, number=1, repeat=n))


def imports() -> Iterator[Row]:
    """`import sbgm`, alone and with its losses, samplers and networks, against `import torch`: fresh interpreters."""

    def importing(code: str) -> float:
        return seconds(partial(subprocess.run, [sys.executable, "-c", code], check=True), 7)

    torch_alone = importing("import torch")
    for code in ("import sbgm", "from sbgm import MLP, annealed_langevin, ncsn_loss, paper_mixture"):
        yield f"`{code}`, times `import torch`", importing(code) / torch_alone, "×", 1.5


def sampling() -> Iterator[Row]:
    """Fig. 3's clouds by Langevin and annealed Langevin dynamics, sixteen digits by Algorithm 1, and 64 faster."""
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(20 * 1280, 2, generator=generator) * 16 - 8
    sigmas = geometric_sigmas(20, 1, 10)
    plain = langevin(paper_mixture().score, start, step_size=0.1, n_steps=1000, generator=generator)
    points = paper_mixture(stds=0.0).score
    annealed = annealed_langevin(points, start, sigmas, step_size=0.1, n_steps=100, generator=generator)
    clouds = seconds(lambda: (final(plain), final(annealed)))
    yield "Fig. 3: 20 seeds × 1,280 chains, plain and annealed", clouds, " s", 10

    network = load_network("mnist_ncsn")
    score = autocast(rescaled(network))
    start = torch.rand(64, *network.image_shape, generator=generator)
    torch.set_num_threads(psutil.cpu_count(logical=False))
    score(start, 1.0)  # the first call is slower
    paper = {"step_size": 2e-5, "n_steps": 10, "generator": generator}
    slow = seconds(lambda: final(annealed_langevin(score, start[:16], network.ladder, **paper)))
    fast = seconds(lambda: final(ancestral(score, start, geometric_sigmas(1, 0.01, 50), generator=generator)))
    torch.set_num_threads(1)
    yield "16 MNIST images by Algorithm 1, C = 32: ten times 100 evaluations", 10 * slow, " s", 100
    yield "64 in 50 evaluations", fast, " s", 40


def sliders() -> Iterator[Row]:
    """Every control of the explorers that compute as they move: the median time from a move to the finished picture."""
    for name in ("annealing", "langevin", "level_steps", "score_field"):
        explorer = getattr(widgets, f"{name}_explorer")()
        for control, widget in explorer.controls.items():
            at_start = widget.index
            others = [index for index in range(len(widget.options)) if index != at_start]
            taken = [seconds(partial(setattr, widget, "index", index)) for index in others]
            widget.index = at_start
            yield f"slider, {name}: {control}".replace("_", " "), 1000 * statistics.median(taken), " ms", 50


if __name__ == "__main__":
    if (busy := psutil.cpu_percent(interval=3.0)) > BUSY_PERCENT:
        sys.exit(f"bench: the machine is busy ({busy:.0f} % of its processors); stop what runs and try again")
    torch.set_num_threads(1)
    print(f"Measured on {hardware()}, torch {torch.__version__}.\n")
    print("| what | measured | target | met |\n|---|---|---|---|")
    for measured in (imports, sampling, sliders):
        for name, value, unit, target in measured():
            met = "yes" if value <= target else "**no**"
            print(f"| {name} | {value:.3g}{unit} | ≤ {target:g}{unit} | {met} |", flush=True)
