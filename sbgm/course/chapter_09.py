"""Exercises of chapter 9: evaluation."""

import torch
from torch import Tensor

from sbgm.course.old_exercise import Trial, compare, exercise

FRECHET_TOLERANCE = 1e-3  # the roots of eigenvalues that should be 0 are those of their rounding errors


@exercise("9.1", minutes=10)
def inception_formula(trial: Trial) -> None:
    """`inception_formula(probabilities)`: the Inception Score, exp E KL(p(y | x) ‖ p(y)), of all images together.

    `probabilities` are p(y | x), (N, K), each row with sum 1; some may be exactly 0. The answer is one number.
    """
    for n, k, dtype in ((40, 10, torch.float32), (6, 3, torch.float64)):
        for zeros in (False, True):
            p = (2 * trial.randn(n, k)).softmax(dim=1)
            if zeros:
                p = p * (trial.rand(n, k) > 0.3)
                p[:, 0] += 0.01
                p[0, 1:] = 0.0  # an image that the classifier is sure of
                p[:, -1] = 0.0  # a class that no image has
                p = p / p.sum(dim=1, keepdim=True)
            probabilities = p.to(dtype)
            p = probabilities.double()
            marginal, right = p.mean(dim=0), inception_formula.lent(p)
            kl = (torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(dim=1)  # of p(y | x) from p(y), (N,)
            own_entropy, entropy = -torch.xlogy(p, p).sum(dim=1), -torch.xlogy(marginal, marginal).sum()
            reverse = (torch.xlogy(marginal, marginal) - torch.xlogy(marginal, p)).sum(dim=1)
            answer = trial.answer(right, probabilities)
            compare(
                answer,
                right,
                {
                    "NaN where some probabilities are exactly 0: what does p log p tend to, and what does the computer "
                    "make of 0 · log 0?": zeros and bool(answer.isnan()),
                    "the exponential is missing": kl.mean(),
                    "a logarithm to base 2 and an exponential to base e": (kl.mean() / torch.tensor(2.0).log()).exp(),
                    "the exponential is missing, and the logarithm is to base 2":
                        kl.mean() / torch.tensor(2.0).log(),
                    "a logarithm to base 10 and an exponential to base e": (kl.mean() / torch.tensor(10.0).log()).exp(),
                    "the divergence is the wrong way round: it is that of p(y | x) from p(y)": reverse.mean().exp(),
                    "only the entropy of p(y): it sees that there are all kinds, not that each is sure": entropy.exp(),
                    "only the entropy of p(y | x): it sees how unsure each is, not that there are all kinds":
                        own_entropy.mean().exp(),
                    "only the entropy of p(y | x), with the sign turned": (-own_entropy.mean()).exp(),
                    "the divergence from the uniform distribution: p(y) is the mean over the images":
                        k * (-own_entropy.mean()).exp(),
                    "the exponential of each image's divergence, then the mean: which of the two comes first?":
                        kl.exp().mean(),
                    "summed over the images: the expectation is a mean": kl.sum().exp(),
                    "averaged over the classes too: a divergence is a sum over them": (kl.mean() / k).exp(),
                    "the sign is wrong: this is at most 1, and a score is at least 1": (-kl.mean()).exp(),
                    "the mean over ten parts, as is the custom: here p(y) is that of all images together":
                        torch.stack([inception_formula.lent(part) for part in p.chunk(10)]).mean(),
                    "these are probabilities already: they need no softmax": inception_formula.lent(p.softmax(dim=1)),
                },
                tolerance=2e-4,
            )  # fmt: skip


@inception_formula.lends
def _(probabilities):
    p, marginal = probabilities, probabilities.mean(dim=0)
    return (torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(dim=1).mean().exp()


@exercise("9.3", minutes=15)
def frechet(trial: Trial) -> None:
    """`frechet(mean_a, cov_a, mean_b, cov_b)`: ‖m − m′‖² + tr(C + C′ − 2(CC′)^½), squared, of two Gaussians.

    Means are (F,), covariances (F, F), symmetric without negative eigenvalues; they need not commute, and may be
    singular. The answer is one number.
    """
    for dim, n_points, dtype in (
        (4, 9, torch.float64),
        (1, 4, torch.float64),
        (5, 12, torch.float32),
        (7, 4, torch.float64),  # singular: four points span three directions
    ):
        points = [trial.randn(n_points, dim) @ trial.randn(dim, dim) for _ in range(2)]
        means = [0.7 * trial.randn(dim).to(dtype) for _ in points]
        covs = [x.T.cov().reshape(dim, dim).to(dtype) for x in points]
        (m, n), (c, d) = ([v.double() for v in pair] for pair in (means, covs))
        apart, traces = (m - n).square().sum(), c.trace() + d.trace()
        root_c, root_d = _matrix_root(c), _matrix_root(d)
        root_trace = torch.linalg.svdvals(root_c @ root_d).sum()
        swapped = torch.linalg.svdvals(c @ d).clamp(min=0).sqrt().sum()
        as_symmetric = torch.linalg.eigvalsh(c @ d).clamp(min=0).sqrt().sum()
        right = apart + traces - 2 * root_trace
        answer = trial.answer(right, means[0], covs[0], means[1], covs[1])
        compare(
            answer,
            right,
            {
                "NaN: the root of a negative eigenvalue? One that should be 0 may come out just below it; and a matrix "
                "that is not symmetric needs eigvals, not eigvalsh": bool(answer.isnan()),
                "the distance itself: its square is asked for, as FID is": right.sqrt(),
                "the means are compared by their distance, and not by its square":
                    apart.sqrt() + traces - 2 * root_trace,
                "a factor 2 is missing in front of the root": apart + traces - root_trace,
                "the last term has the wrong sign: equal Gaussians have the distance 0":
                    apart + traces + 2 * root_trace,
                "only the means are compared": apart,
                "only the covariances are compared": traces - 2 * root_trace,
                "the mean of the squared differences of the means: ‖·‖² is a sum":
                    apart / dim + traces - 2 * root_trace,
                "tr(C^½ C′^½) is not tr (CC′)^½, unless the two commute":
                    apart + traces - 2 * (root_c @ root_d).trace(),
                "the root is missing: this is tr CC′": apart + traces - 2 * (c @ d).trace(),
                "the root of the trace is not the trace of the root": apart + traces - 2 * (c @ d).trace().sqrt(),
                "the root is taken number by number: the root of a matrix is something else":
                    apart + traces - 2 * (c @ d).clamp(min=0).sqrt().trace(),
                "only the variances are compared: is there a * where @ belongs, or a diagonal too much?":
                    apart + (c.diag().sqrt() - d.diag().sqrt()).square().sum(),
                "C and C′ are multiplied number by number: with * where @ belongs?":
                    apart + traces - 2 * torch.linalg.eigvalsh(c * d).clamp(min=0).sqrt().sum(),
                "eigvalsh is for symmetric matrices, and the product of two of them is not one":
                    apart + traces - 2 * as_symmetric,
                "singular values of CC′ are not its eigenvalues: it is not symmetric": apart + traces - 2 * swapped,
                "the difference of the covariances, squared: this is no Fréchet distance":
                    apart + (c - d).square().sum(),
            },
            tolerance=FRECHET_TOLERANCE,
        )  # fmt: skip


@frechet.lends
def _(mean_a, cov_a, mean_b, cov_b):
    values, vectors = torch.linalg.eigh(cov_a)
    half = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    roots = torch.linalg.eigvalsh(half @ cov_b @ half).clamp(min=0).sqrt()
    return (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots.sum()


def _matrix_root(covariance: Tensor) -> Tensor:
    """The symmetric root of a matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


@exercise("9.4", minutes=10)
def squared_mmd(trial: Trial) -> None:
    """`squared_mmd(a, b)`: the unbiased kernel distance of KID, with the kernel (a·b/F + 1)³.

    a is (N, F), b is (M, F); the answer is one number, which may be negative.
    """
    for n, m, dim, dtype in ((5, 8, 3, torch.float64), (9, 9, 4, torch.float32)):
        a, b = trial.randn(n, dim, dtype=dtype), (1.5 + 1.3 * trial.randn(m, dim)).to(dtype)
        x, y = a.double(), b.double()
        right, mixed = _mmd(x, y), _kernel(x, y)
        mistakes = {
            "the pairs i = j are counted: each image's pair with itself makes this too large":
                _mmd(x, y, own_pairs="counted"),
            "the pairs i = j are left out of the sum, and still counted in its mean":
                _mmd(x, y, own_pairs="lost"),
            "the pairs i = j are left out of the count, and still in the sum": _mmd(x, y, own_pairs="uncounted"),
            "the kernel lacks the division by F: is it the mean or the sum over the features?":
                _mmd(x, y, width=1),
            "the kernel is divided by the number of images, not of features": _mmd(x, y, width=n),
            "the kernel has the power 2: it compares the first three moments": _mmd(x, y, power=2),
            "the kernel has the power 1: this compares the means only": _mmd(x, y, power=1),
            "the kernel lacks its + 1": _mmd(x, y, offset=0.0),
            "a factor 2 is missing: how often does the mixed mean come?": _mmd(x, y, mixed=1.0),
            "the mixed mean has the wrong sign: equal sets have no distance": _mmd(x, y, mixed=-2.0),
            "the mixed mean is missing: only each set with itself": _mmd(x, y, mixed=0.0),
            "this is only the mixed mean": mixed.mean(),
            "the sign is wrong: what is similar is near": -right,
            "a root is taken: the root of an unbiased estimate is biased, and of a negative one no number":
                right.sqrt(),
            "the mixed pairs i = j are left out: x_i and y_i are two images, as any other two are":
                right + 2 * mixed.mean() - 2 * (mixed.sum() - mixed.trace()) / (n * (n - 1)),
        }  # fmt: skip
        trial.expect(right, a, b, mistakes=mistakes)
    a = trial.randn(6, 2)  # a set and itself, for which the unbiased estimate is negative
    right = _mmd(a, a)
    trial.expect(
        right,
        a,
        a,
        mistakes={
            "cut off at 0: an unbiased estimate of 0 has to be negative about half of the time": 0 * right,
            "this is its absolute value: an unbiased estimate of 0 is negative about half of the time": -right,
        },
    )


@squared_mmd.lends
def _(a, b):
    def k(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def mean_of_pairs(x):
        return (k(x, x).sum() - k(x, x).trace()) / (len(x) * (len(x) - 1))

    return mean_of_pairs(a) + mean_of_pairs(b) - 2 * k(a, b).mean()


def _kernel(x: Tensor, y: Tensor, width: float | None = None, power: int = 3, offset: float = 1.0) -> Tensor:
    return (x @ y.T / (width or x.shape[1]) + offset) ** power


def _mmd(x: Tensor, y: Tensor, *, own_pairs: str = "left out", mixed: float = 2.0, **kernel: float) -> Tensor:
    """The kernel distance; `own_pairs` says what becomes of the pairs i = j."""

    def mean(z: Tensor) -> Tensor:
        k, n = _kernel(z, z, **kernel), len(z)
        total = k.sum() if own_pairs in ("counted", "uncounted") else k.sum() - k.trace()
        return total / (n * n if own_pairs in ("counted", "lost") else n * (n - 1))

    return mean(x) + mean(y) - mixed * _kernel(x, y, **kernel).mean()


@exercise("9.6", minutes=10)
def precision(trial: Trial) -> None:
    """`precision(samples, real, k)`: the share of samples in a ball of the real points, Kynkäänniemi et al. 2019.

    A real point's ball reaches to the k-th nearest of the *other* real points. `samples` are (N, F), `real` (M, F), k
    is an integer ≥ 1, less than M. The answer is one number.
    """
    for n, m, dim, dtype in ((60, 45, 2, torch.float64), (45, 60, 3, torch.float32)):
        for k in (3, 1):
            samples, real = (1.3 * trial.randn(n, dim) + 0.8).to(dtype), trial.randn(m, dim).to(dtype)
            x, y = samples.double(), real.double()
            across, radii = torch.cdist(x, y), _radii(y, k)
            inside = across <= radii
            right = inside.any(dim=1).double().mean()
            nearest = across.argmin(dim=1)
            mistakes = {
                "each point counts as its own neighbour: the nearest point to a real one is itself, at distance 0":
                    (across <= _radii(y, k - 1)).any(dim=1).double().mean(),
                "a ball reaches to the k-th nearest other point, and here to the one after it":
                    (across <= _radii(y, k + 1)).any(dim=1).double().mean(),
                "this is recall: the share of real points in a ball of the samples":
                    (across <= _radii(x, k)[:, None]).any(dim=0).double().mean(),
                "the balls are the samples': those of the real points decide what is realistic":
                    (across <= _radii(x, k)[:, None]).any(dim=1).double().mean(),
                "this is the share of real balls that hold a sample, coverage": inside.any(dim=0).double().mean(),
                "this is a number of samples: a share is asked for": inside.any(dim=1).double().sum(),
                "a sample in several balls counts several times: this is density": inside.sum() / (n * k),
                "a sample in several balls counts several times": inside.double().sum() / n,
                "this is the share of all pairs of a sample and a ball": inside.double().mean(),
                "only the ball of the nearest real point is looked at: another, larger one may hold the sample":
                    (across.amin(dim=1) <= radii[nearest]).double().mean(),
                "all balls have the mean radius: each has its own": (across <= radii.mean()).any(dim=1).double().mean(),
                "all balls have the largest radius: each has its own":
                    (across <= radii.max()).any(dim=1).double().mean(),
                "squared distances are compared with radii": (across.square() <= radii).any(dim=1).double().mean(),
                "the share outside of the balls": 1 - right,
            }  # fmt: skip
            trial.expect(right, samples, real, k, mistakes=mistakes)


@precision.lends
def _(samples, real, k):
    radii = torch.cdist(real, real).sort(dim=1).values[:, k]
    return (torch.cdist(samples, real) <= radii).any(dim=1).double().mean()


def _radii(points: Tensor, k: int) -> Tensor:
    """The distance of each point to the k-th nearest other one, (M,); 0 for k = 0."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").sort(dim=1).values[:, k]
