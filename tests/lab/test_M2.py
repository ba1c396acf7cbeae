"""M2: loss curves whose numbers are known, a record of short runs, and a run that is stopped, killed and continued."""

import dataclasses
import itertools
import math
import signal

import pytest
import torch
from safetensors.torch import load_file

import claims
import M2
from M2 import RAW, Figure1, first_change, load_raw, relative_drift, relative_spread, running_mean, train_figure1
from processes import FORKS
from sbgm.cli import main
from sbgm.data import load_images
from sbgm.files import read_facts
from sbgm.train.runs import Run
from sbgm.training import Step
from small_run import figure1_killed_at

NORMAL = torch.randn(30_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_spread_is_that_of_the_last_third_alone():
    losses = torch.cat([1e9 * NORMAL[:20_000], -100 + 3 * NORMAL[20_000:]])
    # the standard error of a standard deviation from 10,000 numbers is 0.7 %
    assert relative_spread(losses) == pytest.approx(0.03, rel=0.03)
    assert relative_spread(losses, detrended=True) == pytest.approx(0.03, rel=0.03)


def test_detrending_takes_a_straight_line_away_and_nothing_else():
    line = -torch.linspace(1, 3, 30_000, dtype=torch.float64)  # over its last third, −7/3 … −3
    slope_alone = (2 / 3) / math.sqrt(12) / (8 / 3)
    assert relative_spread(line) == pytest.approx(slope_alone, rel=1e-3)
    assert relative_spread(line, detrended=True) < 1e-12
    assert relative_spread(line + 0.1 * NORMAL, detrended=True) == pytest.approx(0.1 / (8 / 3), rel=0.03)


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


def test_the_running_mean_is_the_mean_of_each_window():
    assert running_mean(torch.arange(5.0), 2).tolist() == [0.5, 1.5, 2.5, 3.5]
    assert running_mean(torch.arange(5.0), 5).tolist() == [2]
    for n in (0, 6):
        with pytest.raises(ValueError, match=f"n must be 1 … 5, the number of losses, got {n}"):
            running_mean(torch.arange(5.0), n)


@pytest.mark.parametrize("measure", [relative_spread, relative_drift])
@pytest.mark.parametrize("losses", [torch.zeros(8), torch.zeros(3, 9), torch.full((20,), math.nan)])
def test_bad_curves_are_refused(measure, losses):
    with pytest.raises(ValueError, match="losses must be"):
        measure(losses)


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """Fifty small images in place of CIFAR-10, and a network that trains on them in no time."""
    images = load_images("photo_patches", "test")[:50, :, :8, :8].clone()
    monkeypatch.setattr(M2, "load_images", lambda name: {"cifar10": images}[name])
    monkeypatch.setattr(M2, "M2_SETTINGS", Figure1(0.0, channels=8, batch_size=2))
    return images


RUNS = ["raw_0", "noised_0", "raw_1", "noised_1"]


def test_a_run_too_short_for_the_claim_is_not_recorded_and_goes_on_later(tiny, results, tmp_path, capsys):
    arguments = ["evaluate", "--claim", "M2", "--folder", str(tmp_path / "runs"), "--seeds", "1", "--iterations"]
    assert main([*arguments, "52"]) == 1
    err = capsys.readouterr().err
    assert "and was not recorded; --accept records it" in err
    assert "iterations: 52   expected at least 5000" in err
    assert "52/52" in err  # the progress bar
    assert not (results).exists()
    runs = {name: Run(tmp_path / "runs" / name) for name in RUNS[:2]}
    first = {name: run.load({})["losses"] for name, run in runs.items()}
    assert not torch.equal(*first.values())
    assert main([*arguments, "54"]) == 1
    for name, losses in first.items():
        more = runs[name].load({})["losses"]
        assert len(more) == 54
        assert torch.equal(more[:52], losses)


def curves(images, settings, folder, save_every):
    """Stands in for the training: the noised curve settles, the raw one falls and swings more and more."""
    draw = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.n_steps + 1):
        swing = float(torch.randn((), generator=draw))
        loss = -6e5 * (1 + 0.03 * swing) if settings.noise_std else -5e8 * (1 + 2 * swing) * step / 5000
        yield Step(step, loss if step > 10 else 100 + swing)


def measured_m2(tmp_path, *options):
    return main(["evaluate", "--claim", "M2", "--folder", str(tmp_path / "runs"), *options])


