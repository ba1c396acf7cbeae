"""Answers to chapter 10's exercises."""

import math

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, noise, with_noise


def langevin(score, x, sigma, step_size, generator, draw=noise):
    return x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * draw(x, generator)


def step_by_where(score, x, y, mask, sigma, step_size, generator, draw=noise):
    return torch.where(mask, y, langevin(score, x, sigma, step_size, generator, draw))


def step_by_index(score, x, y, mask, sigma, step_size, generator):
    result = y.clone()
    result[:, ~mask] = langevin(score, x, sigma, step_size, generator)[:, ~mask]
    return result


def step_with_noise_where_unknown(score, x, y, mask, sigma, step_size, generator):
    mean = (x + 0.5 * step_size * score(x, sigma))[:, ~mask]
    result = x.clone()
    result[:, mask] = y[:, mask]
    result[:, ~mask] = torch.normal(mean, step_size**0.5, generator=generator)
    return result


def step_by_difference(score, x, y, mask, sigma, step_size, generator):
    x = langevin(score, x, sigma, step_size, generator)
    return x + mask * (y - x)


def guess(score, x, sigma):
    return x + sigma**2 * score(x, sigma)


def fill(score, x, image, mask, sigma, following, generator, draw=noise):
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


def minus_a_boolean(score, x, y, mask, *rest):
    return (1 - mask) * langevin(score, x, *rest) + mask * y


RIGHT = {
    "fill_step": (fill_by_index, fill_by_product),
    "inpaint_step": (step_by_index, step_with_noise_where_unknown),
}
WRONG = {
    "fill_step": {
        "known and unknown pixels share their noise": fill_with_shared_noise,
        **with_noise(fill, DEPENDENT_NOISE | WRONG_NOISE),
    },
    "inpaint_step": {
        "x + m (y − x), which rounds": step_by_difference,
        "1 − m of a boolean mask": minus_a_boolean,
        **with_noise(step_by_where, DEPENDENT_NOISE | WRONG_NOISE),
    },
}
