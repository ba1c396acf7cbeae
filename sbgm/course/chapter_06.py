"""Exercises of chapter 6: noise conditional score networks."""

import torch
from torch import Tensor

from sbgm.checked import against
from sbgm.course.calls import Asked
from sbgm.course.old_exercise import Trial, exercise, in_both_precisions

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
        loss, noisy = ncsn_loss.lent(score, x, sigmas, levels, z), x + sigma * z
        unweighted = 0.5 * (score(noisy, sigma) + z / sigma).flatten(1).square().sum(dim=1)

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
                "weighted twice: is λ applied to a loss that has it already?":
                    (unweighted * sigmas[levels] ** 4).mean(),
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
                "summed over the batch: the expectation is a mean over the examples": loss * len(x),
                "averaged over the coordinates too: ‖·‖² is a sum over an example's numbers": loss / x[0].numel(),
                "divided by the number of levels, too: one level an example is already a mean over them": loss / 4,
                "the ladder is read from its wrong end: which σ has index 0?":
                    ncsn_loss.lent(score, x, sigmas.flip(0), levels, z),
                "off by one level: indices begin at 0": ncsn_loss.lent(score, x, sigmas, levels - 1, z),
                "all examples have the level of the first one":
                    ncsn_loss.lent(score, x, sigmas, levels[:1].expand(len(x)), z),
            },
        )  # fmt: skip
        trial.expect_gradients(ncsn_loss.lent, score, x, sigmas, levels, z)


@ncsn_loss.lends
def _(score, x, sigmas, levels, z):
    sigma = sigmas[levels]
    each = sigma.reshape(-1, *[1] * (x.ndim - 1))  # broadcasts against x
    residual = each * score(x + each * z, sigma) + z
    return 0.5 * residual.flatten(1).square().sum(dim=1).mean()


@exercise("6.2", minutes=10)
def look_far(trial: Trial) -> None:
    """`look_far(h, weight, bias)`: at every place a weighted sum over all places, Σ_q W_pq h_q + b_p, in each channel.

    h is (B, C, H, W), and its P = H·W places are numbered row by row; weight is (P, P), bias (P,). The result has h's
    shape and is differentiable.
    """
    for shape, dtype in in_both_precisions(((2, 3, 4, 4), (3, 5, 2, 3))):
        n_places = shape[2] * shape[3]
        h, weight, bias = (trial.randn(*size, dtype=dtype) for size in (shape, (n_places, n_places), (n_places,)))
        right = look_far.lent(h, weight, bias)
        by_columns = look_far.lent(h.mT, weight, bias).reshape(*shape[:2], shape[3], shape[2]).mT
        trial.expect(
            right,
            h,
            weight,
            bias,
            mistakes={
                "the matrix meets h from the wrong side: which index of W is summed over, p or q?":
                    look_far.lent(h, weight.T, bias),
                "where is the bias b_p?": look_far.lent(h, weight, 0 * bias),
                "the bias has the wrong sign": look_far.lent(h, weight, -bias),
                "h itself is added: what is new is asked for, the block adds it to h later": right + h,
                "the places are numbered column by column: flatten(2) numbers them row by row": by_columns,
                "the sum over the places is divided by their number: it is a weighted sum, no mean":
                    look_far.lent(h, weight / n_places, bias),
                "the bias is multiplied by W as well: it is added after the sum":
                    look_far.lent(h + bias.reshape(shape[2:]), weight, 0 * bias),
                "each place sees itself only: where is the sum over q?":
                    h * weight.diagonal().reshape(shape[2:]) + bias.reshape(shape[2:]),
                "each place has the sum of W's row: where is h_q?":
                    (weight.sum(dim=1) + bias).reshape(shape[2:]).expand(shape),
                "the channels are mixed: each channel has a sum of its own":
                    look_far.lent(h.mean(dim=1, keepdim=True).expand(shape), weight, bias),
                "the images of the batch are mixed: each image has a sum of its own":
                    look_far.lent(h.mean(dim=0, keepdim=True).expand(shape), weight, bias),
            },
        )  # fmt: skip
    trial.expect_gradients(look_far.lent, trial.randn(2, 3, 2, 2), trial.randn(4, 4), trial.randn(4))


@look_far.lends
def _(h, weight, bias):
    return (h.flatten(2) @ weight.T + bias).reshape(h.shape)


