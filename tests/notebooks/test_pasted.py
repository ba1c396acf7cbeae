"""What becomes of a function that is pasted into chapter 11 and can't be used: ours goes on, and a line says so."""

import functools
import math
import re

import pytest
import torch

import notebooks as tool
import sbgm_course as checks
from notebooks import read
from sbgm import plots
from seeds import seeded

CELLS = read(tool.NOTEBOOKS / "11_the_full_experiment.ipynb").cells
(GUARD,) = (cell.source for cell in CELLS if cell.source.startswith("def guarded("))
NAMES = ("ncsn_loss", "annealed_langevin", "inpaint_step")
RIGHT = {name: checks.exercises()[name].right for name in NAMES}
UNFIT = {
    "raises": lambda score, x, *others: 1 / 0,
    "returns nothing": lambda score, x, *others: None,
    "returns a list": lambda score, x, *others: x.tolist(),
    "another shape": lambda score, x, *others: x[None],
    "another dtype": lambda score, x, *others: x.double(),
    "NaN": lambda score, x, *others: x * math.nan,
}
UNFIT_LOSSES = {
    "no gradient": lambda score, x, *others: x.sum(),
    "a loss of NaN": lambda score, x, *others: score(x, 1.0).sum() * math.nan,
}


def called(name, function):
    """A function of this name, called as the chapter does, always on the same inputs."""
    x, y = (torch.rand(2, 1, 4, 4, generator=seeded(n)) for n in range(2))
    weight = torch.ones((), requires_grad=name == "ncsn_loss")
    ladder = torch.tensor([1.0, 0.1])
    others = {
        "ncsn_loss": [ladder, torch.tensor([0, 1]), y],
        "annealed_langevin": [ladder, 1e-3, 2, seeded()],
        "inpaint_step": [y, x[0] < 0.5, 0.1, 1e-3, seeded()],
    }
    return function(lambda x, sigma: -weight * x, x, *others[name])


def pasted(name, function):
    """A function after its check, and after the chapter's cell that guards it."""
    names = {"functools": functools, "torch": torch, "checks": checks, **RIGHT, name: getattr(checks, name)(function)}
    exec(GUARD, names)
    return names[name]


@pytest.mark.parametrize(
    ("name", "mistake"),
    [*((name, mistake) for name in NAMES for mistake in UNFIT), *(("ncsn_loss", mistake) for mistake in UNFIT_LOSSES)],
)
def test_ours_goes_on_from_where_a_pasted_function_fails(name, mistake, capsys):
    guard = pasted(name, functools.wraps(RIGHT[name])(lambda *inputs: (UNFIT | UNFIT_LOSSES)[mistake](*inputs)))
    assert plots.refused(guard) != ""
    capsys.readouterr()
    for says in (rf"{name} (raised|must return) .*\. We go on with ours\.\n", ""):
        torch.testing.assert_close(called(name, guard), called(name, RIGHT[name]), rtol=0, atol=0)
        assert re.fullmatch(says, capsys.readouterr().out)
    assert plots.refused(guard) == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_function_with_wrong_numbers_goes_on(name, capsys):
    @functools.wraps(RIGHT[name])
    def twice(score, x, *others):
        x *= 2
        return RIGHT[name](score, x, *others)

    expected = called(name, lambda score, x, *others: RIGHT[name](score, 2 * x, *others))
    guard = pasted(name, twice)
    torch.testing.assert_close(called(name, guard), expected, rtol=0, atol=0)
    assert plots.refused(guard) == f"\n(drawn by a refused {name})"
    assert "ours" not in capsys.readouterr().out
