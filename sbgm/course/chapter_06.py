"""Exercises of chapter 6: noise conditional score networks."""

from __future__ import annotations

import torch
from torch import Tensor

from sbgm.checked import against
from sbgm.course.calls import TanhField
from sbgm.course.exercise import Trial, exercise, in_both_precisions

TINY = 1e-5  # of the norms


@exercise("6.1", minutes=15)
def ncsn_loss(trial: Trial) -> None:
    """`ncsn_loss(score, x, sigmas, levels, z)`: the objective over a ladder (Eq. 5 and 6) with λ(σ) = σ².

    x and z are (B, *shape), sigmas is a descending tensor (L,), levels holds an index from 0 for every example, (B,),
    and the score takes (x, σ) with σ of shape (B,). The loss is one number, averaged over the batch, and must be
    differentiable by the score's parameters.
    """
    for score, x, z in trial.batches((6, 2), (5, 1, 4, 4)):
        sigmas = 2.0 * trial.uniform(0.4, 0.6) ** torch.arange(4, dtype=x.dtype)
        levels = torch.randperm(len(x), generator=trial.generator) % 4
        sigma = against(sigmas[levels], x)
        right = _ncsn_losses(score, x, sigmas[levels], z)
        loss = right.mean()
        unweighted = right / sigmas[levels] ** 2
        noisy = x + sigma * z

        def weighted(residual, sigma=sigma):
            return 0.5 * (sigma * residual).flatten(1).square().sum(dim=1).mean()

        trial.expect(
            loss,
            score,
            x,
            sigmas,
            levels,
            z,
            mistakes={
                "off by a factor 2: Eq. 5 has a ½ in front": 2 * loss,
                "the levels are not weighted: where is λ?": unweighted.mean(),
                "weighted by σ where λ(σ) = σ²": (unweighted * sigmas[levels]).mean(),
                "weighted twice: is λ applied to a loss that has it already?": (right * sigmas[levels] ** 2).mean(),
                "divided by λ: which levels have the largest targets?": (unweighted / sigmas[levels] ** 2).mean(),
                "the mean weight times the mean loss: each example's loss has its own weight":
                    (sigmas[levels] ** 2).mean() * unweighted.mean(),
                "λ is averaged over the whole ladder: each example's loss has its own weight":
                    (sigmas**2).mean() * unweighted.mean(),
                "the target has the wrong sign: which way from x̃ are the data?":
                    weighted(score(noisy, sigma) - z / sigma),
                "the target is off by a factor σ: x̃ − x is σz, so what is it over σ²?":
                    weighted(score(noisy, sigma) + z / sigma**2),
                "the target lacks its division: a score's length goes like 1/σ": weighted(score(noisy, sigma) + z),
                "the score is taken at the clean x: it has to be trained where the noise puts the points":
                    weighted(score(x, sigma) + z / sigma),
                "too little or too much noise: is σ a variance or a standard deviation?":
                    weighted(score(x + sigma**2 * z, sigma) + z / sigma),
                "x̃ is x + z: the noise has to be scaled": weighted(score(x + z, sigma) + z / sigma),
                "the score is not told σ": weighted(score(noisy) + z / sigma),
                "the score is told the level's index: which is its second argument?":
                    weighted(score(noisy, levels.to(x.dtype)) + z / sigma),
                "summed over the batch: the expectation is a mean over the examples": right.sum(),
                "averaged over the coordinates too: ‖·‖² is a sum over an example's numbers": loss / x[0].numel(),
                "divided by the number of levels, too: one level an example is already a mean over them": loss / 4,
                "the ladder is read from its wrong end: which σ has index 0?":
                    _ncsn_losses(score, x, sigmas.flip(0)[levels], z).mean(),
                "off by one level: indices begin at 0": _ncsn_losses(score, x, sigmas[levels - 1], z).mean(),
                "all examples have the level of the first one":
                    _ncsn_losses(score, x, sigmas[levels[:1]].expand(len(x)), z).mean(),
            },
        )  # fmt: skip
        trial.expect_gradients(
            lambda score, x, sigmas, levels, z: _ncsn_losses(score, x, sigmas[levels], z).mean(),
            score,
            x,
            sigmas,
            levels,
            z,
        )


