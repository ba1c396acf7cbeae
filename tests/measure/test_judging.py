"""Samples judged: what applies to which data, references in the cache, the files that are read, and the command."""

import hashlib
import math
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torchvision.transforms.functional import to_pil_image

from data_server import serving
from sbgm import __main__ as command
from sbgm.apps.evaluate import sentence
from sbgm.files import cache_folder, content_hash, save_tensors
from sbgm.images.data import load_images
from sbgm.images.own import own_images
from sbgm.measure import (
    Estimate,
    GaussianBaseline,
    Inception,
    frechet_distance,
    hog_features,
    inception,
    inception_score,
    judging,
    kernel_distance,
    nearest_neighbours,
    quantise,
    share,
    shown,
)
from sbgm.measure.judging import FeatureSpace, Judged, judge, load_images_of, reference_for, some_images
from seeds import seeded

# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A data folder of our own, so that nothing is cached outside it."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    return tmp_path


# --- judging ---------------------------------------------------------------------------------------------------------


def judged(*arguments, **options):
    """What `judge` says, by measure and control."""
    return {(one.name, one.control): one for one in judge(*arguments, **options)}


def test_real_digits_are_near_and_noise_is_far():
    real = load_images("mnist_small")[:400]
    noise = torch.rand(400, 1, 28, 28, generator=seeded())
    near = judged(real, "mnist_small", n_reference=1_000)
    far = judged(noise, "mnist_small", n_reference=1_000)
    distance, of_noise = (found["Fréchet distance", ""].number.value for found in (near, far))
    assert distance < of_noise / 100
    of_controls = {
        name: near["Fréchet distance", f"{name} (train split)"].number.value
        for name in ("real images", "shuffled blocks", "low resolution", "Gaussian")
    }
    assert of_controls.pop("real images") == pytest.approx(distance, abs=0.5)  # of as many real images
    assert min(of_controls.values()) > 5 * distance
    median = "median distance to the nearest", ""
    assert near[median].number.value == 0  # training images are their own nearest
    assert far[median].number.value > 10
    one = near["Fréchet distance", ""]
    assert one[2:5] == (400, 1_000, "MNIST (small) test images, classifier features")
    for classifier in ("mnist_classifier", "mnist_judge"):
        assert near[f"{classifier} at least 90 % sure", ""].number.value >= 0.9
        assert far[f"{classifier} at least 90 % sure", ""].number.value < 0.0005
    assert near["PRDC", ""][2:5] == (400, 400, "MNIST (small) test images, judge features")
    # Noise looks all alike to the judge, and lies in the large ball of an outlier: precision and density are fooled.
    assert far["PRDC", ""].number.recall == (0, 0)
    assert far["PRDC", ""].number.coverage.value < 0.05
    assert sum(near[f"class {digit}", ""].number.value for digit in range(10)) == pytest.approx(1)


def test_a_measure_that_takes_more_samples_is_named_with_how_many_it_takes():
    found = judged(load_images("mnist_small")[:5], "mnist_small", n_reference=200)
    reasons = {one.name: one.left_out for one in found.values() if one.left_out}  # and no control says the same again
    assert list(reasons) == ["Fréchet distance", "PRDC", "class shares"]
    assert reasons["Fréchet distance"].startswith("samples must be of more images than there are features")
    assert reasons["PRDC"].startswith("samples must be at least 6 points")
    assert reasons["class shares"].startswith("logits must be of at least 56 samples")
    assert all((one.number is None) == bool(one.left_out) for one in found.values())


def test_the_error_of_a_median_is_its_scatter():
    """Of 100 normal distances, √(π/2)/10 to first order; over 400 sets, ± 4 standard errors of a scatter, 1/√800."""
    distances = 5 + torch.randn(400, 100, generator=seeded())
    medians = []
    for of_set in distances:
        points = torch.stack([of_set, torch.zeros(100)], dim=1)  # the nearest candidate is the origin
        medians.append(judging._nearest(points, torch.zeros(1, 2)))
    scatter = float(torch.tensor([one.value for one in medians]).std())
    assert sum(one.se for one in medians) / 400 == pytest.approx(scatter, rel=4 / 800**0.5)


