"""Samplers."""

from __future__ import annotations

import torch

import sbgm
from properties.bad_values import (
    NO_BATCH,
    NO_CALLABLE,
    NO_CHOICE,
    NO_COUNT,
    NO_GENERATOR,
    NO_ITERABLE,
    NO_LADDER,
    NO_LADDER_OF_TWO,
    NOT_POSITIVE,
    among,
    given_only,
    no_sigma_of,
    with_holes,
)
from properties.refusals import FLAG, Refusal, Spy, of
from properties.refusals.losses import BATCH, score
from properties.strategies import gaussian_score, seeded
from sbgm.generation import CountedScore
from sbgm.samplers import NamedSampler, SamplerDivergedError, State, consistent_step_bounds
from sbgm.samplers.annealed import signal_to_noise

NO_MASK = among(None, "mask", True, torch.ones(3, 2), torch.ones(3, 3, dtype=torch.bool), [[True, False]])
NO_IMAGE = among(None, "image", 0.5, torch.ones(3, 3), torch.ones(3, 2, dtype=torch.int64), torch.ones(4, 3, 2))
FILLED = "what a sampler fills in"


def log_prob():
    return Spy(lambda x, sigma: -0.5 * x.square().sum(dim=1))


def run(**others):
    """Arguments of a sampler; a callable makes a fresh one."""

    def make():
        made = {"score": score(), "x": BATCH, "generator": seeded(0)}
        return made | {name: value() if callable(value) else value for name, value in others.items()}

    return make


START = {"score": NO_CALLABLE, "x": NO_BATCH, "generator": NO_GENERATOR}
STEPS = START | {"step_size": NOT_POSITIVE, "n_steps": NO_COUNT}
LADDER, LAST = {"sigmas": [2.0, 1.0]}, {"denoise_last": FLAG}
REFUSALS = (
    Refusal(sbgm.langevin, run(step_size=0.1, n_steps=2), STEPS | {"sigma": no_sigma_of(3)}),
    Refusal(
        sbgm.metropolis_langevin,
        run(log_prob=log_prob, step_size=0.1, n_steps=2),
        STEPS | {"sigma": no_sigma_of(3), "log_prob": NO_CALLABLE},
    ),
    Refusal(
        sbgm.hamiltonian,
        run(log_prob=log_prob, step_size=0.1, n_steps=2, n_leapfrog=2),
        STEPS | {"sigma": no_sigma_of(3), "n_leapfrog": NO_COUNT, "log_prob": given_only(NO_CALLABLE)},
    ),
    Refusal(sbgm.annealed_langevin, run(step_size=0.1, n_steps=2, **LADDER), STEPS | {"sigmas": NO_LADDER}, LAST),
    Refusal(
        sbgm.inpaint,
        run(step_size=0.1, n_steps=2, image=BATCH, mask=BATCH > 0, **LADDER),
        STEPS | {"sigmas": NO_LADDER, "image": NO_IMAGE | with_holes(3, 2), "mask": NO_MASK},
        LAST,
    ),
    Refusal(
        sbgm.predictor_corrector,
        run(step_size=0.1, n_steps=2, **LADDER),
        STEPS | {"sigmas": NO_LADDER_OF_TWO},
        LAST,
    ),
    Refusal(
        sbgm.consistent_annealed,
        run(step_size=1.5, **LADDER),
        START | {"sigmas": NO_LADDER_OF_TWO, "step_size": NOT_POSITIVE | among(0.9, 3.1)},
        LAST,
    ),
    Refusal(sbgm.ancestral, run(**LADDER), START | {"sigmas": NO_LADDER_OF_TWO}, LAST),
    Refusal(
        sbgm.probability_flow,
        lambda: {"score": score(), "x": BATCH, **LADDER},
        {"score": NO_CALLABLE, "x": NO_BATCH, "sigmas": NO_LADDER_OF_TWO, "method": NO_CHOICE},
        LAST,
    ),
    Refusal(consistent_step_bounds, of(**LADDER), {"sigmas": NO_LADDER_OF_TWO}),
    Refusal(
        NamedSampler,
        lambda: {"name": "annealed", "sigmas": (2.0, 1.0), "step_size": 0.1, "n_steps": 2},
        {
            "name": NO_CHOICE,
            "sigmas": NO_LADDER,
            "step_size": NOT_POSITIVE,
            "n_steps": NO_COUNT,
        },
        LAST,
    ),
    Refusal(
        NamedSampler("ancestral", (2.0, 1.0)).states,
        run(),
        START,
    ),
    Refusal(
        sbgm.denoise,
        lambda: {"score": score(), "x": BATCH, "sigma": 0.5},
        {"score": NO_CALLABLE, "x": NO_BATCH, "sigma": no_sigma_of(3)},
    ),
    Refusal(
        sbgm.final,
        lambda: {"states": [State(BATCH, 1, 0.5)]},
        {"states": NO_ITERABLE | among([], [1.0], [BATCH], BATCH, "states")},
    ),
    Refusal(
        signal_to_noise,
        lambda: {"scores": BATCH, "alpha": 0.1},
        {"scores": NO_BATCH, "alpha": NOT_POSITIVE},
    ),
    Refusal(CountedScore, lambda: {"score": gaussian_score(0.0, 1.0)}, {"score": NO_CALLABLE}),
    Refusal(State, lambda: {"x": BATCH, "step": 1, "sigma": 0.5}, {}, dict.fromkeys(State._fields, FILLED)),
    Refusal(
        SamplerDivergedError,
        lambda: {"message": "diverged", "step_size": 0.1, "level": 1, "step": 1},
        {},
        dict.fromkeys(("message", "step_size", "level", "step", "bound"), FILLED),
    ),
)
