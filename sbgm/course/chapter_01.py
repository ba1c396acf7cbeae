"""Exercises of chapter 1: scores."""

import math

import torch
from torch import Tensor

from sbgm.course.calls import MixtureField
from sbgm.course.old_exercise import Exercise, Trial, compare, exercise, in_both_precisions

ALLOWED = 1e-3  # of a logarithm


@exercise("1.1", minutes=5)
def gaussian_score(trial: Trial) -> None:
    """`gaussian_score(x, mean, std)`: the score of N(mean, std² I), § 2.

    x is (B, D), mean is (D,), std is a float; the score has x's shape.
    """
    for shape, dtype in in_both_precisions(((6, 3), (5, 1), (3, 2))):
        std = trial.uniform(0.4, 0.8)
        mean = trial.randn(shape[1], dtype=dtype)
        x = mean + std * trial.randn(*shape, dtype=dtype)
        offset = x - mean
        right = gaussian_score.lent(x, mean, std)
        density = torch.exp(-offset.square().sum(dim=1, keepdim=True) / (2 * std**2))
        normaliser = (2 * math.pi * std**2) ** (shape[1] / 2)
        trial.expect(
            right,
            x,
            mean,
            std,
            mistakes={
                "the sign is wrong: on the right of the mean, which way does the density rise?": -right,
                "off by a factor std: is the difference divided by a standard deviation or by a variance?":
                    right * std,
                "not divided by anything: is the score of a narrow Gaussian as steep as that of a wide one?":
                    right * std**2,
                "the wrong way round: is a narrow Gaussian's score steeper than a wide one's, or flatter?":
                    right * std**4,
                "off by a factor 2: what becomes of the exponent's ½ when its square is differentiated?": right / 2,
                "D times too long: is something added up over the coordinates? Each has a component of its own":
                    shape[1] * right,
                "twice too long: has the exponent's ½ gone missing?": 2 * right,
                "the mean is lost: where should the score vanish?": -x / std**2,
                "this is the log-density, coordinate by coordinate; a score is its gradient":
                    -offset.square() / (2 * std**2) - math.log(std) - 0.5 * math.log(2 * math.pi),
                "this is the log-density without its constant, coordinate by coordinate; a score is its gradient":
                    -offset.square() / (2 * std**2),
                "this is the log-density, the same for each coordinate; a score is its gradient":
                    (density / normaliser).log().expand_as(x),
                "this is the gradient of the density; a score is that of its logarithm":
                    right * density / normaliser,
                "this is the gradient of an unnormalised density; a score is that of its logarithm":
                    right * density,
                "these arrows all have length 1: does the log-density rise equally fast everywhere?":
                    -offset / offset.norm(dim=1, keepdim=True),
            },
        )  # fmt: skip


@gaussian_score.lends
def _(x, mean, std):
    return -(x - mean) / std**2


@exercise("1.4", minutes=15)
def mixture_score(trial: Trial) -> None:
    """`mixture_score(x, weights, means, std)`: ∇ log p of the mixture Σ_k π_k N(μ_k, std² I), § 3.2.

    x is (B, D), weights (K,), means (K, D), std a float; the score has x's shape, and must be right far from the modes
    too.
    """
    for (n_components, dim, std), dtype in in_both_precisions(((2, 2, 0.6), (3, 1, 1.2), (4, 3, 0.7), (2, 3, 1.1))):
        std = std + trial.uniform(-0.08, 0.08)
        weights = torch.tensor([1.0, 2.5, 0.7, 1.6], dtype=dtype)[:n_components]
        weights = weights / weights.sum()
        means, x = 1.5 * trial.randn(n_components, dim, dtype=dtype), 1.5 * trial.randn(7, dim, dtype=dtype)
        trial.expect(
            mixture_score.lent(*(v.double() for v in (x, weights, means)), std).to(dtype),
            x,
            weights,
            means,
            std,
            mistakes=_mixture_mistakes(x.double(), weights.double(), means.double(), std),
        )
        _expect_far(trial, mixture_score, means, weights, means, std, of="modes")


@mixture_score.lends
def _(x, weights, means, std):
    offsets = means - x[:, None]  # μ_k − x: (B, K, D)
    exponents = weights.log() - offsets.square().sum(dim=2) / (2 * std**2)
    responsibility = torch.softmax(exponents, dim=1)  # r_k(x): (B, K)
    return (responsibility[:, :, None] * offsets).sum(dim=1) / std**2


def _pulled(weights: Tensor, offsets: Tensor, variance: float) -> Tensor:
    """Σ_k w_k (μ_k − x)/v, (B, D), of weights (B, K) and offsets μ_k − x, (B, K, D)."""
    return (weights[:, :, None] * offsets).sum(dim=1) / variance


