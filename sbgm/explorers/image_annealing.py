"""Chapter 07's explorer: images as annealed Langevin dynamics makes them, step by step."""

from __future__ import annotations

import ipywidgets
from matplotlib.figure import Figure

from sbgm import plots
from sbgm.experiments.trajectory import Trajectory
from sbgm.explorers.base import FigureExplorer

N_SHOWN = 16


def image_annealing_explorer(trajectory: Trajectory) -> FigureExplorer:
    """The step of Algorithm 1 over the chains as they are, and over the clean images that the network sees in them.

    The states are stored; the slider looks them up. The third panel follows, from the start to the end, the root mean
    squared distance of a pixel from its last value, of the states and of the estimates x + σ² s(x, σ). The readout
    gives the level and both distances.

    Args:
        trajectory: of images (S, B, C, H, W); the first 16 are shown.

    Raises:
        ValueError: the states are no grey or colour images.
    """
    if trajectory.x.ndim != 5 or trajectory.x.shape[2] not in (1, 3):
        raise ValueError(
            f"trajectory must be of images (S, B, C, H, W) with C = 1 or 3, got shape {tuple(trajectory.x.shape)}"
        )
    n_levels, n_steps = trajectory.levels[-1], trajectory.steps[-1]
    off = [
        (values - values[-1]).flatten(1).square().mean(dim=1).sqrt().tolist()
        for values in (trajectory.x, trajectory.denoised)
    ]
    figure = Figure(figsize=(9.6, 3.3), dpi=90, layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    titles = ("the chains, $x$", r"the network's estimate, $x + \sigma^2 s(x, \sigma)$")
    pictures = []
    for ax, title, values in zip(axes, titles, trajectory[:2], strict=False):
        pictures.append(plots.draw_images(ax, values[0, :N_SHOWN], n_columns=4, animated=True))
        ax.set_title(title, fontsize=10)
    axes[2].plot(off[0], "--", color="0.4", label="chains")
    axes[2].plot(off[1], "-", color="#1f3b73", label="estimate")
    axes[2].set_xticks([i * n_steps for i in range(n_levels)], [f"{i + 1}" for i in range(n_levels)])
    axes[2].set(xlabel="level", title="RMS distance of a pixel from its end")
    axes[2].set_yscale("symlog", linthresh=0.01)
    axes[2].set_ylim(0, 1.2 * max(map(max, off)))
    axes[2].legend()
    here = axes[2].axvline(0, color="#d95f02", lw=2, animated=True)

    def update(step: int) -> str:
        for picture, values in zip(pictures, trajectory[:2], strict=True):
            picture.set_data(plots.image_sheet(values[step, :N_SHOWN], n_columns=4).numpy())
        here.set_xdata([step, step])
        return (
            f"level {trajectory.levels[step]} of {n_levels}, σ = {trajectory.sigmas[step]:.2g}, after "
            f"{trajectory.steps[step]} of {n_steps} steps: a pixel is {off[0][step]:.2g} from its end, "
            f"its estimate {off[1][step]:.2g}"
        )

    last = len(trajectory.x) - 1
    slider = ipywidgets.IntSlider(value=min(2 * n_steps, last), min=0, max=last, description="step")
    return FigureExplorer(
        figure,
        update,
        {"step": slider},
        alt="Chains of annealed Langevin dynamics, and the images a network sees in them",
    )
