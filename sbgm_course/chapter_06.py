"""Exercises of chapter 6: noise conditional score networks."""

from functools import partial
from typing import Any

import torch

from sbgm.guard import against
from sbgm_course.calls import Asked
from sbgm_course.chapter_02 import half_square
from sbgm_course.exercise import exercise, in_both_precisions

TINY = 1e-5  # of the norms


def _on_ladders(trial):
    for score, x, z in trial.batches((6, 3), (5, 1, 4, 4)):
        sigmas = 2.0 * trial.uniform(0.4, 0.6) ** torch.arange(4, dtype=x.dtype)
        yield score, x, sigmas, torch.randperm(len(x), generator=trial.generator) % 4, z


@exercise("6.1", minutes=15, cases=_on_ladders, gradients=True)
def ncsn_loss(score, x, sigmas, levels, z):
    """`ncsn_loss(score, x, sigmas, levels, z)`: the objective over a ladder (Eq. 5 and 6) with λ(σ) = σ².

    x and z are (B, *shape), sigmas is a descending tensor (L,), levels holds an index from 0 for every example, (B,),
    and the score takes (x, σ) with σ of shape (B,). The loss is one number, averaged over the batch, and must be
    differentiable by the score's parameters.
    """
    sigma = sigmas[levels]
    each = sigma.reshape(-1, *[1] * (x.ndim - 1))  # broadcasts against x
    residual = each * score(x + each * z, sigma) + z
    return 0.5 * residual.flatten(1).square().sum(dim=1).mean()


def _ncsn_with(
    *,
    power=1.0,
    noise=1,
    target=-1,
    at=lambda x, noisy: noisy,
    told=lambda sigma, levels: sigma,
    mean_weight=None,
):
    """The objective with a mistake.

    Args:
        power: of σ in the root of the weight.
        noise: the power of σ that multiplies z in x̃.
        target: the power of σ that multiplies −z.
        at: the point at which the score is taken, x or x̃.
        told: what the score is told.
        mean_weight: of the ladder's variances (L,) and of each example's, (B,); it multiplies the mean of the losses.
    """

    def mistaken(score, x, sigmas, levels, z):
        sigma = against(sigmas[levels], x)
        noisy = x + sigma**noise * z
        residual = score(at(x, noisy), told(sigma, levels)) + sigma**target * z
        loss = half_square(sigma**power * residual).mean()
        if mean_weight:
            loss = mean_weight(sigmas**2, sigmas[levels] ** 2).mean() * loss
        return loss

    return mistaken


ncsn_loss.mistakes = {
    "the levels are not weighted: where is λ?": _ncsn_with(power=0),
    "the weight is another power of σ: λ(σ) = σ², once": tuple(_ncsn_with(power=power) for power in (0.5, 2, -1)),
    "λ is averaged over the examples or over the ladder: each example's loss has its own weight": (
        _ncsn_with(power=0, mean_weight=lambda ladder, examples: examples),
        _ncsn_with(power=0, mean_weight=lambda ladder, examples: ladder),
    ),
    "the target has the wrong sign: which way from x̃ are the data?":
        lambda score, x, *rest: ncsn_loss.right(lambda x, sigma: -score(x, sigma), x, *rest),
    "the target is off by a power of σ: x̃ − x is σz, and it is divided by σ²":
        (_ncsn_with(target=-2), _ncsn_with(target=0)),
    "the score is taken at the clean x: it has to be trained where the noise puts the points":
        _ncsn_with(at=lambda x, noisy: x),
    "x̃ is x + σz: the noise is scaled by σ, its standard deviation":
        (_ncsn_with(noise=2), _ncsn_with(noise=0)),
    "the score is told the level's index: which is its second argument?":
        _ncsn_with(told=lambda sigma, levels: levels.to(sigma.dtype)),
    "divided by the number of levels, too: one level an example is already a mean over them":
        lambda score, x, sigmas, *rest: ncsn_loss.right(score, x, sigmas, *rest) / len(sigmas),
    "the ladder is read from its wrong end: which σ has index 0?":
        lambda score, x, sigmas, levels, z: ncsn_loss.right(score, x, sigmas.flip(0), levels, z),
    "off by one level: indices begin at 0":
        lambda score, x, sigmas, levels, z: ncsn_loss.right(score, x, sigmas, levels - 1, z),
    "all examples have the level of the first one":
        lambda score, x, sigmas, levels, z: ncsn_loss.right(score, x, sigmas, levels[:1].expand(len(x)), z),
}  # fmt: skip


