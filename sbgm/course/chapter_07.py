"""Exercises of chapter 7: image generation."""

import torch

from sbgm.checked import against
from sbgm.course.calls import Seed
from sbgm.course.chapter_01 import weight_mistakes
from sbgm.course.old_exercise import (
    Law,
    Trial,
    compare,
    compare_law,
    exercise,
    in_both_precisions,
    noise_mistakes,
    refuse,
)


@exercise("7.1", minutes=5)
def denoised(trial: Trial) -> None:
    """`denoised(score, x, sigma)`: one last step, x + σ² s(x, σ), to the mean of the clean images behind x (Tweedie).

    x is (B, *shape), σ a float or (B,), one for each example; the result has x's shape and dtype.
    """
    for score, x, _ in trial.batches((4, 1, 4, 4), (6, 2)):
        for sigma in (trial.uniform(0.3, 0.8), 0.3 + 0.5 * trial.rand(len(x), dtype=x.dtype)):
            per_example = against(sigma, x)
            move = per_example**2 * score(x, sigma)
            mistakes = {
                "the move is off by a factor σ: is the score multiplied by a standard deviation or by a variance?":
                    x + per_example * score(x, sigma),
                "the move has the wrong sign: does the score point to the data, or away from them?": x - move,
                "the move is half of what it should be: a Langevin step has its ½, this one removes all the noise":
                    x + 0.5 * move,
                "this is the move alone: from where does it start?": move,
                "the score itself is added: how far the data are depends on the noise": x + score(x, sigma),
                "the move is off by a factor σ²: is the variance squared once more?": x + per_example**2 * move,
                "the score was not told σ: it is s(x, σ)": x + per_example**2 * score(x, 0.0),
                "clamped to [0, 1]: right to show an image, but the step itself does not do it":
                    (x + move).clamp(0, 1),
                "all examples were given the mean of the σ: each has its own":
                    x + torch.as_tensor(sigma, dtype=x.dtype).mean() ** 2 * score(x, sigma),
                "σ was spread over an image's columns: it is one number per example":
                    x + (sigma if len(x) == x.shape[-1] else per_example) ** 2 * score(x, sigma),
            }  # fmt: skip
            trial.expect(x + move, score, x, sigma, mistakes=mistakes)


@denoised.lends
def _(score, x, sigma):
    variance = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1)) ** 2
    return x + variance * score(x, sigma)


@exercise("7.2", minutes=10)
def guess_and_shake(trial: Trial) -> None:
    """`guess_and_shake(score, x, sigma, pull, kick, generator)`: one step, x + pull (x̂ − x) + kick σ z.

    x̂ = x + σ² s(x, σ) is the mean of the clean images behind x, and z ~ N(0, I) is drawn from the generator. x is
    (B, *shape), all else are floats; the result has x's shape and dtype. With pull = ε/(2σ_L²) and kick = √ε/σ_L it is
    a step of Algorithm 1; with pull 1 it replaces all noise.
    """
    for score, start, _ in trial.batches((100, 1, 20, 15), (150, 2, 14, 8)):
        # such that no two of the mistakes below lead to nearly the same law
        sigma, pull, kick = trial.uniform(0.45, 0.55), trial.uniform(0.3, 0.4), trial.uniform(0.65, 0.75)
        x = start[:1].expand_as(start)
        s = score(x, sigma)
        guess, std = x + sigma**2 * s, kick * sigma
        mean = x + pull * (guess - x)
        mistakes = {
            "the noise is not multiplied by σ: a kick is that part of this level's noise": Law(mean, kick**2),
            "the noise has the standard deviation σ: where is the kick?": Law(mean, sigma**2),
            "the noise has variance 1: it still has to be multiplied by kick σ": Law(mean, 1.0),
            "the noise has the variance kick σ: that is its standard deviation": Law(mean, std),
            "the noise is multiplied by kick σ²": Law(mean, std**2 * sigma**2),
            "there is no noise: after the pull comes the kick": Law(mean, 0.0),
            "the chain jumps all the way to the guess: it moves only a part of the way, the pull": Law(guess, std**2),
            "pull and 1 − pull are exchanged: a small pull leaves most of x": Law(guess + pull * (x - guess), std**2),
            "the chain moves by pull times the guess, where it should move by pull times the way there, x̂ − x":
                Law(x + pull * guess, std**2),
            "the old x is lost: the chain starts from where it is": Law(pull * guess, std**2),
            "the chain moves away from the guess": Law(x - pull * (guess - x), std**2),
            "the move is half of what it should be: pull has Algorithm 1's ½ already":
                Law(x + pull / 2 * (guess - x), std**2),
            "the guess is x + s, where σ² is missing: how far the data are depends on the noise":
                Law(x + pull * s, std**2),
            "the guess is x + σ s: the score is multiplied by a variance": Law(x + pull * sigma * s, std**2),
            "the move is multiplied by σ² once more: the guess has it already":
                Law(x + pull * sigma**4 * s, std**2),
            "the chain does not move towards the guess": Law(x, std**2),
            "the score was not told σ: it is s(x, σ)": Law(x + pull * sigma**2 * score(x, 0.0), std**2),
        }  # fmt: skip
        mistakes |= noise_mistakes(mean, std**2)
        compare_law(trial.runs(x, score, x, sigma, pull, kick), Law(mean, std**2), mistakes)
        still = trial.answer(x, score, x, sigma, pull, 0.0, Seed(0))
        compare(still, mean, {}, "without a kick, your answer")


