"""Distances between sets of images, in pixels or in features, their controls, and how like two images are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sbgm.files import from_extra
from sbgm.guard import Batch, Count, Finite, Generator, checked, function_of, widened
from sbgm.measure.estimates import Estimate, require_alike, rows

FeatureFunction = Annotated[Callable[[Tensor], Tensor], function_of("images")]  # (B, *shape) -> (B, …)


@checked
def quantise(images: Batch) -> Tensor:
    """Images of 256 shades, uint8: ⌊256 x⌋ clamped to 0 … 255.

    It undoes `images.data.dequantised`: both a pixel k/255 of a data set and its dequantised (k + u)/256 become k. In
    half precision some become a neighbour of k, by rounding.

    Args:
        images: (B, *shape), of which what lies outside [0, 1] is clamped, such as samples as a sampler left them.
    """
    return (256 * images).floor().clamp(0, 255).to(torch.uint8)


@checked
def shown(images: Batch) -> Tensor:
    """Images as they would be shown or saved, in [0, 1] in steps of 1/255: `quantise(images)/255`."""
    return quantise(images).to(images.dtype) / 255


@checked
@torch.no_grad()
def in_batches(function: FeatureFunction, images: Batch, batch_size: Count = 250) -> Tensor:
    """Apply a function of a batch of images to any number of them, and put the results together on the CPU.

    Such as `in_batches(load_classifier().features, shown(samples))`, (N, F).

    Args:
        function: (B, *shape) -> (B, …).
        images: (N, *shape), N ≥ 1.
        batch_size: images in one call.
    """
    results = [function(batch).cpu() for batch in images.split(batch_size)]
    return torch.cat(results)


@checked
def hog_features(images: Batch) -> Tensor:
    """Histograms of oriented gradients of images (N, C, H, W), as they would be shown, by scikit-image.

    They say which way edges run in each of 4×4 parts of an image, normalised in blocks of 2×2 parts (Dalal and Triggs
    2005). So they see where contours are, and neither colour nor contrast. Multiplied by 6, they have a mean square of
    1, as the kernel of `kernel_distance` expects: the 36 numbers of a block have length 1 together.

    Args:
        images: (N, C, H, W), clamped to [0, 1] and quantised first; H and W at least 4.

    Returns:
        (N, 324) where H and W are multiples of 4; else there are more parts, and numbers.
    """
    import numpy as np

    with from_extra("images"):
        from skimage.feature import hog

    if images.ndim != 4 or min(images.shape[2:]) < 4:
        raise ValueError(f"images must be (N, C, H, W) with H and W of at least 4, got shape {tuple(images.shape)}")
    _, _, height, width = images.shape
    cell = (height // 4, width // 4)
    pixels = widened(shown(images)).cpu().numpy()  # NumPy has no bfloat16
    features = []
    for x in pixels:
        features.append(hog(x, pixels_per_cell=cell, cells_per_block=(2, 2), channel_axis=0))
    return 6 * torch.from_numpy(np.stack(features))


class FeatureStatistics(NamedTuple):
    """The mean (F,) and the unbiased covariance (F, F) of the features of n images, float64."""

    mean: Tensor
    covariance: Tensor
    n: int


def _exact(features: Tensor) -> Tensor:
    """Features as float64 on the CPU."""
    return features.detach().cpu().double()


def _of_enough(value: Tensor | FeatureStatistics, name: str) -> None:
    if isinstance(value, FeatureStatistics):
        n = value.n
        n_features = len(value.mean)
    else:
        rows("F")(value, name)
        n, n_features = value.shape
    if n <= n_features:
        raise ValueError(
            f"{name} must be of more images than there are features, since the covariance of fewer is singular, "
            f"got {n:,} images with {n_features:,} features each"
        )


ThreeFeatures = Annotated[Tensor, rows("F", least=3)]
EnoughFeatures = Annotated[Tensor | FeatureStatistics, _of_enough]  # N > F


def _require_as_many_features(n: int, n_reference: int) -> None:
    """Raise unless samples and reference have as many features."""
    if n != n_reference:
        raise ValueError(f"samples must have the {n_reference:,} features of reference, got {n:,}")


@checked
def feature_statistics(features: EnoughFeatures) -> FeatureStatistics:
    """The mean and covariance of features, (N, F) with N > F; statistics come back as they are.

    Raises:
        ValueError: N ≤ F, where the covariance is singular and the distance meaningless.
    """
    if isinstance(features, FeatureStatistics):
        return features
    features = _exact(features)
    covariance = features.T.cov().reshape(features.shape[1], -1)  # that of one feature comes without a shape
    return FeatureStatistics(features.mean(dim=0), covariance, len(features))


@checked
def frechet_distance(samples: EnoughFeatures, reference: EnoughFeatures) -> Estimate:
    """‖m − m'‖² + tr C + tr C' − 2 tr (C C')^{1/2}, the squared Wasserstein distance of N(m, C) and N(m', C').

    The estimate is too large, by an amount that falls as 1/N: compare distances at equal numbers of samples, and with
    the distance of as many real images. The standard error, an infinitesimal jackknife, leaves this bias out.

    Args:
        samples: (N, F) features, or their `feature_statistics`.
        reference: (N', F) features of real images, or their statistics.

    Returns:
        The distance. A set given by its statistics is taken as known, and adds nothing to the standard error.

    Raises:
        ValueError: the numbers of features differ, or a set has no more images than features.
    """
    a = feature_statistics(samples)
    b = feature_statistics(reference)
    _require_as_many_features(len(a.mean), len(b.mean))
    root_trace, _ = _root_trace(a.covariance, b.covariance)
    of_means = (a.mean - b.mean).square().sum()
    value = of_means + a.covariance.trace() + b.covariance.trace() - 2 * root_trace
    variance = 0.0
    for points, own, other in ((samples, a, b), (reference, b, a)):
        if isinstance(points, Tensor):
            variance += _variance(_exact(points), own, other)
    return Estimate(max(0.0, float(value)), math.sqrt(variance))


def _root_trace(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """tr (C C')^{1/2}, and T = C^{-1/2} (C^{1/2} C' C^{1/2})^{1/2} C^{-1/2}, which is twice its derivative by C.

    C C' is not symmetric, but its eigenvalues are those of C^{1/2} C' C^{1/2}, which is and has none below 0.
    """
    values, vectors = torch.linalg.eigh(own)
    rounding = len(values) * torch.finfo(values.dtype).eps
    varies = values > rounding * values[-1]  # features that never change have no variance
    roots = values[varies].sqrt()
    vectors = vectors[:, varies]
    inner = roots[:, None] * (vectors.T @ other @ vectors) * roots
    inner_values, inner_vectors = torch.linalg.eigh(inner)
    inner_roots = inner_values.clamp(min=0).sqrt()
    half = (vectors / roots) @ inner_vectors * inner_roots.sqrt()
    return inner_roots.sum(), half @ half.T


def _variance(points: Tensor, own: FeatureStatistics, other: FeatureStatistics) -> float:
    """The variance of the distance that comes from one set of points, to first order.

    Weighing a point x more moves the distance by 2(m − m')·(x − m) + (x − m)ᵀ(1 − T)(x − m), up to a constant.
    """
    _, transport = _root_trace(own.covariance, other.covariance)
    centred = points - own.mean
    of_mean = 2 * centred @ (own.mean - other.mean)
    moved = centred * (centred @ transport)
    of_covariance = (centred.square() - moved).sum(dim=1)
    return float((of_mean + of_covariance).var() / own.n)


@checked
def kernel_distance(samples: ThreeFeatures, reference: ThreeFeatures, *, block_size: Count = 2_000) -> Estimate:
    """The unbiased squared maximum mean discrepancy with the kernel k(x, y) = (x·y/F + 1)³ (Bińkowski et al. 2018).

    Mean k(x, x') over pairs of samples + mean k(y, y') over pairs of the reference − 2 mean k(x, y). Unlike the Fréchet
    distance it needs no more points than features, and its mean does not depend on how many there are; it can be
    negative. Here all pairs count; the mean over random subsets, as often reported, estimates the same number with more
    noise. The standard error is the jackknife's over samples and reference, on the safe side near 0.

    Args:
        samples: (N, F) features, N ≥ 3.
        reference: (N', F) features of real images.
        block_size: rows of the kernel matrix in memory at once.

    Raises:
        ValueError: the numbers of features differ.
    """
    x = _exact(samples)
    y = _exact(reference)
    n = len(x)
    m = len(y)
    _require_as_many_features(x.shape[1], y.shape[1])
    # sums of the kernel over all partners of a point, itself left out
    xx = _row_sums(x, x, block_size) - _kernel(x.square().mean(dim=1))
    yy = _row_sums(y, y, block_size) - _kernel(y.square().mean(dim=1))
    xy = _row_sums(x, y, block_size)
    yx = _row_sums(y, x, block_size)

    def distance(xx: Tensor, yy: Tensor, xy: Tensor, n: int, m: int) -> Tensor:
        among_samples = xx / (n * (n - 1))
        among_reference = yy / (m * (m - 1))
        return among_samples + among_reference - 2 * xy / (n * m)

    samples_total = xx.sum()
    reference_total = yy.sum()
    total = xy.sum()
    value = distance(samples_total, reference_total, total, n, m)
    without_x = distance(samples_total - 2 * xx, reference_total, total - xy, n - 1, m)
    without_y = distance(samples_total, reference_total - 2 * yy, total - yx, n, m - 1)
    variance = _jackknife(without_x) + _jackknife(without_y)
    return Estimate(float(value), math.sqrt(variance))


def _kernel(mean_product: Tensor) -> Tensor:
    """k(x, y) from x·y/F."""
    return (mean_product + 1) ** 3


def _jackknife(left_out: Tensor) -> Tensor:
    """The variance of a statistic, from its values with each of n points left out: (n,)."""
    n = len(left_out)
    return (n - 1) ** 2 / n * left_out.var()


def _row_sums(x: Tensor, y: Tensor, block_size: int) -> Tensor:
    """Σ_j k(x_i, y_j) for each x_i, some rows of the kernel matrix at a time: (N,)."""
    sums = []
    for part in x.split(block_size):
        kernel = _kernel(part @ y.T / x.shape[1])
        sums.append(kernel.sum(dim=1))
    return torch.cat(sums)


class Neighbours(NamedTuple):
    """The k nearest candidates of each of B points, nearest first: Euclidean distances and indices, both (B, k)."""

    distances: Tensor
    indices: Tensor


@checked
@torch.no_grad()
def nearest_neighbours(x: Batch, candidates: Batch, k: Count = 1) -> Neighbours:
    """The k nearest candidates of each point in Euclidean distance: pixels, or features where these are given.

    scikit-learn finds them; the distances are then computed from the differences, so that a copy has the distance 0 and
    no rounding error of large norms.

    Args:
        x: (B, *shape), such as samples.
        candidates: (N, *shape), such as training images.
        k: how many, at most N.

    Raises:
        ValueError: the shapes differ, or k is larger than N.
    """
    with from_extra("images"):
        from sklearn.neighbors import NearestNeighbors

    if candidates.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"candidates must be of the shape of x, (N, {', '.join(map(str, x.shape[1:]))}), "
            f"got {tuple(candidates.shape)}"
        )
    if k > len(candidates):
        raise ValueError(f"k must be at most the number of candidates, {len(candidates)}, got {k}")
    points = widened(x).detach().cpu().flatten(1)
    others = widened(candidates).detach().cpu().flatten(1)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others.numpy())
    indices = torch.from_numpy(search.kneighbors(points.numpy(), return_distance=False))
    differences = others[indices] - points[:, None]
    distances, order = differences.norm(dim=2).sort(dim=1, stable=True)
    indices = indices.gather(1, order)
    return Neighbours(distances.to(x.device, points.dtype), indices.to(x.device))


@checked
def psnr(noisy: Finite, clean: Finite) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1]: −10 log₁₀ of the mean squared difference (∞ if none).

    Args:
        noisy: of the shape of `clean`; values may lie outside of [0, 1].
        clean: images in [0, 1].
    """
    require_alike(noisy, clean, "noisy", "clean")
    low, high = clean.aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"clean must be in [0, 1], got values from {low:.3g} to {high:.3g}")
    error = float((widened(noisy) - widened(clean)).square().mean())
    return -10 * math.log10(error) if error > 0 else math.inf


class GaussianBaseline:
    """N(m, C) with the mean m and covariance C of a set of images: a model of pairs of pixels and nothing more.

    Args:
        images: (N, *shape) in [0, 1], N ≥ 2; fewer images than pixels give samples in the images' span.
        block_size: images in float64 at once.

    Attributes:
        mean: (D,) float64.
        root: (D, D) float64, a matrix R with R Rᵀ = C.
        shape: of one image.
    """

    @checked
    def __init__(self, images: Batch, *, block_size: Count = 5_000) -> None:
        n = len(images)
        if n < 2:
            raise ValueError(f"images must hold at least two for a covariance, got {n}")
        self.shape = tuple(images.shape[1:])
        blocks = images.flatten(1).split(block_size)
        self.mean: Any = sum(block.sum(dim=0, dtype=torch.float64) for block in blocks) / n
        centred = (block.double() - self.mean for block in blocks)
        covariance = sum(block.T @ block / (n - 1) for block in centred)
        values, vectors = torch.linalg.eigh(covariance)
        self.root = vectors * values.clamp(min=0).sqrt()

    @checked
    def sample(self, n: Count, *, generator: Generator) -> Tensor:
        """n images as they would be shown, clamped to [0, 1] and of 256 shades: (n, *shape) float32."""
        z = torch.randn(n, len(self.mean), generator=generator, device=generator.device)
        x = self.mean + z.to(self.root) @ self.root.T
        return shown(x.float()).reshape(n, *self.shape)


def shuffled_blocks(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Cut each image (B, C, H, W) into 4×4 blocks, and put them together in an order of its own."""
    block = images.shape[2] // 4, images.shape[3] // 4
    blocks = functional.unfold(images, block, stride=block)  # (B, pixels of a block, 16)
    orders = torch.rand(len(images), 16, generator=generator).argsort(dim=1)
    orders = orders.to(images.device)[:, None].expand_as(blocks)
    blocks = blocks.gather(2, orders)
    return functional.fold(blocks, images.shape[2:], block, stride=block)


@checked
def controls(images: Batch, n: Count, *, generator: Generator) -> dict[str, Tensor]:
    """Make the sets that belong beside every distance of images, n images each, by their names.

    * "real images": n of those given, without replacement. No model should be nearer.
    * "shuffled blocks": the same, each cut into 4×4 blocks (8×8 pixels of 32×32) in a random order. Colour, texture
      and edges stay, objects go: a distance below theirs is what it takes to speak of objects.
    * "low resolution": the same, reduced to a quarter (8×8 of 32×32) and enlarged again. Layout stays, detail goes.
    * "Gaussian": N(m, C) of all images given, a model of pairs of pixels alone (`GaussianBaseline`).

    Whoever claims sharp images of things should beat the last three. KID does not say so by itself: against CIFAR-10's
    test images it puts shuffled photographs nearer (0.08) than many a model. None carries noise, so compare denoised
    samples: with noise of 0.01 CIFAR-10's low resolution is half as far by `hog_features` (0.05 for 0.10).

    Args:
        images: (N, C, H, W) in [0, 1], such as a training split; H and W multiples of 4.
        n: images of each control, at most N.
        generator: chooses images and orders, and draws the Gaussian's; on the CPU.

    Returns:
        For each name (n, C, H, W), as they would be shown.

    Raises:
        ValueError: n is larger than N, or H or W no multiple of 4.
    """
    if images.ndim != 4 or images.shape[2] % 4 or images.shape[3] % 4:
        raise ValueError(f"images must be (N, C, H, W), H and W multiples of 4, got shape {tuple(images.shape)}")
    if n > len(images):
        raise ValueError(f"n must be at most the {len(images):,} images, got {n:,}")
    gaussian = GaussianBaseline(images)
    real = images[torch.randperm(len(images), generator=generator)[:n]]
    small = functional.avg_pool2d(real, 4)
    made = {
        "real images": real,
        "shuffled blocks": shuffled_blocks(real, generator=generator),
        "low resolution": functional.interpolate(small, scale_factor=4, mode="bilinear"),
        "Gaussian": gaussian.sample(n, generator=generator),
    }
    return {name: shown(x) for name, x in made.items()}
