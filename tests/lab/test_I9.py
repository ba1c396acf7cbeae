"""An hour of GPU at toy size: the same command, from training to records, on small images and a small Inception."""

import math

import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

import claims
import gpu_hour
import I2
import I9
from I9 import ColourSamples, checkpoint_fid
from sbgm import geometric_sigmas
from sbgm.apps import download as download_app
from sbgm.measure import Inception, Measured, feature_statistics, frechet_distance, inception
from sbgm.refinenet import RefineNet
from sbgm.train.runs import Run
from sbgm.weights import save_network
from seeds import seeded

FEWEST = 60
TOY = ["--levels", "2", "--batch-size", "8", "--held-out", "4", "--no-compile", "--save-every", "1", "--device", "cpu"]


@pytest.fixture
def toy(monkeypatch, colour, tmp_path):
    """Small images, a small Inception, and no download."""
    for module in (gpu_hour, I9, I2):
        monkeypatch.setattr(module, "Inception", colour)
    monkeypatch.setattr(inception, "FEWEST_FOR_FID", FEWEST)
    monkeypatch.setattr(I9, "N_CHOOSING", 30)
    monkeypatch.setattr(download_app, "download", lambda name: None)
    return tmp_path


def modified(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_command_trains_chooses_draws_measures_and_records(toy, monkeypatch, capsys):
    monkeypatch.setattr(gpu_hour, "N_ALGORITHM_1", 50)
    quick = {"n_steps": 1, "n_reference": 100}
    settings = [p.replace(default=quick.get(p.name, p.default)) for p in I2.measure.settings]
    monkeypatch.setattr(I2.measure, "settings", settings)
    out = toy / "out"
    sizes = ["--minutes", "0.05", "--channels", "2", "--n-samples", "60", "--chains", "30"]
    words = ["cifar10", "--out", str(out), *sizes, *TOY]
    assert gpu_hour.main(words) == 0
    said, run = capsys.readouterr(), Run(out / "run")
    checkpoints = [folder.name for folder in run.checkpoints]
    assert f"Stopped and saved at step {run.last_step:,} of 200,000" in said.err
    choice = "FID of 30 samples, for choosing a checkpoint; not comparable with FID of 50,000"
    assert [line.partition(":")[0] for line in said.out.splitlines() if line.startswith("step-")] == checkpoints
    assert said.out.count(f": {choice} ") >= len(checkpoints)
    record = claims.load_record("I9")
    assert [m.label for m in record.measurements] == ["FID, 60 samples", "Inception Score", "KID", choice]
    assert record.status == "reported"
    assert record.facts["checkpoint"] in checkpoints
    assert {"evaluations": 50, "checkpoints": len(checkpoints)}.items() <= record.facts.items()
    assert claims.record_tensors("I9")["samples"].shape == (60, 3, 8, 8)
    assert claims.load_record("I2").facts["n_samples"] == 50
    assert {"I2.png", "I9.png"} <= {path.name for path in out.iterdir()}
    # The same command trains no further and draws nothing anew.
    before = modified(out / "run") | modified(out / "samples")
    assert gpu_hour.main(words) == 0
    assert modified(out / "run") | modified(out / "samples") == before
    assert claims.load_record("I9") == record


def test_what_is_missing_is_said_before_the_training(toy, monkeypatch, capsys):
    assert gpu_hour.main(["cifar10", "--out", str(toy / "out"), "--n-samples", "59"]) == 1
    assert "gpu_hour: --n-samples must be at least 60 for FID, got 59" in capsys.readouterr().err
    monkeypatch.setattr(gpu_hour, "Inception", Inception)
    monkeypatch.setenv("SBGM_FID_WEIGHTS", "nowhere.pth")
    assert gpu_hour.main(["cifar10", "--out", str(toy / "out"), "--n-samples", "60"]) == 1
    assert "gpu_hour: weights must be a file of Inception's weights, but there is none at nowhere.pth" in (
        capsys.readouterr().err
    )
    assert not (toy / "out" / "run").exists()


# --- I9 ---------------------------------------------------------------------------------------------------------------


def network(path, seed=0):
    untrained = RefineNet([1.0, 0.1], channels=2, image_channels=3, generator=torch.Generator().manual_seed(seed))
    save_network(untrained, path, image_shape=[3, 8, 8], data_range=[0.0, 1.0])
    return path


def test_each_checkpoint_is_drawn_with_its_own_weights_and_the_nearest_is_taken(toy, colour, monkeypatch):
    samples = ColourSamples("cifar10", toy / "samples", colour(), batch_size=30)
    files = [network(toy / f"{seed}.safetensors", seed) for seed in (0, 1)]
    first, second = (samples.draw(file, 30)[0] for file in files)
    alone = ColourSamples("cifar10", toy / "alone", colour(), batch_size=30)
    assert torch.equal(alone.draw(files[1], 30)[0], second)
    assert not torch.equal(first, second)

    def distances(run, samples):
        return {
            file: Measured("FID", value, 0.1, 30, 30, "", "") for file, value in zip(files, (2.0, 1.0), strict=True)
        }

    monkeypatch.setattr(I9, "checkpoint_fids", distances)
    options = {"n_samples": 60, "sampler": "renewing", "batch_size": 30, "weights": str(toy)}
    record = I9.measure(toy / "samples", **options)
    assert record.measurements[-1].value == 1.0
    assert claims.weights_facts(str(files[1])).items() <= record.facts.items()
    assert "--n-reference" not in record.facts["command"]


def test_algorithm_1_is_the_papers_and_the_fast_path_takes_fifty_evaluations(toy, colour):
    sigmas = geometric_sigmas(1.0, 0.01, 10)
    paper, fast = (
        ColourSamples("cifar10", toy, colour(), sampler=name).entry(sigmas) for name in ("annealed", "renewing")
    )
    assert (paper.evaluations, paper.sampler.step_size, paper.start) == (1_000, pytest.approx(2e-5), "uniform")
    assert paper.sampler.sigmas == tuple(sigmas.tolist())
    assert (fast.evaluations, fast.start) == (50, "fitted")
    assert (fast.sampler.sigmas[0], fast.sampler.sigmas[-1]) == (1.0, pytest.approx(0.01))


def test_fifty_thousand_samples_are_held_to_the_papers_numbers_and_fewer_are_reported():
    distance, kernel = (
        Measured(name, value, 0.1, 50_000, 50_000, "images", "features") for name, value in (("FID", 25), ("KID", 0.01))
    )
    found = I9.i9_measurements(distance, kernel, (8.9, 0.12), bounded=True)
    assert [(c.low, c.high) for c in found] == [(-math.inf, 25.32), (8.87, math.inf), (-math.inf, math.inf)]
    assert all(c.holds for c in found)
    few = I9.i9_measurements(distance, kernel, None, distance, bounded=False)
    assert [c.label for c in few] == ["FID, 50,000 samples", "KID", "FID"]
    assert all((c.low, c.high) == (-math.inf, math.inf) for c in few)


def test_fid_for_choosing_a_checkpoint_takes_few_samples_and_says_what_it_is_for(monkeypatch):
    """Where the covariance is not singular it is the Fréchet distance; where it is, torch-fidelity's."""
    monkeypatch.setattr(inception, "FEWEST_FOR_FID", 20)
    draws = torch.randn(108, 12, generator=seeded())
    few, many, real = draws[:8] + 0.5, draws[8:48], 2 * draws[48:]
    statistics = feature_statistics(real)
    found = checkpoint_fid(many, statistics, against="training images")
    assert found.value == pytest.approx(frechet_distance(many, real).value, rel=1e-9)
    assert str(found).startswith("FID of 40 samples, for choosing a checkpoint; not comparable with FID of 50,000 ")
    theirs = [fid_features_to_statistics(x.double()) for x in (few, real)]
    exact = fid_statistics_to_metric(*theirs, verbose=False)["frechet_inception_distance"]
    assert checkpoint_fid(few, statistics, against="training images").value == pytest.approx(exact, rel=1e-5)
    with pytest.raises(ValueError, match="samples must be at least 2 for a covariance, got 1"):
        checkpoint_fid(few[:1], statistics, against="training images")
    with pytest.raises(ValueError, match="real must be at least 20 for FID, got 19"):
        checkpoint_fid(few, feature_statistics(real[:19]), against="training images")
