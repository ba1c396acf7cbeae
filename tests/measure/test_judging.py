"""Samples judged: what applies to which data, references in the cache, the files that are read, and the command."""

import hashlib
import re
import resource
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torchvision.transforms.functional import to_pil_image

from data_server import serving
from sbgm import __main__ as command
from sbgm.files import cache_folder, content_hash, save_tensors
from sbgm.images.data import load_images, load_labels
from sbgm.images.own import own_images
from sbgm.images.weights import save_network
from sbgm.measure import (
    GaussianBaseline,
    Inception,
    frechet_distance,
    hog_features,
    inception,
    kernel_distance,
    level_losses,
    nearest_neighbours,
    quantise,
    shown,
)
from sbgm.measure.judging import FeatureSpace, feature_space, judge, load_images_of, reference_for, some_images
from sbgm.networks import ImageMLP
from seeds import seeded

# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A data folder of our own, so that nothing is cached outside it."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    return tmp_path


# --- judging ---------------------------------------------------------------------------------------------------------


def test_real_digits_are_near_and_noise_is_far():
    real, noise = load_images("mnist_small")[:400], torch.rand(400, 1, 28, 28, generator=seeded())
    near, far = (list(judge(samples, "mnist_small", n_reference=1_000)) for samples in (real, noise))
    assert near[0].name == far[0].name == "Fréchet distance"
    distance = near[0].number.value
    assert distance < far[0].number.value / 100
    assert near[2].name == "control, real images (train split): Fréchet distance"
    assert near[2].number.value == pytest.approx(distance, abs=0.5)  # of as many real images
    assert all(measure.number.value > 5 * distance for measure in near[4:10:2])  # shuffled, coarse, of pairs of pixels
    assert near[-1].number == 0  # training images are their own nearest
    assert far[-1].number > 10
    text = "\n".join(map(str, near))
    assert "(400 samples against 1,000 MNIST (small) test images, classifier features)" in text
    for classifier in ("mnist_classifier", "mnist_judge"):
        assert f"{classifier} at least 90 % sure: 9" in text
        assert f"{classifier} at least 90 % sure: 0.0 %" in "\n".join(map(str, far))
    assert "(400 samples against 400 MNIST (small) test images, judge features)" in text
    # Noise looks all alike to the judge, and lies in the large ball of an outlier: precision and density are fooled.
    found = next(str(m) for m in far if "coverage" in str(m))
    assert "recall 0.000 ± 0," in found
    assert float(found.partition("coverage ")[2].partition(" ")[0]) < 0.05
    assert all(f"class {digit}: " in text for digit in range(10))


def test_a_missing_class_shows():
    real, labels = load_images("mnist_small"), load_labels("mnist_small")
    without_ones = real[labels != 1][:400]
    measures = list(judge(without_ones, "mnist_small", n_reference=1_000))
    assert measures[0].number.value > 3 * measures[2].number.value
    assert next(m for m in measures if str(m).startswith("class 1:")).startswith("class 1: 0.")
    found = next(m for m in measures if str(m).startswith("classes against the training split's: χ² = "))
    assert float(found.rpartition("p = ")[2]) < 1e-5


def test_a_measure_that_takes_more_samples_is_named_with_how_many_it_takes():
    text = list(map(str, judge(load_images("mnist_small")[:5], "mnist_small", n_reference=200)))
    end = "; there are 5 samples"
    assert "precision, recall, density and coverage: left out, because they take 6 samples and as many" in text[6]
    assert text[0].startswith("Fréchet distance: left out, because it takes 129 samples and as many real images;")
    test = "classes against the training split's: left out, because the test takes 56 samples, five of the rarest class"
    assert f"{test}{end}" in text
    assert sum(line.endswith(end) for line in text) == 3


@pytest.mark.parametrize(
    ("shape", "said"), [((2, 1, 8, 8), "samples must be at least 3 images"), ((9, 1, 30, 30), "H and W that are mult")]
)
def test_samples_that_have_no_distance_are_refused_before_any_measure(shape, said):
    images = torch.rand(40, 1, *shape[2:], generator=seeded())
    with pytest.raises(ValueError, match=said):
        judge(torch.zeros(shape), own_images(images, shape[2]))


