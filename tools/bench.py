"""Measure what data/results/SPEED.md says about speed: `make bench`, or `python tools/bench.py [--learning] [--write]`.

Every ratio is taken inside one run. On a busy machine nothing is timed. With --write the table goes there.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from claims import attached_file, load_record, with_section
from curve import draw_entry, entries
from notebooks import found, place, run
from recipes import Figure2, train_figure2
from sbgm import (
    MLP,
    ImageMLP,
    RefineNet,
    annealed_langevin,
    autocast,
    final,
    geometric_sigmas,
    inpaint,
    langevin,
    load_network,
    masks,
    measure,
    ncsn_loss,
    paper_mixture,
    plots,
    widgets,
)
from sbgm.checked import Score
from sbgm.data import load_images
from sbgm.files import load_tensors
from sbgm.measure.records import StepMap, load_curve
from sbgm.precision import compiled
from sbgm.train.images import NCSN, train_ncsn
from sbgm.train.runs import Run, hardware
from sbgm.training import adam
from sbgm.widgets import annealed_trajectory

ROOT = Path(__file__).resolve().parent.parent
SPEED = ROOT / "data" / "results" / "SPEED.md"
BUSY_PERCENT = 10.0
CHAPTER_SECONDS = {"00": 60, "01": 60, "02": 60, "03": 60}
CELL_SECONDS = 300.0
seconds = partial(timeit.timeit, number=1)  # wall time of one call


class Row(NamedTuple):
    """One line of the table: what was measured, the figure, and what it should be at most, if anything."""

    what: str
    value: float
    target: float | None
    unit: str

    def __str__(self) -> str:
        if self.target is None:
            return f"| {self.what} | {self.value:.3g}{self.unit} | | |"
        verdict = "yes" if self.value <= self.target else "**no**"
        return f"| {self.what} | {self.value:.3g}{self.unit} | ≤ {self.target:g}{self.unit} | {verdict} |"


def medians(works: Sequence[Callable[[], object]], n: int) -> list[float]:
    """The median wall time of n calls of each, called by turns."""
    times = [[seconds(work) for work in works] for _ in range(n)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def seeded(seed: int = 0) -> torch.Generator:
    """A generator with this seed."""
    return torch.Generator().manual_seed(seed)


def import_time() -> Iterator[Row]:
    """`import sbgm`, alone and with its losses, samplers and networks, against `import torch`: fresh interpreters."""
    codes = ("import torch", "import sbgm", "from sbgm import MLP, annealed_langevin, ncsn_loss, paper_mixture")
    works = [partial(subprocess.run, [sys.executable, "-c", code], check=True) for code in codes]
    torch_alone, alone, used = medians(works, 7)
    yield Row("`import sbgm`, times `import torch`", alone / torch_alone, 1.5, "×")
    yield Row("the same with a network, a loss, a sampler and the mixture loaded", used / torch_alone, 1.5, "×")


def figure2() -> Iterator[Row]:
    """Fig. 2's network by the quick and by the authors' recipe: time, Fisher divergence on the data, and L1's ratio."""
    mixture, points = paper_mixture(), plots.grid(20)
    data = mixture.sample(50_000, generator=seeded(99))

    def train(recipe: Callable[[int], Figure2], seed: int) -> tuple[float, float, float]:
        network = MLP(generator=seeded(seed))
        taken = seconds(lambda: list(train_figure2(network, mixture, recipe(seed))))
        near, far = measure.region_errors(network, mixture.score, points, mixture.means)
        return taken, measure.fisher_divergence(network, mixture.score, data).value, near / far

    authors, quick = (
        [statistics.mean(column) for column in zip(*(train(recipe, seed) for seed in range(n_seeds)), strict=True)]
        for recipe, n_seeds in ((Figure2.authors, 2), (Figure2.quick, 5))
    )
    yield Row("Fig. 2 quick recipe, share of the time of the authors'", quick[0] / authors[0], 0.25, "×")
    yield Row("… its Fisher divergence on the data, mean of 5 seeds", quick[1], 0.002, "")
    yield Row("… the authors' (10,000 iterations), mean of 2 seeds", authors[1], 0.015, "")
    yield Row("… near error over far error (L1: at most 1/5), authors'", authors[2], 0.2, "")
    yield Row("… the same, quick", quick[2], 0.2, "")


