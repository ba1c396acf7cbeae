"""The circle's closed forms against quadrature and autograd, and what sliced score matching makes of it."""

import math
from functools import partial

import pytest
import torch

from recipes import Circle, Training, direction_errors
from sbgm import MLP, score_matching_loss, sliced_score_matching_loss
from sbgm.measure import estimate
from seeds import seeded


def plane(n=600, extent=5.0):
    """A fine grid of points and the area of its cells."""
    axis = torch.linspace(-extent, extent, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0, torch.linspace(0.1, 0.5, 50)])  # the last: of each point its own
def test_density_and_score_are_the_mean_over_many_points_of_the_circle(sigma):
    """The circle as 4,000 equally weighted Gaussians: log-sum-exp and its gradient by autograd, no Bessel function."""
    x = torch.randn(50, 2, generator=seeded(), dtype=torch.float64).requires_grad_()
    angle = torch.arange(4000, dtype=torch.float64) * (2 * math.pi / 4000)
    centres = 1.5 * torch.stack([angle.cos(), angle.sin()], dim=1)
    squared = torch.cdist(x, centres).square()
    variance = torch.as_tensor(sigma, dtype=torch.float64).square().expand(50)
    log_prob = (-squared / (2 * variance[:, None])).logsumexp(dim=1) - (4000 * 2 * math.pi * variance).log()
    (score,) = torch.autograd.grad(log_prob.sum(), x)
    circle, x = Circle(1.5), x.detach()
    torch.testing.assert_close(circle.log_prob(x, sigma), log_prob.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(circle.score(x, sigma), score, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_overflow_at_tiny_noise_and_the_dtype_stays(dtype):
    x = torch.tensor([[1.2, 0.0], [0.0, -0.5], [30.0, 40.0]], dtype=dtype)
    score = Circle().score(x, 1e-3)
    assert score.dtype == Circle().log_prob(x, 1e-3).dtype == dtype
    torch.testing.assert_close(score[:, 0] * 1e-6, torch.tensor([-0.2, 0.0, -29.4], dtype=dtype), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(score[:, 1] * 1e-6, torch.tensor([0.0, -0.5, -39.2], dtype=dtype), rtol=1e-3, atol=1e-3)


def test_the_centre_has_score_zero():
    assert Circle().score(torch.zeros(1, 2), 0.3).tolist() == [[0, 0]]
    assert Circle().outwards(torch.tensor([[0.0, 0.0], [0.0, -2.0]])).tolist() == [[0, 0], [0, -1]]


def test_samples_lie_on_the_circle_all_the_way_round():
    x = Circle(2.0).sample(20_000, generator=seeded())
    torch.testing.assert_close(x.norm(dim=1), torch.full((20_000,), 2.0))
    turns = (torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi)).double() % 1
    for k in (1, 2, 3):  # E e^{ikθ} = 0, with standard error √(½/n) in each part
        mean = torch.polar(torch.ones_like(turns), 2 * math.pi * k * turns).mean()
        assert abs(mean) < 4 / math.sqrt(20_000)


def test_noisy_samples_follow_the_density():
    """Stein's identity at the exact score, E xᵀs = −2, and the second moment R² + 2σ²."""
    circle, sigma = Circle(1.5), 0.4
    x = circle.sample(200_000, sigma, generator=seeded())
    stein = estimate((x * circle.score(x, sigma)).sum(dim=1))
    assert abs(stein.value + 2) < 4 * stein.se
    second = estimate(x.square().sum(dim=1))
    assert abs(second.value - (1.5**2 + 2 * sigma**2)) < 4 * second.se


def spiral(slope, twist, radius=1.0):
    """−K(r − R)(e_r + c e_θ): its trace on the circle is −K and it vanishes there, whatever the twist c."""

    def score(x, sigma):
        r = x.norm(dim=1, keepdim=True)
        e_r = x / r
        e_theta = torch.stack([-e_r[:, 1], e_r[:, 0]], dim=1)
        return -slope * (r - radius) * (e_r + twist * e_theta)

    return score


@pytest.mark.parametrize("twist", [0.0, 1.0, -5.0])
@pytest.mark.parametrize("slope", [1.0, 1e3, 1e6])
def test_on_the_circle_the_exact_loss_of_a_field_is_minus_its_slope_whatever_its_direction(slope, twist):
    x = Circle().sample(100, generator=seeded()).double()
    x = x / x.norm(dim=1, keepdim=True)
    with torch.no_grad():
        loss = score_matching_loss(spiral(slope, twist), x)
    assert float(loss) == pytest.approx(-slope, rel=1e-6)


@torch.no_grad()
def test_with_noise_the_loss_has_a_floor_and_tells_a_twist():
    """No field is below −½E‖∇log q_σ‖²; a straight one comes near it, one twisted by 45° to half of it."""
    circle, sigma = Circle(), 0.1
    x = circle.sample(20_000, sigma, generator=seeded()).double()
    floor = estimate(-0.5 * circle.score(x, sigma).square().sum(dim=1))
    losses = {}
    for slope, twist in ((1 / sigma**2, 0.0), (0.5 / sigma**2, 1.0), (1 / sigma**2, 1.0), (300.0, 0.0), (3.0, 0.0)):
        losses[slope, twist] = estimate(score_matching_loss(spiral(slope, twist), x, reduction="none"))
        assert losses[slope, twist].value > floor.value - 4 * losses[slope, twist].se
    assert losses[1 / sigma**2, 0.0].value == pytest.approx(floor.value, rel=0.05)
    assert losses[0.5 / sigma**2, 1.0].value == pytest.approx(floor.value / 2, rel=0.05)


def test_directions_are_measured_against_the_way_to_the_circle():
    circle = Circle(2.0)
    for distance in (-1.5, -0.1, 0.1, 3.0):
        towards = direction_errors(lambda x, sigma: circle.score(x, 0.1), circle, distance)
        assert towards.shape == (360,)
        assert float(towards.max()) < 0.1
        away = direction_errors(lambda x, sigma: -circle.score(x, 0.1), circle, distance)
        assert float(away.min()) > 179.9
    twisted = direction_errors(spiral(7.0, 1.0, radius=2.0), circle, 0.3, n_points=10)
    torch.testing.assert_close(twisted, torch.full((10,), 45.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("distance", [0.0, -1.0, -2.0])
def test_distances_without_a_direction_are_refused(distance):
    with pytest.raises(ValueError, match="distance must not be 0, and larger than −radius"):
        direction_errors(Circle().score, Circle(), distance)


def test_training_on_noisy_points_finds_the_exact_score():
    circle, sigma = Circle(), 0.3
    network = MLP(generator=seeded(1))
    settings, samples = Training(n_steps=600, batch_size=256, learning_rate=5e-3), partial(circle.sample, sigma=sigma)
    losses = [step.loss for step in settings.fit(network, samples, sliced_score_matching_loss)]
    assert len(losses) == 600
    x = circle.sample(2000, sigma, generator=seeded(2))
    exact = circle.score(x, sigma)
    with torch.no_grad():
        error = float((network(x) - exact).square().sum() / exact.square().sum())
    assert error < 0.1
