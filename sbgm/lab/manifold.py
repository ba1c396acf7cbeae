"""The simplest distribution on a manifold, points on a circle in the plane, and score matching there (Section 3.1)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sbgm.checked import Score, check_batch, check_count, check_generator, check_positive, check_sigma
from sbgm.losses import sliced_score_matching_loss
from sbgm.training import Step, fit


class Circle:
    """The uniform distribution on a circle around the origin, and its perturbations q_σ, in closed form.

    The circle has no area, so it has no density in the plane, and no score. With noise it has both: at distance r from
    the origin, and with the modified Bessel functions I₀ and I₁,

        q_σ(x) = exp(−(r² + R²)/(2σ²)) I₀(rR/σ²) / (2πσ²),
        ∇log q_σ(x) = (R I₁(rR/σ²)/I₀(rR/σ²) − r)/σ² · x/r.

    Args:
        radius: R.
    """

    def __init__(self, radius: float = 1.0) -> None:
        self.radius = check_positive(radius, "radius")

    def sample(self, n: int, sigma: float = 0.0, *, generator: torch.Generator) -> Tensor:
        """Draw n independent samples of q_σ, (n, 2); of the circle itself at σ = 0."""
        check_count(n, "n")
        device = check_generator(generator).device
        angle = 2 * math.pi * torch.rand(n, generator=generator, device=device)
        x = self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        sigma = check_sigma(sigma, x)
        return x + sigma * torch.randn(n, 2, generator=generator, device=device) if sigma > 0 else x

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The exact log-density log q_σ(x), σ > 0, in nats: (B, 2) -> (B,)."""
        r, sigma = self._polar(x, sigma)
        # i0e(z) = exp(−z) I₀(z) neither overflows nor vanishes
        log_density = torch.special.i0e(r * self.radius / sigma**2).log() - (r - self.radius) ** 2 / (2 * sigma**2)
        return (log_density - (2 * math.pi * sigma**2).log()).squeeze(1)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The exact score ∇_x log q_σ(x), σ > 0: (B, 2) -> (B, 2); zero at the centre."""
        r, sigma = self._polar(x, sigma)
        z = r * self.radius / sigma**2
        radial = (self.radius * torch.special.i1e(z) / torch.special.i0e(z) - r) / sigma**2
        return radial * self.outwards(x)

    def outwards(self, x: Tensor) -> Tensor:
        """The unit vector x/r that points away from the centre, (B, 2); zero at the centre."""
        r = x.norm(dim=1, keepdim=True)
        return torch.where(r > 0, x / r.clamp_min(torch.finfo(x.dtype).tiny), torch.zeros_like(x))

    def _polar(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """r and σ, both (B, 1) or broadcastable to it."""
        if check_batch(x).shape[1:] != (2,):
            raise ValueError(f"x must have shape (B, 2), got {tuple(x.shape)}")
        sigma = torch.as_tensor(check_sigma(sigma, x, positive=True), dtype=x.dtype, device=x.device)
        return x.norm(dim=1, keepdim=True), sigma


@dataclasses.dataclass(frozen=True)
class CircleTraining:
    """Settings of sliced score matching on a circle (M4).

    Attributes:
        noise_std: σ of the noise that the samples carry; 0 trains on the circle itself.
        n_iterations: Adam steps.
        batch_size: fresh samples a step.
        learning_rate: Adam's, at its peak: it rises, then falls to zero (one cycle; Smith & Topin 2018).
        seed: of samples and projections.
    """

    noise_std: float
    n_iterations: int = 1_500
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 0


def train_on_circle(network: nn.Module, circle: Circle, settings: CircleTraining) -> Iterator[Step]:
    """Train a score network on samples of a circle by sliced score matching (Eq. 3), in place.

    Args:
        network: s(x, sigma) in the plane, such as `MLP(dim=2)`.
        circle: where the samples come from.
        settings: see `CircleTraining`.

    Yields:
        Step(step, loss) after every iteration.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=settings.n_iterations)

    def loss() -> Tensor:
        x = circle.sample(settings.batch_size, settings.noise_std, generator=generator)
        return sliced_score_matching_loss(network, x, generator=generator)

    yield from fit(loss, optimizer, settings.n_iterations, schedule=schedule)


@torch.no_grad()
def direction_errors(score: Score, circle: Circle, distance: float, n_points: int = 360) -> Tensor:
    """The angles between a score and the way to the circle, in degrees, on a ring of points at a distance from it.

    Args:
        score: s(x, sigma).
        circle: the data.
        distance: of the points to the circle, d ≠ 0; negative on the inside.
        n_points: points, evenly spread around the ring.

    Returns:
        (n_points,) angles in [0, 180].
    """
    if distance == 0 or distance <= -circle.radius:
        raise ValueError(f"distance must not be 0, and larger than −radius = {-circle.radius}, got {distance}")
    angle = torch.arange(n_points) * (2 * math.pi / n_points)
    outwards = torch.stack([angle.cos(), angle.sin()], dim=1)
    s = score((circle.radius + distance) * outwards, 0.0)
    cosine = -math.copysign(1, distance) * (s * outwards).sum(dim=1) / s.norm(dim=1)
    return cosine.clamp(-1, 1).acos().rad2deg()
