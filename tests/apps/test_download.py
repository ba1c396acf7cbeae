"""Data sets that are fetched: a little noise for MNIST and CIFAR-10, and a server of our own; and CelebA, prepared.

Their checksums replace the real ones.
"""

import errno
import gzip
import hashlib
import io
import pickle
import re
import socket
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, MNIST

from data_server import serving
from sbgm import own_images
from sbgm.apps.download import download
from sbgm.files import data_folder, shipped_folder
from sbgm.images import data
from sbgm.images.data import SPLITS, DataNotFoundError, load_images, load_labels


def md5(content):
    return hashlib.md5(content).hexdigest()


def flipped(content):
    """With one bit changed in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A data folder of the test's own."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


# --- tiny sets -------------------------------------------------------------------------------------------------------

DRAW = np.random.default_rng(1)
GREY = {
    "train": DRAW.integers(0, 256, (20, 1, 28, 28), np.uint8),
    "test": DRAW.integers(0, 256, (4, 1, 28, 28), np.uint8),
}
COLOUR = {split: np.resize(images, (len(images), 3, 32, 32)) for split, images in GREY.items()}
LABELS = {"train": DRAW.integers(0, 10, 20, np.uint8), "test": DRAW.integers(0, 10, 4, np.uint8)}


def idx(array):
    """An idx file written with NumPy."""
    return np.array([8 * 256 + array.ndim, *array.shape], ">i4").tobytes() + array.tobytes()


IDX = {}
for split, prefix in (("train", "train"), ("test", "t10k")):
    IDX[f"{prefix}-images-idx3-ubyte"] = idx(GREY[split][:, 0])
    IDX[f"{prefix}-labels-idx1-ubyte"] = idx(LABELS[split])
SERVED = {f"{name}.gz": gzip.compress(content) for name, content in IDX.items()}


@pytest.fixture
def tiny(home, monkeypatch):
    """The checksums of these sets; a function that serves them in a manner, and returns what the server is asked."""
    monkeypatch.setattr(MNIST, "resources", [(name, md5(content)) for name, content in SERVED.items()])
    with serving(SERVED) as (url, asked):

        def serve(manner):
            monkeypatch.setattr(MNIST, "mirrors", [f"{url}/{manner}/"])
            return asked

        yield serve


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def assert_read(name):
    """Images and labels are those that were written."""
    for split in SPLITS:
        images = load_images(name, split)
        pixels = GREY[split] if name == "mnist" else COLOUR[split]
        assert torch.equal(images, torch.tensor(pixels).float() / 255)
        labels = load_labels(name, split)
        assert (labels.dtype, labels.tolist()) == (torch.int64, LABELS[split].tolist())


# --- what is there ---------------------------------------------------------------------------------------------------


def test_mnists_files_are_read_and_never_where_one_is_cut_off(home, tiny):
    write(home / "MNIST" / "raw", IDX)
    download("mnist")  # which has nothing to fetch
    assert_read("mnist")
    name = "t10k-labels-idx1-ubyte"
    write(home / "MNIST" / "raw", {name: IDX[name][:-1]})
    with pytest.raises(DataNotFoundError, match="a file is missing or damaged"):
        load_labels("mnist", "test")
    write(home / "MNIST" / "raw", {"train-images-idx3-ubyte": b"\0\0\0\x09"})  # about which torchvision says nothing
    with pytest.raises(DataNotFoundError, match="a file is missing or damaged"):
        download("mnist")


def test_cifar10_is_read_and_never_where_a_file_is_damaged(home, monkeypatch):
    rows = {split: {"data": COLOUR[split].reshape(-1, 3072), "labels": LABELS[split].tolist()} for split in SPLITS}
    contents = [*(pickle.dumps(row) for row in rows.values()), pickle.dumps({"label_names": ["a"]})]
    files = dict(zip(["data_batch_1", "test_batch", "batches.meta"], contents, strict=True))
    sums = [[name, md5(content)] for name, content in files.items()]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:1])
    monkeypatch.setattr(CIFAR10, "test_list", sums[1:2])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums[2][1]})
    write(home / "cifar-10-batches-py", files)
    assert_read("cifar10")
    write(home / "cifar-10-batches-py", {"test_batch": flipped(files["test_batch"])})
    with pytest.raises(DataNotFoundError, match="a file is missing or damaged"):
        load_images("cifar10")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_missing_set_says_where_it_is_sought_and_what_to_do(home, name):
    assert not data.is_available(name)
    with pytest.raises(DataNotFoundError, match=rf" is not in .*home yet: run `sbgm download {name}` .*README\.md"):
        load_images(name)
    (home / data.SETS[name].home).mkdir(parents=True)
    assert data.is_available(name)  # so that nothing falls back in silence
    with pytest.raises(DataNotFoundError, match=r"can't be read from .*home: .* missing.* Move "):
        load_images(name)


# --- the download ----------------------------------------------------------------------------------------------------


def test_a_download_arrives_whole_and_is_not_repeated(tiny):
    asked = tiny("whole")
    download("mnist")
    assert_read("mnist")
    n_asked = len(asked)
    download("mnist")
    assert len(asked) == n_asked > 0


def test_what_needs_no_download_is_said_to_be_ready(home, capsys):
    download("digits")
    assert capsys.readouterr().out.startswith("digits is ready")


@pytest.mark.parametrize(("manner", "reason"), [("forbidden", "403"), ("other", "corrupted"), ("stalled", "timed out")])
def test_a_server_that_fails_is_left_soon_and_the_next_download_succeeds(tiny, manner, reason, monkeypatch):
    tiny(manner)
    monkeypatch.setattr("sbgm.files.TIMEOUT", 0.3 if manner == "stalled" else 60.0)
    with pytest.raises(ConnectionError, match=rf"could not be downloaded into .*home \(.*({reason}).*README\.md$"):
        download("mnist")
    assert socket.getdefaulttimeout() is None
    with pytest.raises(DataNotFoundError):
        load_images("mnist")
    tiny("whole")
    download("mnist")
    assert_read("mnist")


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_fault_before_all_is_unpacked_leaves_nothing_that_is_taken_for_whole(tiny, monkeypatch, fault):
    tiny("whole")
    with monkeypatch.context() as patch:
        patch.setattr("torchvision.datasets.utils.extract_archive", mock.Mock(side_effect=fault))
        with pytest.raises((ConnectionError, KeyboardInterrupt), match=r"No space left|^$"):
            download("mnist")
    with pytest.raises(DataNotFoundError):
        load_images("mnist")
    download("mnist")
    assert_read("mnist")


def test_a_folder_that_cannot_be_written_is_named(home, monkeypatch):
    home.rmdir()
    home.write_text("not a folder")
    with pytest.raises(ConnectionError, match=r"could not be downloaded into .*home"):
        download("cifar10")


# --- CelebA, by the lines of data/README.md --------------------------------------------------------------------------


@pytest.fixture
def faces(monkeypatch, tmp_path):
    """A function that prepares photographs, {name: (part, content)}, as a data set."""

    def prepared(photos):
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "img_align_celeba", {name: content for name, (_, content) in photos.items()})
        partition = "".join(f"{name} {part}\n" for name, (part, _) in photos.items())
        write(tmp_path, {"list_eval_partition.txt": partition.encode()})
        blocks = re.findall(r"```python\n(.*?)```", (shipped_folder() / "README.md").read_text("utf-8"), re.DOTALL)
        (lines,) = [block for block in blocks if "list_eval_partition" in block]
        exec(lines, {})
        return own_images("faces", 32)

    return prepared


def triangle_filter(n_in, n_out):
    """(n_out, n_in) weights of a bilinear reduction: a triangle of half-width n_in/n_out around each pixel's centre."""
    scale = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(n_in) + 0.5 - centres[:, None]) / scale, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def test_the_crop_is_the_papers_by_the_filters_definition(faces):
    """In floating point; Pillow rounds to whole greys after each axis, so the definition may differ by one."""
    photos, small = {}, {"0": [], "2": []}
    matrix = triangle_filter(140, 32)
    for number, part in enumerate("0210200000"):
        pixels = np.random.default_rng(number).integers(0, 256, (218, 178, 3), np.uint8)  # detail at every scale
        Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
        photos[f"{number}.jpg"] = (part, file.getvalue())
        middle = pixels[39:179, 19:159].astype(float)  # (218 − 140)/2 rows, (178 − 140)/2 columns
        small.setdefault(part, []).append(np.einsum("ip,jq,pqc->cij", matrix, matrix, middle))
    own = faces(photos)
    for split, part in (("train", "0"), ("test", "2")):
        images, wanted = load_images(own, split) * 255, torch.tensor(np.stack(small[part]))
        assert len(images) == len(wanted)
        distances = (images[:, None] - wanted).abs().amax(dim=(2, 3, 4))  # the set shuffles them
        assert (distances <= 1.001).sum(dim=0).tolist() == [1] * len(wanted)


