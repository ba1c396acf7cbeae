"""Inpainting: Algorithm 2 step by step, and on a Gaussian against the exact law of the unknown given the known."""

import math

import pytest
import torch

from sbgm import SamplerDivergedError, denoise, final, geometric_sigmas, inpaint
from sbgm.masks import make_mask, random_mask
from seeds import seeded

MEAN = torch.tensor([0.3, -0.2, 0.1, 0.5], dtype=torch.float64)
FACTOR = torch.tensor(
    [[1.0, 0.0, 0.0, 0.0], [0.7, 0.6, 0.0, 0.0], [-0.5, 0.4, 0.7, 0.0], [0.3, 0.6, -0.2, 0.5]], dtype=torch.float64
)
COVARIANCE = FACTOR @ FACTOR.T
KNOWN = torch.tensor([True, True, False, False])
IMAGE = torch.tensor([1.2, 0.4, 77.0, -77.0], dtype=torch.float64)  # the unknown must count for nothing
LADDER, STEP_SIZE, N_STEPS = [2.0, 1.0, 0.5], 0.3, 3
N = 40_000


def gaussian_score(covariance=COVARIANCE, mean=MEAN):
    """−(Σ + σ²I)⁻¹ (x − μ)."""

    def score(x, sigma):
        precision = torch.linalg.inv(covariance + sigma**2 * torch.eye(len(covariance), dtype=torch.float64))
        return -(x - mean.to(x)) @ precision.to(x)

    return score


def starts(n=N, dtype=torch.float64):
    return torch.rand(n, 4, generator=seeded(5), dtype=dtype)


