"""Exercises of chapter 10: inpainting."""

import torch

from sbgm_course.chapter_03 import step_mistakes, step_with
from sbgm_course.exercise import exercise, noise


def _to_fill(trial):
    for score, start, _ in trial.batches((100, 1, 20, 30), (150, 2, 14, 15)):
        # such that no two of the mistakes below lead to nearly the same law
        sigma = trial.uniform(0.55, 0.65)
        following = trial.uniform(0.3, 0.4)
        image = trial.rand(*start.shape[1:], dtype=start.dtype)
        yield score, start[:1].expand_as(start), image, trial.rand(*start.shape[1:]) < 0.5, sigma, following


def _last_fills(trial):
    for *case, _ in _to_fill(trial):
        yield *case, 0.0


@exercise(
    "10.1",
    minutes=10,
    cases={"your samples": _to_fill, "after the last level, where no noise is added, your answer": _last_fills},
    draws=True,
    parts=lambda score, x, image, mask, *rest: {"your unknown pixels": ~mask, "your known pixels": mask},
)
def fill_step(score, x, image, mask, sigma, following, generator):
    """`fill_step(score, x, image, mask, sigma, following, generator)`: guess, put in the known pixels, add noise.

    The guess is x + σ² s(x, σ). Where the mask is True the image takes its place. The noise is that of the next level,
    whose standard deviation is `following`, or 0 after the last; it is drawn from the generator. x is (B, C, H, W), the
    image and the boolean mask are (C, H, W); the result has x's shape and dtype.
    """
    guess = x + sigma**2 * score(x, sigma)
    guess = torch.where(mask, image, guess)
    return guess + following * noise(x, generator)


def _fill_with(
    *,
    unknown=lambda x, guess, image: guess,
    known=lambda x, guess, image: image.expand_as(x),
    std=lambda sigma, following: following,
    known_std=lambda sigma, following: following,
    start=1.0,
    factor=lambda sigma: sigma**2,
    told=lambda sigma, following: sigma,
    first=lambda x, image, mask: x,
):
    """The step with another guess, or other pixels or noise where the image is unknown or known."""

    def mistaken(score, x, image, mask, sigma, following, generator):
        x = first(x, image, mask)
        guess = start * x + factor(sigma) * score(x, told(sigma, following))
        mean = torch.where(mask, known(x, guess, image), unknown(x, guess, image))
        size = torch.where(mask, known_std(sigma, following), std(sigma, following))
        return mean + size * noise(x, generator)

    return mistaken


def _none(sigma, following):
    return 0.0


def _old(sigma, following):
    return sigma


def _repaired(x, image, mask):
    return torch.where(mask, image, x)


fill_step.mistakes = {
    "after the last level the known pixels are the network's guess: put the image in there, too":
        lambda score, x, image, mask, sigma, following, generator: fill_step.right(
            score, x, image, mask & (following > 0), sigma, following, generator
        ),
    "the unknown pixels hold the image, with noise: the mask is True where a pixel is known":
        _fill_with(unknown=lambda x, guess, image: image.expand_as(x)),
    "there is no noise: the score at the next level expects its noise": _fill_with(std=_none),
    "the noise is that of this level, σ: it should be that of the next": _fill_with(std=_old),
    "the noise has the variance σ² − following²: all of the old noise is gone already":
        _fill_with(std=lambda sigma, following: (sigma**2 - following**2) ** 0.5),
    "the noise is multiplied by the next level's variance: it is multiplied by a standard deviation":
        _fill_with(std=lambda sigma, following: following**2),
    "the noise has variance 1: it still has to be scaled": _fill_with(std=lambda sigma, following: 1.0),
    "the unknown pixels hold noise alone: where is the guess?": _fill_with(unknown=lambda x, guess, image: 0 * x),
    "the unknown pixels do not move: they become the guess, with noise": _fill_with(factor=lambda sigma: 0.0),
    "the guess is x + s or x + σ s, where it should be x + σ² s":
        (_fill_with(factor=lambda sigma: 1.0), _fill_with(factor=lambda sigma: sigma)),
    "the move is half of what it should be: a Langevin step has its ½, the guess has none":
        _fill_with(factor=lambda sigma: sigma**2 / 2),
    "the guess has the wrong sign: the score leads to the data": _fill_with(factor=lambda sigma: -(sigma**2)),
    "the guess is the move alone: from where does it start?": _fill_with(start=0.0),
    "the score is that of the next level: the chain is still at σ":
        _fill_with(told=lambda sigma, following: following),
    "the known pixels are put in before the guess: they belong in the guess":
        (_fill_with(first=_repaired), _fill_with(first=_repaired, known=lambda x, guess, image: guess)),
    "the known pixels are the network's guess: the image is known there":
        _fill_with(known=lambda x, guess, image: guess),
    "the known pixels have no noise: the score at the next level expects its noise everywhere":
        _fill_with(known_std=_none),
    "the known pixels have this level's noise: it should be that of the next": _fill_with(known_std=_old),
    "the known pixels are noised twice": _fill_with(known_std=lambda sigma, following: 2**0.5 * following),
    "the known pixels are those of x":
        (_fill_with(known=lambda x, guess, image: x), _fill_with(known=lambda x, guess, image: x, known_std=_none)),
    "the known pixels hold the guess and the image, added": _fill_with(known=lambda x, guess, image: guess + image),
    "the known pixels hold noise alone: where is the image?": _fill_with(known=lambda x, guess, image: 0 * x),
}  # fmt: skip


