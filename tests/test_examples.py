"""The examples: scripts of coursework size that run as they are, the first of them the page of chapter 6."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from safetensors.torch import load_file

import notebooks as tool
import sbgm_course as checks
from counting import ZeroNetwork
from imports import imported, top_level
from notebooks import read, tags_of
from sbgm import load_network
from seeds import seeded

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PAGE = EXAMPLES / "ncsn_on_one_page.py"
OWN = EXAMPLES / "own_network.py"
NAMES = ("denoising_against_sliced", "ncsn_on_one_page")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_one_page_and_needs_the_library_or_not_even_that(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 90
    allowed = {"matplotlib", "os", "sbgm", "sklearn", "sys", "time", "torch"} - ({"sbgm"} if path == PAGE else set())
    assert top_level(imported(path)) <= allowed


def test_the_page_is_what_chapter_6_goes_through():
    cells = read(tool.NOTEBOOKS / "06_noise_conditional_score_networks.ipynb").cells
    in_chapter = [cell.source for cell in cells if "page" in tags_of(cell)]
    text = PAGE.read_text(encoding="utf-8")
    before_main = text[text.index("import ") : text.index('if __name__ == "__main__"')].strip().split("\n\n\n")
    of_the_student = ("def scaled", "def objective")
    assert in_chapter == [part for part in before_main if not part.startswith(of_the_student)]


def test_the_objective_of_the_page_is_that_of_chapter_6():
    """The chapter's takes the student's `ncsn_loss`, and draws the same levels and noise."""
    cells = read(tool.NOTEBOOKS / "06_noise_conditional_score_networks.ipynb").cells
    (in_chapter,) = [cell.source for cell in cells if cell.source.startswith("def objective")]
    pages = [{"__name__": "page"}, {"__name__": "page", "ncsn_loss": checks.ncsn_loss.right}]
    text = PAGE.read_text(encoding="utf-8")
    losses = []
    for page, change in zip(pages, ("", in_chapter), strict=True):
        exec(text + "\n" + change, page)
        torch.manual_seed(0)
        losses.append(page["objective"](page["ScoreNetwork"](), tilt=0.5).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_the_scaling_of_the_page_is_the_answer_to_the_exercise_of_chapter_6():
    page = runpy.run_path(str(PAGE))
    x = torch.rand(3, 64, generator=seeded())
    asked = lambda u, sigma: u**2 * sigma[:, None], x, torch.tensor([1.0, 0.1, 0.01]), page["mean"], page["variance"]
    torch.testing.assert_close(page["scaled"](*asked), checks.scaled.right(*asked))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Do `python PATH WORDS` in the folder `tmp_path`, in this process."""

    def run(path, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        runpy.run_path(str(path), run_name="__main__")
        plt.close("all")

    return run


@pytest.mark.parametrize("name", NAMES)
def test_an_example_writes_its_picture_and_nothing_else(name, run, tmp_path):
    run(EXAMPLES / f"{name}.py", "drawn.png", "15")
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.png"]
    low, high = Image.open(tmp_path / "drawn.png").convert("L").getextrema()
    assert low < 50
    assert high > 200


def test_the_film_of_digits_ends_as_it_begins_and_starts_from_noise(run, tmp_path):
    run(EXAMPLES / "twenty_digits.py", "film.png", "2")
    film = Image.open(tmp_path / "film.png")
    frames = [np.asarray(frame.convert("L")).astype(int) for frame in ImageSequence.all_frames(film)]
    assert np.array_equal(frames[0], frames[-1])
    grey = [float(((frame > 60) & (frame < 190)).mean()) for frame in frames]
    assert grey[1] > 5 * grey[0]  # the start has every shade; a digit is black and white


@pytest.fixture(scope="module")
def own():
    """What the program of the student's image network defines, its training not run."""
    return SimpleNamespace(**runpy.run_path(str(OWN)))


def test_the_students_network_trains_into_a_new_folder_only(run, tmp_path, capsys):
    run(OWN, "mine", "2")
    files = sorted((tmp_path / "mine").iterdir())
    assert [path.name for path in files] == [
        "growth.safetensors",
        "own_network.safetensors",
        "step_1.png",
        "step_2.png",
    ]
    printed = capsys.readouterr().out
    assert printed.startswith("2 steps on 3,158 digits, from seed 1;")
    assert all(f"mine/{path.name}" in printed for path in files[1:])
    growth = load_file(files[0])
    assert growth["steps"].tolist() == [1, 2]
    assert (growth["losses"].shape, growth["sheets"].shape) == ((2,), (2, 30, 28, 28))
    network = load_network(files[1])
    assert (network.facts["n_steps"], network.facts["seed"], network.image_shape) == (2, 1, (1, 28, 28))
    before = [path.read_bytes() for path in files]
    with pytest.raises(FileExistsError):
        run(OWN, "mine", "2")
    assert [path.read_bytes() for path in files] == before


def test_a_flag_is_no_name_of_a_folder(run, tmp_path):
    with pytest.raises(SystemExit, match="usage: python examples"):
        run(OWN, "--help")
    assert list(tmp_path.iterdir()) == []


def test_the_students_training_begins_at_the_loss_of_no_network_at_all(own):
    hidden = []
    generator = seeded(0)
    losses = [next(own.train(ZeroNetwork(hidden), 10, generator)).loss for _ in range(100)]
    assert sum(losses) / 100 == pytest.approx(392, abs=4 * (392 / 6400) ** 0.5)
    assert torch.cat(hidden).double().mean() == pytest.approx(0.1, abs=4 * (0.09 / 6400) ** 0.5)


def test_the_chapters_load_what_the_program_of_the_students_network_keeps(run, tmp_path, monkeypatch):
    monkeypatch.delenv("SBGM_FRESH", raising=False)
    run(OWN, "mine", "1")
    monkeypatch.chdir(tmp_path / "mine")
    assert checks.own_network().facts["n_steps"] == 1


def test_the_students_sampler_ends_at_the_only_image_there_is(own):
    point = torch.rand(1, 1, 28, 28, generator=seeded(1))
    x = own.sample(lambda x, sigma: (point - x) / sigma**2, 2, seeded(0))
    torch.testing.assert_close(x, point.expand(2, 1, 28, 28), atol=1e-5, rtol=0)
