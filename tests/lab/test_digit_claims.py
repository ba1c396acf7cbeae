"""I1, I4, I6, I7, I10 and I11: what is expected of digits, and small runs."""

import math

import pytest
import torch

import I1
import I4
import I5
import I6
import I7
import I10
import I11
import ledger
from controls import moved
from drawing import Drawing, judged_distance
from I7 import too_near
from ledger import Record, reported
from sbgm import derived_generator
from sbgm.files import load_tensors
from sbgm.images.data import load_images, load_labels
from sbgm.images.networks import ResNet
from sbgm.measure import Estimate, nearest_neighbours
from sbgm.measure.classifier import JUDGE, load_classifier
from sbgm.noise import perturb
from sbgm.training import Step
from seeds import seeded


def measured(value):
    return Estimate(value, 0.1)


def by_label(measurements):
    return {m.label: m for m in measurements}


# --- what is expected -------------------------------------------------------------------------------------------------


def test_held_out_digits_are_sharp_and_varied_and_noise_and_one_class_are_not(mnist):
    digits, labels = load_images("mnist_small", "test")[:300], load_labels("mnist_small", "test")[:300]
    good = by_label(I1.i1_measurements(digits))
    assert all(m.holds for m in good.values())
    assert set(ledger.claims()["I1"].bounds) < set(good)
    smallest = float(labels.bincount(minlength=10).min()) / 300
    assert good["smallest share of a class"].value == pytest.approx(smallest, abs=0.02)
    assert good["smallest share of a class"].se == pytest.approx(math.sqrt(smallest / 300), rel=0.5)
    noise = by_label(I1.i1_measurements(torch.rand(300, 1, 28, 28, generator=seeded(3))))
    assert noise["distance over that of uniform noise"].value == pytest.approx(1, rel=0.1)
    assert not noise["distance over that of uniform noise"].holds
    ones = load_images("mnist_small")[load_labels("mnist_small") == 1][:200]
    failed = {m.label for m in I1.i1_measurements(ones) if not m.holds}
    assert {"smallest share of a class", "largest share of a class"} <= failed


def test_distances_must_fall_by_rank():
    assert I4.falling([measured(v) for v in (9, 7, 5, 3)], 1) == (pytest.approx(1), pytest.approx(0))
    near = I4.falling([measured(v) for v in (9, 7, 5, 4.9)], 1)
    assert near.value == pytest.approx(1)
    assert near.se > 0.05  # the last two change places by their errors
    swapped = I4.i4_measurements(
        [measured(v) for v in (9, 5, 7, 3)], [measured(9), measured(1)], [measured(9), measured(1)]
    )
    assert swapped[0].value == pytest.approx(1 - 6 * 2 / (4 * 15))  # 1 − 6Σd²/(n(n² − 1))
    assert [m.holds for m in swapped[:3]] == [False, True, True]


def test_one_level_and_no_noise_are_held_against_turned_digits_and_joined_halves(mnist, results, monkeypatch):
    """A checkpoint's samples are noise here, whose chains may leave the numbers; the record of I1 holds real digits."""
    monkeypatch.setattr(I6, "N_CONTROL", 300)
    digits, noise = load_images("mnist_small")[:300], torch.rand(300, 1, 28, 28, generator=seeded())
    facts = ledger.attach("I1", {"samples": digits.mul(255).byte()}, {}, networks=[])
    ledger.save_record(Record("I1", "reproduced", (reported("x", 1),), facts=facts), results)
    annealed = judged_distance(I6.annealed_samples(300))
    assert annealed.value == pytest.approx(judged_distance(digits).value, rel=0.05)
    controls = I6.control_distances("I6", 300, 1)
    numbers = by_label(I6.i6_measurements(judged_distance(noise), annealed, controls))
    assert all(m.holds for m in numbers.values())
    assert set(ledger.claims()["I6"].bounds) < set(numbers)
    numbers = by_label(I11.i11_measurements({100: noise, 200: digits, 300: None}, annealed, controls))
    assert set(ledger.claims()["I11"].bounds) < set(numbers)
    nearest = numbers["nearest of three checkpoints over the farther control"]
    assert nearest.value == pytest.approx(annealed.value / max(controls["turned"], controls["joined"]).value, rel=0.05)
    assert numbers["share that the second classifier is 90 % sure of, the largest of three"].value > 0.9
    assert numbers["checkpoints that had not blown up"].value == 3
    assert numbers["checkpoints whose chains left the floating-point numbers"].value == 1


def test_checkpoints_that_have_blown_up_are_passed_over(mnist, tmp_path):
    losses = {100: -1.0, 200: 1.0, 300: -1.0, 350: -1.0, 400: -1.0, 450: -1.0}

    def training(images, settings, *, folder, save_every):
        folder.mkdir()
        for step in range(1, 451):
            if step in losses:
                torch.save({"network": ResNet(16, 1).state_dict(), "losses": [0.0] * step}, folder / "state.pt")
            yield Step(step, next(loss for end, loss in losses.items() if step <= end))

    assert list(I11.checkpoints(tmp_path, training)) == [100, 300, 350]


