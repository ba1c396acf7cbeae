"""Chapter 7: what it calls Algorithm 1."""

import ast

import torch

import notebooks as tool
import sbgm
import sbgm_course as checks
from notebooks import read
from seeds import seeded

CHAPTER = tool.NOTEBOOKS / "07_image_generation.ipynb"


def functions(*names):
    """Functions that the chapter's cells define, among the names that they read."""
    namespace = {"guess_and_shake": checks.exercises()["guess_and_shake"].lent, "renew": None}
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
