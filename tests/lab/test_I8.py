"""I8: the fills of a small run that is stopped and goes on, and its numbers from fills whose numbers are known."""

import functools
import math

import pytest
import torch
from torch import nn

import claims
import drawing
import I8
from drawing import Drawing
from sbgm import masks
from sbgm.cli import main
from sbgm.files import file_hash, load_tensors

IMAGES = torch.stack([torch.zeros(1, 28, 28), torch.ones(1, 28, 28)])
LABELS = torch.tensor([3, 3])


class Broad(nn.Module):
    """The exact score of N(½, v I) data, v = 0.04, which counts its calls."""

    def __init__(self):
        super().__init__()
        self.sigmas, self.calls = torch.tensor([1.0, 0.1, 0.01]), 0

    def forward(self, x, sigma):
        self.calls += 1
        return (0.5 - x) / (0.04 + sigma**2)


def always(digit):
    """A classifier that sees the same digit everywhere."""
    return lambda x: nn.functional.one_hot(torch.full((len(x),), digit), 10).float()


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "broad.safetensors"
    path.write_bytes(b"a network")
    return str(path)


@pytest.fixture
def small(monkeypatch, tmp_path, weights):
    """Two small images, an exact score, a classifier that is always right, and an empty folder of records."""
    network = Broad()
    monkeypatch.setattr(I8, "load_images", lambda name, split: {("mnist_small", "test"): IMAGES}[name, split])
    monkeypatch.setattr(I8, "load_labels", lambda name, split: {("mnist_small", "test"): LABELS}[name, split])
    for module in (I8, drawing):
        monkeypatch.setattr(module, "load_network", lambda name: {weights: network}[name])
    monkeypatch.setattr(I8, "Drawing", functools.partial(Drawing, precision="fp32"))
    monkeypatch.setattr(I8, "load_classifier", lambda: always(3))
    return network


# --- the fills --------------------------------------------------------------------------------------------------------


def test_known_pixels_are_the_last_y_and_unknown_ones_have_the_exact_spread(weights, tmp_path):
    """y is drawn anew without the sampler. In the unknown, 4,000 chains' mean and variance, 5 standard errors."""
    settings = Drawing(weights, n_steps=100, step_size=0.01, precision="fp32")
    network = Broad()
    network.sigmas = torch.tensor([1.0, 0.1])
    fills, ys = I8.draw_fills(settings, IMAGES[:1, :, :4, :4], tmp_path, n_fills=4_000, load=lambda name: network)
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
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(3, 1, 4, 6, generator=draw)
    labels = torch.tensor([0, 1, 1])
    hidden = torch.stack(
        [masks.right_half((4, 6)), masks.centre_box((4, 6)), masks.random_mask((4, 6), generator=draw)]
    )
    ys = images[:, None] + 0.01 * torch.randn(3, 3, 5, 1, 4, 6, generator=draw)
    fills = torch.where(hidden[:, None, None], ys, torch.rand(ys.shape, generator=draw))
    fills[1, 2, 3, 0, 0, 0] += 1e-6  # a known pixel of one fill

    def classifier(x):  # by the brightness
        return torch.stack([0.5 - x.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)) - 0.5], dim=1)

    measured = I8.measure_fills(fills, ys, images, hidden, labels=labels, classifier=classifier)
    assert int(measured["changed"].sum()) == int(measured["changed"][1, 2, 3]) == 1
    for m in range(3):
        known = hidden[m]
        for j in range(3):
            spreads = fills[m, j][:, ~known].var(dim=0)
            assert float(measured["spread"][m, j]) == pytest.approx(float(spreads.mean().sqrt()), rel=1e-5)
            others = [float((images[k] - images[j])[~known].square().mean().sqrt()) for k in range(3) if k != j]
            assert measured["others"][m, j].tolist() == pytest.approx(others, rel=1e-5)
            for f in range(5):
                off = fills[m, j, f] - images[j]
                assert float(measured["known_miss"][m, j, f]) == pytest.approx(
                    float(off[known].square().mean().sqrt()), rel=1e-4
                )
                assert float(measured["miss"][m, j, f]) == pytest.approx(
                    float(off[~known].square().mean().sqrt()), rel=1e-5
                )
                bright = float((fills[m, j, f].clamp(0, 1) * 255).round().mean() / 255) > 0.5
                assert bool(measured["kept"][m, j, f]) == (int(bright) == int(labels[j]))


def good(**changes):
    """Numbers that meet what is expected, for two images and twenty fills behind each mask."""
    measured = {
        "changed": torch.zeros(3, 2, 20, dtype=torch.int64),
        "known_miss": torch.full((3, 2, 20), 0.01),
        "spread": torch.full((3, 2), 0.2),
        "kept": torch.ones(3, 2, 20, dtype=torch.bool),
        "miss": torch.full((3, 2, 20), 0.1),
        "others": torch.full((3, 2, 1), 0.4),
    }
    return measured | changes


def failing(**changes):
    return [c.label for c in I8.i8_measurements(good(**changes)) if not c.holds]


