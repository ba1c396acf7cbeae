"""Answers to chapter 8's exercises."""

import math

import torch

from answers import DEPENDENT_NOISE, Answers


def noise(x, generator):
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def langevin(score, x, sigma, step_size, generator):
    return x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * noise(x, generator)


def step_by_where(score, x, y, mask, sigma, step_size, generator):
    return torch.where(mask, y, langevin(score, x, sigma, step_size, generator))


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


def step_noise_twice(score, x, y, mask, sigma, step_size, generator):
    z = noise(x, generator) * noise(x, generator)
    return torch.where(mask, y, x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * z)


def step_y_noised_again(score, x, y, mask, sigma, step_size, generator):
    y = y + sigma * noise(y, generator)
    return torch.where(mask, y, langevin(score, x, sigma, step_size, generator))


def step_seeded_inside(score, x, y, mask, sigma, step_size, generator):
    return step_by_where(score, x, y, mask, sigma, step_size, generator.manual_seed(0))


def step_one_draw_for_all(score, x, y, mask, sigma, step_size, generator):
    z = noise(x[:1], generator)
    return torch.where(mask, y, x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * z)


def step_with(draw):
    """A step with noise `draw(x, generator)`."""

    def answer(score, x, y, mask, sigma, step_size, generator):
        step = x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * draw(x, generator)
        return torch.where(mask, y, step)

    return answer


def step_in_place(score, x, y, mask, sigma, step_size, generator):
    x += step_size / 2 * score(x, sigma) + math.sqrt(step_size) * noise(x, generator)
    x[:, mask] = y[:, mask]
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
            "two normal draws multiplied": step_noise_twice,
            "seeded inside": step_seeded_inside,
            "one draw for all chains": step_one_draw_for_all,
            "global generator": lambda score, x, y, mask, sigma, step_size, generator: torch.where(
                mask, y, x + step_size / 2 * score(x, sigma) + math.sqrt(step_size) * torch.randn_like(x)
            ),
            "in place": step_in_place,
            "float64 whatever x": lambda *a: step_by_where(*a).double(),
        }
        | {how: step_with(draw) for how, draw in DEPENDENT_NOISE.items()},
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
        gives_number=True,
    ),
}
