"""The paper's experiments as functions of their settings, at laptop scale and at the paper's own."""

from sbgm.experiments.figure1 import Figure1, train_figure1
from sbgm.experiments.figure2 import Figure2, train_figure2
from sbgm.experiments.loss_curves import relative_drift, relative_spread, running_mean
from sbgm.experiments.manifold import Circle, CircleTraining, direction_errors, train_on_circle
from sbgm.experiments.mixture import SHIPPED, MixtureTraining, level_errors, load_shipped, train_mixture, train_shipped

__all__ = [
    "SHIPPED",
    "Circle",
    "CircleTraining",
    "Figure1",
    "Figure2",
    "MixtureTraining",
    "direction_errors",
    "level_errors",
    "load_shipped",
    "relative_drift",
    "relative_spread",
    "running_mean",
    "train_figure1",
    "train_figure2",
    "train_mixture",
    "train_on_circle",
    "train_shipped",
]
