"""Trainings on images and of networks of one's own: what is recorded, what is run, and what a run shows of itself."""

import dataclasses
import hashlib
import math
import shutil

import pandas
import pytest
import torch
from PIL import Image
from torch import nn

import sbgm
from sbgm import cli, load_network
from sbgm.images.data import Notice
from sbgm.images.own import own_images
from sbgm.train.images import NCSN, train_ncsn
from sbgm.train.runs import Run, TrainingSettings, make_accelerator
from seeds import seeded

FILE = """
import torch
from torch import nn

print("net.py runs")

class Net(nn.Module):
    def __init__(self, image_shape, n_classes, mean, sigmas):
        super().__init__()
        assert float(sigmas[0]) > float(sigmas[-1])  # a look at values
        self.shift = nn.Parameter(torch.full(image_shape, mean))
        self.classes = nn.Embedding(n_classes + 1, 1) if n_classes else None

    def forward(self, x, sigma, label=None):
        assert sigma.shape == x.shape[:1]
        of_class = 0 if label is None else self.classes(label)[:, :, None, None]
        return (self.shift + of_class - x) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)
"""
SMALL = (
    "--size", 8, "--steps", 4, "--batch-size", 4, "--levels", 3, "--held-out", 2, "--measure-every", 2, "--threads", 1,
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with pictures in two classes and a network of one's own."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for i in range(20):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 12), 100 * (i % 2) + i).save(path)
    (tmp_path / "net.py").write_text(FILE)
    return tmp_path


def sbgm_does(*words):
    """Do a command; its exit status must be 0."""
    assert cli.main([str(word) for word in words]) == 0


def test_a_folder_is_trained_on_resumed_sampled_inpainted_and_judged_by_the_commands_of_named_sets(here, capsys):
    sbgm_does("train", "photos", "--out", "run", "--channels", 8, *SMALL)
    sbgm_does("train", "photos", "--out", "run", "--resume", "--steps", 6)
    assert Run("run").last_step == 6
    fast = ["--n-steps", 1, "--device", "cpu", "--threads", 1]
    sbgm_does("sample", "run", "--out", "samples", "-n", 5, "--pngs", *fast)
    assert [Image.open(path).size for path in sorted((here / "samples" / "png").iterdir())] == [(8, 8)] * 5
    sbgm_does("inpaint", "run", "photos", "--images", 2, "--fills", 1, "--out", "fills", *fast)
    Image.new("L", (30, 40), 255).save("white.png")
    sbgm_does("inpaint", "run", "photos/a/0.png", "--mask", "white.png", "--fills", 1, "--out", "own", *fast)
    filled = sbgm.files.load_tensors("own/fills.safetensors")[0]
    torch.testing.assert_close(filled["fills"][:, 0], filled["images"], atol=0.06, rtol=0)  # all known, σ_L = .01
    capsys.readouterr()
    sbgm_does("evaluate", "--samples", "samples/png", "--data", "photos", "--threads", 1)
    assert "median distance to the nearest" in capsys.readouterr().out
    sbgm_does("losses", "run", "--data", "photos", "--threads", 1, "--device", "cpu")
    assert "4 photos test images" in capsys.readouterr().out
    Image.new("L", (10, 12), 7).save("photos/a/new.png")
    assert cli.main(["train", "photos", "--out", "run", "--resume", "--steps", "7"]) == 1
    assert "images_sha256" in capsys.readouterr().err


def test_a_run_shows_the_same_starts_and_the_losses_while_it_trains(here):
    sbgm_does("train", "photos", "--out", "run", "--channels", 8, *SMALL)
    sheets = sorted(path.name for path in (here / "run" / "sheets").iterdir())
    assert sheets[0] == "step-0000001.png"
    assert sheets[-1] == "step-0000004.png"
    assert Image.open(here / "run" / "sheets" / sheets[0]).height >= 128
    page = (here / "run" / "progress.html").read_text(encoding="utf-8")
    assert page.index(sheets[-1]) < page.index(sheets[0])
    assert 'http-equiv="refresh"' not in page  # the run is done
    assert Image.open("run/losses.png").size[0] > 500
    log = pandas.read_csv("run/log.csv")
    assert f"{log['held_out'].iloc[-1]:.4g}" in page


@pytest.mark.parametrize("network", [None, "DigitNetwork", "net.py:Net"])
def test_classes_are_learnt_and_asked_for(here, network):
    words = ["--network", network] if network else ["--channels", 8]
    sbgm_does("train", "photos", "--classes", "--out", "run", *words, *SMALL)
    fast = ["--n-steps", 1, "--device", "cpu", "--threads", 1, "-n", 3]
    sbgm_does("sample", "run", "--label", 1, 0, "--guidance", 2, "--out", "both", *fast)
    sbgm_does("sample", "run", "--out", "any", *fast)
    _, facts = sbgm.files.load_tensors("both/samples.safetensors")
    assert (facts["label"], facts["guidance"]) == ([1, 0], 2.0)
    if network == "net.py:Net":  # whose score of a class is a shift: the same noise, shifted by it
        loaded = load_network("run", network=network)
        x = torch.zeros(2, 1, 8, 8)
        shift = loaded.module.classes.weight[:, 0]
        difference = loaded(x, 1.0, 1) - loaded(x, 1.0, 0)
        torch.testing.assert_close(difference, ((shift[1] - shift[0]) / 2).expand_as(x))


class Pull(nn.Module):
    """A network of this test's own, without any of what a ScoreNetwork has."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x, sigma):
        return -self.scale * x / (1 + sigma**2).reshape(-1, 1, 1, 1)


class Told(Pull):
    """Sees labels, and keeps them."""

    def forward(self, x, sigma, label):
        self.seen = [*getattr(self, "seen", []), label]
        return super().forward(x, sigma)


def test_one_label_in_ten_is_hidden(here):
    training = TrainingSettings(n_steps=200, batch_size=8, threads=1, measure_every=10_000)
    settings = NCSN("photos", size=8, classes=True, n_held_out=2, training=training)
    steps = train_ncsn(settings, "run", network=(network := Told()))
    for _ in range(199):
        next(steps)
    labels = torch.cat(network.seen[1:])  # the first is asked before the training
    assert set(labels.tolist()) == {0, 1, 2}
    assert (labels == 2).double().mean() == pytest.approx(0.1, abs=4 * (0.09 / len(labels)) ** 0.5)


SETTINGS = NCSN("digits", n_levels=2, n_held_out=2, training=TrainingSettings(n_steps=2, batch_size=4, threads=1))

THIRDS = dataclasses.replace(SETTINGS.training, accumulation=3)


def test_any_module_trains_by_one_call_and_is_loaded_by_giving_it_again(tmp_path):
    images = own_images(torch.rand(20, 1, 8, 8, generator=seeded()), 8)
    list(train_ncsn(SETTINGS, tmp_path / "run", network=Pull(), images=images))
    with pytest.raises(ValueError, match=r"network is one's own, Pull, .* give it again"):
        load_network(tmp_path / "run")
    module = Pull()
    network = load_network(tmp_path / "run", network=module)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(x, 1.0), module(x, torch.ones(2)))
    assert (network.image_shape, network.ladder) == ((1, 8, 8), [1.0, pytest.approx(0.01)])
    assert module.scale != 1


class Flat(Pull):
    """Gives one number an image."""

    def forward(self, x, sigma):
        return x.flatten(1).sum(dim=1) * self.scale


@pytest.mark.parametrize(
    ("network", "settings", "says"),
    [
        (Flat(), SETTINGS, r"network must return x's shape, \(2, 1, 8, 8\), got \(2,\)"),
        (Pull(), dataclasses.replace(SETTINGS, data="no-such"), "data must be one of 'digits'"),
        (Pull(), dataclasses.replace(SETTINGS, data="photo_patches", classes=True), "classes must be left out"),
        (None, dataclasses.replace(SETTINGS, architecture="no.py:Net"), "network must be FILE.py:CLASS"),
        (Pull(), dataclasses.replace(SETTINGS, training=THIRDS), "batch_size must divide into 3 parts"),
        (
            None,
            dataclasses.replace(SETTINGS, channels=4, initial="digits_mlp"),
            "must have the shapes saved in digits_mlp",
        ),
        (None, dataclasses.replace(SETTINGS, channels=4, initial="no_such"), "there is none at .*no_such"),
    ],
)
def test_nothing_is_written_before_all_arguments_are_looked_at(tmp_path, network, settings, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        train_ncsn(settings, tmp_path / "run", network=network)
    assert not (tmp_path / "run").exists()


def test_a_file_is_run_again_only_if_it_is_given_or_unchanged_and_not_in_the_runs_folder(here, capsys):
    sbgm_does("train", "photos", "--network", "net.py:Net", "--out", "run", *SMALL)
    sha256 = hashlib.sha256((here / "net.py").read_bytes()).hexdigest()
    assert Run("run").settings["architecture_sha256"] == sha256
    capsys.readouterr()
    with pytest.warns(Notice, match=r"net\.py is run, because the class Net of the network is in it"):
        network = load_network("run")
    assert capsys.readouterr().out == "net.py runs\n"  # once
    assert network.facts["architecture"]["arguments"]["sha256"] == sha256
    fast = ["-n", 1, "--n-steps", 1, "--device", "cpu", "--threads", 1]
    (here / "net.py").write_text("raise SystemExit('this was run')\n" + FILE)
    assert cli.main([str(w) for w in ("sample", "run", "--out", "no", *fast)]) == 1
    assert "is not there or has changed; give it again, as FILE.py:CLASS after --network" in capsys.readouterr().err
    (here / "mine.py").write_text(FILE)
    load_network("run", network="mine.py:Net")
    assert cli.main(["train", "photos", "--resume", "--steps", "5", "--out", "run"]) == 1
    assert "architecture_sha256" in capsys.readouterr().err


def test_a_class_that_came_with_the_run_is_not_run(here):
    (here / "stranger").mkdir()
    (here / "net.py").rename(here / "stranger" / "net.py")
    sbgm_does("train", "photos", "--network", "stranger/net.py:Net", "--out", "run", *SMALL)
    shutil.copytree("run", "stranger", dirs_exist_ok=True)
    shutil.copy(next((here / "run").glob("step-*/network.safetensors")), "stranger/alone.safetensors")
    for path in ("stranger", "stranger/alone.safetensors"):
        with pytest.raises(ValueError, match=r"its class came with it, .* give it again"):
            load_network(path)
    with pytest.warns(Notice, match="is run"):
        load_network("run")


def test_the_rate_rises_and_falls_as_asked_and_a_long_gradient_is_cut(tmp_path):
    plain = TrainingSettings(n_steps=100, learning_rate=0.2)
    assert {plain.rate(step) for step in (1, 50, 100)} == {0.2}
    shaped = dataclasses.replace(plain, schedule="cosine", warm_up=10)
    assert [shaped.rate(k) for k in (5, 51)] == pytest.approx([0.1 * (1 + math.cos(0.04 * math.pi)) / 2, 0.1])
    assert 0 < shaped.rate(100) < 0.001
    training = dataclasses.replace(SETTINGS.training, n_steps=1, clip=1e-12)
    images = own_images(torch.rand(12, 1, 8, 8, generator=seeded()), 8)
    network = Pull()
    list(train_ncsn(dataclasses.replace(SETTINGS, training=training), tmp_path / "run", network=network, images=images))
    assert 0 < abs(network.scale.item() - 1) < 1e-4  # Adam's step for a gradient of 1e-12 beside its ε of 1e-8
    falling = dataclasses.replace(SETTINGS, training=dataclasses.replace(training, schedule="cosine"))
    list(train_ncsn(falling, tmp_path / "falling", network=Pull(), images=images))
    longer = dataclasses.replace(falling, training=dataclasses.replace(falling.training, n_steps=2))
    with pytest.raises(ValueError, match=r"settings must be those .*: n_steps = 1, not 2"):  # else the rate would jump
        train_ncsn(longer, tmp_path / "falling", resume=True, network=Pull(), images=images)


def test_the_log_goes_to_accelerates_trackers_and_one_that_is_not_there_is_refused(tmp_path):
    accelerator, rows = make_accelerator("cpu"), {}
    accelerator.log = lambda values, step: rows.update({step: values})
    list(train_ncsn(SETTINGS, tmp_path / "run", network=Pull(), accelerator=accelerator))
    assert rows[2].keys() >= {"loss", "held_out"}
    assert cli.main(["train", "digits", "--out", str(tmp_path / "b"), "--tracker", "tensorbord"]) == 1
    assert not (tmp_path / "b").exists()


@pytest.fixture
def calls(monkeypatch):
    """A 1 for each batch that `sample` or `inpaint` has drawn; the third is interrupted before it is kept."""
    drawn = []

    def keep(*arguments, **facts):
        drawn.append(1)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        sbgm.files.save_tensors(*arguments, **facts)

    monkeypatch.setattr("sbgm.images.drawing.save_tensors", keep)
    return drawn


def test_fills_of_other_images_or_behind_another_mask_are_not_those_that_were_interrupted(tmp_path, calls):
    words = ["inpaint", "digits_mlp", "digits", "--batch-size", "2", "--n-steps", "1", "--device", "cpu", "--mask"]
    Image.new("L", (8, 8), 0).save(mask := tmp_path / "mask.png")
    with pytest.raises(SystemExit, match="130"):
        cli.main([*map(str, words), str(mask), "--images", "2", "--fills", "3", "--out", str(tmp_path / "stopped")])
    Image.new("L", (8, 8), 255).save(mask)  # all is known
    calls[:] = [1] * 3
    sbgm_does(*words, mask, "--images", 3, "--fills", 2, "--out", tmp_path / "stopped")
    assert len(calls) == 6  # no batch is taken over
    fills, _ = sbgm.files.load_tensors(tmp_path / "stopped" / "fills.safetensors")
    assert (fills["fills"] - fills["images"][:, None]).abs().max() < 0.1  # σ_L is .01


def test_an_interrupted_sample_goes_on_and_ends_as_one_that_was_not(tmp_path, calls, capsys):
    words = ["sample", "digits_mlp", "-n", "5", "--batch-size", "2", "--n-steps", "1", "--device", "cpu", "--out"]
    calls[:] = [1] * 3
    sbgm_does(*words, tmp_path / "whole")
    calls.clear()
    with pytest.raises(SystemExit, match="130"):
        cli.main([*words, str(tmp_path / "stopped")])
    assert "2 of 3 batches are kept, and the same command goes on" in capsys.readouterr().err
    calls.clear()
    with pytest.raises(SystemExit, match="130"):  # another seed begins anew
        cli.main([*words, str(tmp_path / "stopped"), "--seed", "1"])
    calls[:] = [1] * 3
    sbgm_does(*words, tmp_path / "stopped")
    assert len(calls) == 4  # the third batch alone
    parts = [sbgm.files.load_tensors(tmp_path / name / "samples.safetensors")[0] for name in ("whole", "stopped")]
    assert torch.equal(parts[0]["samples"], parts[1]["samples"])
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir()) == ["samples.safetensors", "sheet.png"]


def test_starts_that_are_fitted_to_other_pictures_begin_anew(here, calls):
    words = ["sample", "digits_mlp", "-n", "5", "--batch-size", "2", "--n-steps", "1", "--device", "cpu"]
    words += ["--start", "fitted", "--data", "photos", "--out", "out"]
    with pytest.raises(SystemExit, match="130"):
        cli.main(words)
    Image.new("L", (10, 12), 7).save("photos/a/0.png")
    calls[:] = [1] * 3
    sbgm_does(*words)
    assert len(calls) == 6  # no batch is taken over
