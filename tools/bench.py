"""Measure what data/results/SPEED.md says about speed: `make bench`, or `python tools/bench.py [--learning] [--write]`.

Every ratio is taken inside one run. On a busy machine nothing is timed. With --write the table goes there.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psutil
import torch

from notebooks import found, place
from sbgm import (
    MLP,
    ImageMLP,
    annealed_langevin,
    autocast,
    final,
    geometric_sigmas,
    inpaint,
    langevin,
    load_network,
    masks,
    measure,
    paper_mixture,
    plots,
    widgets,
)
from sbgm.data import load_images
from sbgm.lab import Figure2, Trajectory, annealed_trajectory, train_figure2
from sbgm.lab.curve import MeasuredPoint, SamplerCurve, draw_entry, entries, load_curve
from sbgm.lab.i5 import StepMap, digits_map
from sbgm.lab.ncsn import NCSN, train_ncsn
from sbgm.lab.runs import Run, hardware
from sbgm.precision import fast_precision
from sbgm.samplers import State
from sbgm.training import Step

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEED = ROOT / "data" / "results" / "SPEED.md"
BUSY_PERCENT = 10.0
CHAPTER_SECONDS = {"00": 60, "01": 60, "02": 60, "03": 60}


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


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def import_time() -> Iterator[Row]:
    """`import sbgm`, alone and with its losses, samplers and networks, against `import torch`: fresh interpreters."""
    codes = {
        "torch": "import torch",
        "sbgm": "import sbgm",
        "used": "from sbgm import MLP, annealed_langevin, ncsn_loss, paper_mixture",
    }
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(7):
        for name, code in codes.items():
            times[name].append(seconds(lambda c=code: subprocess.run([sys.executable, "-c", c], check=True)))
    torch_alone = statistics.median(times["torch"])
    yield Row("`import sbgm`, times `import torch`", statistics.median(times["sbgm"]) / torch_alone, 1.5, "×")
    label = "the same with a network, a loss, a sampler and the mixture loaded"
    yield Row(label, statistics.median(times["used"]) / torch_alone, 1.5, "×")


def figure2() -> Iterator[Row]:
    """Fig. 2's network by the quick and by the authors' recipe: time, Fisher divergence on the data, and L1's ratio."""
    mixture = paper_mixture()
    data = mixture.sample(50_000, generator=torch.Generator().manual_seed(99))
    points = plots.grid(20)
    distance = measure.distance_to_modes(points, mixture.means)
    spent, divergence, ratio = {}, {}, {}
    for recipe, n_seeds in ((Figure2.authors, 2), (Figure2.quick, 5)):
        results = []
        for seed in range(n_seeds):
            network = MLP(generator=torch.Generator().manual_seed(seed))
            taken = seconds(lambda n=network, r=recipe, s=seed: list(train_figure2(n, mixture, r(s))))
            with torch.no_grad():
                far, near = (
                    measure.relative_squared_error(network(points[region]), mixture.score(points[region]))
                    for region in (distance > 4, distance < 2)
                )
            results.append((taken, measure.fisher_divergence(network, mixture.score, data).value, far / near))
        name = recipe.__name__
        spent[name], divergence[name], ratio[name] = (statistics.mean(column) for column in zip(*results, strict=True))
    yield Row("Fig. 2 quick recipe, share of the time of the authors'", spent["quick"] / spent["authors"], 0.25, "×")
    yield Row("… its Fisher divergence on the data, mean of 5 seeds", divergence["quick"], 0.002, "")
    yield Row("… the authors' (10,000 iterations), mean of 2 seeds", divergence["authors"], 0.015, "")
    yield Row("… near error over far error (L1: at most 1/5), authors'", 1 / ratio["authors"], 0.2, "")
    yield Row("… the same, quick", 1 / ratio["quick"], 0.2, "")


