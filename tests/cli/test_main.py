"""The command line: the ledger printed and written, and Ctrl-C."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import claims
import M2
from claims import reported, settle
from sbgm import cli as command
from sbgm.measure import records

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = claims.load_records(records.results_folder())
RECORDED = COMMITTED["M2"]


TORCH = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background has taken away
os.kill(os.getpid(), signal.SIGINT)
time.sleep(600)
"""


def test_ctrl_c_while_torch_loads_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text(TORCH)
    words = [sys.executable, "-m", "sbgm", "sample", "mnist_ncsn", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """Ledger and committed records of our own."""
    monkeypatch.setenv("SBGM_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path / "results")
    return tmp_path


def test_the_ledger_is_printed_and_written_from_runs_and_records(capsys, folders):
    claims.save_record(RECORDED, folders / "results")
    settle("M2", [reported("short run", 9)])
    settle("S1", [*COMMITTED["S1"].measurements, reported(r"a \1 and a | bar", 1)])
    assert command.main(["ledger"]) == 0
    assert capsys.readouterr().out == claims.ledger_table(claims.current_records()) + "\n"
    assert list(claims.load_records(folders / "results")) == ["M2"]  # printing commits nothing
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    path = folders / "README.md"
    path.write_text(f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        claims.ledger(write=True, readme=path)
        records = claims.load_records(folders / "results")
        assert list(records) == ["S1", "M2"]
        assert records["M2"] == RECORDED
        text = path.read_text(encoding="utf-8")
        assert text == f"{before}<!-- ledger -->\n{claims.count_line(records)}\n<!-- /ledger -->{after}"
        table = (folders / "results" / "README.md").read_text(encoding="utf-8")
        assert table == f"{claims.HEAD}\n{claims.ledger_table(records)}\n"
    assert sorted(p.name for p in folders.iterdir()) == ["README.md", "ledger", "results"]


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- ledger --> and no end",
        "<!-- ledger --><!-- ledger --> twice <!-- /ledger -->",
    ],
)
def test_a_readme_without_its_markers_is_named_and_nothing_is_written(folders, text):
    settle("S1", [reported("x", 1)])
    path = folders / "README.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"README.md must hold the markers <!-- ledger --> and <!-- /ledger --> once"):
        claims.ledger(write=True, readme=path)
    assert path.read_text(encoding="utf-8") == text
    assert not (folders / "results").exists()


def test_ctrl_c_in_a_claims_measurement_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(M2, "load_images", mock.Mock(side_effect=KeyboardInterrupt))
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(tmp_path / "runs")]) == 130
    assert "The same command goes on from what is in" in capsys.readouterr().err


def test_runs_are_kept_in_the_repositorys_ignored_folder_unless_told_otherwise():
    assert M2.measure.parser().parse_args([]).folder == ROOT / "runs" / "M2"
