"""Exercises of chapter 5: data on a manifold."""

from __future__ import annotations

import math

import torch

from sbgm.course.exercise import Trial, compare, exercise, in_both_precisions


@exercise("5.2", minutes=10)
def score_near_line(trial: Trial) -> None:
    """`score_near_line(x, sigma)`: ∇ log q_σ where the data are N(0, 1) along the line x₂ = 0 of the plane (§ 3.1).

    x is (B, 2), the noise σ > 0 a float; the score has x's shape.
    """
    for sigma, dtype in ((0.5, torch.float32), (0.3, torch.float64), (1e-3, torch.float64), (2.0, torch.float64)):
        sigma = sigma * trial.uniform(0.8, 1.2)
        scale = torch.tensor([1.0, sigma], dtype=dtype)  # near the line, where the two components are best told apart
        x = scale * trial.randn(7, 2, dtype=dtype)
        along, across = x.unbind(dim=1)
        variance, noise = 1 + sigma**2, sigma**2

        def field(s_along, s_across):
            return torch.stack([s_along, s_across], dim=1)

        trial.expect(
            field(-along / variance, -across / noise),
            x,
            sigma,
            mistakes={
                "the sign is wrong: is the score directed to the line, or away from it?":
                    field(along / variance, across / noise),
                "along the line the noise is lost: it spreads the data in this direction too":
                    field(-along, -across / noise),
                "along the line only the noise is counted: do the data themselves not vary there?":
                    field(-along / noise, -across / noise),
                "across the line the data vary as they do along it: do they?":
                    field(-along / variance, -across / variance),
                "the score has no part across the line: what does a point beside it feel?":
                    field(-along / variance, torch.zeros_like(across)),
                "the score has no part along the line: are the data spread evenly over it?":
                    field(torch.zeros_like(along), -across / noise),
                "across the line it is divided by a standard deviation": field(-along / variance, -across / sigma),
                "along the line it is divided by a standard deviation":
                    field(-along / math.sqrt(variance), -across / noise),
                "both components are divided by standard deviations":
                    field(-along / math.sqrt(variance), -across / sigma),
                "along the line σ is added to a variance: is σ one?": field(-along / (1 + sigma), -across / noise),
                "along the line standard deviations are added: what adds up when independent numbers are added?":
                    field(-along / (1 + sigma) ** 2, -across / noise),
                "the two directions are interchanged: which coordinate is 0 on the line?":
                    field(-along / noise, -across / variance),
                "the components are interchanged": field(-across / noise, -along / variance),
                "off by a factor 2: what becomes of the exponent's ½ when its square is differentiated?":
                    field(-along / (2 * variance), -across / (2 * noise)),
                "this is the score of the standard normal in the plane: where is σ?": -x,
            },
        )  # fmt: skip


@score_near_line.lends
def _(x, sigma):
    return torch.stack([-x[:, 0] / (1 + sigma**2), -x[:, 1] / sigma**2], dim=1)


@exercise("5.3", minutes=15)
def objective_on_line(trial: Trial) -> None:
    """`objective_on_line(a, sigma)`: E[tr ∇s + ½‖s‖²] (Eq. 1) of s(x) = (−x₁, −a x₂) on that line's data, perturbed.

    The data are N(0, 1) along the line x₂ = 0, perturbed by noise σ ≥ 0; a and σ are floats, and so is the result.
    """
    cases = [(trial.uniform(1, 4), trial.uniform(0.3, 0.9)) for _ in range(3)]
    for a, sigma in (*cases, (trial.uniform(-3, -2), 0.7), (1e4, 0.0), (5.0, 0.0)):
        trace, along, across = -1 - a, 1 + sigma**2, a**2 * sigma**2
        right = trace + (along + across) / 2
        answer = trial.answer(right, a, sigma)
        known = {
            "the sign of the trace is wrong: how does the model change where its arguments grow?":
                -trace + (along + across) / 2,
            "there is only the squared norm: where is the trace?": (along + across) / 2,
            "there is only the trace: where is the squared norm?": trace,
            "the squared norm lacks its ½": trace + along + across,
            "there is a ½ before the trace as well": (trace + along + across) / 2,
            "the trace is lacking a direction: it is a sum over both": -a + (along + across) / 2,
            "the trace is lacking the slope across the line": -1 + (along + across) / 2,
            "along the line the noise is lost: it spreads the data in this direction too": trace + (1 + across) / 2,
            "the part along the line is lost in the squared norm": trace + across / 2,
            "the part across the line is lost in the squared norm: the points are perturbed": trace + along / 2,
            "across the line: the mean of (a x₂)² has a in which power?": trace + (along + abs(a) * sigma**2) / 2,
            "across the line: is σ the mean of x₂², or its root?": trace + (along + a**2 * sigma) / 2,
            "σ is taken for a variance": trace + (1 + sigma + a**2 * sigma) / 2,
            "across the line the data are as wide as along it: are they?": trace + (along + a**2 * along) / 2,
            "standard deviations are added along the line: what adds up when independent numbers are added?":
                trace + ((1 + sigma) ** 2 + across) / 2,
            "the determinant is taken where the trace belongs": a + (along + across) / 2,
            "this is minus the objective": -right,
            "this is twice the objective: was it taken as E[2 tr + ‖·‖²]?": 2 * right,
            "close, but not it: is it a mean over samples? This expectation can be taken by hand":
                abs(float(answer) - right) < 0.05 * max(1.0, abs(right)),
        }  # fmt: skip
        compare(answer, right, known)


