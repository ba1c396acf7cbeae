"""Exercises of chapter 11: evaluation."""

import math

import torch

from sbgm_course.exercise import Sign, exercise, relative


def _probabilities(trial):
    for n, k, dtype in ((40, 10, torch.float32), (6, 3, torch.float64)):
        yield [(2 * trial.randn(n, k)).softmax(dim=1).to(dtype)]
        p = (2 * trial.randn(n, k)).softmax(dim=1) * (trial.rand(n, k) > 0.3)
        p[:, 0] += 0.01
        p[0, 1:] = 0.0  # an image that the classifier is sure of
        p[:, -1] = 0.0  # a class that no image has
        yield [(p / p.sum(dim=1, keepdim=True)).to(dtype)]


@exercise("11.1", minutes=10, cases=_probabilities, within=relative(2e-4))
def inception_formula(probabilities):
    """`inception_formula(probabilities)`: the Inception Score, exp E KL(p(y | x) ‖ p(y)), of all images together.

    `probabilities` are p(y | x), (N, K), each row with sum 1; some may be exactly 0. The answer is one number.
    """
    return _divergences(probabilities).mean().exp()


def _divergences(p):
    """KL(p(y | x) ‖ p(y)) of each image, (N,)."""
    marginal = p.mean(dim=0)
    return (torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(dim=1)


def _reversed_divergences(p):
    marginal = p.mean(dim=0)
    return (torch.xlogy(marginal, marginal) - torch.xlogy(marginal, p)).sum(dim=1)


def _entropies(p):
    """Of p(y | x) for each image."""
    return -torch.xlogy(p, p).sum(dim=-1)


inception_formula.mistakes = {
    "NaN where some probabilities are exactly 0: what does p log p tend to, and what does the computer make of "
    "0 · log 0?":
        Sign(lambda answer, right: answer.isnan(), lambda p: (p * (p / p.mean(dim=0)).log()).sum(dim=1).mean().exp()),
    "the exponential is missing":
        (lambda p: _divergences(p).mean(), lambda p: _divergences(p).mean() / math.log(2)),
    "two bases: a logarithm to base 2 or 10, and an exponential to base e": (
        lambda p: (_divergences(p).mean() / math.log(2)).exp(),
        lambda p: (_divergences(p).mean() / math.log(10)).exp(),
    ),
    "the divergence is the wrong way round: it is that of p(y | x) from p(y)":
        lambda p: _reversed_divergences(p).mean().exp(),
    "this is only the entropy of p(y): it sees that there are all kinds, not that each is sure":
        lambda p: _entropies(p.mean(dim=0)).exp(),
    "this is only the entropy of p(y | x): it sees how unsure each is, not that there are all kinds":
        lambda p: _entropies(p).mean().exp(),
    "this is only the entropy of p(y | x), with the wrong sign": lambda p: (-_entropies(p).mean()).exp(),
    "the divergence from the uniform distribution: p(y) is the mean over the images":
        lambda p: p.shape[1] * (-_entropies(p).mean()).exp(),
    "the exponential of each image's divergence, then the mean: which of the two comes first?":
        lambda p: _divergences(p).exp().mean(),
    "summed over the images: the expectation is a mean": lambda p: _divergences(p).sum().exp(),
    "averaged over the classes too: a divergence is a sum over them":
        lambda p: (_divergences(p).mean() / p.shape[1]).exp(),
    "the sign is wrong: this is at most 1, and a score is at least 1": lambda p: (-_divergences(p).mean()).exp(),
    "this is the mean over ten parts, as is the custom: here p(y) is the mean over all images together":
        lambda p: torch.stack([inception_formula.right(part) for part in p.chunk(10)]).mean(),
    "these are probabilities already: they need no softmax": lambda p: inception_formula.right(p.softmax(dim=1)),
}  # fmt: skip


def _gaussians(trial):
    for dim, n_points, dtype in (
        (4, 9, torch.float64),
        (1, 4, torch.float64),
        (5, 12, torch.float32),
        (7, 4, torch.float64),  # singular: four points span three directions
    ):
        points = [trial.randn(n_points, dim) @ trial.randn(dim, dim) for _ in range(2)]
        means = [0.7 * trial.randn(dim).to(dtype) for _ in points]
        covs = [x.T.cov().reshape(dim, dim).to(dtype) for x in points]
        yield means[0], covs[0], means[1], covs[1]


# the roots of eigenvalues that should be 0 are those of their rounding errors
@exercise("11.3", minutes=15, cases=_gaussians, within=relative(1e-3))
def frechet(mean_a, cov_a, mean_b, cov_b):
    """`frechet(mean_a, cov_a, mean_b, cov_b)`: ‖m − m′‖² + tr(C + C′ − 2(CC′)^½), squared, of two Gaussians.

    Means are (F,), covariances (F, F), symmetric without negative eigenvalues; they need not commute, and may be
    singular. The answer is one number.
    """
    values, vectors = torch.linalg.eigh(cov_a)
    half = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    roots = torch.linalg.eigvalsh(half @ cov_b @ half).clamp(min=0).sqrt()
    return (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots.sum()


def _matrix_root(covariance):
    """The symmetric root of a matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _root_trace(c, d):
    """Tr (CC′)^½."""
    return torch.linalg.svdvals(_matrix_root(c) @ _matrix_root(d)).sum()


def _frechet_with(
    *,
    of_means=lambda offset: offset.square().sum(),
    of_covariances=lambda c, d: c.trace() + d.trace() - 2 * _root_trace(c, d),
):
    """The distance with another part of m − m′ or of the covariances."""
    return lambda mean_a, cov_a, mean_b, cov_b: of_means(mean_a - mean_b) + of_covariances(cov_a, cov_b)


def _with_root(root_trace):
    """The distance with another trace of the root."""
    return _frechet_with(of_covariances=lambda c, d: c.trace() + d.trace() - 2 * root_trace(c, d))


frechet.mistakes = {
    "NaN: the root of a negative eigenvalue? One that should be 0 may come out just below it; and a matrix that is not "
    "symmetric needs eigvals, not eigvalsh":
        Sign(lambda answer, right: answer.isnan(), _with_root(lambda c, d: torch.linalg.eigvalsh(c @ d).sqrt().sum())),
    "the distance itself: its square is asked for, as FID is": lambda *case: frechet.right(*case).sqrt(),
    "the means are compared by their distance, and not by its square":
        _frechet_with(of_means=lambda offset: offset.norm()),
    "a factor 2 is missing in front of the root": _with_root(lambda c, d: _root_trace(c, d) / 2),
    "the last term has the wrong sign: equal Gaussians have the distance 0":
        _with_root(lambda c, d: -_root_trace(c, d)),
    "only the means are compared": _frechet_with(of_covariances=lambda c, d: 0.0),
    "only the covariances are compared": _frechet_with(of_means=lambda offset: 0.0),
    "the mean of the squared differences of the means: ‖·‖² is a sum":
        _frechet_with(of_means=lambda offset: offset.square().mean()),
    "tr(C^½ C′^½) is not tr (CC′)^½, unless the two commute":
        _with_root(lambda c, d: (_matrix_root(c) @ _matrix_root(d)).trace()),
    "the root is missing: this is tr CC′": _with_root(lambda c, d: (c @ d).trace()),
    "the root of the trace is not the trace of the root": _with_root(lambda c, d: (c @ d).trace().sqrt()),
    "the root is taken number by number: the root of a matrix is something else":
        _with_root(lambda c, d: (c @ d).clamp(min=0).sqrt().trace()),
    "only the variances are compared: is there a * where @ belongs, or a diagonal too much?":
        _with_root(lambda c, d: (c.diag() * d.diag()).sqrt().sum()),
    "C and C′ are multiplied number by number: with * where @ belongs?":
        _with_root(lambda c, d: torch.linalg.eigvalsh(c * d).clamp(min=0).sqrt().sum()),
    "eigvalsh is for symmetric matrices, and the product of two of them is not one":
        _with_root(lambda c, d: torch.linalg.eigvalsh(c @ d).clamp(min=0).sqrt().sum()),
    "singular values of CC′ are not its eigenvalues: it is not symmetric":
        _with_root(lambda c, d: torch.linalg.svdvals(c @ d).sqrt().sum()),
    "the difference of the covariances, squared: this is no Fréchet distance":
        _frechet_with(of_covariances=lambda c, d: (c - d).square().sum()),
}  # fmt: skip


def _sets(trial):
    for n, m, dim, dtype in ((5, 8, 3, torch.float64), (9, 9, 4, torch.float32)):
        yield trial.randn(n, dim, dtype=dtype), (1.5 + 1.3 * trial.randn(m, dim)).to(dtype)
    a = trial.randn(6, 2)
    yield a, a  # for which the unbiased estimate is negative


@exercise("11.4", minutes=10, cases=_sets)
def squared_mmd(a, b):
    """`squared_mmd(a, b)`: the unbiased kernel distance of KID, with the kernel (a·b/F + 1)³.

    a is (N, F), b is (M, F); the answer is one number, which may be negative.
    """

    def k(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    return _pairs(k(a, a)) + _pairs(k(b, b)) - 2 * k(a, b).mean()


def _pairs(k):
    """Of the numbers (N, N) of all pairs, the mean of those of two."""
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def _mmd_with(
    *,
    kernel=lambda products, a: (products / a.shape[1] + 1) ** 3,
    own=_pairs,
    mixed=torch.mean,
    weight=2.0,
):
    """The distance with another kernel, of products and a set; other means; or another weight of the mixed one."""

    def mistaken(a, b):
        aa, bb, ab = (kernel(x @ y.T, a) for x, y in ((a, a), (b, b), (a, b)))
        return own(aa) + own(bb) - weight * mixed(ab)

    return mistaken


squared_mmd.mistakes = {
    "cut off at 0, or made positive: an unbiased estimate of 0 is negative about half of the time":
        (lambda a, b: squared_mmd.right(a, b).clamp(min=0), lambda a, b: squared_mmd.right(a, b).abs()),
    "the pairs i = j are counted: each image's pair with itself makes this too large":
        _mmd_with(own=torch.mean),
    "the pairs i = j are left out of the sum or of its count, and not of both": (
        _mmd_with(own=lambda k: (k.sum() - k.trace()) / len(k) ** 2),
        _mmd_with(own=lambda k: k.sum() / (len(k) * (len(k) - 1))),
    ),
    "the kernel lacks the division by F: is it the mean or the sum over the features?":
        _mmd_with(kernel=lambda products, a: (products + 1) ** 3),
    "the kernel is divided by the number of images, not of features":
        _mmd_with(kernel=lambda products, a: (products / len(a) + 1) ** 3),
    "the kernel has another power than 3, with which it compares the first three moments": (
        _mmd_with(kernel=lambda products, a: (products / a.shape[1] + 1) ** 2),
        _mmd_with(kernel=lambda products, a: products / a.shape[1] + 1),
    ),
    "the kernel lacks its + 1":
        _mmd_with(kernel=lambda products, a: (products / a.shape[1]) ** 3),
    "a factor 2 is missing: how often does the mixed mean come?":
        _mmd_with(weight=1.0),
    "the mixed mean has the wrong sign: equal sets have no distance":
        _mmd_with(weight=-2.0),
    "the mixed mean is missing: each set is compared only with itself":
        _mmd_with(weight=0.0),
    "this is only the mixed mean":
        _mmd_with(own=lambda k: 0.0, weight=-1.0),
    "a root is taken: the root of an unbiased estimate is biased, and of a negative one no number":
        lambda a, b: squared_mmd.right(a, b).sqrt(),
    "the mixed pairs i = j are left out: x_i and y_i are two images, as any other two are":
        (_mmd_with(mixed=_pairs), _mmd_with(mixed=lambda k: (k.sum() - k.trace()) / (k.numel() - min(k.shape)))),
}  # fmt: skip


def _points(trial):
    for n, m, dim, dtype in ((500, 150, 2, torch.float64), (200, 200, 3, torch.float32)):
        for k in (3, 1):
            yield (1.3 * trial.randn(n, dim) + 0.8).to(dtype), trial.randn(m, dim).to(dtype), k


@exercise("11.6", minutes=10, cases=_points)
def precision(samples, real, k):
    """`precision(samples, real, k)`: the share of samples in a ball of the real points, Kynkäänniemi et al. 2019.

    A real point's ball reaches to the k-th nearest of the *other* real points. `samples` are (N, F), `real` (M, F), k
    is an integer ≥ 1, less than M. The answer is one number.
    """
    radii = torch.cdist(real, real).sort(dim=1).values[:, k]
    return (torch.cdist(samples, real) <= radii).any(dim=1).double().mean()


def _radii(points, k):
    """The distance of each point to the k-th nearest other one, (M,); 0 for k = 0."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").sort(dim=1).values[:, k]


def _precision_with(
    radii=lambda samples, real, k: _radii(real, k),
    reduced=lambda inside: inside.any(dim=1).double().mean(),
    inside=lambda distances, radii: distances <= radii,
):
    """The share with other radii, (M,), another number made of who lies in which ball, or another test of it."""
    return lambda samples, real, k: reduced(inside(torch.cdist(samples, real), radii(samples, real, k)))


def _in_nearest(distances, radii):
    """Whether each sample lies in the ball of the nearest real point, (N, 1)."""
    return distances.amin(dim=1, keepdim=True) <= radii[distances.argmin(dim=1)][:, None]


precision.mistakes = {
    "it counts all samples, or none, where some lie in a ball: how far does a ball reach?":  # which any rule may
        Sign(lambda answer, right: answer in (0, 1), _precision_with(lambda samples, real, k: 0 * _radii(real, k))),
    "each point counts as its own neighbour: the nearest point to a real one is itself, at distance 0":
        _precision_with(lambda samples, real, k: _radii(real, k - 1)),
    "a ball reaches to the k-th nearest other point, and here to the one after it":
        _precision_with(lambda samples, real, k: _radii(real, k + 1)),
    "this is recall: the share of real points in a ball of the samples":
        lambda samples, real, k: precision.right(real, samples, k),
    "the balls are the samples': those of the real points decide what is realistic":
        _precision_with(lambda samples, real, k: _radii(samples, k)[:, None]),
    "this is the share of real balls that hold a sample, coverage":
        _precision_with(reduced=lambda inside: inside.any(dim=0).double().mean()),
    "this is a number of samples: a share is asked for":
        _precision_with(reduced=lambda inside: inside.any(dim=1).double().sum()),
    "a sample in several balls counts several times": (
        lambda samples, real, k: _precision_with(reduced=lambda inside: inside.sum() / (len(samples) * k))(
            samples, real, k
        ),
        _precision_with(reduced=lambda inside: inside.double().sum() / len(inside)),
    ),
    "this is the share of all pairs of a sample and a ball":
        _precision_with(reduced=lambda inside: inside.double().mean()),
    "only the ball of the nearest real point is looked at: another, larger one may hold the sample":
        _precision_with(inside=_in_nearest),
    "all balls have one radius: each has its own": (
        _precision_with(lambda samples, real, k: _radii(real, k).mean()),
        _precision_with(lambda samples, real, k: _radii(real, k).max()),
    ),
    "squared distances are compared with radii":
        _precision_with(inside=lambda distances, radii: distances**2 <= radii),
    "the share outside of the balls":
        _precision_with(reduced=lambda inside: 1 - inside.any(dim=1).double().mean()),
}  # fmt: skip
