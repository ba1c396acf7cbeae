"""The paper's experiments as functions of their settings, at laptop scale and at the paper's own."""

from sbgm.experiments.classifier import ClassifierTraining, load_classifier, train_classifier, train_shipped_classifier
from sbgm.experiments.digits import SHIPPED_DIGITS, DigitsTraining, sample_digits, train_digits, train_shipped_digits
from sbgm.experiments.figure1 import Figure1, train_figure1
from sbgm.experiments.figure2 import Figure2, train_figure2
from sbgm.experiments.loss_curves import relative_drift, relative_spread, running_mean
from sbgm.experiments.manifold import Circle, CircleTraining, direction_errors, train_on_circle
from sbgm.experiments.mixture import SHIPPED, MixtureTraining, level_errors, load_shipped, train_mixture, train_shipped
from sbgm.experiments.scale import Scale
from sbgm.experiments.table1 import PublishedRow, published_table
from sbgm.experiments.trajectory import Trajectory, annealed_trajectory

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