def figure3() -> Iterator[Row]:
    """Fig. 3's three clouds: 20 seeds of 1,280 chains, by exact sampling, Langevin and annealed Langevin dynamics."""

    def clouds() -> None:
        generator, mixture, points, n = seeded(), paper_mixture(), paper_mixture(stds=0.0), 20 * 1280
        mixture.sample(n, generator=generator)
        start, sigmas = torch.rand(n, 2, generator=generator) * 16 - 8, geometric_sigmas(20, 1, 10)
        final(langevin(mixture.score, start, step_size=0.1, n_steps=1000, generator=generator))
        final(annealed_langevin(points.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator))

    yield Row("Fig. 3: three clouds, 20 seeds × 1,280 chains", seconds(clouds), 10, " s")


class PlainNorm(nn.Module):
    """Conditional instance norm++, term by term; the parameters have our names, so that our weights fit."""

    def __init__(self, channels: int, n_levels: int) -> None:
        super().__init__()
        self.normalise, self.levels = nn.InstanceNorm2d(channels), nn.Embedding(n_levels, 3 * channels)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        gamma, alpha, beta = self.levels(level)[..., None, None].chunk(3, dim=1)
        means = x.mean(dim=(2, 3), keepdim=True)
        variance, mean = torch.var_mean(means, dim=1, keepdim=True)
        return gamma * (self.normalise(x) + alpha * (means - mean) / torch.sqrt(variance + 1e-5)) + beta


class PlainResidual(nn.Module):
    """The encoder's block: norm, ELU, convolution, twice, plus a shortcut; then the mean over 2×2 if it halves."""

    def __init__(self, n_in: int, n_out: int, n_levels: int, dilation: int, *, halve: bool, project: bool) -> None:
        super().__init__()
        hidden = n_in if halve else n_out
        self.norm1, self.norm2 = PlainNorm(n_in, n_levels), PlainNorm(hidden, n_levels)
        self.conv1 = nn.Conv2d(n_in, hidden, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(hidden, n_out, 3, padding=dilation, dilation=dilation)
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Conv2d(n_in, n_out, 1)
        elif project:
            self.shortcut = nn.Conv2d(n_in, n_out, 3, padding=dilation, dilation=dilation)
        self.pool: nn.Module = nn.AvgPool2d(2) if halve else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.conv1(functional.elu(self.norm1(x, level)))
        h = self.conv2(functional.elu(self.norm2(h, level)))
        return self.pool(h) + self.pool(self.shortcut(x))


class PlainUnit(nn.Module):
    """A residual convolution unit, or, `chained`, the chained residual pooling: norms and convolutions in turn."""

    def __init__(self, channels: int, n_levels: int, n_convs: int, *, chained: bool = False) -> None:
        super().__init__()
        self.norms = nn.ModuleList(PlainNorm(channels, n_levels) for _ in range(n_convs))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(n_convs))
        self.pool = nn.AvgPool2d(5, stride=1, padding=2) if chained else None

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if self.pool is not None:
            h = x = functional.elu(x)
            for norm, conv in zip(self.norms, self.convs, strict=True):
                h = conv(self.pool(norm(h, level)))
                x = h + x
            return x
        for i in range(0, len(self.convs), 2):
            h = self.convs[i](functional.elu(self.norms[i](x, level)))
            x = self.convs[i + 1](functional.elu(self.norms[i + 1](h, level))) + x
        return x


