"""Answers to chapter 9's exercises."""

import math

import scipy.spatial
import torch


def entropy(p):
    return torch.special.entr(p).sum(dim=-1)


def score_by_entropies(probabilities):
    p = probabilities.double()
    return math.exp(entropy(p.mean(dim=0)) - entropy(p).mean())


def frechet(case, root_trace):
    mean_a, cov_a, mean_b, cov_b = case
    return (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root_trace


def frechet_by_eigenvalues(*case):
    _, cov_a, _, cov_b = case
    values = torch.linalg.eigvals(cov_a @ cov_b).real
    return frechet(case, values.clamp(min=0).sqrt().sum())


def frechet_by_cholesky(*case):
    _, cov_a, _, cov_b = case
    product = torch.linalg.cholesky(cov_a).T @ torch.linalg.cholesky(cov_b)
    return frechet(case, torch.linalg.svdvals(product).sum())


def mmd_by_masks(a, b):
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal(x):
        return kernel(x, x)[~torch.eye(len(x), dtype=torch.bool)].mean()

    return off_diagonal(a) + off_diagonal(b) - 2 * kernel(a, b).mean()


def precision_by_scipy(samples, real, k):
    tree = scipy.spatial.cKDTree(real.double().numpy())
    radii = tree.query(real.double().numpy(), k + 1)[0][:, -1]
    apart = torch.cdist(samples.double(), real.double())
    return ((apart - torch.as_tensor(radii)).amin(dim=1) <= 0).double().mean()


def with_a_large_number_in_the_logarithm(p):
    marginal = p.mean(dim=0)
    return (p * ((p + 0.01) / (marginal + 0.01)).log()).sum(dim=1).mean().exp()


RIGHT = {
    "inception_formula": (score_by_entropies,),
    "frechet": (frechet_by_eigenvalues,),
    "squared_mmd": (mmd_by_masks,),
    "precision": (precision_by_scipy,),
}
WRONG = {
    "inception_formula": {"a large number in the logarithm": with_a_large_number_in_the_logarithm},
    "frechet": {"Cholesky": frechet_by_cholesky},
    "precision": {"always k = 1": lambda samples, real, k: precision_by_scipy(samples, real, 1)},
}
