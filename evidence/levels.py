"""Numbers of a score at each level of a ladder, and the five perceptrons on 8×8 digits that N1, F3 and I5 rest on."""

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from recipes import DigitsTraining, trained_digits
from sbgm.guard import Score
from sbgm.measure import Estimate, ratio
from sbgm.networks import ImageMLP

N_NETWORKS = 5
PERCEPTRONS_SEED = 1448158572
"""The seed of the first; each of the others has the next number."""
SETTINGS = DigitsTraining()
KINDS = ("lengths", "losses", "norms", "sums")


@torch.no_grad()
def level_by_level(
    score: Score, images: Tensor, sigmas: Tensor, *, generator: torch.Generator, n_noise: int = 2, n_side: int = 100
) -> Tensor:
    """Means over images, and their standard errors, at each level: (4, L, 2), the first axis as in KINDS.

    They are ‖σs‖², λℓ = ½‖σs + z‖², ‖s‖ and ‖σs‖² + 2λℓ. The last has the mean D, the number of pixels, for a score
    that no constant factor would improve.

    Args:
        score: s(x, σ).
        images: (N, *shape).
        sigmas: (L,).
        generator: source of the noise.
        n_noise: draws of noise for each image, whose numbers are averaged first.
        n_side: images side by side.
    """
    levels = []
    for sigma in sigmas.tolist():
        of_images = []
        for x in images.split(n_side):
            x = x.repeat(n_noise, *[1] * (x.ndim - 1))
            z = torch.randn(x.shape, generator=generator)
            scaled = sigma * score(x + sigma * z, sigma)
            lengths = scaled.flatten(1).square().sum(dim=1)
            losses = (scaled + z).flatten(1).square().sum(dim=1) / 2
            numbers = torch.stack([lengths, losses, lengths.sqrt() / sigma, lengths + 2 * losses])
            of_images.append(numbers.reshape(len(KINDS), n_noise, -1).double().mean(dim=1))
        values = torch.cat(of_images, dim=1)
        errors = values.std(dim=1) / math.sqrt(len(images))
        levels.append(torch.stack([values.mean(dim=1), errors], dim=1))
    return torch.stack(levels, dim=1)


def estimates(levels: Tensor) -> list[Estimate]:
    """The numbers (L, 2) of each level, with their standard errors."""
    return [Estimate(*pair) for pair in levels.tolist()]


def spread(levels: Tensor) -> Estimate:
    """The largest of the levels' numbers (L, 2) over the smallest."""
    of_levels = estimates(levels)
    return ratio(max(of_levels), min(of_levels))


def off_dimension(sums: Tensor, dimension: int) -> Estimate:
    """How far the sums (L, 2) are from D, as a share of D, at the level where they are farthest."""
    return max(Estimate(abs(value / dimension - 1), se / dimension) for value, se in sums.tolist())


def slope(sigmas: Tensor, levels: Tensor) -> Estimate:
    """Of the least-squares line of the logarithm of numbers (L, 2) against log σ, (L,); errors as if independent."""
    x = sigmas.double().log() - sigmas.double().log().mean()
    weights = x / x.square().sum()
    means, errors = levels.T
    return Estimate(float(weights @ means.log()), float((weights * errors / means).norm()))


def perceptrons(folder: Path, weighting: str = "sigma_squared") -> list[ImageMLP]:
    """Five networks on the 8×8 digits, trained unless they are in the folder."""
    settings = dataclasses.replace(SETTINGS, weighting=weighting)
    return [
        trained_digits(dataclasses.replace(settings, seed=PERCEPTRONS_SEED + part), folder)
        for part in range(N_NETWORKS)
    ]
