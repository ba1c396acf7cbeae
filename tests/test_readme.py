"""The README's promises: its code runs as printed, its links lead somewhere, its tables are the generated ones."""

import pathlib
import re

import pytest
import torch

from processes import torchrun
from sbgm import claims, paper_mixture
from sbgm.metrics import mode_weights
from sbgm.training import Run

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


def test_the_torchrun_command_trains_without_a_gpu(tmp_path):
    """At toy size: another set and number of processes, and the last --scale counts (compiling takes minutes)."""
    (printed,) = re.findall(r"`torchrun --nproc_per_node 8 (.*?)`", README)
    small = {"cifar10": "digits", "runs/cifar10": tmp_path / "run"}
    words = [small.get(word, word) for word in printed.split()]
    done = torchrun(*words, "--scale", "laptop", "--channels", 8, "--batch-size", 8, "--steps", 2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Run(tmp_path / "run").last_step == 2


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_local_link_leads_to_a_file(target):
    if not target.startswith("https://"):
        assert (ROOT / target).is_file()


def test_the_ledger_is_the_one_the_records_give():
    shown = README.partition("<!-- ledger -->")[2].partition("<!-- /ledger -->")[0].strip()
    assert shown == claims.ledger_table(claims.load_records(claims.results_folder()))
