"""Exercise 3.3: where Langevin dynamics ends from normal starts, predicted by the basin and counted."""

import math

import torch

from sbgm import final, langevin, paper_mixture

BORDER = -math.log(4) / 10  # x₁ + x₂ on the line between the basins

mixture = paper_mixture()
normal = torch.distributions.Normal(0.0, math.sqrt(2))  # of x₁ + x₂, for starts from N(0, I)
m = (BORDER - float(normal.icdf(torch.tensor(0.2)))) / 2  # puts four fifths of the starts above the line
for mean in (0.0, m):
    generator = torch.Generator().manual_seed(0)
    x = mean + torch.randn(12_800, 2, generator=generator)
    x = final(langevin(mixture.score, x, step_size=0.1, n_steps=200, generator=generator))
    predicted = 1 - float(normal.cdf(torch.tensor(BORDER - 2 * mean)))
    counted = float((x.sum(dim=1) > 0).float().mean())
    print(f"m = {mean:.3g}: predicted {predicted:.3g}, counted {counted:.2f}")
