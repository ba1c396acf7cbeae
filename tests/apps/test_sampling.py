"""A folder of one's own images through the commands, and drawing that is interrupted."""

import re

import pytest
import torch
from PIL import Image

import sbgm
from sbgm import __main__ as cli
from small_run import last_step

SMALL = (
    "--size", 8, "--steps", 4, "--batch-size", 4, "--levels", 3, "--held-out", 2, "--measure-every", 2, "--threads", 1,
    "--device", "cpu",
)  # fmt: skip


def sbgm_does(*words):
    """Do a command; its exit status must be 0."""
    assert cli.main([str(word) for word in words]) == 0


def test_a_folder_is_trained_on_resumed_and_sampled_by_the_commands_of_named_sets(here, photos, capsys):
    sbgm_does("train", "photos", "--out", "run", "--channels", 8, *SMALL)
    sbgm_does("train", "photos", "--out", "run", "--resume", "--steps", 6)
    assert last_step(here / "run") == 6
    fast = ["--n-steps", 1, "--device", "cpu", "--threads", 1]
    sbgm_does("sample", "run", "--out", "samples", "-n", 5, "--pngs", *fast)
    assert [Image.open(path).size for path in sorted((here / "samples" / "png").iterdir())] == [(8, 8)] * 5
    Image.new("L", (10, 12), 7).save("photos/cat/new.png")
    assert cli.main(["train", "photos", "--out", "run", "--resume", "--steps", "7"]) == 1
    assert capsys.readouterr().err.endswith("sbgm: DATA must hold the images that the run began with, got others\n")


def test_overwriting_pngs_replaces_those_of_an_earlier_run_and_nothing_else(here):
    words = ["sample", "digits_mlp", "--n-steps", 1, "--device", "cpu", "--threads", 1, "--pngs", "--overwrite"]
    sbgm_does(*words, "--out", "out", "-n", 3)
    strangers = ["holiday.txt", "holiday.png", "2024.png"]
    for name in strangers:
        (here / "out" / "png" / name).write_text("mine")
    sbgm_does(*words, "--out", "out", "-n", 1)
    assert {path.name for path in (here / "out" / "png").iterdir()} == {"00000.png", *strangers}


def test_bad_pictures_are_left_out_by_a_flag_and_sample_leaves_them_out_too(here, photos, capsys):
    (here / "photos" / "cat" / "0.png").write_bytes(b"")
    words = ["train", "photos", "--out", "run", "--network", "DigitNetwork", *SMALL]
    assert cli.main([str(word) for word in words]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"sbgm: DATA must hold pictures that can be used, and 1 of the 20 in {here}/photos can't be:"
    assert "--skip-bad" in said[-1]
    for more in ("--skip-bad", "--resume"):  # a resumed run does as it did
        sbgm_does(*words, more)
        out, err = capsys.readouterr()
        assert "The network trains on 15 images of 1×8×8; 4 more are held out.\n" in out
        assert re.search(r"^sbgm: pictures that can't be used are left out, 1 of the 20", err, re.MULTILINE)
        assert "Warning" not in err  # nor the line of Python that it came from
    fitted = ["--start", "fitted", "--data", "photos"]
    sbgm_does("sample", "run", "-n", 1, "--n-steps", 1, *fitted, "--device", "cpu", "--threads", 1, "--out", "samples")
    assert "left out, 1 of the 20" in capsys.readouterr().err


@pytest.fixture
def calls(monkeypatch):
    """A 1 for each batch that `sample` has drawn; the third is interrupted before it is kept."""
    drawn = []

    def keep(*arguments, **facts):
        drawn.append(1)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        sbgm.files.save_tensors(*arguments, **facts)

    monkeypatch.setattr("sbgm.images.drawing.save_tensors", keep)
    return drawn


def test_an_interrupted_sample_goes_on_and_ends_as_one_that_was_not(tmp_path, calls, capsys):
    words = ["sample", "digits_mlp", "-n", "5", "--batch-size", "2", "--n-steps", "1", "--device", "cpu", "--out"]
    calls[:] = [1] * 3
    sbgm_does(*words, tmp_path / "whole")
    calls.clear()
    with pytest.raises(SystemExit, match="130"):
        cli.main([*words, str(tmp_path / "stopped")])
    assert "Stopped. The finished batches are kept; to continue, give the same command." in capsys.readouterr().err
    calls.clear()
    with pytest.raises(SystemExit, match="130"):  # another seed begins anew
        cli.main([*words, str(tmp_path / "stopped"), "--seed", "1"])
    calls[:] = [1] * 3
    sbgm_does(*words, tmp_path / "stopped")
    assert len(calls) == 4  # the third batch alone
    parts = [sbgm.files.load_tensors(tmp_path / name / "samples.safetensors")[0] for name in ("whole", "stopped")]
    assert torch.equal(parts[0]["samples"], parts[1]["samples"])
    left, *written = sorted(path.name for path in (tmp_path / "stopped").iterdir())
    assert written == ["samples.safetensors", "sheet.png"]
    assert left.startswith(".batches-")  # those of the other seed, which may go on as well


def test_starts_that_are_fitted_to_other_pictures_begin_anew(photos, calls):
    words = ["sample", "digits_mlp", "-n", "5", "--batch-size", "2", "--n-steps", "1", "--device", "cpu"]
    words += ["--start", "fitted", "--data", "photos", "--out", "out"]
    with pytest.raises(SystemExit, match="130"):
        cli.main(words)
    Image.new("L", (10, 12), 7).save("photos/cat/0.png")
    calls[:] = [1] * 3
    sbgm_does(*words)
    assert len(calls) == 6  # no batch is taken over
