"""The paper's experiments as functions of their settings, at laptop scale and at the paper's own."""

from sbgm.experiments.figure1 import Figure1, train_figure1
from sbgm.experiments.figure2 import Figure2, train_figure2

__all__ = ["Figure1", "Figure2", "train_figure1", "train_figure2"]
