"""The sliders of the mixtures, without a browser: what is shown is what an independent computation gives."""

import base64
import functools
import itertools
import math
import re

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from moving import assert_moves_and_returns, pixels
from sbgm import (
    GaussianMixture,
    SamplerDivergedError,
    annealed_langevin,
    final,
    geometric_sigmas,
    langevin,
    metropolis_langevin,
    paper_mixture,
    plots,
    probability_flow,
)
from sbgm.measure import component_stds, mode_weights
from sbgm.samplers import ancestral
from sbgm.theory import langevin_variance, largest_stable_step, metropolis_acceptance
from sbgm.widgets import (
    FigureExplorer,
    annealing_explorer,
    langevin_explorer,
    level_steps_explorer,
    score_field_explorer,
    training_explorer,
)
from sbgm.widgets import mixtures as module
from sbgm.widgets.mixtures import SIGMA_MAX, SIGMA_MIN

# --- score field -----------------------------------------------------------------------------------------------------


def test_moving_sigma_redraws_and_gives_the_exact_density_at_the_origin():
    explorer = score_field_explorer()
    for sigma in (0.0, 4.0, 10.0):
        explorer.controls["sigma"].value = sigma
        density = float(paper_mixture().log_prob(torch.zeros(1, 2), sigma).exp())
        length = float(paper_mixture().score(torch.zeros(1, 2), sigma).norm())
        shown = [float(number) for number in re.findall(r"\d+\.\d+(?:e[-+]\d+)?", explorer.readout.value)]
        assert shown == pytest.approx([sigma, density, length], rel=0.05, abs=0.005)


def test_a_blitted_picture_equals_a_full_redraw():
    explorer = score_field_explorer()
    explorer.controls["sigma"].value = 3.0
    for artist in explorer.figure.findobj(lambda artist: artist.get_animated()):
        artist.set_animated(False)
    explorer.figure.canvas.draw()
    full = np.asarray(explorer.figure.canvas.buffer_rgba())[:, :, :3].astype(int)
    # ticks and frame are drawn below the moving artists when blitting: only their thin lines may differ
    assert (np.abs(full - pixels(explorer)) > 8).any(axis=2).mean() < 0.02


def test_pages_without_widgets_get_text_and_a_picture():
    bundle = score_field_explorer()._repr_mimebundle_()
    assert bundle["text/plain"] == "FigureExplorer(σ = 3)"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_an_error_in_update_reaches_the_caller():
    def update(n):
        if n > 1:
            raise RuntimeError("broken")
        return ""

    slider = ipywidgets.IntSlider(value=1, min=0, max=5)
    explorer = FigureExplorer(Figure(figsize=(1, 1)), update, {"n": slider})
    with pytest.raises(RuntimeError, match="broken"):
        explorer.controls["n"].value = 2


# --- training --------------------------------------------------------------------------------------------------------

POINTS = plots.grid(39)
EXACT = paper_mixture().score(POINTS)
# stands in for a training: nothing, half of the score, and the score plus something that the far region feels most
SNAPSHOTS = {0: torch.zeros_like(EXACT), 10: 0.5 * EXACT, 200: EXACT + 0.001 * POINTS.norm(dim=1, keepdim=True) ** 3}


def numbers(explorer):
    return [float(number) for number in re.findall(r": (\d[\d.e+-]*)", explorer.readout.value)]


def error_where(scores, inside):
    difference = (scores - EXACT)[inside].double()
    return float((difference**2).sum() / (EXACT[inside].double() ** 2).sum())


@pytest.mark.parametrize("iteration", [0, 10, 200])
@pytest.mark.parametrize("centre", [(5.0, 5.0), (0.0, 0.0), (-8.0, 8.0), (0.5, -3.0)])
def test_the_readout_is_the_error_of_the_stored_field(iteration, centre):
    explorer = training_explorer(SNAPSHOTS)
    explorer.controls["iteration"].value = iteration
    explorer.controls["centre_x"].value, explorer.controls["centre_y"].value = centre
    to_modes = torch.stack([((POINTS - mean) ** 2).sum(dim=1).sqrt() for mean in ((-5), 5)]).amin(dim=0)
    regions = [((POINTS - torch.tensor(centre)) ** 2).sum(dim=1) <= 4, to_modes < 2, to_modes > 4]
    expected = [error_where(SNAPSHOTS[iteration], region) for region in regions]
    assert numbers(explorer) == pytest.approx(expected, rel=0.05)  # two digits are shown


