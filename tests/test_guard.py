"""Arguments checked by annotation: what is passed on, and what is no number."""

import pickle

import numpy as np
import pytest
import torch

import sbgm
from sbgm.guard import ArgumentError, Batch, Count, Ladder, Positive, as_list, checked, require_number


@checked
def echo(x: Batch, sigmas: Ladder, step: Positive, count: Count | None = None) -> tuple:
    return x, sigmas, step, count


def test_arguments_are_passed_on_as_they_are():
    arguments = torch.ones(2, 3, dtype=torch.float16), torch.tensor([2.0, 1.0]), torch.tensor(3.0), np.int64(4)
    assert all(value is argument for value, argument in zip(echo(*arguments), arguments, strict=True))
    assert echo(*arguments[:3], count=None)[3] is None
    assert as_list(arguments[1]) == as_list((2, 1)) == as_list(np.array([2.0, 1.0])) == [2.0, 1.0]


def test_a_missing_argument_and_one_too_many_are_named_in_pythons_own_words():
    with pytest.raises(TypeError, match=r"echo\(\) missing 3 required positional arguments"):
        echo()
    with pytest.raises(TypeError, match=r"echo\(\) got an unexpected keyword argument 'sigma'"):
        echo(torch.ones(2, 3), [1.0], 1.0, sigma=1.0)


def test_a_call_that_lacks_the_generator_alone_is_told_what_to_pass():
    start = torch.zeros(2, 2)
    with pytest.raises(TypeError, match=r"generator must be passed, such as generator=torch\.Generator"):
        sbgm.langevin(lambda x, sigma: -x, start, step_size=0.1, n_steps=1)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'n_step'"):
        sbgm.langevin(lambda x, sigma: -x, start, step_size=0.1, n_step=1)


def test_a_ladder_is_shown_as_it_is_written():
    with pytest.raises(ValueError, match=r"strictly descending, σ_1 > … > σ_L, got \[0\.1, 1\]$"):
        echo(torch.ones(2, 3), torch.tensor([0.1, 1.0]), 1.0)


@pytest.mark.parametrize("count", [0, 1.5])
def test_an_error_holds_what_its_message_says_and_goes_from_process_to_process(count):
    with pytest.raises((ValueError, TypeError)) as refused:
        echo(torch.ones(2, 3), [1.0], 1.0, count)
    error = pickle.loads(pickle.dumps(refused.value))
    assert isinstance(error, ArgumentError)
    assert str(error) == str(refused.value) == f"{error.name} must {error.must}, got {error.got}"
    assert (error.name, error.got) == ("count", {0: 0, 1.5: "1.5"}[count])


@pytest.mark.parametrize("number", [1j, torch.tensor(1j), np.bool_(True), True, "1", [1.0], torch.ones(2)])
def test_what_is_no_real_number_is_refused(number):
    with pytest.raises(TypeError, match="sigma must be a number, got"):
        require_number(number, "sigma")