def test_i10_expects_nothing_of_the_distances():
    numbers = I10.i10_measurements(
        [measured(2), measured(3)], [measured(1), measured(1)], Estimate(1.0, 0.1), Estimate(0.1, 0.1)
    )
    assert ledger.word(ledger.claims()["I10"], numbers) == "reported"
    assert numbers[2].value == 1.5


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_are_flagged_also_when_moved_and_held_out_digits_and_noise_are_not(mnist, monkeypatch):
    monkeypatch.setattr(I7, "N_COPIES", 60)
    samples = perturb(load_images("mnist")[:40], 0.01, generator=seeded())
    numbers = by_label(I7.i7_measurements(samples))
    assert set(ledger.claims()["I7"].bounds) < set(numbers)
    for space in I7.SPACES:
        assert numbers[f"nearer than 99 % of test digits, {space}"].value > 0.9
        assert numbers[f"control: training digits moved by a pixel, {space}"].value > 0.9
        assert numbers[f"control: the other half of the test digits, {space}"].value < 0.1
        assert numbers[f"uniform noise, {space}"].value == 0


def test_the_pixel_test_is_that_of_brute_force(mnist):
    def noisy(x):
        return flat(perturb(x, 0.01, generator=generator))

    def flat(x):
        return (256 * x).floor().clamp(0, 255).flatten(1) / 255

    generator, labels = derived_generator(ledger.seed("I7"), 1), load_labels("mnist", "test")
    training, held_out = noisy(load_images("mnist")), noisy(load_images("mnist", "test"))[:200]
    labels = labels[:200]
    ways = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    everywhere = [moved(training.reshape(-1, 1, 28, 28), *way).flatten(1) for way in ways]
    real = torch.stack([torch.cdist(held_out, c).amin(dim=1) for c in everywhere]).amin(dim=0)
    threshold = torch.stack([real[labels == k].quantile(0.01) for k in range(10)])
    x = 0.5 * load_images("mnist")[:100]
    near = torch.stack([torch.cdist(flat(x), c).amin(dim=1) for c in everywhere]).amin(dim=0)
    classes = load_classifier(JUDGE)(flat(x).reshape(x.shape)).argmax(dim=1)
    expected = float((near < threshold[classes]).float().mean())
    assert 0.05 < expected < 0.95
    found = too_near({"x": x}, "mnist")["x"]
    assert found["pixels"].value == pytest.approx(expected, abs=0.011)


def test_quantiles_are_of_each_class():
    values, labels = torch.arange(6.0), torch.tensor([1, 0, 1, 0, 1, 0])
    torch.testing.assert_close(I7.class_quantiles(values, labels, 0.5), torch.tensor([3.0, 2.0]))
    with pytest.raises(ValueError, match=r"none of \[0\]"):
        I7.class_quantiles(values, torch.ones(6, dtype=torch.long), 0.5)


# --- small runs -------------------------------------------------------------------------------------------------------


def test_four_claims_share_their_samples_and_measure_each_bound(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(I4, "N_CONTROL", 130)
    monkeypatch.setattr(I7, "N_COPIES", 30)
    sizes = {"n_samples": 130, "n_steps": 1}
    tensors = {}
    for script in (I1, I4, I7, I10):
        record = script.measure(tmp_path / "samples", **sizes)
        assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()[record.id].bounds)
        assert ledger.outcome(record)
        assert ledger.check_weights(record).facts["n_samples"] == 130
        tensors[record.id] = load_tensors(ledger.attached_file(record))[0]
    assert len(list((tmp_path / "samples").iterdir())) == 1
    assert torch.equal(tensors["I1"]["states"][-1], tensors["I1"]["samples"][:16])
    digits = load_images("mnist")
    nearest = nearest_neighbours(tensors["I7"]["samples"].float() / 255, digits, 2).indices
    assert torch.equal(tensors["I7"]["pixels"][:, :2], digits[nearest].mul(255).round().byte())


@pytest.mark.parametrize(("script", "n"), [(I1, 128), (I5, 256)])
def test_too_few_samples_are_refused_before_any_is_drawn(script, n, mnist, tmp_path):
    with pytest.raises(ValueError, match=rf"n_samples must be more than {n}\b.*, got {n}"):
        script.measure(tmp_path / "samples", n_samples=n)
    assert not (tmp_path / "samples").exists()


def test_a_network_that_is_not_there_is_named(mnist):
    with pytest.raises(FileNotFoundError, match=r"none at .*celeba_ncsn"):
        _ = Drawing("celeba_ncsn").key