@exercise("6.3", minutes=10)
def renewed(trial: Trial) -> None:
    """`renewed(score, x, sigma, next_sigma, z)`: a clean image guessed by Tweedie's formula, and noise of the next σ.

    x and z are (B, *shape), both σ are floats, and the score takes (x, σ). The result is x + σ² s(x, σ) + σ' z.
    """
    for score, x, z in trial.batches((5, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.6, 0.9)
        next_sigma = sigma * trial.uniform(0.4, 0.8)
        s = score(x, sigma)
        guess, noise = x + sigma**2 * s, next_sigma * z
        trial.expect(
            guess + noise,
            score,
            x,
            sigma,
            next_sigma,
            z,
            mistakes={
                "no noise is added: what does the next level expect to find?": guess,
                "the noise is not scaled: its size is that of the next level": guess + z,
                "the noise has the size of the old level: the chain would stay there": guess + sigma * z,
                "the noise is scaled by a variance: is σ one?": guess + next_sigma**2 * z,
                "the noise is a difference of levels: the guess has no noise, so that all of it is new":
                    guess + (sigma**2 - next_sigma**2) ** 0.5 * z,
                "the noise is subtracted": guess - noise,
                "the noise is added before the score is asked: guess first, from the x that came in":
                    x + noise + sigma**2 * score(x + noise, sigma),
                "the noise is added to x: the guess is lost": x + noise,
                "the step has the wrong sign: does the score point to the data, or away from them?":
                    x - sigma**2 * s + noise,
                "x is lost: Tweedie's formula has two terms": sigma**2 * s + noise,
                "the score is multiplied by σ: by which power in Tweedie's formula?": x + sigma * s + noise,
                "the score is not multiplied by anything: what does Tweedie's formula say?": x + s + noise,
                "the score is divided by σ²: how does a score's length depend on σ?": x + s / sigma**2 + noise,
                "off by a factor 2: Tweedie's formula has no ½; a Langevin step has one": x + sigma**2 / 2 * s + noise,
                "the score is asked at the next level: which noise does x have?":
                    x + sigma**2 * score(x, next_sigma) + noise,
                "the score is multiplied by the next level's σ²: which noise does x have?":
                    x + next_sigma**2 * s + noise,
                "both levels are the next one: which noise does x have?":
                    x + next_sigma**2 * score(x, next_sigma) + noise,
                "the two levels are interchanged": x + next_sigma**2 * score(x, next_sigma) + sigma * z,
                "the score is not told σ": x + sigma**2 * score(x) + noise,
                "this is a Langevin step: here the whole way is gone to the guess":
                    x + sigma**2 / 2 * s + sigma * z,
            },
        )  # fmt: skip


@renewed.lends
def _(score, x, sigma, next_sigma, z):
    return x + sigma**2 * score(x, sigma) + next_sigma * z


@exercise("6.4", minutes=10)
def guided(trial: Trial) -> None:
    """`guided(network, label, w)`: the score s(x, σ) + w (s(x, σ, c) − s(x, σ)), a function of x and σ.

    network(x, σ) is the score of all classes, network(x, σ, label) that of the classes in label, (B,); w is a float.
    """
    for network, x, _ in trial.batches((6, 2), (4, 1, 3, 3)):
        label = torch.randperm(10, generator=trial.generator)[: len(x)]
        levels = [trial.uniform(1, 2), trial.uniform(0.3, 0.6)]
        s, c, c_first = (torch.cat([network(x, v, of) for v in levels]) for of in (10, label, label[:1]))
        s_untold, c_untold = (torch.cat([network(x, 0.0, of) for _ in levels]) for of in (10, label))
        for w in (trial.uniform(2, 4), trial.uniform(0.2, 0.8)):
            trial.expect(
                s + w * (c - s),
                network,
                label,
                w,
                Asked(x, torch.tensor(levels, dtype=torch.float64)),
                mistakes={
                    "this is the other convention, (1 + w) s_c − w s, in which w = 0 is the class's own score":
                        c + w * (c - s),
                    "the difference has the wrong sign: it should lead from all classes to the one": s - w * (c - s),
                    "the two scores are interchanged: w = 0 is to be no guidance": c + w * (s - c),
                    "the class's score is added whole: what do both scores have in common?": s + w * c,
                    "this is the difference alone: to what is it added?": w * (c - s),
                    "this is the class's score, w = 1, whatever the weight": c,
                    "this is the score without guidance, w = 0, whatever the weight": s,
                    "the weight is used as its square": s + w**2 * (c - s),
                    "the class's score is multiplied by w, and nothing else happens": w * c,
                    "the two scores are averaged: where is w?": (s + c) / 2,
                    "the network was not told σ: it is called network(x, sigma)": s_untold + w * (c_untold - s_untold),
                    "all images have the first one's label: each has its own": s + w * (c_first - s),
                },
            )  # fmt: skip


@guided.lends
def _(network, label, w):
    def score(x, sigma):
        of_any, of_class = network(x, sigma), network(x, sigma, label)
        return of_any + w * (of_class - of_any)

    return score


@exercise("6.6", minutes=15)
def instance_norm_plus(trial: Trial) -> None:
    """`instance_norm_plus(x, gamma, alpha, beta)`: conditional instance normalisation++ (Appendix A), γ (x̂ + α μ̂) + β.

    x is (B, C, H, W), the three parameters of its levels are (B, C); the result has x's shape and is differentiable.
    """
    cases = ((3, 4, 5, 6), 1.0), ((2, 3, 4, 4), 1.0), ((3, 5, 4, 6), 0.004)  # at last, as small as √ε
    for (shape, size), dtype in in_both_precisions(cases):
        offsets = 0.7 * trial.randn(*shape[:2], 1, 1, dtype=dtype)
        x = size * (offsets + (0.5 + trial.rand(*shape[:2], 1, 1, dtype=dtype)) * trial.randn(*shape, dtype=dtype))
        gamma, alpha, beta = (1 + 0.5 * trial.randn(*shape[:2], dtype=dtype) for _ in range(3))
        right = instance_norm_plus.lent(x, gamma, alpha, beta)
        trial.expect(right, x, gamma, alpha, beta, mistakes=_norm_mistakes(x, gamma, alpha, beta))
    x, parameters = trial.randn(2, 3, 4, 4), [1 + 0.5 * trial.randn(2, 3) for _ in range(3)]
    trial.expect_gradients(instance_norm_plus.lent, x, *parameters)


@instance_norm_plus.lends
def _(x, gamma, alpha, beta):
    mu = x.mean(dim=(2, 3))
    mu_hat = (mu - mu.mean(dim=1, keepdim=True)) / (mu.var(dim=1, keepdim=True) + TINY).sqrt()
    x_hat = torch.nn.functional.instance_norm(x, eps=TINY)
    gamma, alpha, beta, mu_hat = (p[:, :, None, None] for p in (gamma, alpha, beta, mu_hat))
    return gamma * (x_hat + alpha * mu_hat) + beta


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
