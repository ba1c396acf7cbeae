"""Exercises of chapter 1: scores."""

import math
from functools import partial

import torch
from torch.distributions import Normal

from sbgm_course.calls import MixtureField
from sbgm_course.exercise import Sign, exercise, in_both_precisions

ALLOWED = 1e-3  # of a logarithm
FAR = 25.0  # so long are scores only at the points that are far on purpose


def _gaussians(trial):
    for shape, dtype in in_both_precisions(((6, 3), (5, 1), (3, 2))):
        std = trial.uniform(0.4, 0.8)
        mean = trial.randn(shape[1], dtype=dtype)
        z = trial.randn(*shape, dtype=dtype)
        yield mean + std * z, mean, std


@exercise("1.1", minutes=5, cases=_gaussians)
def gaussian_score(x, mean, std):
    """`gaussian_score(x, mean, std)`: the score of N(mean, std² I), § 2.

    x is (B, D), mean is (D,), std is a float; the score has x's shape.
    """
    return -(x - mean) / std**2


def _divided_by(power):
    """The arrow to the mean, divided by another power of std."""
    return lambda x, mean, std: (mean - x) / std**power


def _log_density(x, mean, std):
    """Of each point, (B, 1)."""
    return Normal(mean, std).log_prob(x).sum(dim=1, keepdim=True)


def _log_unnormalised(x, mean, std):
    return -(x - mean).square().sum(dim=1, keepdim=True) / (2 * std**2)


def _density_gradient_of(log_density):
    return lambda *case: gaussian_score.right(*case) * log_density(*case).exp()


gaussian_score.mistakes = {
    "off by a power of std: is the difference divided by the variance, std², exactly once?":
        (_divided_by(1), _divided_by(4)),
    "not divided by anything: is the score of a narrow Gaussian as steep as that of a wide one?":
        _divided_by(0),
    "the wrong way round: is a narrow Gaussian's score steeper than a wide one's, or flatter?":
        _divided_by(-2),
    "the mean is lost: where should the score vanish?":
        lambda x, mean, std: -x / std**2,
    "this is the log-density; a score is its gradient": (
        lambda x, mean, std: Normal(mean, std).log_prob(x),
        lambda x, mean, std: -(x - mean).square() / (2 * std**2),
        lambda x, mean, std: _log_density(x, mean, std).expand_as(x),
    ),
    "this is the gradient of a density; a score is that of its logarithm":
        (_density_gradient_of(_log_density), _density_gradient_of(_log_unnormalised)),
    "these arrows all have length 1: does the log-density rise equally fast everywhere?":
        lambda x, mean, std: torch.nn.functional.normalize(mean - x),
}  # fmt: skip


def _mixtures(trial):
    sizes = ((2, 2, 0.6), (3, 1, 1.2), (4, 3, 0.7), (2, 3, 1.1))
    for (n_components, dim, std), dtype in in_both_precisions(sizes):
        std = std + trial.uniform(-0.08, 0.08)
        weights = torch.tensor([1.0, 2.5, 0.7, 1.6], dtype=dtype)[:n_components]
        weights = weights / weights.sum()
        means = 1.5 * trial.randn(n_components, dim, dtype=dtype)
        x = 1.5 * trial.randn(7, dim, dtype=dtype)
        yield x, weights, means, std


def _far_mixtures(trial):
    for _, weights, means, std in _mixtures(trial):
        yield _far(trial, means), weights, means, std


def _far(trial, centres):
    """7 points some 57 from the first two centres, (N, D), where naive exponentials are all zero.

    Where D > 1, three of the points are equally far from both.
    """
    axis = (centres[1] - centres[0]).double()
    axis = axis / axis.norm()
    direction = trial.randn(7, len(axis))
    if len(axis) > 1:
        direction[:3] -= (direction[:3] @ axis)[:, None] * axis
    far = trial.uniform(54, 60) * direction / direction.norm(dim=1, keepdim=True)
    return (centres[:2].double().mean(dim=0) + far).to(centres.dtype)


@exercise("1.5", minutes=15, cases={"your answer": _mixtures, "far from the modes your answer": _far_mixtures})
def mixture_score(x, weights, means, std):
    """`mixture_score(x, weights, means, std)`: ∇ log p of the mixture Σ_k π_k N(μ_k, std² I), § 3.2.

    x is (B, D), weights (K,), means (K, D), std a float; the score has x's shape, and must be right far from the modes
    too.
    """
    offsets = means - x[:, None]  # μ_k − x: (B, K, D)
    exponents = weights.log() - offsets.square().sum(dim=2) / (2 * std**2)
    responsibility = torch.softmax(exponents, dim=1)  # r_k(x): (B, K)
    return (responsibility[:, :, None] * offsets).sum(dim=1) / std**2


