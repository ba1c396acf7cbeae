"""Chapter 06's explorer: a noisy image, what a network makes of it, and the length of its score, level by level."""

from __future__ import annotations

import math

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sbgm import plots
from sbgm._validate import check_batch
from sbgm.explorers.base import FigureExplorer
from sbgm.noise import randn_like
from sbgm.samplers import denoise


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
