"""Put the README's figures into data/results, the same bytes each time: `python tools/readme_figures.py`.

They are figures that the chapters show. Only faces.png, which shows more, is drawn from the record of I3.
"""

import base64
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))  # scripts of the evidence

from I3 import LEFT_OUT, N_FILLS
from ledger import load_record
from notebooks import NOTEBOOKS, ROOT, read
from sbgm import plots
from sbgm.images import masks

FOLDER = ROOT / "data" / "results"
SHOWN = {  # a picture's name, and the chapter and the first words of the caption that follows it there
    "ladder": ("04", "Down the ladder."),
    "figure2": ("02", "Our Fig. 2."),
    "figure3": ("04", "Our Figure 3,"),
    "figure5": ("07", "Our Fig. 5."),
    "figure6": ("08", "Our Fig. 6,"),
    "moving_faces": ("07", "Six chains: the end"),
}


def main() -> None:
    """Write all of them."""
    for name, place in SHOWN.items():
        (FOLDER / f"{name}.png").write_bytes(figure_of(*place))
    faces().savefig(FOLDER / "faces.png", dpi=80, metadata={"Software": None})


def figure_of(chapter: str, caption: str) -> bytes:
    """The picture of a chapter's outputs whose caption begins so, moving if it moves there."""
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    cells = read(path).cells
    index = next(index for index, cell in enumerate(cells) if cell.source.startswith(f"*{caption}"))
    outputs = (output.get("data", {}) for output in cells[index - 1].outputs)
    return next(base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data)


def faces() -> Figure:
    """Fig. 4 to 6 on faces, all that the record of I3 holds: no photograph, and no network that would have to ship."""
    record = load_record("I3")
    drawn = record.tensors
    left_out = record.measurement(LEFT_OUT).value
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


if __name__ == "__main__":
    main()