def _pulled(x, centres, weights, variance):
    """Σ_k w_k (μ_k − x)/v, (B, D), of weights (B, K)."""
    return (weights[:, :, None] * (centres - x[:, None])).sum(dim=1) / variance


def _squares(x, centres):
    """‖x − μ_k‖², (B, K)."""
    return (centres - x[:, None]).square().sum(dim=2)


def _weighted(weigh):
    """A mistake in the responsibilities: `weigh(weights, squares, variance)`, (B, K)."""
    return lambda x, weights, means, std: _pulled(x, means, weigh(weights, _squares(x, means), std**2), std**2)


def _with_powers(pulls, exponents, factor=2):
    """A mistake in the power of std that divides the pulls, or in the factor or the power in the exponents."""

    def mistaken(x, weights, means, std):
        exponent = weights.log() - _squares(x, means) / (factor * std**exponents)
        return _pulled(x, means, exponent.softmax(dim=1), std**pulls)

    return mistaken


def _joint(weights, squares, variance):
    """π_k times the unnormalised density of each component, by naive exponentials."""
    return weights * torch.exp(-squares / (2 * variance))


def _of_nearest(squares):
    """1 for the nearest centre, 0 for the others."""
    nearest = squares.amin(dim=1, keepdim=True)
    return (squares == nearest).to(squares.dtype)


def _naive(weights, squares, variance, floor=0.0):
    joint = _joint(weights, squares, variance)
    return joint / (joint.sum(dim=1, keepdim=True) + floor)


def _density_gradient(x, weights, means, std):
    return _pulled(x, means, _joint(weights, _squares(x, means), std**2), std**2)


def _not_finite_far(answer, right):
    return right.norm(dim=-1).max() > FAR and not answer.isfinite().all()


def _zero_far(answer, right):
    return ((answer == 0).all(dim=-1) & (right.norm(dim=-1) > FAR)).any()


mixture_score.mistakes = {
    "right near the modes, NaN or infinite far from them: what is exp(−1500) on a computer, and what do you "
    "divide by it?":
        Sign(_not_finite_far, _weighted(_naive)),
    "right near the modes, but zero at some points far from them: what is exp(−1500) on a computer?":
        Sign(_zero_far, _weighted(partial(_naive, floor=1e-30))),
    "a small number is added to the sum of weights: far from the modes only this number is left":
        tuple(_weighted(partial(_naive, floor=floor)) for floor in (1e-12, 1e-10, 1e-8, 1e-6)),
    "std is lost: this is right for components of standard deviation 1 only":
        _with_powers(0, 0),
    "std is in the responsibilities only: should a narrow component not pull harder?":
        _with_powers(0, 2),
    "std is in the pulls only: does it not say, too, how probable a component is at the point?":
        _with_powers(2, 0),
    "std stands where the variance belongs: in the pulls, in the responsibilities, or in both":
        (_with_powers(1, 1), _with_powers(1, 2), _with_powers(2, 1)),
    "the exponent in the responsibilities lacks its ½":
        _with_powers(2, 2, factor=1),
    "the distances in the exponent are not squared":
        _weighted(lambda weights, squares, variance: (weights.log() - squares.sqrt() / (2 * variance)).softmax(dim=1)),
    "the weights are lost":
        _weighted(lambda weights, squares, variance: (-squares / (2 * variance)).softmax(dim=1)),
    "the weights multiply what adds up to 1 already: divide by the new sum, or put log π into the exponent":
        _weighted(lambda weights, squares, variance: weights * (-squares / (2 * variance)).softmax(dim=1)),
    "the weights count twice: they are in the responsibilities already":
        _weighted(lambda weights, squares, variance: (2 * weights.log() - squares / (2 * variance)).softmax(dim=1)),
    "the weights enter an exponent as they are: exp of what gives π?":
        _weighted(lambda weights, squares, variance: (weights - squares / (2 * variance)).softmax(dim=1)),
    "each mean pulls with its weight π: how probable is a component, once you know the point?":
        _weighted(lambda weights, squares, variance: weights.expand_as(squares)),
    "the pulls are added without any weights":
        _weighted(lambda weights, squares, variance: torch.ones_like(squares)),
    "only the nearest mean pulls: the others count too, by their responsibility":
        _weighted(lambda weights, squares, variance: _of_nearest(squares)),
    "the responsibilities sum to 1 over the points: they should do so over the components":
        _weighted(lambda weights, squares, variance: (weights.log() - squares / (2 * variance)).softmax(dim=0)),
    "this is the gradient of the density: what is the gradient of a logarithm?": (
        _density_gradient,
        lambda x, weights, means, std: (
            _density_gradient(x, weights, means, std) / (2 * math.pi * std**2) ** (x.shape[1] / 2)
        ),
    ),
}  # fmt: skip