def _ncsn_losses(score: TanhField, x: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
    """λℓ of each example at its own σ, (B,)."""
    each = against(sigma, x)
    return 0.5 * (each * score(x + each * z, sigma) + z).flatten(1).square().sum(dim=1)


@exercise("6.2", minutes=15)
def instance_norm_plus(trial: Trial) -> None:
    """`instance_norm_plus(x, gamma, alpha, beta)`: conditional instance normalisation++ (Appendix A), γ (x̂ + α μ̂) + β.

    x is (B, C, H, W), the three parameters of its levels are (B, C); the result has x's shape and is differentiable.
    """
    cases = ((3, 4, 5, 6), 1.0), ((2, 3, 4, 4), 1.0), ((3, 5, 4, 6), 0.004)  # at last, as small as √ε
    for (shape, size), dtype in in_both_precisions(cases):
        offsets = 0.7 * trial.randn(*shape[:2], 1, 1, dtype=dtype)
        x = size * (offsets + (0.5 + trial.rand(*shape[:2], 1, 1, dtype=dtype)) * trial.randn(*shape, dtype=dtype))
        gamma, alpha, beta = (1 + 0.5 * trial.randn(*shape[:2], dtype=dtype) for _ in range(3))
        right = _instance_norm_plus(x, gamma, alpha, beta)
        trial.expect(right, x, gamma, alpha, beta, mistakes=_norm_mistakes(x, gamma, alpha, beta))
    x, parameters = trial.randn(2, 3, 4, 4), [1 + 0.5 * trial.randn(2, 3) for _ in range(3)]
    trial.expect_gradients(_instance_norm_plus, x, *parameters)


def _instance_norm_plus(x: Tensor, gamma: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """The right norm, by sums over pixels and channels, (B, C, H, W)."""
    n_pixels, n_channels = x.shape[2] * x.shape[3], x.shape[1]
    mu = x.sum(dim=(2, 3)) / n_pixels
    centred = x - mu[:, :, None, None]
    pixels = centred.square().sum(dim=(2, 3)) / n_pixels
    apart = mu - mu.sum(dim=1, keepdim=True) / n_channels
    channels = apart.square().sum(dim=1, keepdim=True) / (n_channels - 1)
    x_hat = centred * (pixels + TINY).rsqrt()[:, :, None, None]
    shift = gamma * alpha * apart * (channels + TINY).rsqrt() + beta
    return gamma[:, :, None, None] * x_hat + shift[:, :, None, None]


def _norm_mistakes(x: Tensor, gamma: Tensor, alpha: Tensor, beta: Tensor) -> dict[str, Tensor]:
    """The norms that known mistakes lead to, (B, C, H, W)."""
    gamma, alpha, beta = (p[:, :, None, None] for p in (gamma, alpha, beta))
    mu = x.mean(dim=(2, 3), keepdim=True)
    apart = mu - mu.mean(dim=1, keepdim=True)
    pixels, pixels_unbiased = (x.var(dim=(2, 3), keepdim=True, correction=c) for c in (0, 1))
    biased, channels = (mu.var(dim=1, keepdim=True, correction=c) for c in (0, 1))
    x_hat, mu_hat = (x - mu) / (pixels + TINY).sqrt(), apart / (channels + TINY).sqrt()
    over_batch = (mu - mu.mean(dim=0)) / (mu.var(dim=0) + TINY).sqrt()
    over_all = (mu - mu.mean(dim=(0, 1))) / (mu.var(dim=(0, 1)) + TINY).sqrt()

    def normed(x_hat: Tensor = x_hat, mu_hat: Tensor = mu_hat) -> Tensor:
        return gamma * (x_hat + alpha * mu_hat) + beta

    def standard(*dims: int) -> Tensor:
        return (x - x.mean(dim=dims, keepdim=True)) / (x.var(dim=dims, keepdim=True, correction=0) + TINY).sqrt()

    return {
        "the means are not added back: where are α and μ̂?": gamma * x_hat + beta,
        "this is the paper's form; here γ multiplies both": gamma * x_hat + alpha * mu_hat + beta,
        "γ multiplies β as well": gamma * (x_hat + alpha * mu_hat + beta),
        "β is lost": gamma * (x_hat + alpha * mu_hat),
        "γ is lost": x_hat + alpha * mu_hat + beta,
        "α is lost": gamma * (x_hat + mu_hat) + beta,
        "α and γ are interchanged": alpha * (x_hat + gamma * mu_hat) + beta,
        "μ̂ is subtracted: it gives the means back": normed(mu_hat=-mu_hat),
        "the means are added back as they are: they have to be normalised, too": normed(mu_hat=mu),
        "the means are added back without being divided by their spread": normed(mu_hat=apart),
        "the means are divided by their spread, but not centred": normed(mu_hat=mu / (channels + TINY).sqrt()),
        "the variance over the channels: is it divided by C or by C − 1?":
            normed(mu_hat=apart / (biased + TINY).sqrt()),
        "the variance over the pixels: is it divided by H·W or by H·W − 1? Instance norm has the former":
            normed((x - mu) / (pixels_unbiased + TINY).sqrt()),
        "both variances have the wrong divisor: which of them is unbiased?":
            normed((x - mu) / (pixels_unbiased + TINY).sqrt(), apart / (biased + TINY).sqrt()),
        "the means are normalised over the batch: an image's channels are compared with one another":
            normed(mu_hat=over_batch),
        "the means are normalised over batch and channels: other images should not matter": normed(mu_hat=over_all),
        "x is normalised over its channels too: each channel has its own mean": normed(standard(1, 2, 3)),
        "x is normalised over the batch too: each image has its own mean": normed(standard(0, 2, 3)),
        "x is not centred": normed(x / (pixels + TINY).sqrt()),
        "x is divided by its variance: is that a standard deviation?": normed((x - mu) / (pixels + TINY)),
        "the means are divided by their variance: is that a standard deviation?":
            normed(mu_hat=apart / (channels + TINY)),
        "10⁻⁵ is lost, or far too small, in both places: it matters where x hardly varies":
            normed((x - mu) / pixels.sqrt(), apart / channels.sqrt()),
        "10⁻⁵ is lost where x is normalised": normed((x - mu) / pixels.sqrt()),
        "10⁻⁵ is lost where the means are normalised": normed(mu_hat=apart / channels.sqrt()),
        "10⁻⁵ is added to standard deviations: is it added before the root, or after?":
            normed((x - mu) / (pixels.sqrt() + TINY), apart / (channels.sqrt() + TINY)),
        "10⁻⁵ is added to the pixels' standard deviation: is it added before the root, or after?":
            normed((x - mu) / (pixels.sqrt() + TINY)),
        "10⁻⁵ is added to the channels' standard deviation: is it added before the root, or after?":
            normed(mu_hat=apart / (channels.sqrt() + TINY)),
    }  # fmt: skip


@exercise("6.3", minutes=5)
def score_from_denoiser(trial: Trial) -> None:
    """`score_from_denoiser(denoised, x, sigma)`: the score of a network that gives E[x | x̃], by Tweedie's formula.

    `denoised` and the noisy x are (B, *shape), σ is a float or (B,); the score has x's shape.
    """
    for _, x, z in trial.batches((4, 4), (5, 2), (3, 1, 4, 3)):
        for sigma in (trial.uniform(0.3, 0.7), 0.3 + trial.rand(len(x), dtype=x.dtype)):
            each = against(sigma, x)
            denoised = x + each * z
            difference = denoised - x
            right = difference / each**2
            mistakes = {
                "the sign is wrong: does the score point to the denoised image, or away from it?": -right,
                "off by a factor σ: is it divided by a standard deviation or by a variance?": difference / each,
                "off by a factor σ (and the sign is wrong)": -difference / each,
                "not divided by anything: how does a score's length depend on σ?": difference,
                "multiplied where it should be divided: how does a score's length depend on σ?":
                    difference * each**2,
                "off by a factor 2: Tweedie's formula has no ½": right / 2,
                "only the denoised image counts: what if it is equal to x?": denoised / each**2,
                "only x counts: where does the network come in?": -x / each**2,
                "the formula is turned the wrong way round: which of its terms is the score?":
                    x + each**2 * denoised,
            }  # fmt: skip
            if isinstance(sigma, Tensor):
                mistakes |= {
                    "all examples have the first one's σ": difference / sigma[0] ** 2,
                    "all examples have one σ, a mean: each has its own": difference / sigma.mean() ** 2,
                }
                if len(x) == x.shape[-1]:
                    mistakes["σ is spread over the columns: how does (B,) broadcast against x?"] = difference / sigma**2
            trial.expect(right, denoised, x, sigma, mistakes=mistakes)
