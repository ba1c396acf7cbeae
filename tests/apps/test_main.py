"""The command line: Ctrl-C while it loads."""

import os
import subprocess
import sys

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
