"""Data sets that are fetched from a server of our own: whole, taken up again, or not given; and CelebA's crop.

Each is a set of a few images of noise, whose checksums replace the real ones.
"""

import argparse
import errno
import gzip
import hashlib
import io
import lzma
import pickle
import shutil
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CelebA

from data_server import serving
from sbgm import data
from sbgm.apps import download as app
from sbgm.apps.download import SOURCES, crop_and_resize, download
from sbgm.data import IDX_FILES, IDX_SHA256, SETS, SPLITS, DataNotFoundError, load_images, load_labels
from sbgm.files import load_tensors
from sbgm.folders import cache_folder, data_folder

N = {"train": 20, "test": 4}  # images of a tiny set


def md5(content):
    return hashlib.md5(content).hexdigest()


# --- tiny sets -------------------------------------------------------------------------------------------------------


class Tiny(NamedTuple):
    """A data set of a few images.

    Attributes:
        name: the set's.
        files: the content of each file, by its place in the data folder.
        served: what a server has, by name.
        images: of each split, (n, C, H, W) bytes.
        labels: of each split, or None.
    """

    name: str
    files: dict[str, bytes]
    served: dict[str, bytes]
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] | None = None


def noise(*shape):
    """Images and labels of each split."""
    draw = np.random.default_rng(1)
    images = {split: draw.integers(0, 256, (n, *shape), np.uint8) for split, n in N.items()}
    return images, {split: draw.integers(0, 10, n, np.uint8) for split, n in N.items()}


def idx(array):
    """An idx file written with NumPy."""
    return np.array([8 * 256 + array.ndim, *array.shape], ">i4").tobytes() + array.tobytes()


def tiny_idx(name, suffix, monkeypatch):
    images, labels = noise(1, 28, 28)
    contents = [idx(part) for split in SPLITS for part in (images[split][:, 0], labels[split])]
    monkeypatch.setitem(IDX_SHA256, name, tuple(hashlib.sha256(content).hexdigest() for content in contents))
    served = {f"{file}.gz": gzip.compress(content) for file, content in zip(IDX_FILES, contents, strict=True)}
    monkeypatch.setattr(SOURCES[name], "resources", [(file, md5(content)) for file, content in served.items()])
    compress = {"": bytes, "gz": gzip.compress, "xz": lzma.compress}[suffix]
    places = [f"{SETS[name].home}/{file}.{suffix}".rstrip(".") for file in IDX_FILES]
    return Tiny(name, dict(zip(places, map(compress, contents), strict=True)), served, images, labels)


def tiny_cifar10(monkeypatch):
    images, labels = noise(3, 32, 32)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    pixels, classes = (np.split(np.concatenate([part["train"], part["test"]]), 6) for part in (images, labels))
    rows = [{"data": x.reshape(4, -1), "labels": y.tolist()} for x, y in zip(pixels, classes, strict=True)]
    batches = [pickle.dumps(row) for row in rows]
    sums = [[name, md5(content)] for name, content in zip(names, batches, strict=True)]
    meta = pickle.dumps({"label_names": ["a"]})
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(meta)})
    places = [f"{CIFAR10.base_folder}/{name}" for name in [*names, "batches.meta"]]
    files = dict(zip(places, [*batches, meta], strict=True))
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w:gz") as archive:
        for place, content in files.items():
            (member := tarfile.TarInfo(place)).size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(packed.getvalue()))
    return Tiny("cifar10", files, {CIFAR10.filename: packed.getvalue()}, images, labels)


def photograph(seed, size=(178, 218)):
    """A JPEG of noise, which has detail at every scale."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", quality=95)
    return file.getvalue()


PARTITION = {"000001.jpg": 0, "000002.jpg": 2, "000003.jpg": 1, "000004.jpg": 0, "000005.jpg": 0, "000006.jpg": 2}
FACES = {"train": ["000001.jpg", "000004.jpg", "000005.jpg"], "test": ["000002.jpg", "000006.jpg"]}
PHOTOS = {name: photograph(seed) for seed, name in enumerate(PARTITION)}


def opened(name):
    return Image.open(io.BytesIO(PHOTOS[name]))


def tiny_celeba(monkeypatch):
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        for name, content in PHOTOS.items():
            archive.writestr(f"img_align_celeba/{name}", content)
    listed = "".join(f"{name} {part}\n" for name, part in PARTITION.items()).encode()
    served = {"list_eval_partition.txt": listed, "img_align_celeba.zip": packed.getvalue()}
    monkeypatch.setattr(CelebA, "file_list", [(name, md5(content), name) for name, content in served.items()])
    files = {f"celeba/{name}": content for name, content in served.items()}
    faces = {split: np.stack([crop_and_resize(opened(name)) for name in names]) for split, names in FACES.items()}
    return Tiny("celeba", files, served, faces)


@pytest.fixture(params=["mnist", "fashion_mnist", "cifar10", "celeba"])
def tiny(request, monkeypatch, tmp_path):
    """A tiny set, such as "mnist.gz" whose files are compressed, and a data folder that does not exist yet."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    name, _, suffix = request.param.partition(".")
    others = {"cifar10": tiny_cifar10, "celeba": tiny_celeba}
    return others[name](monkeypatch) if name in others else tiny_idx(name, suffix, monkeypatch)


