"""Numbers that settle claims and judge samples, with their standard errors."""

from sbgm.metrics.baselines import GaussianBaseline
from sbgm.metrics.estimates import Estimate, Moments, estimate, moments
from sbgm.metrics.features import in_batches, quantise, shown
from sbgm.metrics.frechet import FeatureStatistics, feature_statistics, frechet_distance
from sbgm.metrics.inception import Inception, fid, inception_score, kid
from sbgm.metrics.kernel import kernel_distance
from sbgm.metrics.levels import LevelValues, level_losses, optimality_identity, score_norms
from sbgm.metrics.measured import Measured
from sbgm.metrics.modes import SwitchCounter, component_stds, distance_to_modes, mode_weights
from sbgm.metrics.neighbours import Neighbours, nearest_neighbours
from sbgm.metrics.reference import Reference, reference_features, some_images
from sbgm.metrics.score_error import RegionErrors, fisher_divergence, region_errors, relative_squared_error
from sbgm.metrics.shares import Share, class_shares, confident_share, share
from sbgm.metrics.similarity import psnr, ssim

__all__ = [
    "Estimate",
    "FeatureStatistics",
    "GaussianBaseline",
    "Inception",
    "LevelValues",
    "Measured",
    "Moments",
    "Neighbours",
    "Reference",
    "RegionErrors",
    "Share",
    "SwitchCounter",
    "class_shares",
    "component_stds",
    "confident_share",
    "distance_to_modes",
    "estimate",
    "feature_statistics",
    "fid",
    "fisher_divergence",
    "frechet_distance",
    "in_batches",
    "inception_score",
    "kernel_distance",
    "kid",
    "level_losses",
    "mode_weights",
    "moments",
    "nearest_neighbours",
    "optimality_identity",
    "psnr",
    "quantise",
    "reference_features",
    "region_errors",
    "relative_squared_error",
    "score_norms",
    "share",
    "shown",
    "some_images",
    "ssim",
]
