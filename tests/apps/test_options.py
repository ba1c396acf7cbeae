"""Options made from a signature: each kind of parameter, what is refused, and the flags in messages."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import pytest

from sbgm.apps.options import Parser, add_options, call, name_or_path
from sbgm.guard import Count


@dataclasses.dataclass
class Place:
    out: Annotated[Path, "where to write"]
    overwrite: Annotated[bool, "replace what is there"] = False


def draw(
    place: Place,
    data: Annotated[str, name_or_path("digits"), "what to draw"],
    *,
    n: Annotated[Count, "images"] = 4,
    label: Annotated[list[int] | None, "classes"] = None,
    start: Annotated[Literal["uniform", "normal"], "of chains"] = "uniform",
    step_size: Annotated[float | None, "ε"] = None,
) -> tuple[object, ...]:
    return place, data, n, label, start, step_size


@pytest.fixture
def parser():
    add_options(parser := Parser(prog="draw"), draw)
    return parser


def test_a_function_is_called_with_what_its_options_say(parser):
    assert call(draw, parser.parse_args(["x", "digits"])) == (Place(Path("x")), "digits", 4, None, "uniform", None)
    words = ["x", "digits", "--overwrite", "-n", "3", "--label", "1", "2", "--start", "normal", "--step-size", "0.5"]
    assert call(draw, parser.parse_args(words)) == (Place(Path("x"), True), "digits", 3, [1, 2], "normal", 0.5)
    instead = call(draw, parser.parse_args(["x", "digits"]), instead=dict, data="other")
    assert (instead["data"], instead["n"]) == ("other", 4)
    assert "images (4)" in parser.format_help()
