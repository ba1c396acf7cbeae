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
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from claims import with_section
from curve import renewing
from notebooks import all_notebooks, place, run
from sbgm import (
    NamedSampler,
    RefineNet,
    annealed_langevin,
    autocast,
    final,
    geometric_sigmas,
    langevin,
    load_network,
    ncsn_loss,
    paper_mixture,
    rescaled,
    widgets,
)
from sbgm.checked import Score
from sbgm.data import load_images
from sbgm.precision import compiled, hardware
from sbgm.training import adam

SPEED = Path(__file__).resolve().parent.parent / "data" / "results" / "SPEED.md"
BUSY_PERCENT = 10.0
CHAPTER_SECONDS = {"00": 60, "01": 60, "02": 60, "03": 60}
seconds = partial(timeit.timeit, number=1)  # wall time of one call


def row(what: str, value: float, unit: str, target: float | None = None) -> str:
    """One line of the table: what was measured, the figure, and what it should be at most, if anything."""
    if target is None:
        return f"| {what} | {value:.3g}{unit} | | |"
    return f"| {what} | {value:.3g}{unit} | ≤ {target:g}{unit} | {'yes' if value <= target else '**no**'} |"


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

    def clouds() -> None:
        generator, mixture, points, n = seeded(), paper_mixture(), paper_mixture(stds=0.0), 20 * 1280
        mixture.sample(n, generator=generator)
        start, sigmas = torch.rand(n, 2, generator=generator) * 16 - 8, geometric_sigmas(20, 1, 10)
        final(langevin(mixture.score, start, step_size=0.1, n_steps=1000, generator=generator))
        final(annealed_langevin(points.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator))

    yield row("Fig. 3: three clouds, 20 seeds × 1,280 chains", seconds(clouds), " s", 10)


class AuthorsNetwork:
    """The authors' network, CondRefineNetDilated, by torch's plain layers, with the weights of ours: a score.

    Their norm is an instance norm and three terms more, their poolings and resizings are torch's, and nothing is done
    in place. What ours is timed against, and compared with in a test.

    Args:
        ours: whose convolutions are called, and whose embeddings hold γ, α and β.
    """

    def __init__(self, ours: RefineNet) -> None:
        self.ours, self.level = ours, torch.zeros(0)

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Images (B, C, H, W), σ a float or (B,) -> scores, by the level nearest to each σ."""
        ours = self.ours
        self.level = (torch.as_tensor(sigma).reshape(-1, 1) - ours.sigmas).abs().argmin(dim=1).expand(len(x))
        h, maps = ours.begin(2 * x - 1), []
        for block in (block for stage in ours.stages for block in stage):
            h = self.residual(block, h)
            maps.append(h)
        refined = self.refined(ours.refines[0], maps[-1:])
        for refine, skipped in zip(ours.refines[1:], maps[-3::-2], strict=True):  # what each stage ends with
            refined = self.refined(refine, [skipped, refined])
        return ours.end(self.active(ours.norm, refined))

    def normed(self, norm: nn.Module, x: Tensor) -> Tensor:
        """Conditional instance normalisation++, γ (x̂ + α μ̂) + β, term by term."""
        gamma, alpha, beta = norm.levels(self.level)[..., None, None].chunk(3, dim=1)
        means = x.mean(dim=(2, 3), keepdim=True)
        variance, mean = torch.var_mean(means, dim=1, keepdim=True)
        return gamma * (functional.instance_norm(x) + alpha * (means - mean) / torch.sqrt(variance + 1e-5)) + beta

    def active(self, norm: nn.Module, x: Tensor) -> Tensor:
        """The norm, then ELU."""
        return functional.elu(self.normed(norm, x))

    def residual(self, block: nn.Module, x: Tensor) -> Tensor:
        """The encoder's block: two convolutions plus a shortcut, then the mean over 2×2 if it halves."""
        h = block.conv1(self.active(block.norm1, x))
        h = block.conv2(self.active(block.norm2, h))
        return block.pool(h) + block.pool(block.shortcut(x))

    def convolved(self, unit: nn.Module, x: Tensor) -> Tensor:
        """A residual convolution unit."""
        for i in range(0, len(unit.convs), 2):
            h = unit.convs[i](self.active(unit.norms[i], x))
            x = unit.convs[i + 1](self.active(unit.norms[i + 1], h)) + x
        return x

    def refined(self, block: nn.Module, maps: Sequence[Tensor]) -> Tensor:
        """A refine block: a unit for each map, their fusion, the chained pooling, a unit."""
        units = [self.convolved(unit, x) for unit, x in zip(block.inputs, maps, strict=True)]
        if block.fusion is not None:
            layers = zip(block.fusion.convs, block.fusion.norms, units, strict=True)
            resize = partial(functional.interpolate, size=maps[0].shape[2:], mode="bilinear", align_corners=True)
            units = [torch.stack([resize(conv(self.normed(norm, x))) for conv, norm, x in layers]).sum(dim=0)]
        h = x = functional.elu(units[0])
        for norm, conv in zip(block.pooling.norms, block.pooling.convs, strict=True):
            h = conv(functional.avg_pool2d(self.normed(norm, h), 5, stride=1, padding=2))
            x = h + x
        return self.convolved(block.output, x)


