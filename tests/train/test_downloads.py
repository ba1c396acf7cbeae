"""Data sets that are fetched: read as they were written, missing, damaged, or not given by a server of our own.

Each is a set of a few images of noise, whose checksums replace the real ones.
"""

import errno
import gzip
import hashlib
import io
import lzma
import os
import pickle
import re
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

from data_server import PAGE, serving
from sbgm import data
from sbgm.data import IDX_FILES, IDX_SHA256, SETS, SPLITS, DataNotFoundError, data_folder, load_images, load_labels
from sbgm.files import load_tensors, save_tensors
from sbgm.train import downloads
from sbgm.train.downloads import SOURCES, crop_and_resize, download, move_into_place, prepare_celeba

N = {"train": 20, "test": 4}  # images of a tiny set
of_celeba = pytest.mark.parametrize("tiny", ["celeba"], indirect=True)


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


def photograph(seed, size=(178, 218), mode="RGB"):
    """A JPEG of noise, which has detail at every scale."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(file := io.BytesIO(), "JPEG", quality=95)
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
    faces = {s: np.stack([crop_and_resize(opened(name)) for name in names]) for s, names in FACES.items()}
    return Tiny("celeba", files, served, {split: images.transpose(0, 3, 1, 2) for split, images in faces.items()})


@pytest.fixture(params=["mnist", "fashion_mnist", "cifar10", "celeba"])
def tiny(request, monkeypatch, tmp_path):
    """A tiny set, such as "mnist.gz" whose files are compressed, and a data folder that does not exist yet."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    name, _, suffix = request.param.partition(".")
    others = {"cifar10": tiny_cifar10, "celeba": tiny_celeba}
    return others[name](monkeypatch) if name in others else tiny_idx(name, suffix, monkeypatch)


def put(tiny):
    """Lay the set's files out in the data folder."""
    for place, content in tiny.files.items():
        path = data_folder() / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def found():
    """All that lies in the data folder, except what was prepared from it."""
    files = [path for path in data_folder().rglob("*") if path.is_file() and path.parent.name != "cache"]
    return {path.relative_to(data_folder()).as_posix(): path.read_bytes() for path in files}


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


@pytest.mark.parametrize("tiny", ["mnist", "mnist.gz", "mnist.xz"], indirect=True)
def test_files_are_read_plain_or_compressed(tiny):
    put(tiny)
    assert_read(tiny)


def test_a_missing_set_gives_one_sentence_and_the_way_on(tiny):
    name, home = tiny.name, SETS[tiny.name].home
    assert not data.is_available(name)
    with pytest.raises(
        DataNotFoundError, match=rf"is not in .*home\. Run `sbgm download {name}` .* SBGM_DATA to .* holds {home}\.$"
    ):
        load_images(name)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def web_page(path):
    path.write_bytes(PAGE)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [cut, flip_a_byte, web_page, Path.unlink, pipe])
@pytest.mark.parametrize("which", [0, -2, -1])
@pytest.mark.parametrize("tiny", ["mnist", "mnist.gz", "mnist.xz", "fashion_mnist", "cifar10"], indirect=True)
def test_a_damaged_folder_is_named_with_its_file_and_left_as_it_is(tiny, damage, which):
    put(tiny)
    file = data_folder() / [*tiny.files][which]
    damage(file)
    before = found()
    assert data.is_available(tiny.name)  # so that nothing falls back in silence
    message = f"{file.parent} is incomplete or damaged: {file.stem}.* missing or with .*Move that folder away"
    with pytest.raises(DataNotFoundError, match=message):
        download(tiny.name)
    with pytest.raises(DataNotFoundError, match=message):
        [(load_images(tiny.name, split), load_labels(tiny.name, split)) for split in SPLITS]
    assert found() == before


@pytest.mark.parametrize("damage", [cut, flip_a_byte, web_page, pipe])
@pytest.mark.parametrize("which", [0, 1])
@of_celeba
def test_what_google_drive_sent_instead_of_a_file_is_recognised_and_left(tiny, damage, which):
    put(tiny)
    file = data_folder() / [*tiny.files][which]
    damage(file)
    before = found()
    assert data.is_available("celeba")
    with pytest.raises(DataNotFoundError, match=f"{file.name} is not CelebA's.*Move it away.*try again tomorrow"):
        download("celeba")
    assert found() == before


