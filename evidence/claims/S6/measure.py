"""S6: where Langevin chains settle on N(0, 1), at four step sizes.

They settle at the variance 1/(1 − ε/4) and at the kurtosis 3. The start is wrong in both respects: half of a million
chains at −3, half at 3. Of n independent Gaussian numbers the variance V has the standard error V√(2/n), the kurtosis
√(24/n). One of the eight comparisons fails by luck in one of 46 runs.
"""

import math

from laws import NORMAL, STEPS_TO_SETTLE, wrong_start
from ledger import Record, declared, record, reported, seed
from sbgm import derived_generator, final, langevin
from sbgm.measure import moments
from sbgm.theory import langevin_variance

N_CHAINS = 1_000_000


def measure() -> Record:
    """Measure S6: the variance and the kurtosis at each step size."""
    generator = derived_generator(seed("S6"))
    off = []
    values = []
    for step_size, n_steps in STEPS_TO_SETTLE.items():
        options = {"step_size": step_size, "n_steps": n_steps, "generator": generator}
        m = moments(final(langevin(NORMAL.score, wrong_start(N_CHAINS), **options)))
        v = langevin_variance(step_size)
        off.append((m.variance.value - v) / (v * math.sqrt(2 / N_CHAINS)))
        off.append((m.kurtosis.value - 3) / math.sqrt(24 / N_CHAINS))
        values.append(reported(f"variance at ε = {step_size}, predicted {v:.3f}", m.variance))
        values.append(reported(f"kurtosis at ε = {step_size}, predicted 3", m.kurtosis))
    farthest = max(map(abs, off))
    return record("S6", [declared("S6", "farthest of eight moments from its prediction, in s.e.", farthest), *values])