def test_it_starts_at_the_last_iteration_and_offers_the_stored_ones_in_order():
    explorer = training_explorer({200: SNAPSHOTS[200], 0: SNAPSHOTS[0], 10: SNAPSHOTS[10]})
    assert explorer.controls["iteration"].options == (0, 10, 200)
    assert explorer.controls["iteration"].value == 200


def test_another_mixture_has_its_own_exact_field():
    mixture = paper_mixture(weight=0.5)
    exact = mixture.score(POINTS)
    explorer = training_explorer({0: torch.zeros_like(exact), 1: exact}, mixture)
    assert numbers(explorer) == [0.0] * 3


def test_bad_snapshots_are_named():
    with pytest.raises(ValueError, match="snapshots must hold at least two iterations, got 1"):
        training_explorer({0: EXACT})
    with pytest.raises(ValueError, match=r"snapshots must be scores on plots\.grid\(39\), .*at iteration 5"):
        training_explorer({0: EXACT, 5: EXACT[:400]})


# --- langevin --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer():
    return langevin_explorer()


def move(explorer, target, sampler, step_size, n_steps):
    """Set all controls; return the readout and the numbers in it."""
    for name, value in (("target", target), ("sampler", sampler), ("step_size", step_size), ("n_steps", n_steps)):
        explorer.controls[name].value = value
    text = explorer.readout.value
    return text, [float(number) for number in re.findall(r"(?<![\w/(])\d+\.?\d*(?:e\+\d+)?", text)]


@pytest.mark.parametrize("step_size", [0.1, 1.0, 3.9])
def test_the_plain_readout_holds_the_variance_and_its_closed_form(explorer, step_size):
    text, _ = move(explorer, "N(0, 1)", "plain", step_size, 1_000)
    variance, margin, predicted = re.search(r"variance ([\d.]+) ± ([\d.]+), .* = ([\d.]+)$", text).groups()
    assert float(predicted) == pytest.approx(langevin_variance(step_size), abs=0.005)
    assert float(margin) == pytest.approx(2 * langevin_variance(step_size) * math.sqrt(2 / 640), rel=0.2)
    assert abs(float(variance) - float(predicted)) < 2 * float(margin)
    assert text.startswith("640 chains after 1000 steps")


@pytest.mark.parametrize("step_size", [0.1, 2.0, 5.0])
def test_the_metropolis_readout_holds_the_acceptance_and_its_quadrature(explorer, step_size):
    text, _ = move(explorer, "N(0, 1)", "Metropolis", step_size, 1_000)
    variance, margin, rate, predicted = re.search(
        r"variance ([\d.]+) ± ([\d.]+), to settle at 1; accepted (\d+)%, to settle at (\d+)%$", text
    ).groups()
    assert abs(float(variance) - 1) < 2 * float(margin)
    assert int(predicted) == round(100 * metropolis_acceptance(step_size))
    assert abs(int(rate) - int(predicted)) <= 1


@pytest.mark.parametrize("sampler", ["plain", "Metropolis"])
def test_the_mixtures_readout_holds_the_share_of_the_cloud_that_is_drawn(explorer, sampler):
    text, _ = move(explorer, "mixture", sampler, 0.1, 1_000)
    (cloud,) = [a for a in explorer.figure.axes[0].collections if a.get_animated()]
    x = torch.tensor(cloud.get_offsets().tolist())
    share, margin = re.search(r"share in \(5, 5\) ([\d.]+) ± ([\d.]+), exact 0\.80", text).groups()
    assert len(x) == 320
    assert float(share) == pytest.approx(float(mode_weights(x, paper_mixture().means)[1]), abs=0.005)
    assert float(margin) == pytest.approx(2 * math.sqrt(0.25 / 320), abs=0.006)
    assert abs(float(share) - 0.509) < 2 * float(margin)  # the basin, not the weight
    assert ("accepted" in text) == (sampler == "Metropolis")