def of(*names):
    """Let `tiny` be these sets."""
    return pytest.mark.parametrize("tiny", names, indirect=True)


@pytest.fixture
def server(tiny, monkeypatch):
    """A function that gives the set's addresses a server of ours with a manner; it returns what the server is asked."""
    with serving(tiny.served) as (url, asked):

        def tell(manner):
            for source in SOURCES.values():
                monkeypatch.setattr(source, "mirrors", [f"{url}/{manner}/"], raising=False)
            monkeypatch.setattr(CIFAR10, "url", f"{url}/{manner}/{CIFAR10.filename}")
            monkeypatch.setattr(app, "GOOGLE_DRIVE", f"{url}/{manner}/")
            return asked

        yield tell


def put(tiny):
    """Lay the set's files out in the data folder."""
    for place, content in tiny.files.items():
        path = data_folder() / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def assert_read(tiny):
    """Images and labels are those that were written."""
    for split, pixels in tiny.images.items():
        images = load_images(tiny.name, split)
        assert (images.dtype, images.is_contiguous()) == (torch.float32, True)
        assert torch.equal(images, torch.tensor(pixels).float() / 255)
        if tiny.labels:
            labels = load_labels(tiny.name, split)
            assert (labels.dtype, labels.tolist()) == (torch.int64, tiny.labels[split].tolist())


# --- what is there ---------------------------------------------------------------------------------------------------


@of("mnist", "mnist.gz", "mnist.xz", "cifar10")
def test_files_that_are_there_are_read_and_not_fetched(tiny):
    put(tiny)
    download(tiny.name)
    assert_read(tiny)


def test_a_missing_set_says_where_it_is_sought_and_what_to_do(tiny):
    name, home = tiny.name, SETS[tiny.name].home
    assert not data.is_available(name)
    with pytest.raises(DataNotFoundError, match=rf"read from .*home: .* missing.* `sbgm download {name}` .* {home}\."):
        load_images(name)


@pytest.mark.parametrize("damage", [cut, flip_a_bit, Path.unlink])
@pytest.mark.parametrize("which", [0, -1])
@of("mnist", "mnist.gz", "mnist.xz", "fashion_mnist", "cifar10")
def test_a_damaged_file_is_never_read(tiny, damage, which):
    put(tiny)
    file = data_folder() / [*tiny.files][which]
    damage(file)
    assert data.is_available(tiny.name)  # so that nothing falls back in silence
    named = "a file of cifar-10-batches-py" if tiny.name == "cifar10" else file.stem
    with pytest.raises(DataNotFoundError, match=f"{named} is missing or has a wrong checksum"):
        [(load_images(tiny.name, split), load_labels(tiny.name, split)) for split in SPLITS]


@pytest.mark.parametrize("name", ["digits", "photo_patches", "mnist_small"])
def test_what_ships_needs_no_download(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    assert data.is_available(name)
    download(name)
    assert not data_folder().exists()


# --- the download ----------------------------------------------------------------------------------------------------


def test_a_download_arrives_whole_and_is_not_repeated(tiny, server):
    asked = server("whole")
    download(tiny.name)
    assert_read(tiny)
    n_asked = len(asked)
    download(tiny.name)
    assert len(asked) == n_asked > 0


@pytest.mark.parametrize(
    ("manner", "reason"), [("forbidden", "403"), ("other", "corrupted|known hash"), ("stalled", "timed out")]
)
def test_a_server_that_fails_is_left_soon_and_the_next_download_succeeds(tiny, server, manner, reason, monkeypatch):
    server(manner)
    monkeypatch.setattr("sbgm.files.TIMEOUT", 0.3 if manner == "stalled" else 60.0)
    try:
        with pytest.raises(ConnectionError, match=rf"could not be downloaded into .*home \(.*({reason}).*README\.md$"):
            app.run(argparse.Namespace(name=tiny.name))
    finally:
        socket.setdefaulttimeout(None)
    with pytest.raises(DataNotFoundError):
        load_images(tiny.name)
    server("whole")
    download(tiny.name)
    assert_read(tiny)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_fault_before_all_is_unpacked_leaves_nothing_that_is_taken_for_whole(tiny, server, monkeypatch, fault):
    server("whole")
    with monkeypatch.context() as patch:
        for unpack in ("torchvision.datasets.utils.extract_archive", "shutil.unpack_archive"):
            patch.setattr(unpack, mock.Mock(side_effect=fault))
        wanted = ConnectionError if isinstance(fault, OSError) else KeyboardInterrupt
        with pytest.raises(wanted, match="No space left" if isinstance(fault, OSError) else None):
            download(tiny.name)
    with pytest.raises(DataNotFoundError):
        app.read(tiny.name)
    download(tiny.name)
    assert_read(tiny)


@of("mnist", "cifar10")
def test_any_file_of_a_download_may_be_half_written(tiny, server):
    """As a kill may leave it: another copy of it is read, or it is unpacked anew, and nothing is fetched."""
    asked = server("whole")
    download(tiny.name)
    n_asked = len(asked)
    for path in [path for path in data_folder().rglob("*") if path.is_file() and path.suffix != ".meta"]:
        content = path.read_bytes()
        cut(path)
        download(tiny.name)
        assert_read(tiny)
        path.write_bytes(content)
    assert len(asked) == n_asked


@of("cifar10", "celeba")
def test_archives_put_there_by_hand_are_unpacked_without_a_network(tiny, server):
    asked = server("whole")
    folder = data_folder() / "celeba" if tiny.name == "celeba" else data_folder()
    folder.mkdir(parents=True)
    for name, content in tiny.served.items():
        (folder / name).write_bytes(content)
    download(tiny.name)
    assert_read(tiny)
    assert asked == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "file"))
    with pytest.raises(ConnectionError, match=r"could not be downloaded into .*file"):
        download("cifar10")


