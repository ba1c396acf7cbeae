"""The paper's Table 1, as published: data/results/table1.toml, which chapter 9 draws."""

import tomllib

from sbgm.data import shipped_folder


def test_what_the_text_says_of_the_table_holds():
    """§ 5: the best Inception Score of the unconditional models, and above most conditional ones."""
    table = tomllib.loads((shipped_folder() / "results" / "table1.toml").read_text(encoding="utf-8"))
    rows = {kind: {row["model"]: row for row in models} for kind, models in table.items()}
    assert {kind: len(models) for kind, models in rows.items()} == {"unconditional": 8, "conditional": 3}
    ours = rows["unconditional"]["NCSN"]
    assert (ours["score"], ours["score_spread"], ours["fid"]) == (8.87, 0.12, 25.32)
    assert max(row["score"] for row in rows["unconditional"].values()) == ours["score"]
    assert [model for model, row in rows["conditional"].items() if row["score"] > ours["score"]] == ["BigGAN"]
    assert "fid" not in rows["unconditional"]["ProgressiveGAN"]  # a dash is no number
