"""Chapter 03's sliders, without a browser."""

import math
import re

import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import GaussianMixture, langevin, metropolis_langevin, paper_mixture
from sbgm.measure import mode_weights
from sbgm.theory import langevin_variance, metropolis_acceptance
from sbgm.widgets import langevin_explorer
from sbgm.widgets import mixtures as module


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


def test_the_metropolis_test_does_not_diverge_there(explorer):
    text, _ = move(explorer, "N(0, 1)", "Metropolis", 5.0, 1_000)
    assert "bound" not in text
    assert "variance" in text


def test_at_no_steps_the_start_is_shown(explorer):
    text, _ = move(explorer, "N(0, 1)", "Metropolis", 1.0, 0)
    assert text == "640 chains after 0 steps: variance 9.00 ± 0.00, to settle at 1"


@pytest.mark.parametrize(
    ("name", "value"), [("target", "mixture"), ("sampler", "Metropolis"), ("step_size", 2.0), ("n_steps", 0)]
)
def test_every_control_moves_the_picture_and_going_back_restores_it(explorer, name, value):
    move(explorer, "N(0, 1)", "plain", 1.0, 1_000)
    assert_moves_and_returns(explorer, name, value, share=0)


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


def test_clouds_at_different_step_sizes_in_one_batch_do_not_mix():
    target = GaussianMixture([1.0], [[0.0]])
    start = torch.full((4_000, 1), 3.0)
    small, large = module._run(target, start, [0.1, 2.0], False, torch.Generator().manual_seed(0))
    one = module.N_STEPS.index(1)
    assert float(small.x[one].mean()) == pytest.approx(0.95 * 3, abs=4 * math.sqrt(0.1 / 4_000))
    assert float(large.x[one].mean()) == pytest.approx(0.0, abs=4 * math.sqrt(2.0 / 4_000))
    assert float(large.x[one].var()) == pytest.approx(2.0, rel=4 * math.sqrt(2 / 4_000))
