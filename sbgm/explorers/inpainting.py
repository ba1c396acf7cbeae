"""Chapter 08's explorer: one image inpainted several times, seen at any step of the annealing, behind several masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm._validate import check_batch
from sbgm.explorers.base import FigureExplorer
from sbgm.samplers import State


def inpainting_explorer(
    image: Tensor, masks: Mapping[str, Tensor], runs: Mapping[str, Sequence[State]]
) -> FigureExplorer:
    """The step of the annealing and the mask: what is known, the level's y, the fills, and how far they are apart.

    Nothing is sampled here; the sliders look the stored states up. The readout gives the level and the step, the root
    mean squared distance of the known pixels to the image, about σ, and the fills' standard deviation in an unknown
    pixel (root mean square over pixels).

    Args:
        image: (C, H, W) in [0, 1], what the fills are of.
        masks: by name, boolean, True where a pixel is known, of a shape that broadcasts to the image's.
        runs: by the masks' names, the states of `inpaint` in order; their x is (F, C, H, W), F ≥ 2 fills.

    Raises:
        ValueError: image is no image, the names differ, a run is empty or not of such fills, or runs differ in length.
    """
    if check_batch(image, "image").ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"image must be (C, H, W) with C = 1 or 3 channels, got shape {tuple(image.shape)}")
    if not masks or masks.keys() != runs.keys():
        raise ValueError(f"runs must have the names of masks, {', '.join(masks) or 'none'}, got {', '.join(runs)}")
    if len(lengths := {len(states) for states in runs.values()}) != 1 or 0 in lengths:
        raise ValueError(f"runs must be of one length of at least 1, got {sorted(lengths)}")
    for name, states in runs.items():
        shape = tuple(states[0].x.shape)
        if shape[1:] != image.shape or shape[0] < 2:
            raise ValueError(
                f"runs must hold two or more fills (F, {', '.join(map(str, image.shape))}), but {name!r} has {shape}"
            )
    known = {name: mask.expand_as(image) for name, mask in masks.items()}
    spreads = {name: torch.stack([_spread(state.x, known[name]) for state in runs[name]]) for name in runs}
    misses = {name: torch.stack([_miss(state.x, image, known[name]) for state in runs[name]]) for name in runs}
    first = next(iter(runs))
    n_states, n_levels = len(runs[first]), runs[first][-1].level
    n_columns = max(2, math.ceil(len(runs[first][0].x) ** 0.5))

    figure = Figure(figsize=(9.6, 2.9), dpi=90, layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.35))
    fills, blank = runs[first][0].x, torch.zeros_like(image)[None]
    pictures = [plots.draw_images(ax, blank, animated=True) for ax in axes[:2]]
    pictures.append(plots.draw_images(axes[2], torch.zeros_like(fills), n_columns, animated=True))
    for ax, title in zip(axes, ("the image, $x$", r"known now, $y = x + \sigma z$", "the fills"), strict=False):
        ax.set_title(title)
    steps = range(1, n_states + 1)
    (spread_curve,) = axes[3].semilogy(steps, spreads[first], color="#1f3b73", label="fills, unknown", animated=True)
    (miss_curve,) = axes[3].semilogy(steps, misses[first], "--", color="#d95f02", label="known off by", animated=True)
    here = axes[3].axvline(1, color="0.4", lw=1, animated=True)
    every = torch.cat([*spreads.values(), *misses.values()])
    axes[3].set(xlabel="step", title="how far apart", ylim=(float(every.min()) / 1.5, float(every.max()) * 1.5))
    axes[3].legend(fontsize=8)

    def update(step: int, mask: str) -> str:
        state, m = runs[mask][step - 1], known[mask]
        y = torch.where(m, state.x[0], 0.5)
        for picture, shown in zip(pictures, (image[None], y[None], state.x), strict=True):
            picture.set_data(plots.image_sheet(shown, n_columns).numpy())
        spread_curve.set_ydata(spreads[mask])
        miss_curve.set_ydata(misses[mask])
        here.set_xdata([step, step])
        return (
            f"level {state.level} of {n_levels}, σ = {state.sigma:.2g}, step {state.step}: known pixels off by "
            f"{misses[mask][step - 1]:.2g}, fills apart by {spreads[mask][step - 1]:.2g} in the unknown"
        )

    controls = {
        "step": ipywidgets.IntSlider(value=n_states, min=1, max=n_states, description="step"),
        "mask": ipywidgets.ToggleButtons(options=list(runs), value=first, description="mask"),
    }
    return FigureExplorer(figure, update, controls, alt="An image, its noisy known pixels, and several fills")


def _spread(fills: Tensor, known: Tensor) -> Tensor:
    """The fills' standard deviation in an unknown pixel, root mean square over pixels."""
    return fills.var(dim=0)[~known].mean().sqrt()


def _miss(fills: Tensor, image: Tensor, known: Tensor) -> Tensor:
    """The root mean squared distance of the fills' known pixels to the image."""
    return (fills - image)[:, known].square().mean().sqrt()