class PlainFusion(nn.Module):
    """Multi-resolution fusion: norm, convolution, bilinear resize with aligned corners, sum."""

    def __init__(self, n_in: Sequence[int], n_out: int, n_levels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(PlainNorm(n, n_levels) for n in n_in)
        self.convs = nn.ModuleList(nn.Conv2d(n, n_out, 3, padding=1) for n in n_in)

    def forward(self, maps: Sequence[Tensor], level: Tensor) -> Tensor:
        layers = zip(maps, self.norms, self.convs, strict=True)
        resize = partial(functional.interpolate, size=maps[0].shape[2:], mode="bilinear", align_corners=True)
        return torch.stack([resize(conv(norm(x, level))) for x, norm, conv in layers]).sum(dim=0)


class PlainRefine(nn.Module):
    """A refine block: a unit for each map, fusion, chained pooling, a unit."""

    def __init__(self, n_in: Sequence[int], n_out: int, n_levels: int, n_blocks: int = 1) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(PlainUnit(n, n_levels, 4) for n in n_in)
        self.fusion = PlainFusion(n_in, n_out, n_levels) if len(n_in) > 1 else None
        self.pooling = PlainUnit(n_out, n_levels, 2, chained=True)
        self.output = PlainUnit(n_out, n_levels, 2 * n_blocks)

    def forward(self, maps: Sequence[Tensor], level: Tensor) -> Tensor:
        hidden = [unit(x, level) for unit, x in zip(self.inputs, maps, strict=True)]
        x = hidden[0] if self.fusion is None else self.fusion(hidden, level)
        return self.output(self.pooling(x, level), level)


class PlainRefineNet(nn.Module):
    """The authors' network, CondRefineNetDilated, in ordinary modules: what ours is timed against.

    Args:
        sigmas: the ladder, whose nearest level σ selects.
        channels: C.
        image_channels: 1 or 3.
    """

    def __init__(self, sigmas: Tensor, channels: int, image_channels: int) -> None:
        super().__init__()
        self.register_buffer("sigmas", sigmas)
        n, c = len(sigmas), channels
        self.begin, self.end = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((image_channels, c), (c, image_channels)))
        d = 2 * c
        stages = (c, c, 1, False, False), (c, d, 1, True, False), (d, d, 2, False, True), (d, d, 4, False, True)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                [
                    PlainResidual(a, b, n, dilation, halve=halve, project=project),
                    PlainResidual(b, b, n, dilation, halve=False, project=False),
                ]
            )
            for a, b, dilation, halve, project in stages
        )
        refines = ([d], d), ([d, d], d), ([d, d], c), ([c, c], c, 3)
        self.refines = nn.ModuleList(PlainRefine(*sizes[:2], n, *sizes[2:]) for sizes in refines)
        self.norm = PlainNorm(c, n)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        level = (torch.as_tensor(sigma).reshape(-1, 1) - self.sigmas).abs().argmin(dim=1).expand(len(x))
        h, maps = self.begin(2 * x - 1), []
        for first, second in self.stages:
            h = second(first(h, level), level)
            maps.append(h)
        refined = self.refines[0]([maps.pop()], level)
        for refine in self.refines[1:]:
            refined = refine([maps.pop(), refined], level)
        return self.end(functional.elu(self.norm(refined, level)))