def _ways(trial):
    for dim, dtype in in_both_precisions((2, 5, 1)):
        means = 1.5 * trial.randn(3, dim)
        weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
        target = MixtureField(weights, means, 1 + trial.rand(3))
        a = trial.randn(dim, dtype=dtype)
        way = trial.randn(dim, dtype=dtype)
        b = a + trial.uniform(2.5, 3.5) * way / way.norm()
        yield target, a, b


@exercise("1.4", minutes=10, cases=_ways, within=lambda right, tolerance: ALLOWED)
def log_ratio(score, a, b):
    """`log_ratio(score, a, b)`: log p(b) − log p(a) to within 0.001, from the score alone.

    a and b are (D,); the score takes points (B, D). The answer is one number.
    """
    return torch.trapezoid(score(_path(a, b)) @ (b - a), dx=1 / 500)


def _path(a, b, n=501):
    """Points from a to b, (n, D)."""
    return a + torch.linspace(0, 1, n, dtype=a.dtype)[:, None] * (b - a)


def _mean_length(score, a, b):
    return score(_path(a, b)).norm(dim=1).mean()


def _at(share):
    """One step with the score at a point between a and b."""

    def mistaken(score, a, b):
        point = a + share * (b - a)
        return score(point[None])[0] @ (b - a)

    return mistaken


log_ratio.mistakes = {
    "the score is taken at one or two points, but it changes all along the way": (
        *(_at(0.0), _at(1.0), _at(0.5), lambda score, a, b: (_at(0.0)(score, a, b) + _at(1.0)(score, a, b)) / 2),
        lambda score, a, b: _at(1.0)(score, a, b) - _at(0.0)(score, a, b),
    ),
    "the length of the score is summed up: which part of it changes log p along the way?": (
        lambda score, a, b: _mean_length(score, a, b) * (b - a).norm(),
        _mean_length,
    ),
    "off by the distance between the points: how long is each of your steps?": (
        lambda score, a, b: log_ratio.right(score, a, b) / (b - a).norm(),
        lambda score, a, b: log_ratio.right(score, a, b) * (b - a).norm(),
    ),
    "the components of the score are summed up as they are: where is the direction of the way?":
        lambda score, a, b: score(_path(a, b, 2_001)).mean(dim=0).sum(),
    "this is the ratio; its logarithm is asked for":
        lambda *case: log_ratio.right(*case).exp(),
    f"close, but off by more than {ALLOWED:g}: use more points, or a rule that counts both ends of a step": Sign(
        lambda answer, right: (answer - right).abs() < 0.05 * right.abs().clamp(min=1),
        lambda score, a, b: (score(_path(a, b, 101)[:-1]) @ (b - a)).mean(),
    ),
    "far too large: is each summand multiplied by the length of its step?": Sign(
        lambda answer, right: answer.isfinite() and answer.abs() > 8 * right.abs(),
        lambda score, a, b: (score(_path(a, b)) @ (b - a)).sum(),
    ),
}  # fmt: skip


def _neighbourhoods(trial):
    for (n_noisy, n_data, dim), dtype in in_both_precisions(((6, 4, 2), (5, 7, 1), (4, 4, 3))):
        data = 1.2 * trial.randn(n_data, dim, dtype=dtype)
        x_noisy = 1.2 * trial.randn(n_noisy, dim, dtype=dtype)
        yield x_noisy, data, trial.uniform(0.6, 0.8)


def _far_neighbourhoods(trial):
    for _, data, sigma in _neighbourhoods(trial):
        yield _far(trial, data), data, sigma


