"""Exercise 2.3: where the arrows of Fig. 2 turn from one mode to the other, exactly and as six networks estimate it."""

from functools import partial

import torch

from sbgm import MLP, fit_score, paper_mixture, sliced_score_matching_loss

mixture = paper_mixture()
place = torch.linspace(-4, 4, 16_001)


def turning_place(score):
    along = score(torch.stack([place, place], dim=1)).detach().sum(dim=1)
    (turn,) = place[:-1][(along[:-1] < 0) & (along[1:] >= 0)]
    return float(turn)


print(f"exactly: {turning_place(mixture.score):.2f}")
turns = []
for seed in range(6):
    generator = torch.Generator().manual_seed(seed)
    network = MLP(generator=generator)
    batches = partial(mixture.sample, generator=generator)
    loss = partial(sliced_score_matching_loss, generator=generator)
    recipe = {"n_steps": 1250, "batch_size": 256, "learning_rate": 1e-2, "one_cycle": True}
    _ = list(fit_score(network, batches, loss, **recipe, generator=generator))
    turns.append(turning_place(network))
print(f"six trainings: from {min(turns):.2f} to {max(turns):.2f}")
