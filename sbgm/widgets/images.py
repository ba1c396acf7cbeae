"""Sliders on images: noise, denoising, annealing and inpainting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sbgm import plots
from sbgm.checked import check_batch
from sbgm.lab.trajectory import Trajectory
from sbgm.measure import psnr
from sbgm.noise import randn_like
from sbgm.samplers import State, denoise
from sbgm.widgets.base import FigureExplorer


def image_noise_explorer(images: Tensor) -> FigureExplorer:
    """Sliders for σ and for the image, clean on the left and x + σz on the right; the readout gives the PSNR.

    One z serves every image and every σ, so that moving a slider changes nothing else. The PSNR is that of x + σz
    before values are clamped to [0, 1] for showing: about −20 log₁₀ σ dB, whatever the image.

    Args:
        images: (N, C, H, W) in [0, 1], N ≥ 2, grey or colour.

    Raises:
        ValueError, TypeError: images is no finite floating-point batch of two or more images.
    """
    if check_batch(images, "images").ndim != 4 or len(images) < 2 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images must be two or more, (N, C, H, W) with C = 1 or 3 channels, got shape {tuple(images.shape)}"
        )
    images = images.detach().cpu()
    z = randn_like(images[0], torch.Generator().manual_seed(0))

    figure = Figure(figsize=(5.4, 3.0), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    clean = plots.draw_images(left, images[:1], animated=True)
    noisy = plots.draw_images(right, images[:1], animated=True)
    left.set_title("clean, $x$")
    right.set_title(r"noisy, $x + \sigma z$")

    def update(sigma: float, image: int) -> str:
        x = images[image]
        x_noisy = x + sigma * z
        clean.set_data(plots.image_sheet(x[None]).numpy())
        noisy.set_data(plots.image_sheet(x_noisy[None]).numpy())
        return f"σ = {sigma:.3g}, variance {sigma**2:.2g}: PSNR {psnr(x_noisy, x):.1f} dB"

    controls = {
        "sigma": ipywidgets.FloatLogSlider(value=0.1, min=-3, max=0, step=0.1, description="σ", readout_format=".3g"),
        "image": ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1, description="image"),
    }
    return FigureExplorer(figure, update, controls, alt="An image, and the same image with Gaussian noise of std σ")


def denoising_explorer(network: nn.Module, images: Tensor, *, seed: int = 0) -> FigureExplorer:
    """The level σ of the ladder and the image: x, x̃ = x + σz and the estimate x̃ + σ² s(x̃, σ), with the score's length.

    One z serves all levels of an image. Scores are computed here, once; the sliders look them up. The readout gives
    ‖s‖, σ‖s‖ beside √D, and the root mean squared distance to the clean image before and after.

    Args:
        network: s(x, sigma) with its ladder in `sigmas`.
        images: (N, C, H, W) in [0, 1], N ≥ 2, that the network takes.
        seed: of z.

    Raises:
        ValueError, TypeError: images is no finite floating-point batch of two or more images.
    """
    if check_batch(images, "images").ndim != 4 or len(images) < 2 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images must be two or more, (N, C, H, W) with C = 1 or 3 channels, got shape {tuple(images.shape)}"
        )
    sigmas = network.sigmas.tolist()
    z = randn_like(images, torch.Generator().manual_seed(seed))
    noisy = {sigma: images + sigma * z for sigma in sigmas}
    estimates = {sigma: denoise(network, x, sigma) for sigma, x in noisy.items()}
    norms = torch.stack([(estimates[s] - noisy[s]).flatten(1).norm(dim=1) / s**2 for s in sigmas])  # (L, N)
    root_dim = math.sqrt(images[0].numel())

    figure = Figure(figsize=(9.6, 2.9), dpi=90, layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.35))
    titles = ("clean, $x$", r"noisy, $\tilde x = x + \sigma z$", r"estimate, $\tilde x + \sigma^2 s(\tilde x, \sigma)$")
    pictures = []
    for ax, title in zip(axes, titles, strict=False):
        pictures.append(plots.draw_images(ax, images[:1], animated=True))
        ax.set_title(title)
    axes[3].loglog(sigmas, [root_dim / s for s in sigmas], "k--", lw=1, label=r"$\sqrt{D}/\sigma$")
    (curve,) = axes[3].loglog(sigmas, norms[:, 0], "o-", ms=3, color="#1f3b73", label=r"$\|s\|$", animated=True)
    (here,) = axes[3].loglog([], [], "o", ms=9, mfc="none", mew=2, color="#d95f02", animated=True)
    axes[3].set(xlabel=r"$\sigma$", title="length of the score")
    axes[3].set(ylim=(root_dim / sigmas[0] / 20, 2 * root_dim / sigmas[-1]))
    axes[3].legend()

    def update(sigma: float, image: int) -> str:
        level = sigmas.index(sigma)
        x, x_noisy, estimate = images[image], noisy[sigma][image], estimates[sigma][image]
        for picture, shown in zip(pictures, (x, x_noisy, estimate), strict=True):
            picture.set_data(plots.image_sheet(shown[None]).numpy())
        curve.set_data(sigmas, norms[:, image])
        norm = float(norms[level, image])
        here.set_data([sigma], [norm])
        before, after = (float((picture - x).square().mean().sqrt()) for picture in (x_noisy, estimate))
        return (
            f"σ = {sigma:.2g}: ‖s‖ = {norm:.3g}, σ‖s‖ = {sigma * norm:.2g} (√D = {root_dim:.3g}); "
            f"off by {before:.2g} a pixel before, {after:.2g} after"
        )

    controls = {
        "sigma": ipywidgets.SelectionSlider(
            options=[(f"{sigma:.2g}", sigma) for sigma in sigmas], value=sigmas[len(sigmas) // 2], description="σ"
        ),
        "image": ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1, description="image"),
    }
    return FigureExplorer(figure, update, controls, alt="An image, the same with noise, and a network's estimate of it")


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
