"""What a run shows of itself while it trains: a row of eight images every so many steps, its losses, and a page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sbgm.files import write_bytes, written_whole
from sbgm.guard import Score
from sbgm.images.drawing import fitted_start
from sbgm.networks import in_range
from sbgm.noise import derived_generator
from sbgm.plots import save_sheet
from sbgm.samplers import ancestral, final

N_IMAGES = 8
REFRESH = '<meta http-equiv="refresh" content="30">'
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">{refresh}<title>{name}, step {step:,}</title>
<style>body {{ font: 16px sans-serif; max-width: 60rem; margin: 2rem auto }} img {{ max-width: 100% }}</style>
<h1>{name}</h1>
<p>Step {step:,} of {n_steps:,}, after {minutes:.0f} minutes. {state}</p>
<img src="losses.png" alt="The loss of the training images and of held-out images, against steps">
<p>Held-out loss at step {step:,}: {held_out:.4g}.</p>
{sheets}
</html>
"""


def save_images(
    score: Score, images: Tensor, sigmas: Tensor, seed: int, path: Path, classes: Sequence[str] = ()
) -> None:
    """Draw eight images by ancestral sampling, with the same starts and the same noise at every call, and write them.

    Args:
        score: s(x, sigma), or s(x, sigma, label).
        images: (N, C, H, W), to whose mean and covariance the starts are fitted, on the device of the score.
        sigmas: the ladder.
        seed: of starts and noise.
        path: the PNG.
        classes: names of the classes that the network is told; the eight are then one of each, in turn.
    """
    label, names = [], []
    if classes:
        label = [torch.arange(N_IMAGES, device=images.device) % len(classes)]
        names = [classes[i % len(classes)] for i in range(N_IMAGES)]
    generator = derived_generator(seed, N_IMAGES, device=images.device)
    x = fitted_start(images, float(sigmas[0]))((N_IMAGES, *images.shape[1:]), generator)
    clamped = in_range(lambda x, sigma: score(x, sigma, *label))
    path.parent.mkdir(exist_ok=True)
    x = final(ancestral(clamped, x, sigmas, generator=generator, denoise_last=True))
    save_sheet(path, x, names=names)


def write_page(folder: Path, rows: Sequence[Mapping[str, float]], n_steps: int) -> None:
    """Write `progress.html` and `losses.png` of a run's folder, from the rows of its log and its sheets."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for name, text in (("loss", "training"), ("held_out", "held out")):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), label=text, marker="o" if len(points) == 1 else None)
    axes.set(xlabel="step", ylabel="loss (Eq. 6)")
    axes.legend()
    with written_whole(folder / "losses.png") as partial:
        figure.savefig(partial, format="png")
    sheets = [
        f"<h2>Step {int(sheet.stem.removeprefix('step-')):,}</h2>\n"
        f'<img src="sheets/{sheet.name}" alt="Eight images at this step">'
        for sheet in sorted((folder / "sheets").glob("step-*.png"), reverse=True)
    ]
    last = rows[-1]
    facts = {"name": html.escape(folder.name), "step": last["step"], "n_steps": n_steps, "held_out": last["held_out"]}
    done = last["step"] == n_steps
    facts |= {"refresh": "" if done else REFRESH, "state": "" if done else "This page is read again every 30 seconds."}
    page = PAGE.format(**facts, minutes=last["seconds"] / 60, sheets="\n".join(sheets))
    write_bytes(folder / "progress.html", page.encode())