def figure3() -> Iterator[Row]:
    """Fig. 3's three clouds: 20 seeds of 1,280 chains, by exact sampling, Langevin and annealed Langevin dynamics."""

    def clouds() -> None:
        generator = torch.Generator().manual_seed(0)
        mixture, points, n = paper_mixture(), paper_mixture(stds=0.0), 20 * 1280
        mixture.sample(n, generator=generator)
        start = torch.rand(n, 2, generator=generator) * 16 - 8
        final(langevin(mixture.score, start, step_size=0.1, n_steps=1000, generator=generator))
        sigmas = geometric_sigmas(20, 1, 10)
        final(annealed_langevin(points.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator))

    yield Row("Fig. 3: three clouds, 20 seeds × 1,280 chains", seconds(clouds), 10, " s")


def training_step(compile: bool = False) -> Iterator[Row]:
    """The laptop's training step, bfloat16 layers against the plain fp32 loop, one after the other: C = 32, 28×28."""
    steps = {"fp32": image_training("fp32"), "bf16": image_training("bf16", compile=compile)}
    times: dict[str, list[float]] = {precision: [] for precision in steps}
    for _ in range(5):
        for precision, training in steps.items():
            times[precision].append(seconds(lambda t=training: next(t)))
    share = statistics.median(times["bf16"]) / statistics.median(times["fp32"])
    label = "training step in bfloat16, share of fp32's time (C = 32, 28×28, batch 64)"
    yield Row("… compiled, which takes minutes to start" if compile else label, share, 1 / 1.6, "×")


def compiled_step() -> Iterator[Row]:
    """The same with compiled layers."""
    yield from training_step(compile=True)


def compiled_loss() -> Iterator[Row]:
    """What 500 steps of the plain fp32 loop learn, and of the compiled bfloat16 one: no time is taken.

    The held-out loss is that of the averaged weights, which scatter less. Three seeds of the plain loop show how far a
    run is from their mean by chance; the compiled run should be no farther. The runs are kept in runs/learning, and
    gone on with if they are interrupted; without that folder they are made anew.
    """
    images, held_out = load_images("mnist_small"), load_images("mnist_small", "test")[:200]
    losses: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for precision, seed in (("fp32", 0), ("fp32", 1), ("fp32", 2), ("bf16", 0)):
        settings = image_settings(precision, n_steps=500, compile=precision == "bf16", ema_decay=0.99, seed=seed)
        run = Run(ROOT / "runs" / "learning" / f"{precision}-{seed}")
        resume = run.folder.exists()
        for _ in train_ncsn(settings, run.folder, resume=resume, images=images, held_out=images[:2]):
            pass
        network = run.network()
        measured = measure.level_losses(network, held_out, network.sigmas, generator=torch.Generator().manual_seed(0))
        losses[precision].append(float(measured.values.mean()))
    plain, (fused,) = losses["fp32"], losses["bf16"]
    by_chance = statistics.stdev(plain) * math.sqrt(1 + 1 / len(plain))
    yield Row("held-out loss after 500 steps in fp32, mean of three seeds", statistics.mean(plain), None, "")
    yield Row("… standard deviation of one run more from that mean", by_chance, None, "")
    yield Row("… of a run compiled in bfloat16", fused, None, "")
    yield Row("… its distance from the mean, in these", abs(fused - statistics.mean(plain)) / by_chance, 2, "")


def image_settings(precision: str, **training) -> NCSN:
    """The laptop's training on the shipped digits, batch 64, with other settings of the training."""
    settings = NCSN.of_scale("mnist_small", "laptop")
    changes = {"batch_size": 64, "precision": precision, "log_every": training["n_steps"], "ema_decay": 0.0} | training
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **changes))


def image_training(precision: str, *, compile: bool = False, n_steps: int = 6) -> Iterator[Step]:
    """Train the laptop's RefineNet on the shipped digits."""
    images = load_images("mnist_small")
    with tempfile.TemporaryDirectory() as folder:
        settings = image_settings(precision, n_steps=n_steps, compile=compile)
        yield from train_ncsn(settings, f"{folder}/run", images=images, held_out=images[:2])


