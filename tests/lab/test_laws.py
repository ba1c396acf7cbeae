"""The exact law of chains on the mixture: against closed forms and chains."""

import math

import pytest
import torch

from laws import annealed_weight, transition
from sbgm import annealed_langevin, final, paper_mixture
from sbgm.theory import basin_weight
from seeds import seeded


def test_plain_langevin_keeps_the_weight_of_its_basin():
    assert annealed_weight(torch.tensor([1.0]), 300) == pytest.approx(basin_weight(0.8), abs=0.002)


@pytest.mark.parametrize("variance", [0.0, 1.0])
def test_the_law_is_that_of_chains(variance):
    sigmas, n = torch.tensor([6.0, 1.5]), 20_000
    mixture = paper_mixture(stds=math.sqrt(variance))
    start = 16 * torch.rand(n, 2, generator=seeded(1)) - 8
    x = final(annealed_langevin(mixture.score, start, sigmas, step_size=0.1, n_steps=40, generator=seeded(2)))
    share = float((x.sum(dim=1) > 0).double().mean())
    law = annealed_weight(sigmas, 40, variance=variance)
    assert abs(share - law) < 3 * math.sqrt(law * (1 - law) / n)


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
