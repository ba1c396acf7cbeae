"""I12 to I15 and N6: claims on CIFAR-10, what is expected, and small runs on random images in its place."""

import math

import pytest
import torch

import ledger
from claims.I12 import measure as I12
from claims.I13 import measure as I13
from claims.I14 import measure as I14
from claims.I15 import measure as I15
from claims.N6 import measure as N6
from ledger import Record, reported
from sbgm.images.data import load_images
from sbgm.measure import quantise
from sbgm.noise import perturb
from seeds import seeded


def by_label(measurements):
    return {m.label: m for m in measurements}


def samples_of_I2(samples):
    file = ledger.record_file("I2", suffix=".safetensors")
    facts = ledger.attach(file, {"denoised": quantise(samples)}, {}, networks=[])
    ledger.save_record(Record("I2", "reported", (reported("x", 1),), facts=facts))


def test_chains_of_colour_are_measured_after_each_level(mnist, colour, results, tmp_path):
    record = I12.measure(tmp_path / "samples", n_samples=5, n_steps=1, n_reference=30)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I12"].bounds)
    assert ledger.outcome(record)
    kept = record.tensors
    assert kept["states of chains"].shape == kept["denoised of chains"].shape == (2, 5, 3, 8, 8)
    assert kept["real"].shape == (2, 2)
    assert tuple(I12.measurements(kept)) == record.measurements


def test_fills_of_colour_are_held_against_the_truth_and_retrieved_parts():
    """Even colours: fills are the truth with noise of 0.05 where hidden and 0.01 elsewhere, parts are other colours."""
    colours, others = torch.rand(4, 3, generator=seeded()), torch.rand(50, 3, generator=seeded(1))
    images, training = (x[:, :, None, None].expand(-1, -1, 8, 8) for x in (colours, others))
    of_parts = torch.cdist(colours, others).topk(3, largest=False).values.square().div(3).add(0.01**2).sqrt()
    numbers = {}
    for kind, known in zip(I13.KINDS, I13.known_pixels(4, (8, 8)), strict=True):
        ys = perturb(images[:, None].expand(-1, 200, -1, -1, -1).flatten(0, 1), 0.01, generator=seeded(2))
        ys = ys.unflatten(0, (4, 200))
        fills = torch.where(known[:, None], ys, images[:, None] + 5 * (ys - images[:, None]))
        of_kind = I13.measure_kind(fills, ys, images, known, training, seeded(3))
        numbers |= {f"{kind}: {name}": values for name, values in of_kind.items()}
        exact = {"rel": 4 / math.sqrt(2 * 4 * 200 * 48)}  # 4 standard errors: 48 numbers at least are hidden
        assert float(of_kind["known, mean square"].mean().sqrt()) == pytest.approx(0.01, **exact)
        assert float(of_kind["unknown, variance over fills"].mean().sqrt()) == pytest.approx(0.05, **exact)
        assert float(of_kind["fills, miss"].mean()) == pytest.approx(0.05, rel=0.01)
        assert float(of_kind["retrieved parts, miss"].mean()) == pytest.approx(float(of_parts.mean()), rel=0.02)
    found = by_label(I13.measurements(numbers))
    assert set(ledger.claims()["I13"].bounds) < set(found)
    assert all(m.met for m in found.values())
    numbers["centre-box: changed"] = torch.ones(4)
    numbers["right-half: unknown, variance over fills"] = torch.full((4,), 0.029**2)
    failed = {m.label for m in I13.measurements(numbers) if not m.met}
    assert failed == {"known pixels that are not the last y", "right-half: sd of unknown pixels over fills"}


def test_the_record_of_fills_holds_no_image_of_the_data(mnist, colour, results, tmp_path):
    samples = torch.rand(4, 3, 8, 8, generator=seeded(5))
    samples_of_I2(samples)
    record = I13.measure(tmp_path / "fills", n_images=2, n_steps=1)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I13"].bounds)
    assert ledger.outcome(record)
    assert by_label(record.measurements)["known pixels that are not the last y"].value == 0
    kept = record.tensors
    images = {name: tensor for name, tensor in kept.items() if tensor.ndim > 1}
    assert set(images) == {"originals", "fills", "masks"}
    assert torch.equal(images["originals"], quantise(samples))
    assert images["fills"].shape == (2, 4, 3, 3, 8, 8)
    known = images["masks"][:, None, None].expand_as(images["fills"])
    off = images["fills"].float() - images["originals"].float()[None, :, None]
    assert float(off[known].abs().mean()) < 26  # of 255: σ_L is 0.1 here


