"""Arguments checked by annotation: what is passed on, and what is no number."""

import numpy as np
import pytest
import torch

from sbgm.guard import Batch, Count, Ladder, Positive, as_list, checked, require_number, unchecked


@checked
def echo(x: Batch, sigmas: Ladder, step: Positive, *counts: Count) -> tuple:
    return x, sigmas, step, counts


def test_what_was_given_is_passed_on():
    given = torch.ones(2, 3, dtype=torch.float16), torch.tensor([2.0, 1.0]), torch.tensor(3.0), (np.int64(4), 5)
    for function in (echo, unchecked(echo)):
        x, sigmas, step, counts = function(*given[:3], *given[3])
        assert (x is given[0], sigmas is given[1], step is given[2], counts == given[3]) == (True,) * 4
    assert as_list(given[1]) == as_list((2, 1)) == as_list(np.array([2.0, 1.0])) == [2.0, 1.0]


@pytest.mark.parametrize("number", [np.complex64(1), 1j, torch.tensor(1j), np.array(1j), np.bool_(True), np.str_("1")])
def test_what_is_no_real_number_is_refused(number):
    with pytest.raises(TypeError, match="sigma must be a number, got"):
        require_number(number, "sigma")
