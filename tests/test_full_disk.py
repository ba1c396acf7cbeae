"""A disk that is really full, in the midst of a training: a small file system of its own, which takes root to mount."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from sbgm import __main__ as command
from sbgm.experiments.ncsn import NCSN, train_ncsn
from sbgm.files import DiskFullError
from sbgm.training import Run, TrainingSettings

SETTINGS = NCSN(
    "digits", channels=4, n_levels=2, n_held_out=8, training=TrainingSettings(n_steps=3, batch_size=8, save_every=1)
)
PAGE = 4096


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def leave_free(disk: Path, n_bytes: int) -> Path:
    """Fill all of the disk but so many bytes; return the file that does it."""
    space = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(space.f_bavail * space.f_frsize - n_bytes))
    return ballast


def test_a_training_that_fills_the_disk_goes_on_where_it_was_once_there_is_room(disk, tmp_path):
    """Wherever the write fails: in the network, the average, the state, or the log."""
    *_, last = train_ncsn(SETTINGS, tmp_path / "whole")
    sizes = [path.stat().st_size for path in sorted(Run(tmp_path / "whole").checkpoints[-1].iterdir())]
    before = [sum(sizes[:n]) + 2 * PAGE for n in range(len(sizes))]  # room for so many of a checkpoint's files
    for room in (0, *before):
        folder = disk / f"run-{room}"
        steps = train_ncsn(SETTINGS, folder)
        next(steps)
        ballast = leave_free(disk, room)
        with pytest.raises(DiskFullError, match=f"The disk is full: there is no room for {disk}"):
            list(steps)
        assert Run(folder).last_step == 1
        ballast.unlink()
        assert [step.step for step in train_ncsn(SETTINGS, folder, resume=True)] == [2, 3]
        weights = [Run(run).network(averaged=False).state_dict() for run in (folder, tmp_path / "whole")]
        assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
        assert last.step == Run(folder).last_step


def test_the_command_says_that_the_disk_is_full_and_how_to_go_on(disk, capsys, monkeypatch):
    monkeypatch.setattr(NCSN, "of_scale", lambda data, scale: SETTINGS)
    arguments = ["train", "digits", "--cpu", "--out", str(disk / "run")]
    assert command.main([*arguments, "--steps", "1"]) == 0
    ballast = leave_free(disk, 3 * PAGE)
    assert command.main([*arguments, "--steps", "3", "--resume"]) == 1
    error = capsys.readouterr().err
    assert "sbgm: The disk is full: there is no room for" in error
    assert error.rstrip().endswith("Free some space there. The same command with --resume then goes on from step 1.")
    ballast.unlink()
    assert command.main([*arguments, "--steps", "3", "--resume"]) == 0