@pytest.mark.parametrize(("mirrored", "copied"), [(False, True), (True, True), (False, False)])
def test_copies_in_colour_are_flagged_also_when_mirrored_and_other_images_are_not(
    mnist, colour, monkeypatch, mirrored, copied
):
    """Samples are 40 training images, or as many new ones of their kind; the network is not trained."""
    monkeypatch.setattr(I14, "Inception", colour)
    monkeypatch.setattr(I14, "N_COPIES", 60)
    images = load_images("cifar10")[:40] if copied else torch.rand(40, 3, 8, 8, generator=seeded(7)) ** 2
    samples_of_I2(images.flip(-1) if mirrored else images)
    record = I14.measure(n_test=200)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I14"].bounds)
    assert ledger.outcome(record)
    assert tuple(I14.measurements(record.tensors)) == record.measurements
    numbers = by_label(record.measurements)
    for space in I14.SPACES:
        assert numbers[f"nearer than 99 % of test images, {space}"].value == pytest.approx(float(copied), abs=0.1)
        assert numbers[f"control: other test images, {space}"].value < 0.1


def test_contrast_is_that_of_samples():
    images, samples = torch.rand(50, 3, 8, 8, generator=seeded()), torch.rand(20, 3, 8, 8, generator=seeded(1)) / 4
    stretched = I14.with_contrast_of(images, samples)
    assert float(stretched.mean()) == pytest.approx(float(images.mean()))
    assert float(stretched.std()) == pytest.approx(float(samples.std()))


def test_fid_stands_beside_that_of_photographs_and_of_blurred_ones(mnist, colour, monkeypatch, tmp_path):
    monkeypatch.setattr(I15, "Inception", colour)
    monkeypatch.setattr("sbgm.measure.inception.FEWEST_FOR_FID", 60)
    record = I15.measure(tmp_path / "samples", n_samples=100, n_reference=200)
    assert record.status == "reported"
    assert ledger.outcome(record)
    numbers = by_label(record.measurements)
    assert 0 < numbers["FID of test images"].value < numbers["FID of test images in low resolution"].value
    assert set(numbers) > {"FID of samples", "Inception Score of samples", "KID of samples"}
    assert tuple(I15.measurements(record.tensors)) == record.measurements


def test_a_norm_without_alpha_is_the_plain_one_before_and_after_training(colour, monkeypatch):
    monkeypatch.setattr(N6, "CHANNELS", 4)
    network = N6.trained(load_images("cifar10"), "α = 0", iterations=3, first_seed=0)
    norm, x = network.norm, torch.randn(5, 4, 8, 8, generator=seeded())
    gamma, _, beta = norm.levels.weight[2].chunk(3)
    plain = torch.nn.functional.instance_norm(x, weight=gamma, bias=beta)
    torch.testing.assert_close(norm(x, torch.full((5,), 2)), plain)
    assert beta.any()  # it was trained


def test_colours_that_one_arm_shifts_are_seen(colour, results, monkeypatch, tmp_path):
    monkeypatch.setattr(N6, "CHANNELS", 4)
    monkeypatch.setattr(N6, "STEPS_PER_LEVEL", 1)
    record = N6.measure(tmp_path / "N6", iterations=1, n_samples=20)
    assert tuple(N6.measurements(record.tensors)) == record.measurements
    photographs = torch.rand(100, 3, generator=seeded(1))
    of_arm = {"α = 0": photographs + 0.5, "α learned": photographs + 0.1}
    kept = {"test images": photographs, "photographs": photographs + 0.01}
    kept |= {f"{arm}, training {i}": x + 0.001 * i for arm, x in of_arm.items() for i in range(3)}
    numbers = by_label(N6.measurements(kept))
    ratio = numbers["log₁₀ of distance with α = 0 over distance with α learned"]
    assert ratio.value == pytest.approx(math.log10(25), abs=0.02)
    assert numbers["α = 0: spread over photographs'"].value == pytest.approx(1)
    assert ratio.met