def both_networks(channels: int, image_channels: int) -> tuple[RefineNet, PlainRefineNet]:
    """Our network and the plain one of the same weights."""
    ours = RefineNet(geometric_sigmas(1.0, 0.01, 10), channels, image_channels)
    plain = PlainRefineNet(ours.sigmas, channels, image_channels)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def network_speed() -> Iterator[Row]:
    """A step of training and an evaluation: ours, compiled in bfloat16, against the authors' network in fp32."""
    (ours, plain), images = both_networks(32, 1), load_images("mnist_small")[:64]
    scores = plain, autocast(compiled(ours), "bf16")

    def step(score: Score, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        ncsn_loss(score, images, ours.sigmas, generator=seeded()).backward()
        optimizer.step()

    def evaluate(score: Score) -> None:
        with torch.no_grad():
            score(images, 1.0)

    steps = [partial(step, score, adam(net, 1e-3)[0]) for score, net in zip(scores, (plain, ours), strict=True)]
    evaluations = [partial(evaluate, score) for score in scores]
    for what, works, target in (("training step", steps, 0.30), ("evaluation", evaluations, 0.45)):
        medians(works, 1)  # compiles
        slow, fast = medians(works, 7)
        yield Row(f"the authors' network, plain fp32, C = 32, 28×28, batch 64: {what}", slow, None, " s")
        yield Row(f"… ours, compiled in bfloat16, share of that: {what}", fast / slow, target, "×")


def image_settings(precision: str, **training: object) -> NCSN:
    """The laptop's training on the shipped digits, batch 64, with other settings of the training."""
    settings = NCSN.of_scale("mnist_small", "laptop")
    changes = {"batch_size": 64, "precision": precision, "log_every": training["n_steps"], "ema_decay": 0.0} | training
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **changes))


def held_out_loss(precision: str, seed: int) -> float:
    """The held-out loss of the averaged weights, which scatter less, after 500 steps; bfloat16 layers are compiled.

    The run is kept in runs/learning, and gone on with if it is interrupted; without that folder it is made anew.
    """
    images, held_out = load_images("mnist_small"), load_images("mnist_small", "test")[:200]
    settings = image_settings(precision, n_steps=500, compile=precision == "bf16", ema_decay=0.99, seed=seed)
    folder = ROOT / "runs" / "learning" / f"{precision}-{seed}"
    list(train_ncsn(settings, folder, resume=folder.exists(), images=images, held_out=images[:2]))
    network = Run(folder).network()
    return float(measure.level_losses(network, held_out, network.sigmas, generator=seeded()).values.mean())


def compiled_loss() -> Iterator[Row]:
    """What the plain fp32 loop learns, and the compiled bfloat16 one: no time is taken.

    Three seeds of the plain loop show how far a run is from their mean by chance; the compiled should be no farther.
    """
    *plain, fused = (held_out_loss(*which) for which in (("fp32", 0), ("fp32", 1), ("fp32", 2), ("bf16", 0)))
    mean, by_chance = statistics.mean(plain), statistics.stdev(plain) * math.sqrt(1 + 1 / len(plain))
    yield Row("held-out loss after 500 steps in fp32, mean of three seeds", mean, None, "")
    yield Row("… standard deviation of one run more from that mean", by_chance, None, "")
    yield Row("… of a run compiled in bfloat16", fused, None, "")
    yield Row("… its distance from the mean, in these", abs(fused - mean) / by_chance, 2, "")


def sampling() -> Iterator[Row]:
    """Sixteen digits by Algorithm 1, its 1,000 evaluations timed on 100 of them, and 64 by the curve's fast sampler."""
    network = load_network("mnist_ncsn")
    start = torch.rand(16, *network.image_shape, generator=seeded())
    score, options = autocast(network), {"step_size": 2e-5, "generator": torch.Generator()}
    fast, digits = load_curve("mnist_ncsn").fast(), load_images("mnist_small")[:1_000]
    entry = next(e for e in entries(network.sigmas) if (e.label, e.evaluations) == (fast.label, fast.evaluations))
    torch.set_num_threads(psutil.cpu_count(logical=False))
    try:
        final(annealed_langevin(score, start, network.sigmas[:1], n_steps=2, **options))
        slow = seconds(lambda: final(annealed_langevin(score, start, network.sigmas, n_steps=10, **options)))
        with tempfile.TemporaryDirectory() as folder:
            quick = seconds(lambda: list(draw_entry(entry, network, digits, Path(folder), 64, batch_size=64)))
    finally:
        torch.set_num_threads(1)
    yield Row("16 MNIST images by Algorithm 1, C = 32: ten times 100 evaluations", 10 * slow, 100, " s")
    yield Row(f"64 by the fast path, {entry.label}, {entry.evaluations} evaluations", quick, 40, " s")


