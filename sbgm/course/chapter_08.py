"""Exercises of chapter 8: inpainting."""

import torch
from torch import Tensor

from sbgm.course.calls import Seed
from sbgm.course.old_exercise import (
    Law,
    Trial,
    WrongAnswer,
    compare,
    compare_law,
    exercise,
    in_both_precisions,
    refuse,
    step_mistakes,
)


@exercise("8.1", minutes=10)
def fill_step(trial: Trial) -> None:
    """`fill_step(score, x, image, mask, sigma, following, generator)`: guess, put in the known pixels, add noise.

    The guess is x + σ² s(x, σ). Where the mask is True the image takes its place. The noise is that of the next level,
    whose standard deviation is `following`, or 0 after the last; it is drawn from the generator. x is (B, C, H, W), the
    image and the boolean mask are (C, H, W); the result has x's shape and dtype.
    """
    for score, start, _ in trial.batches((100, 1, 20, 30), (150, 2, 14, 15)):
        # such that no two of the mistakes below lead to nearly the same law
        sigma, following = trial.uniform(0.55, 0.65), trial.uniform(0.3, 0.4)
        x, image = start[:1].expand_as(start), trial.rand(*start.shape[1:], dtype=start.dtype)
        mask = trial.rand(*start.shape[1:]) < 0.5
        s = score(x, sigma)
        guess, known = x + sigma**2 * s, image.expand_as(x)
        runs = trial.runs(x, score, x, image, mask, sigma, following)

        def left_at(pixels: Tensor, mean: Tensor, variance: float = following**2) -> Law:
            return Law(mean[:, pixels], variance)

        put_first, unknown = torch.where(mask, known, x), ~mask
        mistakes = {
            "the unknown pixels hold the image, with noise: the mask is True where a pixel is known":
                left_at(unknown, known),
            "there is no noise: the score at the next level expects its noise": left_at(unknown, guess, 0.0),
            "the noise is that of this level, σ: it should be that of the next": left_at(unknown, guess, sigma**2),
            "the noise has the variance σ² − following²: all of the old noise is gone already":
                left_at(unknown, guess, sigma**2 - following**2),
            "the noise is multiplied by the next level's variance: it is multiplied by a standard deviation":
                left_at(unknown, guess, following**4),
            "the noise has variance 1: it still has to be scaled": left_at(unknown, guess, 1.0),
            "the unknown pixels hold noise alone: where is the guess?": left_at(unknown, 0 * x),
            "the unknown pixels do not move: they become the guess, with noise": left_at(unknown, x),
            "the guess is x + s, where it should be x + σ² s": left_at(unknown, x + s),
            "the guess is x + σ s, where it should be x + σ² s": left_at(unknown, x + sigma * s),
            "the move is half of what it should be: a Langevin step has its ½, the guess has none":
                left_at(unknown, x + sigma**2 / 2 * s),
            "the guess has the wrong sign: the score leads to the data": left_at(unknown, x - sigma**2 * s),
            "the guess is the move alone: from where does it start?": left_at(unknown, sigma**2 * s),
            "the score was not told σ: it is s(x, σ)": left_at(unknown, x + sigma**2 * score(x, 0.0)),
            "the score is that of the next level: the chain is still at σ":
                left_at(unknown, x + sigma**2 * score(x, following)),
            "the known pixels are put in before the guess: they belong into the guess":
                left_at(unknown, put_first + sigma**2 * score(put_first, sigma)),
        }  # fmt: skip
        compare_law(runs[:, :, unknown], left_at(unknown, guess), mistakes, "your unknown pixels")
        mistakes = {
            "the known pixels are the network's guess: the image is known there": left_at(mask, guess),
            "the known pixels have no noise: the score at the next level expects its noise everywhere":
                left_at(mask, known, 0.0),
            "the known pixels have this level's noise: it should be that of the next": left_at(mask, known, sigma**2),
            "the known pixels are noised twice": left_at(mask, known, 2 * following**2),
            "the known pixels are those of x": left_at(mask, x),
            "the known pixels are those of x, without noise": left_at(mask, x, 0.0),
            "the known pixels hold the guess and the image, added": left_at(mask, guess + known),
            "the known pixels hold noise alone: where is the image?": left_at(mask, 0 * x),
        }  # fmt: skip
        compare_law(runs[:, :, mask], left_at(mask, known), mistakes, "your known pixels")
        right = torch.where(mask, known, guess)
        compare_law(runs, Law(right, following**2), {})  # known and unknown pixels share no noise
        last = trial.answer(x, score, x, image, mask, sigma, 0.0, Seed(0))
        mistakes = {"after the last level the known pixels are the network's guess: put the image in there, too": guess}
        compare(last, right, mistakes, "after the last level, where no noise is added, your answer")


@fill_step.lends
def _(score, x, image, mask, sigma, following, generator):
    guess = x + sigma**2 * score(x, sigma)
    guess = torch.where(mask, image, guess)
    return guess + following * torch.randn(x.shape, generator=generator, dtype=x.dtype)


@exercise("8.2", minutes=10)
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


@inpaint_step.lends
def _(score, x, y, mask, sigma, step_size, generator):
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    x = x + step_size / 2 * score(x, sigma) + step_size**0.5 * z
    return torch.where(mask, y, x)


@exercise("8.4", minutes=5)
def climb(trial: Trial) -> None:
    """`climb(x, sigma, larger, generator)`: noise such that chains with noise σ become chains with noise `larger`.

    x is (B, *shape), data with noise of standard deviation σ, and `larger` is above σ. Variances of independent noise
    add up, so that x + √(larger² − σ²) z is returned, with z from the generator; it has x's shape and dtype.
    """
    for start, dtype in in_both_precisions(((100, 1, 20, 15), (400, 2))):
        sigma, larger = trial.uniform(0.9, 1.1), trial.uniform(1.4, 1.6)
        x = trial.randn(1, *start[1:], dtype=dtype).expand(start)
        mistakes = {
            "the standard deviations are subtracted: it is variances that add up": Law(x, (larger - sigma) ** 2),
            "the noise has the standard deviation larger² − σ²: that is its variance, is a root missing?":
                Law(x, (larger**2 - sigma**2) ** 2),
            "the noise has the variance larger − σ": Law(x, larger - sigma),
            "the noise is that of the larger level: x has some of it already": Law(x, larger**2),
            "the noise is that of the old level": Law(x, sigma**2),
            "the variances are added: only what is missing is needed": Law(x, larger**2 + sigma**2),
            "the noise is larger/σ times the old": Law(x, (larger / sigma) ** 2),
            "the noise has variance 1: it still has to be scaled": Law(x, 1.0),
            "there is no noise": Law(x, 0.0),
            "x is scaled: noise is added to it": Law(x * larger / sigma, 0.0),
            "x is scaled as well: noise is only added to it": Law(x * larger / sigma, larger**2 - sigma**2),
            "the old x is lost": Law(0 * x, larger**2 - sigma**2),
        }  # fmt: skip
        compare_law(trial.runs(x, x, sigma, larger), Law(x, larger**2 - sigma**2), mistakes)


@climb.lends
def _(x, sigma, larger, generator):
    missing = (larger**2 - sigma**2) ** 0.5
    return x + missing * torch.randn(x.shape, generator=generator, dtype=x.dtype)


@exercise("8.6", minutes=5)
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


@fill_spread.lends
def _(fills, mask):
    unknown = ~mask.expand(fills.shape[1:])
    return fills[:, unknown].var(dim=0).mean().sqrt()