def test_eight_by_eight_digits_are_judged_in_pixels():
    samples = load_images("digits")[:100]
    first, second, *_, last = judge(samples, "digits")
    exact = frechet_distance(samples.flatten(1), load_images("digits", "test").flatten(1)).value
    assert first.number.value == pytest.approx(exact, rel=0.02)  # 16 shades are not all among the 256
    assert str(first).endswith(f"{first.number} (100 samples against 360 8×8 digits test images, pixels)")
    assert second.name == "kernel distance"
    assert last.name == "median distance to the nearest"


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
    contours, *of_controls, control, nearest = judge(samples, colours, split="test")
    exact = kernel_distance(hog_features(samples), hog_features(load_images(colours, "test")))
    assert contours.number == pytest.approx(exact)
    assert "(40 samples against 20 own images test images, contours)" in str(contours)
    names = ("real images", "shuffled blocks", "low resolution", "Gaussian")
    assert [m.name for m in of_controls] == [f"control, {name} (train split): HOG distance" for name in names]
    assert all((m.n, m.n_reference) == (40, 20) and m.number.se > 0 for m in of_controls)
    assert max(contours.number, of_controls[0].number) < min(m.number for m in of_controls[1:])
    unseen = nearest_neighbours(load_images(colours, "test"), load_images(colours)).distances
    assert (control.number, nearest.number) == (pytest.approx(float(unseen.median()), rel=1e-3), 0)


@pytest.mark.parametrize("n", [5, 30])
def test_inceptions_measures_stand_beside_the_contours_where_it_is_given(n, colours):
    """Means of 16 of its pixels stand in for Inception's features of an image."""
    network = mock.Mock(spec=Inception, has_logits=True)
    network.name = "means"
    network.features = lambda x: functional.adaptive_avg_pool2d(shown(x), 4).flatten(1).repeat(1, 43)[:, :2_048]
    network.logits = lambda features: features[:, :10]
    text = [str(m) for m in judge(load_images(colours)[:n], colours, inception=network)]
    starts = [
        "HOG",
        *["control"] * 4,
        "KID",
        "FID: left out",
        *["control"] * 4,
        "Inception Score",
        "precision",
        "control",
        "median",
    ]
    assert all(line.startswith(start) for line, start in zip(text, starts, strict=True))
    assert ("left out" in text[11], "left out" in text[12]) == (n < 10, n < 6)
    assert sum("KID" in line for line in text[7:]) == 4


def test_samples_of_another_shape_are_refused_before_any_measure():
    with pytest.raises(ValueError, match=r"samples must be like the images of 8×8 digits, \(N, 1, 8, 8\), got shape"):
        judge(torch.zeros(5, 1, 28, 28), "digits")


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


def test_images_of_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(tmp_path / "ramp.png")
    with pytest.raises(ValueError, match="a picture must have 8 bits a channel, got mode 'I;16'"):
        load_images_of(tmp_path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "samples must be a file or folder of images, but there is none at"),
        (lambda path: path.mkdir(), "samples must be .* a folder of PNG files, but .* is not: no file in it is called"),
        (lambda path: path.write_text("no images"), "samples must be a whole .safetensors, .npz or .npy file"),
        (
            lambda path: np.savez(path.open("wb"), a=np.zeros(1), b=np.zeros(1)),
            'is not: it must hold "samples" or a single array, and holds a, b',
        ),
        (lambda path: np.save(path.open("wb"), np.zeros((3, 784))), r"must hold images \(N, C, H, W\), .* \(3, 784\)"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(tmp_path, write, said):
    write(tmp_path / "samples")
    with pytest.raises((FileNotFoundError, ValueError), match=said):
        load_images_of(tmp_path / "samples")


def test_a_folder_of_several_sizes_or_of_no_squares_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "first.png")
    for size in ((4, 5), (5, 5)):
        Image.new("L", size).save(tmp_path / "other.png")
        said = f"all its images must be square and of one size, got {size[0]}×{size[1]} pixels in other.png"
        with pytest.raises(ValueError, match=f"samples must be .*{tmp_path} is not: {said}"):
            load_images_of(tmp_path)


