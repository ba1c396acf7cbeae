"""Whose loss trains in chapter 7, and where: ours in one folder, a student's in another, other values in a third."""

import json
import math
import re
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pandas
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import avg_pool2d, pad

import notebooks as tool
import sbgm
import sbgm_course as checks
from notebooks import read
from sbgm import files, plots
from sbgm.apps.train import name_or_folder, settings_of, train
from sbgm.images.weights import checkpoints, step_of
from seeds import seeded

CHAPTER = tool.NOTEBOOKS / "07_the_full_experiment.ipynb"
INPAINTING = tool.NOTEBOOKS / "10_inpainting.ipynb"
CODE = [cell.source for cell in read(CHAPTER).cells if cell.cell_type == "code"]
NEEDED = ("def objective(", "def loss_of(", "def watch(", "widgets.LiveTraining(settings.steps", "is_trained =")
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
    names |= {"json": json, "math": math, "pad": pad, "Path": Path, "seeded": seeded, "train": train}
    names |= {"checkpoints": checkpoints, "step_of": step_of, "display": lambda shown: None, "zero": 32.0}
    names |= {"RUNS": tmp_path, "SCALE": "minutes", "settings": SETTINGS, "training": 1.0}
    names["RESULTS"] = files.shipped_folder() / "results"
    names |= {"COLOURS": plots.COLOURS, "MEDIUM": plots.MEDIUM, "WIDE": plots.WIDE}
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


@pytest.mark.parametrize(
    ("answer", "whose", "folder"),
    [(untouched, "our", "minutes-digits"), (spelled_otherwise, "your", "minutes-digits-yours")],
)
def test_a_run_says_whose_loss_trained_it_and_is_trained_once(page, answer, whose, folder, capsys):
    name, said = trained(page, checks.ncsn_loss(answer), capsys)
    assert (name, said.splitlines()[0]) == (folder, f"{folder} begins with {whose} loss")
    assert f"12 steps, trained with {whose} loss: held-out" in said
    before = weights(page)
    name, said = trained(page, checks.ncsn_loss(answer), capsys)
    assert (name, said.splitlines()[0]) == (folder, f"{folder} has made 12 of 12 steps with {whose} loss")
    assert weights(page) == before


def test_a_students_right_loss_trains_after_ours_and_goes_on_in_any_spelling(page, capsys):
    trained(page, checks.ncsn_loss(untouched), capsys)
    name, said = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert name == "minutes-digits-yours"
    assert said.splitlines()[:2] == [
        "minutes-digits-yours begins with your loss",
        "beside it: minutes-digits (our loss)",
    ]
    assert "12 steps, trained with your loss" in said
    before = weights(page)
    name, _ = trained(page, checks.ncsn_loss(lambda *arguments: spelled_otherwise(*arguments) + 0), capsys)
    assert (name, weights(page)) == ("minutes-digits-yours", before)


@pytest.mark.parametrize("wrong", [with_another_sign, that_raises])
def test_a_refused_loss_trains_nothing_and_the_corrected_one_does(page, wrong, tmp_path, capsys):
    _, said = trained(page, checks.ncsn_loss(wrong), capsys)
    assert said == "not trained: first correct ncsn_loss, which its check has refused\n"
    assert list(tmp_path.rglob("*")) == []
    name, said = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert (name, said.splitlines()[0]) == ("minutes-digits-yours", "minutes-digits-yours begins with your loss")
    _, said = trained(page, checks.ncsn_loss(wrong), capsys)
    assert "beside it: minutes-digits-yours (your loss)" in said
    assert (page["is_trained"], page["whose"]) == (False, "not trained")


def test_another_loss_begins_another_folder(page, capsys):
    """Without its check, as who tries another weight would run it."""
    trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    before = weights(page)
    for _ in range(2):
        name, said = trained(page, lambda *arguments: with_another_sign(*arguments), capsys)
        assert name == "minutes-digits-yours-2"
    assert said.startswith("minutes-digits-yours-2 has made 12 of 12 steps with your loss\n")
    assert weights(page) != before
    name, _ = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert name == "minutes-digits-yours"
    assert weights(page) == before


