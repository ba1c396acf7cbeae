"""The sliders of the chapters, each a function that returns a widget."""

from sbgm.explorers.annealing import annealing_explorer
from sbgm.explorers.base import FigureExplorer
from sbgm.explorers.denoising import denoising_explorer
from sbgm.explorers.image_annealing import image_annealing_explorer
from sbgm.explorers.image_noise import image_noise_explorer
from sbgm.explorers.inpainting import inpainting_explorer
from sbgm.explorers.langevin import langevin_explorer
from sbgm.explorers.level_steps import level_steps_explorer
from sbgm.explorers.live import LiveTraining
from sbgm.explorers.sampler_curve import sampler_curve_explorer
from sbgm.explorers.score_field import score_field_explorer
from sbgm.explorers.step_map import step_map_explorer
from sbgm.explorers.training import training_explorer

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