def test_a_run_that_meets_what_was_expected_is_recorded_with_all_it_takes(tiny, results, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(M2, "train_figure1", curves)
    assert measured_m2(tmp_path) == 0
    assert capsys.readouterr().out.startswith("M2 (§ 3.1, Fig. 1) on raw images")
    record = claims.load_record("M2")
    path = claims.attached_file(record)
    shipped = load_file(path)
    assert {name: curve.shape for name, curve in shipped.items()} == {"raw": (2, 5000), "noised": (2, 5000)}
    assert record.facts["iterations"] == 5000
    assert (record.facts["channels"], record.facts["batch_size"], record.facts["seeds"]) == (8, 2, 2)
    assert record.facts["torch"] == torch.__version__
    assert "cores" in record.facts["hardware"]
    assert record.facts["command"] == "python -m sbgm evaluate --claim M2 --iterations 5000 --seeds 2"
    assert "50 training images" in record.data
    assert record.status == "reproduced in part"
    values = {c.label: c.value for c in record.measurements}
    assert values["noised: sd/|mean|, last third, detrended"] == pytest.approx(0.03, rel=0.1)
    assert values["raw over noised sd/|mean|, last third, detrended"] == pytest.approx(2 / 0.03, rel=0.1)
    assert values["raw: mean of iterations 51 to 100 less that of 1 to 10"] < -5e6
    # the numbers follow from the shipped curves alone
    again = M2.m2_measurements(**shipped, dim=tiny[0].numel())
    assert [c.value for c in again] == pytest.approx([c.value for c in record.measurements], rel=1e-4)


def test_finished_runs_are_taken_from_the_results_and_only_the_missing_ones_are_made(
    tiny, results, tmp_path, capsys, monkeypatch
):
    made = []

    def counted(images, settings, folder, save_every):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(folder.name)
        return curves(images, settings, folder, save_every)

    monkeypatch.setattr(M2, "train_figure1", counted)
    assert measured_m2(tmp_path) == 130
    assert made == RUNS[:2]
    kept = sorted((results / "M2").iterdir())
    assert [path.stem for path in kept] == sorted(RUNS[:2])
    assert read_facts(kept[0])["noise_std"] == 0.01
    assert not (results / "M2.json").exists()
    made.clear()
    assert measured_m2(tmp_path, "--seeds", "1") == 0  # both are there
    assert made == []
    assert load_file(claims.attached_file(claims.load_record("M2")))["raw"].shape == (1, 5000)


def test_a_curve_of_other_settings_is_not_taken(tiny, results, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(M2, "train_figure1", curves)
    assert measured_m2(tmp_path, "--seeds", "1") == 0
    monkeypatch.setattr(M2, "M2_SETTINGS", Figure1(0.0, channels=16, batch_size=2))
    monkeypatch.setattr(M2, "train_figure1", lambda *_, **__: pytest.fail("made anew, as it should be"))
    with pytest.raises(pytest.fail.Exception, match="made anew"):
        measured_m2(tmp_path)


# --- the network without noise ----------------------------------------------------------------------------------------


def test_the_raw_network_is_saved_and_loaded(mnist, tmp_path):
    path = M2.train_shipped_raw(tmp_path, Figure1(0.0, channels=16, batch_size=2, n_steps=2))
    network = load_raw(str(path))
    assert not network.training
    assert network.sigmas.tolist() == pytest.approx([0.01])
    assert network(load_images("mnist")[:2], 0.01).shape == (2, 1, 28, 28)
    assert (path.stem, read_facts(path)["settings"]["noise_std"]) == (RAW, 0.0)


# --- a run of Fig. 1, interrupted -------------------------------------------------------------------------------------

IMAGES = load_images("photo_patches", "test")[:50, :, :8, :8].clone()
SMALL = Figure1(noise_std=0.01, channels=8, batch_size=2, n_steps=12)


def run(path, settings=SMALL, images=IMAGES, stop_after=None, save_every=4):
    steps = train_figure1(images, settings, folder=path, save_every=save_every)
    return list(itertools.islice(steps, stop_after))


def saved(path):
    return Run(path).load({})


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return run(path), saved(path)


def same_run(steps, state, uninterrupted):
    """Losses, weights, Adam's moments and the generator, all equal to the last bit."""
    whole_steps, whole_state = uninterrupted
    assert steps == whole_steps
    for name, weight in whole_state["network"].items():
        assert torch.equal(state["network"][name], weight), name
    for i, moments in whole_state["optimizer"]["state"].items():
        assert all(torch.equal(state["optimizer"]["state"][i][name], value) for name, value in moments.items())
    assert torch.equal(state["generator"], whole_state["generator"])
    assert torch.equal(state["losses"], whole_state["losses"])


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_an_abandoned_run_is_continued_to_the_last_bit(tmp_path, uninterrupted, stop_after):
    path = tmp_path / "run"
    assert run(path, stop_after=stop_after) == uninterrupted[0][:stop_after]
    assert Run(path).last_step == stop_after  # saved when it was left
    same_run(run(path), saved(path), uninterrupted)


def test_a_finished_run_is_replayed_without_training_and_continued_by_more_iterations(tmp_path, uninterrupted):
    path = tmp_path / "run"
    run(path, Figure1(noise_std=0.01, channels=8, batch_size=2, n_steps=5))
    same_run(run(path), saved(path), uninterrupted)
    content = (Run(path).checkpoints[-1] / "state.pt").read_bytes()
    assert run(path) == uninterrupted[0]
    assert run(path, Figure1(noise_std=0.01, channels=8, batch_size=2, n_steps=3)) == uninterrupted[0][:3]
    assert (Run(path).checkpoints[-1] / "state.pt").read_bytes() == content


def test_a_killed_run_is_continued_to_the_last_bit(tmp_path, uninterrupted):
    path = tmp_path / "run"
    process = FORKS.Process(target=figure1_killed_at, args=(7, IMAGES, SMALL, path, 4))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(saved(path)["losses"]) == 4
    same_run(run(path), saved(path), uninterrupted)


@pytest.mark.parametrize(
    "other",
    [
        {"settings": dataclasses.replace(SMALL, noise_std=0.0)},
        {"settings": dataclasses.replace(SMALL, seed=1)},
        {"images": IMAGES.flip(0)},
    ],
)
def test_a_run_with_other_settings_or_images_is_refused_and_left_alone(tmp_path, other):
    path = tmp_path / "run"
    run(path, stop_after=4)
    content = (Run(path).checkpoints[-1] / "state.pt").read_bytes()
    with pytest.raises(ValueError, match=r"settings must be those that the run in .*/run was started with: \w+ = "):
        run(path, **other)
    assert (Run(path).checkpoints[-1] / "state.pt").read_bytes() == content
