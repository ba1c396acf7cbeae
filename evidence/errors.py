"""Numbers with their standard errors: of few networks, of a rank correlation, of the worst of many cells, of levels."""

import math
from collections.abc import Callable, Sequence

import torch
from scipy import stats
from torch import Tensor

from sbgm.guard import Score
from sbgm.measure import Estimate, Share, estimate


def ratio(numerator: Estimate | Share, denominator: Estimate | Share) -> Estimate:
    """The ratio of two independent estimates; its standard error to first order, |a/b| √((se_a/a)² + (se_b/b)²).

    Args:
        numerator, denominator: the denominator is not 0.
    """
    a = numerator.value
    b = denominator.value
    return Estimate(a / b, math.hypot(numerator.se / b, a * denominator.se / b**2))


def of_networks(values: Tensor) -> Estimate:
    """The mean over few trained networks, (n,) with n ≥ 2, and a standard error of which twice is enough.

    Of few numbers the standard deviation is itself uncertain. So sd/√n is multiplied by what makes ± 2 of them hold
    the mean as often as for many numbers, by Student's distribution: 2.3 for three networks, 1.4 for five.
    """
    value, se = estimate(values)
    confidence = stats.norm.cdf(2)
    quantile = stats.t.ppf(confidence, values.numel() - 1)
    return Estimate(value, se * float(quantile) / 2)


def bootstrap(
    statistic: Callable[[Tensor], float], n: int, *, generator: torch.Generator, n_draws: int = 2_000
) -> Estimate:
    """A statistic of n things, and its standard deviation over samples of n of these, drawn with replacement.

    Args:
        statistic: of the things with these indices, (n,) int64; NaN, where a sample has none, is left out.
        n: how many things there are.
        generator: source of the samples.
        n_draws: samples.
    """
    samples = torch.randint(n, (n_draws, n), generator=generator)
    values = torch.tensor([statistic(sample) for sample in samples], dtype=torch.float64)
    values = values[~values.isnan()]
    of_all = statistic(torch.arange(n))
    return Estimate(of_all, float(values.std()))


def rank_correlation(x: Tensor, y: Tensor) -> float:
    """Spearman's rank correlation of two columns of numbers, (n,) each; NaN where one of them is constant."""
    for column in (x, y):
        if bool((column == column[0]).all()):
            return math.nan  # which scipy would warn of
    correlation = stats.spearmanr(x.numpy(), y.numpy())
    return float(correlation.statistic)


def extremes(halves: Sequence[Sequence[Estimate]]) -> list[tuple[Estimate, Estimate]]:
    """The largest and the smallest of many cells' numbers, chosen by one half of the samples and taken from the other.

    The largest and the smallest of equal cells are apart by chance; a choice by other samples takes that out.

    Args:
        halves: the number of each cell by the first half of its samples, and by the second.

    Returns:
        The pair as the first half chooses, and as the second does.
    """
    pairs = []
    for choice, judged in (halves, halves[::-1]):
        order = sorted(range(len(choice)), key=lambda i: choice[i].value)
        pairs.append((judged[order[-1]], judged[order[0]]))
    return pairs


def worst_over_best(halves: Sequence[Sequence[Estimate]]) -> Estimate:
    """The largest of positive numbers over the smallest, see `extremes`: the geometric mean of both ways."""
    first, second = (ratio(worst, best) for worst, best in extremes(halves))
    value = math.sqrt(first.value * second.value)
    relative = math.hypot(
        first.se / first.value,
        second.se / second.value,
    )
    return Estimate(value, value * relative / 2)


def largest(halves: Sequence[Sequence[Estimate]]) -> Estimate:
    """The largest of many numbers, see `extremes`: the mean of both ways."""
    (first, _), (second, _) = extremes(halves)
    value = (first.value + second.value) / 2
    se = math.hypot(first.se, second.se) / 2
    return Estimate(value, se)


def shares_kept(start: Tensor, end: Tensor, n_modes: int) -> list[Estimate]:
    """The share of chains that end at each mode, where few cross to another: only those that cross are random.

    Args:
        start, end: (n,) the mode that each chain starts and ends at, int64.
        n_modes: how many there are.
    """
    crossed = start != end
    left = torch.bincount(start[crossed], minlength=n_modes)
    entered = torch.bincount(end[crossed], minlength=n_modes)
    ended = torch.bincount(end, minlength=n_modes)
    shares = ended / len(end)
    errors = (left + entered).sqrt() / len(end)
    pairs = zip(shares.tolist(), errors.tolist(), strict=True)
    return [Estimate(share, se) for share, se in pairs]


# --- of a score at each level of a ladder: N1, N2, N5 -----------------------------------------------------------------

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


def of_perceptrons(by_network: Tensor, number: Callable[[Tensor], Estimate]) -> Estimate:
    """A number of each network's levels (networks, 4, L, 2), their mean."""
    return of_networks(torch.tensor([number(levels).value for levels in by_network]))
