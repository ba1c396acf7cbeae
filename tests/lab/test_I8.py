"""I8: the fills of a small run that is stopped and goes on, and its numbers from fills whose numbers are known."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import claims
import I8
from claims import measure_claim
from drawing import Drawing
from sbgm.files import file_hash
from sbgm.images import data, masks
from sbgm.measure import quantise
from seeds import seeded


class Broad(nn.Module):
    """The exact score of N(½, v I) data, v = 0.04."""

    sigmas = torch.tensor([1.0, 0.1])

    def forward(self, x, sigma):
        return (0.5 - x) / (0.04 + sigma**2)


# --- the fills --------------------------------------------------------------------------------------------------------


def test_known_pixels_are_the_last_y_and_unknown_ones_have_the_exact_spread(tmp_path):
    """y is drawn anew without the sampler. In the unknown, 4,000 chains' mean and variance, 5 standard errors."""
    settings = Drawing("digits_mlp", n_steps=100, step_size=0.01, precision="fp32")  # of which only the name is used
    images = torch.zeros(1, 1, 4, 4)
    fills, ys = I8.draw_fills(settings, images, tmp_path, n_fills=4_000, load=lambda name: Broad())
    known = I8.known_pixels((4, 4))
    assert fills.shape == ys.shape == (3, 1, 4_000, 1, 4, 4)
    for i in range(3):
        assert torch.equal(fills[i, 0][:, known[i]], ys[i, 0][:, known[i]])
        noise = ys[i, 0] / 0.1
        assert float(noise.mean()) == pytest.approx(0, abs=5 / math.sqrt(noise.numel()))
        assert float(noise.var()) == pytest.approx(1, abs=5 * math.sqrt(2 / noise.numel()))
        unknown = fills[i, 0][:, ~known[i]]
        total = 0.04 + 0.1**2
        variance = total / (1 - 0.01 / (4 * total))  # Langevin's at ε = .01
        assert float(unknown.mean()) == pytest.approx(0.5, abs=5 * math.sqrt(variance / unknown.numel()))
        assert float(unknown.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / unknown.numel()))
    assert len(torch.unique(ys[:, 0, :, 0, 0, 0])) > 11_990  # every fill has its own y


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_every_number_is_what_a_loop_over_fills_gives():
    images, labels = torch.rand(3, 1, 4, 6, generator=(draw := seeded(1))), torch.tensor([0, 1, 1])
    kinds = [masks.right_half((4, 6)), masks.centre_box((4, 6)), masks.random_mask((4, 6), generator=draw)]
    hidden = torch.stack(kinds)
    ys = images[:, None] + 0.01 * torch.randn(3, 3, 5, 1, 4, 6, generator=draw)
    fills = torch.where(hidden[:, None, None], ys, torch.rand(ys.shape, generator=draw))
    fills[1, 2, 3, 0, 0, 0] += 1e-6  # a known pixel of one fill

    def classifier(x):  # by the brightness
        return torch.stack([0.5 - x.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)) - 0.5], dim=1)

    def rms(x):
        return x.square().mean().sqrt()

    measured = I8.measure_fills(fills, ys, images, hidden, labels=labels, classifier=classifier)
    assert int(measured["changed"].sum()) == int(measured["changed"][1, 2, 3]) == 1
    for m, known in enumerate(hidden):
        for j, image in enumerate(images):
            bright = [float((256 * x).floor().clamp(0, 255).mean()) > 255 / 2 for x in fills[m, j]]
            expected = {
                "spread": fills[m, j][:, ~known].var(dim=0).mean().sqrt(),
                "others": torch.stack([rms((images[k] - image)[~known]) for k in range(3) if k != j]),
                "known_miss": torch.stack([rms((x - image)[known]) for x in fills[m, j]]),
                "miss": torch.stack([rms((x - image)[~known]) for x in fills[m, j]]),
                "kept": torch.tensor(bright) == bool(labels[j]),
            }
            found = {name: measured[name][m, j] for name in expected}
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def good():
    """Numbers that meet what is expected, for two images and twenty fills behind each mask."""
    return {
        "changed": torch.zeros(3, 2, 20, dtype=torch.int64),
        "known_miss": torch.full((3, 2, 20), 0.01),
        "spread": torch.full((3, 2), 0.2),
        "kept": torch.ones(3, 2, 20, dtype=torch.bool),
        "miss": torch.full((3, 2, 20), 0.1),
        "others": torch.full((3, 2, 1), 0.4),
    }


