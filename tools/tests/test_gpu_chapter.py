"""Chapter 7 at its scale for a GPU, made small, cell by cell on the simulated GPU."""

import re

import matplotlib.pyplot as plt
import pandas
import pytest
import torch

import sbgm_course as checks
from notebooks import NOTEBOOKS, read
from simulated import Gpu

CHAPTERS = {int(path.stem[:2]): path for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
# instead of an hour's: the ladder is of two high levels, which are learned in a few steps
SMALL = "channels=2, steps=12, batch_size=8, levels=2, sigma_min=0.3, learning_rate=5e-2, ema=0.0, held_out=8"
CHANGES = {
    'SCALE = "minutes"': 'SCALE = "gpu"',
    'dict(channels=32, steps=15_000, precision="fp32",': f'dict({SMALL}, precision="fp32",',
    "else (20, 1e-4)": "else (2, 1e-4)",
}
PASTED = ("ncsn_loss", "annealed_langevin")
SOLUTION = re.compile(r"```python\n(.*?)```", re.DOTALL)


def solution(name):
    """The folded solution of an exercise, in the chapter that sets it."""
    cells = read(CHAPTERS[checks.exercises()[name].chapter]).cells
    (stub,) = (i for i, cell in enumerate(cells) if cell.cell_type == "code" and f"def {name}(" in cell.source)
    return SOLUTION.search(cells[stub + 1].source)[1]


def run(folder, monkeypatch, answers):
    """Run the chapter's cells with answers in place of the stubs, in a folder of its own; return the cells' names."""
    monkeypatch.setenv("SBGM_FRESH", str(folder))
    sources = [cell.source for cell in read(CHAPTERS[7]).cells if cell.cell_type == "code"]
    for before, after in CHANGES.items():
        assert sum(before in source for source in sources) == 1, before
        sources = [source.replace(before, after) for source in sources]
    for name, answer in answers.items():
        (cell,) = (i for i, source in enumerate(sources) if source.startswith(f"@checks.{name}\n"))
        sources[cell] = f"@checks.{name}\n{answer}"
    names = {"display": lambda figure: None}
    with Gpu():
        for source in sources:
            exec(source, names)
            plt.close("all")
    return names


def test_chapter_7_runs_on_a_gpu_with_our_functions_and_with_a_students(tmp_path, monkeypatch, capsys):
    runs = []
    for folder, answers in (("ours", {}), ("pasted", {name: solution(name) for name in PASTED})):
        names = run(tmp_path / folder, monkeypatch, answers)
        assert names["device"] == "cuda"
        printed, failures = capsys.readouterr()
        verdict = "correct" if answers else "not attempted yet"
        assert all(f"{name}: {verdict}" in printed for name in PASTED)
        assert "use ours" not in failures
        runs.append(names)
    ours, pasted = runs
    losses = [pandas.read_csv(names["OUT"] / "log.csv")["loss"].tolist() for names in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for states, expected in zip(pasted["states"], ours["states"], strict=True):
        torch.testing.assert_close(states, expected, rtol=1e-3, atol=1e-3)
