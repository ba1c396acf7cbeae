"""L4: whether Langevin chains change modes, at ±5 and at ±1.5.

At ±5 the chains are L3's, looked at every ten steps. A switch goes from within 1 of one mean to within 1 of the other.
At ±1.5 there are 2,560 chains of 6,000 steps; of those after the first 1,000 the share of time above x₁ + x₂ = 0 is
taken. That half-plane has the mass 0.790; at the start the share is that of the basin, 0.528.
"""

import torch

from laws import SwitchCounter
from ledger import Record, declared, guard, record, seed
from plane import N_CHAINS, clouds, uniform_starts
from sbgm import GaussianMixture, derived_generator, langevin, paper_mixture
from sbgm.measure import estimate

N_STEPS = 6_000
N_LEFT_OUT = 1_000


def measure() -> Record:
    """Measure L4: the switches at ±5, and the share of time at ±1.5."""
    far_apart = SwitchCounter(paper_mixture().means, radius=1.0)
    clouds(paper_mixture(), derived_generator(seed("L3")), far_apart.update)
    close = GaussianMixture([0.2, 0.8], [[-1.5, -1.5], [1.5, 1.5]])
    generator = derived_generator(seed("L4"))
    counter = SwitchCounter(close.means, radius=1.0)
    time_above = torch.zeros(2 * N_CHAINS)
    starts = uniform_starts(2 * N_CHAINS, generator)
    for state in langevin(close.score, starts, step_size=0.1, n_steps=N_STEPS, generator=generator):
        counter.update(state.x)
        if state.step > N_LEFT_OUT:
            time_above += (state.x.sum(dim=1) > 0).float()
    mass = estimate(time_above / (N_STEPS - N_LEFT_OUT))  # of each chain: chains are independent
    return record(
        "L4",
        [
            declared("L4", "switches at ±5, of all chains", int(far_apart.switches.sum())),
            declared("L4", "mass of the half-plane at ±1.5", mass),
            guard("switches a chain at ±1.5", estimate(counter.switches.float()), low=5, high=20),
        ],
        narrower="mixing is seen at ±1.5, not at the paper's ±5",
    )
