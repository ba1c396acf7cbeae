"""I8: the fills of a small run that is stopped and goes on, and its numbers from fills whose numbers are known."""

import math

import pytest
import torch
from torch import nn

import ledger
import samples
from claims.I8 import measure as I8
from controls import seam
from fills import draw_fills
from sbgm.images import data, masks
from sbgm.measure import quantise
from seeds import seeded


class Broad(nn.Module):
    """The exact score of N(½, v I) data, v = 0.04."""

    sigmas = torch.tensor([1.0, 0.1])
    image_shape = (1, 4, 4)

    def forward(self, x, sigma):
        return (0.5 - x) / (0.04 + sigma**2)


# --- the fills --------------------------------------------------------------------------------------------------------


def test_known_pixels_are_the_last_y_and_unknown_ones_have_the_exact_spread(tmp_path, monkeypatch):
    """y is drawn anew without the sampler. In the unknown, 4,000 chains' mean and variance, 5 standard errors."""
    settings = samples.Drawing("broad", n_steps=100, step_size=0.01, precision="fp32")
    monkeypatch.setattr(samples, "load_network", lambda name: Broad())
    of_images = I8.known_pixels(1, (4, 4))
    fills, ys = draw_fills(settings, torch.zeros(1, 1, 4, 4), of_images, tmp_path, n_fills=4_000)
    known = of_images[:, 0]
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


def test_every_number_is_what_a_loop_over_fills_gives(monkeypatch):
    images, labels = torch.rand(3, 1, 4, 6, generator=(draw := seeded(1))), torch.tensor([0, 1, 1])
    known = torch.stack([masks.random_mask((4, 6), generator=draw) for _ in images])
    fills = torch.where(known[:, None], images[:, None], torch.rand(3, 5, 1, 4, 6, generator=draw))
    monkeypatch.setattr(I8, "read", lambda x: (x[:, 0, 0, 0] > 0.5, (x.mean(dim=(1, 2, 3)) > 0.5).long()))
    measured = I8.measure_fills(fills, images, known, labels)
    for j, image in enumerate(images):
        hidden = ~known[j]
        expected = {
            "seam": torch.stack([seam(x[None], known[j, None]) for x in fills[j]]).mean(),
            "miss": torch.stack([(x - image)[hidden].square().mean().sqrt() for x in fills[j]]).mean(),
            "clear": (clear := fills[j, :, 0, 0, 0] > 0.5).double().mean(),
            "sure": (clear & ((fills[j].mean(dim=(1, 2, 3)) > 0.5) == bool(labels[j]))).double().mean(),
        }
        numbers = {name: float(values[j]) for name, values in measured.items()}
        assert numbers == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-4)


def good():
    """Numbers that meet what is expected, for twenty images."""
    numbers = {}
    generator = seeded()
    for kind in I8.KINDS:
        of_kind = {
            "changed": torch.zeros(20),
            "known, mean square": torch.full((20,), 1e-4),
            "unknown, variance over fills": torch.full((20,), 0.04),
            "class kept": torch.ones(20),
            "truth, seam": torch.full((20,), 0.1),
        }
        for name, *means in (
            ("fills", 0.12, 0.3, 0.9),
            ("retrieved parts", 0.2, 0.4, 0.8),
            ("mean digit", 0.4, 0.45, 0.1),
        ):
            for number, mean in zip(("seam", "miss", "clear", "sure"), (*means, means[-1]), strict=True):
                of_kind[f"{name}, {number}"] = mean + 0.01 * torch.randn(20, generator=generator)
        for start in (f"{kind}: ", f"control, {kind}: "):
            numbers |= {f"{start}{name}": values.double() for name, values in of_kind.items()}
    return numbers


@pytest.mark.parametrize(
    ("name", "value", "fails"),
    [
        ("random: changed", 1, "known pixels that are not the last y"),
        ("random: unknown, variance over fills", 0.029**2, "random: sd of unknown pixels over fills"),
        ("random: mean digit, clear", 0.95, "random: clear digits, fills minus a mean digit"),
        (
            "control, random: mean digit, clear",
            0.85,
            "control: random: clear digits, a mean digit minus retrieved parts",
        ),
    ],
)
def test_what_is_expected_is_what_the_ledger_says(name, value, fails):
    assert all(m.met for m in I8.measurements(good()))
    numbers = good()
    numbers[name] = torch.full((20,), value, dtype=torch.float64)
    assert [m.label for m in I8.measurements(numbers) if not m.met] == [fails]


def test_places_and_ratios_are_of_means_over_images():
    by_label = {m.label: m for m in I8.measurements(good())}
    assert by_label["random: seam"].value == pytest.approx(0.2, abs=0.06)  # .12 between .1 and .2
    assert by_label["random: distance to the truth"].value == pytest.approx(0.75, abs=0.03)
    assert 0 < by_label["random: distance to the truth"].se < 0.02


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_record_rests_on_its_file(mnist, results, tmp_path, monkeypatch):
    monkeypatch.setattr(I8, "N_CONTROL", 4)
    record = I8.measure(tmp_path / "run", n_images=2, n_steps=1)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I8"].bounds)
    assert ledger.outcome(record)
    kept = ledger.load_record("I8").tensors
    assert torch.equal(kept["images"], quantise(data.load_images("mnist_small", "test")[1_000:1_002]))
    assert kept["fills"].shape == (3, 2, 5, 1, 28, 28)
    assert tuple(I8.measurements(kept)) == record.measurements
    again = I8.measure(tmp_path / "run", n_images=2, n_steps=1)
    assert again.measurements == record.measurements  # from the folder


def test_every_image_has_a_random_mask_of_its_own():
    right, box, random = I8.known_pixels(3, (28, 28))
    assert torch.equal(right[0], masks.right_half((28, 28)))
    assert torch.equal(box[0], box[2])
    assert not torch.equal(random[0], random[1])
    assert torch.equal(I8.known_pixels(5, (28, 28))[2, :3], random)
