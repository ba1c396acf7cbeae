"""Draw the README's pictures in data/results, the same bytes each time: `python tools/pictures.py`.

ladder.png moves: a cloud of chains goes down the ladder σ = 20 … 1 by annealed Langevin dynamics (Algorithm 1) with the
exact scores of Fig. 3's mixture; moving_faces.png from noise to faces. overview.png is computed too, the others are
drawn from records. Half a minute on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from claims import attached_file, check_weights, load_record
from I3 import LEFT_OUT, N_FILLS
from recipes import Figure2, train_figure2
from sbgm import MLP, annealed_langevin, final, geometric_sigmas, langevin, masks, paper_mixture, plots
from sbgm.files import load_tensors
from sbgm.measure import mode_weights

FOLDER = Path(__file__).resolve().parent.parent / "data" / "results"
LADDER = FOLDER / "ladder.png"
SHOWN_STEPS = (15, 100)  # of each level's hundred
N_ROWS = 6  # of images
FACE_COLOURS = 128
TRUE_SHARE = 0.8
POINTS = paper_mixture(stds=0.0)  # at σ = 1, the ladder's end, this is the mixture
BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's, which the colour-blind tell apart too
DURATIONS = {"first": 700, "milliseconds": 250, "last": 2500}


def main() -> None:
    """Draw all five."""
    torch.set_num_threads(1)
    LADDER.write_bytes(ladder().png)
    (FOLDER / "moving_faces.png").write_bytes(moving_faces().png)
    figures = {"overview": mixtures, "overview_images": images, "faces": faces}
    for name, draw_figure in figures.items():
        draw_figure().savefig(FOLDER / f"{name}.png", dpi=80, metadata={"Software": None})


# --- the ladder ------------------------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """What one frame shows: σ, the chains (N, 2), and the share of them that is nearer to (5, 5) than to (−5, −5)."""

    sigma: float
    x: Tensor
    share: float


def ladder(dpi: int = 96) -> plots.MovingPicture:
    """The picture that README, the site and chapter 0 begin with: 7.6 × 3.8 inches."""
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(1280, 2, generator=generator) * 16 - 8
    scenes, plain = descent(start, generator), share_of(without_ladder(start, generator))
    frames = (draw(scenes, n, plain) for n in range(len(scenes)))
    return plots.moving_picture(frames, colours=28, dpi=dpi, **DURATIONS)


def descent(start: Tensor, generator: torch.Generator) -> list[Scene]:
    """The start, and the chains at SHOWN_STEPS of every level."""
    sigmas = geometric_sigmas(20.0, 1.0, 10)
    states = annealed_langevin(POINTS.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator)
    shown = [(state.sigma, state.x) for state in states if state.step in SHOWN_STEPS]
    return [Scene(sigma, x, share_of(x)) for sigma, x in [(float(sigmas[0]), start), *shown]]


def without_ladder(start: Tensor, generator: torch.Generator) -> Tensor:
    """Chains after as many steps of Langevin dynamics at the last level alone."""
    return final(langevin(paper_mixture().score, start, step_size=0.1, n_steps=1000, generator=generator))


def share_of(x: Tensor) -> float:
    """The share of points that is nearer to (5, 5)."""
    return float(mode_weights(x, POINTS.means)[1])


def draw(scenes: list[Scene], n: int, plain: float) -> Figure:
    """Frame n: the cloud on the left, and on the right how far down the ladder it is, with the share that it has."""
    figure, scene = Figure(figsize=(7.6, 3.8)), scenes[n]
    cloud, ladder = figure.add_axes((0.05, 0.08, 0.42, 0.8)), figure.add_axes((0.56, 0.15, 0.42, 0.73))
    draw_cloud(cloud, scene)
    draw_ladder(ladder, scenes, n, plain)
    cloud.set_title(f"σ = {scene.sigma:.2g}{'' if n else ', the start'}", fontsize=14)
    ladder.set_title(f"share of blue: {scene.share:.2f}; true: {TRUE_SHARE:.2f}", fontsize=14)
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


def draw_ladder(ax: Axes, scenes: list[Scene], n: int, plain: float) -> None:
    """The share at the end of each rung so far; pale, of those to come."""
    sigmas, shares = ([getattr(scene, name) for scene in scenes[2::2]] for name in ("sigma", "share"))
    ax.hlines(sigmas, 0, 1, color="#cccccc", linewidth=1)
    for share, style, height, words in ((TRUE_SHARE, "--", 10, "true"), (plain, ":", 2.2, "without the ladder")):
        ax.axvline(share, color="black", linestyle=style, linewidth=1.5)
        label = {"rotation": "vertical", "va": "center", "backgroundcolor": "white"}
        ax.text(share + 0.008, height, f"{words}: {share:.2f}", **label)
    ax.plot(shares, sigmas, "o-", color=BLUE, alpha=0.3)
    ax.plot(shares[: n // 2], sigmas[: n // 2], "o-", color=BLUE)
    ax.plot(scenes[n].share, scenes[n].sigma, "o", markersize=13, color=BLUE, markeredgecolor="black")
    ax.set(xlim=(0.45, 0.9), xlabel="share of blue points, those nearer to (5, 5)")
    ax.set(ylim=(0.8, 25), yscale="log", ylabel="noise level σ")
    ax.set_yticks([20, 10, 5, 2, 1], ["20", "10", "5", "2", "1"])
    ax.yaxis.set_minor_locator(NullLocator())


# --- the overviews ---------------------------------------------------------------------------------------------------


def mixtures() -> Figure:
    """Fig. 2 and Fig. 3 of the paper in one row, each panel with the number that settles it."""
    generator, mixture = torch.Generator().manual_seed(0), paper_mixture()
    network = MLP(generator=torch.Generator().manual_seed(0))
    list(train_figure2(network, mixture, Figure2.quick()))
    start = torch.rand(1280, 2, generator=generator) * 16 - 8
    plain = without_ladder(start, generator)
    annealed = descent(start, generator)[-1].x

    figure, axes = plt.subplots(1, 4, figsize=(14.5, 4.1), layout="constrained")
    grid, background = plots.grid(20), plots.density_values(mixture)
    fields = {"exact score": mixture.score(grid), "score learned from samples": network(grid).detach()}
    for ax, (title, field) in zip(axes[:2], fields.items(), strict=True):
        plots.draw_density(ax, background)
        plots.draw_field(ax, grid, field)
        plots.draw_boxes(ax, plots.agreement_boxes(network, mixture.score, mixture.means))
        ax.set_title(f"{title}\nred: where the two agree to 5 %", fontsize=11)
    for ax, title, x in ((axes[2], "Langevin dynamics", plain), (axes[3], "annealed Langevin", annealed)):
        plots.draw_samples(ax, x)
        ax.set_title(f"{title}\n{share_of(x):.2f} of the chains near (5, 5); true: 0.80", fontsize=11)
    plt.setp(axes, xlabel="$x_1$", ylabel="$x_2$")
    return figure


def images() -> Figure:
    """Fig. 4 to 6 of the paper in one row, from the records of I1, I8 and I2, and as many samples of each."""
    digits, filled, colour = (tensors_of(claim_id) for claim_id in ("I1", "I8", "I2"))
    half = list(masks.KINDS).index("right-half")
    mask, originals, fills = filled["masks"][half], filled["images"][:N_ROWS, None], filled["fills"][half, :N_ROWS]
    hidden = originals.where(mask, torch.full_like(originals, 128))  # grey
    panels = {
        "from noise to digits, level by level": (digits["states"][:, :N_ROWS].transpose(0, 1).flatten(0, 1), 10),
        "MNIST: samples": (digits["samples"][: 8 * N_ROWS], 8),
        "the right half hidden; six fills; the original": (torch.cat([hidden, fills, originals], 1).flatten(0, 1), 8),
        "CIFAR-10: samples": (colour["samples"][: 8 * N_ROWS], 8),
    }
    figure, axes = plt.subplots(1, 4, figsize=(14.5, 2.9), layout="constrained", width_ratios=(10, 8, 8, 8))
    for ax, (title, (pictures, n_columns)) in zip(axes, panels.items(), strict=True):
        plots.draw_images(ax, pictures.float() / 255, n_columns=n_columns)
        ax.set_title(title, fontsize=11)
    return figure


def faces() -> Figure:
    """Fig. 4 to 6 on faces, all that the record of I3 holds: no photograph, and no network that would have to ship."""
    record = load_record("I3")
    drawn, left_out = load_tensors(attached_file(record))[0], record.measurement(LEFT_OUT).value
    n_shown = len(drawn["samples"])
    fills = drawn["fills"].unflatten(0, (-1, N_FILLS))
    face = drawn["denoised"][: len(fills), None]
    hidden = face.where(masks.right_half(face.shape), torch.full_like(face, 128))  # grey
    panels = {
        f"{n_shown} of the first {n_shown + left_out:.0f} faces by Algorithm 1": (drawn["samples"], 8),
        "the same, denoised": (drawn["denoised"], 8),
        "from noise to faces, level by level": (drawn["film"][::2].transpose(0, 1).flatten(0, 1), 11),
        "the right half hidden; eight fills; the face": (torch.cat([hidden, fills, face], 1).flatten(0, 1), 10),
    }
    figure = Figure(figsize=(11, 11.4), layout="constrained")
    grid = figure.subplot_mosaic("AB;CC;DD", height_ratios=(5.4, 4, 2.2))
    for ax, (title, (pictures, n_columns)) in zip(grid.values(), panels.items(), strict=True):
        plots.draw_images(ax, pictures.float() / 255, n_columns=n_columns)
        ax.set_title(title, fontsize=11)
    return figure


def moving_faces() -> plots.MovingPicture:
    """The chains of the record of I3 from noise to faces, two frames a level, in few colours."""
    film = load_tensors(attached_file(load_record("I3")))[0]["film"].float() / 255
    return plots.moving_picture((sheet_of(frame) for frame in film), colours=FACE_COLOURS, dpi=100, **DURATIONS)


def sheet_of(faces: Tensor) -> Figure:
    """Faces, each pixel three wide, four a row."""
    sheet = plots.image_sheet(faces, n_columns=4)
    figure = Figure(figsize=(3 * sheet.shape[1] / 100, 3 * sheet.shape[0] / 100))
    plots.draw_images(figure.add_axes((0, 0, 1, 1)), faces, n_columns=4)
    return figure


def tensors_of(claim_id: str) -> dict[str, Tensor]:
    """What a record rests on, if the networks that made it are those that ship."""
    return load_tensors(attached_file(check_weights(load_record(claim_id))))[0]


if __name__ == "__main__":
    main()
