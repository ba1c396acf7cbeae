"""The sliders of the mixtures, without a browser: what is shown is what an independent computation gives."""

import itertools
import math
import re

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from moving import assert_moves_and_returns, moved, pixels
from sbgm import (
    GaussianMixture,
    SamplerDivergedError,
    annealed_langevin,
    final,
    geometric_sigmas,
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
from seeds import seeded


def artist_of(explorer, kind):
    """The one moving artist of a kind."""
    (artist,) = [a for axes in explorer.figure.axes for a in getattr(axes, kind) if a.get_animated()]
    return artist


# --- score field -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, 4.0, 10.0])
def test_the_readout_is_the_exact_density_and_score_at_the_origin(sigma):
    text = moved(score_field_explorer, sigma=sigma).readout.value
    shown = [float(number) for number in re.findall(r"\d+\.\d+(?:e[-+]\d+)?", text)]
    density = float(paper_mixture().log_prob(torch.zeros(1, 2), sigma).exp())
    length = float(paper_mixture().score(torch.zeros(1, 2), sigma).norm())
    assert shown == pytest.approx([sigma, density, length], rel=0.05, abs=0.005)


def test_a_blitted_picture_equals_a_full_redraw():
    explorer = score_field_explorer()
    explorer.controls["sigma"].value = 4.0
    for artist in explorer.figure.findobj(lambda artist: artist.get_animated()):
        artist.set_animated(False)
    explorer.figure.canvas.draw()
    full = np.asarray(explorer.figure.canvas.buffer_rgba())[:, :, :3].astype(int)
    # ticks and frame are drawn below the moving artists when blitting: only their thin lines may differ
    assert (np.abs(full - pixels(explorer)) > 8).any(axis=2).mean() < 0.02


def test_an_error_in_update_reaches_the_caller():
    texts = {1: "the first"}
    slider = ipywidgets.IntSlider(value=1, min=0, max=5)
    FigureExplorer(Figure(figsize=(1, 1)), lambda n: texts[n], {"n": slider})
    with pytest.raises(KeyError):
        slider.value = 2


# --- training --------------------------------------------------------------------------------------------------------

POINTS = plots.grid(39)
EXACT = paper_mixture().score(POINTS)
# stands in for a training: nothing, half of the score, and the score plus something that the far region feels most
SNAPSHOTS = {0: torch.zeros_like(EXACT), 10: 0.5 * EXACT, 200: EXACT + 0.001 * POINTS.norm(dim=1, keepdim=True) ** 3}


def numbers(explorer):
    return [float(number) for number in re.findall(r": (\d[\d.e+-]*)", explorer.readout.value)]


def training():
    return training_explorer(SNAPSHOTS)


def error_where(scores, inside):
    difference = (scores - EXACT)[inside].double()
    return float((difference**2).sum() / (EXACT[inside].double() ** 2).sum())


@pytest.mark.parametrize("iteration", [0, 10, 200])
@pytest.mark.parametrize("centre", [(5.0, 5.0), (0.0, 0.0), (-8.0, 8.0), (0.5, -3.0)])
def test_the_readout_is_the_error_of_the_stored_field(iteration, centre):
    explorer = moved(training, iteration=iteration, centre_x=centre[0], centre_y=centre[1])
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


def langevin_readout(target, sampler, step_size, n_steps):
    values = {"target": target, "sampler": sampler, "step_size": step_size, "n_steps": n_steps}
    return moved(langevin_explorer, **values).readout.value


@pytest.mark.parametrize(
    ("step_size", "n_steps"),
    [(0.1, 1_000), (1.0, 1_000), (3.9, 1_000), (0.05, 0), (0.05, 1), (0.1, 5), (0.1, 20)],
)
def test_the_plain_readout_holds_the_variance_and_its_closed_form(step_size, n_steps):
    """Of 640 chains from −3 and 3: a step multiplies distances by 1 − ε/2."""
    text = langevin_readout("N(0, 1)", "plain", step_size, n_steps)
    variance, margin, predicted = re.search(r"variance ([\d.]+) ± ([\d.]+), .* = ([\d.]+)$", text).groups()
    left = (1 - step_size / 2) ** (2 * n_steps)
    square, own = 9 * left, langevin_variance(step_size) * (1 - left)  # of the mean, and of a chain about it
    assert text.startswith(f"640 chains, drawn as 320 points, after {n_steps} steps")
    assert float(predicted) == pytest.approx(langevin_variance(step_size), abs=0.005)
    assert float(margin) == pytest.approx(2 * math.sqrt((2 * own**2 + 4 * square * own) / 640), rel=0.2, abs=0.005)
    assert abs(float(variance) - square - own) <= 2 * float(margin)


@pytest.mark.parametrize("step_size", [0.1, 2.0, 5.0])
def test_the_metropolis_readout_holds_the_acceptance_and_its_quadrature(step_size):
    text = langevin_readout("N(0, 1)", "Metropolis", step_size, 1_000)
    variance, margin, rate, predicted = re.search(
        r"variance ([\d.]+) ± ([\d.]+), to settle at 1; accepted (\d+)%, to settle at (\d+)%$", text
    ).groups()
    assert abs(float(variance) - 1) < 2 * float(margin)
    assert int(predicted) == round(100 * metropolis_acceptance(step_size))
    assert abs(int(rate) - int(predicted)) <= 1


def test_the_first_proposals_are_accepted_as_often_as_of_many_chains():
    """At −3 and 3, where a step of 2 is accepted less often than in the end."""
    target, start = GaussianMixture([1.0], [[0.0]]), torch.tensor([[-3.0], [3.0]]).repeat(20_000, 1)
    options = {"log_prob": target.log_prob, "step_size": 2.0, "n_steps": 1, "generator": seeded()}
    (state,) = metropolis_langevin(target.score, start, **options)
    rate = re.search(r"accepted (\d+)%", langevin_readout("N(0, 1)", "Metropolis", 2.0, 1))[1]
    assert int(rate) / 100 == pytest.approx(float(state.accepted.float().mean()), abs=0.08)  # 4 s.e. of 640


@pytest.mark.parametrize("sampler", ["plain", "Metropolis"])
def test_the_mixtures_readout_holds_the_share_of_the_cloud_that_is_drawn(sampler):
    explorer = moved(langevin_explorer, target="mixture", sampler=sampler, step_size=0.1, n_steps=1_000)
    (cloud,) = [a for a in explorer.figure.axes[0].collections if a.get_animated()]
    x = torch.tensor(cloud.get_offsets().tolist())
    share, margin = re.search(r"share in \(5, 5\) ([\d.]+) ± ([\d.]+), exact 0\.80", explorer.readout.value).groups()
    assert len(x) == 320
    assert float(share) == pytest.approx(float(mode_weights(x, paper_mixture().means)[1]), abs=0.005)
    assert float(margin) == pytest.approx(2 * math.sqrt(0.25 / 320), abs=0.006)
    assert abs(float(share) - 0.509) < 2 * float(margin)  # the basin, not the weight
    assert ("accepted" in explorer.readout.value) == (sampler == "Metropolis")


@pytest.mark.parametrize("target", ["N(0, 1)", "mixture"])
@pytest.mark.parametrize(
    ("step_size", "end"), [(4.0, "without end"), (4.5, "langevin raised"), (5.0, "langevin raised")]
)
def test_divergence_is_a_sentence_that_names_the_bound(target, step_size, end):
    for n_steps, said in ((0, "without end"), (20, "the variance grows without end, now "), (1_000, end)):
        text = langevin_readout(target, "plain", step_size, n_steps)
        assert text.startswith(f"ε = {step_size:g} is not below the bound 4v = 4: ")
        assert f"multiplies distances by {step_size / 2 - 1:g}, and" in text
        assert said in text


# --- annealing -------------------------------------------------------------------------------------------------------


def annealed(**settings):
    return moved(annealing_explorer, **settings)


def run(sigmas, step_size, n_steps):
    """What the explorer should run: 400 chains, the same starts and noise at every move."""
    start = 8 * (2 * torch.rand(400, 2, generator=seeded(0)) - 1)
    options = {"step_size": step_size, "n_steps": n_steps, "generator": seeded(1)}
    return final(annealed_langevin(paper_mixture().score, start, sigmas, **options))


@pytest.mark.parametrize(
    ("settings", "n_steps"),
    [
        ({}, "15 steps a level"),
        ({"n_levels": 5}, "30 steps a level"),
        ({"n_levels": 20}, "7 steps a level"),
        ({"n_levels": 1}, "150 steps a level (at σ_L: one level has no σ₁)"),
        ({"sigma_max": 10.0, "sigma_min": 0.1, "step_size": 0.005}, "15 steps a level"),
        ({"sigma_max": 5.0, "sigma_min": 1.0, "step_size": 0.5}, "15 steps a level"),
    ],
)
def test_the_readout_holds_the_weight_of_the_cloud_and_the_bound(settings, n_steps):
    explorer = annealed(**settings)
    sigma_max, sigma_min, n_levels, step_size = explorer.values.values()
    sigmas = geometric_sigmas(sigma_max, sigma_min, n_levels) if n_levels > 1 else torch.tensor([sigma_min])
    x = run(sigmas, step_size, int(n_steps.split()[0]))
    weight = float(mode_weights(x, paper_mixture().means)[1])
    pattern = r"weight of \(5, 5\) ([\d.]+) ± ([\d.]+), .* deviation ([\d.]+), exact 1; .* ε < ([\d.]+)$"
    shown, margin, std, bound = re.search(pattern, explorer.readout.value).groups()
    assert explorer.readout.value.startswith(f"400 chains, {n_steps}: ")
    assert float(shown) == pytest.approx(weight, abs=0.0051)
    assert float(margin) == pytest.approx(2 * math.sqrt(weight * (1 - weight) / 400), abs=0.0051)
    assert float(std) == pytest.approx(float(component_stds(x, paper_mixture().means)[1]), abs=0.0051)
    assert float(bound) == pytest.approx(largest_stable_step(sigmas, variance=1.0), rel=0.005)
    assert np.allclose(artist_of(explorer, "collections").get_offsets().data, x.numpy(), atol=1e-4)
    levels, shares = artist_of(explorer, "lines").get_data()
    assert np.allclose(levels, sigmas)
    assert len(shares) == len(levels)
    assert shares[-1] == pytest.approx(weight)


@pytest.mark.parametrize("seed", range(5))
def test_annealing_shows_in_the_default_settings_against_one_level(seed):
    explorer = annealing_explorer(seed=seed)
    pattern = r"weight of \(5, 5\) ([\d.]+) .* deviation ([\d.]+), exact 1"
    weight, std = re.search(pattern, explorer.readout.value).groups()
    explorer.controls["n_levels"].value = 1
    assert float(weight) > 0.72
    assert 0.95 < float(std) < 1.15
    assert float(re.search(pattern, explorer.readout.value)[1]) < 0.6


def test_divergence_is_a_sentence_that_names_bound_level_and_step():
    explorer = annealed(sigma_min=0.1, step_size=0.1)
    with pytest.raises(SamplerDivergedError) as caught:
        run(geometric_sigmas(10, 0.1, 10), 0.1, 30)
    assert explorer.readout.value == (
        "ε = 0.1 is beyond the bound 4σ_L²(1 + v/σ₁²) = 0.0404: "
        f"the chains diverged at level 1, step {caught.value.step}"
    )
    assert not np.isfinite(artist_of(explorer, "collections").get_offsets().data).any()  # nothing is drawn
    assert "weight of (5, 5) 0.7" in annealed().readout.value  # and all is well again


def test_slow_divergence_beyond_the_bound_is_said_too():
    text = annealed(sigma_min=0.1, step_size=0.041).readout.value
    assert "weight of (5, 5)" in text
    assert text.endswith("ε = 0.041 is beyond the bound 4σ_L²(1 + v/σ₁²) = 0.0404, and more steps would diverge")


def test_every_corner_of_the_sliders_gives_a_picture_and_a_sentence():
    for high, low, n_levels, step_size in itertools.product((3.0, 30.0), (0.1, 2.0), (1, 2, 20), (1e-3, 10.0)):
        explorer = annealed(sigma_max=high, sigma_min=low, n_levels=n_levels, step_size=step_size)
        assert re.search(r"weight of \(5, 5\)|diverged at level", explorer.readout.value)
        assert bytes(explorer.image.value).startswith(b"\x89PNG")


def test_the_sliders_start_on_places_that_a_page_can_show():
    """A page rounds, and the kernel does not hear."""
    sigma_max, sigma_min, _, step_size = moved(annealing_explorer).controls.values()
    assert (sigma_max.label, sigma_min.label) == ("10", "0.3")
    places = (math.log10(step_size.value) - step_size.min) / step_size.step
    assert places == pytest.approx(round(places), abs=1e-9)
    for label, value in sigma_max.options + sigma_min.options:
        assert float(label) == value


# --- level steps -----------------------------------------------------------------------------------------------------

MIXTURE = paper_mixture()


def start():
    z = torch.randn(1_024, 2, generator=seeded(0))
    return torch.tensor([3.0, 3.0]) + 40 * z  # the mean is 4/5 (5, 5) + 1/5 (−5, −5)


@pytest.mark.parametrize("n_steps", [5, 20, 60])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_ends_of_the_family_are_the_flow_and_ancestral_sampling(noise, n_steps):
    text = moved(level_steps_explorer, noise=noise, n_steps=n_steps).readout.value
    sigmas = geometric_sigmas(40, 0.1, n_steps + 1)
    if noise:
        x = final(ancestral(MIXTURE.score, start(), sigmas, generator=seeded(1)))
    else:
        x = final(probability_flow(MIXTURE.score, start(), sigmas, method="euler"))
    r = (0.1 / 40) ** (1 / n_steps)
    weight, std = float(mode_weights(x, MIXTURE.means)[1]), float(component_stds(x, MIXTURE.means)[1])
    shown = [float(number) for number in re.findall(r"\d+\.\d+", text)]
    assert text.startswith(f"{n_steps} steps")
    margins = [2 * math.sqrt(weight * (1 - weight) / 1_024), 2 * std / math.sqrt(4 * 1_024 * weight)]
    expected = [r, 1 - r ** (1 + noise), weight, margins[0], 0.8, std, margins[1], 1.0]
    assert shown == pytest.approx(expected, abs=0.0051)


def test_every_corner_gives_a_picture_and_the_density_has_mass_one():
    for noise, n_steps in itertools.product((0.0, 5.0), (4, 100)):
        explorer = moved(level_steps_explorer, noise=noise, n_steps=n_steps)
        assert "weight of (5, 5)" in explorer.readout.value
        assert 0.9 < float(np.sum(artist_of(explorer, "lines").get_ydata())) * 0.5 <= 1.0001


# --- all -------------------------------------------------------------------------------------------------------------


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
    assert_moves_and_returns(moved(make), name, value, share=share)