def sampling() -> Iterator[Row]:
    """Sixteen digits by Algorithm 1, its 1,000 evaluations timed on 100 of them, and 64 by the curve's fast sampler."""
    network = load_network("mnist_ncsn")
    start = torch.rand(16, *network.image_shape, generator=torch.Generator().manual_seed(0))
    score, options = autocast(network, fast_precision()), {"step_size": 2e-5, "generator": torch.Generator()}
    fast, digits = load_curve("mnist_ncsn").fast(), load_images("mnist_small")[:1_000]
    entry = next(e for e in entries(network.sigmas) if (e.label, e.evaluations) == (fast.label, fast.evaluations))
    torch.set_num_threads(psutil.cpu_count(logical=False))
    try:
        final(annealed_langevin(score, start, network.sigmas[:1], n_steps=2, **options))
        slow = seconds(lambda: final(annealed_langevin(score, start, network.sigmas, n_steps=10, **options)))
        with tempfile.TemporaryDirectory() as folder:
            quick = seconds(lambda: list(draw_entry(entry, network, digits, pathlib.Path(folder), 64, batch_size=64)))
    finally:
        torch.set_num_threads(1)
    yield Row("16 MNIST images by Algorithm 1, C = 32: ten times 100 evaluations", 10 * slow, 100, " s")
    yield Row(f"64 by the fast path, {entry.label}, {entry.evaluations} evaluations", quick, 40, " s")


def small_curve() -> SamplerCurve:
    """Two samplers at two costs each, with sixteen black images for samples."""
    costs = {"Algorithm 1": (100, 1_000), "ancestral": (20, 100)}
    points = tuple(MeasuredPoint(label, n, 1_000 / n, 0.1, 0.5) for label, budgets in costs.items() for n in budgets)
    sheets = {f"{p.label}, {p.evaluations}": torch.zeros(16, 1, 28, 28, dtype=torch.uint8) for p in points}
    return SamplerCurve(points, {"n_samples": 16}, sheets)


def every_explorer() -> Iterator[widgets.FigureExplorer]:
    """One of each explorer that the package exports."""
    settings = dataclasses.replace(Figure2.quick(), n_iterations=40)
    network, points = MLP(generator=torch.Generator().manual_seed(0)), plots.grid(39)
    snapshots = {0: network(points).detach()}
    for step in train_figure2(network, paper_mixture(), settings):
        snapshots[step.step] = network(points).detach()
    arguments = {
        "training_explorer": [snapshots],
        "image_noise_explorer": [load_images("photo_patches", "test")[:8]],
        "denoising_explorer": [ImageMLP([1.0, 0.1, 0.01]), load_images("digits", "test")[:8]],
        "inpainting_explorer": inpaintings(),
        "step_map_explorer": [small_step_map()],
        "image_annealing_explorer": [small_trajectory()],
        "sampler_curve_explorer": [small_curve()],
    }
    for name in widgets.__all__:
        if name.endswith("_explorer"):
            yield getattr(widgets, name)(*arguments.get(name, []))


def inpaintings() -> tuple:
    """A digit, its masks, and the states of four fills behind each, by the exact score of a normal law."""
    image, generator = load_images("mnist_small", "test")[0], torch.Generator().manual_seed(0)
    by_kind = {kind: masks.make_mask(kind, image.shape, generator=generator) for kind in masks.KINDS}

    def fills(mask: torch.Tensor) -> list[State]:
        start = torch.rand(4, *image.shape, generator=generator)
        options = {"image": image, "mask": mask, "step_size": 0.004, "n_steps": 10, "generator": generator}
        return list(inpaint(lambda x, sigma: (0.1 - x) / (0.1 + sigma**2), start, [1.0, 0.3, 0.1], **options))

    return image, by_kind, {kind: fills(mask) for kind, mask in by_kind.items()}


