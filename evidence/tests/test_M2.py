"""M2: loss curves whose numbers are known, a record of short runs, and a run that is stopped, killed and continued."""

import dataclasses
import itertools
import math

import pytest
import torch

import ledger
from claims.M2 import measure as M2
from claims.M2.measure import first_change, relative_drift, relative_spread
from figure1 import STATE, load_state, train_figure1
from recipes import Figure1
from sbgm.images.data import load_images
from sbgm.training import Step

NORMAL = torch.randn(30_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_spread_is_that_of_the_last_third_around_a_straight_line():
    line = -torch.linspace(1, 3, 30_000, dtype=torch.float64)  # over its last third, −7/3 … −3
    assert relative_spread(line) < 1e-12
    losses = torch.cat([1e9 * NORMAL[:20_000], line[20_000:] + 0.1 * NORMAL[20_000:]])
    # the standard error of a standard deviation from 10,000 numbers is 0.7 %
    assert relative_spread(losses) == pytest.approx(0.1 / (8 / 3), rel=0.03)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_drift_is_the_lines_change_over_the_last_quarter(sign):
    line = sign * torch.linspace(1, 3, 30_001, dtype=torch.float64)  # over its last quarter, 2.5 … 3
    assert relative_drift(line) == pytest.approx(0.5 / 2.75, rel=1e-3)
    flat = torch.cat([line[:20_000], line.new_full((10_000,), -5)])
    assert relative_drift(flat) < 1e-12


def test_the_first_change_is_that_of_iterations_51_to_100_from_the_first_ten():
    losses = torch.cat([7 + NORMAL[:10], 1e3 * NORMAL[10:50], 3 + NORMAL[50:100], 1e3 * NORMAL[100:200]])
    change = first_change(losses)
    assert change.value == pytest.approx(float(losses[50:100].mean() - losses[:10].mean()))
    assert abs(change.value + 4) < 3 * change.se
    assert change.se == pytest.approx(math.sqrt(1 / 10 + 1 / 50), rel=0.5)  # of ten numbers' spread


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(colour, monkeypatch):
    """Images of 8×8 pixels in place of CIFAR-10's, and a network that trains on them in no time."""
    monkeypatch.setattr(M2, "M2_SETTINGS", Figure1(0.0, channels=8, batch_size=2, n_steps=5_000))


RUNS = ["raw_0", "noised_0", "raw_1", "noised_1"]
SCATTERS = "log₁₀ of raw over noised sd/|mean|, last third, two runs"


def curves(images, settings, folder, save_every):
    """Stands in for the training: the noised curve settles, the raw one falls and swings more and more."""
    draw = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.n_steps + 1):
        swing = float(torch.randn((), generator=draw))
        loss = -6e5 * (1 + 0.03 * swing) if settings.noise_std else -5e8 * (1 + 2 * swing) * step / 5000
        yield Step(step, loss if step > 10 else 100 + swing)


def test_a_run_that_meets_what_was_expected_is_recorded_with_all_it_takes(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(M2, "train_figure1", curves)
    record = M2.measure(tmp_path)
    assert {"iterations": 5000, "channels": 8, "batch_size": 2, "seeds": 2}.items() <= record.facts.items()
    assert record.status == "reproduced in part"
    shipped = ledger.load_record("M2").tensors
    assert {name: curve.shape for name, curve in shipped.items()} == {"raw": (2, 5000), "noised": (2, 5000)}
    assert not torch.equal(*shipped["raw"])  # of two seeds
    values = {m.label: m.value for m in record.measurements}
    assert values["noised: sd/|mean|, last third, detrended, the largest"] == pytest.approx(0.03, rel=0.1)
    assert 10 ** values[SCATTERS] == pytest.approx(2 / 0.03, rel=0.1)
    assert values["raw: mean of iterations 51 to 100 less that of 1 to 10"] < -5e6


def test_only_runs_that_no_finished_curve_of_these_settings_holds_are_made(tiny, results, tmp_path, monkeypatch):
    made = []

    def counted(images, settings, folder, save_every):
        made.append(folder.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return curves(images, settings, folder, save_every)

    monkeypatch.setattr(M2, "train_figure1", counted)
    with pytest.raises(KeyboardInterrupt):
        M2.measure(tmp_path)
    assert {path.stem for path in (results / "M2" / "runs").iterdir()} == {*RUNS[:2]}
    assert not (results / "M2" / "record.json").exists()
    M2.measure(tmp_path)  # two are there
    assert made == RUNS[:3] + RUNS[2:]
    monkeypatch.setattr(M2, "M2_SETTINGS", Figure1(0.0, channels=16, batch_size=2, n_steps=5_000))
    M2.measure(tmp_path)
    assert made == RUNS[:3] + RUNS[2:] + RUNS


# --- a run of Fig. 1, interrupted -------------------------------------------------------------------------------------

IMAGES = load_images("photo_patches", "test")[:50, :, :8, :8].clone()
SMALL = Figure1(noise_std=0.01, channels=8, batch_size=2, n_steps=12)


def run(path, settings=SMALL, images=IMAGES):
    return list(train_figure1(images, settings, folder=path, save_every=4))


def test_a_run_goes_on_to_the_last_bit_and_a_finished_one_is_replayed(tmp_path):
    steps = run(tmp_path / "whole")
    stopped = train_figure1(IMAGES, SMALL, folder=tmp_path / "run", save_every=4)
    assert list(itertools.islice(stopped, 6)) == steps[:6]
    stopped.close()
    assert run(tmp_path / "run") == steps
    state, other = (load_state(tmp_path / name) for name in ("run", "whole"))
    assert state.pop("told") == other.pop("told")
    torch.testing.assert_close(state, other, rtol=0, atol=0)  # losses, weights, Adam's moments and the generator
    content = (tmp_path / "run" / STATE).read_bytes()
    assert run(tmp_path / "run", dataclasses.replace(SMALL, n_steps=3)) == steps[:3]
    for other in ({"settings": dataclasses.replace(SMALL, noise_std=0.0)}, {"images": IMAGES.flip(0)}):
        with pytest.raises(ValueError, match=r"folder must hold a run of these settings and images, but in .*/run \["):
            run(tmp_path / "run", **other)
    assert (tmp_path / "run" / STATE).read_bytes() == content
