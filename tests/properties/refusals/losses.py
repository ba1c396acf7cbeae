"""Mixtures, noise, and the score matching objectives."""

from __future__ import annotations

import torch

import sbgm
from properties.bad_values import (
    INF,
    NAN,
    NEGATIVE,
    NEGATIVE_COUNT,
    NO_BATCH,
    NO_CALLABLE,
    NO_CHOICE,
    NO_COUNT,
    NO_FLOATS,
    NO_GENERATOR,
    NO_LADDER,
    NOT_POSITIVE,
    OUTSIDE_0_1,
    among,
    no_batch_of,
    no_positive_sigma_of,
    no_sigma_of,
)
from properties.refusals import DEVICE, FLAG, Refusal, Spy
from properties.strategies import gaussian_score, seeded

BATCH = torch.ones(3, 2)
NO_LEVELS = among("0", [0, 0, 0], torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 2, 0])) | among(
    torch.tensor([0, -1, 0]), torch.tensor([True, False, True]), torch.zeros(3, dtype=torch.complex64)
)


def score():
    return Spy(gaussian_score(0.0, 1.0))


def objective(**others):
    return lambda: {"score": score(), "x": BATCH, **{name: make() for name, make in others.items()}}


NO_OBJECTIVE = {"score": NO_CALLABLE, "x": NO_BATCH, "reduction": NO_CHOICE}
REFUSALS = (
    Refusal(
        sbgm.GaussianMixture,
        lambda: {"weights": [0.5, 0.5], "means": [[0.0, 1.0], [1.0, 0.0]], "stds": [1.0, 2.0]},
        {
            "weights": among(None, "ab", 1.0, [1.0], [0.5, 0.4], [1.5, -0.5], [0.0, 1.0], [NAN, 1.0], [[0.5], [0.5]]),
            "means": among(None, "ab", 1.0, [1.0, 2.0], [[1.0], [1.0, 2.0]], torch.ones(2, 0), [[NAN], [1.0]]),
            "stds": among(None, "1", -1.0, NAN, INF, [1.0, -1.0], [1.0], [[1.0, 1.0]]),
        },
    ),
    Refusal(sbgm.paper_mixture, dict, {"stds": among(None, "1", -1.0, NAN, [1.0]), "weight": OUTSIDE_0_1}),
    Refusal(
        sbgm.paper_mixture().sample,
        lambda: {"n": 3, "sigma": 0.5, "generator": seeded(0)},
        {"n": NO_COUNT, "sigma": NEGATIVE, "generator": NO_GENERATOR},
    ),
    *(
        Refusal(method, lambda: {"x": BATCH, "sigma": 0.5}, {"x": no_batch_of(2), "sigma": no_sigma_of(3)})
        for method in (sbgm.paper_mixture().score, sbgm.paper_mixture().log_prob)
    ),
    *(
        Refusal(
            ladder,
            lambda: {"sigma_max": 2.0, "sigma_min": 1.0, "n_levels": 3},
            {
                "sigma_max": NOT_POSITIVE,
                "sigma_min": NOT_POSITIVE | among(2.0, 3.0),
                "n_levels": NO_COUNT | among(1),
                **({"power": NOT_POSITIVE} if ladder is sbgm.power_sigmas else {}),
            },
        )
        for ladder in (sbgm.geometric_sigmas, sbgm.power_sigmas)
    ),
    Refusal(
        sbgm.randn_like,
        lambda: {"x": BATCH, "generator": seeded(0)},
        {"x": NO_FLOATS, "generator": NO_GENERATOR},
    ),
    Refusal(
        sbgm.perturb,
        lambda: {"x": BATCH, "sigma": 0.5, "generator": seeded(0)},
        {"x": NO_BATCH, "sigma": no_sigma_of(3), "generator": NO_GENERATOR},
    ),
    Refusal(
        sbgm.derived_generator,
        lambda: {"seed": 0, "keys": 1},
        {"seed": NEGATIVE_COUNT, "keys": NEGATIVE_COUNT},
        {"device": DEVICE},
        lambda seed, keys: sbgm.derived_generator(seed, 0, keys),
    ),
    Refusal(
        sbgm.score_matching_loss,
        objective(),
        NO_OBJECTIVE | {"sigma": no_sigma_of(3)},
    ),
    Refusal(
        sbgm.denoising_score_matching_loss,
        objective(sigma=lambda: 0.5, generator=lambda: seeded(0)),
        NO_OBJECTIVE | {"sigma": no_positive_sigma_of(3), "generator": NO_GENERATOR},
    ),
    Refusal(
        sbgm.sliced_score_matching_loss,
        objective(generator=lambda: seeded(0)),
        NO_OBJECTIVE
        | {
            "sigma": no_sigma_of(3),
            "generator": NO_GENERATOR,
            "n_projections": NO_COUNT,
            "projection": NO_CHOICE,
            "autodiff": NO_CHOICE,
        },
        {"variance_reduced": FLAG},
    ),
    Refusal(
        sbgm.ncsn_loss,
        objective(sigmas=lambda: [2.0, 1.0], generator=lambda: seeded(0)),
        NO_OBJECTIVE
        | {
            "sigmas": NO_LADDER,
            "generator": NO_GENERATOR,
            "weighting": NO_CALLABLE,
            "levels": NO_LEVELS,
        },
    ),
)
