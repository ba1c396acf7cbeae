"""Answers to chapter 9's exercises."""

import itertools
import math
from functools import partial

import scipy.spatial
import torch

from answers import Answers

TINY = 1e-12


def entropy(p):
    return torch.special.entr(p).sum(dim=-1)


def score_by_entropies(probabilities):
    p = probabilities.double()
    return math.exp(entropy(p.mean(dim=0)) - entropy(p).mean())


def score_with_a_tiny_number(p):
    p = p.double()
    return (p * ((p + TINY) / (p.mean(dim=0) + TINY)).log()).sum(dim=1).mean().exp()


def score_one_by_one(probabilities):
    rows = probabilities.tolist()
    marginal = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    total = sum(p * math.log2(p / m) for row in rows for p, m in zip(row, marginal, strict=True) if p > 0)
    return 2 ** (total / len(rows))


def root(c):
    values, vectors = torch.linalg.eigh(c)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def apart(mean_a, mean_b):
    return (mean_a - mean_b).square().sum()


def frechet(mean_a, cov_a, mean_b, cov_b, *, trace_of_root):
    """The distance with a given idea of tr (CC′)^½."""
    return apart(mean_a, mean_b) + cov_a.trace() + cov_b.trace() - 2 * trace_of_root(cov_a, cov_b)


def k(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd(a, b, kernel=k):
    n, m = len(a), len(b)
    own_a, own_b = (kernel(x, x) for x in (a, b))
    mean_a, mean_b = ((own.sum() - own.trace()) / (len(own) * (len(own) - 1)) for own in (own_a, own_b))
    return mean_a + mean_b - 2 * kernel(a, b).sum() / (n * m)


def mmd_by_loops(a, b):
    def kernel(x, y):
        return (float(x.double() @ y.double()) / len(x) + 1) ** 3

    def mean(pairs):
        values = [kernel(x, y) for x, y in pairs]
        return sum(values) / len(values)

    own = mean(itertools.combinations(a, 2)) + mean(itertools.combinations(b, 2))
    return own - 2 * mean(itertools.product(a, b))


def mmd_by_masks(a, b):
    def off_diagonal(x):
        return k(x, x)[~torch.eye(len(x), dtype=torch.bool)].mean()

    return off_diagonal(a) + off_diagonal(b) - 2 * k(a, b).mean()


def distances(a, b):
    return (a[:, None] - b).norm(dim=2)


def precision_by_loops(samples, real, k):
    def away(a, b):
        return math.dist(a.tolist(), b.tolist())

    radii = [sorted(away(a, b) for j, b in enumerate(real) if j != i)[k - 1] for i, a in enumerate(real)]
    inside = [any(away(x, y) <= r for y, r in zip(real, radii, strict=True)) for x in samples]
    return sum(inside) / len(inside)


def precision_by_scipy(samples, real, k):
    tree = scipy.spatial.cKDTree(real.double().numpy())
    radii = tree.query(real.double().numpy(), k + 1)[0][:, -1]
    apart = torch.cdist(samples.double(), real.double())
    return ((apart - torch.as_tensor(radii)).amin(dim=1) <= 0).double().mean()


def precision(samples, real, k, *, own=1, count=lambda inside: inside.any(dim=1).double().mean(), radius=lambda r: r):
    """Precision with a given idea of the neighbours, of what is counted, and of the radii."""
    radii = distances(real, real).kthvalue(k + own, dim=1).values
    return count(distances(samples, real) <= radius(radii))


ANSWERS = {
    "inception_formula": Answers(
        right={
            "entropies": score_by_entropies,
            "a tiny number in the logarithm": score_with_a_tiny_number,
            "one by one, in bits": score_one_by_one,
        },
        wrong={
            "a large number in the logarithm": lambda p: (
                (p * ((p + 0.01) / (p.mean(dim=0) + 0.01)).log()).sum(dim=1).mean().exp()
            ),
            "one score an image": lambda p: entropy(p).exp(),
        },
    ),
    "frechet": Answers(
        right={
            "eigenvalues of CC′": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.eigvals(c @ d).real.clamp(min=0).sqrt().sum()
            ),
            "nuclear norm of C^½ C′^½": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.matrix_norm(root(c) @ root(d), ord="nuc")
            ),
        },
        wrong={
            "Cholesky": partial(
                frechet,
                trace_of_root=lambda c, d: torch.linalg.svdvals(
                    torch.linalg.cholesky(c).T @ torch.linalg.cholesky(d)
                ).sum(),
            ),
            "the matrix, not its trace": lambda m, c, n, d: apart(m, n) + c + d - 2 * root(root(c) @ d @ root(c)),
        },
    ),
    "squared_mmd": Answers(
        right={
            "sums less traces": mmd,
            "pair by pair": mmd_by_loops,
            "masks": mmd_by_masks,
        },
        wrong={
            "a Gaussian kernel": lambda a, b: mmd(a, b, lambda x, y: (-(torch.cdist(x, y) ** 2) / 2).exp()),
        },
    ),
    "precision": Answers(
        right={
            "kthvalue": precision,
            "pair by pair": precision_by_loops,
            "scipy's tree": precision_by_scipy,
        },
        wrong={
            "every ball": partial(precision, count=lambda inside: inside.all(dim=1).double().mean()),
            "always k = 1": lambda samples, real, k: precision(samples, real, 1),
            "one a sample": lambda samples, real, k: (
                (distances(samples, real) <= distances(real, real).kthvalue(k + 1, dim=1).values).any(dim=1).double()
            ),
        },
    ),
}