@pytest.mark.parametrize("target", ["N(0, 1)", "mixture"])
@pytest.mark.parametrize("step_size", [4.0, 4.5, 5.0])
def test_divergence_is_a_sentence_that_names_the_bound(explorer, target, step_size):
    for n_steps in module.N_STEPS:
        text, _ = move(explorer, target, "plain", step_size, n_steps)
        assert text.startswith(f"ε = {step_size:g} is not below the bound 4v = 4: ")
        assert f"multiplies distances by {step_size / 2 - 1:g}, and" in text
    assert "grows without end" in text if step_size == 4 else "langevin raised at step" in text
    before, _ = move(explorer, target, "plain", step_size, 20)
    assert "the variance grows without end, now " in before


def test_at_no_steps_the_start_is_shown(explorer):
    text, _ = move(explorer, "N(0, 1)", "Metropolis", 1.0, 0)
    assert text == "640 chains after 0 steps: variance 9.00 ± 0.00, to settle at 1"


@pytest.mark.parametrize("step_size", [0.05, 2.0])
def test_a_trajectory_is_that_of_the_sampler_in_its_own_units(step_size):
    """A step of size 1 in units of √ε is a step of size ε: the same noise gives the same states, and the same tests."""
    target = GaussianMixture([0.2, 0.8], [[-1.5, -1.5], [1.5, 1.5]])
    start = 4 * torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    options = {"step_size": step_size, "n_steps": module.N_STEPS[-1]}
    for metropolis in (False, True):
        (run,) = module._run(target, start, [step_size], metropolis, torch.Generator().manual_seed(0))
        assert torch.equal(run.x[0], start)
        assert len(run.x) == len(run.acceptance) == len(module.N_STEPS)
        generator = torch.Generator().manual_seed(0)
        if metropolis:
            states = metropolis_langevin(target.score, start, log_prob=target.log_prob, generator=generator, **options)
        else:
            states = langevin(target.score, start, generator=generator, **options)
        by_step = {state.step: state for state in states if state.step <= 20}
        for index, step in enumerate(module.N_STEPS):
            if 0 < step <= 20:
                torch.testing.assert_close(run.x[index], by_step[step].x, rtol=1e-4, atol=1e-4)
        assert run.acceptance[1] == pytest.approx(
            float(by_step[1].accepted.float().mean()) if metropolis else math.nan, nan_ok=True
        )


# --- annealing -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer_annealed():
    return annealing_explorer()


FIRST = {"sigma_max": 10.0, "sigma_min": 0.3, "n_levels": 10, "step_size": 10**-1.28}


def move_annealed(explorer_annealed, sigma_max=10.0, sigma_min=0.3, n_levels=10, step_size=10**-1.28):
    """Set all controls and return the readout."""
    values = {"sigma_max": sigma_max, "sigma_min": sigma_min, "n_levels": n_levels, "step_size": step_size}
    for name, value in values.items():
        explorer_annealed.controls[name].value = value
    return explorer_annealed.readout.value


def run(sigmas, step_size, n_steps):
    """What the explorer should run: 400 chains, the same starts and noise at every move."""
    start = 8 * (2 * torch.rand(400, 2, generator=torch.Generator().manual_seed(0)) - 1)
    options = {"step_size": step_size, "n_steps": n_steps, "generator": torch.Generator().manual_seed(1)}
    return final(annealed_langevin(paper_mixture().score, start, sigmas, **options))


def moving(explorer_annealed, kind):
    (artist,) = [a for axes in explorer_annealed.figure.axes for a in getattr(axes, kind) if a.get_animated()]
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
def test_the_readout_holds_the_weight_of_the_cloud_and_the_bound(explorer_annealed, settings, n_steps):
    text = move_annealed(explorer_annealed, **settings)
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
    assert np.allclose(moving(explorer_annealed, "collections").get_offsets().data, x.numpy(), atol=1e-4)


