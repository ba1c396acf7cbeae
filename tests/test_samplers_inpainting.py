"""Inpainting: Algorithm 2 step by step, and on a Gaussian against the exact law of the unknown given the known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near, untouched
from properties.strategies import SEEDS, batches, ladders, masks_of, scores
from sbgm import SamplerDivergedError, denoise, final, geometric_sigmas, inpaint
from seeds import seeded

KNOWN = torch.tensor([True, True, False, False])


def by_hand(score, x, sigmas, *, image, mask, generator):
    """The chains after each of two steps a level with ε = .1σ_L², as Algorithm 2 has them."""

    def z():
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    for sigma in sigmas:
        y = image + sigma * z()
        alpha = 0.1 * sigma**2
        for _ in range(2):
            x = x + alpha / 2 * score(x, sigma) + math.sqrt(alpha) * z()
            x = torch.where(mask, y, x)
            yield x


@given(batches(max_size=3), ladders(1, 3), st.booleans(), st.booleans(), st.data(), SEEDS)
def test_it_is_algorithm_2_on_the_same_noise(x, ladder, one_image, denoise_last, data, seed):
    """At its first and its last step of a level the known pixels are those of the level's y, bit for bit."""
    score = data.draw(scores(tuple(x.shape[1:])))
    mask = data.draw(masks_of(x))
    image = x[0] if one_image else x.flip(0)
    sigmas = [float(sigma) for sigma in ladder]
    steps = {"step_size": 0.1 * sigmas[-1] ** 2, "n_steps": 2, "denoise_last": denoise_last}
    with untouched(x, image, mask):
        states = [*inpaint(score, x, ladder, image=image, mask=mask, **steps, generator=seeded(seed))]
    expected = [*by_hand(score, x, sigmas, image=image, mask=mask, generator=seeded(seed))]
    places = [(level, step, sigma) for level, sigma in enumerate(sigmas, start=1) for step in (1, 2)]
    if denoise_last:
        expected.append(torch.where(mask, expected[-1], denoise(score, expected[-1], sigmas[-1])))
        places.append((len(sigmas), 3, sigmas[-1]))
    assert [(state.level, state.step, state.sigma) for state in states] == places
    known = mask.expand_as(x)
    for state, right in zip(states, expected, strict=True):
        assert_near(state.x, right)
        first = next(other for other in states if other.level == state.level)
        assert torch.equal(state.x[known], first.x[known])


def test_slow_annealing_gives_the_exact_conditional_law():
    """Of the unknown given the known, by the block formula: N(μ_u + Σ_uk Σ_kk⁻¹(k − μ_k), Σ_uu − Σ_uk Σ_kk⁻¹ Σ_ku).

    What σ_L and finite steps leave is below 4 % of a standard deviation and of the variances; 4 s.e. come to that.
    """
    n = 4_000
    mean = torch.tensor([0.3, -0.2, 0.1, 0.5])
    factor = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.7, 0.6, 0.0, 0.0], [-0.5, 0.4, 0.7, 0.0], [0.3, 0.6, -0.2, 0.5]])
    covariance = 0.04 * factor @ factor.T
    image = torch.tensor([0.5, -0.3, 77.0, -77.0])  # 77s are unknown
    gain = covariance[2:, :2] @ torch.linalg.inv(covariance[:2, :2])
    expected = mean[2:] + gain @ (image[:2] - mean[:2])
    spread = covariance[2:, 2:] - gain @ covariance[:2, 2:]
    stds = spread.diag().sqrt()

    def score(x, sigma):
        return torch.linalg.solve(covariance + sigma**2 * torch.eye(4), (mean - x).T).T

    start = torch.rand(n, 4, generator=seeded(5))
    options = {"image": image, "mask": KNOWN, "step_size": 1e-4, "n_steps": 200, "generator": seeded(1)}
    x = final(inpaint(score, start, geometric_sigmas(1.0, 0.01, 12), **options))[:, 2:]
    torch.testing.assert_close(x.mean(dim=0) / stds, expected / stds, rtol=0.0, atol=0.04 + 4 / math.sqrt(n))
    scale = stds[:, None] * stds
    torch.testing.assert_close(x.T.cov() / scale, spread / scale, rtol=0.0, atol=0.04 + 4 * math.sqrt(2 / n))


def test_divergence_raises_and_names_the_bound():
    options = {"image": torch.zeros(4), "mask": KNOWN, "step_size": 10.0, "n_steps": 200, "generator": seeded()}
    with pytest.raises(SamplerDivergedError, match=r"inpaint diverged at level 1 of 3 \(sigma = 2\)") as caught:
        final(inpaint(lambda x, sigma: -x / (1 + sigma**2), torch.rand(50, 4), [2.0, 1.0, 0.5], **options))
    assert (caught.value.bound, caught.value.step_size) == (pytest.approx(4 * 0.25), 10.0)
