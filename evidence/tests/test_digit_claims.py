"""I1, I4, I6, I7 and I11: what is expected of digits, and small runs."""

import math

import pytest
import torch

import ledger
from claims.I1 import measure as I1
from claims.I4 import measure as I4
from claims.I6 import measure as I6
from claims.I7 import measure as I7
from claims.I11 import measure as I11
from claims.I12 import measure as I12
from controls import moved
from errors import of_networks
from ledger import Record, reported
from samples import as_rows, class_quantiles, judged_distance, levels_farther, too_near
from sbgm import derived_generator
from sbgm.files import load_tensors
from sbgm.images.data import load_images, load_labels
from sbgm.measure import Estimate, nearest_neighbours
from sbgm.measure.classifier import JUDGE, load_classifier
from sbgm.noise import perturb
from seeds import seeded


def measured(value):
    return Estimate(value, 0.1)


def by_label(measurements):
    return {m.label: m for m in measurements}


# --- what is expected -------------------------------------------------------------------------------------------------


def test_held_out_digits_are_sharp_and_varied_and_noise_and_one_class_are_not(mnist):
    digits, labels = load_images("mnist_small", "test")[:300], load_labels("mnist_small", "test")[:300]
    good = by_label(I1.measurements({"samples": digits}))
    assert all(m.holds for m in good.values())
    assert set(ledger.claims()["I1"].bounds) < set(good)
    smallest = float(labels.bincount(minlength=10).min()) / 300
    assert good["smallest share of a class"].value == pytest.approx(smallest, abs=0.02)
    assert good["smallest share of a class"].se == pytest.approx(math.sqrt(smallest / 300), rel=0.5)
    noise = by_label(I1.measurements({"samples": torch.rand(300, 1, 28, 28, generator=seeded(3))}))
    assert noise["distance over that of uniform noise"].value == pytest.approx(1, rel=0.1)
    assert not noise["distance over that of uniform noise"].holds
    ones = load_images("mnist_small")[load_labels("mnist_small") == 1][:200]
    failed = {m.label for m in I1.measurements({"samples": ones}) if not m.holds}
    assert {"smallest share of a class", "largest share of a class"} <= failed


EVOLUTIONS = [(I4, "digits", "turned"), (I12, "photographs", "low")]


@pytest.mark.parametrize(("claim", "real", "wrong_images"), EVOLUTIONS)
def test_distances_must_fall_and_rise_at_no_level_by_more_than_three_standard_errors(claim, real, wrong_images):
    def numbers(*curves):
        names = ("states", "denoised", "real", wrong_images, "smooth")
        return by_label(claim.measurements(as_rows(dict(zip(names, curves, strict=True)))))

    def missed(*curves):
        return {label for label, m in numbers(*curves).items() if not m.met}

    falling = [measured(v) for v in (9, 7, 5, 5.1, 3)]  # one rise, by less than one standard error
    wrong, smooth, nearer = ([measured(v)] for v in (6, 8, 2))  # the chains end at 3
    good = numbers(falling, falling, falling, wrong, smooth)
    bounds = set(ledger.claims()["I4" if claim is I4 else "I12"].bounds)
    assert bounds < set(good)
    assert all(m.met for m in good.values())
    fall = good["denoised: distance after σ_1 minus that after σ_L"]
    assert (fall.value, fall.se) == (6, pytest.approx(math.sqrt(0.02)))
    up = [measured(v) for v in (3, 3.4, 3.9)]  # differences have a standard error of 0.14: one is within three
    assert levels_farther(up) == 1
    of_denoised = {"distance after σ_1 minus that after σ_L", "levels clearly farther than the one before"}
    assert missed(falling, up, falling, wrong, smooth) == {f"denoised: {label}" for label in of_denoised}
    control = f"control: {real} with each level's noise"
    assert missed(falling, falling, up, wrong, smooth) == {f"{control}: {label}" for label in of_denoised}
    assert missed(falling, falling, falling, nearer, nearer) == {b for b in bounds if "at σ_L over that of" in b}


def test_one_level_is_held_against_turned_digits_and_joined_halves(mnist, results, monkeypatch):
    """The samples are noise here; the record of I1 holds real digits."""
    monkeypatch.setattr(I6, "N_CONTROL", 300)
    digits, noise = load_images("mnist_small")[:300], torch.rand(300, 1, 28, 28, generator=seeded())
    facts = ledger.attach(
        ledger.record_file("I1", suffix=".safetensors"), {"samples": digits.mul(255).byte()}, {}, networks=[]
    )
    ledger.save_record(Record("I1", "reproduced", (reported("x", 1),), facts=facts))
    annealed = judged_distance(I6.annealed_samples(300))
    assert annealed.value == pytest.approx(judged_distance(digits).value, rel=0.05)
    numbers = by_label(I6.measurements({"samples": noise}))
    assert all(m.holds for m in numbers.values())
    assert set(ledger.claims()["I6"].bounds) < set(numbers)


# --- no noise, and a little -------------------------------------------------------------------------------------------


