"""What a mark says of the function that stood under a check."""

import functools
import logging
import sys

import pytest

import sbgm_course as checks
from sbgm_course.exercise import Exercise, exercise


def make_doubled() -> Exercise:
    """An exercise that nobody has tried yet."""

    @exercise("3.9", minutes=5, cases=lambda trial: [[trial.uniform(1, 2)]])
    def doubled(x):
        return 2 * x

    return doubled


def refusal(marked: Exercise) -> str:
    with pytest.raises(checks.WrongAnswer) as refused:
        marked.mark(seed=7)
    return str(refused.value)


def test_the_function_under_the_check_is_marked_whatever_its_name_holds_by_then():
    check = make_doubled()

    names = {"check": check}
    exec("@check\ndef doubled(x):\n    return x + x\ndoubled = None", names)
    assert check.mark(seed=7) is None
    check(lambda x: -2 * x)
    assert "has the wrong sign" in refusal(check)


def test_the_seed_decides_on_which_inputs():
    asked = []
    check = make_doubled()
    check(lambda x: asked.append(x) or 2 * x)
    for seed in (0, 7, 7):
        check.mark(seed=seed)
    in_the_notebook, *marked = asked
    assert marked[0] == in_the_notebook
    assert marked[1] == marked[2] != marked[0]


def test_a_function_that_was_never_there_earns_nothing():
    assert refusal(make_doubled()) == "no function of yours stood under @checks.doubled"


def untouched(x):
    raise NotImplementedError


def test_an_untouched_stub_earns_nothing():
    check = make_doubled()
    assert check(untouched) is check.right
    assert refusal(check) == "not attempted: your doubled raises NotImplementedError"


@pytest.mark.parametrize("find", [lambda check: check(untouched), lambda check: check.__wrapped__])
def test_our_own_function_earns_nothing(find):
    check = make_doubled()
    check(find(check))
    assert refusal(check) == "the function under @checks.doubled is the one that sbgm lends"


def test_ours_that_a_check_below_has_lent_earns_nothing():
    check = make_doubled()

    @check
    @functools.lru_cache
    @check
    def doubled(x):
        raise ValueError("no")

    assert refusal(check) == "the function under @checks.doubled is the one that sbgm lends"


def test_a_function_that_calls_itself_is_marked_although_its_name_holds_another():
    check = make_doubled()
    names = {"check": check}
    exec("@check\ndef doubled(x, n=2):\n    return x + (doubled(x, n - 1) if n > 1 else 0)\ndoubled = None", names)
    check.mark(seed=7)
    assert names["doubled"] is None


def test_what_a_right_function_writes_to_stderr_costs_no_point(capsys):
    """nbgrader gives none to a cell that writes there, as a progress bar or a warning does."""

    def busy(x):
        print("42%", file=sys.stderr)
        return 2 * x

    check = make_doubled()
    check(busy)
    assert capsys.readouterr().err == "42%\n"
    check.mark(seed=7)
    assert capsys.readouterr() == ("42%\n", "")


def test_what_a_right_function_logs_costs_no_point(capsys):
    """The check in the notebook has made a handler, which keeps the stderr of that time."""

    def busy(x):
        logging.getLogger(__name__).warning("slow")
        return 2 * x

    check = make_doubled()
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger(__name__).addHandler(handler)
    check(busy)
    assert capsys.readouterr().err == "slow\n"
    check.mark(seed=7)
    assert capsys.readouterr() == ("", "")
    busy(1)
    assert capsys.readouterr().err == "slow\n"
    logging.getLogger(__name__).removeHandler(handler)


def test_a_function_that_is_stopped_earns_nothing():
    def endless(x):
        raise KeyboardInterrupt

    check = make_doubled()
    with pytest.raises(KeyboardInterrupt, match=r"^the check of doubled was stopped: "):
        check(endless)
    assert refusal(check) == "your function was stopped: it did not end in the time that a cell may take"
