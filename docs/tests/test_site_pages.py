"""The site's pages for readers are complete, and what they name exists."""

import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import sbgm
from sbgm.__main__ import COMMANDS, parser_of

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs"
NOTEBOOKS = ROOT / "notebooks"
FORMULAS = [
    formula
    for group in tomllib.loads((SITE / "formulas.toml").read_text(encoding="utf-8"))["group"]
    for formula in group["formula"]
]

NUMBERED = ("Eq. 1", "Eq. 2", "Eq. 3", "Eq. 4", "Eq. 5", "Eq. 6", "Algorithm 1", "Algorithm 2")  # of the paper


def test_every_equation_and_algorithm_has_a_name_and_a_chapter():
    by_id = {formula["id"]: formula for formula in FORMULAS}
    assert len(by_id) == len(FORMULAS)
    assert set(NUMBERED) <= by_id.keys()
    assert [label for label in NUMBERED if not (by_id[label]["chapters"] and by_id[label]["tex"].strip())] == []


PROSE = [*sorted(SITE.glob("*.md")), *sorted(NOTEBOOKS.glob("*.md"))]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_the_names_and_options_on_a_page_exist(page):
    code = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    modules = "|".join(module for module in dir(sbgm) if hasattr(getattr(sbgm, module), "__path__"))
    for words in code:
        for dotted in re.findall(rf"(?<![\w./])((?:{modules}|theory|files)(?:\.\w+)+)", words):
            assert pkgutil.resolve_name(f"sbgm.{dotted}"), dotted
    options = {option for words in code for option in re.findall(r"(?<!\S)--[a-z-]+", words)}
    known = {"--nbval", "--dist", "--no-loadscope-reorder", "--port", "--nproc", "--user", "--scope"}  # of other tools
    known |= {"--extra-index-url", "--no-deps"}
    parsers = [parser_of(command) for command in COMMANDS]
    helps = [parser.format_help() for parser in parsers]
    helps += [
        path.read_text(encoding="utf-8") for room in ("evidence", "tools") for path in (ROOT / room).rglob("*.py")
    ]
    for text in helps:
        known |= set(re.findall(r"--[a-z-]+", text))
    assert options <= known
