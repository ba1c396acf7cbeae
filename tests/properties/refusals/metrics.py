"""Metrics."""

from __future__ import annotations

import torch

from properties.bad_values import (
    NEGATIVE,
    NEGATIVE_COUNT,
    NO_BATCH,
    NO_CALLABLE,
    NO_CHOICE,
    NO_COUNT,
    NO_FLOATS,
    NO_GENERATOR,
    NO_LADDER,
    NO_ROWS,
    NO_SET_OF_TWO,
    NO_VALUES,
    NOT_POSITIVE,
    OUTSIDE_0_1,
    among,
    given_only,
    no_batch_of,
    no_sigma_of,
    with_holes,
)
from properties.refusals import TEXT, Refusal, of
from properties.refusals.losses import BATCH, score
from properties.strategies import normal, seeded
from sbgm import metrics

FEATURES = normal(0, 9, 3)
MEANS = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
INCEPTION = torch.ones(3, metrics.inception.N_FEATURES)
IMAGE = torch.rand(1, 8, 8, generator=seeded(0))
HELD = "holds a result, as the functions here fill it in"
TEXTS = {"name": TEXT, "against": TEXT, "features": TEXT}
NO_FEATURES = NO_ROWS | among(torch.ones(9, 2)) | with_holes(9, 3)
NO_MEANS = NO_BATCH | among(torch.ones(2, 2, 1), torch.ones(2, 3))
NO_IMAGE = NO_FLOATS | among(torch.ones(1, 8, 7), torch.ones(0, 8, 8)) | with_holes(1, 8, 8)


def levels():
    return {"score": score(), "images": BATCH, "sigmas": [2.0, 1.0], "generator": seeded(0)}


