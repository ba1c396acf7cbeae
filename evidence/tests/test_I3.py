"""I3 on a small network: what is drawn, and that no picture too near to a photograph is recorded or shown."""

import pytest
import torch

import ledger
from claims.I3 import measure as I3
from drawing import Drawing
from sbgm import RefineNet, annealed_langevin, final, geometric_sigmas
from sbgm.images import data
from sbgm.images.drawing import uniform_start
from sbgm.images.masks import right_half
from sbgm.images.weights import load_network, save_network
from sbgm.measure import Estimate, shown
from sbgm.noise import derived_generator
from seeds import seeded

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    network = RefineNet(geometric_sigmas(1.0, 0.01, 3), channels=4, generator=seeded(0))
    network.image_shape = SHAPE
    save_network(network, file := folder / "network.safetensors")
    drawing = Drawing(str(file), n_samples=40, n_steps=2, batch_size=I3.BATCH, every_level=False, precision="fp32")
    return I3.draw_faces(drawing, folder), drawing, folder


def test_samples_are_those_of_algorithm_1_and_the_film_ends_with_the_first(drawn):
    (samples, denoised, film, _), drawing, _ = drawn
    network, generator = load_network(drawing.network), derived_generator(0, 0)
    x = uniform_start((I3.BATCH, *SHAPE), generator)
    start = x.clone()
    x = final(annealed_langevin(network, x, network.sigmas, step_size=2e-5, n_steps=2, generator=generator))
    assert samples.shape == denoised.shape == (40, *SHAPE)
    torch.testing.assert_close(samples[: I3.BATCH], x)
    assert film.shape == (7, I3.N_FILM, *SHAPE)
    assert torch.equal(film[0], start[: I3.N_FILM])
    assert torch.equal(film[-1], samples[: I3.N_FILM])


def test_fills_keep_the_left_half_of_the_face_they_are_of(drawn):
    (_, denoised, _, fills), _, _ = drawn
    known = right_half(SHAPE).expand(SHAPE)
    for i in range(I3.BATCH):
        noise = (fills[i] - shown(denoised)[i // I3.N_FILLS])[known]
        assert float(noise.square().mean().sqrt()) == pytest.approx(0.01, rel=0.25)


@pytest.fixture
def measured_with(drawn, colour, monkeypatch, tmp_path):
    """Measure black samples and fills, one of which is a photograph, mirrored: measured_with("denoised", 3)."""
    made, drawing, _ = drawn
    monkeypatch.setitem(data.SETS, "celeba", data.SETS["cifar10"]._replace(title="CelebA"))
    monkeypatch.setattr(I3, "Inception", colour)
    monkeypatch.setattr(I3, "N_SHOWN", 20)

    def measure(of, at):
        pictures = {name: torch.zeros_like(getattr(made, name)) for name in ("samples", "denoised", "fills")}
        pictures[of][at] = data.load_images("celeba")[0].flip(-1)
        monkeypatch.setattr(I3, "draw_faces", lambda *_: made._replace(**pictures))
        return I3.measure(tmp_path, n_samples=40, weights=drawing.network)

    return measure


@pytest.mark.parametrize(("of", "at"), [("samples", I3.N_FILM - 1), ("denoised", I3.N_FILM - 1), ("fills", 31)])
def test_a_photograph_in_the_film_or_among_the_fills_is_not_recorded(measured_with, results, of, at):
    with pytest.raises(AssertionError, match="nearer to a training face"):
        measured_with(of, at)
    assert not results.exists()


@pytest.mark.parametrize("of", ["samples", "denoised"])
def test_a_chain_that_ends_in_a_photograph_is_withheld_and_counted(measured_with, of):
    record = measured_with(of, I3.N_FILM)
    assert record.status == "not reproduced"  # black pictures show no face
    assert record.measurement(I3.LEFT_OUT).value == 1
    nearer = "samples nearer to a training face than 99 % of test faces, mirrored pixels"
    assert record.measurement(f"denoised {nearer}").value == pytest.approx((of == "denoised") / 40)
    assert record.measurement(nearer).value == pytest.approx((of == "samples") / 40)
    pictures = ledger.load_record("I3").tensors
    assert len(pictures["denoised"]) == I3.N_SHOWN
    assert not pictures["samples"].any()
    assert not pictures["denoised"].any()


@pytest.mark.parametrize(("distance", "holds"), [(1.5, True), (0.5, False)])
def test_a_picture_too_near_to_a_training_face_is_guarded_against(distance, holds):
    held_out, far = torch.linspace(0, 100, 101), torch.full((I3.N_SHOWN,), 3.0)
    near = I3.Distances(far, far, torch.tensor([distance, 3.0]), held_out)
    kid = Estimate(0.1, 0.01)
    found = I3.i3_measurements({"samples": kid}, {"pixels": near})
    assert all(m.holds for m in found) == holds
    assert ledger.word(ledger.claims()["I3"], found) == "reported"