# --- the download ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tiny, monkeypatch):
    """A function that gives the set's addresses a server of ours with a manner; it returns what the server is asked."""
    with serving(tiny.served) as (url, asked):

        def tell(manner):
            for source in SOURCES.values():
                monkeypatch.setattr(source, "mirrors", [f"{url}/{manner}/"], raising=False)
            monkeypatch.setattr(CIFAR10, "url", f"{url}/{manner}/{CIFAR10.filename}")
            monkeypatch.setattr(downloads, "GOOGLE_DRIVE", f"{url}/{manner}/")
            return asked

        yield tell


def test_a_download_arrives_whole_and_is_not_repeated(tiny, server):
    asked = server("whole")
    download(tiny.name)
    assert tiny.files.items() <= found().items()
    assert {path.name for path in data_folder().iterdir()} - {"cache"} == {Path(SETS[tiny.name].home).parts[0]}
    assert_read(tiny)
    if tiny.name != "celeba":  # which torchvision reads from other files
        assert len(SOURCES[tiny.name](str(data_folder()), train=False)) == N["test"]
    n_asked = len(asked)
    download(tiny.name)
    assert len(asked) == n_asked > 0


@pytest.mark.parametrize(
    ("manner", "reason"),
    [("forbidden", "403"), ("page", "corrupted|known hash"), ("silent", "timed out"), ("stalled", "timed out")],
)
def test_where_the_server_fails_the_reason_and_the_way_on_are_told_and_nothing_is_left(
    tiny, server, manner, reason, monkeypatch
):
    server(manner)
    monkeypatch.setattr("sbgm.files.TIMEOUT", 0.3 if reason == "timed out" else 60.0)
    before = socket.getdefaulttimeout()
    with pytest.raises(ConnectionError, match=f"could not be downloaded into .*home .*({reason})") as raised:
        download(tiny.name)
    assert re.search(r"load_images\(.*another machine|another machine.*load_images\(", str(raised.value))  # on one line
    assert SETS[tiny.name].home in str(raised.value)
    assert (list(data_folder().iterdir()), socket.getdefaulttimeout()) == ([], before)
    server("whole")
    download(tiny.name)
    assert_read(tiny)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("moment", ["torchvision.datasets.utils.extract_archive", "pathlib.Path.replace"])
@pytest.mark.parametrize("tiny", ["mnist", "cifar10"], indirect=True)
def test_a_fault_at_any_moment_leaves_nothing_and_the_next_download_succeeds(tiny, server, monkeypatch, fault, moment):
    """While what came is unpacked, and while it is moved into its place."""
    server("whole")
    with monkeypatch.context() as patch:
        patch.setattr(moment, mock.Mock(side_effect=fault))
        with pytest.raises(type(fault)) as raised:
            download(tiny.name)
    if isinstance(fault, OSError):
        assert re.search(r"The disk is full: .* packed, .* SBGM_DATA to a folder on another disk", str(raised.value))
    assert not data.is_available(tiny.name)
    assert found() == {}
    download(tiny.name)
    assert_read(tiny)


@pytest.mark.parametrize("tiny", ["cifar10"], indirect=True)
def test_an_archive_put_there_by_hand_is_unpacked_without_a_network(tiny, server):
    asked = server("whole")
    data_folder().mkdir()
    (data_folder() / CIFAR10.filename).write_bytes(tiny.served[CIFAR10.filename])
    download("cifar10")
    assert_read(tiny)
    assert asked == []


def test_what_another_process_has_put_there_meanwhile_stays(tmp_path):
    made, place = tmp_path / "made", tmp_path / "deep" / "place"
    for folder, content in ((made, "ours"), (place, "theirs")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(content)
    move_into_place(made, place)
    assert (place / "file").read_text() == "theirs"


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "file"))
    with pytest.raises(ConnectionError, match=r"could not be downloaded into .*file"):
        download("cifar10")


@pytest.mark.parametrize("name", ["digits", "photo_patches", "mnist_small"])
def test_what_ships_needs_no_download(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    assert data.is_available(name)
    download(name)
    assert not data_folder().exists()


# --- CelebA: the crop ------------------------------------------------------------------------------------------------


def triangle_filter(n_in, n_out):
    """(n_out, n_in) weights of a bilinear reduction: a triangle of half-width n_in/n_out around each pixel's centre."""
    scale = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(n_in) + 0.5 - centres[:, None]) / scale, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", PARTITION)
