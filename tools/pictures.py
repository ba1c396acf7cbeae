"""Draw the README's pictures in data/results, the same bytes each time: `python tools/pictures.py`.

ladder.png is the film that chapter 4 opens with, moving_faces.png goes from noise to faces. overview.png is computed,
the others are drawn from records. Half a minute on one core.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import torch
from matplotlib.figure import Figure
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from claims import attached_file, check_weights, load_record
from I3 import LEFT_OUT, N_FILLS
from recipes import Figure2, train_figure2
from sbgm import MLP, annealed_langevin, final, geometric_sigmas, langevin, masks, paper_mixture, plots
from sbgm.files import load_tensors
from sbgm.measure import mode_weights

FOLDER = Path(__file__).resolve().parent.parent / "data" / "results"
NOTEBOOK = FOLDER.parent.parent / "notebooks" / "04_annealed_langevin_dynamics.ipynb"
N_ROWS = 6  # of images
FACE_COLOURS = 128


def main() -> None:
    """Draw all five."""
    torch.set_num_threads(1)
    (FOLDER / "ladder.png").write_bytes(first_film(NOTEBOOK))
    (FOLDER / "moving_faces.png").write_bytes(moving_faces().png)
    figures = {"overview": mixtures, "overview_images": images, "faces": faces}
    for name, draw_figure in figures.items():
        draw_figure().savefig(FOLDER / f"{name}.png", dpi=80, metadata={"Software": None})


def first_film(notebook: Path) -> bytes:
    """The first picture that a notebook's outputs hold, as it shows it."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = (output.get("data", {}) for cell in cells for output in cell.get("outputs", ()))
    return next(base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data)


def mixtures() -> Figure:
    """Fig. 2 and Fig. 3 of the paper in one row, each panel with the number that settles it."""
    generator, mixture = torch.Generator().manual_seed(0), paper_mixture()
    network = MLP(generator=torch.Generator().manual_seed(0))
    list(train_figure2(network, mixture, Figure2.quick()))
    start = torch.rand(1280, 2, generator=generator) * 16 - 8
    points, sigmas = paper_mixture(stds=0.0), geometric_sigmas(20.0, 1.0, 10)  # at σ = 1 the points are the mixture
    plain = final(langevin(mixture.score, start, step_size=0.1, n_steps=1000, generator=generator))
    annealed = final(annealed_langevin(points.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator))

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
        share = mode_weights(x, mixture.means)[1]
        ax.set_title(f"{title}\n{share:.2f} of the chains near (5, 5); true: 0.80", fontsize=11)
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
    return plots.moving_picture(
        (sheet_of(frame) for frame in film), colours=FACE_COLOURS, dpi=100, first=700, milliseconds=250, last=2500
    )


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
