"""What `sbgm train` tells and shows of a run, from its first step to the command that draws from it."""

import json
import re
import shlex
import time

import pytest
import torch
from PIL import Image

from sbgm import __main__ as cli
from sbgm.files import load_tensors

SMALL = shlex.split("--channels 2 --levels 2 --batch-size 4 --held-out 2 --threads 1 --device cpu --precision fp32")
STUDENTS = ["--network", "DigitNetwork", *SMALL[2:]]
QUICK = shlex.split("--n-steps 1 --threads 1 --device cpu")


def sheets(run):
    return sorted(int(path.stem.removeprefix("step-")) for path in (run / "sheets").glob("*.png"))


def test_a_run_says_where_to_look_shows_itself_early_and_ends_with_the_command_that_draws_from_it(here, capsys):
    assert cli.main(["train", "digits", "--out", "run", "--steps", "60", *STUDENTS]) == 0
    said = capsys.readouterr().out
    counts = "The network trains on 1,437 images of 1×8×8; 360 more are held out.\n"
    network = "It is a DigitNetwork with 221,792 weights, at 2 levels, σ = 1 … 0.01; "
    loss = "its loss is Eq. 6, which is D/2 = 32 for a score of zero.\n"
    assert said.startswith(f"{counts}{network}{loss}Look at run/sheets while it trains.\n")
    assert sheets(here / "run") == [1, 50, 60]
    assert Image.open("run/sheets/step-0000060.png").width >= 8 * 128
    command = re.search("To draw images from the network: sbgm (sample run .*)\n$", said)[1]
    assert cli.main([*shlex.split(command), *QUICK]) == 0
    assert Image.open("run_samples/sheet.png").width >= 8 * 128


def test_an_error_on_the_way_has_a_line_of_its_own_below_the_progress_bar(here, capsys):
    assert cli.main(["train", "digits", "--out", "run", "--learning-rate", "1e30", *STUDENTS]) == 1
    assert re.search(r"step/s.*\nsbgm: [^\r\n]*\n$", capsys.readouterr().err)


def test_compiling_is_said_and_does_not_count_as_training(here, monkeypatch, capsys):
    def compile_slowly(function, **options):
        time.sleep(2)
        return function

    monkeypatch.setattr(torch, "compile", compile_slowly)
    words = ["train", "digits", "--out", "run", "--compile", "--minutes", "0.02", *SMALL]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "Compiling the network, which takes minutes on a CPU" in said
    assert int(re.search("saved at step ([0-9,]+) of", said)[1].replace(",", "")) > 1


# --- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("student", [False, True])
def test_classes_are_drawn_by_their_numbers_under_their_names(photos, here, capsys, student):
    words = ["train", "photos", "--classes", "--size", "8", "--out", "run", "--steps", "2"]
    assert cli.main([*words, *(STUDENTS if student else SMALL)]) == 0
    said = capsys.readouterr().out
    assert "Classes, which --label numbers from 0: cat, dog.\n" in said
    assert json.loads((here / "run" / "settings.json").read_text())["class_names"] == ["cat", "dog"]
    assert cli.main(["sample", "run", "--label", "1", "0", "-n", "6", "--out", "drawn", *QUICK]) == 0
    _, facts = load_tensors("drawn/samples.safetensors")
    assert (facts["label"], facts["label_names"]) == ([1, 0], ["dog", "cat"])
    sheet = Image.open("drawn/sheet.png")
    assert sheet.width == (2 * 9 + 1) * 16  # a column each, of images 8 pixels wide with a border of 1
    assert sheet.height > (3 * 9 + 1) * 16
    names = [sheet.crop((left, 0, left + 144, 24)) for left in (0, 144)]
    assert all(name.convert("L").getextrema()[0] < 100 for name in names)  # something is written
    assert names[0].tobytes() != names[1].tobytes()


def test_a_class_that_is_renamed_is_noticed_when_the_run_goes_on(photos, here, capsys):
    words = ["train", "photos", "--classes", "--size", "8", "--out", "run", *SMALL]
    assert cli.main([*words, "--steps", "1"]) == 0
    (here / "photos" / "dog").rename(here / "photos" / "wolf")
    capsys.readouterr()
    assert cli.main([*words, "--steps", "2", "--resume"]) == 1
    assert re.fullmatch("sbgm: class_names must be .*'dog'.* got .*'wolf'.*\n", capsys.readouterr().err)
