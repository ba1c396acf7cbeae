"""Samplers that need a score only, and two that also use a log-density for a Metropolis test.

Each is a generator: it yields a `State` after every step and keeps none, so a caller plots, logs or stops as it likes.
"""

from sbgm.samplers.annealed import annealed_langevin, denoise
from sbgm.samplers.chain import SamplerDivergedError, State, final
from sbgm.samplers.hamiltonian import hamiltonian
from sbgm.samplers.langevin import langevin, metropolis_langevin

__all__ = [
    "SamplerDivergedError",
    "State",
    "annealed_langevin",
    "denoise",
    "final",
    "hamiltonian",
    "langevin",
    "metropolis_langevin",
]
