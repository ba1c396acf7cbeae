"""Draw the README's moving picture, data/results/ladder.png: `python tools/ladder.py`.

An animated PNG: a cloud of chains goes down the ladder σ = 20 … 1 by annealed Langevin dynamics (Algorithm 1) with the
exact scores of Fig. 3's mixture. About ten seconds on one core; the same bytes each time.
"""

from __future__ import annotations

import io
import pathlib
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image
from torch import Tensor

from sbgm import annealed_langevin, final, geometric_sigmas, langevin, paper_mixture, plots
from sbgm.measure import mode_weights

FILE = pathlib.Path(__file__).resolve().parent.parent / "data" / "results" / "ladder.png"
SHOWN_STEPS = (15, 100)  # of each level's hundred
TRUE_SHARE = 0.8
POINTS = paper_mixture(stds=0.0)  # at σ = 1, the ladder's end, this is the mixture
BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's, which the colour-blind tell apart too
COLOURS = {BLUE: 8, ORANGE: 8, "#000000": 12}  # the picture's, each in so many shades down to white


class Scene(NamedTuple):
    """What one frame shows: σ, the chains (N, 2), and the share of them that is nearer to (5, 5) than to (−5, −5)."""

    sigma: float
    x: Tensor
    share: float


def main() -> None:
    """Draw every frame, and write them as one file."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(1280, 2, generator=generator) * 16 - 8
    scenes, plain = descent(start, generator), share_without_ladder(start, generator)
    write(FILE, [picture(draw(scenes, n, plain)) for n in range(len(scenes))])


def descent(start: Tensor, generator: torch.Generator) -> list[Scene]:
    """The start, and the chains at SHOWN_STEPS of every level."""
    sigmas = geometric_sigmas(20.0, 1.0, 10)
    states = annealed_langevin(POINTS.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator)
    shown = [(state.sigma, state.x) for state in states if state.step in SHOWN_STEPS]
    return [Scene(sigma, x, share_of(x)) for sigma, x in [(float(sigmas[0]), start), *shown]]


def share_without_ladder(start: Tensor, generator: torch.Generator) -> float:
    """The share after as many steps of Langevin dynamics at the last level alone."""
    return share_of(final(langevin(paper_mixture().score, start, step_size=0.1, n_steps=1000, generator=generator)))


def share_of(x: Tensor) -> float:
    """The share of points that is nearer to (5, 5)."""
    return float(mode_weights(x, POINTS.means)[1])


def draw(scenes: list[Scene], n: int, without_ladder: float) -> Figure:
    """Frame n: the cloud on the left, and on the right how far down the ladder it is, with the share that it has."""
    figure = Figure(figsize=(7.6, 3.8), dpi=96)
    cloud, ladder = figure.add_axes((0.05, 0.08, 0.42, 0.8)), figure.add_axes((0.56, 0.15, 0.42, 0.73))
    draw_cloud(cloud, scenes[n])
    draw_ladder(ladder, scenes, n, without_ladder)
    start = ", the start" if n == 0 else ""
    cloud.set_title(f"σ = {scenes[n].sigma:.2g}{start}", fontsize=14)
    ladder.set_title(f"share of blue: {scenes[n].share:.2f}; true: {TRUE_SHARE:.2f}", fontsize=14)
    return figure


def draw_cloud(ax: Axes, scene: Scene) -> None:
    """The chains over contours of q_σ and its score as arrows; the view closes in as σ falls."""
    extent, n = max(8.0, 2.2 * scene.sigma), 80
    around = plots.grid(n, extent)
    density = POINTS.log_prob(around, scene.sigma).exp().reshape(n, n)
    levels = (density.max() * torch.tensor([0.03, 0.1, 0.25, 0.5, 0.8])).tolist()
    ax.contour(*around.reshape(n, n, 2).unbind(-1), density, levels=levels, colors="#999999", linewidths=0.8)
    is_blue = torch.cdist(scene.x, POINTS.means).argmin(dim=1) == 1
    for part, colour in ((is_blue, BLUE), (~is_blue, ORANGE)):
        plots.draw_samples(ax, scene.x[part], extent, s=5, alpha=0.7, color=colour)
    places = plots.grid(11, 0.92 * extent)
    score = scene.sigma * POINTS.score(places, scene.sigma)  # of length 1 at one σ from a mode
    length = score.norm(dim=1, keepdim=True)
    arrows = score / length * torch.tanh(length) * extent / 8  # none reaches its neighbour
    plots.draw_field(ax, places, arrows, extent, scale=1.0, color="black", width=0.004)
    ax.plot(*POINTS.means.T, "+", markersize=13, markeredgewidth=2.5, color="black")


def draw_ladder(ax: Axes, scenes: list[Scene], n: int, without_ladder: float) -> None:
    """The share at the end of each rung so far; pale, of those to come."""
    sigmas, shares = ([getattr(scene, name) for scene in scenes[2::2]] for name in ("sigma", "share"))
    ax.hlines(sigmas, 0, 1, color="#cccccc", linewidth=1)
    for share, style, height, words in (
        (TRUE_SHARE, "--", 10, "true"),
        (without_ladder, ":", 2.2, "without the ladder"),
    ):
        ax.axvline(share, color="black", linestyle=style, linewidth=1.5)
        ax.text(
            share + 0.008, height, f"{words}: {share:.2f}", rotation="vertical", va="center", backgroundcolor="white"
        )
    ax.plot(shares, sigmas, "o-", color=BLUE, alpha=0.3)
    ax.plot(shares[: n // 2], sigmas[: n // 2], "o-", color=BLUE)
    ax.plot(scenes[n].share, scenes[n].sigma, "o", markersize=13, color=BLUE, markeredgecolor="black")
    ax.set(
        xlim=(0.45, 0.9),
        ylim=(0.8, 25),
        yscale="log",
        xlabel="share of blue points, those nearer to (5, 5)",
        ylabel="noise level σ",
    )
    ax.set_yticks([20, 10, 5, 2, 1], ["20", "10", "5", "2", "1"])
    ax.yaxis.set_minor_locator(NullLocator())


def picture(figure: Figure) -> Image.Image:
    """A figure as an image in the picture's colours."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    shades = [to_rgb(colour) for colour in COLOURS for _ in range(COLOURS[colour])]
    parts = [k / n for n in COLOURS.values() for k in range(1, n + 1)]
    mixed = [1 - part * (1 - channel) for colour, part in zip(shades, parts, strict=True) for channel in colour]
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *(round(255 * value) for value in mixed)])
    return Image.open(file).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)


def write(path: pathlib.Path, frames: list[Image.Image]) -> None:
    """Write frames as an animated PNG, the first held for a moment and the last for longer."""
    first, *rest = frames
    durations = [700] + [250] * (len(rest) - 1) + [2500]  # milliseconds
    first.save(path, format="png", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)


if __name__ == "__main__":
    main()
