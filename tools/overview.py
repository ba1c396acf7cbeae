"""Draw the README's figure, data/results/overview.png: `python tools/overview.py`. About ten seconds on one core."""

from __future__ import annotations

import pathlib

import matplotlib.pyplot as plt
import torch

from sbgm import MLP, annealed_langevin, final, geometric_sigmas, langevin, paper_mixture, plots
from sbgm.experiments import Figure2, train_figure2
from sbgm.metrics import mode_weights

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "results" / "overview.png"


def main() -> None:
    """Fig. 2 and Fig. 3 of the paper in one row, each panel with the number that settles it."""
    torch.set_num_threads(1)
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
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUTPUT, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
