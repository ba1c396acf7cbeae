"""The examples: scripts of coursework size that run as they are, the first of them the page of chapter 6."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

import notebooks as tool
from imports import imported, top_level
from notebooks import read, tags_of
from sbgm import checks, guided, load_network
from sbgm.measure.classifier import JUDGE, load_classifier
from seeds import seeded

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PAGE = EXAMPLES / "ncsn_on_one_page.py"
OWN = EXAMPLES / "own_network.py"
NAMES = ("denoising_against_sliced", "moons", "ncsn_on_one_page")
STEPS = "15"  # of a training that a test has time for


def test_these_are_the_examples():
    assert {path.stem for path in EXAMPLES.iterdir() if path.is_file()} == {*NAMES, OWN.stem}


def test_the_page_is_one_page_and_needs_nothing_of_this_project():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 80
    assert top_level(imported(PAGE)) == {"matplotlib", "sklearn", "sys", "torch"}


def test_the_page_is_what_chapter_6_goes_through():
    cells = read(tool.NOTEBOOKS / "06_noise_conditional_score_networks.ipynb").cells
    in_chapter = [cell.source for cell in cells if "page" in tags_of(cell)]
    text = PAGE.read_text(encoding="utf-8")
    before_main = text[text.index("import ") : text.index('if __name__ == "__main__"')].strip().split("\n\n\n")
    assert in_chapter == [part for part in before_main if not part.startswith("def objective")]  # the student's part


def test_the_objective_of_the_page_is_that_of_chapter_6():
    """The chapter's takes the student's `ncsn_loss`, and draws the same levels and noise."""
    cells = read(tool.NOTEBOOKS / "06_noise_conditional_score_networks.ipynb").cells
    (in_chapter,) = [cell.source for cell in cells if cell.source.startswith("def objective")]
    pages = [{"__name__": "page"}, {"__name__": "page", "ncsn_loss": checks.ncsn_loss.lent}]
    text, losses = PAGE.read_text(encoding="utf-8"), []
    for page, change in zip(pages, ("", in_chapter), strict=True):
        exec(text + "\n" + change, page)
        torch.manual_seed(0)
        losses.append(page["objective"](page["ScoreNetwork"](), page["images"]).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_writes_its_picture_and_nothing_else(name, tmp_path):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "drawn.png", STEPS]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.png"]
    low, high = Image.open(tmp_path / "drawn.png").convert("L").getextrema()
    assert low < 50
    assert high > 200


@pytest.fixture(scope="module")
def own():
    """What the program of the student's image network defines, its training not run."""
    return SimpleNamespace(**runpy.run_path(str(OWN)))


def test_the_students_program_is_one_page():
    assert len(OWN.read_text(encoding="utf-8").splitlines()) <= 60
    assert top_level(imported(OWN)) == {"matplotlib", "os", "sbgm", "sys", "torch"}


def test_the_students_network_trains_into_a_new_folder_only(tmp_path):
    command = [sys.executable, str(OWN), "mine", STEPS]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    drawn = [f"mine/step_{step}.png" for step in (1, 15, 3, 7)]
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path).as_posix() for path in files] == [*drawn, "mine/weights.safetensors"]
    network = load_network(files[-1])
    assert (network.facts["n_steps"], network.facts["seed"], network.image_shape) == (15, 0, (1, 28, 28))
    before = [path.read_bytes() for path in files]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode != 0
    assert "FileExistsError" in again.stderr
    assert [path.read_bytes() for path in files] == before


def test_the_students_training_begins_at_the_loss_of_no_network_at_all(own):
    class Zero(nn.Module):  # its loss is ½‖z‖², 392 an image with a standard deviation of √392
        def __init__(self):
            super().__init__()
            self.nothing = nn.Parameter(torch.zeros(()))

        def forward(self, x, sigma, label):
            assert sigma.shape == label.shape == (64,)
            hidden.append(label == 10)
            return self.nothing * x

    hidden, generator = [], seeded(0)
    losses = [next(own.train(Zero(), 10, generator)).loss for _ in range(100)]
    assert sum(losses) / 100 == pytest.approx(392, abs=4 * (392 / 6400) ** 0.5)
    assert torch.cat(hidden).double().mean() == pytest.approx(0.1, abs=4 * (0.09 / 6400) ** 0.5)


def test_the_students_sampler_ends_at_the_only_image_there_is(own):
    point = torch.rand(1, 1, 28, 28, generator=seeded(1))
    x = own.sample(lambda x, sigma: (point - x) / sigma**2, 2, seeded(0))
    torch.testing.assert_close(x, point.expand(2, 1, 28, 28), atol=1e-5, rtol=0)


def test_the_students_network_draws_what_it_is_asked_for(own):
    wanted = torch.arange(10).repeat_interleave(10)
    samples = own.sample(guided(load_network("own_network"), wanted, 2), 100, seeded(0))
    found = load_classifier(JUDGE)(samples.clamp(0, 1)).argmax(dim=1)
    assert (found == wanted).sum() >= 85
