"""A disk that is really full, in the midst of a training: a small file system of its own, which takes root to mount."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from sbgm import cli as command
from sbgm.files import DiskFullError
from sbgm.lab.ncsn import NCSN, train_ncsn
from sbgm.lab.runs import Run, TrainingSettings

SETTINGS = NCSN(
    "digits",
    channels=4,
    n_levels=2,
    n_held_out=8,
    training=TrainingSettings(n_steps=3, batch_size=8, ema_decay=0.9, log_every=1, save_every=1),
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
    """Wherever the write fails."""
    list(train_ncsn(SETTINGS, tmp_path / "whole"))
    checkpoint = Run(tmp_path / "whole").checkpoints[-1]
    sizes = {name: (checkpoint / name).stat().st_size for name in ("network.safetensors", "average.safetensors")}
    room, failed = {"log.csv": 0, "network.safetensors": 2 * PAGE}, set()
    room["average.safetensors"] = room["network.safetensors"] + sizes["network.safetensors"]
    room["state.pt"] = room["average.safetensors"] + sizes["average.safetensors"]
    for name, n_bytes in room.items():
        folder = disk / name
        steps = train_ncsn(SETTINGS, folder)
        next(steps)
        ballast = leave_free(disk, n_bytes)
        with pytest.raises(DiskFullError, match=f"The disk is full: there is no room for {disk}") as caught:
            list(steps)
        failed |= {file for file in room if f"/{file};" in str(caught.value)}
        assert Run(folder).last_step == 1
        ballast.unlink()
        assert [step.step for step in train_ncsn(SETTINGS, folder, resume=True)] == [2, 3]
        for averaged in (True, False):
            mended, whole = (Run(run).network(averaged=averaged).state_dict() for run in (folder, tmp_path / "whole"))
            assert all(torch.equal(value, whole[key]) for key, value in mended.items())
        shutil.rmtree(folder)
    assert failed == set(room)


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