def _within_a_level(trial):
    for score, start, z in trial.batches((100, 1, 20, 30), (150, 2, 14, 15)):
        # such that no two of the mistakes below lead to nearly the same law
        sigma = trial.uniform(0.45, 0.55)
        step_size = trial.uniform(0.6, 0.85)
        mask = trial.rand(*start.shape[1:]) < 0.5
        y = trial.rand(*start.shape[1:], dtype=start.dtype) + sigma * z
        yield score, start[:1].expand_as(start), y, mask, sigma, step_size


@exercise(
    "10.2",
    minutes=10,
    cases=_within_a_level,
    draws=True,
    parts=lambda score, x, y, mask, *rest: {"your known pixels": mask, "your unknown pixels": ~mask},
)
def inpaint_step(score, x, y, mask, sigma, step_size, generator):
    """`inpaint_step(score, x, y, mask, sigma, step_size, generator)`: one step of Algorithm 2 within a level.

    A Langevin step of size α = `step_size` with s(x, σ), whose noise is drawn from the generator; then the known pixels
    are overwritten by those of y, which is the image with this level's noise. x and y are (B, C, H, W), the mask is
    (C, H, W), boolean, True where a pixel is known; the result has x's shape and dtype.
    """
    x = x + step_size / 2 * score(x, sigma) + step_size**0.5 * noise(x, generator)
    return torch.where(mask, y, x)


def _inpaint_with(known=lambda x, y, step: y, unknown=lambda x, y, step: step, asked=lambda x, y, mask: x, **options):
    """The step with other pixels where the image is known or unknown, or another step.

    Args:
        known, unknown: made of x, y and the step.
        asked: the point at which the score is taken.
        options: of `step_with`.
    """

    def mistaken(score, x, y, mask, sigma, step_size, generator):
        s = score(asked(x, y, mask), sigma)
        step = step_with(lambda x: s, x, step_size, generator, **options)
        return torch.where(mask, known(x, y, step), unknown(x, y, step))

    return mistaken


inpaint_step.mistakes = {
    "the mask is the wrong way round: it is True where a pixel is known":
        _inpaint_with(known=lambda x, y, step: step, unknown=lambda x, y, step: y),
    "the known pixels have the noise of a step: they are overwritten after the step, not before it":
        lambda score, x, y, mask, *rest: inpaint_step.right(score, torch.where(mask, y, x), y, mask & False, *rest),
    "no pixel is overwritten: this is a step of Algorithm 1": _inpaint_with(known=lambda x, y, step: step),
    "the known pixels are x's, where they should be y's": _inpaint_with(known=lambda x, y, step: x),
    "the known pixels are y added to what the step made of them: what does 1 − m do in Algorithm 2?":
        _inpaint_with(known=lambda x, y, step: y + step),
    "the known pixels are only half y's": _inpaint_with(known=lambda x, y, step: (y + step) / 2),
    "the known pixels are zero: is y added where the mask is 1?": _inpaint_with(known=lambda x, y, step: 0 * y),
    "there is no drift: where is the score?": _inpaint_with(drift=0.0),
    "the unknown pixels do not move: the step is meant to move them": _inpaint_with(unknown=lambda x, y, step: x),
    "the score is taken at another point: first the step from x, then the known pixels":
        (_inpaint_with(asked=lambda x, y, mask: torch.where(mask, y, x)), _inpaint_with(asked=lambda x, y, mask: y)),
    "the unknown pixels are all zero: the step's own values belong there":
        _inpaint_with(unknown=lambda x, y, step: 0 * x),
    "the unknown pixels hold y as well: the image is not known there":
        _inpaint_with(unknown=lambda x, y, step: step + y),
    "the known pixels are noised once more: y has this level's noise already":
        lambda score, x, y, mask, sigma, step_size, generator: torch.where(
            mask,
            y + sigma * noise(x, generator),
            inpaint_step.right(score, x, y, mask, sigma, step_size, generator),
        ),
    "the noise has this level's standard deviation σ: in a Langevin step the step size sets it":
        lambda score, x, y, mask, sigma, step_size, generator: torch.where(
            mask, y, x + step_size / 2 * score(x, sigma) + sigma * noise(x, generator)
        ),
    "the step is scaled by σ² once more: step_size is already that of this level":
        lambda score, x, y, mask, sigma, step_size, generator: inpaint_step.right(
            score, x, y, mask, sigma, sigma**2 * step_size, generator
        ),
} | {sentence: _inpaint_with(**options) for sentence, options in step_mistakes("α").items()}  # fmt: skip
