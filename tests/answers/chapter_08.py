"""Answers to chapter 8's exercises."""

import math
from functools import partial

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, Answers, noise


def langevin(score, x, sigma, step_size, generator, draw=noise):
    return x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * draw(x, generator)


def step_by_where(score, x, y, mask, sigma, step_size, generator, draw=noise):
    return torch.where(mask, y, langevin(score, x, sigma, step_size, generator, draw))


def step_by_index(score, x, y, mask, sigma, step_size, generator):
    result = y.clone()
    result[:, ~mask] = langevin(score, x, sigma, step_size, generator)[:, ~mask]
    return result


def step_by_product(score, x, y, mask, sigma, step_size, generator):
    m = mask.to(x.dtype)
    return (1 - m) * langevin(score, x, sigma, step_size, generator) + m * y


def step_with_noise_where_unknown(score, x, y, mask, sigma, step_size, generator):
    mean = (x + 0.5 * step_size * score(x, sigma))[:, ~mask]
    result = x.clone()
    result[:, mask] = y[:, mask]
    result[:, ~mask] = torch.normal(mean, step_size**0.5, generator=generator)
    return result


def step_by_difference(score, x, y, mask, sigma, step_size, generator):
    x = langevin(score, x, sigma, step_size, generator)
    return x + mask * (y - x)


def step_in_place(score, x, y, mask, sigma, step_size, generator):
    x += step_size / 2 * score(x, sigma) + math.sqrt(step_size) * noise(x, generator)
    x[:, mask] = y[:, mask]
    return x


def guess(score, x, sigma):
    return x + sigma**2 * score(x, sigma)


def fill(score, x, image, mask, sigma, following, generator, *, draw=noise):
    """The step, with other noise."""
    return torch.where(mask, image, guess(score, x, sigma)) + following * draw(x, generator)


def fill_by_index(score, x, image, mask, sigma, following, generator):
    result = guess(score, x, sigma)
    result[:, mask] = image[mask]
    return result + noise(x, generator) * following


def fill_by_product(score, x, image, mask, sigma, following, generator):
    m = mask.to(x.dtype)
    z = noise(x, generator)
    return m * (image + following * z) + (1 - m) * (guess(score, x, sigma) + following * z)


def fill_with_shared_noise(score, x, image, mask, sigma, following, generator):
    """The noise of the known pixels is used for the unknown ones again."""
    z = noise(x, generator)
    n = min(int(mask.sum()), int((~mask).sum()))
    places = (~mask).flatten().nonzero()[:n, 0]
    z.flatten(1)[:, places] = z.flatten(1)[:, mask.flatten().nonzero()[:n, 0]]
    return torch.where(mask, image, guess(score, x, sigma)) + following * z


def fill_in_place(score, x, image, mask, sigma, following, generator):
    x += sigma**2 * score(x, sigma)
    x[:, mask] = image[mask]
    return x + following * noise(x, generator)


ANSWERS = {
    "fill_step": Answers(
        right={
            "by index": fill_by_index,
            "m and 1 − m, noise in both": fill_by_product,
        },
        wrong={
            "known and unknown pixels share their noise": fill_with_shared_noise,
            "in place": fill_in_place,
            "float64 whatever x": lambda *a: fill(*a).double(),
        }
        | {how: partial(fill, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "inpaint_step": Answers(
        right={
            "by index, into a copy of y": step_by_index,
            "(1 − m) x + m y": step_by_product,
            "noise for the unknown only": step_with_noise_where_unknown,
        },
        wrong={
            "x + m (y − x), which rounds": step_by_difference,
            "1 − m of a boolean mask": lambda score, x, y, mask, *rest: (
                (1 - mask) * langevin(score, x, *rest) + mask * y
            ),
            "in place": step_in_place,
            "float64 whatever x": lambda *a: step_by_where(*a).double(),
        }
        | {how: partial(step_by_where, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
}
