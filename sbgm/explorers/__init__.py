"""The sliders of the chapters, each a function that returns a widget."""

from sbgm.explorers.annealing import annealing_explorer
from sbgm.explorers.base import FigureExplorer
from sbgm.explorers.image_noise import image_noise_explorer
from sbgm.explorers.langevin import langevin_explorer
from sbgm.explorers.score_field import score_field_explorer
from sbgm.explorers.training import training_explorer

__all__ = [
    "FigureExplorer",
    "annealing_explorer",
    "image_noise_explorer",
    "langevin_explorer",
    "score_field_explorer",
    "training_explorer",
]