@exercise(
    "1.2", minutes=10, cases={"your answer": _neighbourhoods, "far from the data your answer": _far_neighbourhoods}
)
def mean_arrow(x_noisy, data, sigma):
    """`mean_arrow(x_noisy, data, sigma)`: the mean of (x − x̃)/σ² over the possible origins x of each x̃.

    x_noisy is (B, D), data (N, D), sigma a float; the result has x_noisy's shape, and must be right far from the data
    too.
    """
    arrows = data - x_noisy[:, None]  # to each candidate: (B, N, D)
    posterior = torch.softmax(-arrows.square().sum(dim=2) / (2 * sigma**2), dim=1)  # p(x | x̃): (B, N)
    return (posterior[:, :, None] * arrows).sum(dim=1) / sigma**2


def weight_mistakes(noisy, origins):
    """Mistakes in the weights (B, N) of N origins, at squared distances (B, N) of B noisy points, and σ."""
    return {
        "the ½ is missing: a Gaussian's exponent is −‖x̃ − x‖²/(2σ²)":
            lambda squares, sigma: (-squares / sigma**2).softmax(dim=1),
        "the exponent holds 2σ where 2σ² belongs":
            lambda squares, sigma: (-squares / (2 * sigma)).softmax(dim=1),
        f"σ is not in the weights: the less noise there is, the more the nearest {origins} count":
            lambda squares, sigma: (-squares / 2).softmax(dim=1),
        "the distances in the exponent are not squared":
            lambda squares, sigma: (-squares.sqrt() / (2 * sigma**2)).softmax(dim=1),
        f"the farthest {origins} count most: is a minus sign missing?":
            lambda squares, sigma: (squares / (2 * sigma**2)).softmax(dim=1),
        f"the weights add up to 1 over {noisy}: they should do so over the {origins}":
            lambda squares, sigma: (-squares / (2 * sigma**2)).softmax(dim=0),
        "the weights do not add up to 1":
            lambda squares, sigma: (-squares / (2 * sigma**2)).exp(),
        f"only the nearest of the {origins} counts: the others do too, by how well they fit":
            lambda squares, sigma: _of_nearest(squares),
        f"all {origins} count alike: a near one is a likelier origin":
            lambda squares, sigma: torch.full_like(squares, 1 / squares.shape[1]),
    }  # fmt: skip


def _weighing(weigh):
    """The mean arrow by other weights, `weigh(squares, sigma)`."""
    return lambda x, data, sigma: _pulled(x, data, weigh(_squares(x, data), sigma), sigma**2)


def _times_sigma(power):
    return lambda x, data, sigma: sigma**power * mean_arrow.right(x, data, sigma)


def _naive_weights(squares, sigma, floor=0.0):
    return _naive(1.0, squares, sigma**2, floor)


mean_arrow.mistakes = {
    "right near the data, NaN or infinite far from them: what is exp(−1500) on a computer, and what do you "
    "divide by it?":
        Sign(_not_finite_far, _weighing(_naive_weights)),
    "right near the data, but zero at some points far from them: what is exp(−1500) on a computer?":
        Sign(_zero_far, _weighing(lambda *parts: _naive_weights(*parts, floor=1e-30))),
    "the exponents are cut off below: far from the data all candidates then count alike":
        _weighing(lambda squares, sigma: (-squares / (2 * sigma**2)).clamp(min=-80).softmax(dim=1)),
    "off by a power of σ: the mean arrow is divided by σ², once":
        tuple(_times_sigma(power) for power in (1, 2, 4)),
    "σ stands where the variance σ² belongs, in the exponent and in the division":
        lambda x, data, sigma: _pulled(x, data, (-_squares(x, data) / (2 * sigma)).softmax(dim=1), sigma),
    "the squared differences are averaged over the coordinates: every coordinate adds to the evidence":
        lambda x, data, sigma: _pulled(
            x, data, (-_squares(x, data) / (2 * sigma**2 * x.shape[1])).softmax(dim=1), sigma**2
        ),
    "the weighted arrows are averaged over the candidates: they are added up, for the weights add up to 1":
        lambda x, data, sigma: mean_arrow.right(x, data, sigma) / len(data),
    "this is the mean origin, or 1/σ² of it: the arrow to it, divided by σ², is asked for":
        tuple(lambda x, data, sigma, n=n: (x + _times_sigma(2)(x, data, sigma)) / sigma**n for n in (0, 2)),
    "the arrows are added: their mean is asked for":
        lambda x, data, sigma: (data - x[:, None]).sum(dim=1) / sigma**2,
} | {
    sentence: _weighing(weigh) for sentence, weigh in weight_mistakes("the noisy points", "candidates").items()
}  # fmt: skip
