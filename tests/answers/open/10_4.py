"""Exercise 10.4: several known numbers, each of which says little."""

import torch

import sbgm

ladder = sbgm.geometric_sigmas(20.0, 0.2, 14)
for n in (1, 4, 16):
    means = torch.tensor([[-5.0], [5.0]]).expand(2, n + 1)
    mixture = sbgm.GaussianMixture([0.2, 0.8], means, 1.0)
    known = torch.arange(n + 1) < n
    image = torch.where(known, 0.25, 0.0)
    x = 16 * torch.rand(4_000, n + 1, generator=torch.Generator().manual_seed(1)) - 8
    options = {"step_size": 0.01, "n_steps": 100, "generator": torch.Generator().manual_seed(0)}
    x = sbgm.final(sbgm.inpaint(mixture.score, x, ladder, image=image, mask=known, **options))
    exact = float(torch.sigmoid(torch.tensor(4.0).log() + 2.5 * n))
    print(f"n = {n}: {(x[:, -1] > 0).double().mean():.2f}, exact {exact:.2f}")
