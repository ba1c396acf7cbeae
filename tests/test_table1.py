"""The paper's Table 1, as published."""

from sbgm.lab import published_table


def test_the_table_has_the_papers_rows():
    rows = published_table()
    assert [row.model for row in rows if not row.conditional] == [
        *("PixelCNN", "PixelIQN", "EBM", "WGAN-GP", "MoLM", "SNGAN", "ProgressiveGAN", "NCSN"),
    ]
    assert [row.model for row in rows if row.conditional] == ["EBM", "SNGAN", "BigGAN"]
    assert all(row.reference for row in rows)


def test_what_the_text_says_of_the_table_holds():
    """§ 5: the best Inception Score of the unconditional models, and above most conditional ones."""
    rows = published_table()
    ours = next(row for row in rows if row.model == "NCSN")
    assert (ours.score, ours.score_spread, ours.fid) == (8.87, 0.12, 25.32)
    assert all(row.score < ours.score for row in rows if not row.conditional and row is not ours)
    assert [row.model for row in rows if row.conditional and row.score > ours.score] == ["BigGAN"]


def test_a_dash_is_no_number():
    progressive = next(row for row in published_table() if row.model == "ProgressiveGAN")
    assert progressive.fid is None
    assert (progressive.score, progressive.score_spread) == (8.80, 0.05)
