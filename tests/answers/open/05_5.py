"""Exercise 5.5: sliced score matching without noise, on a hundred points of a normal distribution and on new ones."""

import torch

import sbgm


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def loss_after(draw, test, n_steps=1_500):
    """J on the points `test` after a training on batches that `draw` gives, (n, generator) -> (n, 2)."""
    generator = seeded(0)
    network = sbgm.MLP(width=128, depth=3, generator=generator)
    steps = sbgm.fit_score(
        network,
        lambda n: draw(n, generator),
        lambda score, x: sbgm.sliced_score_matching_loss(score, x, generator=generator),
        n_steps=n_steps,
        batch_size=64,
        learning_rate=3e-3,
        one_cycle=True,
        generator=generator,
    )
    for _ in steps:
        pass
    return sbgm.score_matching_loss(network, test).item()


hundred = torch.randn(100, 2, generator=seeded(0))
finite = loss_after(lambda n, generator: hundred[torch.randint(100, (n,), generator=generator)], hundred)
new_points = torch.randn(20_000, 2, generator=seeded(9))
endless = loss_after(lambda n, generator: torch.randn(n, 2, generator=generator), new_points)
assert finite < -2  # no number: where it ends depends on the processor's rounding
print(f"with new points in each batch {endless:.0f}, on the hundred points below -2")
