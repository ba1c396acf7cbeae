"""Every public function refuses what tests/refusals.csv says, in the words that it says, before work starts."""

import pytest

from arguments import BAD, FREE, FUNCTIONS, GOOD, bad, call, good, parameters, refused
from refusals import label, measured, recorded

RECORDED = recorded()
SLOW = ("fid",)  # its good arguments take a minute


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in FREE and name not in SLOW])
def test_good_arguments_are_taken(name):
    call(name, good(name))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in RECORDED or any(refused(name))])
def test_bad_arguments_are_refused_as_recorded(name):
    before, now = RECORDED.get(name, {}), measured(name)
    changes = [
        f"{name}: {argument} = {value}\n  was  {before.get((argument, value))}\n  now  {now.get((argument, value))}"
        for argument, value in sorted(before.keys() | now.keys())
        if before.get((argument, value)) != now.get((argument, value))
    ]
    if changes:
        pytest.fail("\n".join([*changes, "If this is meant, run python tests/refusals.py --write"]), pytrace=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_has_bad_values_of_different_labels_or_a_reason_why_not(name):
    for parameter in refused(name):
        labels = [label(value) for value in bad(name, parameter)]
        assert labels, f"tests/arguments.py has no bad value of {parameter}, nor a reason why not"
        assert len(set(labels)) == len(labels)


def test_no_entry_is_of_a_function_or_a_parameter_that_is_gone():
    names = {name for f in FUNCTIONS for p in parameters(f) for name in (f, p, f"{f}.{p}")}
    assert (BAD.keys() | FREE.keys() | GOOD.keys() | RECORDED.keys()) - names == set()
