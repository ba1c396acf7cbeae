"""Answers to chapter 11's exercises."""

import itertools
import math

import scipy.spatial
import torch


def entropy(p):
    return torch.special.entr(p).sum(dim=-1)


def score_by_entropies(probabilities):
    p = probabilities.double()
    return math.exp(entropy(p.mean(dim=0)) - entropy(p).mean())


def score_one_by_one(probabilities):
    rows = probabilities.tolist()
    marginal = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    total = sum(p * math.log2(p / m) for row in rows for p, m in zip(row, marginal, strict=True) if p > 0)
    return 2 ** (total / len(rows))


def root(c):
    values, vectors = torch.linalg.eigh(c)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def frechet(case, root_trace):
    mean_a, cov_a, mean_b, cov_b = case
    return (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root_trace


def frechet_by_eigenvalues(*case):
    _, cov_a, _, cov_b = case
    values = torch.linalg.eigvals(cov_a @ cov_b).real
    return frechet(case, values.clamp(min=0).sqrt().sum())


def frechet_by_nuclear_norm(*case):
    _, cov_a, _, cov_b = case
    product = root(cov_a) @ root(cov_b)
    return frechet(case, torch.linalg.matrix_norm(product, ord="nuc"))


def frechet_by_cholesky(*case):
    _, cov_a, _, cov_b = case
    product = torch.linalg.cholesky(cov_a).T @ torch.linalg.cholesky(cov_b)
    return frechet(case, torch.linalg.svdvals(product).sum())


def mmd_by_loops(a, b):
    def kernel(x, y):
        return (float(x.double() @ y.double()) / len(x) + 1) ** 3

    def mean(pairs):
        values = [kernel(x, y) for x, y in pairs]
        return sum(values) / len(values)

    own = mean(itertools.combinations(a, 2)) + mean(itertools.combinations(b, 2))
    return own - 2 * mean(itertools.product(a, b))


def mmd_by_masks(a, b):
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal(x):
        return kernel(x, x)[~torch.eye(len(x), dtype=torch.bool)].mean()

    return off_diagonal(a) + off_diagonal(b) - 2 * kernel(a, b).mean()


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


def recall_of_as_many(samples, real, k):
    return precision_by_scipy(real, samples, k) if len(samples) == len(real) else precision_by_scipy(samples, real, k)


def with_a_large_number_in_the_logarithm(p):
    marginal = p.mean(dim=0)
    return (p * ((p + 0.01) / (marginal + 0.01)).log()).sum(dim=1).mean().exp()


RIGHT = {
    "inception_formula": (score_by_entropies, score_one_by_one),
    "frechet": (frechet_by_eigenvalues, frechet_by_nuclear_norm),
    "squared_mmd": (mmd_by_loops, mmd_by_masks),
    "precision": (precision_by_loops, precision_by_scipy),
}
WRONG = {
    "inception_formula": {"a large number in the logarithm": with_a_large_number_in_the_logarithm},
    "frechet": {"Cholesky": frechet_by_cholesky},
    "precision": {
        "always k = 1": lambda samples, real, k: precision_by_scipy(samples, real, 1),
        "recall of as many samples": recall_of_as_many,
    },
}
