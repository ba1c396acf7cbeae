"""The types that an editor shows of the library."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TYPES = """
import sbgm
from sbgm import GaussianMixture, annealed_langevin, final, load_network, paper_mixture
from sbgm.apps.train import Settings
reveal_type(annealed_langevin)
reveal_type(paper_mixture().sample)
network = load_network("mnist_ncsn")
reveal_type(network.sigmas)
annealed_langevin(network, network.sigmas, network.sigmas, step_size=0.1, n_steps=1)
final("no sampler's states")
reveal_type(Settings("mnist", channels=32, steps=5))
"""


def test_pyright_knows_types_through_checked_and_names_a_wrong_argument(tmp_path):
    (tmp_path / "using.py").write_text(TYPES)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run([*command, "--project", str(tmp_path)], capture_output=True, text=True)
    found = [(entry["severity"], entry["message"]) for entry in json.loads(done.stdout)["generalDiagnostics"]]
    revealed = [message.partition(" is ")[2].strip('"') for severity, message in found if severity == "information"]
    assert revealed == [
        "(score: (Tensor, float | Tensor) -> Tensor, x: Tensor, sigmas: Tensor | Sequence[float], *, step_size: float, "
        "n_steps: int, generator: Generator, denoise_last: bool = False) -> Iterator[State]",
        "(n: int, sigma: float = 0, *, generator: Generator) -> Tensor",
        "Tensor",
        "Settings",
    ]
    errors = [message for severity, message in found if severity == "error"]
    assert ["generator" in errors[0], '"Iterable[State]"' in errors[1], len(errors)] == [True, True, 2], errors
