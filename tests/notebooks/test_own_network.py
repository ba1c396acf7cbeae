"""The student's network in chapter 8: the class on the page, and the cell that trains it when asked."""

import dataclasses
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import notebooks as tool
import sbgm
import sbgm_course as checks
from counting import ZeroNetwork
from notebooks import read, tags_of
from sbgm import plots
from sbgm.apps.train import settings_of, train
from seeds import seeded

CHAPTER = tool.NOTEBOOKS / "08_your_own_image_network.ipynb"
CODE = [cell.source for cell in read(CHAPTER).cells if cell.cell_type == "code" and "exercise" not in tags_of(cell)]
(SWITCH,) = [source for source in CODE if source.startswith("TRAIN = False  #")]
NEEDED = ("def train(", "class Block", "class DigitNetwork", "def digits_objective", "def draw(", "def train_and_keep(")
(TAKEN,) = [source for source in CODE if source.startswith("own = with_weights(")]
CONVOLUTION = "nn.Conv2d(width, width, 3, padding=1)"  # of `near`
SCALED = "(m - x) / noisy_variance + (v / noisy_variance).sqrt() / sigma * self.end(h)"
BLOCKS = "self.blocks = nn.ModuleList("
PROPOSED = {
    "narrow": ("width=64", "width=32"),
    "one block": ("n_blocks=4", "n_blocks=1"),
    "no scaling of the output": (SCALED, "self.end(h)"),
    "no σ": ("block(h, level)", "block(h, 0 * level)"),
}  # of `Block` or `DigitNetwork`, as exercise 8.3 proposes them
CHANGES = PROPOSED | {
    "σ told in another way": ("sigma.log()", "(sigma.log() / 4)"),  # nothing changes at σ = 1
    "a layer without weights": (CONVOLUTION, f"{CONVOLUTION}, nn.Tanh()"),
    "dropout": (CONVOLUTION, f"{CONVOLUTION}, nn.Dropout(0.2)"),
    "a weight that does nothing yet": (BLOCKS, f"self.more = nn.Parameter(torch.zeros(1))\n        {BLOCKS}"),
}
WRITTEN = {name: checks.exercises()[name].right for name in ("ncsn_loss", "renewed", "guided")}


class Silent:
    """In place of the figure that is redrawn; the last one is kept."""

    def __init__(self, n_steps, limits, sheet):
        self.shown = []
        Silent.last = self

    def show(self, losses, images):
        self.shown.append((len(losses), images.shape))


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The names of the chapter's cells up to the switch, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBGM_FRESH", raising=False)
    names = {"Path": Path, "math": math, "torch": torch, "nn": torch.nn, "sbgm": sbgm, "checks": checks, "plots": plots}
    names |= {"display": lambda shown: None, **WRITTEN}
    for source in CODE:
        if any(words in source for words in NEEDED):
            exec(source, names)
    names["widgets"] = type("widgets", (), {"LiveTraining": Silent})
    return names


def asked(n_steps):
    return SWITCH.replace("TRAIN = False", "TRAIN = True").replace("3_000", str(n_steps))


