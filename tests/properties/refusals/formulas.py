"""Closed forms, techniques, masks, and settings."""

from __future__ import annotations

import torch

from properties.bad_values import (
    BELOW_1,
    NEGATIVE,
    NEGATIVE_COUNT,
    NO_CHOICE,
    NO_COUNT,
    NO_GENERATOR,
    NO_IMAGE_SHAPE,
    NO_LADDER,
    NO_SET_OF_TWO,
    NOT_ABOVE_1,
    NOT_POSITIVE,
    OUTSIDE_0_1,
    among,
)
from properties.refusals import FLAG, Refusal, of
from properties.strategies import seeded
from sbgm import closed_forms as forms
from sbgm import masks, techniques
from sbgm.training import TrainingSettings

LADDER = [2.0, 1.0]
MODES = {"weight": 0.8, "mean": 5.0}
NO_MODES = {"weight": OUTSIDE_0_1, "mean": NOT_POSITIVE}
CHAINS = {"step_size": 0.1, "n_steps": 3, "variance": 1.0, "start": 1.0}
NO_CHAINS = {
    "sigmas": NO_LADDER,
    "step_size": NOT_POSITIVE,
    "n_steps": NO_COUNT,
    "variance": NEGATIVE,
    "start": NEGATIVE,
}


def some(table: dict, *names: str) -> dict:
    return {name: table[name] for name in names}


REFUSALS = (
    Refusal(
        forms.langevin_variance,
        of(step_size=0.5, variance=1.0),
        {"step_size": NOT_POSITIVE | among(4.0, 5.0), "variance": NOT_POSITIVE},
    ),
    Refusal(
        forms.langevin_kurtosis,
        of(step_size=0.5, noise_kurtosis=9.0),
        {"step_size": NOT_POSITIVE | among(4.0, 5.0), "noise_kurtosis": BELOW_1},
    ),
    Refusal(forms.metropolis_acceptance, of(step_size=0.5), {"step_size": NOT_POSITIVE, "n_points": NO_COUNT}),
    Refusal(forms.largest_stable_step, of(sigmas=LADDER, variance=1.0), some(NO_CHAINS, "sigmas", "variance")),
    Refusal(forms.annealed_variance, of(sigmas=LADDER, **CHAINS), NO_CHAINS),
    Refusal(
        forms.noise_ratio,
        of(sigmas=LADDER, **some(CHAINS, "step_size", "n_steps", "start")),
        some(NO_CHAINS, "sigmas", "step_size", "n_steps", "start"),
    ),
    Refusal(
        forms.consistent_variance,
        of(sigmas=LADDER, **some(CHAINS, "step_size", "variance", "start")),
        some(NO_CHAINS, "sigmas", "step_size", "variance", "start"),
    ),
    Refusal(
        forms.ancestral_variance,
        of(sigmas=LADDER, **some(CHAINS, "variance", "start")),
        some(NO_CHAINS, "sigmas", "variance", "start"),
    ),
    Refusal(
        forms.flow_variance,
        of(sigma=0.1, sigma_max=2.0, **some(CHAINS, "variance", "start")),
        {"sigma": NEGATIVE, "sigma_max": NOT_POSITIVE, "variance": NEGATIVE, "start": NEGATIVE},
    ),
    Refusal(forms.basin_weight, of(**MODES), NO_MODES | {"extent": NOT_POSITIVE, "std": NOT_POSITIVE}),
    Refusal(forms.half_plane_mass, of(**MODES), NO_MODES | {"std": NOT_POSITIVE}),
    Refusal(
        forms.steps_between_switches,
        of(step_size=0.1, **MODES),
        NO_MODES | {"step_size": NOT_POSITIVE, "n_points": NO_COUNT},
    ),
    Refusal(techniques.largest_distance, lambda: {"x": torch.eye(3)}, {"x": NO_SET_OF_TWO, "block": NO_COUNT}),
    Refusal(techniques.overlap, of(ratio=1.5, dimensions=9), {"ratio": BELOW_1, "dimensions": NO_COUNT}),
    Refusal(
        techniques.level_ratio,
        of(dimensions=9, target=0.6),
        {"dimensions": NO_COUNT | among(1, 2), "target": OUTSIDE_0_1 | among(0.998)},
    ),
    Refusal(
        techniques.count_levels,
        of(sigma_max=2.0, sigma_min=0.1, dimensions=9, target=0.6),
        {
            "sigma_max": NOT_POSITIVE,
            "sigma_min": NOT_POSITIVE | among(2.0, 3.0),
            "dimensions": NO_COUNT | among(1, 2),
            "target": OUTSIDE_0_1 | among(0.998),
        },
    ),
    Refusal(
        techniques.variance_ratio,
        of(step_size=0.1, sigma_min=1.0, ratio=1.5, n_steps=3),
        {
            "step_size": NOT_POSITIVE | among(4.0, 5.0),
            "sigma_min": NOT_POSITIVE,
            "ratio": BELOW_1,
            "n_steps": NO_COUNT,
        },
    ),
    Refusal(
        techniques.best_step_size,
        of(sigma_min=1.0, ratio=1.5, n_steps=3),
        {"sigma_min": NOT_POSITIVE, "ratio": NOT_ABOVE_1, "n_steps": NO_COUNT},
    ),
    Refusal(techniques.step_size_of, of(h=0.1), {"h": NOT_POSITIVE}),
    Refusal(masks.right_half, of(shape=(4, 4)), {"shape": NO_IMAGE_SHAPE}),
    Refusal(masks.centre_box, of(shape=(4, 4)), {"shape": NO_IMAGE_SHAPE, "fraction": OUTSIDE_0_1}),
    Refusal(
        masks.random_mask,
        lambda: {"shape": (4, 4), "generator": seeded(0)},
        {"shape": NO_IMAGE_SHAPE, "fraction": OUTSIDE_0_1, "generator": NO_GENERATOR},
    ),
    Refusal(
        masks.make_mask,
        lambda: {"kind": "right-half", "shape": (4, 4), "generator": seeded(0)},
        {"kind": NO_CHOICE, "shape": NO_IMAGE_SHAPE, "generator": NO_GENERATOR},
    ),
    Refusal(
        TrainingSettings,
        dict,
        {
            **dict.fromkeys(("n_steps", "batch_size", "accumulation", "log_every", "measure_every"), NO_COUNT),
            "save_every": NO_COUNT,
            "learning_rate": NOT_POSITIVE,
            "ema_decay": NEGATIVE | among(1.0, 2.0),
            "precision": NO_CHOICE,
            "keep_every": NEGATIVE_COUNT,
            "seed": NEGATIVE_COUNT,
        },
        {"compile": FLAG},
    ),
)
