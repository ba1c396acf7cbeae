"""The site that the tests look at: every chapter and page, one chapter more, and a notebook more in a folder below."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from notebooks import all_notebooks

ROOT = Path(__file__).resolve().parent.parent
# one black pixel
TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

# What a chapter may hold that Markdown and Sphinx could get wrong.
SCRATCH = [
    "# 99 · Scratch\n\n**You will be able to**\n\n- try it.\n\n**Needs** chapter 3. **Takes** a minute.\n\n## Words",
    "See chapter 4, [the data](../data/README.md), [another](03_langevin_dynamics.ipynb) and [a file](../LICENSE), not "
    "`chapter 4`.\n\n> Then $$a = \\frac{b}{2}\n> + \\sqrt{c}\\; d;$$ and\n> $e$.",
    "<details><summary>Solution of 99.1</summary>\n\n```python\ndef answer(x):\n    return 2 * x  # chapter 4\n```\n\n"
    "By $\\sigma_1 > \\sigma_L$,\n\n$$x = \\frac12$$\n\n</details>",
]

# A notebook in a folder below: it is a page with its figures and claims, and no chapter.
BELOW = {
    "markdown": "# Evidence\n\nFor chapter 3, and [the chapter itself](../99_scratch.ipynb); [a file](../../LICENSE).",
    "code": 'settle("L3", [])',
}


def built_once(temporary: pytest.TempPathFactory) -> Path:
    """The folder of the site, built without a warning by the first test that asks, of whichever xdist's worker."""
    base = temporary.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "scratch_site"
    done = folder / "done"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            _build(folder)
            done.touch()
    return folder / "built" / "html"


def _build(folder: Path) -> None:
    chapters = shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    scratch = json.loads(all_notebooks()[0].read_text(encoding="utf-8"))
    scratch["cells"] = [
        {"cell_type": "markdown", "id": f"99-{i:03}", "metadata": {}, "source": text} for i, text in enumerate(SCRATCH)
    ]
    (chapters / "99_scratch.ipynb").write_text(json.dumps(scratch), encoding="utf-8")
    scratch["cells"] = [
        {"cell_type": kind, "id": f"99-{kind}", "metadata": {}, "source": text} for kind, text in BELOW.items()
    ]
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": TINY_PNG, "text/plain": ""}}
    scratch["cells"][1] |= {"execution_count": 1, "outputs": [picture]}
    (chapters / "lab").mkdir(exist_ok=True)
    (chapters / "lab" / "99_below.ipynb").write_text(json.dumps(scratch), encoding="utf-8")
    command = [sys.executable, ROOT / "docs" / "build.py", folder / "built", "--notebooks", chapters]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
