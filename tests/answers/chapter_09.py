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


def score_reversed(p):
    m = p.mean(dim=0)
    return (torch.xlogy(m, m) - torch.xlogy(m, p)).sum(dim=1).mean().exp()


def divergences(p):
    return (torch.xlogy(p, p) - torch.xlogy(p, p.mean(dim=0))).sum(dim=1)


def root(c):
    values, vectors = torch.linalg.eigh(c)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def apart(mean_a, mean_b):
    return (mean_a - mean_b).square().sum()


def frechet_symmetric(mean_a, cov_a, mean_b, cov_b):
    half = root(cov_a)
    values = torch.linalg.eigvalsh(half @ cov_b @ half).clamp(min=0)
    return apart(mean_a, mean_b) + torch.trace(cov_a + cov_b) - 2 * values.sqrt().sum()


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


def mmd_without_mixed_diagonal(a, b):
    if len(a) != len(b):
        return mmd(a, b)
    mixed = k(a, b)
    return mmd(a, b) + 2 * mixed.mean() - 2 * (mixed.sum() - mixed.trace()) / (len(a) * (len(a) - 1))


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


def by_the_nearest_ball(samples, real, k):
    radii, across = distances(real, real).kthvalue(k + 1, dim=1).values, distances(samples, real)
    nearest = across.min(dim=1)
    return (nearest.values <= radii[nearest.indices]).double().mean()


