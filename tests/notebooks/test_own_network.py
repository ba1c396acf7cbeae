"""The student's network in chapter 6: the class on the page, and the cell that trains it when asked."""

from pathlib import Path

import pytest
import torch

import notebooks as tool
import sbgm
import sbgm_course as checks
from counting import ZeroNetwork
from notebooks import read, tags_of
from seeds import seeded

CHAPTER = tool.NOTEBOOKS / "06_noise_conditional_score_networks.ipynb"
CODE = [cell.source for cell in read(CHAPTER).cells if cell.cell_type == "code" and "exercise" not in tags_of(cell)]
(SWITCH,) = [source for source in CODE if source.startswith("TRAIN = False  #")]
NEEDED = ("def train(", "class Block", "class DigitNetwork", "def digits_objective", "def draw(", "def train_and_keep(")
WRITTEN = {name: checks.exercises()[name].right for name in ("ncsn_loss", "look_far", "renewed", "guided")}


class Silent:
    """In place of the figure that is redrawn; the last one is kept."""

    def __init__(self, n_steps, ceiling, *, n_columns):
        self.shown = []
        Silent.last = self

    def show(self, losses, images):
        self.shown.append((len(losses), images.shape))


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The names of the chapter's cells up to the switch, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    names = {"Path": Path, "torch": torch, "nn": torch.nn, "sbgm": sbgm, "display": lambda shown: None, **WRITTEN}
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
    assert "yours" not in page
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_was_asked_for_is_kept_and_never_overwritten(page, tmp_path, capsys):
    page["ladder"] = page["ladder"][::10]  # else samples take most of the time
    exec(asked(3), page)
    assert Silent.last.shown == [(1, (100, 1, 28, 28))]
    (kept,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"kept in {kept}, after 3 of 3 steps\n"
    loaded = sbgm.load_network("own_network.safetensors")
    x = torch.rand(2, 1, 28, 28, generator=seeded())
    torch.testing.assert_close(loaded(x, 1.0, 3), page["yours"](x, 1.0, 3))
    assert loaded.facts["n_steps"] == 3
    before = kept.read_bytes()
    exec(asked(3), page)  # the switch was left on: the cells below still run
    assert "own_network.safetensors keeps a network already" in capsys.readouterr().out
    assert kept.read_bytes() == before


def test_a_network_that_cannot_be_kept_is_refused_before_the_training(page, tmp_path):
    names = page["Block"].forward.__globals__  # in which the network finds the student's function
    names["look_far"] = lambda h, weight, bias: WRITTEN["look_far"](h, weight.T, bias)
    page["train"] = lambda network, n_steps, objective: pytest.fail("trained")
    with pytest.raises(ValueError, match="network must give the scores that DigitNetwork gives"):
        exec(asked(3), page)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_training_keeps_what_it_has(page):
    class Interrupted(Silent):
        def show(self, losses, images):
            raise KeyboardInterrupt

    page["widgets"].LiveTraining = Interrupted
    page["ladder"] = page["ladder"][::10]
    with pytest.raises(KeyboardInterrupt):
        exec(asked(3), page)
    assert sbgm.load_network("own_network.safetensors").facts["n_steps"] == 1


def test_the_students_training_begins_at_the_loss_of_no_network_at_all(page):
    hidden = []
    torch.manual_seed(0)
    losses = [page["digits_objective"](ZeroNetwork(hidden)).item() for _ in range(50)]
    assert sum(losses) / 50 == pytest.approx(392, abs=4 * (392 / 3200) ** 0.5)
    assert torch.cat(hidden).double().mean() == pytest.approx(0.1, abs=4 * (0.09 / 3200) ** 0.5)
