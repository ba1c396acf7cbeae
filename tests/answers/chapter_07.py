"""Answers to chapter 7's exercises."""

from functools import partial

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, Answers, noise


def column(sigma, x):
    """σ as one number an example, of x's dimensions."""
    return torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def denoised_one_by_one(score, x, sigma):
    sigmas = sigma if isinstance(sigma, torch.Tensor) else [sigma] * len(x)
    s = score(x, sigma)
    return torch.stack([x_i + s_i * float(sigma_i) ** 2 for x_i, s_i, sigma_i in zip(x, s, sigmas, strict=True)])


def denoised_from_the_last_axis(score, x, sigma):
    move = (score(x, sigma).movedim(0, -1) * sigma * sigma).movedim(-1, 0)
    return x + move


def denoised_noisily(score, x, sigma):
    return x + column(sigma, x) ** 2 * score(x, sigma) + column(sigma, x) * torch.randn_like(x)


def shake(
    score,
    x,
    sigma,
    pull,
    kick,
    generator,
    *,
    pulled=lambda x, guess, pull: x + pull * (guess - x),
    kicked=lambda z, sigma, kick: kick * sigma * z,
    draw=noise,
):
    """The step, with any part replaced."""
    guess = x + sigma**2 * score(x, sigma)
    return pulled(x, guess, pull) + kicked(draw(x, generator), sigma, kick)


def shake_along_the_score(score, x, sigma, pull, kick, generator):
    return x + pull * sigma * sigma * score(x, sigma) + sigma * (kick * noise(x, generator))


def shake_between(score, x, sigma, pull, kick, generator):
    guess = denoised_one_by_one(score, x, sigma)
    return torch.normal(torch.lerp(x, guess, pull), kick * sigma, generator=generator)


def shake_in_place(score, x, sigma, pull, kick, generator):
    x += pull * sigma**2 * score(x, sigma) + kick * sigma * noise(x, generator)
    return x


def shake_before_asking(score, x, sigma, pull, kick, generator):
    return shake(score, x + kick * sigma * noise(x, generator), sigma, pull, 0.0, generator)


def fit_of(x, data, sigma):
    """−‖x̃ − x_i‖²/(2σ²), (B, N)."""
    return -(x.flatten(1)[:, None] - data.flatten(1)).square().sum(dim=2) / (2 * sigma**2)


def weighted(weights, data):
    return (weights @ data.flatten(1)).view(-1, *data.shape[1:])


def best_guess_one_by_one(x, data, sigma):
    guesses = []
    for one in x:
        exponents = torch.stack([-(one - image).pow(2).sum() / (2 * sigma * sigma) for image in data])
        weights = torch.exp(exponents - exponents.max())
        guesses.append(sum(w * image for w, image in zip(weights / weights.sum(), data, strict=True)))
    return torch.stack(guesses)


def best_guess_by_exponents(x, data, sigma):
    fit = fit_of(x, data, sigma)
    return weighted((fit - fit.logsumexp(dim=1, keepdim=True)).exp(), data)


def best_guess_by_expansion(x, data, sigma):
    q, d = x.flatten(1), data.flatten(1)
    squared = q.square().sum(1)[:, None] + d.square().sum(1) - 2 * q @ d.T
    return weighted((-squared / (2 * sigma**2)).softmax(dim=1), data)


def best_guess_with_a_floor(x, data, sigma):
    weights = fit_of(x, data, sigma).exp() + 1e-12
    return weighted(weights / weights.sum(dim=1, keepdim=True), data)


def nearest_one_by_one(queries, data):
    found = [min(range(len(data)), key=lambda i: float((query - data[i]).pow(2).sum())) for query in queries]
    return torch.tensor(found)


def nearest_by_expansion(queries, data):
    q, d = queries.flatten(1), data.flatten(1)
    return (q.square().sum(1)[:, None] + d.square().sum(1) - 2 * q @ d.T).topk(1, largest=False).indices[:, 0]


def distances(queries, data, p=2.0):
    return torch.cdist(queries.flatten(1), data.flatten(1), p=p)


