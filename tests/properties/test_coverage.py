"""Nothing public is forgotten: each function has a property; tests/test_refusals.py asks for its bad arguments."""

import importlib

import pytest

import properties
from properties.coverage import LEFT_OUT, every_test_of, public

PUBLIC = public()
COVERED = {thing for test in every_test_of(properties) for thing in getattr(test, "covers", ())}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_is_exercised_by_a_property(name):
    assert PUBLIC[name] in COVERED, f"no property in tests/properties has @covers({name})"


def test_what_is_left_out_exists_and_has_a_reason():
    for name, reason in LEFT_OUT.items():
        home, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"sbgm.{home}"), attribute)
        assert reason
