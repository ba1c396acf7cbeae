"""I3 on a small network: what is drawn, and that no picture too near to a photograph is recorded."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import avg_pool2d

from sbgm import RefineNet, annealed_langevin, final, geometric_sigmas
from sbgm.generation import uniform_start
from sbgm.lab import claims, faces
from sbgm.lab.claims import word
from sbgm.lab.drawing import Drawing
from sbgm.masks import right_half
from sbgm.measure import Measured, Neighbours, inception, shown
from sbgm.measure.judging import FeatureSpace, Reference
from sbgm.noise import derived_generator
from sbgm.weights import load_network, save_network
from seeds import initial_weights_from

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    with initial_weights_from(0):
        network = RefineNet(geometric_sigmas(1.0, 0.01, 3), channels=4)
    network.image_shape = SHAPE
    save_network(network, file := folder / "network.safetensors")
    drawing = Drawing(str(file), n_samples=40, n_steps=2, batch_size=faces.BATCH, precision="fp32")
    return faces.draw_faces(drawing, folder), drawing, folder


def test_samples_are_those_of_algorithm_1_and_the_film_ends_with_the_first(drawn):
    (samples, denoised, film, _), drawing, _ = drawn
    network, generator = load_network(drawing.network), derived_generator(0, 0)
    x = uniform_start((faces.BATCH, *SHAPE), generator)
    start = x.clone()
    x = final(annealed_langevin(network, x, network.sigmas, step_size=2e-5, n_steps=2, generator=generator))
    assert samples.shape == denoised.shape == (40, *SHAPE)
    torch.testing.assert_close(samples[: faces.BATCH], x)
    assert film.shape == (7, faces.N_FILM, *SHAPE)
    assert torch.equal(film[0], start[: faces.N_FILM])
    assert torch.equal(film[-1], samples[: faces.N_FILM])


def test_fills_keep_the_left_half_of_the_face_they_are_of(drawn):
    (_, denoised, _, fills), _, _ = drawn
    known = right_half(SHAPE).expand(SHAPE)
    for i in range(faces.BATCH):
        noise = (fills[i] - shown(denoised)[i // faces.N_FILLS])[known]
        assert float(noise.square().mean().sqrt()) == pytest.approx(0.01, rel=0.25)


def test_what_was_drawn_is_taken_from_the_folder(drawn, monkeypatch):
    expected, drawing, folder = drawn
    monkeypatch.setattr(faces, "annealed_langevin", None)
    monkeypatch.setattr(faces, "inpaint", None)
    for a, b in zip(faces.draw_faces(drawing, folder), expected, strict=True):
        assert torch.equal(a, b)


def test_photographs_among_the_pictures_are_not_recorded(drawn, monkeypatch, tmp_path):
    """Small images in place of faces, means of 2×2 pixels in place of features, and training images for samples."""
    made, drawing, _ = drawn
    photographs = {
        split: torch.rand(101, *SHAPE, generator=torch.Generator().manual_seed(seed))
        for seed, split in enumerate(("train", "test"))
    }
    space = FeatureSpace(lambda x: avg_pool2d(shown(x), 2).flatten(1), "means of 2×2 pixels", "means")
    copies = photographs["train"][:40]
    stand_ins = {
        "load_images": lambda name, split="train": photographs[split],
        "reference_for": lambda name, space, split: Reference(space.function(photographs[split]), f"{split} images"),
        "feature_space": lambda name, inception: space,
        "Inception": lambda weights, device: SimpleNamespace(name="means"),
        "draw_faces": lambda *_: made._replace(samples=copies, denoised=copies),
        "N_SHOWN": 40,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(faces, name, stand_in)
    monkeypatch.setattr(inception, "N_FEATURES", 48)
    monkeypatch.setattr(claims, "results_folder", lambda: tmp_path / "results")
    with pytest.raises(AssertionError, match="nearer to a training face"):
        faces.measure_faces(tmp_path, n_samples=40, weights=drawing.network)
    assert not (tmp_path / "results").exists()
    black = made._replace(samples=0 * copies, denoised=0 * copies, fills=0 * made.fills)  # far from all of them
    monkeypatch.setattr(faces, "draw_faces", lambda *_: black)
    assert faces.measure_faces(tmp_path, n_samples=40, weights=drawing.network).status == "reported"


@pytest.mark.parametrize(("distance", "holds"), [(1.5, True), (0.5, False)])
def test_a_picture_too_near_to_a_training_face_is_guarded_against(distance, holds):
    indices = torch.zeros(101, 1, dtype=torch.long)
    held_out = Neighbours(torch.linspace(0, 100, 101)[:, None], indices)
    pictures = Neighbours(torch.tensor([[distance], [3.0]]), indices[:2])
    kid = Measured("KID", 0.1, 0.01, 20, 20, "images", "features")
    found = faces.i3_measurements({"samples": kid}, {"pixels": (pictures, held_out)})
    assert all(m.holds for m in found) == holds
    assert word(found, granted="reported") == "reported"
