"""The sliders of the mixtures, without a browser: what is shown is what an independent computation gives."""

import itertools
import math
import re

import numpy as np
import pytest
import torch

from balance import acceptance
from moving import moved
from sbgm import (
    SamplerDivergedError,
    annealed_langevin,
    final,
    geometric_sigmas,
    paper_mixture,
    plots,
    probability_flow,
)
from sbgm.samplers import ancestral
from sbgm.theory import langevin_variance, largest_stable_step
from sbgm.widgets import (
    annealing_explorer,
    langevin_explorer,
    level_steps_explorer,
    score_field_explorer,
    training_explorer,
)
from seeds import seeded

MIXTURE = paper_mixture()


def artist_of(explorer, kind):
    """The first moving artist of a kind."""
    return next(a for axes in explorer.figure.axes for a in getattr(axes, kind) if a.get_animated())


def cloud_of(explorer):
    """The points that are drawn, (N, 2)."""
    return torch.tensor(artist_of(explorer, "collections").get_offsets().tolist())


def decimals(text):
    """The numbers with decimals in a readout."""
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


def weight_and_width(x, exact_std):
    """What a readout says of chains at their end, (B, 2): two numbers, each with its margin and the exact one."""
    right = x[x.sum(dim=1) > 0]
    weight = len(right) / len(x)
    std = float((right - 5).square().mean().sqrt())
    error_of_weight = math.sqrt(weight * (1 - weight) / len(x))
    error_of_std = std / math.sqrt(4 * len(right))
    return [weight, 2 * error_of_weight, 0.8, std, 2 * error_of_std, exact_std]


# --- score field -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "n_modes"), [(0.0, 2), (3.0, 2), (4.6, 2), (4.7, 1), (10.0, 1)])
def test_dots_are_the_modes_and_a_cross_lies_between_two(sigma, n_modes):
    explorer = moved(score_field_explorer, sigma=sigma)
    t = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    log_density = MIXTURE.log_prob(torch.stack([t, t], dim=1), sigma)
    rises = log_density.diff() > 0
    before = rises[:-1]
    after = rises[1:]
    modes = t[1:-1][before & ~after].tolist()
    valleys = t[1:-1][~before & after].tolist()
    assert (len(modes), len(valleys)) == (n_modes, n_modes - 1)
    dots, crosses = (line.get_xydata() for line in explorer.figure.axes[0].lines)
    assert dots.ravel() == pytest.approx(np.repeat(modes, 2), abs=0.01)
    assert crosses.ravel() == pytest.approx(np.repeat(valleys, 2), abs=0.01)
    assert decimals(explorer.readout.value) == pytest.approx([sigma, *np.repeat(modes, 2)], abs=0.011)


def test_the_arrows_and_dots_are_those_of_the_readers_score():
    explorer = score_field_explorer(score=lambda x, sigma: x.add_(sigma).neg())  # in place, and so on a copy
    for sigma in (1.0, 2.0):
        explorer.controls["sigma"].value = sigma
    arrows = next(a for a in explorer.figure.axes[0].collections if hasattr(a, "U"))
    expected = 5 * (-plots.grid(20) - 2)
    assert np.allclose([arrows.U, arrows.V], expected.T)
    assert explorer.readout.value.endswith("modes by this score (dots): (-2.00, -2.00)")


# --- training --------------------------------------------------------------------------------------------------------

POINTS = plots.grid(39)
EXACT = MIXTURE.score(POINTS)
# stands in for a training: nothing, half of the score, and the score plus something that the far region feels most
FAR = POINTS.norm(dim=1, keepdim=True)
SNAPSHOTS = {200: EXACT + 0.001 * FAR**3, 0: 0 * EXACT, 10: 0.5 * EXACT}


def numbers(explorer):
    return [float(number) for number in re.findall(r": (\d[\d.e+-]*)", explorer.readout.value)]


def training():
    return training_explorer(SNAPSHOTS)


def error_where(scores, inside):
    exact = EXACT[inside].double()
    error = scores[inside].double() - exact
    return float(error.square().sum() / exact.square().sum())


@pytest.mark.parametrize("step", [0, 10, 200])
@pytest.mark.parametrize("centre", [(5.0, 5.0), (-8.0, 8.0), (0.5, -3.0)])
def test_the_readout_is_the_error_of_the_stored_field(step, centre):
    explorer = moved(training, step=step, centre_x=centre[0], centre_y=centre[1])
    to_modes = torch.minimum((POINTS - 5).norm(dim=1), (POINTS + 5).norm(dim=1))
    to_centre = (POINTS - torch.tensor(centre)).norm(dim=1)
    regions = [to_centre <= 2, to_modes < 2, to_modes > 4]
    expected = [error_where(SNAPSHOTS[step], region) for region in regions]
    assert numbers(explorer) == pytest.approx(expected, rel=0.05)  # two digits are shown


