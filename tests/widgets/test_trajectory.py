"""Trajectories of Algorithm 1, and the explorer that seeks in one."""

import re

import numpy as np
import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import annealed_langevin
from sbgm.widgets import Trajectory, annealed_trajectory, image_annealing_explorer
from seeds import seeded

SIGMAS = [1.0, 0.3, 0.1]
T = 4


def score(x, sigma):
    """Of N(½, v I) data, v = 0.1."""
    return (0.5 - x) / (0.1 + sigma**2)


@pytest.fixture(scope="module")
def start():
    return torch.rand(5, 1, 6, 6, generator=seeded())


@pytest.fixture(scope="module")
def trajectory(start):
    return annealed_trajectory(score, start, SIGMAS, step_size=1e-3, n_steps=T, generator=seeded(1))


def test_the_states_are_the_samplers(start, trajectory):
    states = list(annealed_langevin(score, start, SIGMAS, step_size=1e-3, n_steps=T, generator=seeded(1)))
    torch.testing.assert_close(trajectory.x, torch.stack([start, *(s.x for s in states)]))
    assert trajectory.levels == [1] * 4 + [2] * 4 + [3] * 5
    assert trajectory.steps == [0, 1, 2, 3] * 3 + [4]
    assert trajectory.sigmas == pytest.approx([1.0] * 4 + [0.3] * 4 + [0.1] * 5)


def test_the_estimates_are_the_expected_clean_images(trajectory):
    for x, estimate, sigma in zip(trajectory.x, trajectory.denoised, trajectory.sigmas, strict=True):
        exact = (0.1 * x + sigma**2 * 0.5) / (0.1 + sigma**2)  # E[x | x̃] of the Gaussian
        torch.testing.assert_close(estimate, exact)


def test_the_ends_of_levels_are_the_start_and_the_last_state_of_each(start, trajectory):
    ends = trajectory.ends_of_levels()
    torch.testing.assert_close(ends.x, trajectory.x[[0, 4, 8, 12]])
    assert torch.equal(ends.x[0], start)
    assert ends.sigmas == pytest.approx([1.0, 0.3, 0.1, 0.1])
    assert isinstance(ends, Trajectory)


def test_estimates_cost_one_score_more_than_the_sampler(start):
    calls = []

    def counted(x, sigma):
        calls.append(sigma)
        return score(x, sigma)

    annealed_trajectory(counted, start, SIGMAS, step_size=1e-3, n_steps=T, generator=seeded())
    assert len(calls) == len(SIGMAS) * T + 1


# --- the explorer ----------------------------------------------------------------------------------------------------


def test_moving_the_slider_changes_the_picture_and_back_again(trajectory):
    explorer = image_annealing_explorer(trajectory)
    assert_moves_and_returns(explorer, "step", 1, share=0.02)


@pytest.mark.parametrize("step", [0, 5, 12])
def test_the_readout_is_what_an_independent_computation_gives(trajectory, step):
    explorer = image_annealing_explorer(trajectory)
    explorer.controls["step"].value = step
    numbers = [float(n) for n in re.findall(r"\d[\d.]*(?:e[+-]\d+)?", explorer.readout.value)]
    off = [float((v[step] - v[-1]).square().mean().sqrt()) for v in (trajectory.x, trajectory.denoised)]
    expected = [trajectory.levels[step], 3, trajectory.sigmas[step], trajectory.steps[step], T, *off]
    assert numbers == pytest.approx(expected, rel=0.06, abs=1e-9)


def test_the_pictures_are_the_stored_states_clamped(trajectory):
    explorer = image_annealing_explorer(trajectory)
    explorer.controls["step"].value = 7
    for ax, images in zip(explorer.figure.axes, (trajectory.x[7], trajectory.denoised[7]), strict=False):
        shown = np.asarray(ax.images[0].get_array())[1:7, 1:7, 0]  # the first image, inside its border
        np.testing.assert_allclose(shown, images[0, 0].clamp(0, 1), atol=1e-6)


def test_states_that_are_no_images_are_named():
    flat = annealed_trajectory(
        score, torch.rand(3, 2, generator=seeded()), SIGMAS, step_size=1e-3, n_steps=1, generator=seeded()
    )
    with pytest.raises(ValueError, match="trajectory must be of images"):
        image_annealing_explorer(flat)
