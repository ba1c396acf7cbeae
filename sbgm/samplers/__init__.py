"""Samplers that need a score only, and two that also use a log-density for a Metropolis test.

Each is a generator: it yields a `State` after every step and keeps none, so a caller plots, logs or stops as it likes.
"""

from sbgm.samplers.annealed import annealed_langevin, denoise
from sbgm.samplers.chain import SamplerDivergedError, State, final
from sbgm.samplers.consistent import ancestral, consistent_annealed, consistent_step_bounds
from sbgm.samplers.hamiltonian import hamiltonian
from sbgm.samplers.inpainting import inpaint
from sbgm.samplers.langevin import langevin, metropolis_langevin
from sbgm.samplers.named import NamedSampler
from sbgm.samplers.predictor_corrector import predictor_corrector
from sbgm.samplers.probability_flow import probability_flow

__all__ = [
    "NamedSampler",
    "SamplerDivergedError",
    "State",
    "ancestral",
    "annealed_langevin",
    "consistent_annealed",
    "consistent_step_bounds",
    "denoise",
    "final",
    "hamiltonian",
    "inpaint",
    "langevin",
    "metropolis_langevin",
    "predictor_corrector",
    "probability_flow",
]
