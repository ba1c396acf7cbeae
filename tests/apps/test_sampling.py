"""A folder of one's own images through the commands, and drawing that is interrupted."""

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
    sbgm_does("sample", "run", "--out", "samples", "-n", 5, *fast)
    assert Image.open("samples/sheet.png").width == (5 * 9 + 1) * 16
    Image.new("L", (10, 12), 7).save("photos/cat/new.png")
    assert cli.main(["train", "photos", "--out", "run", "--resume", "--steps", "7"]) == 1
    assert capsys.readouterr().err.endswith("sbgm: DATA must hold the images that the run began with, got others\n")


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


def test_what_another_process_has_drawn_meanwhile_is_not_replaced(tmp_path, monkeypatch, capsys):
    words = ["sample", "digits_mlp", "-n", "2", "--n-steps", "1", "--device", "cpu", "--out", str(tmp_path / "samples")]

    def keep(*arguments, **facts):
        sbgm.files.save_tensors(*arguments, **facts)
        monkeypatch.undo()
        sbgm_does(*words, "--seed", 1)

    monkeypatch.setattr("sbgm.images.drawing.save_tensors", keep)
    assert cli.main(words) == 1
    assert "holds samples.safetensors and sheet.png; to replace them, add --overwrite" in capsys.readouterr().err
    assert sbgm.files.load_tensors(tmp_path / "samples" / "samples.safetensors")[1]["seed"] == 1