def test_samples_that_no_control_can_be_made_of_are_refused():
    images = torch.rand(40, 1, 30, 30, generator=seeded())
    with pytest.raises(ValueError, match="samples must have H and W that are multiples of 4"):
        next(judge(torch.zeros(9, 1, 30, 30), own_images(images, 30)))


def test_eight_by_eight_digits_are_judged_in_pixels():
    samples = load_images("digits")[:100]
    found = judged(samples, "digits")
    exact = frechet_distance(samples.flatten(1), load_images("digits", "test").flatten(1)).value
    distance = found["Fréchet distance", ""]
    assert distance.number.value == pytest.approx(exact, rel=0.02)  # 16 shades are not all among the 256
    assert distance[2:5] == (100, 360, "8×8 digits test images, pixels")
    assert ("kernel distance", "") in found


@pytest.fixture(scope="module")
def colours():
    """200 colour images of 16×16 pixels: smooth blots, each with a square in it."""
    generator = seeded()
    images = functional.interpolate(torch.rand(200, 3, 3, 3, generator=generator), size=16, mode="bilinear")
    for image, (x, y) in zip(images, torch.randint(0, 8, (200, 2), generator=generator).tolist(), strict=True):
        image[:, x : x + 8, y : y + 8] = image[:, :1, :1]
    return own_images(images, 16, n_channels=3)


def test_colour_images_have_their_contours_beside_every_control_and_their_nearest_images(colours):
    samples = load_images(colours)[:40]
    found = judged(samples, colours, split="test")
    exact = kernel_distance(hog_features(samples), hog_features(load_images(colours, "test")))
    assert next(iter(found.values())) == ("HOG distance", exact, 40, 20, "own images test images, contours", "", "")
    names = ("real images", "shuffled blocks", "low resolution", "Gaussian")
    of_controls = [found["HOG distance", f"{name} (train split)"].number.value for name in names]
    assert max(exact.value, of_controls[0]) < min(of_controls[1:])
    unseen = nearest_neighbours(load_images(colours, "test"), load_images(colours)).distances
    median = "median distance to the nearest"
    assert found[median, "test split"].number.value == pytest.approx(float(unseen.quantile(0.5)))
    assert found[median, ""].number.value == 0


@pytest.mark.parametrize("n", [5, 30])
def test_inceptions_measures_stand_beside_the_contours_where_it_is_given(n, colours):
    """Means of 16 of its pixels stand in for Inception's features of an image."""
    network = mock.Mock(spec=Inception, has_logits=True)
    network.name = "means"
    network.features = lambda x: functional.adaptive_avg_pool2d(shown(x), 4).flatten(1).repeat(1, 43)[:, :2_048]
    network.logits = lambda features: features[:, :10]
    found = list(judge(load_images(colours)[:n], colours, inception=network))
    names = [one.name.split()[0] for one in found]
    assert names == [*["HOG"] * 5, *["KID"] * 5, "FID", "Inception", "PRDC", "median", "median"]
    assert [bool(one.control) for one in found] == [*2 * [False, *[True] * 4], False, False, False, True, False]
    assert [one.name for one in found if one.left_out] == ["FID", *["Inception Score"] * (n < 10), *["PRDC"] * (n < 6)]
    if n == 30:
        mean, spread = inception_score(network.logits(network.features(load_images(colours)[:n])))
        assert found[11].number == pytest.approx((mean, spread / math.sqrt(10)))


# --- files -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_file_gives_the_same_images(tmp_path):
    images = torch.rand(3, 3, 4, 4, generator=seeded())
    pixels = quantise(images)
    images = pixels.float() / 255
    save_tensors(tmp_path / "a.safetensors", {"samples": images, "other": torch.zeros(1)})
    np.savez(tmp_path / "b.npz", samples=images.numpy(), labels=np.zeros(3))
    np.savez(tmp_path / "c.npz", pixels.permute(0, 2, 3, 1).numpy())
    np.save(tmp_path / "d.npy", pixels.numpy())
    (tmp_path / "e").mkdir()
    for i, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(tmp_path / "e" / f"{i:03}.png")
    for name in ("a.safetensors", "b.npz", "c.npz", "d.npy", "e"):
        assert torch.equal(load_images_of(tmp_path / name), images), name


