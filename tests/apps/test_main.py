"""The command line: Ctrl-C while it loads, and a notice."""

import os
import subprocess
import sys
import warnings

import pytest

from sbgm import __main__ as command
from sbgm.images.data import Notice

TORCH = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background has taken away
os.kill(os.getpid(), signal.SIGINT)
time.sleep(600)
"""


def test_ctrl_c_while_torch_loads_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text(TORCH)
    words = [sys.executable, "-m", "sbgm", "sample", "mnist_ncsn", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


@pytest.mark.filterwarnings("always")
def test_a_notice_is_one_line_and_other_programs_warnings_stay_as_they_were(capsys, monkeypatch):
    def losses(network: str):
        warnings.warn("one picture is left out", Notice, 2)

    monkeypatch.setattr("sbgm.apps.losses.main", losses)
    before = warnings.showwarning
    assert command.main(["losses", "own_network"]) == 0
    assert (capsys.readouterr().err, warnings.showwarning) == ("sbgm: one picture is left out\n", before)
