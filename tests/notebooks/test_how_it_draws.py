"""Chapter 9: what it calls Algorithm 1, and the chapter on a network of a longer training."""

import ast
import re
import shlex

import torch

import notebooks as tool
import sbgm
import sbgm_course as checks
from notebooks import read
from sbgm.__main__ import main
from seeds import seeded

CHAPTER = tool.NOTEBOOKS / "09_how_it_draws.ipynb"
OWN_NETWORK = tool.NOTEBOOKS / "08_your_own_image_network.ipynb"


def functions(*names):
    """Functions that the chapter's cells define, among the names that they read."""
    namespace = {"guess_and_shake": checks.exercises()["guess_and_shake"].right, "renew": None}
    sources = [cell.source for cell in read(CHAPTER).cells if cell.cell_type == "code"]
    for node in (node for source in sources for node in ast.parse(source).body):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            exec(ast.unparse(node), namespace)
    return namespace


def test_the_chapters_pull_and_kick_are_the_papers_algorithm_1():
    namespace = functions("draw", "algorithm_1")
    ladder = sbgm.geometric_sigmas(1.0, 0.01, 10)
    namespace["sigmas"] = ladder.tolist()
    mixture = sbgm.paper_mixture()
    x = 5 + torch.randn(200, 2, generator=seeded())
    *_, ours = namespace["draw"](mixture.score, x, seeded(1), namespace["algorithm_1"], 10)
    states = sbgm.annealed_langevin(mixture.score, x, ladder, step_size=2e-5, n_steps=10, generator=seeded(1))
    # the kick has three digits on the page, and its steps add up
    torch.testing.assert_close(ours, sbgm.final(states), rtol=0, atol=5e-3)


def test_the_command_that_chapter_8_prints_trains_what_chapters_7_and_9_to_11_ask_for(tmp_path):
    text = "\n".join(cell.source for cell in read(OWN_NETWORK).cells if cell.cell_type == "markdown")
    (words,) = re.findall(r"^sbgm (train .*) --out runs/classes$", text, re.MULTILINE)
    main([*shlex.split(words), "--steps", "1", "--held-out", "2", "--out", str(tmp_path / "run")])
    network, shipped = sbgm.load_network(tmp_path / "run"), sbgm.load_network("own_network")
    torch.testing.assert_close(network.sigmas, shipped.sigmas, rtol=5e-3, atol=0)
    assert abs(network.mean - shipped.mean) < 1e-3
    x = torch.rand(2, 1, 28, 28, generator=seeded())
    assert sbgm.guided(network, torch.tensor([3, 7]), 2.0)(x, 1.0).shape == x.shape
