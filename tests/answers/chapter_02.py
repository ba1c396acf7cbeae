"""Answers to chapter 2's exercises."""

from functools import partial

import torch


def sliced_by_jacobian_vector_product(score, x, sigma, v):
    s, along = torch.func.jvp(lambda y: score(y, sigma), (x,), (v,))
    slopes = (v * along).flatten(1).sum(1)
    return (slopes + s.flatten(1).pow(2).sum(1) / 2).mean()


def sliced_in_the_chapters_idiom(score, x, sigma, v, create_graph=True):
    x.requires_grad_()  # of the argument itself
    s = score(x, sigma)
    (slope,) = torch.autograd.grad((v * s).sum(), x, create_graph=create_graph)
    slopes = (slope * v).flatten(1).sum(1)
    return (slopes + s.flatten(1).pow(2).sum(1) / 2).mean()


def dsm_by_mse_loss(score, x, sigma, z):
    s = score(x + sigma * z, sigma)
    loss = torch.nn.functional.mse_loss(s, -z / sigma, reduction="sum")
    return loss / (2 * len(x))


def variances_by_eigenvalues(A):
    normal = 2 * torch.linalg.eigvalsh(A).square().sum()
    pairs = A[torch.triu(torch.ones_like(A), diagonal=1) > 0]
    return torch.stack([normal, 4 * pairs.square().sum()])


RIGHT = {
    "dsm_loss": (dsm_by_mse_loss,),
    "direction_variances": (variances_by_eigenvalues,),
    "sliced_loss": (sliced_by_jacobian_vector_product, sliced_in_the_chapters_idiom),
}
WRONG = {"sliced_loss": {"no create_graph": partial(sliced_in_the_chapters_idiom, create_graph=False)}}
