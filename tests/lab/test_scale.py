"""What a full run takes."""

import dataclasses
import re
from pathlib import Path

import pytest

from sbgm.train.images import NCSN
from scale import full_run, hours

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(("scale", "gflop"), [("laptop", 0.95), ("paper", 3.8)])
def test_an_evaluation_takes_the_operations_that_the_papers_networks_are_known_to_take(scale, gflop):
    run = full_run(NCSN.of_scale("mnist", scale), (1, 28, 28), n_samples=10)
    assert run.forward / 1e9 == pytest.approx(gflop, rel=0.01)


def test_what_the_readme_says_of_an_hour_of_gpu():
    """At three tenths of the peak, 50 minutes; three evaluations an image and step; then the samples, in minutes."""
    row = r"\| ([\w, ]+), ([\d.]+) TFLOP/s \| (\d+) \| ([\d,]+) \| (\d+) times \| ([\d.]+) minutes \|"
    rows = re.findall(row, README.read_text(encoding="utf-8"))
    assert len(rows) == 3
    for _, peak, channels, steps, seen, minutes in rows:
        settings = dataclasses.replace(NCSN.of_scale("cifar10", "gpu"), channels=int(channels))
        run, device = full_run(settings, (3, 32, 32), n_samples=10_000, n_evaluations=50), {"share": 0.3}
        device["peak"] = 1e12 * float(peak)
        found = settings.training.n_steps * 50 / 60 / hours(run.training, **device)
        assert int(steps.replace(",", "")) == pytest.approx(found, abs=60)
        assert int(seen) == pytest.approx(found * settings.training.batch_size / 50_000, abs=0.6)
        assert float(minutes) == pytest.approx(60 * hours(run.sampling, **device), abs=0.06)
