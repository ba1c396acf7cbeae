"""Every public function names a bad argument before it starts."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.refusals import Refusal, Spy, formulas, generation, losses, metrics, networks, samplers

REFUSALS: tuple[Refusal, ...] = sum(
    (module.REFUSALS for module in (formulas, generation, losses, metrics, networks, samplers)), ()
)
PAIRS = [pytest.param(r, parameter, id=f"{r.name}-{parameter}") for r in REFUSALS for parameter in r.bad]


@pytest.mark.parametrize("refusal", [pytest.param(r, id=r.name) for r in REFUSALS if r.name != "fid"])
def test_good_arguments_are_taken(refusal):
    refusal.run(refusal.good())


@pytest.mark.parametrize(("refusal", "parameter"), PAIRS)
@settings(max_examples=4 * settings.default.max_examples)  # each costs little
@given(st.data())
def test_a_bad_argument_is_named_before_work_starts(refusal, parameter, data):
    arguments = refusal.good()
    arguments[parameter] = data.draw(refusal.bad[parameter])
    generator = arguments.get("generator")
    state = generator.get_state() if isinstance(generator, torch.Generator) else None
    with pytest.raises((TypeError, ValueError)) as caught:
        refusal.run(arguments)
    assert re.search(rf"\b{parameter}\b", str(caught.value))
    assert not any(value.calls for value in arguments.values() if isinstance(value, Spy))
    assert state is None or torch.equal(generator.get_state(), state)