def test_the_curve_holds_one_share_a_level_and_ends_at_the_readouts_weight(explorer_annealed):
    text = move_annealed(explorer_annealed, n_levels=7)
    sigmas, shares = moving(explorer_annealed, "lines").get_data()
    assert np.allclose(sigmas, geometric_sigmas(10, 0.3, 7))
    assert len(shares) == 7
    assert f"weight of (5, 5) {shares[-1]:.2f}" in text


def test_one_level_is_plain_langevin_dynamics_at_the_smallest_sigma(explorer_annealed):
    text = move_annealed(explorer_annealed, n_levels=1)
    weight = float(mode_weights(run([0.3], FIRST["step_size"], 150), paper_mixture().means)[1])
    assert text.startswith("400 chains, 150 steps a level (at σ_L: one level has no σ_1)")
    assert f"weight of (5, 5) {weight:.2f}" in text
    assert abs(weight - 0.51) < 0.075  # the basin of components of variance 1.09, three s.e.
    assert text.endswith("stable for ε < 4.36")  # 4σ_L²(1 + v/σ_L²)


@pytest.mark.parametrize("seed", range(5))
def test_annealing_shows_in_the_default_settings_against_one_level(seed):
    explorer_annealed = annealing_explorer(seed=seed)

    def readout(**settings):
        pattern = r"weight of \(5, 5\) ([\d.]+) .* deviation ([\d.]+), exact 1"
        return [float(number) for number in re.search(pattern, move_annealed(explorer_annealed, **settings)).groups()]

    weight, std = readout()
    assert weight > 0.72
    assert 0.95 < std < 1.15
    assert readout(n_levels=1)[0] < 0.6


def test_divergence_is_a_sentence_that_names_bound_level_and_step(explorer_annealed):
    text = move_annealed(explorer_annealed, sigma_max=10.0, sigma_min=0.1, step_size=0.1)
    with pytest.raises(SamplerDivergedError) as caught:
        run(geometric_sigmas(10, 0.1, 10), 0.1, 30)
    assert text == (
        "ε = 0.1 is beyond the bound 4σ_L²(1 + v/σ_1²) = 0.0404: "
        f"the chains diverged at level 1, step {caught.value.step}"
    )
    assert not np.isfinite(moving(explorer_annealed, "collections").get_offsets().data).any()  # nothing is drawn
    assert "weight of (5, 5) 0.7" in move_annealed(explorer_annealed)  # and all is well again


def test_slow_divergence_beyond_the_bound_is_said_too(explorer_annealed):
    text = move_annealed(explorer_annealed, sigma_max=10.0, sigma_min=0.1, step_size=0.041)
    assert "weight of (5, 5)" in text
    assert text.endswith("ε = 0.041 is beyond the bound 4σ_L²(1 + v/σ_1²) = 0.0404, and more steps would diverge")


def test_every_corner_of_the_sliders_gives_a_picture_and_a_sentence(explorer_annealed):
    for settings in itertools.product((3.0, 30.0), (0.1, 2.0), (1, 2, 20), (1e-3, 10.0)):
        text = move_annealed(explorer_annealed, *settings)
        assert "weight of (5, 5)" in text or "diverged at level" in text
        assert bytes(explorer_annealed.image.value).startswith(b"\x89PNG")


def test_the_sliders_start_on_places_that_a_page_can_show():
    sigma_max, sigma_min, _, step_size = annealing_explorer().controls.values()
    assert [sigma_max.options[sigma_max.index], sigma_min.options[sigma_min.index]] == [("10", 10.0), ("0.3", 0.3)]
    places = (math.log10(step_size.value) - step_size.min) / step_size.step
    assert places == pytest.approx(round(places), abs=1e-9)  # a page rounds, and the kernel does not hear