def _mixture_mistakes(x: Tensor, weights: Tensor, means: Tensor, std: float) -> dict[str, Tensor]:
    """The scores at x that known mistakes lead to, (B, D)."""
    offsets, variance, right = means - x[:, None], std**2, mixture_score.lent(x, weights, means, std)
    squares = offsets.square().sum(dim=2)
    log_joint = weights.log() - squares / (2 * variance)
    density = log_joint.exp().sum(dim=1, keepdim=True)

    def pulled(weights: Tensor) -> Tensor:
        return _pulled(weights, offsets, variance)

    def with_variance(variance: float, width: float) -> Tensor:
        """Pulls over `variance`, by the responsibilities of components of variance `width`."""
        return _pulled((weights.log() - squares / (2 * width)).softmax(dim=1), offsets, variance)

    return {
        "the sign is wrong: do the means pull, or push?": -right,
        "std is lost: this is right for components of standard deviation 1 only": with_variance(1.0, 1.0),
        "std is in the responsibilities only: does a narrow component not pull harder?": with_variance(1.0, variance),
        "std is in the pulls only: does it not say, too, how probable a component is at the point?":
            with_variance(variance, 1.0),
        "std stands where the variance belongs, twice": with_variance(std, std),
        "the pulls are divided by a standard deviation, not by a variance": with_variance(std, variance),
        "the exponent in the responsibilities is divided by 2 std, not by 2 std²": with_variance(variance, std),
        "the exponent in the responsibilities lacks its ½": with_variance(variance, variance / 2),
        "the weights are lost": pulled((-squares / (2 * variance)).softmax(dim=1)),
        "the weights enter an exponent as they are: exp of what gives π?":
            pulled((weights - squares / (2 * variance)).softmax(dim=1)),
        "each mean pulls with its weight π: how probable is a component, once you know the point?":
            pulled(weights.expand(squares.shape)),
        "the pulls are added without any weights": pulled(torch.ones_like(squares)),
        "only the nearest mean pulls: the others count too, by their responsibility":
            pulled((squares == squares.amin(dim=1, keepdim=True)).double()),
        "the responsibilities sum to 1 over the points: they should do so over the components":
            pulled(log_joint.softmax(dim=0)),
        "this is the gradient of the density (up to a constant): what is the gradient of a logarithm?":
            right * density,
        "this is the gradient of the density: what is the gradient of a logarithm?":
            right * density / (2 * math.pi * variance) ** (x.shape[1] / 2),
    }  # fmt: skip


def _expect_far(trial: Trial, asked: Exercise, centres: Tensor, *arguments: Tensor | float, of: str) -> None:
    """Compare at 7 points some 57 from the first two centres, (N, D), where naive exponentials are all zero.

    Where D > 1, three of the points are equally far from both.
    """
    axis = (centres[1] - centres[0]).double()
    axis = axis / axis.norm()
    direction = trial.randn(7, len(axis))
    if len(axis) > 1:
        direction[:3] -= (direction[:3] @ axis)[:, None] * axis
    far = trial.uniform(54, 60) * direction / direction.norm(dim=1, keepdim=True)
    far = (centres[:2].double().mean(dim=0) + far).to(centres.dtype)
    right = asked.lent(*(a.double() if isinstance(a, Tensor) else a for a in (far, *arguments))).to(far.dtype)
    answer = trial.answer(right, far, *arguments)
    compare(
        answer,
        right,
        {
            f"right near the {of}, NaN or infinite far from them: what is exp(−1500) on a computer, and what do you "
            "divide by it?": not bool(answer.isfinite().all()),
            f"right near the {of}, but zero at some points far from them: what is exp(−1500) on a computer?":
                bool((answer == 0).all(dim=-1).any()),
        },
        f"far from the {of} your answer",
    )  # fmt: skip


def weight_mistakes(squares: Tensor, sigma: float, noisy: str, origins: str) -> dict[str, Tensor]:
    """The weights (B, N) that known mistakes give N origins, at squared distances (B, N), of B noisy points."""
    fit = -squares / (2 * sigma**2)
    return {
        "the ½ is missing: a Gaussian's exponent is −‖x̃ − x‖²/(2σ²)": (2 * fit).softmax(dim=1),
        "the exponent holds 2σ where 2σ² belongs": (sigma * fit).softmax(dim=1),
        f"σ is not in the weights: the less noise, the less any but the nearest {origins} count":
            (-squares / 2).softmax(dim=1),
        "the distances in the exponent are not squared": (-squares.sqrt() / (2 * sigma**2)).softmax(dim=1),
        f"the farthest {origins} count most: is a minus sign missing?": (-fit).softmax(dim=1),
        f"the weights add up to 1 over {noisy}: they should do so over the {origins}": fit.softmax(dim=0),
        "the weights do not add up to 1": fit.exp(),
        f"only the nearest of the {origins} counts: the others do too, by how well they fit":
            (squares == squares.amin(dim=1, keepdim=True)).to(squares.dtype),
        f"all {origins} count alike: a near one is a likelier origin": torch.full_like(fit, 1 / fit.shape[1]),
    }  # fmt: skip