def network_speed() -> Iterator[str]:
    """A step of training and an evaluation: ours, compiled in bfloat16, against the authors' network in fp32."""
    ours, images = RefineNet(geometric_sigmas(1.0, 0.01, 10), 32, 1), load_images("mnist_small")[:64]
    optimizer, scores = adam(ours, 1e-3)[0], (AuthorsNetwork(ours), autocast(compiled(ours), "bf16"))

    def step(score: Score) -> None:
        optimizer.zero_grad(set_to_none=True)
        ncsn_loss(score, images, ours.sigmas, generator=seeded()).backward()
        optimizer.step()

    @torch.no_grad()
    def evaluate(score: Score) -> None:
        score(images, 1.0)

    for what, work, target in (("training step", step, 0.30), ("evaluation", evaluate, 0.45)):
        works = [partial(work, score) for score in scores]
        medians(works, 1)  # compiles
        slow, fast = medians(works, 7)
        yield row(f"the authors' network, plain fp32, C = 32, 28×28, batch 64: {what}", slow, " s")
        yield row(f"… ours, compiled in bfloat16, share of that: {what}", fast / slow, "×", target)


def sampling() -> Iterator[str]:
    """Sixteen digits by Algorithm 1, its 1,000 evaluations timed on 100 of them, and 64 by a fast sampler."""
    network = load_network("mnist_ncsn")
    score, start = autocast(rescaled(network)), torch.rand(64, *network.image_shape, generator=seeded())
    paper, fast = NamedSampler("annealed", network.ladder, 2e-5, n_steps=10), renewing(1.0, 0.01, 50, 8.0)
    torch.set_num_threads(psutil.cpu_count(logical=False))
    score(start, 1.0)  # the first call is slower
    slow, quick = (
        seconds(lambda sampler=sampler, n=n: final(sampler.states(score, start[:n], seeded())))
        for sampler, n in ((paper, 16), (fast, 64))
    )
    torch.set_num_threads(1)
    yield row("16 MNIST images by Algorithm 1, C = 32: ten times 100 evaluations", 10 * slow, " s", 100)
    yield row("64 by the fast path, renewing, c = 8, 50 evaluations", quick, " s", 40)


def moves(widget: ipywidgets.Widget) -> list[Callable[[], None]]:
    """Up to 25 moves of a control, from its last place to its first and then over its whole range."""
    if hasattr(widget, "options"):
        trait, places = "index", sorted({round(i) for i in np.linspace(0, len(widget.options) - 1, 25)})
    else:
        values = np.linspace(widget.min, widget.max, 25)
        values = widget.base**values if hasattr(widget, "base") else values  # a logarithmic slider's
        trait, places = "value", list(dict.fromkeys(type(widget.value)(value) for value in values))
    setattr(widget, trait, places[-1])  # so that the first is a move too
    return [partial(setattr, widget, trait, place) for place in places]


def sliders() -> Iterator[str]:
    """Every control of the explorers that compute as they move: the median time from a move to the finished picture."""
    for name in ("annealing", "langevin", "level_steps", "score_field"):
        explorer = getattr(widgets, f"{name}_explorer")()
        for control, widget in explorer.controls.items():
            before, label = widget.value, f"slider, {name}: {control}".replace("_", " ")
            taken = [seconds(move) for move in moves(widget)]
            widget.value = before
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
    for measured in (import_time, figure3, network_speed, sampling, sliders, chapters):
        for line in measured():
            lines.append(line)
            print(line, flush=True)
    if arguments.write:
        SPEED.write_text(with_section(SPEED, "bench", "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
