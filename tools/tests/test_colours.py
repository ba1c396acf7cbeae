"""No colour stands in a slider, in evidence's figures or in a chapter but from the table of roles, `plots.COLOURS`."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("sbgm/widgets/*.py"), *ROOT.glob("evidence/*.py"), *ROOT.glob("evidence/claims/*/measure.py")]
CHAPTERS = sorted(ROOT.glob("notebooks/*.ipynb"))
NAMED = "red|green|blue|orange|purple|black|gray|grey|navy|crimson|viridis|plasma|magma|inferno|tab:[a-z]+|C[0-9]"
LITERAL = re.compile(rf"""["'](?:#[0-9a-fA-F]{{3,8}}|{NAMED})["']""")
PAGE = re.compile(r'STYLE = """.*?"""', re.DOTALL)  # of base.py, the style of a page's notice


def code_of(path: Path) -> str:
    if path.suffix == ".py":
        return PAGE.sub("", path.read_text(encoding="utf-8"))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", [*SOURCES, *CHAPTERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_colour_is_a_role(path):
    assert LITERAL.findall(code_of(path)) == []
