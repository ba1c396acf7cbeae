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


def step_put_back_first(score, x, y, mask, sigma, step_size, generator):
    return langevin(score, torch.where(mask, y, x), sigma, step_size, generator)


def step_put_back_before_and_after(score, x, y, mask, sigma, step_size, generator):
    x = torch.where(mask, y, x)
    return torch.where(mask, y, langevin(score, x, sigma, step_size, generator))


def step_y_noised_again(score, x, y, mask, sigma, step_size, generator):
    y = y + sigma * noise(y, generator)
    return torch.where(mask, y, langevin(score, x, sigma, step_size, generator))


def step_in_place(score, x, y, mask, sigma, step_size, generator):
    x += step_size / 2 * score(x, sigma) + math.sqrt(step_size) * noise(x, generator)
    x[:, mask] = y[:, mask]
    return x


def guess(score, x, sigma):
    return x + sigma**2 * score(x, sigma)


def filled(score, x, image, mask, sigma):
    return torch.where(mask, image, guess(score, x, sigma))


def fill(
    score,
    x,
    image,
    mask,
    sigma,
    following,
    generator,
    *,
    clean=filled,
    scale=lambda sigma, following: following,
    draw=noise,
):
    """A step that ends at `clean(…)` with noise of standard deviation `scale(…)`."""
    return clean(score, x, image, mask, sigma) + scale(sigma, following) * draw(x, generator)


def fill_by_index(score, x, image, mask, sigma, following, generator):
    result = guess(score, x, sigma)
    result[:, mask] = image[mask]
    return result + noise(x, generator) * following


def fill_by_product(score, x, image, mask, sigma, following, generator):
    m = mask.to(x.dtype)
    z = noise(x, generator)
    return m * (image + following * z) + (1 - m) * (guess(score, x, sigma) + following * z)


def fill_without_noise_on_the_known(score, x, image, mask, sigma, following, generator):
    return torch.where(mask, image, guess(score, x, sigma) + following * noise(x, generator))


def fill_without_noise_on_the_unknown(score, x, image, mask, sigma, following, generator):
    return torch.where(mask, image + following * noise(x, generator), guess(score, x, sigma))


def fill_with_noise_of_this_level_on_the_known(score, x, image, mask, sigma, following, generator):
    z = noise(x, generator)
    return torch.where(mask, image + sigma * z, guess(score, x, sigma) + following * z)


def fill_noised_twice_where_known(score, x, image, mask, sigma, following, generator):
    y = image + following * noise(x, generator)
    return torch.where(mask, y, guess(score, x, sigma)) + following * noise(x, generator)


def fill_with_shared_noise(score, x, image, mask, sigma, following, generator):
    """The noise of the known pixels is used for the unknown ones again."""
    z = noise(x, generator)
    n = min(int(mask.sum()), int((~mask).sum()))
    places = (~mask).flatten().nonzero()[:n, 0]
    z.flatten(1)[:, places] = z.flatten(1)[:, mask.flatten().nonzero()[:n, 0]]
    return filled(score, x, image, mask, sigma) + following * z


def fill_asked_at_the_next_level(score, x, image, mask, sigma, following, generator):
    return torch.where(mask, image, x + sigma**2 * score(x, following)) + following * noise(x, generator)


def fill_where_one_mask_is_left_at_the_end(score, x, image, mask, sigma, following, generator):
    if following:
        return fill(score, x, image, mask, sigma, following, generator)
    return guess(score, x, sigma)


def fill_in_place(score, x, image, mask, sigma, following, generator):
    x += sigma**2 * score(x, sigma)
    x[:, mask] = image[mask]
    return x + following * noise(x, generator)


def climb(x, sigma, larger, generator, *, scale=lambda sigma, larger: math.sqrt(larger**2 - sigma**2), draw=noise):
    """x plus noise of standard deviation `scale(sigma, larger)`."""
    return x + scale(sigma, larger) * draw(x, generator)


def climb_by_normal(x, sigma, larger, generator):
    return torch.normal(x, ((larger - sigma) * (larger + sigma)) ** 0.5, generator=generator)


def climb_in_place(x, sigma, larger, generator):
    x += (larger**2 - sigma**2) ** 0.5 * noise(x, generator)
    return x


def spread_by_hand(fills, mask):
    total, count = 0.0, 0
    for values, known in zip(fills.flatten(1).T, mask.expand(fills.shape[1:]).flatten(), strict=True):
        if not known:
            total += float((values - values.mean()).square().sum()) / (len(values) - 1)
            count += 1
    return math.sqrt(total / count)


def spread_by_weights(fills, mask):
    unknown = (~mask).to(fills.dtype).expand(fills.shape[1:])
    centred = fills - fills.mean(dim=0)
    return (centred.square().sum(dim=0) * unknown).sum().div(unknown.sum() * (len(fills) - 1)).sqrt()


def of_unknown(fills, mask):
    return fills[:, ~mask.expand(fills.shape[1:])]


