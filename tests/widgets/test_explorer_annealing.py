"""Chapter 04's sliders, without a browser."""

import math
import re

import numpy as np
import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import SamplerDivergedError, annealed_langevin, final, geometric_sigmas, paper_mixture
from sbgm.measure import component_stds, mode_weights
from sbgm.theory import largest_stable_step
from sbgm.widgets import annealing_explorer
from sbgm.widgets.mixtures import SIGMA_MAX, SIGMA_MIN


@pytest.fixture(scope="module")
def explorer():
    return annealing_explorer()


FIRST = {"sigma_max": 10.0, "sigma_min": 0.3, "n_levels": 10, "step_size": 10**-1.28}


def move(explorer, sigma_max=10.0, sigma_min=0.3, n_levels=10, step_size=10**-1.28):
    """Set all controls and return the readout."""
    values = {"sigma_max": sigma_max, "sigma_min": sigma_min, "n_levels": n_levels, "step_size": step_size}
    for name, value in values.items():
        explorer.controls[name].value = value
    return explorer.readout.value


def run(sigmas, step_size, n_steps):
    """What the explorer should run: 400 chains, the same starts and noise at every move."""
    start = 8 * (2 * torch.rand(400, 2, generator=torch.Generator().manual_seed(0)) - 1)
    options = {"step_size": step_size, "n_steps": n_steps, "generator": torch.Generator().manual_seed(1)}
    return final(annealed_langevin(paper_mixture().score, start, sigmas, **options))


def moving(explorer, kind):
    (artist,) = [a for axes in explorer.figure.axes for a in getattr(axes, kind) if a.get_animated()]
    return artist


@pytest.mark.parametrize(
    ("settings", "n_steps"),
    [
        ({}, 15),
        ({"n_levels": 5}, 30),
        ({"n_levels": 20}, 7),
        ({"sigma_max": 10.0, "sigma_min": 0.1, "step_size": 0.005}, 15),
        ({"sigma_max": 5.0, "sigma_min": 1.0, "step_size": 0.5}, 15),
    ],
)
def test_the_readout_holds_the_weight_of_the_cloud_and_the_bound(explorer, settings, n_steps):
    text = move(explorer, **settings)
    settings = FIRST | settings
    sigmas = geometric_sigmas(settings["sigma_max"], settings["sigma_min"], settings["n_levels"])
    x = run(sigmas, settings["step_size"], n_steps)
    weight = float(mode_weights(x, paper_mixture().means)[1])
    pattern = r"weight of \(5, 5\) ([\d.]+) ± ([\d.]+), .* deviation ([\d.]+), exact 1; .* ε < ([\d.]+)$"
    shown, margin, std, bound = re.search(pattern, text).groups()
    assert text.startswith(f"400 chains, {n_steps} steps a level: ")
    assert float(shown) == pytest.approx(weight, abs=0.0051)
    assert float(margin) == pytest.approx(2 * math.sqrt(weight * (1 - weight) / 400), abs=0.0051)
    assert float(std) == pytest.approx(float(component_stds(x, paper_mixture().means)[1]), abs=0.0051)
    assert float(bound) == pytest.approx(largest_stable_step(sigmas, variance=1.0), rel=0.005)
    assert np.allclose(moving(explorer, "collections").get_offsets().data, x.numpy(), atol=1e-4)


def test_the_curve_holds_one_share_a_level_and_ends_at_the_readouts_weight(explorer):
    text = move(explorer, n_levels=7)
    sigmas, shares = moving(explorer, "lines").get_data()
    assert np.allclose(sigmas, geometric_sigmas(10, 0.3, 7))
    assert len(shares) == 7
    assert f"weight of (5, 5) {shares[-1]:.2f}" in text


