"""Sliders on images: noise, denoising, annealing, inpainting, and stored samples beside their measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import ipywidgets
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from sbgm import plots
from sbgm.checked import Network, checked, require_batch
from sbgm.measure import psnr
from sbgm.measure.records import SamplerCurve, StepMap
from sbgm.noise import randn_like
from sbgm.samplers import State, denoise
from sbgm.widgets.base import FigureExplorer, moving_images, panels, selection

BLUE, ORANGE = "#1f3b73", "#d95f02"


def _two_or_more(images: Tensor, name: str) -> None:
    if require_batch(images, name).ndim != 4 or len(images) < 2 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"{name} must be two or more, (N, C, H, W) with C = 1 or 3 channels, got shape {tuple(images.shape)}"
        )


SeveralImages = Annotated[Tensor, _two_or_more]


# --- noise and denoising ---------------------------------------------------------------------------------------------


@checked
def image_noise_explorer(images: SeveralImages) -> FigureExplorer:
    """Sliders for σ and for the image, clean on the left and x + σz on the right; the readout gives the PSNR.

    One z serves every image and every σ, so that moving a slider changes nothing else. The PSNR is that of x + σz
    before values are clamped to [0, 1] for showing: about −20 log₁₀ σ dB, whatever the image.

    Args:
        images: (N, C, H, W) in [0, 1], N ≥ 2, grey or colour.
    """
    images = images.detach().cpu()
    z = randn_like(images[0], torch.Generator().manual_seed(0))

    figure, axes = panels(5.4, 3.0, 1, 1)
    show = moving_images(axes, {"clean, $x$": images[:1], r"noisy, $x + \sigma z$": images[:1]})

    def update(sigma: float, image: int) -> str:
        x = images[image]
        noisy = x + sigma * z
        show(x[None], noisy[None])
        return f"σ = {sigma:.3g}, variance {sigma**2:.2g}: PSNR {psnr(noisy, x):.1f} dB"

    return FigureExplorer(
        figure,
        update,
        {
            "sigma": ipywidgets.FloatLogSlider(
                value=0.1, min=-3, max=0, step=0.1, description="σ", readout_format=".3g"
            ),
            "image": ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1, description="image"),
        },
        alt="An image, and the same image with Gaussian noise of std σ",
    )


@checked
def denoising_explorer(network: Network, images: SeveralImages, *, seed: int = 0) -> FigureExplorer:
    """Sliders for σ, a level of the ladder, and for the image, over x, x̃ = x + σz, x̃ + σ² s(x̃, σ) and ‖s‖ against σ.

    One z serves all levels of an image. Scores are computed here, once; the sliders look them up. The readout gives
    ‖s‖, σ‖s‖ beside √D, and the root mean squared distance to the clean image before and after.

    Args:
        network: s(x, sigma) with its ladder in `sigmas`.
        images: (N, C, H, W) in [0, 1], N ≥ 2, that the network takes.
        seed: of z.
    """
    ladder: Any = network.sigmas
    sigmas = ladder.tolist()
    z = randn_like(images, torch.Generator().manual_seed(seed))
    noisy = {sigma: images + sigma * z for sigma in sigmas}
    estimates = {sigma: denoise(network, x, sigma) for sigma, x in noisy.items()}
    norms = {s: (estimates[s] - noisy[s]).flatten(1).norm(dim=1) / s**2 for s in sigmas}  # (N,) each
    root_dim = math.sqrt(images[0].numel())

    figure, (*axes, right) = panels(9.6, 2.9, 1, 1, 1, 1.35)
    titles = ("clean, $x$", r"noisy, $\tilde x = x + \sigma z$", r"estimate, $\tilde x + \sigma^2 s(\tilde x, \sigma)$")
    show = moving_images(axes, dict.fromkeys(titles, images[:1]))
    right.loglog(sigmas, [root_dim / s for s in sigmas], "k--", lw=1, label=r"$\sqrt{D}/\sigma$")
    (curve,) = right.loglog(sigmas, sigmas, "o-", ms=3, color=BLUE, label=r"$\|s\|$", animated=True)
    (here,) = right.loglog([], [], "o", ms=9, mfc="none", mew=2, color=ORANGE, animated=True)
    limits = root_dim / sigmas[0] / 20, 2 * root_dim / sigmas[-1]
    right.set(xlabel=r"$\sigma$", title="length of the score", ylim=limits, xlim=(1.2 * sigmas[0], sigmas[-1] / 1.2))
    right.legend()

    def update(sigma: float, image: int) -> str:
        shown = images[image], noisy[sigma][image], estimates[sigma][image]
        show(*(x[None] for x in shown))
        curve.set_data(sigmas, [float(norms[s][image]) for s in sigmas])
        norm = float(norms[sigma][image])
        here.set_data([sigma], [norm])
        before, after = (_rms(x - shown[0]) for x in shown[1:])
        return (
            f"σ = {sigma:.2g}: ‖s‖ = {norm:.3g}, σ‖s‖ = {sigma * norm:.2g} (√D = {root_dim:.3g}); "
            f"off by {before:.2g} a pixel before, {after:.2g} after"
        )

    return FigureExplorer(
        figure,
        update,
        {
            "sigma": selection("σ", sigmas, sigmas[0], ".2g"),
            "image": ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1, description="image"),
        },
        alt="An image, the same with noise, and a network's estimate of it",
    )


def _rms(values: Tensor) -> float:
    """The root mean square, √E v²."""
    return float(values.square().mean().sqrt())


# --- annealing and inpainting ----------------------------------------------------------------------------------------

N_SHOWN = 16
WIDE = "600px"  # a track of hundreds of steps


class Trajectory(NamedTuple):
    """The states of chains at which the score was asked for, and the last ones: S = L·T + 1 of them.

    Attributes:
        x: (S, B, *shape) on the CPU.
        denoised: (S, B, *shape), x + σ² s(x, σ), from the same scores.
        sigmas: the σ of each state's score; a level's first state is where the level before ended.
        levels: its number, from 1.
        steps: how many steps of the level were made before it, from 0.
    """

    x: Tensor
    denoised: Tensor
    sigmas: list[float]
    levels: list[int]
    steps: list[int]


def image_annealing_explorer(trajectory: Trajectory) -> FigureExplorer:
    """A slider for the step of Algorithm 1 over the chains x and the network's estimates of clean images in them.

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
    n_levels, n_steps, last = trajectory.levels[-1], trajectory.steps[-1], len(trajectory.x) - 1
    stored = trajectory.x, trajectory.denoised
    off = [(values - values[-1]).flatten(1).square().mean(dim=1).sqrt().tolist() for values in stored]

    figure, (*axes, right) = panels(9.6, 3.3, 1, 1, 1.3)
    titles = ("the chains, $x$", r"the network's estimate, $x + \sigma^2 s(x, \sigma)$")
    start = {title: values[0, :N_SHOWN] for title, values in zip(titles, stored, strict=True)}
    n_columns = math.ceil(min(trajectory.x.shape[1], N_SHOWN) ** 0.5)
    show = moving_images(axes, start, n_columns=n_columns, fontsize=10)
    right.plot(off[0], "--", color="0.4", label="chains")
    right.plot(off[1], "-", color=BLUE, label="estimate")
    ticked = range(0, n_levels, -(-n_levels // 10))  # ten labels have room
    right.set_xticks([i * n_steps for i in ticked], [f"{i + 1}" for i in ticked])
    right.set(xlabel="level", title="RMS distance of a pixel from its end")
    right.set_yscale("symlog", linthresh=0.01)
    right.set_ylim(0, 1.2 * max(map(max, off)))
    right.legend()
    here = right.axvline(0, color=ORANGE, lw=2, animated=True)

    def update(step: int) -> str:
        show(*(values[step, :N_SHOWN] for values in stored))
        here.set_xdata([step, step])
        return (
            f"level {trajectory.levels[step]} of {n_levels}, σ = {trajectory.sigmas[step]:.2g}, after "
            f"{trajectory.steps[step]} of {n_steps} steps: a pixel is {off[0][step]:.2g} from its end, "
            f"its estimate {off[1][step]:.2g}"
        )

    return FigureExplorer(
        figure,
        update,
        {
            "step": ipywidgets.IntSlider(
                value=min(2 * n_steps - 1, last), min=0, max=last, description="step", layout={"width": WIDE}
            )
        },
        alt="Chains of annealed Langevin dynamics, and the images a network sees in them",
    )


def inpainting_explorer(
    image: Tensor, masks: Mapping[str, Tensor], runs: Mapping[str, Sequence[State]]
) -> FigureExplorer:
    """Sliders for Algorithm 2's step and the mask over the image, its noisy known pixels y and several fills.

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
    if require_batch(image, "image").ndim != 3 or image.shape[0] not in (1, 3):
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
    spreads = {name: [_rms(state.x[:, ~known[name]].std(dim=0)) for state in states] for name, states in runs.items()}
    misses = {name: [_rms((s.x - image)[:, known[name]]) for s in states] for name, states in runs.items()}
    first, n_states = next(iter(runs)), lengths.pop()
    n_levels, fills = runs[first][-1].level, torch.zeros_like(runs[first][0].x)
    n_columns = max(2, math.ceil(len(fills) ** 0.5))

    figure, (*axes, right) = panels(9.6, 2.9, 1, 1, 1, 1.35)
    blank = {"the image, $x$": fills[:1], r"known now, $y = x + \sigma z$": fills[:1], "the fills": fills}
    show = moving_images(axes, blank, n_columns)
    steps = range(1, n_states + 1)
    (spread_curve,) = right.semilogy(steps, spreads[first], color=BLUE, label="fills, unknown", animated=True)
    (miss_curve,) = right.semilogy(steps, misses[first], "--", color=ORANGE, label="known off by", animated=True)
    here = right.axvline(1, color="0.4", lw=1, animated=True)
    every = [value for values in (*spreads.values(), *misses.values()) for value in values]
    right.set(xlabel="step", title="how far apart", ylim=(min(every) / 1.5, max(every) * 1.5))
    right.legend(fontsize=8)

    def update(step: int, mask: str) -> str:
        state, spread, miss = runs[mask][step - 1], spreads[mask], misses[mask]
        y = torch.where(known[mask], state.x[0], 0.5)
        show(image[None], y[None], state.x)
        spread_curve.set_ydata(spread)
        miss_curve.set_ydata(miss)
        here.set_xdata([step, step])
        return (
            f"level {state.level} of {n_levels}, σ = {state.sigma:.2g}, step {state.step}: known pixels off by "
            f"{miss[step - 1]:.2g}, fills apart by {spread[step - 1]:.2g} in the unknown"
        )

    return FigureExplorer(
        figure,
        update,
        {
            "step": ipywidgets.IntSlider(
                value=n_states, min=1, max=n_states, description="step", layout={"width": WIDE}
            ),
            "mask": ipywidgets.ToggleButtons(options=list(runs), value=first, description="mask"),
        },
        alt="An image, its noisy known pixels, and several fills",
    )


# --- stored samples beside what was measured of them -----------------------------------------------------------------

N_COLUMNS = 4


def sampler_curve_explorer(curve: SamplerCurve) -> FigureExplorer:
    """Selections of a sampler and its network evaluations over stored samples and the curve of distance against cost.

    Nothing is sampled here. The slider holds the costs at which the chosen sampler was measured, so that every move
    shows other samples; another sampler begins at its nearest cost. The readout gives the Fréchet distance with twice
    its standard error, and the share of samples that the classifier is sure of.

    Args:
        curve: from `load_curve` or `measure_curve`.
    """
    best = curve.cheaper().iloc[0]
    lines = {
        label: (points["evaluations"].tolist(), points["distance"].tolist())
        for label, points in curve.points.groupby("label", sort=False)
    }

    figure, (left, right) = panels(8.8, 4.0, 1, 1.25)
    show = moving_images([left], {"": curve.sheet(best)}, N_COLUMNS)
    for line in lines.values():
        right.plot(*line, "-", color="0.75", lw=1)
    (this,) = right.plot([], [], "o-", color=BLUE, animated=True, label="this sampler")
    (here,) = right.plot([], [], "s", color=ORANGE, ms=10, animated=True, label="the samples shown")
    right.axhline(curve.algorithm_1().distance, color="k", linestyle="--", lw=1, label="Algorithm 1, all evaluations")
    right.set(xscale="log", yscale="log", xlabel="network evaluations", ylabel="Fréchet distance")
    right.legend(loc="upper right", fontsize=8)

    sampler = ipywidgets.Dropdown(options=list(lines), value=best.label, description="sampler")
    cost = ipywidgets.SelectionSlider(
        options=lines[best.label][0],
        value=best.evaluations,
        description="evaluations",
        style={"description_width": "initial"},
    )

    def offer_costs(change: Mapping[str, Any]) -> None:
        costs = lines[change["new"]][0]
        nearest = min(costs, key=lambda n: abs(math.log(n / cost.value)))  # in ratio
        cost.options = costs
        cost.value = nearest

    sampler.observe(offer_costs, "value")  # before the figure is redrawn

    def update(label: str, evaluations: int) -> str:
        point = curve.points.query("label == @label and evaluations == @evaluations").iloc[0]
        show(curve.sheet(point))
        this.set_data(*lines[label])
        here.set_data([point.evaluations], [point.distance])
        return (
            f"{label}, {point.evaluations} evaluations: Fréchet distance {point.distance:.3g} ± {2 * point.se:.2g}; "
            f"the classifier is sure of {point.sure:.0%}"
        )

    return FigureExplorer(
        figure,
        update,
        {"label": sampler, "evaluations": cost},
        alt="Samples of a network by a sampler at a cost, and distance against evaluations",
    )


def step_map_explorer(step_map: StepMap) -> FigureExplorer:
    """Sliders for T and ε over stored samples of Algorithm 1 and two maps, of the distance and of the noise left.

    Nothing is sampled here. The readout gives the Fréchet distance with twice its standard error, and the variance of
    the noise on the samples over σ_L², as the closed form predicts it and as measured where images never change.

    Args:
        step_map: every pair of its T and ε is a cell, such as the digits' of I5's record.

    Raises:
        ValueError: a pair is missing.
    """
    grids = {number: step_map.cells[number].unstack() for number in ("distance", "predicted")}
    rows, columns = (axis.tolist() for axis in grids["distance"].axes)
    if grids["distance"].isna().to_numpy().any():
        raise ValueError(f"step_map must have a cell at every T in {rows} and ε in {columns}")
    start = rows[len(rows) // 2], columns[len(columns) // 2]

    figure, (left, *axes) = panels(9.9, 3.4, 1, 1.35, 1.35)
    show = moving_images([left], {"samples": step_map.sheet(*start)}, N_COLUMNS, fontsize=10)
    maps, frames = {"distance": "Fréchet distance", "predicted": r"predicted noise / $\sigma_L^2$"}, []
    for ax, (number, title) in zip(axes, maps.items(), strict=True):
        labels = [f"{eps:.0e}".replace("e-0", "e-") for eps in columns]
        plots.draw_number_map(ax, torch.tensor(grids[number].to_numpy()), rows, labels)
        ax.set(xlabel="ε", ylabel="T")
        ax.set_title(title, fontsize=10)
        frames.append(ax.add_patch(Rectangle((0, 0), 1, 1, fill=False, ec=ORANGE, lw=3, animated=True)))

    def update(n_steps: int, step_size: float) -> str:
        cell = step_map.cells.loc[n_steps, step_size]
        show(step_map.sheet(n_steps, step_size))
        for frame in frames:
            frame.set_xy((columns.index(step_size) - 0.5, rows.index(n_steps) - 0.5))
        return (
            f"T = {n_steps}, ε = {step_size:g} (h = {step_size / 2:g}): Fréchet distance {cell.distance:.3g} ± "
            f"{2 * cell.se:.2g}; noise over σ_L² predicted {cell.predicted:.3g}, measured {cell.measured:.3g}"
        )

    return FigureExplorer(
        figure,
        update,
        {
            "n_steps": ipywidgets.SelectionSlider(options=rows, value=start[0], description="T"),
            "step_size": selection("ε", columns, start[1]),
        },
        alt="Samples of Algorithm 1, and maps over T and ε of their distance and their noise",
    )
