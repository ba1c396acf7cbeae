"""The ledger printed and written, and the pages that hold a part of it."""

import pytest

import claims
import make_ledger
import records
from claims import reported, settle

COMMITTED = claims.load_records(records.results_folder())
RECORDED = COMMITTED["M2"]


def test_the_ledger_is_written_from_what_notebooks_entered_and_from_records(results, tmp_path):
    claims.save_record(RECORDED, results)
    settle("M2", [reported("short run", 9)])
    settle("S1", [*COMMITTED["S1"].measurements, reported(r"a \1 and a | bar", 1)])
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    page = tmp_path / "README.md"
    page.write_text(f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        make_ledger.write(make_ledger.current_records(), tmp_path)
        written = claims.load_records(results)
        assert list(written) == ["S1", "M2"]
        assert written["M2"] == RECORDED
        text = page.read_text(encoding="utf-8")
        assert text == f"{before}<!-- ledger -->\n{make_ledger.count_line(written)}\n<!-- /ledger -->{after}"
        table = (results / "README.md").read_text(encoding="utf-8")
        assert table == f"{make_ledger.HEAD}\n{make_ledger.ledger_table(written)}\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "ledger", "results"]


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- ledger --> and no end",
        "<!-- ledger --><!-- ledger --> twice <!-- /ledger -->",
    ],
)
def test_a_readme_without_its_markers_is_named_and_nothing_is_written(results, tmp_path, text):
    settle("S1", COMMITTED["S1"].measurements)
    page = tmp_path / "README.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"README.md must hold the markers <!-- ledger --> and <!-- /ledger --> once"):
        make_ledger.write(make_ledger.current_records(), tmp_path)
    assert page.read_text(encoding="utf-8") == text
    assert not results.exists()