def test_one_level_is_plain_langevin_dynamics_at_the_smallest_sigma(explorer):
    text = move(explorer, n_levels=1)
    weight = float(mode_weights(run([0.3], FIRST["step_size"], 150), paper_mixture().means)[1])
    assert text.startswith("400 chains, 150 steps a level (at σ_L: one level has no σ_1)")
    assert f"weight of (5, 5) {weight:.2f}" in text
    assert abs(weight - 0.51) < 0.075  # the basin of components of variance 1.09, three s.e.
    assert text.endswith("stable for ε < 4.36")  # 4σ_L²(1 + v/σ_L²)


@pytest.mark.parametrize("seed", range(5))
def test_annealing_shows_in_the_default_settings_against_one_level(seed):
    explorer = annealing_explorer(seed=seed)

    def readout(**settings):
        pattern = r"weight of \(5, 5\) ([\d.]+) .* deviation ([\d.]+), exact 1"
        return [float(number) for number in re.search(pattern, move(explorer, **settings)).groups()]

    weight, std = readout()
    assert weight > 0.72
    assert 0.95 < std < 1.15
    assert readout(n_levels=1)[0] < 0.6


def test_divergence_is_a_sentence_that_names_bound_level_and_step(explorer):
    text = move(explorer, sigma_max=10.0, sigma_min=0.1, step_size=0.1)
    with pytest.raises(SamplerDivergedError) as caught:
        run(geometric_sigmas(10, 0.1, 10), 0.1, 30)
    assert text == (
        "ε = 0.1 is beyond the bound 4σ_L²(1 + v/σ_1²) = 0.0404: "
        f"the chains diverged at level 1, step {caught.value.step}"
    )
    assert not np.isfinite(moving(explorer, "collections").get_offsets().data).any()  # nothing is drawn
    assert "weight of (5, 5) 0.7" in move(explorer)  # and all is well again


def test_slow_divergence_beyond_the_bound_is_said_too(explorer):
    text = move(explorer, sigma_max=10.0, sigma_min=0.1, step_size=0.041)
    assert "weight of (5, 5)" in text
    assert text.endswith("ε = 0.041 is beyond the bound 4σ_L²(1 + v/σ_1²) = 0.0404, and more steps would diverge")


def test_every_corner_of_the_sliders_gives_a_picture_and_a_sentence(explorer):
    for sigma_max in (3.0, 30.0):
        for sigma_min in (0.1, 2.0):
            for n_levels in (1, 2, 20):
                for step_size in (1e-3, 10.0):
                    text = move(explorer, sigma_max, sigma_min, n_levels, step_size)
                    assert "weight of (5, 5)" in text or "diverged at level" in text
                    assert bytes(explorer.image.value).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "value"), [("sigma_max", 20.0), ("sigma_min", 1.0), ("n_levels", 3), ("step_size", 0.2)]
)
def test_every_slider_moves_the_picture_and_going_back_restores_it(explorer, name, value):
    move(explorer)
    assert_moves_and_returns(explorer, name, value, share=0.01)


def test_the_sliders_start_on_places_that_a_page_can_show():
    sigma_max, sigma_min, _, step_size = annealing_explorer().controls.values()
    assert [sigma_max.options[sigma_max.index], sigma_min.options[sigma_min.index]] == [("10", 10.0), ("0.3", 0.3)]
    places = (math.log10(step_size.value) - step_size.min) / step_size.step
    assert places == pytest.approx(round(places), abs=1e-9)  # a page rounds, and the kernel does not hear


@pytest.mark.parametrize(("name", "levels"), [("sigma_max", SIGMA_MAX), ("sigma_min", SIGMA_MIN)])
def test_every_level_is_shown_as_the_number_it_is_and_the_texts_ladder_is_among_them(explorer, name, levels):
    assert [(float(label), value) for label, value in explorer.controls[name].options] == [(v, v) for v in levels]
    assert sorted(set(levels)) == list(levels)
    assert {"sigma_max": 10.0, "sigma_min": 0.1}[name] in levels  # the chapter asks for them