def small_trajectory() -> Trajectory:
    """Sixteen chains of ten levels, by the exact score of a normal law."""
    start, generator = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.Generator()
    options = {"step_size": 2e-5, "n_steps": 20, "generator": generator.manual_seed(1)}
    sigmas = geometric_sigmas(1.0, 0.01, 10)
    return annealed_trajectory(lambda x, sigma: (0.1 - x) / (0.1 + sigma**2), start, sigmas, **options)


def small_step_map() -> StepMap:
    """A map of few digits and few steps."""
    with tempfile.TemporaryDirectory() as folder:
        return digits_map(pathlib.Path(folder), n_steps=(1, 2), step_sizes=(1e-5, 2e-5), n_samples=80)


def sliders() -> Iterator[Row]:
    """Every control of every explorer: the median time from a move to the finished picture."""
    names = [name for name in widgets.__all__ if name.endswith("_explorer")]
    for name, explorer in zip(names, every_explorer(), strict=True):
        for control in explorer.controls:
            label = f"{name.removesuffix('_explorer').replace('_', ' ')}: {control.replace('_', ' ')}"
            yield Row(f"slider, {label}", 1000 * explorer.update_seconds(control), 50, " ms")


def chapters() -> Iterator[Row]:
    """Each notebook alone, on a fresh kernel."""
    for notebook in found():
        command = [sys.executable, str(ROOT / "tools" / "notebooks.py"), "run"]
        with tempfile.TemporaryDirectory() as folder:
            taken = seconds(
                lambda c=command, f=folder, n=notebook: subprocess.run(
                    [*c, f, str(n)], check=True, stdout=subprocess.DEVNULL
                )
            )
        *folders, name = place(notebook).parts
        label = ", ".join([f"chapter {name[:2]}", *folders])
        yield Row(label, taken, CHAPTER_SECONDS.get(name[:2], 120), " s")


def refuse_if_busy() -> None:
    """Exit unless the machine is idle: times on a shared machine say nothing."""
    if (busy := psutil.cpu_percent(interval=3.0)) > BUSY_PERCENT:
        sys.exit(f"bench: the machine is busy ({busy:.0f} % of its processors); stop what runs and try again")


def write_table(name: str, table: str) -> None:
    """Put a table into SPEED.md, between the markers of its name."""
    text = SPEED.read_text(encoding="utf-8")
    head, opened, rest = text.partition(f"<!-- {name} -->")
    _, closed, tail = rest.partition(f"<!-- /{name} -->")
    if not (opened and closed):
        sys.exit(f"bench: SPEED.md must hold the markers <!-- {name} --> and <!-- /{name} -->")
    SPEED.write_text(f"{head}{opened}\n{table}\n{closed}{tail}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write the table if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into data/results/SPEED.md")
    parser.add_argument("--skip-chapters", action="store_true", help="leave out the chapters' run times")
    parser.add_argument("--learning", action="store_true", help="only what compiled bfloat16 learns: most of an hour")
    arguments = parser.parse_args()
    parts = [import_time, figure2, figure3, training_step, compiled_step, sampling, sliders]
    parts += [] if arguments.skip_chapters else [chapters]
    if arguments.learning:
        parts = [compiled_loss]
    else:
        refuse_if_busy()
    torch.set_num_threads(1)
    head = ["| what | measured | target | met |", "|---|---|---|---|"]
    lines = [f"Measured on {hardware()}, torch {torch.__version__}.\n", *head]
    print("\n".join(lines), flush=True)
    for part in parts:
        for row in part():
            lines.append(str(row))
            print(row, flush=True)
    if arguments.write:
        write_table("bench learning" if arguments.learning else "bench", "\n".join(lines))


if __name__ == "__main__":
    main()
