"""Answers to chapter 2's exercises."""

import torch

from answers import Answers


def slope(score, x, sigma, v, **options):
    """vᵀ∇s v of each example, by reverse mode."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((v * score(x, sigma)).sum(), x, **options)
    return (gradient * v).flatten(1).sum(1)


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


def dsm_by_loop(score, x, sigma, z):
    losses = []
    for x_i, z_i in zip(x, z, strict=True):
        s = score((x_i + sigma * z_i)[None], sigma)[0]
        losses.append(((s + z_i / sigma) ** 2).sum() / 2)
    return sum(losses) / len(losses)


ANSWERS = {
    "dsm_target": Answers(
        right={
            "as written": lambda x, x_noisy, sigma: -(x_noisy - x) / sigma**2,
            "through z": lambda x, x_noisy, sigma: -((x_noisy - x) / sigma) / sigma,
            "by autograd": lambda x, x_noisy, sigma: torch.func.grad(
                lambda y: -(y - x).square().sum() / (2 * sigma**2)
            )(x_noisy),
        },
        wrong={
            "sign": lambda x, x_noisy, sigma: (x_noisy - x) / sigma**2,
            "σ for σ²": lambda x, x_noisy, sigma: -(x_noisy - x) / sigma,
            "not divided": lambda x, x_noisy, sigma: -(x_noisy - x),
            "the raw difference": lambda x, x_noisy, sigma: x_noisy - x,
            "extra ½": lambda x, x_noisy, sigma: -0.5 * (x_noisy - x) / sigma**2,
            "variance squared": lambda x, x_noisy, sigma: -(x_noisy - x) / sigma**4,
            "pulls to the origin": lambda x, x_noisy, sigma: -x / sigma**2,
            "one σ too many in the float": lambda x, x_noisy, sigma: -(x_noisy - x).double() / sigma**2 + 1e-3,
            "mean over the batch": lambda x, x_noisy, sigma: (-(x_noisy - x) / sigma**2).mean(0),
        },
    ),
    "dsm_loss": Answers(
        right={
            "vectorised": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma * z, sigma) + z / sigma).flatten(1).square().sum(1).mean()
            ),
            "example by example": dsm_by_loop,
            "sum over everything, divided by B": lambda score, x, sigma, z: (
                torch.nn.functional.mse_loss(score(x + sigma * z, sigma), -z / sigma, reduction="sum") / (2 * len(x))
            ),
        },
        wrong={
            "no ½": lambda score, x, sigma, z: (
                (score(x + sigma * z, sigma) + z / sigma).flatten(1).pow(2).sum(1).mean()
            ),
            "sign of the target": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma * z, sigma) - z / sigma).flatten(1).pow(2).sum(1).mean()
            ),
            "sum over the batch": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma * z, sigma) + z / sigma).pow(2).sum()
            ),
            "mean over everything": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma * z, sigma) + z / sigma).pow(2).mean()
            ),
            "score at the clean point": lambda score, x, sigma, z: (
                0.5 * (score(x, sigma) + z / sigma).flatten(1).pow(2).sum(1).mean()
            ),
            "σ² in the target": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma * z, sigma) + z / sigma**2).flatten(1).pow(2).sum(1).mean()
            ),
            "variance for the standard deviation": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma**2 * z, sigma) + z / sigma).flatten(1).pow(2).sum(1).mean()
            ),
            "weighted by σ²": lambda score, x, sigma, z: (
                0.5 * (sigma * score(x + sigma * z, sigma) + z).flatten(1).pow(2).sum(1).mean()
            ),
            "detached": lambda score, x, sigma, z: dsm_by_loop(score, x, sigma, z).detach(),
            "a Python number": lambda score, x, sigma, z: dsm_by_loop(score, x, sigma, z).item(),
            "its own noise": lambda score, x, sigma, z: dsm_by_loop(score, x, sigma, torch.randn_like(z)),
            "no σ for the score": lambda score, x, sigma, z: (
                0.5 * (score(x + sigma * z) + z / sigma).flatten(1).pow(2).sum(1).mean()
            ),
        },
        gives_number=True,
    ),
    "sliced_loss": Answers(
        right={
            "double backward": lambda score, x, sigma, v: (
                slope(score, x, sigma, v, create_graph=True) + half_norm(score, x, sigma)
            ).mean(),
            "Jacobian-vector product": sliced_by_jacobian_vector_product,
            "full Jacobians, one by one": sliced_one_by_one,
        },
        wrong={
            "no σ for the score": lambda score, x, sigma, v: (
                slope(score, x, 0.0, v, create_graph=True) + half_norm(score, x, 0.0)
            ).mean(),
            "no ½": lambda score, x, sigma, v: (
                slope(score, x, sigma, v, create_graph=True) + 2 * half_norm(score, x, sigma)
            ).mean(),
            "sign of the slope": lambda score, x, sigma, v: (
                half_norm(score, x, sigma) - slope(score, x, sigma, v, create_graph=True)
            ).mean(),
            "no create_graph": lambda score, x, sigma, v: (
                slope(score, x, sigma, v) + half_norm(score, x, sigma)
            ).mean(),
            "(vᵀs)² for ‖s‖²": lambda score, x, sigma, v: (
                slope(score, x, sigma, v, create_graph=True) + (v * score(x, sigma)).flatten(1).sum(1) ** 2 / 2
            ).mean(),
            "sum over the batch": lambda score, x, sigma, v: (
                slope(score, x, sigma, v, create_graph=True) + half_norm(score, x, sigma)
            ).sum(),
            "only the norm": lambda score, x, sigma, v: half_norm(score, x, sigma).mean(),
            "only the slope": lambda score, x, sigma, v: slope(score, x, sigma, v, create_graph=True).mean(),
            "½ on both": lambda score, x, sigma, v: (
                0.5 * slope(score, x, sigma, v, create_graph=True) + half_norm(score, x, sigma)
            ).mean(),
            "its own directions": lambda score, x, sigma, v: (
                slope(score, x, sigma, torch.randn_like(v), create_graph=True) + half_norm(score, x, sigma)
            ).mean(),
            "no_grad": torch.no_grad()(lambda score, x, sigma, v: half_norm(score, x, sigma).mean()),
        },
        gives_number=True,
    ),
}
