"""A disk that is really full, in the midst of a training: a small file system of its own, which takes root to mount."""

import itertools
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sbgm.files import DiskFullError
from sbgm.train.runs import Run
from small_run import assert_same_run, changed, steps_of

SETTINGS = changed(n_steps=3, save_every=1)
PAGE = 4096


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MiB."""
    if not shutil.which("mount"):
        pytest.skip("there is no mount on this machine")
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
    list(steps_of(tmp_path / "whole", SETTINGS))
    checkpoint, room, failed = Run(tmp_path / "whole").checkpoints[0], {"log.csv": 0}, set()
    room["network.safetensors"] = PAGE  # which the new log takes, and gives back with the old one
    files = ("network.safetensors", "average.safetensors", "state.pt", "SHA256SUMS")  # the page is for settings.json
    for name, following in itertools.pairwise(files):
        room[following] = room[name] + PAGE * math.ceil((checkpoint / name).stat().st_size / PAGE)
    for name, n_bytes in room.items():
        folder = disk / name
        steps = steps_of(folder, SETTINGS)
        next(steps)
        ballast = leave_free(disk, n_bytes)
        with pytest.raises(DiskFullError, match=f"The disk is full: there is no room for {disk}") as caught:
            list(steps)
        assert str(caught.value).endswith("stands at step 1: resume it, or start another from its weights)")
        failed |= {file for file in room if f"/{file};" in str(caught.value)}
        assert Run(folder).last_step == 1
        assert not list(folder.rglob("*.partial"))
        ballast.unlink()
        assert [step.step for step in steps_of(folder, SETTINGS, resume=True)] == [2, 3]
        assert_same_run(folder, tmp_path / "whole")
        shutil.rmtree(folder)
    assert failed == set(room)