def _maps(trial):
    for shape, dtype in in_both_precisions(((2, 3, 4, 4), (3, 5, 2, 3))):
        places = shape[2] * shape[3]
        yield tuple(trial.randn(*size, dtype=dtype) for size in (shape, (places, places), (places,)))


@exercise("6.2", minutes=10, cases=_maps, gradients=True)
def look_far(h, weight, bias):
    """`look_far(h, weight, bias)`: at every place a weighted sum over all places, Σ_q W_pq h_q + b_p, in each channel.

    h is (B, C, H, W), and its P = H·W places are numbered row by row; weight is (P, P), bias (P,). The result has h's
    shape and is differentiable.
    """
    return (h.flatten(2) @ weight.T + bias).reshape(h.shape)


def _by_columns(h, weight, bias):
    turned = look_far.right(h.mT.contiguous(), weight, bias)
    return turned.mT


look_far.mistakes = {
    "the matrix meets h from the wrong side: which index of W is summed over, p or q?":
        lambda h, weight, bias: look_far.right(h, weight.T, bias),
    "where is the bias b_p?": lambda h, weight, bias: look_far.right(h, weight, 0 * bias),
    "the bias has the wrong sign": lambda h, weight, bias: look_far.right(h, weight, -bias),
    "h itself is added: what is new is asked for, the block adds it to h later":
        lambda h, weight, bias: look_far.right(h, weight, bias) + h,
    "the places are numbered column by column: flatten(2) numbers them row by row": _by_columns,
    "the sum over the places is divided by their number: it is a weighted sum, no mean":
        lambda h, weight, bias: look_far.right(h, weight / len(bias), bias),
    "the bias is multiplied by W as well: it is added after the sum":
        lambda h, weight, bias: look_far.right(h + bias.reshape(h.shape[2:]), weight, 0 * bias),
    "each place sees itself only: where is the sum over q?":
        lambda h, weight, bias: look_far.right(h, weight.diagonal().diag(), bias),
    "each place has the sum of W's row: where is h_q?":
        lambda h, weight, bias: look_far.right(torch.ones_like(h), weight, bias),
    "the channels are mixed: each channel has a sum of its own":
        (
            lambda h, weight, bias: look_far.right(h.mean(dim=1, keepdim=True).expand_as(h), weight, bias),
            lambda h, weight, bias: look_far.right(h.sum(dim=1, keepdim=True).expand_as(h), weight, bias),
        ),
    "the images of the batch are mixed: each image has a sum of its own":
        lambda h, weight, bias: look_far.right(h.mean(dim=0, keepdim=True).expand_as(h), weight, bias),
}  # fmt: skip