def test_the_class_on_the_page_is_that_of_the_library(page):
    shipped = sbgm.load_network("own_network")
    own = page["DigitNetwork"]()
    own.load_state_dict(shipped.state_dict())
    torch.testing.assert_close(page["ladder"], shipped.sigmas, rtol=1e-5, atol=0)
    x = torch.rand(3, 1, 28, 28, generator=seeded())
    label = torch.tensor([3, 10, 7])
    sigma = torch.tensor([0.02, 1, 5])
    torch.testing.assert_close(own(x, sigma, label), shipped(x, sigma, label), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(own(x, 0.5), shipped(x, 0.5), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(page["guided"](own, label, 2.0)(x, 1.0), sbgm.guided(shipped, label, 2)(x, 1.0))


def test_nothing_is_trained_or_written_unless_asked(page, tmp_path):
    exec(SWITCH, page)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_was_asked_for_is_kept_and_never_overwritten(page, tmp_path, capsys):
    page["ladder"] = page["ladder"][::10]  # else samples take most of the time
    exec(asked(3), page)
    assert Silent.last.shown == [(1, (100, 1, 28, 28)), (3, (100, 1, 28, 28))]
    (kept,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"kept in {kept}, after 3 of 3 steps\n"
    exec(TAKEN, page)  # the cell that puts weights into the class on the page
    assert "your network, own_network.safetensors: 3 training steps" in capsys.readouterr().out
    loaded = sbgm.load_network("own_network.safetensors")
    x = torch.rand(2, 1, 28, 28, generator=seeded())
    torch.testing.assert_close(loaded(x, 1.0, 3), page["own"](x, 1.0, 3))
    assert (loaded.facts["n_steps"], loaded.facts["seed"]) == (3, 1)
    before = kept.read_bytes()
    exec(asked(3), page)  # the switch was left on: the cells below still run
    assert "own_network.safetensors keeps a network already" in capsys.readouterr().out
    assert kept.read_bytes() == before


def test_the_seed_decides_which_network_it_is(page):
    page["ladder"] = page["ladder"][::10]
    weights = []
    for seed in (1, 2, 1):
        exec(asked(1).replace("SEED = 1", f"SEED = {seed}"), page)
        weights.append(Path("own_network.safetensors").read_bytes())
        Path("own_network.safetensors").unlink()
    assert weights[0] == weights[2] != weights[1]


def test_a_loss_that_its_check_has_refused_stops_the_training_before_it_begins(page, tmp_path, capsys):
    page["ncsn_loss"] = checks.ncsn_loss(lambda *arguments: 2 * WRITTEN["ncsn_loss"](*arguments))
    page["train"] = lambda network, n_steps, objective: pytest.fail("trained")
    exec(asked(3), page)
    assert capsys.readouterr().out.startswith("not trained: first correct ncsn_loss")
    assert list(tmp_path.iterdir()) == []


def write(page, change):
    """Write `Block` and `DigitNetwork` again, where (old, new) is changed."""
    cells = [source for source in CODE if source.startswith(("digits, labels =", "class DigitNetwork"))]
    old, new = change
    assert sum(old in source for source in cells) == 1
    for source in cells:
        exec(source[source.index("class ") :].replace(old, new), page)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_has_a_file_of_its_own_and_is_drawn_in_this_chapter_only(change, page, tmp_path, capsys):
    write(page, CHANGES[change])
    assert page["is_changed"]()
    page["ladder"] = page["ladder"][::10]
    exec(TAKEN, page)
    says = "no weights for your changed network: the cells below draw with the unchanged one\nthe network that ships"
    assert says in capsys.readouterr().out
    exec(asked(3), page)
    assert [path.name for path in tmp_path.iterdir()] == ["my_network.safetensors"]
    assert f"kept in {tmp_path / 'my_network.safetensors'}, after 3 of 3 steps" in capsys.readouterr().out
    exec(TAKEN, page)
    assert capsys.readouterr().out == "below: your changed network, my_network.safetensors, 3 training steps\n"
    kept = load_file("my_network.safetensors")
    assert all(torch.equal(kept[name], weights) for name, weights in page["own"].state_dict().items())
    assert checks.own_network().facts["n_steps"] == 3_000  # what the later chapters take
    exec(asked(3), page)
    assert "my_network.safetensors keeps a network already" in capsys.readouterr().out


def test_another_spelling_is_no_change(page, capsys):
    write(page, ("new = self.near(h)", "new = 1.0 * self.near(h)  # near"))
    assert not page["is_changed"]()
    exec(TAKEN, page)
    assert capsys.readouterr().out.startswith("the network that ships: 3,000 training steps")


def test_a_changed_network_does_not_take_the_weights_of_another_change(page, tmp_path, capsys):
    page["ladder"] = page["ladder"][::10]
    write(page, CHANGES["no σ"])
    exec(asked(1), page)
    write(page, CHANGES["no scaling of the output"])
    exec(TAKEN, page)
    assert "no weights for your changed network" in capsys.readouterr().out
    assert page["own"].facts["n_steps"] == 3_000


def test_a_changed_network_kept_by_an_earlier_version_is_still_drawn(page, capsys):
    write(page, CHANGES["narrow"])
    sbgm.save_weights(page["DigitNetwork"](), "my_network.safetensors", n_steps=800, seed=1)
    exec(TAKEN, page)
    assert capsys.readouterr().out == "below: your changed network, my_network.safetensors, 800 training steps\n"


def test_a_changed_network_that_raises_says_so_itself_and_nothing_is_written(page, tmp_path):
    write(page, ("block(h, level)", "block(h, level, x)"))
    for source in (TAKEN, asked(3)):
        with pytest.raises(TypeError, match="takes 3 positional arguments but 4 were given"):
            exec(source, page)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_training_keeps_what_was_last_shown(page, tmp_path):
    class Interrupted(Silent):
        def show(self, losses, images):
            raise KeyboardInterrupt

    page["widgets"].LiveTraining = Interrupted
    page["ladder"] = page["ladder"][::10]
    with pytest.raises(KeyboardInterrupt):
        exec(asked(3), page)
    assert sbgm.load_network("own_network.safetensors").facts["n_steps"] == 1


def test_a_network_of_no_steps_is_never_written(page, tmp_path):
    def interrupted(network, n_steps, objective):
        raise KeyboardInterrupt
        yield

    page["train"] = interrupted
    with pytest.raises(KeyboardInterrupt):
        exec(asked(3), page)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chapter", [9, 10, 11, 12])
def test_the_chapters_take_the_students_own_where_it_lies(chapter, tmp_path, monkeypatch, capsys):
    (path,) = tool.NOTEBOOKS.glob(f"{chapter:02}_*.ipynb")
    (cell,) = (c.source for c in read(path).cells if c.cell_type == "code" and "checks.own_network()" in c.source)
    (line,) = (line for line in cell.splitlines() if "checks.own_network()" in line)
    monkeypatch.delenv("SBGM_FRESH", raising=False)
    monkeypatch.chdir(tmp_path)
    own = sbgm.DigitNetwork([5.0, 1.0, 0.02], generator=seeded())
    sbgm.save_network(own, "own_network.safetensors", n_steps=8)
    names = {"checks": checks}
    exec(line, names)
    x = torch.rand(2, 1, 28, 28, generator=seeded())
    torch.testing.assert_close(names["network"](x, 1.0, 3), own(x, 1.0, 3))
    assert "8 training steps" in capsys.readouterr().out


@pytest.mark.slow
def test_what_a_reader_has_kept_changes_no_comparison(tmp_path):
    """Chapters 7 and 9 pass, twice, beside an own network and a run that was stopped; both stay as they are."""
    for name in ("sbgm", "sbgm_course", "tools"):
        shutil.copytree(tool.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(tool.ROOT / name, tmp_path / name)
    (tmp_path / "data").symlink_to(tool.ROOT / "data")
    (tmp_path / "notebooks").mkdir()
    for chapter in ("09_how_it_draws", "07_the_full_experiment"):
        shutil.copy(tool.NOTEBOOKS / f"{chapter}.ipynb", tmp_path / "notebooks")
    own = sbgm.DigitNetwork([5.0, 1.0, 0.02], generator=seeded())
    sbgm.save_network(own, tmp_path / "notebooks" / "own_network.safetensors", n_steps=8)
    settings = settings_of("digits", "laptop", channels=8, steps=4, batch_size=8, threads=1, precision="fp32")
    run = tmp_path / "runs" / "full_experiment" / "minutes-digits"
    train(dataclasses.replace(settings, steps=2), run)
    kept = sorted(path for path in [*run.rglob("*"), *(tmp_path / "notebooks").glob("*.safetensors")] if path.is_file())
    before = [path.read_bytes() for path in kept]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    environment.pop("SBGM_FRESH", None)
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-q", "notebooks"]
    for _ in range(2):
        outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert outcome.returncode == 0, outcome.stdout[-3_000:]
        assert [path.read_bytes() for path in kept] == before


def test_the_students_training_begins_at_the_loss_of_no_network_at_all(page):
    hidden = []
    torch.manual_seed(0)
    losses = [page["digits_objective"](ZeroNetwork(hidden)).item() for _ in range(50)]
    assert sum(losses) / 50 == pytest.approx(392, abs=4 * (392 / 3200) ** 0.5)
    assert torch.cat(hidden).double().mean() == pytest.approx(0.1, abs=4 * (0.09 / 3200) ** 0.5)
