"""Files that are whole or not there: what an error, a kill and a second writer leave, and tensors with their facts."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest
import torch

from sbgm.files import DiskFullError, content_hash, load_tensors, read_facts, save_tensors, written_whole


def test_tensors_and_facts_come_back(tmp_path):
    tensors = {"samples": torch.rand(3, 1, 4, 4).transpose(2, 3), "mask": torch.tensor([True, False])}
    save_tensors(tmp_path / "a.safetensors", tensors, seed=3, sigmas=[1.0, 0.5])
    loaded, facts = load_tensors(tmp_path / "a.safetensors")
    assert facts == read_facts(tmp_path / "a.safetensors") == {"seed": 3, "sigmas": [1.0, 0.5]}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_body_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fill_the_disk():
        with written_whole(path) as partial:
            partial.write_text("half of the n")
            raise OSError(28, "No space left on device")

    with pytest.raises(DiskFullError, match=r"The disk is full: there is no room for .*a\.txt\. Free some"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_kill_in_the_body_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = f"""
import os, signal
from sbgm.files import written_whole
with written_whole({str(path)!r}) as partial:
    partial.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with written_whole(path) as partial:  # what the kill left doesn't stand in the way
        partial.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("content", [b"", b"not safetensors", bytes(8)])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (load_tensors, read_facts):
        with pytest.raises(ValueError, match=r"path must be a whole safetensors file, but .*a.safetensors is not"):
            read(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="there is no safetensors file at"):
        load_tensors(path)


# --- hashes ----------------------------------------------------------------------------------------------------------


def test_a_hash_is_of_the_bytes():
    x = torch.tensor([[1.5, 2.5]])
    wanted = hashlib.sha256(b"torch.float32 (1, 2) " + x.numpy().tobytes()).hexdigest()  # as in records
    assert content_hash(x) == content_hash(x.T.contiguous().T.requires_grad_()) == wanted
    assert content_hash(x.bfloat16()) != content_hash(x.bfloat16().neg())  # which numpy has not
