"""Students' copies of the chapters of sbgm 0.2 run: names stay, a module that moved is found with one warning."""

import importlib
import sys
import warnings

import pytest

import sbgm
from sbgm._moved import MOVED

# What students' copies of the chapters of sbgm 0.2.0 ask for, beside the names that today's chapters import.
ASKED = """\
import sbgm
from sbgm.data import shipped_folder
from sbgm.samplers import State
from sbgm.widgets import LiveTraining, Trajectory
assert sbgm.data.shipped_folder is shipped_folder
sbgm.masks.right_half((1, 28, 28))
LiveTraining(2_000, ceiling=35, n_columns=4)"""


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_a_chapter_of_the_last_version_asks_for_is_there():
    exec(ASKED, {})


@pytest.mark.parametrize("old", MOVED)
def test_a_module_is_the_same_under_its_old_name_and_the_new_one_is_said_once(old, monkeypatch):

    monkeypatch.delitem(sys.modules, old, raising=False)
    new = importlib.import_module(MOVED[old])
    spec = new.__spec__
    with pytest.warns(FutureWarning, match=f"^{old} is now {MOVED[old]}; ") as said:
        assert importlib.import_module(old) is new
    assert len(said) == 1
    assert new.__spec__ is spec
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.import_module(old)


def test_a_module_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match="'sbgm' has no attribute 'nothing'"):
        assert sbgm.nothing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sbgm.nothing")