def test_chains_without_a_score_get_as_far_as_free_diffusion_and_those_with_one_are_held():
    """In 784,000 pixels, 4 standard errors; the score of N(digit, σ² I) keeps chains at σ, by Langevin's variance."""
    digits = torch.zeros(1_000, 1, 28, 28)
    free = I11.run_chains(lambda x, sigma: torch.zeros_like(x), digits, seeded(), n_steps=100)
    close = {"rel": 4 / math.sqrt(2 * digits.numel())}
    assert I11.rms(free.from_digits) == pytest.approx(I11.free_diffusion(100), **close)
    assert I11.free_diffusion(100) == pytest.approx(math.sqrt(0.01**2 + 100 * 2e-5))
    assert free.from_noise.shape == (I11.N_FROM_NOISE, 1, 28, 28)
    held = I11.run_chains(lambda x, sigma: -x / 0.01**2, digits, seeded(), n_steps=100).from_digits
    assert I11.rms(held) == pytest.approx(0.01 / math.sqrt(1 - 2e-5 / (4 * 0.01**2)), **close)


def test_no_noise_must_drive_chains_away_and_noise_must_hold_them_over_seeds():
    digits = torch.zeros(4, 1, 2, 2)
    free = I11.free_diffusion(I11.N_STEPS)

    def chains(*distances):
        return [I11.Chains(torch.full_like(digits, free * d), digits + 0.5) for d in distances]

    losses = {"no noise": [torch.tensor([-1.0, 2.0])] * 3, "σ = 0.01": [torch.tensor([-1.0, -2.0])] * 3}
    arms = {"no noise": chains(1.8, 2.0, 2.2), "σ = 0.01": chains(0.5, 0.6, 0.7)}
    found = by_label(I11.measurements(arms, losses, digits, digits))
    assert set(ledger.claims()["I11"].bounds) < set(found)
    assert all(m.met for m in found.values())
    raw = found["no noise: log₁₀ of distance over free diffusion's, ten networks"]
    logs = of_networks(torch.tensor([1.8, 2.0, 2.2]).log10())
    assert (raw.value, raw.se) == (pytest.approx(logs.value, rel=1e-4), pytest.approx(logs.se, rel=1e-4))
    assert found["σ = 0.01: distance over free diffusion's, the smallest"].value == pytest.approx(0.5)
    assert found["no noise: distance over free diffusion's, the largest"].value == pytest.approx(2.2)
    assert found["no noise, from noise: RMS distance to the nearest training digit"].value == pytest.approx(0.5)
    assert found["no noise: networks whose loss has passed that of a zero score"].value == 3
    assert found["σ = 0.01: networks whose loss has passed that of a zero score"].value == 0
    arms = {"no noise": chains(0.9, 1.0, 2.2), "σ = 0.01": chains(0.5, 0.6, 1.7)}
    assert [m.met for m in I11.measurements(arms, losses, digits, digits) if m.kind == "expected"] == [False, False]


def test_i11_trains_both_kinds_alike_and_goes_on_from_what_is_kept(mnist, results, tmp_path, monkeypatch):
    for name, value in {"N_ITERATIONS": 2, "N_STEPS": 1, "N_DIGITS": 3, "N_FROM_NOISE": 2}.items():
        monkeypatch.setattr(I11, name, value)
    monkeypatch.setattr(I11, "N_NETWORKS", {"no noise": 3, "σ = 0.01": 2})
    record = I11.measure(tmp_path / "I11")
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I11"].bounds)
    assert ledger.outcome(record)
    kept = record.tensors
    assert kept["no noise, from digits"].shape == (3, 1, 28, 28)
    assert kept["σ = 0.01, from noise"].shape == (I11.N_FROM_NOISE, 1, 28, 28)
    assert kept["losses, no noise"].shape == (3, 2)
    assert kept["losses, σ = 0.01"].shape == (2, 2)
    monkeypatch.setattr("figure1.sliced_score_matching_loss", None)  # nothing is trained again
    assert I11.measure(tmp_path / "I11").measurements == record.measurements


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_are_flagged_also_when_moved_and_held_out_digits_and_noise_are_not(mnist, monkeypatch):
    monkeypatch.setattr(I7, "N_COPIES", 60)
    samples = perturb(load_images("mnist")[:40], 0.01, generator=seeded())
    numbers = by_label(I7.measurements(samples))
    assert set(ledger.claims()["I7"].bounds) < set(numbers)
    for space in I7.SPACES:
        assert numbers[f"nearer than 99 % of test digits, {space}"].value > 0.9
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
    torch.testing.assert_close(class_quantiles(values, labels, 0.5), torch.tensor([3.0, 2.0]))


# --- small runs -------------------------------------------------------------------------------------------------------


def test_three_claims_share_their_samples_and_measure_each_bound(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(I4, "N_CONTROL", 130)
    monkeypatch.setattr(I7, "N_COPIES", 30)
    tensors = {}
    for script in (I1, I4, I7):
        record = script.measure(tmp_path / "samples", n_samples=130, n_steps=1)
        assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()[record.id].bounds)
        assert ledger.outcome(record)
        assert ledger.check_weights(record).facts["n_samples"] == 130
        tensors[record.id] = load_tensors(ledger.attached_file(record))[0]
    assert list(tensors) == ["I1", "I4", "I7"]
    assert torch.equal(tensors["I1"]["states"][-1], tensors["I1"]["samples"][:16])
    digits = load_images("mnist")
    nearest = nearest_neighbours(tensors["I7"]["samples"].float() / 255, digits, 2).indices
    assert torch.equal(tensors["I7"]["pixels"][:, :2], digits[nearest].mul(255).round().byte())