@objective_on_line.lends
def _(a, sigma):
    trace = -1 - a
    return trace + 0.5 * ((1 + sigma**2) + a**2 * sigma**2)


@exercise("5.5", minutes=5)
def psnr(trial: Trial) -> None:
    """`psnr(image, noisy)`: the peak signal-to-noise ratio of every image, in dB (§ 3.1).

    Both are (B, C, H, W), clean images in [0, 1] and the same with noise; the result is (B,).
    """
    for shape, dtype in in_both_precisions(((4, 3, 5, 6), (3, 1, 8, 8))):
        image = trial.rand(*shape, dtype=dtype) * torch.linspace(0.7, 1, shape[0], dtype=dtype)[:, None, None, None]
        stds = (0.01 + 0.2 * trial.rand(shape[0], dtype=dtype))[:, None, None, None]
        noisy = image + stds * trial.randn(*shape, dtype=dtype)
        difference = (noisy - image).flatten(1)
        error = difference.square().mean(dim=1)
        right = -10 * error.log10()
        clamped = (noisy.clamp(0, 1) - image).square().flatten(1).mean(dim=1)
        peak = image.flatten(1).amax(dim=1)
        power = image.square().flatten(1).mean(dim=1)
        trial.expect(
            right,
            image,
            noisy,
            mistakes={
                "the sign is wrong: the less noise, the more decibels": -right,
                "twice the decibels: is 20 times a logarithm for squares, or for their roots?": 2 * right,
                "half the decibels: is 10 times a logarithm for squares, or for their roots?": right / 2,
                "a natural logarithm: of which base are decibels?": right * math.log(10),
                "a logarithm to the base 2: of which base are decibels?": right * math.log2(10),
                "the factor 10 is lost: these are bels": right / 10,
                "this is the mean squared error itself": error,
                "the squares are summed up: should an image of more pixels have fewer decibels?":
                    -10 * difference.square().sum(dim=1).log10(),
                "the error is averaged over the batch too: every image has decibels of its own":
                    -10 * error.mean().log10().expand(right.shape),
                "these are the mean decibels of the batch: every image has its own":
                    right.mean().expand(right.shape),
                "the noisy image is clamped first: the noise is measured before": -10 * clamped.log10(),
                "the peak is 255, and these images' values end at 1": right + 20 * math.log10(255),
                "the peak is the largest value of the image: which is the largest that a pixel may have?":
                    right + 20 * peak.log10(),
                "the signal is measured by the image itself: in this ratio it is the largest possible value":
                    right + 10 * power.log10(),
                "the mean is of absolute differences: of which power should it be?":
                    -20 * difference.abs().mean(dim=1).log10(),
                "the differences are averaged before they are squared: don't they cancel?":
                    -20 * difference.mean(dim=1).abs().log10(),
            },
        )  # fmt: skip


@psnr.lends
def _(image, noisy):
    return -10 * (noisy - image).square().mean(dim=(1, 2, 3)).log10()
