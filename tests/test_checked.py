"""Arguments checked by annotation: what is passed on, what a loop calls, and tensors of unusual kinds."""

import functools

import numpy as np
import pytest
import torch

import sbgm
from sbgm import measure
from sbgm.checked import Batch, Count, Ladder, Positive, as_list, checked, require_number, unchecked


@checked
def echo(x: Batch, sigmas: Ladder, step: Positive, *counts: Count) -> tuple:
    return x, sigmas, step, counts


def test_what_was_given_is_passed_on():
    given = torch.ones(2, 3, dtype=torch.float16), torch.tensor([2.0, 1.0]), torch.tensor(3.0), (np.int64(4), 5)
    for function in (echo, unchecked(echo)):
        x, sigmas, step, counts = function(*given[:3], *given[3])
        assert (x is given[0], sigmas is given[1], step is given[2], counts == given[3]) == (True,) * 4
    assert as_list(given[1]) == as_list((2, 1)) == as_list(np.array([2.0, 1.0])) == [2.0, 1.0]


def test_a_function_without_its_checks_keeps_every_other_decorator():
    def plain(n: Count) -> bool:
        return torch.is_grad_enabled()

    outside, inside = torch.no_grad()(checked(plain)), checked(torch.no_grad()(plain))
    assert unchecked(inside)(0) is False
    assert unchecked(outside) is outside
    assert unchecked(plain) is plain
    assert unchecked(functools.wraps(inside)(plain)) is plain


EXOTIC = {
    "one on the device meta": torch.ones(3, 2, device="meta"),
    "one of layout torch.sparse_coo": torch.eye(3, 2).to_sparse(),
    "a nested one": torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)]),
    "torch.float8_e4m3fn": torch.ones(3, 2).to(torch.float8_e4m3fn),
    "torch.complex64": torch.ones(3, 2, dtype=torch.complex64),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", EXOTIC)
def test_tensors_of_unusual_kinds_are_refused_by_name(kind):
    """Where values are looked at: at the start of losses, samplers, trainings and measures."""
    calls = {
        "x": lambda value: sbgm.score_matching_loss(lambda x, sigma: -x, value),
        "values": lambda value: measure.estimate(value),
        "noisy": lambda value: measure.psnr(value, torch.ones(3, 2)),
        "sigmas": lambda value: sbgm.theory.largest_stable_step(value),
        "images": lambda value: sbgm.plots.image_sheet(value),
    }
    for name, call in calls.items():
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must (be a torch.Tensor of real|hold float)"):
            call(EXOTIC[kind])


@pytest.mark.parametrize("number", [np.complex64(1), 1j, torch.tensor(1j), np.array(1j), np.bool_(True), np.str_("1")])
def test_what_is_no_real_number_is_refused(number):
    with pytest.raises(TypeError, match="sigma must be a number, got"):
        require_number(number, "sigma")
