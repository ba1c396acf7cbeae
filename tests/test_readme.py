"""The README's promises: its code runs as printed, its links lead somewhere, its tables are the generated ones."""

import pathlib
import re

import pytest
import torch

import bench
from sbgm import claims, paper_mixture
from sbgm.commands import ledger
from sbgm.metrics import mode_weights

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_run_as_printed_and_recover_the_weights():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    torch.manual_seed(0)  # the network's initial weights
    names = {}
    exec(code, names)
    samples, means = names["samples"], paper_mixture().means
    assert samples.shape == (1000, 2)
    # the network is learned: L8's ± 0.05 around the true weight, and a component std near √(1 + 0.5²)
    assert abs(float(mode_weights(samples, means)[1]) - 0.8) < 0.05
    near = samples[torch.cdist(samples, means).argmin(dim=1) == 1]
    assert float(near.std()) == pytest.approx((1 + 0.5**2) ** 0.5, rel=0.1)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_local_link_leads_to_a_file(target):
    if not target.startswith("https://"):
        assert (ROOT / target).is_file()


def test_the_ledger_and_its_count_are_those_the_records_give():
    records = claims.load_records(claims.results_folder())
    shown = README.partition(ledger.START)[2].partition(ledger.END)[0].strip()
    assert shown == claims.count_line(records)
    table = (claims.results_folder() / "README.md").read_text(encoding="utf-8")
    assert table == f"{ledger.HEAD}\n{claims.ledger_table(records)}\n"


@pytest.mark.parametrize("name", ["bench", "bench learning"])
def test_a_table_of_speeds_is_replaced_between_its_markers_and_nothing_else_is(name, tmp_path, monkeypatch):
    before = bench.SPEED.read_text(encoding="utf-8")
    monkeypatch.setattr(bench, "SPEED", tmp_path / "SPEED.md")
    bench.SPEED.write_text(before, encoding="utf-8")
    bench.write_table(name, "| new |")
    after = bench.SPEED.read_text(encoding="utf-8")
    old = before.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]
    assert old.count("| yes |") >= 1
    assert after == before.replace(old, "| new |")