def every_explorer() -> Iterator[tuple[str, widgets.FigureExplorer]]:
    """Each explorer that the package exports, by name; what has no record is made by the score of a normal law."""
    generator, digit = seeded(), load_images("mnist_small", "test")[0]
    start, sigmas = torch.rand(16, *digit.shape, generator=generator), geometric_sigmas(1.0, 0.01, 10)
    options = {"step_size": 2e-5, "n_steps": 20, "generator": generator}
    hidden = {kind: masks.make_mask(kind, digit.shape, generator=generator) for kind in masks.KINDS}
    fills = {
        kind: list(inpaint(normal_score, start[:4], sigmas[:3], image=digit, mask=mask, **options))
        for kind, mask in hidden.items()
    }
    arguments = {
        "training_explorer": [{n: MLP(generator=generator)(plots.grid(39)).detach() for n in range(40)}],
        "image_noise_explorer": [load_images("photo_patches", "test")[:8]],
        "denoising_explorer": [ImageMLP([1.0, 0.1, 0.01]), load_images("digits", "test")[:8]],
        "inpainting_explorer": [digit, hidden, fills],
        "step_map_explorer": [StepMap.from_tensors(load_tensors(attached_file(load_record("I5")))[0], "digits")],
        "image_annealing_explorer": [annealed_trajectory(normal_score, start, sigmas, **options)],
        "sampler_curve_explorer": [load_curve("mnist_ncsn")],
    }
    for name in widgets.__all__:
        if name.endswith("_explorer"):
            yield name.removesuffix("_explorer"), getattr(widgets, name)(*arguments.get(name, []))


def normal_score(x: Tensor, sigma: float) -> Tensor:
    """The score of pixels of mean and variance 0.1 with noise σ on them."""
    return (0.1 - x) / (0.1 + sigma**2)


def sliders() -> Iterator[Row]:
    """Every control of every explorer: the median time from a move to the finished picture."""
    for name, explorer in every_explorer():
        for control in explorer.controls:
            label = f"slider, {name}: {control}".replace("_", " ")
            yield Row(label, 1000 * explorer.update_seconds(control), 50, " ms")


def chapters() -> Iterator[Row]:
    """Each notebook alone, on a fresh kernel."""
    for notebook in found():
        with tempfile.TemporaryDirectory() as folder:
            taken = seconds(partial(run, notebook, Path(folder), CELL_SECONDS))
        *folders, name = place(notebook).parts
        yield Row(", ".join([f"chapter {name[:2]}", *folders]), taken, CHAPTER_SECONDS.get(name[:2], 120), " s")


def main() -> None:
    """Measure, print, and write the table if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into data/results/SPEED.md")
    parser.add_argument("--skip-chapters", action="store_true", help="leave out the chapters' run times")
    parser.add_argument("--learning", action="store_true", help="only what compiled bfloat16 learns: most of an hour")
    arguments = parser.parse_args()
    timed = (import_time, figure2, figure3, network_speed, sampling, sliders, chapters)
    parts = [compiled_loss] if arguments.learning else timed[:-1] if arguments.skip_chapters else timed
    if not arguments.learning and (busy := psutil.cpu_percent(interval=3.0)) > BUSY_PERCENT:
        sys.exit(f"bench: the machine is busy ({busy:.0f} % of its processors); stop what runs and try again")
    torch.set_num_threads(1)
    lines = [f"Measured on {hardware()}, torch {torch.__version__}.\n"]
    lines += ["| what | measured | target | met |", "|---|---|---|---|"]
    print(*lines, sep="\n", flush=True)
    for row in (row for part in parts for row in part()):
        lines.append(str(row))
        print(row, flush=True)
    if arguments.write:
        name = "bench learning" if arguments.learning else "bench"
        SPEED.write_text(with_section(SPEED, name, "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