NO_LEVELS = {
    "score": NO_CALLABLE,
    "images": NO_SET_OF_TWO,
    "sigmas": NO_LADDER,
    "generator": NO_GENERATOR,
    "n_noise": NO_COUNT,
    "batch_size": NO_COUNT,
}
RESULTS = (
    metrics.Estimate,
    metrics.FeatureStatistics,
    metrics.LevelValues,
    metrics.Moments,
    metrics.Neighbours,
    metrics.Reference,
    metrics.RegionErrors,
    metrics.Share,
)
REFUSALS = (
    *(Refusal(kind, of(**dict.fromkeys(kind._fields, 1.0)), {}, dict.fromkeys(kind._fields, HELD)) for kind in RESULTS),
    Refusal(
        metrics.Measured,
        of(name="distance", value=1.0, se=None, n=3, n_reference=3, reference="images", features="pixels"),
        {},
        dict.fromkeys(("name", "value", "se", "n", "n_reference", "reference", "features"), HELD),
    ),
    Refusal(metrics.estimate, of(values=torch.ones(3)), {"values": NO_VALUES}),
    Refusal(metrics.moments, of(x=torch.arange(3.0)), {"x": NO_VALUES | among(torch.ones(3, 2), torch.ones(1, 3))}),
    Refusal(metrics.quantise, of(images=BATCH), {"images": NO_BATCH}),
    Refusal(metrics.shown, of(images=BATCH), {"images": NO_BATCH}),
    Refusal(
        metrics.in_batches,
        of(function=torch.square, images=BATCH),
        {"function": NO_CALLABLE, "images": NO_BATCH, "batch_size": NO_COUNT},
    ),
    Refusal(metrics.GaussianBaseline, of(images=BATCH), {"images": NO_SET_OF_TWO, "block_size": NO_COUNT}),
    Refusal(
        metrics.GaussianBaseline(BATCH).sample,
        lambda: {"n": 2, "generator": seeded(0)},
        {"n": NO_COUNT, "generator": NO_GENERATOR},
    ),
    Refusal(metrics.feature_statistics, of(features=FEATURES), {"features": NO_ROWS | among(FEATURES[:3])}),
    Refusal(
        metrics.frechet_distance,
        of(samples=FEATURES, reference=FEATURES),
        {"samples": NO_FEATURES | among(FEATURES[:3]), "reference": NO_FEATURES | among(FEATURES[:3])},
        TEXTS,
    ),
    Refusal(
        metrics.kernel_distance,
        of(samples=FEATURES, reference=FEATURES),
        {
            "samples": NO_FEATURES | among(FEATURES[:2]),
            "reference": NO_FEATURES | among(FEATURES[:2]),
            "block_size": NO_COUNT,
        },
        TEXTS,
    ),
    Refusal(
        metrics.kid,
        of(samples=INCEPTION, reference=INCEPTION),
        {"samples": NO_ROWS | among(INCEPTION[:2]), "reference": NO_ROWS | among(INCEPTION[:2])},
        {"against": TEXT},
    ),
    Refusal(
        metrics.fid,
        of(
            samples=torch.zeros(2_560, 1).expand(-1, 2_048),
            reference=metrics.FeatureStatistics(torch.zeros(2_048), torch.eye(2_048), 2_560),
        ),
        {"samples": NO_ROWS | among(INCEPTION), "reference": NO_ROWS | among(INCEPTION)},
        {"against": TEXT},
    ),
    Refusal(metrics.inception_score, of(logits=BATCH, n_splits=2), {"logits": NO_ROWS, "n_splits": NO_COUNT}),
    Refusal(
        metrics.share,
        of(count=2, n=3),
        {"count": NEGATIVE_COUNT | among(4), "n": NO_COUNT | among(-1), "confidence": OUTSIDE_0_1},
    ),
    Refusal(metrics.class_shares, of(logits=BATCH), {"logits": NO_ROWS}),
    Refusal(metrics.confident_share, of(logits=BATCH), {"logits": NO_ROWS, "threshold": NOT_POSITIVE | among(1.1, 90)}),
    *(
        Refusal(measure, of(x=BATCH, means=MEANS), {"x": no_batch_of(2), "means": NO_MEANS})
        for measure in (metrics.mode_weights, metrics.distance_to_modes, metrics.component_stds)
    ),
    Refusal(
        metrics.SwitchCounter,
        of(means=MEANS, radius=1.0),
        {"means": NO_BATCH | among(torch.ones(2, 2, 1)), "radius": NOT_POSITIVE | among(2.1)},
    ),
    Refusal(metrics.SwitchCounter(MEANS).update, of(x=BATCH), {"x": no_batch_of(2)}),
    Refusal(
        metrics.relative_squared_error,
        of(estimated=BATCH, exact=BATCH),
        {
            name: NO_FLOATS | among(torch.ones(3), torch.ones(0, 2)) | with_holes(3, 2)
            for name in ("estimated", "exact")
        },
    ),
    Refusal(
        metrics.fisher_divergence,
        lambda: {"score": score(), "exact": score(), "x": BATCH},
        {"score": NO_CALLABLE, "exact": NO_CALLABLE, "x": NO_BATCH, "sigma": no_sigma_of(3)},
    ),
    Refusal(
        metrics.region_errors,
        lambda: {"score": score(), "exact": score(), "points": 9 * torch.eye(2), "means": torch.tensor([[9.0, 0.0]])},
        {
            "score": NO_CALLABLE,
            "exact": NO_CALLABLE,
            "points": no_batch_of(2),
            "means": NO_MEANS,
            "sigma": NEGATIVE,
            "near": NOT_POSITIVE,
            "far": NOT_POSITIVE,
        },
    ),
    *(
        Refusal(measure, levels, NO_LEVELS)
        for measure in (metrics.level_losses, metrics.score_norms, metrics.optimality_identity)
    ),
    Refusal(
        metrics.nearest_neighbours,
        of(x=BATCH, candidates=BATCH),
        {
            "x": NO_BATCH,
            "candidates": no_batch_of(2),
            "k": NO_COUNT | among(4),
            "block_size": NO_COUNT,
        },
    ),
    *(
        Refusal(likeness, of(noisy=IMAGE, clean=IMAGE), {"noisy": NO_IMAGE, "clean": NO_IMAGE})
        for likeness in (metrics.psnr, metrics.ssim)
    ),
    Refusal(
        metrics.some_images,
        of(name="digits", split="test", n=3),
        {"name": NO_CHOICE, "split": NO_CHOICE, "n": given_only(NO_COUNT) | among(361)},
    ),
    Refusal(
        metrics.reference_features,
        of(function=torch.square, name="digits", split="test", n=3, key="none"),
        {
            "function": NO_CALLABLE,
            "name": NO_CHOICE,
            "split": NO_CHOICE,
            "n": given_only(NO_COUNT) | among(361),
        },
        {"key": "any text"},
    ),
)