def test_runs_of_before_are_named_and_a_students_goes_on_where_it_lies(page, tmp_path, capsys):
    """A student's run had the folder that is ours now, and the shortest scale was called "minute"."""
    trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    home = tmp_path / "full_experiment"
    (home / "minutes-digits-yours").rename(home / "minutes-digits")
    before = weights(page | {"OUT": home / "minutes-digits"})
    name, said = trained(page, checks.ncsn_loss(spelled_otherwise), capsys)
    assert (name, weights(page)) == ("minutes-digits", before)
    assert said.startswith("minutes-digits has made 12 of 12 steps with your loss\n")
    (home / "minutes-digits").rename(home / "minute-digits")
    _, said = trained(page, checks.ncsn_loss(untouched), capsys)
    assert said.startswith("minutes-digits begins with our loss\nbeside it: minute-digits (your loss)\n")


def test_a_run_that_does_not_say_whose_loss_trained_it_is_shown_and_left_alone(page, capsys):
    trained(page, checks.ncsn_loss(untouched), capsys)
    before, path = weights(page), page["OUT"] / "loss.json"
    for content in (None, "", "[]", "{}", '{"whose": "our", "values": 1}'):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content, encoding="utf-8")
        name, said = trained(page, checks.ncsn_loss(untouched), capsys)
        assert (name, weights(page), path.exists()) == ("minutes-digits", before, content is not None)
        assert said.splitlines()[:2] == [
            f"not trained: first rename or delete {page['OUT']}, whose loss.json is lost or damaged",
            "minutes-digits has made 12 of 12 steps with an unknown loss",
        ]
        assert "12 steps, trained with an unknown loss" in said


def test_a_lost_log_is_told(page, capsys):
    trained(page, checks.ncsn_loss(untouched), capsys)
    for lose in (Path.unlink, Path.touch):
        lose(page["OUT"] / "log.csv")
        _, said = trained(page, checks.ncsn_loss(untouched), capsys)
        line = "minutes-digits, trained with our loss: its log.csv is lost or empty, so its losses are not shown"
        assert said.splitlines()[1:] == [line]


def test_a_file_in_place_of_the_folder_is_told(page, tmp_path, capsys):
    path = tmp_path / "full_experiment" / "minutes-digits"
    path.parent.mkdir()
    path.touch()
    _, said = trained(page, checks.ncsn_loss(untouched), capsys)
    assert said == f"not trained: first rename or delete {path}, which is a file\n"


@pytest.mark.parametrize(
    ("scale", "data", "message"),
    [
        ("Minutes", "digits", "SCALE must be one of minutes, hour, gpu, paper, got 'Minutes'"),
        ("minutes", "nofolder", "DATA must be one of digits, .*, or a folder, got 'nofolder'"),
    ],
)
def test_a_slip_in_the_two_words_is_told(page, scale, data, message):
    (source,) = (source for source in CODE if "SCALES = {" in source)
    page |= {"settings_of": settings_of, "find_device": lambda: "cpu", "name_or_folder": name_or_folder}
    with pytest.raises(ValueError, match=message):
        exec(source, page | {"SCALE": scale, "DATA": data})
    exec(source, page | {"DATA": Path("digits")})


def test_the_cells_below_a_refused_loss_draw_the_untrained_network(page, capsys):
    trained(page, checks.ncsn_loss(with_another_sign), capsys)
    images = sbgm.load_images("digits")
    untrained = sbgm.RefineNet(SETTINGS.sigmas, 2, 1, generator=seeded())
    page |= {"data": "digits", "images": images, "untrained": untrained, "device": "cpu", "plt": plt, "time": time}
    page |= {"T": 1, "epsilon": 1e-4, "drawing": 1.0, "avg_pool2d": avg_pool2d}
    page["LogisticRegression"] = LogisticRegression
    page["annealed_langevin"] = checks.annealed_langevin.right
    for source in CODE[CODE.index(CELLS[-1]) + 1 :]:
        if any(words in source for words in ("def on_cpu(", "states = film(", "denoised = ", "def sure(")):
            exec(source, page)
            plt.close("all")
    assert "your samples, not trained: " in capsys.readouterr().out


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
