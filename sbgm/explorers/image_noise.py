"""Chapter 05's explorer: an image beside itself with noise of standard deviation σ."""

from __future__ import annotations

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm._validate import check_batch
from sbgm.explorers.base import FigureExplorer
from sbgm.metrics import psnr
from sbgm.noise import randn_like


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
