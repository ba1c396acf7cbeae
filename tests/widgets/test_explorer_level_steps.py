"""Chapter 10's first explorer, without a browser: the family of steps on the mixture."""

import re

import numpy as np
import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import final, geometric_sigmas, paper_mixture, probability_flow
from sbgm.measure import component_stds, mode_weights
from sbgm.samplers import ancestral
from sbgm.widgets import level_steps_explorer

MIXTURE = paper_mixture()


@pytest.fixture(scope="module")
def explorer():
    return level_steps_explorer()


def move(explorer, noise=0.0, n_steps=20):
    explorer.controls["noise"].value, explorer.controls["n_steps"].value = noise, n_steps
    return explorer.readout.value


def start():
    z = torch.randn(1_024, 2, generator=torch.Generator().manual_seed(0))
    return torch.tensor([3.0, 3.0]) + 40 * z  # the mean is 4/5 (5, 5) + 1/5 (−5, −5)


def numbers(text):
    return [float(n) for n in re.findall(r"\d+\.\d+", text)]


@pytest.mark.parametrize("n_steps", [5, 20, 60])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_ends_of_the_family_are_the_flow_and_ancestral_sampling(explorer, noise, n_steps):
    text = move(explorer, noise, n_steps)
    sigmas = geometric_sigmas(40, 0.1, n_steps + 1)
    if noise:
        x = final(ancestral(MIXTURE.score, start(), sigmas, generator=torch.Generator().manual_seed(1)))
    else:
        x = final(probability_flow(MIXTURE.score, start(), sigmas, method="euler"))
    r = (0.1 / 40) ** (1 / n_steps)
    weight, std = float(mode_weights(x, MIXTURE.means)[1]), float(component_stds(x, MIXTURE.means)[1])
    found = numbers(text)
    assert text.startswith(f"{n_steps} steps")
    assert found[:3] == pytest.approx([r, 1 - r ** (1 + noise), weight], abs=0.0051)
    assert found[5] == pytest.approx(std, abs=0.0051)
    assert (found[4], found[7]) == (0.8, 1.0)  # exact


def test_noise_makes_few_steps_too_narrow_and_many_mend_it(explorer):
    def std(noise, n_steps):
        return float(re.search(r"standard deviation ([\d.]+)", move(explorer, noise, n_steps)).group(1))

    assert std(5.0, 20) < 0.85
    assert std(5.0, 20) < std(1.0, 20) < std(0.0, 100) == pytest.approx(1.0, abs=0.05)
    assert std(5.0, 100) > std(5.0, 20) + 0.05


@pytest.mark.parametrize(("name", "value"), [("noise", 3.0), ("n_steps", 6)])
def test_every_slider_moves_the_picture_and_going_back_restores_it(explorer, name, value):
    move(explorer)
    assert_moves_and_returns(explorer, name, value, share=0.005)


def test_every_corner_gives_a_picture_and_the_density_has_mass_one(explorer):
    for noise in (0.0, 5.0):
        for n_steps in (4, 100):
            assert "weight of (5, 5)" in move(explorer, noise, n_steps)
            (bars,) = [line for line in explorer.figure.axes[1].lines if line.get_animated()]
            assert 0.9 < float(np.sum(bars.get_ydata())) * 0.5 <= 1.0001
