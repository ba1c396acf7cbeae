"""Nothing public is forgotten: each function has a property, and each parameter is refused bad values."""

from __future__ import annotations

import pytest

import properties
import sbgm
from properties.coverage import LEFT_OUT, every_test_of, public
from properties.test_refusals import REFUSALS

PUBLIC = public()
COVERED = {thing for test in every_test_of(properties) for thing in getattr(test, "covers", ())}
REFUSED = {refusal.function: refusal for refusal in REFUSALS}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_is_exercised_by_a_property(name):
    assert PUBLIC[name] in COVERED, f"no property in tests/properties has @covers({name})"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_has_values_that_it_must_refuse_or_a_reason_why_not(name):
    assert PUBLIC[name] in REFUSED, f"tests/properties/refusals lacks {name}"
    assert REFUSED[PUBLIC[name]].unnamed() == set()


def test_what_is_left_out_exists_and_has_a_reason():
    for name, reason in LEFT_OUT.items():
        home, _, attribute = name.partition(".")
        assert hasattr(getattr(sbgm, home), attribute or "__name__")
        assert reason
