"""I12 and I13: Figs. 4 and 6 on CIFAR-10, what is expected, and small runs on random images in its place."""

import math

import pytest
import torch

import ledger
from claims.I12 import measure as I12
from claims.I13 import measure as I13
from ledger import Record, reported
from sbgm.measure import Estimate, quantise
from sbgm.noise import perturb
from seeds import seeded


def by_label(measurements):
    return {m.label: m for m in measurements}


def test_chains_of_colour_are_measured_after_each_level(mnist, colour, results, tmp_path):
    record = I12.measure(tmp_path / "samples", n_samples=5, n_steps=1, n_reference=30)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I12"].bounds)
    assert ledger.outcome(record)
    kept = record.tensors
    assert kept["states of chains"].shape == kept["denoised of chains"].shape == (2, 5, 3, 8, 8)
    assert kept["real"].shape == (2, 2)
    names = ("states", "denoised", "real", "low", "smooth")
    curves = {name: [Estimate(*pair) for pair in kept[name].tolist()] for name in names}
    assert tuple(I12.i12_measurements(**curves)) == record.measurements


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
    found = by_label(I13.i13_measurements(numbers))
    assert set(ledger.claims()["I13"].bounds) < set(found)
    assert all(m.met for m in found.values())
    numbers["centre-box: changed"] = torch.ones(4)
    numbers["right-half: unknown, variance over fills"] = torch.full((4,), 0.029**2)
    failed = {m.label for m in I13.i13_measurements(numbers) if not m.met}
    assert failed == {"known pixels that are not the last y", "right-half: sd of unknown pixels over fills"}


def test_the_record_of_fills_holds_no_image_of_the_data(mnist, colour, results, tmp_path):
    samples = torch.rand(4, 3, 8, 8, generator=seeded(5))
    facts = ledger.attach(
        ledger.record_file("I2", suffix=".safetensors"), {"denoised": quantise(samples)}, {}, networks=[]
    )
    ledger.save_record(Record("I2", "reported", (reported("x", 1),), facts=facts))
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
