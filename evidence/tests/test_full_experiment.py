"""The recorded runs of chapter 7: what the folders of runs tell, as tensors."""

import pandas
import pytest

import full_experiment
from sbgm.apps.train import settings_of, train
from sbgm.files import load_tensors, write_json

LOSSES = ([8.0, 4.0], [7.0, 3.0])  # held out, of two seeds


def made(run, losses, seed=0, channels=8):
    """The folder of a run with two measurements, and a row of the log between them."""
    run.mkdir()
    write_json(run / "settings.json", {"data": "mnist_small", "channels": channels, "seed": seed})
    rows = [{"step": 1, "seconds": 1.0, "held_out": losses[0]}, {"step": 2, "seconds": 2.0}]
    rows.append({"step": 50, "seconds": 61.0, "held_out": losses[1]})
    pandas.DataFrame(rows).to_csv(run / "log.csv", index=False)
    return run


def test_runs_are_recorded_beside_those_that_are_there(tmp_path, shipped):
    shipped.mkdir()
    first, other = (made(tmp_path / str(seed), LOSSES[seed], seed) for seed in (0, 1))
    small = made(tmp_path / "small", LOSSES[0], channels=5)
    for words in ([f"small={small}"], [f"several={first},{other}"]):
        full_experiment.main(words)
    tensors, facts = load_tensors(shipped / full_experiment.FILE)
    assert {*tensors} == {"several_steps", "several_held_out", "small_steps", "small_held_out"}
    assert tensors["several_steps"].tolist() == [1, 50]
    assert tensors["several_held_out"].tolist() == [*LOSSES]
    assert facts["several"] == {"data": "mnist_small", "channels": 8, "seeds": [0, 1], "seconds": [61, 61]}
    assert facts["small"]["channels"] == 5
    with pytest.raises(ValueError, match="the runs of mixed must differ in their seed alone"):
        full_experiment.main([f"mixed={first},{small}"])


def test_digits_are_read_beside_controls(tmp_path, monkeypatch):
    monkeypatch.setattr(full_experiment, "N_SAMPLES", 20)
    monkeypatch.setattr(full_experiment, "HOW", {"n_steps": 1, "step_size": 1e-4})
    run = tmp_path / "run"
    train(settings_of("digits", steps=1, channels=2, batch_size=8, held_out=8, levels=2, threads=1), run)
    facts = full_experiment.recorded("minutes", [run])[1]["minutes"]
    assert facts["sure"] == [pytest.approx(0, abs=0.2)]  # a network that has hardly begun
    assert facts["controls"]["test digits"] == pytest.approx(0.68, abs=0.02)
    assert facts["controls"]["blurred digits"] < 0.15
    assert facts["controls"]["noise"] < 0.1