def test_it_starts_at_the_last_step_on_a_mixture_of_its_own():
    mixture = paper_mixture(weight=0.5)
    exact = mixture.score(POINTS)
    explorer = training_explorer({7: exact, 0: 0 * exact, 2: 0 * exact}, mixture)
    assert explorer.values["step"] == 7
    assert numbers(explorer) == [0.0] * 3
    with pytest.raises(ValueError, match=r"snapshots must be scores on plots\.grid\(39\), .*at step 5"):
        training_explorer({0: EXACT, 5: EXACT[:400]})


# --- langevin --------------------------------------------------------------------------------------------------------


def langevin_readout(target, sampler, step_size, n_steps):
    values = {"target": target, "sampler": sampler, "step_size": step_size, "n_steps": n_steps}
    return moved(langevin_explorer, **values).readout.value


@pytest.mark.parametrize(("step_size", "n_steps"), [(0.1, 1_000), (1.0, 1_000), (3.9, 1_000), (0.05, 1), (0.1, 20)])
def test_the_plain_readout_holds_the_variance_and_its_closed_form(step_size, n_steps):
    """Of 640 chains from −3 and 3: a step multiplies distances by 1 − ε/2."""
    text = langevin_readout("N(0, 1)", "plain", step_size, n_steps)
    variance, margin, predicted = re.search(r"variance ([\d.]+) ± ([\d.]+), .* = ([\d.]+)$", text).groups()
    left = (1 - step_size / 2) ** (2 * n_steps)
    square = 9 * left  # of a chain's mean
    spread = langevin_variance(step_size) * (1 - left)
    error = math.sqrt((2 * spread**2 + 4 * square * spread) / 640)
    assert text.startswith(f"640 chains, drawn as 320 points, after {n_steps} steps: ")
    assert float(predicted) == pytest.approx(langevin_variance(step_size), abs=0.005)
    assert float(margin) == pytest.approx(2 * error, rel=0.2)
    assert abs(float(variance) - square - spread) <= 2 * float(margin)


@pytest.mark.parametrize("step_size", [0.1, 2.0, 5.0])
def test_the_metropolis_readout_holds_the_acceptance_of_the_closed_form(step_size):
    text = langevin_readout("N(0, 1)", "Metropolis", step_size, 1_000)
    variance, margin, rate = re.search(r"variance ([\d.]+) ± ([\d.]+); accepted (\d+)%$", text).groups()
    assert abs(float(variance) - 1) < 2 * float(margin)
    assert abs(int(rate) - 100 * acceptance(step_size)) <= 1
    assert "accepted" not in langevin_readout("N(0, 1)", "Metropolis", step_size, 0)
    assert "accepted" in langevin_readout("N(0, 1)", "Metropolis", step_size, 1)


@pytest.mark.parametrize("sampler", ["plain", "Metropolis"])
def test_the_mixtures_readout_holds_the_share_of_the_cloud_that_is_drawn(sampler):
    explorer = moved(langevin_explorer, target="mixture", sampler=sampler, step_size=0.1, n_steps=1_000)
    x = cloud_of(explorer)
    shown = decimals(explorer.readout.value)
    assert len(x) == 320
    assert shown == pytest.approx(weight_and_width(x, 1.0)[:3], abs=0.0051)
    assert abs(shown[0] - 0.509) < 2 * shown[1]  # the basin, not the weight
    assert ("accepted" in explorer.readout.value) == (sampler == "Metropolis")


@pytest.mark.parametrize("target", ["N(0, 1)", "mixture"])
def test_divergence_is_a_sentence_that_names_the_bound(target):
    for step_size, n_steps in ((4.0, 20), (5.0, 3), (5.0, 1_000)):
        text = langevin_readout(target, "plain", step_size, n_steps)
        bound = f"ε = {step_size:g} is not below the bound 4v = 4: a step multiplies distances by {step_size / 2 - 1:g}"
        assert text.endswith(f"; {bound}")
        assert ("a chain is farther out than a million" in text) == (n_steps == 1_000)


def test_the_readers_step_makes_the_plain_chains():
    def step(score, x, step_size, generator):
        x *= 0.5  # in place
        return x

    explorer = langevin_explorer(step=step)
    explorer.controls["n_steps"].value = 2
    for _ in range(2):  # the starts are as before
        assert cloud_of(explorer).abs().unique().tolist() == [0.75]
        explorer.redraw()
    assert explorer.readout.value.startswith("640 chains, drawn as 320 points, after 2 steps: variance 0.56")


# --- annealing -------------------------------------------------------------------------------------------------------


def annealed(**settings):
    return moved(annealing_explorer, **settings)


def run(sigmas, eta, n_steps):
    """The states that the explorer should go through: 400 chains, the same starts and noise at every move."""
    unit = torch.rand(400, 2, generator=seeded(0))
    start = 8 * (2 * unit - 1)
    epsilon = 2 * eta * float(sigmas[-1]) ** 2
    return annealed_langevin(MIXTURE.score, start, sigmas, step_size=epsilon, n_steps=n_steps, generator=seeded(1))


