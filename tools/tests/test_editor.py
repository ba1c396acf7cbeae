"""What an editor shows of the library: names, signatures and types, by the two engines that editors use."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import sbgm

ROOT = Path(__file__).resolve().parents[2]
PROJECT = jedi.Project(ROOT)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Jedi keeps what it has parsed, by default in the user's home, which there may be none of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jedi.settings, "cache_directory", str(tmp_path_factory.mktemp("jedi")))
        yield


def script(code: str) -> jedi.Script:
    return jedi.Script(code, path=ROOT / "chapter.py", project=PROJECT)


def test_jedi_completes_the_names_that_the_package_exports():
    for module in (sbgm, sbgm.measure, sbgm.widgets):
        completions = script(f"import {module.__name__}\n{module.__name__}.").complete()
        assert set(dir(module)) <= {completion.name for completion in completions}


@pytest.mark.parametrize(
    "code", ["from sbgm import annealed_langevin\nannealed_langevin(", "import sbgm\nsbgm.annealed_langevin("]
)
def test_jedi_shows_signatures_and_docstrings_through_checked(code):
    (signature,) = script(code).get_signatures()
    parameters = [parameter.name for parameter in signature.params]
    assert parameters == ["score", "x", "sigmas", "step_size", "n_steps", "generator", "denoise_last"]
    (name,) = script(code[:-1]).help()
    assert name.docstring().partition("\n\n")[2] == inspect.getdoc(sbgm.annealed_langevin)


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
