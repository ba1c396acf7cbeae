"""MNIST and its kin: idx files, what ships, and downloads from a server of our own that fails as mirrors do."""

import errno
import gzip
import hashlib
import lzma
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets

from data_server import serving
from sbgm import data
from sbgm.data import IDX_FILES, IDX_SHA256, SETS, shipped_folder
from sbgm.train import downloads
from sbgm.train.downloads import download

N_TRAIN, N_TEST = 7, 3


def idx(array):
    """An idx file written with NumPy."""
    return np.array([8 * 256 + array.ndim, *array.shape], ">i4").tobytes() + array.tobytes()


# --- a tiny MNIST, whose checksums replace the real ones -------------------------------------------------------------


@pytest.fixture
def home(monkeypatch, tmp_path):
    """An empty data folder."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture(params=["mnist", "fashion_mnist"])
def tiny(request, monkeypatch):
    """A name, its place, and its four files' content: N_TRAIN and N_TEST images of noise."""
    draw = np.random.default_rng(1)
    arrays = [draw.integers(0, high, shape, np.uint8) for n in (N_TRAIN, N_TEST) for high, shape in parts(n)]
    files = dict(zip(IDX_FILES, map(idx, arrays), strict=True))
    sha256 = tuple(hashlib.sha256(files[file]).hexdigest() for file in IDX_FILES)
    monkeypatch.setitem(IDX_SHA256, request.param, sha256)
    return request.param, SETS[request.param].home, files


def parts(n):
    return (256, (n, 28, 28)), (10, (n,))


def put(folder, files, suffix=""):
    folder.mkdir(parents=True)
    compress = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
    for file, content in files.items():
        (folder / (file + suffix)).write_bytes(compress(content))


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_images_and_labels_are_read_as_they_were_written(home, tiny, suffix):
    name, place, files = tiny
    put(home / place, files, suffix)
    assert data.is_available(name)
    for split, n, prefix in (("train", N_TRAIN, "train"), ("test", N_TEST, "t10k")):
        images, labels = data.load_images(name, split), data.load_labels(name, split)
        assert images.shape == (n, 1, 28, 28)
        assert images.dtype == torch.float32
        written = np.frombuffer(files[f"{prefix}-images-idx3-ubyte"][16:], np.uint8).reshape(n, 1, 28, 28)
        assert torch.equal(images, torch.tensor(written).float() / 255)
        assert labels.tolist() == list(files[f"{prefix}-labels-idx1-ubyte"][8:])
        assert labels.dtype == torch.int64


def test_torchvisions_own_class_reads_what_a_download_leaves(home, tiny, mirrors):
    name, place, _ = tiny
    mirrors(name, ["whole"])
    download(name)
    theirs = getattr(torchvision.datasets, Path(place).parent.name)(str(home), train=False)
    assert torch.equal(data.load_images(name, "test")[:, 0] * 255, theirs.data.float())
    assert torch.equal(data.load_labels(name, "test"), theirs.targets)