def unit(x):
    return torch.nn.functional.normalize(x.flatten(1), dim=1)


ANSWERS = {
    "denoised": Answers(
        right={
            "σ reshaped": lambda score, x, sigma: x + column(sigma, x) ** 2 * score(x, sigma),
            "example by example": denoised_one_by_one,
            "batch moved to the last axis": denoised_from_the_last_axis,
        },
        wrong={
            "σ for σ²": lambda score, x, sigma: x + column(sigma, x) * score(x, sigma),
            "sign": lambda score, x, sigma: x - column(sigma, x) ** 2 * score(x, sigma),
            "½ of a Langevin step": lambda score, x, sigma: x + column(sigma, x) ** 2 / 2 * score(x, sigma),
            "x forgotten": lambda score, x, sigma: column(sigma, x) ** 2 * score(x, sigma),
            "not scaled": lambda score, x, sigma: x + score(x, sigma),
            "σ⁴": lambda score, x, sigma: x + column(sigma, x) ** 4 * score(x, sigma),
            "no σ for the score": lambda score, x, sigma: x + column(sigma, x) ** 2 * score(x),
            "σ not reshaped": lambda score, x, sigma: x + sigma**2 * score(x, sigma),
            "the mean of σ": lambda score, x, sigma: (
                x + torch.as_tensor(sigma, dtype=x.dtype).mean() ** 2 * score(x, sigma)
            ),
            "clamped": lambda score, x, sigma: denoised_one_by_one(score, x, sigma).clamp(0, 1),
            "with noise": denoised_noisily,
            "float64 whatever x": lambda score, x, sigma: denoised_one_by_one(score, x, sigma).double(),
        },
    ),
    "guess_and_shake": Answers(
        right={
            "guess, pull, kick": shake,
            "along the score": shake_along_the_score,
            "between x and the guess": shake_between,
        },
        wrong={
            "kick without σ": partial(shake, kicked=lambda z, sigma, kick: kick * z),
            "σ without kick": partial(shake, kicked=lambda z, sigma, kick: sigma * z),
            "√(kick σ)": partial(shake, kicked=lambda z, sigma, kick: (kick * sigma) ** 0.5 * z),
            "noise of variance 1": partial(shake, kicked=lambda z, sigma, kick: z),
            "kick σ²": partial(shake, kicked=lambda z, sigma, kick: kick * sigma**2 * z),
            "no kick": partial(shake, kicked=lambda z, sigma, kick: 0 * z),
            "all the way": partial(shake, pulled=lambda x, guess, pull: guess),
            "pull for 1 − pull": partial(shake, pulled=lambda x, guess, pull: pull * x + (1 - pull) * guess),
            "pull times the guess": partial(shake, pulled=lambda x, guess, pull: x + pull * guess),
            "x forgotten": partial(shake, pulled=lambda x, guess, pull: pull * guess),
            "away from the guess": partial(shake, pulled=lambda x, guess, pull: x - pull * (guess - x)),
            "½ once more": partial(shake, pulled=lambda x, guess, pull: x + pull / 2 * (guess - x)),
            "no pull": partial(shake, pulled=lambda x, guess, pull: x),
            "the score for the move": lambda score, x, sigma, pull, kick, generator: (
                x + pull * score(x, sigma) + kick * sigma * noise(x, generator)
            ),
            "σ for σ²": lambda score, x, sigma, pull, kick, generator: (
                x + pull * sigma * score(x, sigma) + kick * sigma * noise(x, generator)
            ),
            "no σ for the score": lambda score, x, sigma, pull, kick, generator: (
                x + pull * sigma**2 * score(x, 0.0) + kick * sigma * noise(x, generator)
            ),
            "noise before the guess": shake_before_asking,
            "noise even without a kick": lambda score, x, sigma, pull, kick, generator: shake(
                score, x, sigma, pull, kick or 0.7, generator
            ),
            "in place": shake_in_place,
            "float64 whatever x": lambda *a: shake(*a).double(),
        }
        | {how: partial(shake, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "best_guess": Answers(
        right={
            "softmax of cdist": lambda x, data, sigma: weighted(fit_of(x, data, sigma).softmax(dim=1), data),
            "one by one": best_guess_one_by_one,
            "largest exponent taken off": best_guess_by_exponents,
            "‖a‖² + ‖b‖² − 2 a·b": best_guess_by_expansion,
        },
        wrong={
            "½ missing": lambda x, data, sigma: weighted((2 * fit_of(x, data, sigma)).softmax(dim=1), data),
            "σ for σ²": lambda x, data, sigma: weighted((sigma * fit_of(x, data, sigma)).softmax(dim=1), data),
            "no σ": lambda x, data, sigma: weighted(fit_of(x, data, 1.0).softmax(dim=1), data),
            "not squared": lambda x, data, sigma: weighted(
                (-torch.cdist(x.flatten(1), data.flatten(1)) / (2 * sigma**2)).softmax(dim=1), data
            ),
            "mean over pixels": lambda x, data, sigma: weighted(
                (fit_of(x, data, sigma) / x[0].numel()).softmax(dim=1), data
            ),
            "sign": lambda x, data, sigma: weighted((-fit_of(x, data, sigma)).softmax(dim=1), data),
            "wrong axis": lambda x, data, sigma: weighted(fit_of(x, data, sigma).softmax(dim=0), data),
            "not normalised": lambda x, data, sigma: weighted(fit_of(x, data, sigma).exp(), data),
            "nearest alone": lambda x, data, sigma: data[fit_of(x, data, sigma).argmax(dim=1)],
            "plain mean": lambda x, data, sigma: data.mean(dim=0).expand_as(x).clone(),
            "score": lambda x, data, sigma: (best_guess_by_exponents(x, data, sigma) - x) / sigma**2,
            "the way": lambda x, data, sigma: best_guess_by_exponents(x, data, sigma) - x,
            "0/0 far away": lambda x, data, sigma: weighted(
                fit_of(x, data, sigma).exp() / fit_of(x, data, sigma).exp().sum(dim=1, keepdim=True), data
            ),
            "plain mean far away": best_guess_with_a_floor,
        },
    ),
    "nearest": Answers(
        right={
            "all differences at once": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).square().sum(dim=2).argmin(dim=1)
            ),
            "one by one": nearest_one_by_one,
            "‖a‖² + ‖b‖² − 2 a·b": nearest_by_expansion,
        },
        wrong={
            "farthest": lambda queries, data: distances(queries, data).argmax(dim=1),
            "wrong axis": lambda queries, data: distances(queries, data).argmin(dim=0),
            "wrong axis, from the differences": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).square().sum(dim=2).argmin(dim=0)
            ),
            "ℓ1": lambda queries, data: distances(queries, data, p=1.0).argmin(dim=1),
            "ℓ∞": lambda queries, data: distances(queries, data, p=float("inf")).argmin(dim=1),
            "cosine": lambda queries, data: (unit(queries) @ unit(data).T).argmax(dim=1),
            "inner product": lambda queries, data: (queries.flatten(1) @ data.flatten(1).T).argmax(dim=1),
            "smallest inner product": lambda queries, data: (queries.flatten(1) @ data.flatten(1).T).argmin(dim=1),
            "the 2 missing": lambda queries, data: (
                data.flatten(1).square().sum(dim=1) - queries.flatten(1) @ data.flatten(1).T
            ).argmin(dim=1),
            "signed differences": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).sum(dim=2).abs().argmin(dim=1)
            ),
            "distances": lambda queries, data: distances(queries, data).amin(dim=1),
            "second nearest": lambda queries, data: distances(queries, data).argsort(dim=1)[:, 1],
            "one index for all": lambda queries, data: distances(queries, data).argmin(),
            "a column": lambda queries, data: distances(queries, data).topk(1, largest=False).indices,
            "int32": lambda queries, data: distances(queries, data).argmin(dim=1).int(),
            "values and indices": lambda queries, data: tuple(distances(queries, data).min(dim=1)),
        },
    ),
}
