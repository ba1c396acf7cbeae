"""Draw the README's figures, overview.png and overview_images.png in data/results: `python tools/overview.py`.

About ten seconds on one core: the first is computed, the second is drawn from records.
"""

from __future__ import annotations

import pathlib

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import MLP, annealed_langevin, final, geometric_sigmas, langevin, masks, paper_mixture, plots
from sbgm.files import load_tensors
from sbgm.lab import Figure2, train_figure2
from sbgm.lab.claims import attached_file, check_weights, load_record
from sbgm.measure import mode_weights

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "data" / "results"
N_ROWS = 6


def main() -> None:
    """Draw both."""
    torch.set_num_threads(1)
    for name, figure in (("overview", mixtures()), ("overview_images", images())):
        figure.savefig(FOLDER / f"{name}.png", dpi=80, metadata={"Software": None})


def mixtures() -> Figure:
    """Fig. 2 and Fig. 3 of the paper in one row, each panel with the number that settles it."""
    generator = torch.Generator().manual_seed(0)
    mixture, n_chains = paper_mixture(), 1280
    network = MLP(generator=torch.Generator().manual_seed(0))
    for _ in train_figure2(network, mixture, Figure2.quick()):
        pass
    start = torch.rand(n_chains, 2, generator=generator) * 16 - 8
    plain = final(langevin(mixture.score, start, step_size=0.1, n_steps=1000, generator=generator))
    points, sigmas = paper_mixture(stds=0.0), geometric_sigmas(20.0, 1.0, 10)
    annealed = final(annealed_langevin(points.score, start, sigmas, step_size=0.1, n_steps=100, generator=generator))

    figure, axes = plt.subplots(1, 4, figsize=(14.5, 4.1), layout="constrained")
    grid, background = plots.grid(20), plots.density_values(mixture)
    with torch.no_grad():
        fields = (("exact score", mixture.score(grid)), ("score learned from samples", network(grid)))
    for ax, (title, field) in zip(axes[:2], fields, strict=True):
        plots.draw_density(ax, background)
        plots.draw_field(ax, grid, field)
        plots.draw_boxes(ax, plots.agreement_boxes(network, mixture.score, mixture.means))
        ax.set_title(f"{title}\nred: where the two agree to 5 %", fontsize=11)
    for ax, title, x in ((axes[2], "Langevin dynamics", plain), (axes[3], "annealed Langevin", annealed)):
        plots.draw_samples(ax, x)
        weight = float(mode_weights(x, mixture.means)[1])
        ax.set_title(f"{title}\n{weight:.2f} of the chains near (5, 5); true: 0.80", fontsize=11)
    for ax in axes:
        ax.set(xlabel="$x_1$", ylabel="$x_2$")
    return figure


def images() -> Figure:
    """Fig. 4 to 6 of the paper in one row, from the records of I1, I8 and I2, and as many samples of each."""
    chains, digits, filled, colour = (tensors_of(claim_id) for claim_id in ("I1", "I1", "I8", "I2"))
    half = list(masks.KINDS).index("right-half")
    mask, originals, fills = filled["masks"][half], filled["images"][:N_ROWS, None], filled["fills"][half, :N_ROWS]
    panels = {
        "from noise to digits, level by level": (chains["states"][:, :N_ROWS].transpose(0, 1).flatten(0, 1), 10),
        "MNIST: samples": (digits["samples"][: 8 * N_ROWS], 8),
        "the right half hidden; six fills; the original": (
            torch.cat([masked(originals, mask), fills, originals], dim=1).flatten(0, 1),
            8,
        ),
        "CIFAR-10: samples": (colour["samples"][: 8 * N_ROWS], 8),
    }
    figure, axes = plt.subplots(1, 4, figsize=(14.5, 2.9), layout="constrained", width_ratios=(10, 8, 8, 8))
    for ax, (title, (pictures, n_columns)) in zip(axes, panels.items(), strict=True):
        plots.draw_images(ax, pictures.float() / 255, n_columns=n_columns)
        ax.set_title(title, fontsize=11)
    return figure


def tensors_of(claim_id: str) -> dict[str, Tensor]:
    """What a record rests on, if the networks that made it are those that ship."""
    return load_tensors(attached_file(check_weights(load_record(claim_id))))[0]


def masked(pictures: Tensor, known: Tensor) -> Tensor:
    """Pictures (…, H, W), uint8, with what is not known in grey."""
    return torch.where(known, pictures, torch.full_like(pictures, 128))


if __name__ == "__main__":
    main()
