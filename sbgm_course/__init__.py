"""Checks of the exercises: `@checks.dsm_loss` above a student's function says whether it is right, in one line.

The line names the likely mistake of a wrong function, and says whether the cells below use that function or, where it
can draw nothing, a right one. An untouched stub, which raises a bare NotImplementedError, is neither right nor wrong:
the check says so, and lends a right function to the cells below.
`sbgm.plots.refused` says so in the title of a figure that a wrong function draws.

Each check calls the function on several random inputs, dtypes and shapes, and looks at values, gradients or the law of
what it draws. The chapters' exercises are loaded when one is first asked for; `exercises()` has them by name.

`own_network()` gives the image network that a student has trained in chapter 8, or else the one that ships.
"""

from sbgm_course.exercise import Exercise, Verdict, WrongAnswer, exercises
from sbgm_course.own import own_network

__all__ = ["Exercise", "Verdict", "WrongAnswer", "exercises", "own_network"]


def __getattr__(name: str) -> Exercise:
    if name.startswith("__"):  # asked for by Python itself
        raise AttributeError(name)
    try:
        return exercises()[name]
    except KeyError:
        raise AttributeError(f"there is no exercise {name}; there are {', '.join(exercises())}") from None


def __dir__() -> list[str]:
    return [*__all__, *exercises()]