def test_a_folder_of_several_sizes_or_of_no_squares_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "first.png")
    for size, said in (((4, 5), "its images must be square, got 4×5 in other.png"), ((5, 5), "stack expects each")):
        Image.new("L", size).save(tmp_path / "other.png")
        with pytest.raises(ValueError, match=f"samples must be .*{tmp_path} is not: {said}"):
            load_images_of(tmp_path)


def test_samples_a_little_beyond_the_range_are_taken_as_they_are(tmp_path):
    """Algorithm 1 leaves noise of σ_L on its samples; half of black and white pixels then lie beyond [0, 1]."""
    samples = load_images("digits", "test") + 0.1 * torch.randn(360, 1, 8, 8, generator=seeded())
    save_tensors(tmp_path / "a.safetensors", {"samples": samples})
    assert torch.equal(load_images_of(tmp_path / "a.safetensors"), samples)


def test_a_file_that_is_no_png_reaches_no_other_reader(tmp_path):
    """Pillow hands PostScript to Ghostscript, whatever its name ends in."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    with pytest.raises(ValueError, match=r"cannot identify image file .*a\.png"):
        load_images_of(tmp_path)


def huge(path):
    """An array that claims to be of 240 terabytes."""
    header = {"shape": (10**6, 3, 10**5, 10**2), "fortran_order": False, "descr": "<f8"}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)


def saves(array):
    return lambda path: np.save(path.open("wb"), array)


BLACK_TO_WHITE = np.linspace(0, 1, 64).reshape(1, 1, 8, 8)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "be a file or folder of images, but there is none at"),
        (Path.mkdir, "be .* a folder of PNG files, but .* is not: no file in it is called"),
        (lambda path: path.write_text("no images"), "be a whole .safetensors, .npz or .npy file, or a folder"),
        (huge, "be a whole .safetensors"),
        (lambda path: np.savez(path.open("wb"), np.array(["word"])), "be a whole .safetensors"),
        (
            lambda path: np.savez(path.open("wb"), a=[0.0], b=[0.0]),
            'be .*: it must hold "samples" or .*, and holds a, b',
        ),
        (saves(np.zeros((3, 784))), r"hold images \(N, C, H, W\), .* \(3, 784\)"),
        (
            saves(2 * BLACK_TO_WHITE - 1),
            r"hold images in \[0, 1\], but those in .* from -1 to 1, and more than a tenth",
        ),
        (
            saves(255 * BLACK_TO_WHITE),
            r"hold images .* from 0 to 255, .* take \(x \+ 1\)/2 if .*−1, 1\], x/255 if .*, and train longer",
        ),
        (saves(BLACK_TO_WHITE.astype(int)), "hold bytes or floating-point numbers, but .* are torch.int64"),
    ],
)
def test_what_is_no_batch_of_images_is_refused_by_the_argument(folder, capsys, write, said):
    write(folder / "samples")
    assert command.main(["evaluate", str(folder / "samples"), "digits"]) == 1
    assert re.search(rf"^sbgm: SAMPLES must {said}", capsys.readouterr().err)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_every_measure_of_samples(folder, capsys):
    samples = load_images("digits")[:100]
    save_tensors(folder / "samples.safetensors", {"samples": samples})
    Image.new("L", (532, 136)).save(folder / "sheet.png")  # as `sbgm sample` leaves a folder
    assert command.main(["evaluate", str(folder), "digits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = judged(samples, "digits")
    assert len(lines) == len(found)
    number = found["Fréchet distance", ""].number
    assert lines[0] == f"Fréchet distance {number} (100 samples against 360 8×8 digits test images, pixels)"
    number = found["kernel distance", "Gaussian (train split)"].number
    assert any(line.startswith(f"control, Gaussian (train split): kernel distance {number} (100 sam") for line in lines)


def test_a_sentence_says_what_can_not_be_taken_and_of_how_many_a_share_is():
    assert sentence(Judged("FID", None, 5, left_out="it must be more")) == "FID: left out, because it must be more"
    assert sentence(Judged("class 3", share(1, 10), 10)) == "class 3: 10.0 % (1.8 % to 40.4 %, 10 samples)"
    assert sentence(Judged("Inception Score", Estimate(8.87, 0.04), 9)) == "Inception Score 8.87 ± 0.08 (9 samples)"


def test_the_command_judges_colour_images_where_no_inception_can_be_had(folder, colours, capsys, monkeypatch):
    (own := folder / "own").mkdir()
    for i, image in enumerate(load_images(colours)[:40]):
        to_pil_image(image).save(own / f"{i:02}.png")
    monkeypatch.delenv("SBGM_FID_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    words = ["evaluate", str(own), str(own)]
    with serving({"w.pth": bytes(1_000)}) as (url, asked):
        monkeypatch.setattr(inception, "URL", f"{url}/forbidden/w.pth")
        assert command.main(words) == 0
    out, err = capsys.readouterr()
    assert asked == ["/forbidden/w.pth"]
    assert out.startswith("HOG distance")
    assert len(out.splitlines()) == 7
    assert re.search(r"KID and FID are left out; .* 403 ", err)
    assert command.main([*words, "--fid-weights", str(folder / "none.pth")]) == 1
    assert "weights must be a file of Inception's weights" in capsys.readouterr().err


# --- features --------------------------------------------------------------------------------------------------------


def test_references_are_computed_once_and_recomputed_when_damaged():
    calls = []

    def function(images):
        calls.append(len(images))
        return images.flatten(1)[:, :3]

    corner, other = (FeatureSpace(function, "corner features", key) for key in ("corner", "other"))
    first, again = (reference_for("digits", corner, n=50) for _ in range(2))
    assert torch.equal(first.features, again.features)
    assert (calls, first.images) == ([50], "8×8 digits test images")
    (path,) = cache_folder().iterdir()
    assert path.name == "digits-test-50-corner.safetensors"

    path.write_bytes(path.read_bytes()[:-5])
    assert torch.equal(reference_for("digits", corner, n=50).features, first.features)
    assert reference_for("digits", corner).features.shape == (360, 3)
    reference_for("digits", other, n=50)
    assert calls == [50, 50, 360, 50]


def test_some_images_are_the_same_ones_each_time_and_not_the_first():
    images = load_images("digits", "test")
    ten, twenty = (some_images("digits", "test", n) for n in (10, 20))
    assert torch.equal(ten, twenty[:10])
    assert not torch.equal(ten, images[:10])
    assert torch.equal(some_images("digits", "test", 360).sum(dim=0), images.sum(dim=0))  # each once
    assert torch.equal(some_images("digits", "test"), images)


# --- the Gaussian baseline -------------------------------------------------------------------------------------------


def test_samples_of_the_baseline_have_the_images_mean_and_covariance():
    """Far enough from 0 and 1 that clamping plays no part."""
    mixing = 0.03 * torch.randn(12, 12, generator=seeded())
    images = (0.5 + torch.randn(5_000, 12, generator=seeded(1)) @ mixing).reshape(5_000, 3, 2, 2)
    baseline = GaussianBaseline(images, block_size=700)
    covariance = images.flatten(1).double().T.cov()
    samples = baseline.sample(20_000, generator=seeded(2))
    assert samples.shape == (20_000, 3, 2, 2)
    scale = covariance.diagonal().sqrt()
    error = (samples.flatten(1).double().T.cov() - covariance) / (scale[:, None] * scale)
    assert float(error.abs().max()) < 4 * (2 / 20_000) ** 0.5
    shift = samples.flatten(1).double().mean(dim=0) - 0.5 / 255 - baseline.mean  # ⌊256 x⌋/255 is some half shade low
    assert float((shift / scale).abs().max()) < 0.1


# --- hashes ----------------------------------------------------------------------------------------------------------


def test_a_hash_is_of_the_bytes():
    x = torch.tensor([[1.5, 2.5]])
    wanted = hashlib.sha256(b"torch.float32 (1, 2) " + x.numpy().tobytes()).hexdigest()  # as in records
    assert content_hash(x) == content_hash(x.T.contiguous().T.requires_grad_()) == wanted
    assert content_hash(x.bfloat16()) != content_hash(x.bfloat16().neg())  # which numpy has not
