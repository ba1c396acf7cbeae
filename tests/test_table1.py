"""The paper's Table 1, as published."""

import tomllib

import pytest

from sbgm.measure.records import results_folder


@pytest.fixture(scope="module")
def rows():
    """The rows, by whether the model is told an image's class, then by its name."""
    table = tomllib.loads((results_folder() / "table1.toml").read_text(encoding="utf-8"))
    return {kind: {row["model"]: row for row in models} for kind, models in table.items()}


def test_the_table_has_the_papers_rows(rows):
    unconditional = ["PixelCNN", "PixelIQN", "EBM", "WGAN-GP", "MoLM", "SNGAN", "ProgressiveGAN", "NCSN"]
    assert {kind: list(models) for kind, models in rows.items()} == {
        "unconditional": unconditional,
        "conditional": ["EBM", "SNGAN", "BigGAN"],
    }
    assert "fid" not in rows["unconditional"]["ProgressiveGAN"]  # a dash is no number


def test_what_the_text_says_of_the_table_holds(rows):
    """§ 5: the best Inception Score of the unconditional models, and above most conditional ones."""
    ours = rows["unconditional"]["NCSN"]
    assert (ours["score"], ours["score_spread"], ours["fid"]) == (8.87, 0.12, 25.32)
    assert max(row["score"] for row in rows["unconditional"].values()) == ours["score"]
    assert [model for model, row in rows["conditional"].items() if row["score"] > ours["score"]] == ["BigGAN"]