@exercise("1.3", minutes=10)
def log_ratio(trial: Trial) -> None:
    """`log_ratio(score, a, b)`: log p(b) − log p(a) to within 0.001, from the score alone.

    a and b are (D,); the score takes points (B, D). The answer is one number.
    """
    for dim, dtype in in_both_precisions((2, 5, 1)):
        means = 1.5 * trial.randn(3, dim)
        target = MixtureField(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), means, 1 + trial.rand(3))
        a, way = trial.randn(dim, dtype=dtype), trial.randn(dim, dtype=dtype)
        b = a + trial.uniform(2.5, 3.5) * way / way.norm()
        ends = torch.stack([a, b]).double()
        log_a, log_b = target.log_prob(ends)
        way = ends[1] - ends[0]
        path = ends[0] + torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None] * way
        s = target(path)
        right = log_b - log_a
        answer = trial.answer(right, target, a, b)
        off = float((answer - right).abs())
        compare(
            answer,
            right,
            {
                "the wrong way round: from which point does the path start?": -right,
                "one step with the score at a: does the score stay what it is at a?": s[0] @ way,
                "one step with the score at b: the score changes on the way": s[-1] @ way,
                "one step with the mean of the scores at the two ends: the score changes on the way":
                    (s[0] + s[-1]) @ way / 2,
                "one step with the score in the middle: the score changes on the way": s[1000] @ way,
                "the length of the score is summed up: which part of it changes log p along the way?":
                    s.norm(dim=1).mean() * way.norm(),
                "off by the distance between the points: how far apart are two of your points?":
                    right / way.norm(),
                "off by the distance between the points: is it counted twice?": right * way.norm(),
                "the components of the score are summed up as they are: where is the direction of the way?":
                    s.mean(dim=0).sum(),
                "this is the ratio; its logarithm is asked for": right.exp(),
                "off by a factor 2: is there a ½ too many?": right / 2,
                "twice too much": 2 * right,
                f"close, but off by {off:.2g}, where {ALLOWED:g} is allowed: would more points help, or a rule that "
                "counts both ends of a step?": off < 0.3 * max(1.0, abs(float(right))),
                "far too large: is each summand multiplied by the length of its step?":
                    bool(answer.isfinite() and answer.abs() > 8 * right.abs()),
            },
            tolerance=ALLOWED / abs(float(right)),
        )  # fmt: skip


@log_ratio.lends
def _(score, a, b):
    path = a + torch.linspace(0, 1, 501, dtype=a.dtype)[:, None] * (b - a)  # from a to b, (501, D)
    return torch.trapezoid(score(path) @ (b - a), dx=1 / 500)


@exercise("1.6", minutes=10)
def mean_arrow(trial: Trial) -> None:
    """`mean_arrow(x_noisy, data, sigma)`: the mean of (x − x̃)/σ² over the possible origins x of each x̃.

    x_noisy is (B, D), data (N, D), sigma a float; the result has x_noisy's shape, and must be right far from the data
    too.
    """
    for (n_noisy, n_data, dim), dtype in in_both_precisions(((6, 4, 2), (5, 7, 1), (4, 4, 3))):
        sigma = trial.uniform(0.6, 0.8)
        data = 1.2 * trial.randn(n_data, dim, dtype=dtype)
        x_noisy = 1.2 * trial.randn(n_noisy, dim, dtype=dtype)
        arrows = data - x_noisy[:, None]
        right = mean_arrow.lent(x_noisy, data, sigma)
        mistakes = {
            "the arrows point from the candidates to the noisy point: they should point back": -right,
            "this is the mean arrow itself: it still has to be divided by σ²": right * sigma**2,
            "divided by σ, not by σ²": right * sigma,
            "multiplied by σ² where it should be divided": right * sigma**4,
            "this is the mean origin: the arrow to it, divided by σ², is asked for": right * sigma**2 + x_noisy,
            "the arrows are added: their mean is asked for": arrows.sum(dim=1) / sigma**2,
        }
        wrong = weight_mistakes(arrows.square().sum(dim=2), sigma, "the noisy points", "candidates")
        mistakes |= {sentence: _pulled(weights, arrows, sigma**2) for sentence, weights in wrong.items()}
        trial.expect(right, x_noisy, data, sigma, mistakes=mistakes)
        _expect_far(trial, mean_arrow, data, data, sigma, of="data")


@mean_arrow.lends
def _(x_noisy, data, sigma):
    arrows = data - x_noisy[:, None]  # to each candidate: (B, N, D)
    posterior = torch.softmax(-arrows.square().sum(dim=2) / (2 * sigma**2), dim=1)  # p(x | x̃): (B, N)
    return (posterior[:, :, None] * arrows).sum(dim=1) / sigma**2
