"""Exercises of chapter 7: image generation."""

from __future__ import annotations

import torch

from sbgm.checked import against
from sbgm.course.exercise import Trial, exercise, in_both_precisions


@exercise(chapter=7, minutes=5)
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
            }  # fmt: skip
            if isinstance(sigma, torch.Tensor):
                by_mean = x + sigma.mean() ** 2 * score(x, sigma)
                mistakes["all examples were given the mean of the σ: each has its own"] = by_mean
                if len(x) == x.shape[-1]:
                    by_column = x + sigma**2 * score(x, sigma)
                    mistakes["σ was spread over an image's columns: it is one number an example"] = by_column
            trial.expect(x + move, score, x, sigma, mistakes=mistakes)


@exercise(chapter=7, minutes=5)
def dequantised(trial: Trial) -> None:
    """`dequantised(images, u)`: x·255/256 + u/256, each of the 256 grey values spread over its own 1/256 of [0, 1).

    `images` is (B, C, H, W) of torch.uint8, x is images/255, u is uniform in [0, 1), of the same shape; the result has
    u's shape and dtype.
    """
    for shape, dtype in in_both_precisions(((3, 1, 5, 5), (2, 3, 4, 6))):
        images = torch.randint(0, 256, shape, generator=trial.generator).to(torch.uint8)
        images.view(-1)[:2] = torch.tensor([0, 255], dtype=torch.uint8)  # black and white are always there
        u, v = trial.rand(*shape, dtype=dtype), images.to(dtype)
        trial.expect(
            (v + u) / 256,
            images,
            u,
            mistakes={
                "white comes out above 1: there are 256 values, and each needs as much room as the others":
                    (v + u) / 255,
                "white comes out above 1: x has to shrink a little to make room for the noise": v / 255 + u / 256,
                "the noise is not scaled: how far apart are two neighbouring values?": v / 256 + u,
                "the noise is not scaled, and x has to shrink a little to make room for it": v / 255 + u,
                "u has no effect: is it added, and not made whole on the way?": v / 256,
                "these are images in [0, 1], but without the noise": v / 255,
                "the values run from 0 to 256, and should run from 0 to 1": v + u,
                "the noise is centred, so that black comes out below 0: where does u begin?": (v + u - 0.5) / 256,
                "the sum is rounded, and the noise is gone again": (v + u).round() / 256,
                "the values were multiplied as torch.uint8, which has no room above 255: convert them first":
                    (images * 255).to(dtype) / 256 + u / 256,
                "u is subtracted: what becomes of black?": (v - u) / 256,
                "the values are whole numbers from 0 to 255; was x taken to be these, and not in [0, 1]?":
                    v * 255 / 256 + u / 256,
                "shrunk twice: once is enough to stay below 1": (v + u) / 256 * 255 / 256,
            },
            tolerance=1e-5,  # images/255 is of float32, whatever u is
        )  # fmt: skip


@exercise(chapter=7, minutes=10)
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