# --- the real things -------------------------------------------------------------------------------------------------


@pytest.mark.celeba_sample
def test_real_photographs_are_cropped_as_someone_else_prepared_them(faces):
    folder = data_folder() / "faces"
    with np.load(folder / "celeba32_ncsn_5000.npz") as file:
        wanted = dict(zip(file["image_ids"].tolist(), file["images"], strict=True))
    paths = [path for path in (folder / "img_align_celeba").glob("*.jpg") if int(path.stem) in wanted]
    assert len(paths) > 8
    faces({path.name: ("02"[number % 2], path.read_bytes()) for number, path in enumerate(paths)})
    for number, path in enumerate(paths):
        face = np.asarray(Image.open(f"faces/{('train', 'test')[number % 2]}/{path.stem}.png"))
        assert np.array_equal(face, wanted[int(path.stem)])


@pytest.mark.mnist
def test_what_ships_is_mnists():
    for split, every in (("train", 19), ("test", 2)):
        assert torch.equal(load_images("mnist_small", split), load_images("mnist", split)[::every])
        assert torch.equal(load_labels("mnist_small", split), load_labels("mnist", split)[::every])


@pytest.mark.parametrize(
    ("name", "shape", "means", "off"),  # of the channels, to the digits that are published
    [
        pytest.param("mnist", (60_000, 1, 28, 28), [0.13066], 5e-6, marks=pytest.mark.mnist),
        pytest.param("fashion_mnist", (60_000, 1, 28, 28), [0.2860], 5e-5, marks=pytest.mark.fashion_mnist),
        pytest.param("cifar10", (50_000, 3, 32, 32), [0.49140, 0.48216, 0.44653], 5e-6, marks=pytest.mark.cifar10),
    ],
)
def test_the_real_set_has_its_images_and_a_tenth_of_them_in_each_class(name, shape, means, off):
    images, labels = load_images(name), load_labels(name)
    assert images.shape == shape
    assert images.double().mean(dim=(0, 2, 3)).tolist() == pytest.approx(means, abs=off)
    assert float((labels.bincount(minlength=10) / len(labels) - 0.1).abs().max()) < 0.02
