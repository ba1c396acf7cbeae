"""S7: S6's chains with a Metropolis test, 250,000 of them.

They must settle at variance 1 and kurtosis 3, and over the last 20 steps as many proposals must be accepted as
quadrature says. One of the twelve comparisons fails by luck in one of 31 runs.
"""

import math

import torch

from laws import NORMAL, STEPS_TO_SETTLE, metropolis_acceptance, wrong_start
from ledger import Record, declared, record, reported, seed
from sbgm import derived_generator, metropolis_langevin
from sbgm.measure import estimate, moments

N_CHAINS = 250_000
N_COUNTED = 20


def measure() -> Record:
    """Measure S7: the variance, the kurtosis and the acceptance at each step size."""
    generator = derived_generator(seed("S7"))
    off = []
    values = []
    for step_size, n_steps in STEPS_TO_SETTLE.items():
        options = {"log_prob": NORMAL.log_prob, "step_size": step_size, "n_steps": n_steps, "generator": generator}
        n_accepted = torch.zeros(N_CHAINS)
        for state in metropolis_langevin(NORMAL.score, wrong_start(N_CHAINS), **options):
            if state.step > n_steps - N_COUNTED:
                n_accepted += state.accepted
        m = moments(state.x)
        rate = estimate(n_accepted / N_COUNTED)  # one number a chain: chains are independent, steps are not
        exact = metropolis_acceptance(step_size)
        off.append((m.variance.value - 1) / math.sqrt(2 / N_CHAINS))
        off.append((m.kurtosis.value - 3) / math.sqrt(24 / N_CHAINS))
        off.append((rate.value - exact) / rate.se)
        values.append(reported(f"variance at ε = {step_size}, predicted 1", m.variance))
        values.append(reported(f"kurtosis at ε = {step_size}, predicted 3", m.kurtosis))
        values.append(reported(f"acceptance at ε = {step_size}, by quadrature {exact:.3f}", rate))
    farthest = max(map(abs, off))
    return record("S7", [declared("S7", "farthest of twelve numbers from its prediction, in s.e.", farthest), *values])
