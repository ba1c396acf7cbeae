"""The sliders of the chapters, each a function that returns a widget."""

from sbgm.widgets.base import FigureExplorer, LiveTraining
from sbgm.widgets.images import denoising_explorer, image_annealing_explorer, image_noise_explorer, inpainting_explorer
from sbgm.widgets.levels import level_steps_explorer, sampler_curve_explorer, step_map_explorer
from sbgm.widgets.mixtures import annealing_explorer, langevin_explorer, score_field_explorer
from sbgm.widgets.training import training_explorer

__all__ = [
    "FigureExplorer",
    "LiveTraining",
    "annealing_explorer",
    "denoising_explorer",
    "image_annealing_explorer",
    "image_noise_explorer",
    "inpainting_explorer",
    "langevin_explorer",
    "level_steps_explorer",
    "sampler_curve_explorer",
    "score_field_explorer",
    "step_map_explorer",
    "training_explorer",
]