def test_what_is_expected_is_what_the_ledger_says():
    assert failing() == []
    kept = torch.ones(3, 2, 20, dtype=torch.bool)
    kept[:, :, ::2] = False
    assert failing(kept=kept) == ["right-half: class kept", "random: class kept"]  # nothing is expected of the box
    assert failing(known_miss=torch.full((3, 2, 20), 0.0103)) == [
        f"{kind}: known pixels off by, RMS" for kind in masks.KINDS
    ]
    assert failing(spread=torch.full((3, 2), 0.029)) == [
        f"{kind}: sd of unknown pixels over fills" for kind in masks.KINDS
    ]
    assert failing(miss=torch.full((3, 2, 20), 0.5)) == [
        f"{kind}: distance to the truth, over another image's" for kind in masks.KINDS
    ]
    changed = torch.zeros(3, 2, 20, dtype=torch.int64)
    changed[2, 1, 7] = 1
    assert failing(changed=changed) == ["known pixels that are not the last y"]
    few = {name: value[:, :, :19] if value.ndim == 3 and name != "others" else value for name, value in good().items()}
    assert failing(**few) == ["fills of an image behind a mask"]


def test_shares_and_ratios_have_standard_errors_over_images():
    kept = torch.ones(3, 2, 20, dtype=torch.bool)
    kept[0, 0, :4] = False
    by_label = {c.label: c for c in I8.i8_measurements(good(kept=kept))}
    share = by_label["right-half: class kept"]
    assert share.value == pytest.approx(0.9)
    assert share.se == pytest.approx(0.2 / math.sqrt(2) / math.sqrt(2))  # of .8 and 1
    assert by_label["random: distance to the truth, over another image's"].value == pytest.approx(0.25)


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_record_names_its_networks_and_rests_on_its_file(small, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(I8, "SHIPPED_CLASSIFIER", weights)
    monkeypatch.setattr("sbgm.weights.weights_folder", lambda: tmp_path)
    options = ["--n-images", "2", "--n-steps", "30", "--step-size", "3e-05", "--weights", weights]
    assert main(["evaluate", "--claim", "I8", *options, "--folder", str(tmp_path / "run")]) == 0
    record = claims.load_record("I8")
    assert repr(record) == "I8 reproduced in part"
    assert claims.check_weights(record) == record
    assert (record.facts["n_steps"], record.facts["step_size"]) == (30, 3e-5)
    assert record.facts["command"].endswith(
        f"--claim I8 --n-images 2 --n-steps 30 --step-size 3e-05 --weights {weights}"
    )
    kept = load_tensors(claims.attached_file(record))[0]
    again = I8.i8_measurements(kept)
    assert [c.value for c in again] == pytest.approx([c.value for c in record.measurements])
    assert kept["fills"].dtype == torch.uint8
    assert kept["fills"].shape == (3, 2, 6, 1, 28, 28)
    assert torch.equal(kept["images"], (IMAGES * 255).byte())
    known = kept["masks"][:, None, None].expand_as(kept["fills"])
    right = (kept["fills"].int() - kept["images"][None, :, None].int())[known]
    assert float(right.abs().max()) < 255 * 0.06  # six σ_L

    with open(weights, "wb") as file:
        file.write(b"another network")
    with pytest.raises(ValueError, match="is missing or not the network that I8 was measured with"):
        claims.check_weights(record)


@pytest.fixture
def faces(small, weights, monkeypatch, tmp_path):
    """Two grey photographs in colour, and a file that names an exact score of such."""
    path = tmp_path / "faces.safetensors"
    path.write_bytes(b"a network of faces")
    network, known = Broad(), {("mnist_small", "test"): IMAGES}
    network.image_shape, network.arguments = (3, 8, 8), {"channels": 2}
    small.image_shape = (1, 28, 28)
    known["celeba", "test"] = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    monkeypatch.setattr(I8, "load_images", lambda name, split: known[name, split])
    for module in (I8, drawing):
        monkeypatch.setattr(module, "load_network", lambda name: {weights: small, str(path): network}[name])
    return str(path)


def test_faces_are_measured_beside_digits_in_numbers_alone(faces, small, weights, tmp_path, monkeypatch):
    options = {"n_images": 2, "n_steps": 30, "step_size": 3e-5, "weights": weights, "faces": faces}
    record = I8.measure(tmp_path / "run", **options)
    assert record.data == "broad; the first 2 test images of mnist_small; as many of CelebA, uncurated"
    assert "CelebA at C = 2" in record.narrower
    assert record.facts["command"].endswith(f"--weights {weights} --faces {faces}")
    assert record.facts["network of faces"] == file_hash(tmp_path / "faces.safetensors")
    digits, of_faces = record.measurements[:14], record.measurements[14:]
    kept = load_tensors(claims.attached_file(record))[0]
    parts = {name.removeprefix(I8.FACES): value for name, value in kept.items() if name.startswith(I8.FACES)}
    assert set(parts) == {"masks", "changed", "known_miss", "spread", "miss", "others"}  # no photograph, and no fill
    again = I8.i8_measurements(parts, of=I8.FACES)
    assert [(m.label, m.value) for m in again] == [(m.label, m.value) for m in of_faces]
    assert [m.label for m in of_faces] == [f"faces, {m.label}" for m in digits if "class" not in m.label]
    assert all(m.holds for m in of_faces)


def test_a_network_of_digits_is_none_of_faces(faces, small, weights, tmp_path):
    with pytest.raises(
        ValueError, match=r"faces must name a network on images of shape \(3, 8, 8\), got .*, on \(1, 28"
    ):
        I8.measure(tmp_path / "run", n_images=2, weights=weights, faces=weights)
    assert small.calls == 0
