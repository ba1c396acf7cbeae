"""N4: its table on disk, its numbers from made-up rows, and a small run that is stopped and goes on."""

import math

import pandas
import pytest

import ledger
from claims.N4 import measure as N4


def table(losses, distances, late_losses=(1.0, 2.0), late_distances=(1.0, 2.0)):
    """A row a network and seed, and a row a late checkpoint and seed: the numbers of each seed are alike."""
    shape = {"width": 64, "n_blocks": 1, "norm": "none", "iteration": 10, "n_parameters": 1000}
    rows = [
        {"run": "network", "seed": part, "x": x, "d": d}
        for x, d in zip(losses, distances, strict=True)
        for part in range(3)
    ]
    late = list(zip(late_losses, late_distances, strict=True))
    rows += [{"run": "late", "seed": part, "x": x, "d": d} for part in range(3) for x, d in late]
    frame = pandas.DataFrame(rows)
    numbers = {"held_out_loss": frame.pop("x"), "frechet_held_out": frame.pop("d")}
    derived = {"frechet_train": 2 * numbers["frechet_held_out"], "legible": 1 / numbers["frechet_held_out"]}
    parts = [frame[["run"]].assign(**shape), frame[["seed"]], pandas.DataFrame(numbers | derived)]
    return pandas.concat(parts, axis=1)[["run", "width", "n_blocks", "norm", "seed", *N4.COLUMNS]]


def test_the_rank_correlation_is_of_ranks_and_two_seeds_are_compared(monkeypatch):
    monkeypatch.setattr(N4, "N_LATE", 3)
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    monkeypatch.setattr(N4, "distance_of_halves", lambda: math.exp(3.5))
    agree = N4.measurements(table(losses, [math.exp(v) for v in losses], [1, 2, 3], [3, 2, 1]))
    assert all(m.holds for m in agree)
    values = {m.label: m.value for m in agree}
    assert values["rank correlation of held-out loss and distance, three seeds"] == pytest.approx(1)
    assert values["control: rank correlation of two seeds' distances, three pairs"] == pytest.approx(1)
    assert values["settings nearer than joined halves"] == 3
    assert values["the same among these settings"] == pytest.approx(1)
    assert values["the same among 3 late checkpoints, three seeds"] == pytest.approx(-1)
    monkeypatch.setattr(N4, "distance_of_halves", lambda: 0.5)
    swapped = N4.measurements(table(losses[:7], [4, 1, 2, 3, 6, 5, 7], [1, 2, 3], [3, 2, 1]))
    assert swapped[0].value == pytest.approx(1 - 6 * 14 / (7 * 48))  # 1 − 6Σd²/(n(n² − 1))
    assert swapped[0].se > 0.05
    assert "the same among these settings" not in {m.label for m in swapped}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Nine networks, each of width 4 more than the last, few samples, and an empty folder of records."""
    shape = {"width": 8, "n_blocks": 1, "batch_size": 16}

    def networks(n):
        return [N4.DigitsTraining(**{**shape, "width": 4 * (i + 1)}, n_steps=n) for i in range(9)]

    monkeypatch.setattr(N4, "networks", networks)
    monkeypatch.setattr(N4, "late", lambda n: N4.DigitsTraining(**shape, one_cycle=False, n_steps=n))
    monkeypatch.setattr(N4, "N_SAMPLES", 70)
    monkeypatch.setattr(N4, "N_LATE", 2)
    monkeypatch.setattr(N4, "measure_network", stand_in)
    return tmp_path


def stand_in(network, settings, images, held_out, generator):
    """Sampling stands for itself elsewhere: distances that grow with a norm of the weights, the loss."""
    loss = float(next(network.parameters()).detach().norm())
    return loss, 1 + loss, 2 + loss, 1 / loss


def test_a_run_is_recorded_with_its_table_and_goes_on_where_it_was(small, monkeypatch):
    measured = []

    def counted(network, settings, *rest):
        measured.append(settings.width)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return stand_in(network, settings, *rest)

    monkeypatch.setattr(N4, "measure_network", counted)
    with pytest.raises(KeyboardInterrupt):
        N4.measure(small / "run", iterations=2)
    assert not (small / "evidence").exists()
    record = N4.measure(small / "run", iterations=2)
    assert len(measured) == 4 + 24 + 6  # three of 27 are kept, the fourth is done again; late runs are measured twice
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["N4"].bounds)
    found = record.table
    assert list(found) == ["run", "width", "n_blocks", "norm", "seed", *N4.COLUMNS]
    assert found["width"].tolist() == [width for width in range(4, 40, 4) for _ in range(3)] + [8] * 6
    assert found["iteration"].tolist() == [2] * 27 + [1, 2] * 3
    assert found["seed"].tolist() == [0, 1, 2] * 9 + [0, 0, 1, 1, 2, 2]
    other = N4.measure(small / "run", iterations=4)  # whose numbers are not reused
    assert other.table["iteration"].tolist() == [4] * 27 + [2, 4] * 3
