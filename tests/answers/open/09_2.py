"""Exercise 9.2: copies of a chain that go down the rest of the ladder with noise of their own."""

import torch

import sbgm
from sbgm import measure

network = sbgm.load_network("own_network")
judge = measure.load_classifier("mnist_judge")
sigmas = network.sigmas.tolist()
generator = torch.Generator().manual_seed(0)


@torch.no_grad()
def go_down(x, level):
    """The chains at the start of each level from this one on, and at the end."""
    states = [x]
    for sigma, following in zip(sigmas[level:], [*sigmas[level + 1 :], 0.0], strict=True):
        x = x + sigma**2 * network(x, sigma) + following * torch.randn(x.shape, generator=generator)
        states.append(x)
    return states


chains = go_down(network.mean + sigmas[0] * torch.randn(24, 1, 28, 28, generator=generator), 0)
errors = []
for level in (0, 8, 12, 15, 20):
    copies = go_down(chains[level].repeat_interleave(8, dim=0), level)[-1]
    digits = judge(copies.clamp(0, 1)).argmax(dim=1).view(24, 8)
    shares = (digits == digits.mode(dim=1).values[:, None]).double().mean(dim=1)  # of each chain's copies
    errors.append(2 * shares.std() / 24**0.5)
    print(f"σ = {sigmas[level]:.2g}: {shares.mean():.2f} of the copies end as the commonest digit")
print(f"each ± {max(errors):.2f} at most")