@pytest.mark.parametrize(
    ("settings", "n_steps"),
    [
        ({}, 25),
        ({"n_levels": 20}, 12),
        ({"n_levels": 1}, 250),
        ({"sigma_max": 5.0, "sigma_min": 1.0, "eta": 0.5}, 25),
        ({"sigma_min": 2.0, "n_levels": 5}, 50),
    ],
)
def test_cloud_readout_and_weights_on_the_way_are_those_of_the_packages_algorithm(settings, n_steps):
    explorer = annealed(**settings)
    sigma_max, sigma_min, n_levels, eta = explorer.values.values()
    sigmas = geometric_sigmas(sigma_max, sigma_min, n_levels) if n_levels > 1 else torch.tensor([sigma_min])
    ends = [state.x for state in run(sigmas, eta, n_steps) if state.step == n_steps]
    weights = [float((x.sum(dim=1) > 0).double().mean()) for x in ends]
    text, bound = explorer.readout.value.split("; stable for η < ")
    largest = largest_stable_step(sigmas, variance=1.0) / (2 * sigma_min**2)
    assert text.startswith(f"{n_steps} steps a level: ")
    assert decimals(text) == pytest.approx(weight_and_width(ends[-1], math.hypot(1, sigma_min)), abs=0.0051)
    assert float(bound) == pytest.approx(largest, rel=0.005)
    assert np.allclose(cloud_of(explorer), ends[-1], atol=1e-4)
    assert np.allclose(artist_of(explorer, "lines").get_data(), [sigmas.tolist(), weights])


def test_divergence_is_a_sentence_that_names_bound_and_level():
    bound = "is beyond the bound 2(1 + v/σ₁²) = 2.02, and chains diverge in the end"
    with pytest.raises(SamplerDivergedError) as caught:
        final(run(geometric_sigmas(10, 0.1, 10), 5.0, 25))
    text = annealed(eta=5.0).readout.value
    assert text == f"at level {caught.value.level} a chain is farther out than a million; η = 5 {bound}"
    text = annealed(eta=2.05).readout.value  # slowly
    assert "share at (5, 5)" in text
    assert text.endswith(f"η = 2.05 {bound}")


def in_place(score, x, sigmas, epsilon, n_steps, generator):
    """The solution of chapter 4, on the starts that it is given."""
    for sigma in sigmas:
        alpha = epsilon * sigma**2 / sigmas[-1] ** 2
        for _ in range(n_steps):
            z = torch.randn(x.shape, generator=generator)
            x += alpha / 2 * score(x, sigma)
            x += alpha.sqrt() * z
    return x


def test_the_readers_algorithm_draws_what_the_packages_own_draws():
    own = annealing_explorer(sampler=in_place)
    for explorer in (own, annealed()):
        explorer.controls["sigma_min"].value = 0.5
    assert own.readout.value == annealed(sigma_min=0.5).readout.value
    weights = [artist_of(explorer, "lines").get_ydata() for explorer in (own, annealed(sigma_min=0.5))]
    assert weights[0] == pytest.approx(weights[1], abs=0.003)
    unasked = annealing_explorer(sampler=lambda score, x, *rest: 0 * x)
    assert cloud_of(unasked).unique().tolist() == [0.0]


# --- level steps -----------------------------------------------------------------------------------------------------


def start():
    z = torch.randn(1_024, 2, generator=seeded(0))
    return torch.tensor([3.0, 3.0]) + 40 * z  # the mean is 4/5 (5, 5) + 1/5 (−5, −5)


@pytest.mark.parametrize("n_steps", [5, 20, 60])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_ends_of_the_family_are_the_flow_and_ancestral_sampling(noise, n_steps):
    explorer = moved(level_steps_explorer, noise=noise, n_steps=n_steps)
    text = explorer.readout.value
    sigmas = geometric_sigmas(40, 0.1, n_steps + 1)
    if noise:
        x = final(ancestral(MIXTURE.score, start(), sigmas, generator=seeded(1)))
    else:
        x = final(probability_flow(MIXTURE.score, start(), sigmas, method="euler"))
    r = (0.1 / 40) ** (1 / n_steps)
    assert text.startswith(f"{n_steps} steps")
    assert 0.9 < artist_of(explorer, "patches").get_data().values.sum() * 0.5 <= 1.0001  # the density has mass 1
    eta = 1 - r ** (1 + noise)
    assert decimals(text) == pytest.approx([r, eta, *weight_and_width(x, 1.0)], abs=0.0051)


def test_the_readers_step_goes_down_the_ladder():
    seen = []

    def step(score, x, sigma, sigma_next, c, generator):
        seen.append((sigma, sigma_next, c))
        return x * sigma_next / sigma

    explorer = level_steps_explorer(step=step)
    ladder = geometric_sigmas(40, 0.1, 21).tolist()
    assert seen == [(high, low, 5.0) for high, low in itertools.pairwise(ladder)]
    assert cloud_of(explorer).allclose(start() / 400, atol=1e-5)
