"""Training: a plain loop for cells, and runs in a folder that can be stopped, resumed and spread over processes."""

from sbgm.training.checkpoint import load_checkpoint, save_checkpoint
from sbgm.training.loop import Step, adam, fit, n_parameters
from sbgm.training.resumable import TrainingSettings, train
from sbgm.training.run import Run, load_trained

__all__ = [
    "Run",
    "Step",
    "TrainingSettings",
    "adam",
    "fit",
    "load_checkpoint",
    "load_trained",
    "n_parameters",
    "save_checkpoint",
    "train",
]