def law(
    ladder=LADDER, step_size=STEP_SIZE, n_steps=N_STEPS, covariance=COVARIANCE, image=IMAGE, known=KNOWN, mistake=None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The exact mean and covariance of the result: Algorithm 2 is linear in (x, y), and its noise Gaussian."""
    if mistake == "polarity":
        known = ~known
    keep = known.double().diag()
    eye = torch.eye(4, dtype=torch.float64)
    mean = torch.cat([torch.full((4,), 0.5, dtype=torch.float64), image])  # of (x, y)
    spread = torch.zeros(8, 8, dtype=torch.float64)
    spread[:4, :4] = eye / 12

    def apply(matrix, shift, noise):
        nonlocal mean, spread
        mean, spread = matrix @ mean + shift, matrix @ spread @ matrix.T + noise

    for sigma in ladder:
        alpha = step_size * sigma**2 / ladder[-1] ** 2
        precision = torch.linalg.inv(covariance + sigma**2 * eye)
        pull = torch.block_diag(eye - alpha / 2 * precision, eye)
        shift = torch.cat([alpha / 2 * precision @ MEAN, torch.zeros(4, dtype=torch.float64)])
        overwrite = torch.eye(8, dtype=torch.float64)
        overwrite[:4, :4], overwrite[:4, 4:] = eye - keep, keep
        forget = torch.block_diag(eye, 0 * eye)
        for step in range(n_steps):
            if step == 0 or mistake == "y redrawn":
                apply(forget, torch.cat([0 * image, image]), torch.block_diag(0 * eye, sigma**2 * eye))
            if mistake == "mask before the step":
                apply(overwrite, 0, 0)
            apply(pull, shift, torch.block_diag(alpha * eye, 0 * eye))
            if mistake != "mask before the step":
                apply(overwrite, 0, 0)
    return mean[:4], spread[:4, :4]


def run(n=N, **changes):
    options = {
        "image": IMAGE, "mask": KNOWN, "step_size": STEP_SIZE, "n_steps": N_STEPS, "generator": seeded(1)
    } | changes  # fmt: skip
    return inpaint(gaussian_score(), starts(n), LADDER, **options)


def in_standard_errors(mean, spread, other_mean, other_spread, n):
    """By how many standard errors the moments of n Gaussian draws of the first law miss those of the second: max."""
    variances = spread.diag()
    of_mean = (variances / n).sqrt()
    of_spread = ((variances[:, None] * variances + spread**2) / n).sqrt()
    return max(
        float(((mean - other_mean) / of_mean).abs().max()), float(((spread - other_spread) / of_spread).abs().max())
    )


# --- on a Gaussian ---------------------------------------------------------------------------------------------------


def test_mean_and_covariance_follow_the_linear_recursion_and_the_law_is_gaussian():
    """14 moments, each within 5 standard errors of 40,000 chains; kurtosis 3 ± 5 √(24/n)."""
    x = final(run())
    mean, spread = law()
    assert in_standard_errors(mean, spread, x.mean(dim=0), x.T.cov(), N) < 5
    standardised = (x - mean) / spread.diag().sqrt()
    assert float((standardised**4).mean(dim=0).sub(3).abs().max()) < 5 * math.sqrt(24 / N)


@pytest.mark.parametrize("mistake", ["polarity", "y redrawn", "mask before the step"])
def test_that_comparison_would_see_a_mistake(mistake):
    """The law of each wrong algorithm is more than twice the interval away."""
    assert in_standard_errors(*law(), *law(mistake=mistake), N) > 10


def test_slow_annealing_gives_the_exact_conditional_law():
    """Mean and covariance of the unknown given the known, by the block formula; N(μ_u + Σ_uk Σ_kk⁻¹(k − μ_k), …).

    What σ_L and finite steps leave is below 4 % of a standard deviation and of the variances.
    """
    covariance = 0.04 * COVARIANCE
    k, u = KNOWN, ~KNOWN
    gain = covariance[u][:, k] @ torch.linalg.inv(covariance[k][:, k])
    image = torch.where(KNOWN, MEAN + 0.2 * torch.tensor([1.0, -0.5, 0.0, 0.0]), 0.5).double()
    mean = MEAN[u] + gain @ (image[k] - MEAN[k])
    spread = covariance[u][:, u] - gain @ covariance[k][:, u]

    ladder = geometric_sigmas(1.0, 0.01, 12).double().tolist()
    stds = spread.diag().sqrt()
    scale = stds[:, None] * stds
    left_mean, left_spread = law(ladder, 1e-4, 200, covariance=covariance, image=image)
    assert float(((left_mean[u] - mean) / stds).abs().max()) < 0.04
    assert float(((left_spread[u][:, u] - spread) / scale).abs().max()) < 0.04
    unconditional = covariance.diag()[u]
    assert float((spread.diag() / unconditional).max()) < 0.6  # the known do tell of the unknown


# --- the algorithm, step by step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_algorithm_2_on_the_same_noise(dtype):
    x = starts(7, dtype)
    score, image, m = gaussian_score(), IMAGE.to(dtype), KNOWN.to(dtype)
    states = inpaint(
        score, x, LADDER, image=IMAGE, mask=KNOWN, step_size=STEP_SIZE, n_steps=N_STEPS, generator=seeded(1)
    )
    generator = seeded(1)
    for sigma in LADDER:
        alpha = STEP_SIZE * sigma**2 / LADDER[-1] ** 2
        y = image + sigma * torch.randn(x.shape, generator=generator, dtype=dtype)
        for step in range(1, N_STEPS + 1):
            z = torch.randn(x.shape, generator=generator, dtype=dtype)
            x = x + alpha / 2 * score(x, sigma) + math.sqrt(alpha) * z
            x = (1 - m) * x + m * y
            state = next(states)
            torch.testing.assert_close(state.x, x)
            assert state.x.dtype == dtype
            assert (state.step, state.sigma, state.level) == (step, sigma, LADDER.index(sigma) + 1)
    with pytest.raises(StopIteration):
        next(states)


def test_denoising_moves_the_unknown_pixels_only():
    *_, before, last = run(50, denoise_last=True)
    assert (last.step, last.sigma, last.level) == (N_STEPS + 1, LADDER[-1], 3)
    assert torch.equal(last.x[:, KNOWN], before.x[:, KNOWN])
    assert torch.equal(last.x[:, ~KNOWN], denoise(gaussian_score(), before.x, LADDER[-1])[:, ~KNOWN])
    assert torch.equal(before.x, final(run(50)))


def test_divergence_raises_and_names_the_bound():
    with pytest.raises(SamplerDivergedError, match=r"inpaint diverged at level 1 of 3 \(sigma = 2\)") as caught:
        final(run(50, step_size=10.0, n_steps=200))
    assert caught.value.bound == pytest.approx(4 * 0.25)
    assert caught.value.step_size == 10.0


# --- masks -----------------------------------------------------------------------------------------------------------


def test_a_random_mask_hides_its_share_anywhere():
    masks = torch.stack([random_mask((28, 28), 0.3, generator=seeded(i)) for i in range(400)])
    assert masks.shape == (400, 1, 28, 28)
    assert bool(((~masks).sum(dim=(1, 2, 3)) == round(0.3 * 784)).all())
    share = (~masks).double().mean(dim=0)  # of 400: s.e. .023, and 784 pixels
    assert float((share - 0.3).abs().max()) < 5 * 0.023
    assert torch.equal(random_mask((28, 28), generator=seeded()), make_mask("random", (28, 28), generator=seeded()))