def test_a_missing_set_gives_one_sentence_and_the_way_on(home, tiny):
    name, place, _ = tiny
    assert not data.is_available(name)
    for load in (data.load_images, data.load_labels):
        with pytest.raises(
            data.DataNotFoundError, match=rf"MNIST is not in .*home\. Run `sbgm download {name}`"
        ) as raised:
            load(name)
        assert f"SBGM_DATA to the folder that holds {place}" in str(raised.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def web_page(path):
    path.write_bytes(b"<html>403</html>")


@pytest.mark.parametrize("damage", [cut, flip_a_byte, web_page, Path.unlink])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_damaged_folder_is_named_with_its_file_and_left_as_it_is(home, tiny, suffix, damage):
    name, place, files = tiny
    put(home / place, files, suffix)
    damage(home / place / ("t10k-images-idx3-ubyte" + suffix))
    before = {path.name: path.read_bytes() for path in (home / place).iterdir()}
    assert data.is_available(name)  # so that nothing falls back in silence
    assert len(data.load_images(name, "train")) == N_TRAIN  # the other split is whole
    for call in (lambda: data.load_images(name, "test"), lambda: download(name)):
        with pytest.raises(data.DataNotFoundError, match="damaged: t10k-images-idx3-ubyte missing or with") as raised:
            call()
        assert "Move that folder away" in str(raised.value)
    assert {path.name: path.read_bytes() for path in (home / place).iterdir()} == before


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(home, tiny):
    name, place, files = tiny
    put(home / place, files, "")
    (home / place / "t10k-images-idx3-ubyte").unlink()
    os.mkfifo(home / place / "t10k-images-idx3-ubyte")
    with pytest.raises(data.DataNotFoundError, match="damaged: t10k-images-idx3-ubyte missing"):
        data.load_images(name, "test")


# --- the download ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mirrors(tiny, monkeypatch):
    """A function that gives torchvision mirrors on our server, each with its manner; it returns what they are asked."""
    _, place, files = tiny
    packed = {file + ".gz": gzip.compress(content) for file, content in files.items()}
    source = getattr(torchvision.datasets, Path(place).parent.name)
    resources = [(file, hashlib.md5(content).hexdigest()) for file, content in packed.items()]
    monkeypatch.setattr(source, "resources", resources)
    with serving(packed) as (url, asked):

        def tell(name, manners):
            monkeypatch.setattr(source, "mirrors", [f"{url}/{manner}/" for manner in manners])
            return asked

        yield tell


@pytest.mark.parametrize("failing", [[], ["forbidden"]])
def test_the_first_mirror_that_sends_it_is_enough(home, tiny, mirrors, failing):
    name, place, files = tiny
    asked = mirrors(name, [*failing, "whole"])
    download(name)
    assert {file: (home / place / file).read_bytes() for file in files} == files
    assert [path.name for path in home.iterdir()] == [Path(place).parent.name]
    assert len(data.load_images(name)) == N_TRAIN
    n_asked = len(asked)
    download(name)  # it is there, and nothing is fetched again
    assert len(asked) == n_asked


@pytest.mark.parametrize(
    ("manner", "reason"),
    [("forbidden", "403"), ("page", "corrupted"), ("silent", "timed out"), ("stalled", "timed out")],
)
def test_where_no_mirror_gives_it_the_reason_and_the_way_on_are_told_and_nothing_is_left(
    home, tiny, mirrors, manner, reason, monkeypatch
):
    name, place, _ = tiny
    mirrors(name, [manner])
    monkeypatch.setattr("sbgm.files.TIMEOUT", 0.3 if reason == "timed out" else 60.0)
    before = socket.getdefaulttimeout()
    with pytest.raises(ConnectionError, match=f"could not be downloaded into .*home .*{reason}") as raised:
        download(name)
    message = str(raised.value)
    for way_on in ('load_images("mnist_small")', f"copy the folder {place}", "SBGM_DATA"):
        assert way_on in message
    assert "\n" not in message
    assert list(home.iterdir()) == []
    assert not data.is_available(name)
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("moment", ["unpacking", "moving"])
def test_a_fault_at_any_moment_leaves_nothing_and_the_next_download_succeeds(
    home, tiny, mirrors, monkeypatch, fault, moment
):
    name, _, _ = tiny
    mirrors(name, ["whole"])

    def fail(*arguments):
        raise fault

    with monkeypatch.context() as patch:
        if moment == "unpacking":
            patch.setattr(torchvision.datasets.utils, "extract_archive", fail)
        else:
            patch.setattr(Path, "replace", fail)
        with pytest.raises(type(fault)) as raised:
            download(name)
    if isinstance(fault, OSError):
        assert re.search(r"The disk is full: .* packed, .* SBGM_DATA to a folder on another disk", str(raised.value))
    assert not data.is_available(name)
    assert [path.name for path in home.iterdir() if path.is_file() or list(path.iterdir())] == []
    download(name)
    assert len(data.load_images(name)) == N_TRAIN


def test_what_another_process_has_put_there_meanwhile_stays(tmp_path):
    made, place = tmp_path / "made", tmp_path / "deep" / "place"
    for folder, content in ((made, "ours"), (place, "theirs")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(content)
    downloads.move_into_place(made, place)
    assert (place / "file").read_text() == "theirs"


# --- what ships ------------------------------------------------------------------------------------------------------


def test_what_ships_is_whole_small_and_has_every_digit(home):
    """The class counts are MNIST's own shares of 10 % ± 1.6 %, and both groups of test writers are there."""
    folder = shipped_folder() / "mnist_small"
    assert folder.parent == Path(data.__file__).parents[1] / "data"  # wherever SBGM_DATA points
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.2e6
    assert "creativecommons.org/licenses/by-sa/3.0" in (folder / "LICENSE").read_text()
    for split, n in (("train", 3158), ("test", 5000)):
        images, labels = data.load_images("mnist_small", split), data.load_labels("mnist_small", split)
        assert images.shape == (n, 1, 28, 28)
        assert images.dtype == torch.float32
        assert float(images.min()) == 0
        assert float(images.max()) == 1
        assert len(labels) == n
        shares = labels.bincount(minlength=10) / n
        assert shares.min() > 0.084
        assert shares.max() < 0.119
    assert data.is_available("mnist_small")
    download("mnist_small")
    assert not home.exists()


def test_each_shipped_label_names_its_image():
    """A nearest-mean classifier, fitted on one split, is right on 80 % of the other; MNIST's usual figure is 82 %."""
    train, test = (data.load_images("mnist_small", split).flatten(1) for split in data.SPLITS)
    train_labels, test_labels = (data.load_labels("mnist_small", split) for split in data.SPLITS)
    means = torch.stack([train[train_labels == digit].mean(dim=0) for digit in range(10)])
    assert float((torch.cdist(test, means).argmin(dim=1) == test_labels).float().mean()) > 0.8


def test_a_damaged_shipped_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "shipped_folder", lambda: tmp_path)
    with pytest.raises(data.DataNotFoundError, match=r"MNIST \(small\) is not in .*git checkout data/mnist_sm"):
        data.load_images("mnist_small")
    put(tmp_path / "mnist_small", dict.fromkeys(IDX_FILES, b"something else"), ".xz")
    with pytest.raises(
        data.DataNotFoundError,
        match=r"damaged: t10k-labels-idx1-ubyte missing.*`git checkout data/mnist_small`",
    ):
        data.load_labels("mnist_small", "test")


# --- the real things -------------------------------------------------------------------------------------------------


@pytest.mark.mnist
def test_what_ships_is_mnists():
    for split, every in (("train", 19), ("test", 2)):
        assert torch.equal(data.load_images("mnist_small", split), data.load_images("mnist", split)[::every])
        assert torch.equal(data.load_labels("mnist_small", split), data.load_labels("mnist", split)[::every])
