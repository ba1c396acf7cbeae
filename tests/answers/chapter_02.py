"""Answers to chapter 2's exercises."""

from functools import partial

import torch


def half_norm(score, x, sigma):
    return score(x, sigma).flatten(1).pow(2).sum(1) / 2


def sliced_by_jacobian_vector_product(score, x, sigma, v):
    s, along = torch.func.jvp(lambda y: score(y, sigma), (x,), (v,))
    slopes = (v * along).flatten(1).sum(1)
    return (slopes + s.flatten(1).pow(2).sum(1) / 2).mean()


def sliced_one_by_one(score, x, sigma, v):
    total = 0.0
    for x_i, v_i in zip(x, v.flatten(1), strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda y: score(y[None], sigma)[0].flatten(), x_i, create_graph=True
        )
        total = total + v_i @ jacobian.flatten(1) @ v_i + half_norm(score, x_i[None], sigma)[0]
    return total / len(x)


def sliced_in_the_chapters_idiom(score, x, sigma, v, create_graph=True):
    x.requires_grad_()  # of the argument itself
    s = score(x, sigma)
    (slope,) = torch.autograd.grad((v * s).sum(), x, create_graph=create_graph)
    slopes = (slope * v).flatten(1).sum(1)
    return (slopes + s.flatten(1).pow(2).sum(1) / 2).mean()


def dsm_by_loop(score, x, sigma, z):
    losses = []
    for x_i, z_i in zip(x, z, strict=True):
        noisy = x_i + sigma * z_i
        residual = score(noisy[None], sigma)[0] + z_i / sigma
        losses.append((residual**2).sum() / 2)
    return sum(losses) / len(losses)


def dsm_by_mse_loss(score, x, sigma, z):
    s = score(x + sigma * z, sigma)
    loss = torch.nn.functional.mse_loss(s, -z / sigma, reduction="sum")
    return loss / (2 * len(x))


RIGHT = {
    "dsm_loss": (dsm_by_loop, dsm_by_mse_loss),
    "sliced_loss": (sliced_by_jacobian_vector_product, sliced_one_by_one, sliced_in_the_chapters_idiom),
}
WRONG = {"sliced_loss": {"no create_graph": partial(sliced_in_the_chapters_idiom, create_graph=False)}}
