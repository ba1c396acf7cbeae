"""The ring of points against the circle's closed form, samples of the circle, and directions around it."""

import math

import pytest
import torch

from recipes import direction_errors, on_circle, ring
from sbgm.measure import estimate
from seeds import seeded


# the first two as M3 and M4 take them
@pytest.mark.parametrize(("sigma", "n"), [(0.001, 10_000), (0.1, 500), (2.0, 20)])
def test_a_ring_of_enough_points_has_the_density_and_the_score_of_the_circle(sigma, n):
    """With Bessel functions I₀ and I₁, and r = ‖x‖: q_σ(x) = exp(−(r² + 1)/(2σ²)) I₀(r/σ²)/(2πσ²), at any angle."""
    x = torch.randn(50, 2, generator=seeded(), dtype=torch.float64)
    x *= torch.linspace(0.4, 1.9, 50, dtype=torch.float64)[:, None] / x.norm(dim=1, keepdim=True)
    r = x.norm(dim=1)
    i0e, i1e = (bessel(r / sigma**2) for bessel in (torch.special.i0e, torch.special.i1e))  # exp(−z) I(z)
    log_prob = i0e.log() - (r - 1) ** 2 / (2 * sigma**2) - math.log(2 * math.pi * sigma**2)
    torch.testing.assert_close(ring(n).log_prob(x, sigma), log_prob, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ring(n).score(x, sigma), ((i1e / i0e - r) / sigma**2 / r)[:, None] * x)


def test_samples_lie_on_the_circle_all_the_way_round_and_noise_widens_it():
    x = on_circle(20_000, generator=seeded())
    torch.testing.assert_close(x.norm(dim=1), torch.ones(20_000))
    angle = torch.atan2(x[:, 1], x[:, 0]).double()
    for k in (1, 2, 3):  # E e^{ikθ} = 0, with standard error √(½/n) in each part
        mean = torch.polar(torch.ones_like(angle), k * angle).mean()
        assert abs(mean) < 4 / math.sqrt(20_000)
    second = estimate(on_circle(20_000, 0.4, generator=seeded()).square().sum(dim=1))
    assert abs(second.value - (1 + 2 * 0.4**2)) < 4 * second.se


def test_directions_are_measured_against_the_way_to_the_circle():
    def twisted(x, sigma):
        return -x - torch.stack([-x[:, 1], x[:, 0]], dim=1)

    for distance in (-0.7, -0.1, 0.1, 3.0):
        towards = direction_errors(lambda x, sigma: ring(500).score(x, 0.1), distance)
        assert towards.shape == (360,)
        assert float(towards.max()) < 0.1
        away = direction_errors(lambda x, sigma: -ring(500).score(x, 0.1), distance)
        assert float(away.min()) > 179.9
    errors = direction_errors(twisted, 0.3, n_points=10)
    torch.testing.assert_close(errors, torch.full((10,), 45.0), rtol=1e-3, atol=0)
