"""Choose the build of PyTorch that `make` installs: python tools/torch_build.py [cpu | cuda].

PyPI's PyTorch for Linux is built for CUDA, and brings 3 GB that only an NVIDIA GPU uses. Where there is none, this
prints the option by which pip also sees the builds for CPUs: their version, such as 2.13.0+cpu, counts as the newer
one. A pip that was told an index keeps to it. What was chosen is said on stderr. Nothing needs to be installed.
"""

import os
import re
import shutil
import subprocess
import sys

CPU_INDEX = os.environ.get("CPU_INDEX", "https://download.pytorch.org/whl/cpu")
SECONDS = 5  # that the index has to answer
ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])"
NVIDIA_DRIVER = ("/dev/nvidia0", "/proc/driver/nvidia")


def has_nvidia_gpu() -> bool:
    """Whether a driver for NVIDIA's GPUs is there."""
    return shutil.which("nvidia-smi") is not None or any(map(os.path.exists, NVIDIA_DRIVER))


def pip_has_an_index() -> bool:
    """Whether pip was told an index, or to use none, by a variable such as PIP_INDEX_URL or in a pip.conf."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    settings = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"index(-url)?=", settings) is not None


def answers(index: str) -> bool:
    """Whether an index has a page of torch. Another process asks, since only that can be stopped at any moment."""
    try:
        subprocess.run([sys.executable, "-c", ASK, f"{index}/torch/"], check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return True


def main(wanted: str | None = None) -> None:
    """Print pip's option, or nothing, for the build that is wanted by name, or that suits this machine."""
    suits = sys.platform == "linux" and not has_nvidia_gpu() and not pip_has_an_index()
    if wanted not in (None, "cpu", "cuda"):
        sys.exit(f"TORCH must be cpu or cuda, got {wanted}")
    if wanted == "cuda" or (wanted is None and not suits):
        print("PyTorch: the build that pip takes by itself", file=sys.stderr)
    elif answers(CPU_INDEX):
        print("PyTorch: the build for CPUs (TORCH=cuda takes the one for NVIDIA GPUs)", file=sys.stderr)
        print(f"--extra-index-url {CPU_INDEX}")
    else:
        print(f"PyTorch: the build that pip takes by itself, since {CPU_INDEX} does not answer;", file=sys.stderr)
        print("it runs here too, but pip may download 3 GB more, for GPUs (make TORCH=cpu asks again)", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
