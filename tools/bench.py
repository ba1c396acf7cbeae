"""Measure what data/results/SPEED.md says about speed: `make bench`, or `python tools/bench.py [--write]`.

Every ratio is taken inside one run. On a busy machine nothing is timed. With --write the table goes there.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import ipywidgets
import numpy as np
import psutil
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from curve import renewing
from make_ledger import with_section
from notebooks import all_notebooks, place, run
from sbgm import (
    NamedSampler,
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

SPEED = Path(__file__).resolve().parent.parent / "data" / "results" / "SPEED.md"
BUSY_PERCENT = 10.0
CHAPTER_SECONDS = {"00": 60, "01": 60, "02": 60, "03": 60}
seconds = partial(timeit.timeit, number=1)  # wall time of one call


def row(name: str, value: float, unit: str, target: float | None = None) -> str:
    """One line of the table: what was measured, the figure, and what it should be at most, if anything."""
    if target is None:
        return f"| {name} | {value:.3g}{unit} | | |"
    return f"| {name} | {value:.3g}{unit} | ≤ {target:g}{unit} | {'yes' if value <= target else '**no**'} |"


def medians(works: Sequence[Callable[[], object]], n: int) -> list[float]:
    """The median wall time of n calls of each, called by turns."""
    times = [[seconds(work) for work in works] for _ in range(n)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def seeded(seed: int = 0) -> torch.Generator:
    """A generator with this seed."""
    return torch.Generator().manual_seed(seed)


def import_time() -> Iterator[str]:
    """`import sbgm`, alone and with its losses, samplers and networks, against `import torch`: fresh interpreters."""
    codes = ("import torch", "import sbgm", "from sbgm import MLP, annealed_langevin, ncsn_loss, paper_mixture")
    works = [partial(subprocess.run, [sys.executable, "-c", code], check=True) for code in codes]
    torch_alone, alone, used = medians(works, 7)
    yield row("`import sbgm`, times `import torch`", alone / torch_alone, "×", 1.5)
    yield row("the same with a network, a loss, a sampler and the mixture loaded", used / torch_alone, "×", 1.5)


def figure3() -> Iterator[str]:
    """Fig. 3's three clouds: 20 seeds of 1,280 chains, by exact sampling, Langevin and annealed Langevin dynamics."""
    generator = seeded()
    mixture = paper_mixture()
    points = paper_mixture(stds=0.0)
    sigmas = geometric_sigmas(20, 1, 10)
    n = 20 * 1280

    def clouds() -> None:
        mixture.sample(n, generator=generator)
        start = torch.rand(n, 2, generator=generator) * 16 - 8
        final(langevin(mixture.score, start, step_size=0.1, n_steps=1000, generator=generator))
        final(annealed_langevin(points.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator))

    yield row("Fig. 3: three clouds, 20 seeds × 1,280 chains", seconds(clouds), " s", 10)


def sampling() -> Iterator[str]:
    """Sixteen digits by Algorithm 1, its 1,000 evaluations timed on 100 of them, and 64 by a fast sampler."""
    network = load_network("mnist_ncsn")
    score = autocast(rescaled(network))
    start = torch.rand(64, *network.image_shape, generator=seeded())
    paper = NamedSampler("annealed", network.ladder, 2e-5, n_steps=10)
    fast = renewing(1.0, 0.01, 50, 8.0)
    torch.set_num_threads(psutil.cpu_count(logical=False))
    score(start, 1.0)  # the first call is slower
    slow = seconds(lambda: final(paper.states(score, start[:16], seeded())))
    quick = seconds(lambda: final(fast.states(score, start, seeded())))
    torch.set_num_threads(1)
    yield row("16 MNIST images by Algorithm 1, C = 32: ten times 100 evaluations", 10 * slow, " s", 100)
    yield row("64 by the fast path, renewing, c = 8, 50 evaluations", quick, " s", 40)


def moves(widget: ipywidgets.Widget) -> list[Callable[[], None]]:
    """Up to 25 moves of a control, from its last place to its first and then over its whole range."""
    if hasattr(widget, "options"):
        trait = "index"
        places = sorted({round(i) for i in np.linspace(0, len(widget.options) - 1, 25)})
    else:
        trait = "value"
        values = np.linspace(widget.min, widget.max, 25)
        if hasattr(widget, "base"):  # a logarithmic slider's
            values = widget.base**values
        places = list(dict.fromkeys(type(widget.value)(value) for value in values))
    setattr(widget, trait, places[-1])  # so that the first is a move too
    return [partial(setattr, widget, trait, place) for place in places]


def sliders() -> Iterator[str]:
    """Every control of the explorers that compute as they move: the median time from a move to the finished picture."""
    for name in ("annealing", "langevin", "level_steps", "score_field"):
        explorer = getattr(widgets, f"{name}_explorer")()
        for control, widget in explorer.controls.items():
            at_start = widget.value
            taken = [seconds(move) for move in moves(widget)]
            widget.value = at_start
            label = f"slider, {name}: {control}".replace("_", " ")
            yield row(label, 1000 * statistics.median(taken), " ms", 50)


def chapters() -> Iterator[str]:
    """Each notebook alone, on a fresh kernel."""
    for notebook in all_notebooks():
        with tempfile.TemporaryDirectory() as folder:
            taken = seconds(partial(run, notebook, Path(folder)))
        *folders, name = place(notebook).parts
        yield row(", ".join([f"chapter {name[:2]}", *folders]), taken, " s", CHAPTER_SECONDS.get(name[:2], 120))


def main() -> None:
    """Measure, print, and write the table if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into data/results/SPEED.md")
    arguments = parser.parse_args()
    if (busy := psutil.cpu_percent(interval=3.0)) > BUSY_PERCENT:
        sys.exit(f"bench: the machine is busy ({busy:.0f} % of its processors); stop what runs and try again")
    torch.set_num_threads(1)
    lines = [f"Measured on {hardware()}, torch {torch.__version__}.\n"]
    lines += ["| what | measured | target | met |", "|---|---|---|---|"]
    print(*lines, sep="\n", flush=True)
    for measured in (import_time, figure3, sampling, sliders, chapters):
        for line in measured():
            lines.append(line)
            print(line, flush=True)
    if arguments.write:
        SPEED.write_text(with_section(SPEED, "bench", "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
