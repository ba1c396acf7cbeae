"""Distances between sets of images, in pixels or in features, and how like two images are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm.checked import check_batch, check_callable, check_count, check_finite, check_floating, check_generator
from sbgm.measure.estimates import Measured

__all__ = [
    "FeatureStatistics",
    "GaussianBaseline",
    "Neighbours",
    "feature_statistics",
    "frechet_distance",
    "in_batches",
    "kernel_distance",
    "nearest_neighbours",
    "psnr",
    "quantise",
    "shown",
    "ssim",
]


def quantise(images: Tensor) -> Tensor:
    """Images of 256 shades, uint8: ⌊256 x⌋ clamped to 0 … 255.

    It undoes `dequantise`: both a pixel k/255 of a data set and its dequantised (k + u)/256 become k.

    Args:
        images: (B, *shape), of which what lies outside [0, 1] is clamped, such as samples as a sampler left them.
    """
    return (256 * check_batch(images, "images")).floor().clamp(0, 255).to(torch.uint8)


def shown(images: Tensor) -> Tensor:
    """Images as they would be shown or saved, in [0, 1] in steps of 1/255: `quantise(images)/255`."""
    return quantise(images).to(images.dtype) / 255


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = 250) -> Tensor:
    """A function of a batch of images applied to any number of them; the results are put together on the CPU.

    Such as `in_batches(load_classifier().features, shown(samples))`, (N, F).

    Args:
        function: (B, *shape) -> (B, …).
        images: (N, *shape), N ≥ 1.
        batch_size: images in one call.
    """
    check_callable(function, "function", "images")
    batches = check_batch(images, "images").split(check_count(batch_size, "batch_size"))
    return torch.cat([function(batch).cpu() for batch in batches])


class FeatureStatistics(NamedTuple):
    """What the Fréchet distance needs of n features: their mean (F,) and unbiased covariance (F, F), float64."""

    mean: Tensor
    covariance: Tensor
    n: int


def feature_statistics(features: Tensor) -> FeatureStatistics:
    """The mean and covariance of features, (N, F) with N > F.

    Raises:
        ValueError: N ≤ F, where the covariance is singular and the distance meaningless.
    """
    return _statistics(features, "features")


def frechet_distance(
    samples: Tensor | FeatureStatistics,
    reference: Tensor | FeatureStatistics,
    *,
    name: str = "Fréchet distance",
    against: str = "reference images",
    features: str = "given features",
) -> Measured:
    """‖m − m'‖² + tr C + tr C' − 2 tr (C C')^{1/2}, the squared Wasserstein distance of N(m, C) and N(m', C').

    The estimate is too large, by an amount that falls as 1/N: compare distances at equal numbers of samples, and with
    the distance of as many real images. The standard error, an infinitesimal jackknife, leaves this bias out.

    Args:
        samples: (N, F) features, or their `feature_statistics`.
        reference: (N', F) features of real images, or their statistics.
        name, against, features: for the result's text.

    Returns:
        The distance. A set given by its statistics adds nothing to the standard error, which is None if both are.

    Raises:
        ValueError: the numbers of features differ, or a set has no more images than features.
    """
    a, b = _statistics(samples, "samples"), _statistics(reference, "reference")
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"samples must have the {len(b.mean):,} features of reference, got {len(a.mean):,}")
    root_trace, transport = _root_trace(a.covariance, b.covariance)
    value = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * root_trace
    variances = []
    if samples is not a:
        variances.append(_variance(samples, a, b, transport))
    if reference is not b:
        variances.append(_variance(reference, b, a, _root_trace(b.covariance, a.covariance)[1]))
    se = math.sqrt(sum(variances)) if variances else None
    return Measured(name, max(0.0, float(value)), se, a.n, b.n, against, features)


def _statistics(features: Tensor | FeatureStatistics, name: str) -> FeatureStatistics:
    """The mean and covariance of features, or what is given of them, checked."""
    if isinstance(features, FeatureStatistics):
        _check_enough(features.n, len(features.mean), name)
        return features
    points = _points(features, name)
    _check_enough(len(points), points.shape[1], name)
    covariance = points.T.cov().reshape(points.shape[1], -1)  # that of one feature comes without a shape
    return FeatureStatistics(points.mean(dim=0), covariance, len(points))


def _root_trace(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """tr (C C')^{1/2}, and T = C^{-1/2} (C^{1/2} C' C^{1/2})^{1/2} C^{-1/2}, which is twice its derivative by C.

    C C' is not symmetric, but its eigenvalues are those of C^{1/2} C' C^{1/2}, which is and has none below 0.
    """
    values, vectors = torch.linalg.eigh(own)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps  # features that never change have none
    roots, vectors = values[kept].sqrt(), vectors[:, kept]
    inner = roots[:, None] * (vectors.T @ other @ vectors) * roots
    inner_values, inner_vectors = torch.linalg.eigh(inner)
    inner_roots = inner_values.clamp(min=0).sqrt()
    half = (vectors / roots) @ inner_vectors * inner_roots.sqrt()
    return inner_roots.sum(), half @ half.T


def _variance(points: Tensor, own: FeatureStatistics, other: FeatureStatistics, transport: Tensor) -> float:
    """The variance of the distance that comes from one set of points, to first order.

    Weighing a point x more moves the distance by 2(m − m')·(x − m) + (x − m)ᵀ(1 − T)(x − m), up to a constant.
    """
    centred = points.detach().cpu().double() - own.mean
    influence = 2 * centred @ (own.mean - other.mean) + (centred.square() - centred * (centred @ transport)).sum(dim=1)
    return float(influence.var() / own.n)


def _check_enough(n: int, n_features: int, name: str) -> None:
    if n <= n_features:
        raise ValueError(
            f"{name} must be of more images than there are features, since the covariance of fewer is singular, "
            f"got {n:,} images with {n_features:,} features each"
        )


def _points(features: Tensor, name: str) -> Tensor:
    """Features as float64 on the CPU, checked: (N, F)."""
    if check_batch(features, name).ndim != 2:
        raise ValueError(f"{name} must be of shape (N, F), got shape {tuple(features.shape)}")
    return features.detach().cpu().double()


def kernel_distance(
    samples: Tensor,
    reference: Tensor,
    *,
    name: str = "kernel distance",
    against: str = "reference images",
    features: str = "given features",
    block_size: int = 2_000,
) -> Measured:
    """The unbiased squared maximum mean discrepancy with the kernel k(x, y) = (x·y/F + 1)³ (Bińkowski et al. 2018).

    Mean k(x, x') over pairs of samples + mean k(y, y') over pairs of the reference − 2 mean k(x, y). Unlike the Fréchet
    distance it needs no more points than features, and its mean does not depend on how many there are; it can be
    negative. Here all pairs count; the mean over random subsets, as often reported, estimates the same number with more
    noise. The standard error is the jackknife's over samples and reference, on the safe side near 0.

    Args:
        samples: (N, F) features, N ≥ 3.
        reference: (N', F) features of real images.
        name, against, features: for the result's text.
        block_size: rows of the kernel matrix in memory at once.

    Raises:
        ValueError: the numbers of features differ, or a set has fewer than three points.
    """
    x, y = _at_least_three(samples, "samples"), _at_least_three(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"samples must have the {y.shape[1]:,} features of reference, got {x.shape[1]:,}")
    check_count(block_size, "block_size")
    n, m = len(x), len(y)
    xx, yy = _row_sums(x, x, block_size) - _kernel_norms(x), _row_sums(y, y, block_size) - _kernel_norms(y)
    xy, yx = torch.zeros(n, dtype=x.dtype), torch.zeros(m, dtype=y.dtype)
    for rows, block in _blocks(x, y, block_size):
        xy[rows], yx = block.sum(dim=1), yx + block.sum(dim=0)

    def distance(xx: Tensor, yy: Tensor, xy: Tensor, n: int, m: int) -> Tensor:
        return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)

    value = distance(xx.sum(), yy.sum(), xy.sum(), n, m)
    without_x = distance(xx.sum() - 2 * xx, yy.sum(), xy.sum() - xy, n - 1, m)
    without_y = distance(xx.sum(), yy.sum() - 2 * yy, xy.sum() - yx, n, m - 1)
    variance = sum(float((len(w) - 1) ** 2 / len(w) * w.var()) for w in (without_x, without_y))
    return Measured(name, float(value), math.sqrt(variance), n, m, against, features)


def _blocks(x: Tensor, y: Tensor, block_size: int) -> Iterator[tuple[slice, Tensor]]:
    """The kernel matrix of x and y, some rows at a time, with the rows' place."""
    for start in range(0, len(x), block_size):
        rows = slice(start, start + block_size)
        yield rows, (x[rows] @ y.T / x.shape[1] + 1) ** 3


def _row_sums(x: Tensor, y: Tensor, block_size: int) -> Tensor:
    return torch.cat([block.sum(dim=1) for _, block in _blocks(x, y, block_size)])


def _kernel_norms(x: Tensor) -> Tensor:
    """k(x, x) of each point."""
    return (x.square().mean(dim=1) + 1) ** 3


def _at_least_three(features: Tensor, name: str) -> Tensor:
    if check_batch(features, name).ndim != 2 or len(features) < 3:
        raise ValueError(f"{name} must be of shape (N, F) with N of at least 3, got shape {tuple(features.shape)}")
    return features.detach().cpu().double()


class Neighbours(NamedTuple):
    """The k nearest candidates of each of B points, nearest first: Euclidean distances and indices, both (B, k)."""

    distances: Tensor
    indices: Tensor


@torch.no_grad()
def nearest_neighbours(x: Tensor, candidates: Tensor, k: int = 1, *, block_size: int = 1_000) -> Neighbours:
    """The k nearest candidates of each point in Euclidean distance: pixels, or features where these are given.

    The candidates are found by ‖x‖² + ‖y‖² − 2 x·y, block by block, and the distances of those found then computed from
    the differences, so that a copy has the distance 0 and no rounding error of large norms.

    Args:
        x: (B, *shape), such as samples.
        candidates: (N, *shape), such as training images, on any device; each block is moved to x's.
        k: how many, at most N.
        block_size: at most block_size² distances are in memory at once.

    Raises:
        ValueError: the shapes differ, or k is larger than N.
    """
    check_batch(x, "x")
    if check_batch(candidates, "candidates").shape[1:] != x.shape[1:]:
        raise ValueError(
            f"candidates must be of the shape of x, (N, {', '.join(map(str, x.shape[1:]))}), "
            f"got {tuple(candidates.shape)}"
        )
    if check_count(k, "k") > len(candidates):
        raise ValueError(f"k must be at most the number of candidates, {len(candidates)}, got {k}")
    x, candidates = x.flatten(1), candidates.flatten(1)
    found = [_nearest(block, candidates, k, block_size) for block in x.split(check_count(block_size, "block_size"))]
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _nearest(x: Tensor, candidates: Tensor, k: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Distances and indices of one block of points, (b, k)."""
    best = x.new_full((len(x), 0), 0)
    indices = torch.empty(len(x), 0, dtype=torch.long, device=x.device)
    for start in range(0, len(candidates), block_size):
        y = candidates[start : start + block_size].to(x)
        rank = y.square().sum(dim=1) - 2 * x @ y.T  # the squared distance less ‖x‖², which is the same for all y
        best = torch.cat([best, rank], dim=1)
        indices = torch.cat([indices, torch.arange(start, start + len(y), device=x.device).expand(len(x), -1)], dim=1)
        best, kept = best.topk(min(k, best.shape[1]), dim=1, largest=False)
        indices = indices.gather(1, kept)
    chosen = candidates[indices.to(candidates.device)].to(x)
    distances, order = (chosen - x[:, None]).norm(dim=2).sort(dim=1, stable=True)
    return distances, indices.gather(1, order)


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


class GaussianBaseline:
    """N(m, C) with the mean m and covariance C of a set of images: it knows every pair of pixels and nothing more.

    Args:
        images: (N, *shape) in [0, 1], N ≥ 2; fewer images than pixels give samples in the images' span.
        block_size: images in float64 at once.

    Attributes:
        mean: (D,) float64.
        root: (D, D) float64, a matrix R with R Rᵀ = C.
        shape: of one image.
    """

    def __init__(self, images: Tensor, *, block_size: int = 5_000) -> None:
        n = len(check_batch(images, "images"))
        if n < 2:
            raise ValueError(f"images must hold at least two for a covariance, got {n}")
        check_count(block_size, "block_size")
        self.shape = tuple(images.shape[1:])
        blocks = images.flatten(1).split(block_size)
        self.mean = sum(block.sum(dim=0, dtype=torch.float64) for block in blocks) / n
        covariance = torch.zeros(len(self.mean), len(self.mean), dtype=torch.float64)
        for block in blocks:
            centred = block.double() - self.mean
            covariance += centred.T @ centred / (n - 1)
        values, vectors = torch.linalg.eigh(covariance)
        self.root = vectors * values.clamp(min=0).sqrt()

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n images as they would be shown, clamped to [0, 1] and of 256 shades: (n, *shape) float32."""
        z = torch.randn(
            check_count(n, "n"), len(self.mean), generator=check_generator(generator), device=generator.device
        )
        x = self.mean + z.cpu().double() @ self.root.T
        return shown(x.float()).reshape(n, *self.shape)
