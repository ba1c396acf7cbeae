"""What public functions refuse before they work: each kind of annotation once, and what a function looks at itself."""

import re
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
import torch

from arguments import BAD, FUNCTIONS, good

REFUSING = {own.rpartition(".")[0] for own in BAD} - {"fid"}  # whose good arguments take a minute


@pytest.mark.parametrize("name", sorted(REFUSING))
def test_good_arguments_are_taken(name):
    FUNCTIONS[name](**good(name))


def begin(result: object) -> None:
    """Ask a sampler for its first state."""
    if isinstance(result, Iterator):
        next(result)


@pytest.mark.parametrize("own", BAD)
def test_bad_arguments_are_refused_by_name_before_work_starts(own):
    """Before any call, and before a random number is drawn; by a sampler at the latest at its first state."""
    name, _, parameter = own.rpartition(".")
    for value in BAD[own]:
        arguments = good(name) | {parameter: value}
        generator = arguments.get("generator")
        state = generator.get_state() if isinstance(generator, torch.Generator) else None
        with pytest.raises((TypeError, ValueError), match=rf"\b{re.escape(parameter)}\b"):
            begin(FUNCTIONS[name](**arguments))
        assert not any(value.called for value in arguments.values() if isinstance(value, Mock)), value
        assert state is None or torch.equal(generator.get_state(), state), value
