"""The distances of I9, on small images and with a small Inception."""

import math
from pathlib import Path

import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

import ledger
from claims.I9 import measure as I9
from claims.I9.measure import checkpoint_fid
from samples import CPU
from sbgm import geometric_sigmas
from sbgm.images import data
from sbgm.images.refinenet import RefineNet
from sbgm.images.weights import load_network, save_network
from sbgm.measure import Estimate, feature_statistics, frechet_distance, inception
from seeds import seeded

FEWEST = 60


@pytest.fixture
def toy(monkeypatch, colour, tmp_path):
    """Small images, and a small Inception."""
    monkeypatch.setattr(I9, "Inception", colour)
    monkeypatch.setattr(inception, "FEWEST_FOR_FID", FEWEST)
    monkeypatch.setattr(I9, "N_CHOOSING", 30)
    return tmp_path


def network(path, seed=0):
    untrained = RefineNet([1.0, 0.1], channels=2, image_channels=3, generator=torch.Generator().manual_seed(seed))
    save_network(untrained, path, image_shape=[3, 8, 8], data_range=[0.0, 1.0])
    return path


def test_each_checkpoint_is_drawn_with_its_own_weights_and_the_nearest_is_taken(toy, colour, monkeypatch):
    files = [network(toy / f"{seed}.safetensors", seed) for seed in (0, 1)]
    model = load_network(files[0])
    first, second = (I9.draw_samples(file, 30, model, "renewing", toy / "samples", CPU, 30) for file in files)
    alone = I9.draw_samples(files[1], 30, load_network(files[0]), "renewing", toy / "alone", CPU, 30)
    assert torch.equal(alone, second)
    assert not torch.equal(first, second)

    monkeypatch.setattr(I9, "checkpoints", lambda run: [Path("step-0000000"), Path("step-0000001")])
    monkeypatch.setattr(I9, "run_weights", lambda folder, step: files[step])
    statistics = feature_statistics(colour().features(data.load_images("cifar10")))
    distances = [checkpoint_fid(colour().features(samples), statistics) for samples in (first, second)]
    options = {"n_samples": 60, "sampler": "renewing", "batch_size": 30, "weights": str(toy)}
    record = I9.measure(toy / "samples", **options)
    assert record.measurements[-1].value == min(distances)
    nearest = files[distances.index(min(distances))]
    assert ledger.weights_facts(str(nearest)).items() <= record.facts.items()


def test_algorithm_1_is_the_papers_and_the_fast_path_takes_fifty_evaluations():
    sigmas = geometric_sigmas(1.0, 0.01, 10)
    paper, fast = (I9.entry_on(sigmas, name) for name in ("annealed", "renewing"))
    assert (paper.evaluations, paper.sampler.step_size, paper.start) == (1_000, pytest.approx(2e-5), "uniform")
    assert paper.sampler.sigmas == tuple(sigmas.tolist())
    assert (fast.evaluations, fast.start) == (50, "fitted")
    assert (fast.sampler.sigmas[0], fast.sampler.sigmas[-1]) == (1.0, pytest.approx(0.01))


def test_fifty_thousand_samples_are_held_to_the_papers_numbers_and_fewer_are_reported():
    distance = Estimate(25.0, 0.1)
    kernel = Estimate(0.01, 0.1)
    found = I9.measurements(50_000, distance, kernel, (8.9, 0.12), bounded=True)
    assert [(c.low, c.high) for c in found] == [(-math.inf, 25.32), (8.87, math.inf), (-math.inf, math.inf)]
    assert all(c.holds for c in found)
    few = I9.measurements(50_000, distance, kernel, None, 30.0, bounded=False)
    assert [c.label for c in few] == ["FID, 50,000 samples", "KID", few[2].label]
    assert few[2].label.startswith("FID of 1,000 samples, for choosing a checkpoint; not comparable with FID of 50,000")
    assert all((c.low, c.high) == (-math.inf, math.inf) for c in few)


def test_the_papers_numbers_bound_its_settings_alone_and_each_difference_is_told():
    paper, narrow = (RefineNet(geometric_sigmas(1.0, 0.01, 10), channels=c, image_channels=3) for c in (128, 2))
    assert I9.differences(paper, 50_000, 100, "annealed") == []
    assert I9.differences(narrow, 10_000, 100, "renewing") == [
        "2 channels, where the paper has 128",
        "renewing sampler, where the paper's takes 1,000 evaluations",
        "10,000 samples, where the paper has 50,000",
    ]
    assert len(I9.differences(paper, 50_000, 50, "annealed")) == 1
    assert I9.smaller_differences("network.safetensors", "fp32") == []
    assert I9.smaller_differences("step-0200000/average.safetensors", "bf16") == [
        "drawn in bf16",
        "averaged weights, which the paper has not",
    ]


def test_fid_for_choosing_a_checkpoint_takes_few_samples_and_says_what_it_is_for(monkeypatch):
    """Where the covariance is not singular it is the Fréchet distance; where it is, torch-fidelity's."""
    monkeypatch.setattr(inception, "FEWEST_FOR_FID", 20)
    draws = torch.randn(108, 12, generator=seeded())
    few, many, real = draws[:8] + 0.5, draws[8:48], 2 * draws[48:]
    statistics = feature_statistics(real)
    found = checkpoint_fid(many, statistics)
    assert found == pytest.approx(frechet_distance(many, real).value, rel=1e-9)
    theirs = [fid_features_to_statistics(x.double()) for x in (few, real)]
    exact = fid_statistics_to_metric(*theirs, verbose=False)["frechet_inception_distance"]
    assert checkpoint_fid(few, statistics) == pytest.approx(exact, rel=1e-5)