def of_each(label):
    return [f"{kind}: {label}" for kind in masks.KINDS]


@pytest.mark.parametrize(
    ("name", "changed", "fails"),
    [
        ("kept", torch.arange(20).expand(3, 2, 20) % 2 > 0, ["right-half: class kept"]),
        ("known_miss", torch.full((3, 2, 20), 0.0103), of_each("known pixels off by, RMS")),
        ("spread", torch.full((3, 2), 0.029), of_each("sd of unknown pixels over fills")),
        ("miss", torch.full((3, 2, 20), 0.5), of_each("distance to the truth, over another image's")),
        ("changed", torch.eye(6, 20).long().view(3, 2, 20), ["known pixels that are not the last y"]),
        ("changed", torch.zeros(3, 2, 19, dtype=torch.int64), ["fills of an image behind a mask"]),
    ],
)
def test_what_is_expected_is_what_the_ledger_says(name, changed, fails):
    """Of the box no class is expected, and behind the random mask that of other fills, of 100 digits."""
    assert all(m.holds for m in I8.i8_measurements(good()))
    assert [m.label for m in I8.i8_measurements(good() | {name: changed}) if not m.holds] == fails


def test_shares_and_ratios_have_standard_errors_over_images():
    measured = good()
    measured["kept"][0, 0, :4] = False
    by_label = {m.label: m for m in I8.i8_measurements(measured)}
    share = by_label["right-half: class kept"]
    assert share.value == pytest.approx(0.9)
    assert share.se == pytest.approx(0.2 / math.sqrt(2) / math.sqrt(2))  # of .8 and 1
    assert by_label["random: distance to the truth, over another image's"].value == pytest.approx(0.25)


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.fixture
def faces(mnist, colour, monkeypatch):
    """A network on images of 8×8 pixels in place of CelebA's."""
    monkeypatch.setitem(data.SETS, "celeba", data.SETS["cifar10"])
    return str(mnist / "cifar10_ncsn.safetensors")


def test_a_record_rests_on_its_file_and_faces_are_there_in_numbers_alone(
    faces, tmp_path, has_the_committed_form, monkeypatch
):
    monkeypatch.setattr(I8, "N_CONTROL", 20)
    record = measure_claim("I8", I8.measure, tmp_path / "run", n_images=2, n_steps=1, faces=faces)
    digits = "the first 2 test images of mnist_small, and 10 behind the random mask"
    assert record.data == f"mnist_ncsn; {digits}; the first 2 of CelebA; uncurated"
    assert "CelebA at C = 4" in record.narrower
    assert record.facts["network of faces"] == file_hash(Path(faces))
    command = record.facts["command"].partition("/I8.py ")[2]
    assert command == f"--n-images 2 --n-steps 1 --step-size 2e-05 --weights mnist_ncsn --faces {faces}"
    kept = claims.load_record("I8").tensors
    assert torch.equal(kept["images"], quantise(data.load_images("mnist_small", "test")[:2]))
    parts = {name.removeprefix(I8.FACES): value for name, value in kept.items() if name.startswith(I8.FACES)}
    assert set(parts) == {"masks", "changed", "known_miss", "spread", "miss", "others"}  # no photograph, and no fill
    of_digits, of_faces = I8.i8_measurements(kept), I8.i8_measurements(parts, of=I8.FACES)
    assert record.measurements[: len(of_digits + of_faces)] == (*of_digits, *of_faces)
    assert [m.label for m in of_faces] == [f"faces, {m.label}" for m in of_digits if "class" not in m.label]
    again = [measure_claim("I8", I8.measure, tmp_path / "run", n_images=2, n_steps=1) for _ in range(2)]
    assert again[0] == again[1]  # the faces are those of the record before
    assert again[0].measurements == record.measurements
    assert again[0].facts["command of faces"] == record.facts["command"]
    assert again[0].facts["sha256"] == record.facts["sha256"]
    has_the_committed_form(again[1])


def test_a_network_of_digits_is_none_of_faces(faces, tmp_path):
    with pytest.raises(ValueError, match=r"faces must name a network .*\(3, 8, 8\), got mnist_ncsn, on \(1, 28"):
        measure_claim("I8", I8.measure, tmp_path / "run", n_images=2, faces="mnist_ncsn")
    assert not (tmp_path / "run").exists()
