"""Whose loss trains in chapter 7: a run keeps its loss's values, and a loss with other values begins another folder."""

import itertools
import json
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas
import pytest
import torch

import notebooks as tool
import sbgm
import sbgm_course as checks
from notebooks import read
from sbgm import files, plots
from sbgm.apps.train import settings_of, train
from sbgm.images.weights import checkpoints, step_of
from seeds import seeded

CHAPTER = tool.NOTEBOOKS / "07_the_full_experiment.ipynb"
INPAINTING = tool.NOTEBOOKS / "10_inpainting.ipynb"
CODE = [cell.source for cell in read(CHAPTER).cells if cell.cell_type == "code"]
NEEDED = ("def objective(", "def values_of(", "def watch(", "widgets.LiveTraining(settings.steps", "is_trained =")
CELLS = [source for source in CODE if any(words in source for words in NEEDED)]
# a ladder of two high levels is learned in a few steps
SMALL = {"channels": 2, "batch_size": 8, "levels": 2, "sigma_min": 0.3, "held_out": 8, "ema": 0.0, "threads": 1}
SETTINGS = settings_of("digits", steps=12, learning_rate=5e-2, **SMALL, precision="fp32")


class Silent:
    """In place of the figure that is redrawn."""

    def __init__(self, *arguments, **options):
        pass

    def show(self, losses, images, steps):
        pass


def untouched(score, x, sigmas, levels, z):
    raise NotImplementedError


def spelled_otherwise(score, x, sigmas, levels, z):
    sigma = sigmas[levels]
    column = sigma.view(-1, *[1] * (x.dim() - 1))
    return ((column * score(x + column * z, sigma) + z).flatten(1) ** 2).sum(dim=1).mean() / 2  # in another order


def with_another_sign(score, x, sigmas, levels, z):
    sigma = sigmas[levels]
    column = sigma.view(-1, *[1] * (x.dim() - 1))
    return 0.5 * (column * score(x + column * z, sigma) - z).flatten(1).square().sum(dim=1).mean()


def that_raises(score, x, sigmas, levels, z):
    return score(x, sigmas)[0] + missing  # noqa: F821


@pytest.fixture
def page(tmp_path):
    names = {"torch": torch, "sbgm": sbgm, "checks": checks, "plots": plots, "files": files, "pandas": pandas}
    names |= {"json": json, "math": math, "itertools": itertools, "Path": Path, "seeded": seeded, "train": train}
    names |= {"checkpoints": checkpoints, "step_of": step_of, "display": lambda shown: None, "zero": 32.0}
    names |= {"RUNS": tmp_path, "SCALE": "minute", "DATA": "digits", "settings": SETTINGS}
    return names | {"widgets": type("widgets", (), {"LiveTraining": Silent})}


def trained(page, loss, capsys):
    """Run the cells of the training with a loss; return the folder's name and what the chapter says of the run."""
    page["ncsn_loss"] = loss
    capsys.readouterr()
    for source in CELLS:
        exec(source, page)
    return page["OUT"].name, re.sub(r"\d\.\d", "_", capsys.readouterr().out)


def weights(page):
    return (checkpoints(page["OUT"])[-1] / "network.safetensors").read_bytes()


@pytest.mark.parametrize(("answer", "whose"), [(untouched, "our"), (spelled_otherwise, "your")])
def test_a_run_says_whose_loss_trained_it_and_is_trained_once(page, answer, whose, capsys):
    name, said = trained(page, checks.ncsn_loss(answer), capsys)
    assert (name, said.splitlines()[0]) == ("minute-digits", f"minute-digits begins with {whose} loss")
    assert f"trained with {whose} loss: held-out" in said
    before = weights(page)
    name, said = trained(page, checks.ncsn_loss(answer), capsys)
    assert (name, said.splitlines()[0]) == ("minute-digits", f"minute-digits has made 12 of 12 steps with {whose} loss")
    assert weights(page) == before


def test_a_students_right_loss_after_ours_is_told_whose_network_it_shows(page, capsys):
    trained(page, checks.ncsn_loss(untouched), capsys)
    name, said = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert name == "minute-digits"
    assert said.splitlines()[:2] == [
        "minute-digits has made 12 of 12 steps with our loss",
        "    (your loss has the same values: it would train the same network)",
    ]


@pytest.mark.parametrize("wrong", [with_another_sign, that_raises])
def test_a_refused_loss_trains_nothing_and_the_corrected_one_does(page, wrong, tmp_path, capsys):
    _, said = trained(page, checks.ncsn_loss(wrong), capsys)
    assert said == "not trained: first correct ncsn_loss, which its check has refused\n"
    assert list(tmp_path.rglob("*")) == []
    name, said = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert (name, said.splitlines()[0]) == ("minute-digits", "minute-digits begins with your loss")
    trained(page, checks.ncsn_loss(wrong), capsys)
    assert (page["is_trained"], page["whose"]) == {
        with_another_sign: (False, "not trained"),
        that_raises: (True, "trained with your loss"),  # ours stands in, and has the same values
    }[wrong]


def test_another_loss_begins_another_folder(page, capsys):
    """Without its check, as who tries another weight would run it."""
    trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    before = weights(page)
    for _ in range(2):
        name, said = trained(page, lambda *arguments: with_another_sign(*arguments), capsys)
        assert name == "minute-digits-2"
    assert said.startswith("minute-digits-2 has made 12 of 12 steps with your loss\n")
    assert weights(page) != before
    name, _ = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert name == "minute-digits"
    assert weights(page) == before


def test_a_run_that_does_not_say_whose_loss_trained_it_is_left_alone(page, tmp_path, capsys):
    train(SETTINGS, tmp_path / "full_experiment" / "minute-digits")
    assert trained(page, checks.ncsn_loss(untouched), capsys)[0] == "minute-digits-2"


def test_the_cells_below_a_refused_loss_draw_the_untrained_network(page, capsys):
    trained(page, checks.ncsn_loss(with_another_sign), capsys)
    images = sbgm.load_images("digits")
    untrained = sbgm.RefineNet(SETTINGS.sigmas, 2, 1, generator=seeded())
    page |= {"data": "digits", "images": images, "untrained": untrained, "device": "cpu", "plt": plt}
    page["annealed_langevin"] = checks.annealed_langevin.right
    for source in CODE[CODE.index(CELLS[-1]) + 1 :]:
        if "def on_cpu(" in source or "def enlarged(" in source or "T = 20" in source or "denoised = " in source:
            exec(source.replace("T = 20", "T = 1"), page)
            plt.close("all")
    assert page["whose"] == "not trained"


def test_the_lines_of_chapter_9_fill_in_with_a_run(tmp_path, monkeypatch):
    text = "\n".join(cell.source for cell in read(INPAINTING).cells if cell.cell_type == "markdown")
    (lines,) = re.findall(r"^```python\n(run = .*?)^```", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    folder = re.search(r"load_network\(\"\.\./(.*?)\"\)", lines)[1]
    train(settings_of("mnist_small", steps=1, **SMALL), folder)
    names = {"sbgm": sbgm, "torch": torch, "plots": plots, "plt": plt, "seeded": seeded}
    names |= {"inpaint_step": checks.inpaint_step.right, "image": sbgm.load_images("mnist_small", "test")[6]}
    names["half"] = sbgm.images.masks.right_half((1, 28, 28))
    exec(lines.replace("../", "").replace("range(100)", "range(1)"), names)
    off = names["x"][:, names["half"]] - names["image"][names["half"]]
    assert off.std().item() == pytest.approx(0.3, rel=0.05)
    plt.close("all")
