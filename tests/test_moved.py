"""Students' copies of the chapters of sbgm 0.2 run: names stay, a module that moved is found with one warning."""

import importlib
import sys
import warnings

import pytest

import sbgm
from sbgm._moved import MOVED

# What the chapters of sbgm 0.2.0 import, and the calls of those of their sliders that there still are.
CHAPTERS = {
    "00": "from sbgm import annealed_langevin, geometric_sigmas, paper_mixture, plots",
    "01": """\
from sbgm import GaussianMixture, checks, denoise, paper_mixture, perturb, plots
from sbgm.widgets import score_field_explorer
score_field_explorer()""",
    "02": """\
from sbgm import MLP, checks, losses, measure, paper_mixture, perturb, plots, training
from sbgm.widgets import training_explorer
mixture = paper_mixture()
fields = {0: mixture.score(plots.grid(39)), 10: mixture.score(plots.grid(39))}
training_explorer(fields, mixture)""",
    "03": """\
from sbgm import GaussianMixture, checks, paper_mixture, plots, samplers
from sbgm.widgets import langevin_explorer
langevin_explorer()""",
    "04": """\
from sbgm import checks, geometric_sigmas, paper_mixture, plots, samplers
from sbgm.widgets import annealing_explorer
annealing_explorer()""",
    "05": """\
import sbgm
import torch
from safetensors.torch import load_file
from sbgm import checks, plots, widgets
curves = load_file(sbgm.data.shipped_folder() / "results" / "M2.safetensors")
widgets.image_noise_explorer(torch.rand(4, 3, 32, 32))""",
    "06": """\
import sbgm
from safetensors.torch import load_file
from sbgm import checks, measure, plots, widgets
growth = load_file(sbgm.data.shipped_folder() / "weights" / "own_network.growth.safetensors")
live = widgets.LiveTraining(2_000, ceiling=35, n_columns=4)""",
    "07": """\
import sbgm
import torch
from sbgm import checks, plots
from sbgm.data import shipped_folder
from sbgm.measure import load_classifier
from sbgm.widgets import Trajectory, image_annealing_explorer
x = torch.rand(3, 4, 1, 28, 28)
slider = image_annealing_explorer(Trajectory(x, x, [5.0, 1.0, 1.0], [1, 2, 2], [0, 0, 1]))
slider.controls["step"].value = 1""",
    "08": """\
import sbgm
import torch
from sbgm import checks, plots
from sbgm.data import shipped_folder
from sbgm.measure import load_classifier
from sbgm.samplers import State
from sbgm.widgets import inpainting_explorer
masks = {"right half": sbgm.masks.right_half((1, 28, 28))}
x = torch.rand(4, 1, 28, 28)
inpainting_explorer(x[0], masks, {"right half": [State(x, 1, 5.0, 1), State(x, 1, 1.0, 2)]})""",
    "09": "from sbgm import checks, data, guided, load_network, measure, plots, widgets",
    "10": """\
import sbgm
from sbgm import GaussianMixture, checks, geometric_sigmas, measure, plots, samplers, widgets
widgets.level_steps_explorer()""",
}


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_chapter_of_the_last_version_imports_and_slides(chapter):
    exec(CHAPTERS[chapter], {})


@pytest.mark.parametrize("old", MOVED)
def test_a_module_is_the_same_under_its_old_name_and_the_new_one_is_said_once(old, monkeypatch):

    monkeypatch.delitem(sys.modules, old, raising=False)
    new = importlib.import_module(MOVED[old])
    spec = new.__spec__
    with pytest.warns(FutureWarning, match=f"^{old} is now {MOVED[old]}; ") as said:
        assert importlib.import_module(old) is new
    assert len(said) == 1
    assert new.__spec__ is spec
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.import_module(old)


def test_a_module_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match="'sbgm' has no attribute 'nothing'"):
        assert sbgm.nothing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sbgm.nothing")
