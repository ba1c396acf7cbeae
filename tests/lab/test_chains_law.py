"""The exact law of chains on the mixture: against closed forms. Lab 4 holds it against chains."""

import math

import pytest
import torch

from laws import annealed_weight, transition


def test_a_step_keeps_the_mass_and_has_the_kernels_moments():
    u = torch.arange(-30, 30.05, 0.1, dtype=torch.float64)
    step = transition(u, 1.0, 0.1, 1.0)
    torch.testing.assert_close(step.sum(dim=0), torch.ones_like(u))
    at = int((u - 9).abs().argmin())
    mean = float(step[:, at] @ u)
    assert mean == pytest.approx(9 + 0.05 * (math.sqrt(50) - 9) / 2, abs=1e-6)
    assert float(step[:, at] @ (u - mean).square()) == pytest.approx(0.1, rel=1e-3)


def test_the_grids_error_is_far_below_the_hundredths_that_the_law_settles():
    sigmas = torch.tensor([6.0, 1.5])
    coarse, finest = (annealed_weight(sigmas, 20, spacing=h, reach=60.0) for h in (0.2, 0.05))
    assert coarse == pytest.approx(finest, abs=1e-4)
    assert annealed_weight(sigmas, 20) == pytest.approx(coarse, abs=1e-9)  # nothing reaches beyond 60