@pytest.mark.parametrize(("name", "levels"), [("sigma_max", SIGMA_MAX), ("sigma_min", SIGMA_MIN)])
def test_every_level_is_shown_as_the_number_it_is_and_the_texts_ladder_is_among_them(explorer_annealed, name, levels):
    assert [(float(label), value) for label, value in explorer_annealed.controls[name].options] == [
        (v, v) for v in levels
    ]
    assert sorted(set(levels)) == list(levels)
    assert {"sigma_max": 10.0, "sigma_min": 0.1}[name] in levels  # the chapter asks for them


# --- level steps -----------------------------------------------------------------------------------------------------

MIXTURE = paper_mixture()


@pytest.fixture(scope="module")
def explorer_by_level():
    return level_steps_explorer()


def move_by_level(explorer_by_level, noise=0.0, n_steps=20):
    explorer_by_level.controls["noise"].value, explorer_by_level.controls["n_steps"].value = noise, n_steps
    return explorer_by_level.readout.value


def start():
    z = torch.randn(1_024, 2, generator=torch.Generator().manual_seed(0))
    return torch.tensor([3.0, 3.0]) + 40 * z  # the mean is 4/5 (5, 5) + 1/5 (−5, −5)


def numbers_by_level(text):
    return [float(n) for n in re.findall(r"\d+\.\d+", text)]


@pytest.mark.parametrize("n_steps", [5, 20, 60])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_ends_of_the_family_are_the_flow_and_ancestral_sampling(explorer_by_level, noise, n_steps):
    text = move_by_level(explorer_by_level, noise, n_steps)
    sigmas = geometric_sigmas(40, 0.1, n_steps + 1)
    if noise:
        x = final(ancestral(MIXTURE.score, start(), sigmas, generator=torch.Generator().manual_seed(1)))
    else:
        x = final(probability_flow(MIXTURE.score, start(), sigmas, method="euler"))
    r = (0.1 / 40) ** (1 / n_steps)
    weight, std = float(mode_weights(x, MIXTURE.means)[1]), float(component_stds(x, MIXTURE.means)[1])
    found = numbers_by_level(text)
    assert text.startswith(f"{n_steps} steps")
    assert found[:3] == pytest.approx([r, 1 - r ** (1 + noise), weight], abs=0.0051)
    assert found[5] == pytest.approx(std, abs=0.0051)
    assert (found[4], found[7]) == (0.8, 1.0)  # exact


def test_every_corner_gives_a_picture_and_the_density_has_mass_one(explorer_by_level):
    for settings in itertools.product((0.0, 5.0), (4, 100)):
        assert "weight of (5, 5)" in move_by_level(explorer_by_level, *settings)
        (bars,) = [line for line in explorer_by_level.figure.axes[1].lines if line.get_animated()]
        assert 0.9 < float(np.sum(bars.get_ydata())) * 0.5 <= 1.0001


# --- all -------------------------------------------------------------------------------------------------------------

made = functools.cache(lambda make: make())


def training():
    return training_explorer(SNAPSHOTS)


@pytest.mark.parametrize(
    ("make", "name", "value", "share"),
    [
        (score_field_explorer, "sigma", 7.0, 0.05),
        (training, "iteration", 10, 0.0),
        (training, "centre_x", 5.0, 0.0),
        (training, "centre_y", -3.0, 0.0),
        (langevin_explorer, "target", "mixture", 0.0),
        (langevin_explorer, "sampler", "Metropolis", 0.0),
        (langevin_explorer, "step_size", 2.0, 0.0),
        (langevin_explorer, "n_steps", 0, 0.0),
        (annealing_explorer, "sigma_max", 20.0, 0.01),
        (annealing_explorer, "sigma_min", 1.0, 0.01),
        (annealing_explorer, "n_levels", 3, 0.01),
        (annealing_explorer, "step_size", 0.2, 0.01),
        (level_steps_explorer, "noise", 3.0, 0.005),
        (level_steps_explorer, "n_steps", 6, 0.005),
    ],
)
def test_every_control_moves_the_picture_and_going_back_restores_it(make, name, value, share):
    assert_moves_and_returns(made(make), name, value, share=share)
