"""The tests of what an answer draws: how often they refuse right samples, and what they say of dependent ones."""

import pytest
import torch

from answers import DEPENDENT_NOISE, all_answers, normal
from sbgm import checks
from sbgm.course import exercise
from sbgm.course.exercise import Law, compare_law

GAUSSIAN = Law(0.0, 1.0)
SHARED = "share their noise: is a draw used more than once"
OPPOSITE = "have opposite noise, z and −z"
SAYS = {
    "one half's noise for the other half": f"two examples of the batch {SHARED}",
    "one half's noise for the other half, in reverse": f"two examples of the batch {SHARED}",
    "one half's noise for the other half, shuffled": "come up again elsewhere: is noise copied, or shuffled",
    "z and −z for the two halves": f"two examples of the batch {OPPOSITE}",
    "z and −z in turn": f"two examples of the batch {OPPOSITE}",
    "one draw for half the numbers of an example": f"two numbers of every example {SHARED}",
    "z and −z for the numbers of an example": f"two numbers of every example {OPPOSITE}",
    "one example's draw, rolled for the others": "come up again elsewhere: is noise copied, or shuffled",
    "the last example's noise for the first one, too": f"two examples of the batch {SHARED}",
    "half of the variance is shared": f"two examples of the batch {SHARED}",
    "each shares with the next": f"two examples of the batch {SHARED}",
    "ten draws in turn": f"two examples of the batch {SHARED}",
    "half of the noise whatever the generator": f"two examples of the batch {SHARED}",
    "three numbers an example": "does your function fit any size",
    "two numbers an example": "does your function fit any size",
    "one number an example": f"two numbers of every example {SHARED}",
    "ten examples": "does your function fit any size",
}


def samples(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("how", DEPENDENT_NOISE)
@pytest.mark.parametrize("name", ["langevin_step", "annealed_langevin", "inpaint_step"])
def test_dependent_noise_is_named(name, how):
    with pytest.raises(checks.WrongAnswer, match=SAYS[how]):
        checks.exercises()[name](all_answers()[name].wrong[how])


def test_correlations_pass_their_limit_as_often_as_stated(monkeypatch):
    monkeypatch.setattr(exercise, "FALSE_ALARM", 0.1)
    n_passed = sum(
        bool(correlations.abs().max() > limit)
        for correlations, limit in (exercise._correlations(samples(seed, 30, 40)) for seed in range(500))
    )
    assert 25 < n_passed < 80  # 50 are expected, within 4 standard errors; a few less, for pairs overlap


@pytest.mark.parametrize(("standard_errors", "most"), [(2.0, 0.3), (3.0, 0.03)])
def test_moments_are_refused_as_seldom_as_stated(monkeypatch, standard_errors, most):
    """Four departures, each beyond 2 (3) standard errors in 4.6 % (0.27 %) of all cases."""
    monkeypatch.setattr(exercise, "STANDARD_ERRORS", standard_errors)
    n_refused = sum(bool(exercise._faults(samples(seed, 2, 50, 60), GAUSSIAN)) for seed in range(500))
    assert n_refused / 500 < most


@pytest.mark.parametrize("run", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused_in_every_run(run, value):
    calls = []

    def step(score, x, step_size, generator):
        calls.append(None)
        x = x + step_size / 2 * score(x) + step_size**0.5 * normal(x.shape, x, generator)
        x[3, 4] = value if len(calls) == 3 or run == 0 else x[3, 4]
        return x

    with pytest.raises(checks.WrongAnswer, match="NaN or infinity"):
        checks.langevin_step(step)


def test_independent_samples_pass():
    for seed in range(100):
        compare_law(samples(seed, 2, 50, 60), GAUSSIAN, {})
