"""The paper's experiments as functions of their settings, at laptop scale and at the paper's own."""

from sbgm.lab.classifier import ClassifierTraining, train_classifier, train_shipped_classifier
from sbgm.lab.cost import PublishedRow, published_table
from sbgm.lab.digits import SHIPPED_DIGITS, DigitsTraining, sample_digits, train_digits, train_shipped_digits
from sbgm.lab.figure1 import Figure1, relative_drift, relative_spread, running_mean, train_figure1
from sbgm.lab.manifold import Circle, CircleTraining, direction_errors, train_on_circle
from sbgm.lab.mixture import (
    SHIPPED,
    Figure2,
    MixtureTraining,
    level_errors,
    load_shipped,
    train_figure2,
    train_mixture,
    train_shipped,
)
from sbgm.lab.scale import Scale
from sbgm.lab.trajectory import Trajectory, annealed_trajectory
from sbgm.measure.classifier import load_classifier

__all__ = [
    "SHIPPED",
    "SHIPPED_DIGITS",
    "Circle",
    "CircleTraining",
    "ClassifierTraining",
    "DigitsTraining",
    "Figure1",
    "Figure2",
    "MixtureTraining",
    "PublishedRow",
    "Scale",
    "Trajectory",
    "annealed_trajectory",
    "direction_errors",
    "level_errors",
    "load_classifier",
    "load_shipped",
    "published_table",
    "relative_drift",
    "relative_spread",
    "running_mean",
    "sample_digits",
    "train_classifier",
    "train_digits",
    "train_figure1",
    "train_figure2",
    "train_mixture",
    "train_on_circle",
    "train_shipped",
    "train_shipped_classifier",
    "train_shipped_digits",
]