ANSWERS = {
    "inception_formula": Answers(
        right={
            "entropies": score_by_entropies,
            "a tiny number in the logarithm": score_with_a_tiny_number,
            "one by one, in bits": score_one_by_one,
            "xlogy": lambda p: divergences(p).mean().exp(),
        },
        wrong={
            "no exponential": lambda p: divergences(p).mean(),
            "base 2": lambda p: (divergences(p).mean() / math.log(2)).exp(),
            "base 2, no exponential": lambda p: divergences(p).mean() / math.log(2),
            "base 10": lambda p: (divergences(p).mean() / math.log(10)).exp(),
            "reversed": score_reversed,
            "entropy of p(y) only": lambda p: entropy(p.mean(dim=0)).exp(),
            "entropy of p(y|x) only": lambda p: entropy(p).mean().exp(),
            "entropy of p(y|x) only, negative": lambda p: (-entropy(p).mean()).exp(),
            "against the uniform distribution": lambda p: p.shape[1] * (-entropy(p).mean()).exp(),
            "exponential before the mean": lambda p: divergences(p).exp().mean(),
            "summed over the images": lambda p: divergences(p).sum().exp(),
            "averaged over the classes": lambda p: (divergences(p) / p.shape[1]).mean().exp(),
            "sign": lambda p: (-divergences(p).mean()).exp(),
            "p(y) over the classes": lambda p: (
                (torch.xlogy(p, p) - torch.xlogy(p, p.mean(dim=1, keepdim=True))).sum(dim=1).mean().exp()
            ),
            "as written, 0 log 0": lambda p: (p * (p / p.mean(dim=0)).log()).sum(dim=1).mean().exp(),
            "softmax of probabilities": lambda p: divergences(p.softmax(dim=1)).mean().exp(),
            "a large number in the logarithm": lambda p: (
                (p * ((p + 0.01) / (p.mean(dim=0) + 0.01)).log()).sum(dim=1).mean().exp()
            ),
            "one score an image": lambda p: divergences(p).exp(),
            "mean over ten parts": lambda p: (
                sum(divergences(part).mean().exp() for part in p.chunk(10)) / len(p.chunk(10))
            ),
        },
    ),
    "frechet": Answers(
        right={
            "eigvalsh of C^½ C′ C^½": frechet_symmetric,
            "eigenvalues of CC′": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.eigvals(c @ d).real.clamp(min=0).sqrt().sum()
            ),
            "nuclear norm of C^½ C′^½": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.matrix_norm(root(c) @ root(d), ord="nuc")
            ),
        },
        wrong={
            "distance, not squared": lambda *a: frechet_symmetric(*a).sqrt(),
            "means not squared": lambda m, c, n, d: frechet_symmetric(m, c, m, d) + (m - n).norm(),
            "means averaged": lambda m, c, n, d: frechet_symmetric(m, c, m, d) + (m - n).square().mean(),
            "no 2": lambda m, c, n, d: (frechet_symmetric(m, c, n, d) + apart(m, n) + c.trace() + d.trace()) / 2,
            "1 for 2": lambda m, c, n, d: (
                apart(m, n) + c.trace() + d.trace() - torch.trace(root(root(c) @ d @ root(c)))
            ),
            "sign of the root": lambda m, c, n, d: (
                2 * (apart(m, n) + c.trace() + d.trace()) - frechet_symmetric(m, c, n, d)
            ),
            "means only": lambda m, c, n, d: apart(m, n),
            "covariances only": lambda m, c, n, d: frechet_symmetric(m, c, m, d),
            "roots multiplied": partial(frechet, trace_of_root=lambda c, d: (root(c) @ root(d)).trace()),
            "no root": partial(frechet, trace_of_root=lambda c, d: (c @ d).trace()),
            "root of the trace": partial(frechet, trace_of_root=lambda c, d: (c @ d).trace().sqrt()),
            "root number by number": partial(frechet, trace_of_root=lambda c, d: (c @ d).clamp(min=0).sqrt().trace()),
            "product number by number": partial(frechet, trace_of_root=lambda c, d: (c * d).sqrt().trace()),
            "eigenvalues of C * C′": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.eigvals(c * d).sqrt().real.sum()
            ),
            "eigvalsh of CC′": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.eigvalsh(c @ d).clamp(min=0).sqrt().sum()
            ),
            "eigvalsh of CC′, not clamped": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.eigvalsh(c @ d).sqrt().sum()
            ),
            "singular values of CC′": partial(
                frechet, trace_of_root=lambda c, d: torch.linalg.svdvals(c @ d).sqrt().sum()
            ),
            "variances only": lambda m, c, n, d: apart(m, n) + (c.diag().sqrt() - d.diag().sqrt()).square().sum(),
            "difference of the roots": lambda m, c, n, d: apart(m, n) + (root(c) - root(d)).square().sum(),
            "difference of the covariances": lambda m, c, n, d: apart(m, n) + (c - d).square().sum(),
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
            "V-statistic": lambda a, b: k(a, a).mean() + k(b, b).mean() - 2 * k(a, b).mean(),
            "pairs i = j in the sum only": lambda a, b: (
                sum(k(x, x).sum() / (len(x) * (len(x) - 1)) for x in (a, b)) - 2 * k(a, b).mean()
            ),
            "pairs i = j in the count only": lambda a, b: (
                sum((k(x, x).sum() - k(x, x).trace()) / len(x) ** 2 for x in (a, b)) - 2 * k(a, b).mean()
            ),
            "mixed pairs i = j left out": mmd_without_mixed_diagonal,
            "no /F": lambda a, b: mmd(a, b, lambda x, y: (x @ y.T + 1) ** 3),
            "/N for /F": lambda a, b: mmd(a, b, lambda x, y: (x @ y.T / len(a) + 1) ** 3),
            "power 2": lambda a, b: mmd(a, b, lambda x, y: (x @ y.T / x.shape[1] + 1) ** 2),
            "power 1": lambda a, b: mmd(a, b, lambda x, y: x @ y.T / x.shape[1] + 1),
            "no + 1": lambda a, b: mmd(a, b, lambda x, y: (x @ y.T / x.shape[1]) ** 3),
            "a Gaussian kernel": lambda a, b: mmd(a, b, lambda x, y: (-(torch.cdist(x, y) ** 2) / 2).exp()),
            "factor 2 missing": lambda a, b: mmd(a, b) + k(a, b).mean(),
            "sign of the mixed mean": lambda a, b: mmd(a, b) + 4 * k(a, b).mean(),
            "no mixed mean": lambda a, b: mmd(a, b) + 2 * k(a, b).mean(),
            "mixed mean only": lambda a, b: k(a, b).mean(),
            "root": lambda a, b: mmd(a, b).sqrt(),
            "root of the absolute value": lambda a, b: mmd(a, b).abs().sqrt(),
            "sign": lambda a, b: -mmd(a, b),
            "cut off at 0": lambda a, b: mmd(a, b).clamp(min=0),
            "absolute value": lambda a, b: mmd(a, b).abs(),
        },
    ),
    "precision": Answers(
        right={
            "kthvalue": precision,
            "pair by pair": precision_by_loops,
            "scipy's tree": precision_by_scipy,
        },
        wrong={
            "itself its neighbour": partial(precision, own=0),
            "one too far": partial(precision, own=2),
            "recall": lambda samples, real, k: precision(real, samples, k),
            "balls of the samples": lambda samples, real, k: (
                (distances(samples, real).amin(dim=1) <= distances(samples, samples).kthvalue(k + 1, dim=1).values)
                .double()
                .mean()
            ),
            "coverage": partial(precision, count=lambda inside: inside.any(dim=0).double().mean()),
            "a number": partial(precision, count=lambda inside: inside.any(dim=1).sum()),
            "balls a sample": partial(precision, count=lambda inside: inside.sum(dim=1).double().mean()),
            "density": lambda samples, real, k: (
                precision(samples, real, k, count=lambda inside: inside.sum(dim=1).double().mean()) / k
            ),
            "all pairs": partial(precision, count=lambda inside: inside.double().mean()),
            "every ball": partial(precision, count=lambda inside: inside.all(dim=1).double().mean()),
            "mean radius": partial(precision, radius=torch.mean),
            "largest radius": partial(precision, radius=torch.max),
            "the nearest's ball only": by_the_nearest_ball,
            "squared distances": lambda samples, real, k: (
                (distances(samples, real) ** 2 <= distances(real, real).kthvalue(k + 1, dim=1).values)
                .any(dim=1)
                .double()
                .mean()
            ),
            "outside": lambda samples, real, k: 1 - precision(samples, real, k),
            "always k = 1": lambda samples, real, k: precision(samples, real, 1),
            "one a sample": lambda samples, real, k: (
                (distances(samples, real) <= distances(real, real).kthvalue(k + 1, dim=1).values).any(dim=1).double()
            ),
        },
    ),
}