ANSWERS = {
    "fill_step": Answers(
        right={
            "torch.where": fill,
            "by index": fill_by_index,
            "m and 1 − m, noise in both": fill_by_product,
        },
        wrong={
            "mask the wrong way round": lambda score, x, image, mask, *rest: fill(score, x, image, ~mask, *rest),
            "not put in": partial(fill, clean=lambda score, x, image, mask, sigma: guess(score, x, sigma)),
            "put in before the guess": partial(
                fill,
                clean=lambda score, x, image, mask, sigma: torch.where(
                    mask, image, guess(score, torch.where(mask, image, x), sigma)
                ),
            ),
            "image added": partial(
                fill, clean=lambda score, x, image, mask, sigma: guess(score, x, sigma) + mask * image
            ),
            "known pixels of x": partial(
                fill, clean=lambda score, x, image, mask, sigma: torch.where(mask, x, guess(score, x, sigma))
            ),
            "known pixels zero": partial(
                fill, clean=lambda score, x, image, mask, sigma: ~mask * guess(score, x, sigma)
            ),
            "unknown pixels zero": partial(
                fill, clean=lambda score, x, image, mask, sigma: (mask * image).expand_as(x)
            ),
            "unknown pixels of x": partial(
                fill, clean=lambda score, x, image, mask, sigma: torch.where(mask, image, x)
            ),
            "image everywhere": partial(fill, clean=lambda score, x, image, mask, sigma: image.expand_as(x)),
            "no σ² in the guess": partial(
                fill, clean=lambda score, x, image, mask, sigma: torch.where(mask, image, x + score(x, sigma))
            ),
            "σ for σ²": partial(
                fill, clean=lambda score, x, image, mask, sigma: torch.where(mask, image, x + sigma * score(x, sigma))
            ),
            "½ of a Langevin step": partial(
                fill,
                clean=lambda score, x, image, mask, sigma: torch.where(mask, image, x + sigma**2 / 2 * score(x, sigma)),
            ),
            "sign": partial(
                fill,
                clean=lambda score, x, image, mask, sigma: torch.where(mask, image, x - sigma**2 * score(x, sigma)),
            ),
            "x forgotten": partial(
                fill, clean=lambda score, x, image, mask, sigma: torch.where(mask, image, sigma**2 * score(x, sigma))
            ),
            "no σ for the score": partial(
                fill, clean=lambda score, x, image, mask, sigma: torch.where(mask, image, x + sigma**2 * score(x, 0.0))
            ),
            "the next level's score": fill_asked_at_the_next_level,
            "noise of this level": partial(fill, scale=lambda sigma, following: sigma),
            "noise of variance following⁴": partial(fill, scale=lambda sigma, following: following**2),
            "as much noise as an ancestral step": partial(
                fill, scale=lambda sigma, following: (sigma**2 - following**2) ** 0.5
            ),
            "noise of variance 1": partial(fill, scale=lambda sigma, following: 1.0),
            "no noise": partial(fill, scale=lambda sigma, following: 0.0),
            "no noise on the known": fill_without_noise_on_the_known,
            "no noise on the unknown": fill_without_noise_on_the_unknown,
            "this level's noise on the known": fill_with_noise_of_this_level_on_the_known,
            "known pixels noised twice": fill_noised_twice_where_known,
            "known and unknown pixels share their noise": fill_with_shared_noise,
            "not put in at the end": fill_where_one_mask_is_left_at_the_end,
            "in place": fill_in_place,
            "float64 whatever x": lambda *a: fill(*a).double(),
        }
        | {how: partial(fill, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "climb": Answers(
        right={
            "the root of the difference": climb,
            "(larger − σ)(larger + σ)": climb_by_normal,
            "larger √(1 − (σ/larger)²)": partial(
                climb, scale=lambda sigma, larger: larger * (1 - (sigma / larger) ** 2) ** 0.5
            ),
        },
        wrong={
            "standard deviations subtracted": partial(climb, scale=lambda sigma, larger: larger - sigma),
            "root missing": partial(climb, scale=lambda sigma, larger: larger**2 - sigma**2),
            "root of the standard deviations": partial(climb, scale=lambda sigma, larger: (larger - sigma) ** 0.5),
            "the larger": partial(climb, scale=lambda sigma, larger: larger),
            "the smaller": partial(climb, scale=lambda sigma, larger: sigma),
            "variances added": partial(climb, scale=lambda sigma, larger: (larger**2 + sigma**2) ** 0.5),
            "larger over σ": partial(climb, scale=lambda sigma, larger: larger / sigma),
            "noise of variance 1": partial(climb, scale=lambda sigma, larger: 1.0),
            "no noise": partial(climb, scale=lambda sigma, larger: 0.0),
            "x scaled, without noise": lambda x, sigma, larger, generator: x * larger / sigma,
            "x scaled": lambda x, sigma, larger, generator: (
                x * larger / sigma + (larger**2 - sigma**2) ** 0.5 * noise(x, generator)
            ),
            "x forgotten": lambda x, sigma, larger, generator: (larger**2 - sigma**2) ** 0.5 * noise(x, generator),
            "in place": climb_in_place,
            "float64 whatever x": lambda x, sigma, larger, generator: climb_by_normal(
                x.double(), sigma, larger, generator
            ),
        }
        | {how: partial(climb, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "inpaint_step": Answers(
        right={
            "torch.where": step_by_where,
            "by index, into a copy of y": step_by_index,
            "(1 − m) x + m y": step_by_product,
            "noise for the unknown only": step_with_noise_where_unknown,
        },
        wrong={
            "mask the wrong way round": lambda score, x, y, mask, *rest: step_by_where(score, x, y, ~mask, *rest),
            "put back before the step": step_put_back_first,
            "put back before and after": step_put_back_before_and_after,
            "not put back": lambda score, x, y, mask, *rest: langevin(score, x, *rest),
            "known pixels of x": lambda score, x, y, mask, *rest: step_by_where(score, x, x, mask, *rest),
            "y added, not put": lambda score, x, y, mask, *rest: langevin(score, x, *rest) + mask * y,
            "known pixels zero": lambda score, x, y, mask, *rest: ~mask * langevin(score, x, *rest),
            "half and half": lambda score, x, y, mask, *rest: torch.where(
                mask, (y + langevin(score, x, *rest)) / 2, langevin(score, x, *rest)
            ),
            "y noised again": step_y_noised_again,
            "x + m (y − x), which rounds": step_by_difference,
            "1 − m of a boolean mask": lambda score, x, y, mask, *rest: (
                (1 - mask) * langevin(score, x, *rest) + mask * y
            ),
            "score at y": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size / 2 * score(y, sigma) + math.sqrt(step_size) * noise(x, generator)
            ),
            "no σ for the score": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size / 2 * score(x) + math.sqrt(step_size) * noise(x, generator)
            ),
            "drift without ½": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size * score(x, sigma) + math.sqrt(step_size) * noise(x, generator)
            ),
            "sign of the drift": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x - step_size / 2 * score(x, sigma) + math.sqrt(step_size) * noise(x, generator)
            ),
            "α for √α": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size / 2 * score(x, sigma) + step_size * noise(x, generator)
            ),
            "σ for √α": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size / 2 * score(x, sigma) + sigma * noise(x, generator)
            ),
            "scaled by σ² again": lambda score, x, y, mask, sigma, step_size, generator: step_by_where(
                score, x, y, mask, sigma, step_size * sigma**2, generator
            ),
            "the other convention with h = α": lambda score, x, y, mask, sigma, step_size, generator: step_by_where(
                score, x, y, mask, sigma, 2 * step_size, generator
            ),
            "no noise": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size / 2 * score(x, sigma)
            ),
            "no step": lambda score, x, y, mask, *rest: torch.where(mask, y, x),
            "unknown pixels zero": lambda score, x, y, mask, *rest: mask * y,
            "y on all pixels": lambda score, x, y, mask, *rest: langevin(score, x, *rest) * ~mask + y,
            "in place": step_in_place,
            "float64 whatever x": lambda *a: step_by_where(*a).double(),
        }
        | {how: partial(step_by_where, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "fill_spread": Answers(
        right={
            "variance of the unknown": lambda fills, mask: of_unknown(fills, mask).var(dim=0).mean().sqrt(),
            "pixel by pixel": spread_by_hand,
            "weights of 0 and 1": spread_by_weights,
        },
        wrong={
            "standard deviations averaged": lambda fills, mask: of_unknown(fills, mask).std(dim=0).mean(),
            "standard deviations averaged, all pixels": lambda fills, mask: fills.std(dim=0).mean(),
            "standard deviations averaged, biased": lambda fills, mask: (
                of_unknown(fills, mask).std(dim=0, correction=0).mean()
            ),
            "variance": lambda fills, mask: of_unknown(fills, mask).var(dim=0).mean(),
            "biased": lambda fills, mask: of_unknown(fills, mask).var(dim=0, unbiased=False).mean().sqrt(),
            "all pixels": lambda fills, mask: fills.var(dim=0).mean().sqrt(),
            "known pixels": lambda fills, mask: of_unknown(fills, ~mask).var(dim=0).mean().sqrt(),
            "known pixels as zeros": lambda fills, mask: (fills.var(dim=0) * ~mask).mean().sqrt(),
            "over the pixels": lambda fills, mask: of_unknown(fills, mask).var(dim=1).mean().sqrt(),
            "all in one heap": lambda fills, mask: of_unknown(fills, mask).std(),
            "summed": lambda fills, mask: of_unknown(fills, mask).var(dim=0).sum().sqrt(),
            "mean not taken off": lambda fills, mask: of_unknown(fills, mask).square().mean().sqrt(),
            "the largest": lambda fills, mask: of_unknown(fills, mask).std(dim=0).max(),
            "one number a pixel": lambda fills, mask: of_unknown(fills, mask).std(dim=0),
        },
    ),
}