def _between_levels(trial):
    for score, x, z in trial.batches((5, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.6, 0.9)
        yield score, x, sigma, sigma * trial.uniform(0.4, 0.8), z


@exercise("6.3", minutes=10, cases=_between_levels)
def renewed(score, x, sigma, next_sigma, z):
    """`renewed(score, x, sigma, next_sigma, z)`: a clean image guessed by Tweedie's formula, and noise of the next σ.

    x and z are (B, *shape), both σ are floats, and the score takes (x, σ). The result is x + σ² s(x, σ) + σ' z.
    """
    return x + sigma**2 * score(x, sigma) + next_sigma * z


def _renewed_with(*, start=1.0, factor=1.0, power=2, of=0, told=0, kick=lambda sigma, after: after):
    """The step start · x + factor · σ^power s + kick · z.

    Where `of` is 1, the next level's σ is raised to the power; where `told` is 1, it is told to the score.
    """

    def mistaken(score, x, sigma, after, z):
        levels = (sigma, after)
        return start * x + factor * levels[of] ** power * score(x, levels[told]) + kick(sigma, after) * z

    return mistaken


renewed.mistakes = {
    "no noise is added: what does the next level expect to find?": _renewed_with(kick=lambda sigma, after: 0.0),
    "the noise is not scaled: its size is that of the next level": _renewed_with(kick=lambda sigma, after: 1.0),
    "the noise has the size of the old level: the chain would stay there":
        _renewed_with(kick=lambda sigma, after: sigma),
    "the noise is scaled by a variance: σ' is a standard deviation": _renewed_with(kick=lambda sigma, after: after**2),
    "the noise is a difference of levels: the guess has no noise, so that all of it is new":
        _renewed_with(kick=lambda sigma, after: (sigma**2 - after**2) ** 0.5),
    "the noise is subtracted": _renewed_with(kick=lambda sigma, after: -after),
    "the noise is added before the score is asked: guess first, from the x that came in":
        lambda score, x, sigma, after, z: renewed.right(score, x + after * z, sigma, 0.0, z),
    "the noise is added to x: the guess is lost": _renewed_with(factor=0.0),
    "the step has the wrong sign: does the score point to the data, or away from them?":
        _renewed_with(factor=-1.0),
    "x is lost: Tweedie's formula has two terms": _renewed_with(start=0.0),
    "the score is multiplied by another power of σ: what does Tweedie's formula say?":
        tuple(_renewed_with(power=power) for power in (1, 0, -2)),
    "off by a factor 2: Tweedie's formula has no ½; a Langevin step has one": _renewed_with(factor=0.5),
    "only the difference of the variances is taken off: here the guess has no noise, and all of it is new":
        lambda score, x, sigma, after, z: x + (sigma**2 - after**2) * score(x, sigma) + after * z,
    "the score, or its factor, is that of the next level: which noise does x have?":
        (_renewed_with(told=1), _renewed_with(of=1), _renewed_with(of=1, told=1)),
    "the two levels are interchanged": _renewed_with(of=1, told=1, kick=lambda sigma, after: sigma),
    "this is a Langevin step: here the whole way is gone to the guess":
        _renewed_with(factor=0.5, kick=lambda sigma, after: sigma),
}  # fmt: skip


def _labelled(trial):
    for network, x, _ in trial.batches((6, 2), (4, 1, 3, 3)):
        label = torch.randperm(10, generator=trial.generator)[: len(x)]
        levels = torch.tensor([trial.uniform(1, 2), trial.uniform(0.3, 0.6)], dtype=torch.float64)
        for w in (trial.uniform(2, 4), trial.uniform(0.2, 0.8)):
            yield network, label, w, Asked(x, levels)


@exercise("6.4", minutes=10, cases=_labelled)
def guided(network, label, w):
    """`guided(network, label, w)`: the score s(x, σ) + w (s(x, σ, c) − s(x, σ)), a function of x and σ.

    network(x, σ) is the score of all classes, network(x, σ, label) that of the classes in label, (B,); w is a float.
    """

    def score(x, sigma):
        of_any = network(x, sigma)
        of_class = network(x, sigma, label)
        return of_any + w * (of_class - of_any)

    return score


def _combined(combine):
    """A score that combines those of any class, of the class, and w in another way."""
    return lambda network, label, w: lambda x, sigma: combine(network(x, sigma), network(x, sigma, label), w)


guided.mistakes = {
    "this is the other convention, (1 + w) s_c − w s, in which w = 0 is the class's own score":
        _combined(lambda s, c, w: c + w * (c - s)),
    "the difference has the wrong sign: it should lead from all classes to the one":
        _combined(lambda s, c, w: s - w * (c - s)),
    "the two scores are interchanged: w = 0 is to be no guidance": _combined(lambda s, c, w: c + w * (s - c)),
    "the class's score is added whole: what do both scores have in common?": _combined(lambda s, c, w: s + w * c),
    "this is the difference alone: to what is it added?": _combined(lambda s, c, w: w * (c - s)),
    "this is the class's score, w = 1, whatever the weight": _combined(lambda s, c, w: c),
    "this is the score without guidance, w = 0, whatever the weight": _combined(lambda s, c, w: s),
    "the weight is used as its square": _combined(lambda s, c, w: s + w**2 * (c - s)),
    "the class's score is multiplied by w, and nothing else happens": _combined(lambda s, c, w: w * c),
    "the two scores are averaged: where is w?": _combined(lambda s, c, w: (s + c) / 2),
    "all images have the first one's label: each has its own":
        lambda network, label, w: guided.right(network, label[:1], w),
}  # fmt: skip


def _between_greys(trial):
    for shape, dtype in in_both_precisions(((6, 20), (3, 1, 5, 5))):
        greys = (17 * trial.rand(*shape, dtype=dtype)).floor() / 16
        sigma = trial.uniform(0.1, 0.2)  # such that a pixel may leave its grey, and [0, 1]
        yield greys + sigma * trial.randn(*shape, dtype=dtype), sigma


@exercise("6.5", minutes=15, cases=_between_greys)
def rounding(x, sigma):
    """`rounding(x, sigma)`: the score whose guess at the clean image rounds each pixel to the nearest of k/16.

    x is (B, *shape), σ a float. k is 0 … 16; the result, (guess − x)/σ², has x's shape and dtype.
    """
    guess = (16 * x).round().clamp(0, 16) / 16
    return (guess - x) / sigma**2


def _guessing(guess, power=2):
    """The score of another guess, or divided by another power of σ."""
    return lambda x, sigma: (guess(x) - x) / sigma**power


def _nearest_grey(x):
    return (16 * x).round().clamp(0, 16) / 16


rounding.mistakes = {
    "this is the guess: which score leads there, by Tweedie's formula?": lambda x, sigma: _nearest_grey(x),
    "the way to the guess is divided by another power of σ: Tweedie's formula has σ²":
        tuple(_guessing(_nearest_grey, power) for power in (0, 1, -2)),
    "below 0 and above 1 there are no greys: there the nearest is 0 or 1":
        _guessing(lambda x: (16 * x).round() / 16),
    "the greys are k/16, with k from 0 to 16": (
        _guessing(lambda x: x.round().clamp(0, 1)),
        _guessing(lambda x: (16 * x).round().clamp(0, 15) / 16),
        _guessing(lambda x: (17 * x).round().clamp(0, 17) / 17),
    ),
    "a pixel goes to the grey below or above it: it goes to the nearest": (
        _guessing(lambda x: (16 * x).floor().clamp(0, 16) / 16),
        _guessing(lambda x: (16 * x).ceil().clamp(0, 16) / 16),
    ),
    "the noise is rounded to nothing: this has no way from x to its grey": lambda x, sigma: _nearest_grey(x) / sigma**2,
}  # fmt: skip


def _features(trial):
    for (shape, size), dtype in in_both_precisions(
        (((3, 4, 5, 6), 1.0), ((2, 3, 4, 4), 1.0), ((3, 5, 4, 6), 0.004))  # at last, as small as √ε
    ):
        offsets = 0.7 * trial.randn(*shape[:2], 1, 1, dtype=dtype)
        spread = 0.5 + trial.rand(*shape[:2], 1, 1, dtype=dtype)
        x = size * (offsets + spread * trial.randn(*shape, dtype=dtype))
        yield x, *(1 + 0.5 * trial.randn(*shape[:2], dtype=dtype) for _ in range(3))


@exercise("6.6", minutes=15, cases=_features, gradients=True)
def instance_norm_plus(x, gamma, alpha, beta):
    """`instance_norm_plus(x, gamma, alpha, beta)`: conditional instance normalisation++ (Appendix A), γ (x̂ + α μ̂) + β.

    x is (B, C, H, W), the three parameters of its levels are (B, C); the result has x's shape and is differentiable.
    """
    mu = x.mean(dim=(2, 3))
    mu_hat = (mu - mu.mean(dim=1, keepdim=True)) / (mu.var(dim=1, keepdim=True) + TINY).sqrt()
    x_hat = torch.nn.functional.instance_norm(x, eps=TINY)
    gamma, alpha, beta, mu_hat = (p[:, :, None, None] for p in (gamma, alpha, beta, mu_hat))
    return gamma * (x_hat + alpha * mu_hat) + beta


def _root(variance):
    return (variance + TINY).sqrt()


def _standard(v, dims, *, correction=0, spread=_root, centred=True):
    """v without its mean over `dims`, divided by its spread."""
    middle = v.mean(dim=dims, keepdim=True)
    apart = v - middle if centred else v
    return apart / spread(v.var(dim=dims, keepdim=True, correction=correction))


_of_pixels = partial(_standard, dims=(2, 3))
_of_channels = partial(_standard, dims=1, correction=1)


def _norm_with(
    *,
    x_hat=_of_pixels,
    mu_hat: Any = _of_channels,
    combined=lambda x_hat, mu_hat, gamma, alpha, beta: gamma * (x_hat + alpha * mu_hat) + beta,
):
    """The norm with another x̂ of x, another μ̂ of the means (B, C, 1, 1), or other parameters."""

    def mistaken(x, *parameters):
        mu = x.mean(dim=(2, 3), keepdim=True)
        return combined(x_hat(x), mu_hat(mu), *(p[:, :, None, None] for p in parameters))

    return mistaken


def _variance(variance):
    return variance + TINY


def _after_the_root(variance):
    return variance.sqrt() + TINY


instance_norm_plus.mistakes = {
    "the means are not added back: where are α and μ̂?":
        _norm_with(combined=lambda x_hat, mu_hat, gamma, alpha, beta: gamma * x_hat + beta),
    "this is the paper's form; here γ multiplies both":
        _norm_with(combined=lambda x_hat, mu_hat, gamma, alpha, beta: gamma * x_hat + alpha * mu_hat + beta),
    "γ multiplies β as well":
        _norm_with(combined=lambda x_hat, mu_hat, gamma, alpha, beta: gamma * (x_hat + alpha * mu_hat + beta)),
    "β is lost": lambda x, gamma, alpha, beta: instance_norm_plus.right(x, gamma, alpha, 0 * beta),
    "γ is lost": lambda x, gamma, alpha, beta: instance_norm_plus.right(x, 0 * gamma + 1, alpha, beta),
    "α is lost": lambda x, gamma, alpha, beta: instance_norm_plus.right(x, gamma, 0 * alpha + 1, beta),
    "α and γ are interchanged": lambda x, gamma, alpha, beta: instance_norm_plus.right(x, alpha, gamma, beta),
    "μ̂ is subtracted: it gives the means back":
        lambda x, gamma, alpha, beta: instance_norm_plus.right(x, gamma, -alpha, beta),
    "the means are added back as they are: they have to be normalised, too": _norm_with(mu_hat=lambda mu: mu),
    "the means are added back without being divided by their spread":
        _norm_with(mu_hat=partial(_of_channels, spread=torch.ones_like)),
    "the means are divided by their spread, but not centred": _norm_with(mu_hat=partial(_of_channels, centred=False)),
    "the variance over the channels: is it divided by C or by C − 1?":
        _norm_with(mu_hat=partial(_of_channels, correction=0)),
    "the variance over the pixels: is it divided by H·W or by H·W − 1? Instance norm has the former":
        _norm_with(x_hat=partial(_of_pixels, correction=1)),
    "both variances have the wrong divisor: which of them is unbiased?":
        _norm_with(x_hat=partial(_of_pixels, correction=1), mu_hat=partial(_of_channels, correction=0)),
    "the means are normalised over the batch too: an image's channels are compared with one another":
        (_norm_with(mu_hat=partial(_of_channels, dims=0)), _norm_with(mu_hat=partial(_of_channels, dims=(0, 1)))),
    "x is normalised over its channels or over the batch too: each channel of each image has its own mean":
        (_norm_with(x_hat=partial(_of_pixels, dims=(1, 2, 3))), _norm_with(x_hat=partial(_of_pixels, dims=(0, 2, 3)))),
    "x is not centred": _norm_with(x_hat=partial(_of_pixels, centred=False)),
    "divided by a variance: is that a standard deviation?": (
        _norm_with(x_hat=partial(_of_pixels, spread=_variance)),
        _norm_with(mu_hat=partial(_of_channels, spread=_variance)),
    ),
    "10⁻⁵ is lost, or far too small: it matters where x hardly varies": (
        _norm_with(x_hat=partial(_of_pixels, spread=torch.sqrt), mu_hat=partial(_of_channels, spread=torch.sqrt)),
        _norm_with(x_hat=partial(_of_pixels, spread=torch.sqrt)),
        _norm_with(mu_hat=partial(_of_channels, spread=torch.sqrt)),
    ),
    "10⁻⁵ is added to a standard deviation: is it added before the root, or after?": (
        _norm_with(
        x_hat=partial(_of_pixels, spread=_after_the_root),
        mu_hat=partial(_of_channels, spread=_after_the_root),
    ),
        _norm_with(x_hat=partial(_of_pixels, spread=_after_the_root)),
        _norm_with(mu_hat=partial(_of_channels, spread=_after_the_root)),
    ),
}  # fmt: skip
