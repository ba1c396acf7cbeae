"""Exercise 5.4: the denoising loss is never negative, where J is; they differ by D/(2σ²)."""

import math

import torch

import sbgm


def spiral_of_no_twist(pull):
    """A pull to the unit circle, as a score."""

    def score(x, sigma):
        r = x.norm(dim=1, keepdim=True)
        return -pull * (r - 1) * x / r

    return score


generator = torch.Generator().manual_seed(6)
angle = 2 * math.pi * torch.rand(100_000, generator=generator, dtype=torch.float64)
clean = torch.stack([angle.cos(), angle.sin()], dim=1)
noisy = sbgm.perturb(clean, 0.1, generator=generator)
denoising = sbgm.denoising_score_matching_loss(spiral_of_no_twist(100), clean, 0.1, generator=generator).item()
J = sbgm.score_matching_loss(spiral_of_no_twist(100), noisy).item()
print(f"at a pull of 100: denoising loss {denoising:.0f}, J = {J:.0f}")
assert denoising > 0
assert abs(denoising - J - 100) < 2