def test_more_files_are_read_than_a_process_may_have_open(tmp_path):
    for i in range(100):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i:03}.png")
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 50, usual[1]))
    try:
        images = load_images_of(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert torch.equal(255 * images[:, 0, 0, 0], torch.arange(100.0))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            lambda images: 2 * images - 1,
            r"images in \[0, 1\], but those in .* from -1 to 1, and more than a tenth of",
        ),
        (lambda images: 255 * images, r"images in .* from 0 to 255, .* take \(x \+ 1\)/2 of .*−1, 1\], x/255 of bytes"),
        (lambda images: (255 * images).long(), "bytes or floating-point numbers, but .* are torch.int64"),
        (lambda images: images + 0j, "bytes or floating-point numbers, but .* are torch.complex64"),
        (lambda images: images > 0.5, "bytes or floating-point numbers, but .* are torch.bool"),
    ],
)
def test_images_of_another_range_or_kind_are_refused_by_the_flag(folder, capsys, wrong, said):
    np.save(folder / "samples.npy", wrong(load_images("digits", "test")).numpy())
    assert command.main(["evaluate", "--samples", str(folder / "samples.npy"), "--data", "digits"]) == 1
    assert re.search(rf"^sbgm: --samples must hold {said}", capsys.readouterr().err)


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


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("huge.npy", huge),
        ("empty.npy", Path.touch),
        ("text.npy", lambda path: path.write_bytes(b"text")),
        ("no_archive.npz", lambda path: path.write_bytes(b"PK\3\4")),
        ("words.npz", lambda path: np.savez(path, np.array(["word"]))),
        ("no_images.safetensors", lambda path: path.write_bytes(b"12345678{")),
    ],
)
def test_a_file_that_cant_be_read_is_named_by_the_command(folder, capsys, name, write):
    write(folder / name)
    assert command.main(["evaluate", "--samples", str(folder / name), "--data", "digits"]) == 1
    assert capsys.readouterr().err.startswith("sbgm: --samples must be a whole .safetensors, .npz or .npy file, or a f")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_prints_every_measure_of_samples(folder, capsys):
    samples = load_images("digits")[:100]
    save_tensors(folder / "samples.safetensors", {"samples": samples})
    assert command.main(["evaluate", "--samples", str(folder / "samples.safetensors"), "--data", "digits"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(m) for m in judge(samples, "digits")]


def test_the_command_judges_colour_images_where_no_inception_can_be_had(folder, colours, capsys, monkeypatch):
    """What it would fetch is said before it is asked for, with its size and address."""
    (own := folder / "own").mkdir()
    for i, image in enumerate(load_images(colours)[:40]):
        to_pil_image(image).save(own / f"{i:02}.png")
    monkeypatch.delenv("SBGM_FID_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    words = ["evaluate", "--samples", str(own), "--data", str(own)]
    with serving({"w.pth": bytes(1_000)}) as (url, asked):
        monkeypatch.setattr(inception, "URL", f"{url}/forbidden/w.pth")
        assert command.main(words) == 0
    out, err = capsys.readouterr()
    assert asked == ["/forbidden/w.pth"]
    assert out.startswith("HOG distance")
    assert len(out.splitlines()) == 7
    told, *_, left_out = err.splitlines()
    assert told == f"sbgm: Inception's weights are fetched once, 96 MB, from {inception.URL} into {folder}/checkpoints"
    assert re.match(r"KID and FID are left out; .*SBGM_FID_WEIGHTS", left_out)


def test_the_command_prints_a_networks_losses(folder, capsys):
    network = ImageMLP(sigmas=[1.0, 0.1], image_shape=(1, 8, 8), width=8, n_blocks=1)
    save_network(network, folder / "network.safetensors")
    arguments = ["losses", str(folder / "network.safetensors"), "--data", "digits", "--images", "360"]
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    held_out = reference_for("digits", feature_space("digits"), n=360).features.reshape(-1, 1, 8, 8)
    losses = level_losses(network, held_out, [1.0, 0.1], generator=seeded())
    assert "360 8×8 digits test images" in out
    for sigma, value in zip(("1", "0.1"), losses.values.tolist(), strict=True):
        (line,) = (line for line in out.splitlines() if line.split()[0] == sigma)
        assert float(line.split()[1]) == pytest.approx(value, rel=0.02)


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
    with pytest.raises(ValueError, match="n must be at most the 360 test images of 8×8 digits, got 361"):
        some_images("digits", "test", 361)


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


def test_a_hash_is_of_the_bytes_and_of_tensors_only():
    x = torch.tensor([[1.5, 2.5]])
    wanted = hashlib.sha256(b"torch.float32 (1, 2) " + x.numpy().tobytes()).hexdigest()  # as in records
    assert content_hash(x) == content_hash(x.T.contiguous().T.requires_grad_()) == wanted
    assert content_hash(x.bfloat16()) != content_hash(x.bfloat16().neg())  # which numpy has not
    for value in (None, [x], 1.0):
        with pytest.raises(TypeError, match=rf"tensors must be torch.Tensors, got {type(value).__name__}"):
            content_hash(x, value)
