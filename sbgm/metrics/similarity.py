"""How like an image its noisy version is: PSNR and SSIM."""

from __future__ import annotations

import math

from torch import Tensor

from sbgm._validate import check_finite, check_floating

WINDOW = 7  # pixels a side over which scikit-image compares


def psnr(noisy: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1]: −10 log₁₀ of the mean squared difference (∞ if none)."""
    _check_alike(noisy, clean)
    error = float((noisy - clean).square().mean())
    return -10 * math.log10(error) if error > 0 else math.inf


def ssim(noisy: Tensor, clean: Tensor) -> float:
    """Structural similarity of images in [0, 1], (C, H, W), by scikit-image: 1 for equal images."""
    from skimage.metrics import structural_similarity

    _check_alike(noisy, clean)
    if noisy.ndim != 3 or min(noisy.shape[1:]) < WINDOW:
        raise ValueError(
            f"noisy must be an image (C, H, W) with H and W of at least {WINDOW}, got shape {tuple(noisy.shape)}"
        )
    return float(structural_similarity(noisy.numpy(), clean.numpy(), channel_axis=0, data_range=1.0))


def _check_alike(noisy: Tensor, clean: Tensor) -> None:
    for image, name in ((noisy, "noisy"), (clean, "clean")):
        check_finite(check_floating(image, name), name)
    if noisy.shape != clean.shape:
        raise ValueError(f"noisy must have the shape of clean, {tuple(clean.shape)}, got {tuple(noisy.shape)}")