def test_the_crop_is_the_papers_by_the_filters_definition(name):
    """In floating point; Pillow rounds to whole greys after each axis, so the definition may differ by one."""
    middle = np.asarray(opened(name), dtype=float)[39:179, 19:159]  # (218 − 140)/2 rows, (178 − 140)/2 columns left out
    matrix = triangle_filter(140, 32)
    small = crop_and_resize(opened(name))
    assert small.dtype == np.uint8
    assert np.abs(small - np.einsum("ip,jq,pqc->ijc", matrix, matrix, middle)).max() <= 1


def test_a_grey_photograph_becomes_colour():
    small = crop_and_resize(Image.open(io.BytesIO(photograph(0, mode="L"))))
    assert small.shape == (32, 32, 3)
    assert (small[..., :1] == small).all()


@pytest.mark.parametrize("size", [(218, 178), (178, 219), (32, 32)])
def test_a_photograph_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match=f"photo must be 178×218 pixels, got {size[0]}×{size[1]}"):
        crop_and_resize(Image.new("RGB", size))


# --- CelebA: what is prepared ----------------------------------------------------------------------------------------


@pytest.fixture
def photos(tiny):
    """The folder of the photographs, unpacked, without an archive."""
    put(tiny)
    zipfile.ZipFile(data_folder() / "celeba/img_align_celeba.zip").extractall(data_folder() / "celeba")
    (data_folder() / "celeba/img_align_celeba.zip").unlink()
    return data_folder() / "celeba/img_align_celeba"


@of_celeba
def test_what_was_prepared_is_kept_and_read_without_the_photographs(tiny, photos):
    prepare_celeba("train")
    tensors, facts = load_tensors(data.celeba_cache("train"))
    assert (tensors["images"].dtype, facts["terms"]) == (torch.uint8, "non-commercial research")
    (photos / "000002.jpg").unlink()
    with pytest.raises(DataNotFoundError, match="not prepared yet: `sbgm download celeba` does that once"):
        load_images("celeba", "test")
    with pytest.raises(DataNotFoundError, match=r"incomplete or damaged: 000002.jpg can't be used"):
        download("celeba")
    (photos / "000002.jpg").write_bytes(PHOTOS["000002.jpg"])
    prepare_celeba("test")
    shutil.rmtree(data_folder() / "celeba")
    download("celeba")
    assert_read(tiny)


@of_celeba
def test_only_what_is_missing_is_fetched(server, photos):
    asked = server("whole")
    (data_folder() / "celeba/list_eval_partition.txt").unlink()
    download("celeba")
    assert asked == ["/whole/list_eval_partition.txt"]
    data.celeba_cache("test").unlink()
    photos.rename(data_folder() / "away")
    download("celeba")
    assert asked == ["/whole/list_eval_partition.txt", "/whole/img_align_celeba.zip"]


@of_celeba
@pytest.mark.parametrize(
    "tensors", [None, {"faces": torch.zeros(1)}, {"images": torch.zeros(2, 3)}, {"images": torch.zeros(2, 3, 32, 32)}]
)
def test_a_damaged_cache_is_named_and_never_used(photos, tensors):
    prepare_celeba("train")
    cache = data.celeba_cache("train")
    cut(cache) if tensors is None else save_tensors(cache, tensors)
    with pytest.raises(DataNotFoundError, match=rf"{cache.name} is damaged. Delete it; `sbgm download celeba` prep"):
        load_images("celeba")


@of_celeba
@pytest.mark.parametrize(
    ("content", "reason"),
    [(PHOTOS["000004.jpg"][:2000], "truncated"), (PAGE, "cannot identify"), (photograph(0, (178, 200)), "178×218")],
)
def test_a_photograph_that_cannot_be_used_is_named(photos, content, reason):
    (photos / "000004.jpg").write_bytes(content)
    with pytest.raises(DataNotFoundError, match=f"is incomplete or damaged: 000004.jpg can't be used .*{reason}"):
        prepare_celeba("train")
    assert not data.cache_folder().exists()


# --- the real things -------------------------------------------------------------------------------------------------


@pytest.mark.celeba_sample
def test_real_photographs_are_cropped_as_someone_else_prepared_them():
    folder = data_folder() / "faces"
    with np.load(folder / "celeba32_ncsn_5000.npz") as file:
        wanted = dict(zip(file["image_ids"].tolist(), file["images"], strict=True))
    photos = {int(path.stem): path for path in (folder / "img_align_celeba").glob("*.jpg")}
    assert wanted.keys() & photos.keys()
    for number in wanted.keys() & photos.keys():
        assert np.array_equal(crop_and_resize(Image.open(photos[number])), wanted[number])


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
