"""Answers to chapter 2's exercises."""

import torch

from answers import Answers


def half_norm(score, x, sigma):
    return score(x, sigma).flatten(1).pow(2).sum(1) / 2


def sliced_by_jacobian_vector_product(score, x, sigma, v):
    s, along = torch.func.jvp(lambda y: score(y, sigma), (x,), (v,))
    return ((v * along).flatten(1).sum(1) + s.flatten(1).pow(2).sum(1) / 2).mean()


def sliced_one_by_one(score, x, sigma, v):
    total = 0.0
    for x_i, v_i in zip(x, v, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda y: score(y[None], sigma)[0].flatten(), x_i, create_graph=True
        ).reshape(v_i.numel(), v_i.numel())
        s = score(x_i[None], sigma).flatten()
        total = total + v_i.flatten() @ jacobian @ v_i.flatten() + 0.5 * s @ s
    return total / len(x)


def sliced_in_the_chapters_idiom(score, x, sigma, v):
    x.requires_grad_()  # of the argument itself
    s = score(x, sigma)
    (slope,) = torch.autograd.grad((v * s).sum(), x, create_graph=True)
    return ((slope * v).flatten(1).sum(1) + s.flatten(1).pow(2).sum(1) / 2).mean()


def dsm_by_loop(score, x, sigma, z):
    losses = []
    for x_i, z_i in zip(x, z, strict=True):
        s = score((x_i + sigma * z_i)[None], sigma)[0]
        losses.append(((s + z_i / sigma) ** 2).sum() / 2)
    return sum(losses) / len(losses)


def dsm_with_sigma_in_single_precision(score, x, sigma, z):
    sigma = torch.as_tensor(sigma)
    target = -(sigma * z) / sigma**2
    return 0.5 * (score(x + sigma * z, sigma) - target).flatten(1).pow(2).sum(1).mean()


ANSWERS = {
    "dsm_loss": Answers(
        right={
            "example by example": dsm_by_loop,
            "sum over everything, divided by B": lambda score, x, sigma, z: (
                torch.nn.functional.mse_loss(score(x + sigma * z, sigma), -z / sigma, reduction="sum") / (2 * len(x))
            ),
            "σ as a tensor": dsm_with_sigma_in_single_precision,
        },
        wrong={
            "detached": lambda score, x, sigma, z: dsm_by_loop(score, x, sigma, z).detach(),
            "a Python number": lambda score, x, sigma, z: dsm_by_loop(score, x, sigma, z).item(),
            "its own noise": lambda score, x, sigma, z: dsm_by_loop(score, x, sigma, torch.randn_like(z)),
        },
    ),
    "sliced_loss": Answers(
        right={
            "Jacobian-vector product": sliced_by_jacobian_vector_product,
            "full Jacobians, one by one": sliced_one_by_one,
            "requires_grad turned on in the argument": sliced_in_the_chapters_idiom,
        },
        wrong={
            "its own directions": lambda score, x, sigma, v: sliced_by_jacobian_vector_product(
                score, x, sigma, torch.randn_like(v)
            ),
            "no_grad": torch.no_grad()(lambda score, x, sigma, v: half_norm(score, x, sigma).mean()),
        },
    ),
}
