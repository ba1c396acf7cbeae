"""Exercises of chapter 8: inpainting."""

from __future__ import annotations

import torch

from sbgm.course.exercise import (
    Law,
    Trial,
    WrongAnswer,
    compare_law,
    exercise,
    in_both_precisions,
    refuse,
    step_mistakes,
)


@exercise("8.1", minutes=10)
def inpaint_step(trial: Trial) -> None:
    """`inpaint_step(score, x, y, mask, sigma, step_size, generator)`: one step of Algorithm 2 within a level.

    A Langevin step of size α = `step_size` with s(x, σ), whose noise is drawn from the generator; then the known pixels
    are overwritten by those of y, which is the image with this level's noise. x and y are (B, C, H, W), the mask is
    (C, H, W), boolean, True where a pixel is known; the result has x's shape and dtype.
    """
    for score, start, z in trial.batches((100, 1, 20, 30), (150, 2, 14, 15)):
        # such that no two of the mistakes below lead to nearly the same law
        sigma, step_size = trial.uniform(0.45, 0.55), trial.uniform(0.6, 0.85)
        mask = trial.rand(*start.shape[1:]) < 0.5
        x, y = start[:1].expand_as(start), trial.rand(*start.shape[1:], dtype=start.dtype) + sigma * z

        def drift(at, score=score, sigma=sigma, step_size=step_size):
            return step_size / 2 * score(at, sigma)

        runs = trial.runs(x, score, x, y, mask, sigma, step_size)
        step, put_first = x + drift(x), torch.where(mask, y, x)
        known, unknown, rest = runs[:, :, mask], runs[:, :, ~mask], x[:, ~mask]
        if not torch.equal(known, y[:, mask].expand_as(known)):
            wrong_way = torch.equal(unknown, y[:, ~mask].expand_as(unknown))
            refuse(wrong_way, "the mask is the wrong way round: it is True where a pixel is known")
            mistakes = {
                "the known pixels have the noise of a step: they are overwritten after the step, not before it":
                    Law((put_first + drift(put_first))[:, mask], step_size),
                "no pixel is overwritten: this is a step of Algorithm 1": Law(step[:, mask], step_size),
                "the known pixels are x's, where they should be y's": Law(x[:, mask], 0.0),
                "the known pixels are noised once more: y has this level's noise already": Law(y[:, mask], sigma**2),
                "the known pixels still hold what the step made of them, beside y: what does 1 − m do in Algorithm 2?":
                    Law((y + step)[:, mask], step_size),
                "the known pixels are only half y's": Law((y + step)[:, mask] / 2, step_size / 4),
                "the known pixels are zero: is y added where the mask is 1?": Law(0.0, 0.0),
            }  # fmt: skip
            compare_law(known, Law(y[:, mask], 0.0), mistakes, "your known pixels")
            raise WrongAnswer("the known pixels are nearly y's, but not bit for bit: copy them, without arithmetic")

        mean = step[:, ~mask]
        mistakes = step_mistakes(rest, drift(x)[:, ~mask], step_size, "α") | {
            "there is no noise: a Langevin step has a random part": Law(mean, 0.0),
            "there is no drift: where is the score?": Law(rest, step_size),
            "the unknown pixels do not move: it is these that the step is for": Law(rest, 0.0),
            "the score is taken after y has been put in: first the step, then the known pixels":
                Law((x + drift(put_first))[:, ~mask], step_size),
            "the score is not that of this level: it is s(x, σ)":
                Law((x + step_size / 2 * score(x, 0.0))[:, ~mask], step_size),
            "the score is taken at y: it is the chain that moves, and y is only put into it":
                Law((x + drift(y))[:, ~mask], step_size),
            "the noise has this level's standard deviation σ: in a Langevin step the step size sets it":
                Law(mean, sigma**2),
            "the step is scaled by σ² once more: step_size is already that of this level":
                Law(rest + sigma**2 * drift(x)[:, ~mask], sigma**2 * step_size),
            "the unknown pixels are all zero: the step's own values belong there": Law(0.0, 0.0),
            "the unknown pixels hold y as well: the image is not known there": Law(mean + y[:, ~mask], step_size),
        }  # fmt: skip
        compare_law(unknown, Law(mean, step_size), mistakes, "your unknown pixels")


@exercise("8.4", minutes=5)
def fill_spread(trial: Trial) -> None:
    """`fill_spread(fills, mask)`: how much the fills of one image differ, the root of a pixel's mean variance.

    `fills` are (N, C, H, W); the mask is (C, H, W) or (1, H, W), boolean, True where a pixel is known. The variance of
    a pixel over the fills is unbiased, its mean is over the unknown pixels of all channels; the answer is one number.
    """
    for (n, shape, mask_shape), dtype in in_both_precisions(
        ((7, (1, 4, 4), (1, 4, 4)), (4, (3, 4, 5), (1, 4, 5)), (3, (2, 3, 3), (2, 3, 3)))
    ):
        mask = trial.rand(*mask_shape) < 0.5
        mask.view(-1)[:2] = torch.tensor([True, False])
        known = mask.expand(shape)
        scale = torch.where(known, 0.02 + 0.05 * trial.rand(*shape), 0.05 + 0.4 * trial.rand(*shape))
        fills = (trial.rand(*shape) + scale * trial.randn(n, *shape)).to(dtype)
        variance, unknown = fills.var(dim=0), fills[:, ~known]
        trial.expect(
            unknown.var(dim=0).mean().sqrt(),
            fills,
            mask,
            mistakes={
                "the standard deviations are averaged, which is less: it is variances that are averaged":
                    unknown.std(dim=0).mean(),
                "this is a variance: its root is asked for, to compare it with σ": unknown.var(dim=0).mean(),
                "biased: the mean over the fills is itself an estimate, which costs one of them":
                    unknown.var(dim=0, correction=0).mean().sqrt(),
                "averaged over all pixels: the known ones hardly differ, and tell nothing": variance.mean().sqrt(),
                "this is the spread of the known pixels: the mask is True where a pixel is known":
                    fills[:, known].var(dim=0).mean().sqrt(),
                "the known pixels count as unknown ones that never differ: by how many pixels is the sum divided?":
                    torch.where(known, 0, variance).mean().sqrt(),
                "the spread over pixels within a fill: it is the same pixel that is compared from fill to fill":
                    unknown.var(dim=1).mean().sqrt(),
                "the spread of all unknown pixels in one heap: each pixel has its own mean over the fills":
                    unknown.std(),
                "summed over the unknown pixels": unknown.var(dim=0).sum().sqrt(),
                "this compares the fills with nothing: their mean is to be taken off first":
                    unknown.square().mean().sqrt(),
                "all pixels count, and the averaged numbers are standard deviations": variance.sqrt().mean(),
                "the standard deviations are averaged, and biased": unknown.std(dim=0, correction=0).mean(),
                "the largest spread of a pixel: the mean is asked for": unknown.std(dim=0).max(),
            },
        )  # fmt: skip