@guess_and_shake.lends
def _(score, x, sigma, pull, kick, generator):
    guess = x + sigma**2 * score(x, sigma)
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x + pull * (guess - x) + kick * sigma * z


@exercise("7.4", minutes=15)
def best_guess(trial: Trial) -> None:
    """`best_guess(x, data, sigma)`: the mean of the images in `data`, weighted by exp(−‖x̃ − x_i‖²/2σ²) for each x̃ in x.

    x is (B, *shape), `data` are (N, *shape), σ is a float; the result has x's shape and dtype. It is x + σ² s(x, σ) of
    the exact score of N points with noise σ.
    """
    for (n_queries, n_data, shape), dtype in in_both_precisions(((5, 12, (1, 3, 4)), (8, 8, (2, 2, 3)))):
        data, sigma = trial.rand(n_data, *shape, dtype=dtype), trial.uniform(0.35, 0.6)
        x = data[trial.integer(0, n_data)] + sigma * trial.randn(n_queries, *shape, dtype=dtype)
        far = x + 30 * trial.rand(*shape, dtype=dtype)  # where exp(−‖·‖²/2σ²) is zero for every image
        squared = (x.flatten(1)[:, None] - data.flatten(1)).square().sum(dim=2)

        def mean_of(weights, data=data):
            return torch.einsum("bn,n...->b...", weights, data)

        right = best_guess.lent(x, data, sigma)
        wrong = weight_mistakes(squared, sigma, "x", "images")
        mistakes = {sentence: mean_of(weights) for sentence, weights in wrong.items()} | {
            "the squared differences are averaged over the pixels: every pixel adds to the evidence":
                mean_of((-squared / (2 * sigma**2 * x[0].numel())).softmax(dim=1)),
            "this is the score: the mean itself is asked for": (right - x) / sigma**2,
            "this is the way from x to the mean: the mean itself is asked for": right - x,
        }  # fmt: skip
        trial.expect(right, x, data, sigma, mistakes=mistakes)
        found = trial.answer(far, far, data, sigma)
        refuse(
            not found.isfinite().all(),
            "far from the data your answer is NaN or infinite: every weight is rounded to 0, and 0/0 is no mean. "
            "A softmax takes the largest exponent off first",
        )
        expected = best_guess.lent(far.double(), data.double(), sigma).to(dtype)
        compare(found, expected, {}, "far from the data, your answer", tolerance=0.05)


@best_guess.lends
def _(x, data, sigma):
    squared = (x.flatten(1)[:, None] - data.flatten(1)).square().sum(dim=2)
    weights = torch.softmax(-squared / (2 * sigma**2), dim=1)
    return (weights @ data.flatten(1)).view_as(x)


@exercise("7.5", minutes=10)
def nearest(trial: Trial) -> None:
    """`nearest(queries, data)`: for each query image the index of the training image nearest in pixel ℓ2.

    `queries` are (Q, *shape), `data` are (N, *shape); the result is (Q,) of torch.int64.
    """
    # as many queries as data first: there a minimum over the wrong axis has the right shape
    for (n_queries, n_data, shape), dtype in in_both_precisions(
        ((24, 24, (1, 4, 4)), (17, 60, (3, 2, 3)), (9, 5, (1, 6, 2)))
    ):
        data = trial.rand(n_data, *shape, dtype=dtype)
        queries = trial.rand(n_queries, *shape, dtype=dtype)
        copied = trial.integer(0, n_data)
        queries[-1] = data[copied]  # a query that is a copy of a training image
        q, d = queries.flatten(1).double(), data.flatten(1).double()
        difference = q[:, None] - d
        distances = difference.norm(dim=2)
        unit_q, unit_d = q / q.norm(dim=1, keepdim=True), d / d.norm(dim=1, keepdim=True)
        trial.expect(
            distances.argmin(dim=1),
            queries,
            data,
            mistakes={
                "these are the farthest images": distances.argmax(dim=1),
                "the minimum runs over the queries: this is the query nearest to each training image":
                    distances.argmin(dim=0),
                "nearest in ℓ1: the differences are squared before they are summed":
                    difference.abs().sum(dim=2).argmin(dim=1),
                "nearest by the largest difference of a pixel (ℓ∞): all pixels count":
                    difference.abs().amax(dim=2).argmin(dim=1),
                "nearest by the sum of the differences with their signs, in which they cancel":
                    difference.sum(dim=2).abs().argmin(dim=1),
                "nearest in the mean of the pixels only":
                    (q.mean(dim=1)[:, None] - d.mean(dim=1)).abs().argmin(dim=1),
                "largest cosine similarity: it does not see that one image is darker than the other":
                    (unit_q @ unit_d.T).argmax(dim=1),
                "largest inner product: that favours bright training images, however far they are":
                    (q @ d.T).argmax(dim=1),
                "smallest inner product: ‖a − b‖² has more terms than that": (q @ d.T).argmin(dim=1),
                "‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b: is the 2 missing?":
                    (d.square().sum(dim=1) - q @ d.T).argmin(dim=1),
                "second nearest: a query is not one of the training images that it is compared with":
                    distances.argsort(dim=1)[:, min(1, n_data - 1)],
                "the place in the order of all images, not the image: argsort of an argsort?":
                    distances.argsort(dim=1).argsort(dim=1)[:, 0],
            },
        )  # fmt: skip


@nearest.lends
def _(queries, data):
    q, d = queries.flatten(1), data.flatten(1)
    return (d.square().sum(dim=1) - 2 * q @ d.T).argmin(dim=1)