# --- CelebA ----------------------------------------------------------------------------------------------------------


def triangle_filter(n_in, n_out):
    """(n_out, n_in) weights of a bilinear reduction: a triangle of half-width n_in/n_out around each pixel's centre."""
    scale = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(n_in) + 0.5 - centres[:, None]) / scale, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_crop_is_the_papers_by_the_filters_definition(mode):
    """In floating point; Pillow rounds to whole greys after each axis, so the definition may differ by one."""
    photo = opened("000001.jpg").convert(mode)
    middle = np.asarray(photo.convert("RGB"), dtype=float)[39:179, 19:159]  # (218 − 140)/2 rows, (178 − 140)/2 columns
    matrix = triangle_filter(140, 32)
    small = crop_and_resize(photo)
    assert small.dtype == torch.uint8
    assert np.abs(small.numpy() - np.einsum("ip,jq,pqc->cij", matrix, matrix, middle)).max() <= 1


@pytest.fixture
def photos(tiny):
    """The folder of the photographs, unpacked, without an archive."""
    put(tiny)
    zipfile.ZipFile(data_folder() / "celeba/img_align_celeba.zip").extractall(data_folder() / "celeba")
    (data_folder() / "celeba/img_align_celeba.zip").unlink()
    return data_folder() / "celeba/img_align_celeba"


@of("celeba")
def test_unpacked_photographs_are_prepared_and_then_not_needed(tiny, server, photos):
    asked = server("whole")
    (data_folder() / "celeba/list_eval_partition.txt").unlink()
    download("celeba")
    assert asked == ["/whole/list_eval_partition.txt"]
    assert load_tensors(data.celeba_cache("train"))[1]["terms"] == "non-commercial research"
    shutil.rmtree(data_folder() / "celeba")
    download("celeba")
    assert_read(tiny)
    cut(data.celeba_cache("train"))
    with pytest.raises(ValueError, match=r"must be a whole safetensors file, but .*celeba_crop140.*train"):
        load_images("celeba")


@of("celeba")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (PHOTOS["000004.jpg"][:2000], "truncated"),
        (b"<!DOCTYPE html>", "cannot identify"),
        (photograph(0, (178, 200)), "photo must be 178×218 pixels, got 178×200"),
    ],
)
def test_a_photograph_that_cannot_be_used_is_named(photos, content, reason):
    path = photos / "000004.jpg"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataNotFoundError, match=rf"000004\.jpg can't be used .*{reason}"):
        download("celeba")
    assert not cache_folder().exists()


# --- the real things -------------------------------------------------------------------------------------------------


@pytest.mark.celeba_sample
def test_real_photographs_are_cropped_as_someone_else_prepared_them():
    folder = data_folder() / "faces"
    with np.load(folder / "celeba32_ncsn_5000.npz") as file:
        wanted = dict(zip(file["image_ids"].tolist(), file["images"], strict=True))
    photos = {int(path.stem): path for path in (folder / "img_align_celeba").glob("*.jpg")}
    assert wanted.keys() & photos.keys()
    for number in wanted.keys() & photos.keys():
        assert np.array_equal(crop_and_resize(Image.open(photos[number])).permute(1, 2, 0), wanted[number])


@pytest.mark.celeba
def test_celeba_is_the_real_one():
    for split, n in (("train", 162_770), ("test", 19_962)):
        assert load_images("celeba", split).shape == (n, 3, 32, 32)


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
