"""Images and labels by name, what scikit-learn carries, and CIFAR-10: missing, damaged, or not to be fetched."""

import hashlib
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils import Bunch
from torchvision.datasets import CIFAR10, CelebA

from data_server import serving
from sbgm import data
from sbgm.data import IDX_FILES, IDX_SHA256, shipped_folder
from sbgm.train.downloads import download

SIZES = {"digits": ((1, 8, 8), 1437, 360), "photo_patches": ((3, 32, 32), 5700, 1700)}


@pytest.mark.parametrize("name", SIZES)
def test_shipped_images_are_floats_between_0_and_1(name):
    shape, n_train, n_test = SIZES[name]
    for split, n in (("train", n_train), ("test", n_test)):
        images = data.load_images(name, split)
        assert images.shape == (n, *shape)
        assert images.dtype == torch.float32
        assert images.min() == 0
        assert images.max() == 1
        assert data.is_available(name)


def test_train_and_test_patches_share_no_pixel(monkeypatch):
    """Photographs whose every pixel has a number of its own (float32 counts exactly up to 2²⁴)."""
    height, width = 427, 640
    numbers = np.arange(2 * height * width).reshape(2, height, width)
    photos = [np.stack([number] * 3, axis=-1) for number in numbers]
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: Bunch(images=photos))
    pixels = {}
    for split in data.SPLITS:
        patches = (data.load_images("photo_patches", split).double() * 255).round().long()
        assert len(torch.unique(patches[:, :, 0, 0], dim=0)) == len(patches)  # no patch twice
        # rows and columns are not exchanged: steps of 1 along a row, of the width down a column
        assert (patches[..., 1:] - patches[..., :-1] == 1).all()
        assert (patches[:, :, 1:] - patches[:, :, :-1] == width).all()
        pixels[split] = patches.unique()
    assert not torch.isin(pixels["train"], pixels["test"]).any()
    assert (pixels["train"] % width).max() < width * 3 // 4 <= (pixels["test"] % width).min()


def test_each_digits_label_is_scikit_learns_in_the_order_of_the_images():
    labels = [data.load_labels("digits", split) for split in data.SPLITS]
    assert [len(split) for split in labels] == [1437, 360]
    assert torch.cat(labels).tolist() == load_digits().target.tolist()
    assert labels[0].dtype == torch.int64


@pytest.mark.parametrize("call", [data.load_images, data.is_available, download])
def test_an_unknown_name_is_refused(call):
    known = "'digits', 'photo_patches', 'mnist_small', 'mnist', 'fashion_mnist', 'cifar10', 'celeba'"
    with pytest.raises(ValueError, match=rf"name must be one of {known}, got 'cifar'; did you mean 'cifar10'\?$"):
        call("cifar")


def test_every_name_is_documented_and_every_checksum_as_it_is_used():
    readme = (shipped_folder() / "README.md").read_text(encoding="utf-8")
    for name in data.NAMES:
        assert f'"{name}"' in data.load_images.__doc__
        assert f"| `{name}` |" in readme
    for file, sha256 in zip(IDX_FILES, IDX_SHA256["mnist_small"], strict=True):
        assert f"| `{file}` | `{sha256}` |" in readme
    celeba = {name: md5 for _, md5, name in CelebA.file_list}
    for md5 in (CIFAR10.tgz_md5, celeba["img_align_celeba.zip"], celeba["list_eval_partition.txt"]):
        assert md5 in readme


def test_the_folder_is_sbgm_data_or_the_repositorys(monkeypatch, tmp_path):
    monkeypatch.setenv("SBGM_DATA", str(tmp_path))
    assert data.data_folder() == tmp_path
    assert data.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("SBGM_DATA")
    assert data.data_folder().parts[-1] == "data"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SBGM_DATA", "~/sets")
    assert data.data_folder() == tmp_path / "sets"


# --- CIFAR-10, as tiny files with checksums of their own -------------------------------------------------------------

N_TINY = 4  # images a batch file


def tiny_cifar10(folder, monkeypatch):
    """Write batch files of N_TINY images under `folder`, and tell torchvision their checksums."""
    base = folder / CIFAR10.base_folder
    base.mkdir(parents=True)
    draw = np.random.default_rng(0)

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((base / name).read_bytes()).hexdigest()

    def batch(name):
        pixels = draw.integers(0, 256, (N_TINY, 3072), dtype=np.uint8)
        return [name, write(name, {"data": pixels, "labels": draw.integers(0, 10, N_TINY).tolist()})]

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}") for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    meta = {**CIFAR10.meta, "md5": write("batches.meta", {"label_names": ["a"]})}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return base


@pytest.fixture
def home(monkeypatch, tmp_path):
    """An empty data folder."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def test_cifar10_is_read_as_it_was_written(home, monkeypatch):
    base = tiny_cifar10(home, monkeypatch)
    images = data.load_images("cifar10")
    assert images.shape == (5 * N_TINY, 3, 32, 32)
    batches = [pickle.loads((base / f"data_batch_{i}").read_bytes()) for i in range(1, 6)]
    written = np.concatenate([batch["data"] for batch in batches])
    assert torch.equal((images * 255).round().flatten(1), torch.tensor(written, dtype=torch.float32))
    assert data.load_labels("cifar10").tolist() == [label for batch in batches for label in batch["labels"]]
    assert data.load_labels("cifar10").dtype == torch.int64
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert len(data.load_images("cifar10", "test")) == N_TINY
    assert data.is_available("cifar10")


def test_an_installed_package_has_its_own_data_and_downloads_elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv("SBGM_DATA", raising=False)
    package = tmp_path / "site-packages" / "sbgm"
    monkeypatch.setattr(data, "PACKAGE", package)
    assert data.checkout() == tmp_path / "site-packages"  # as in a checkout
    assert data.shipped_folder() == tmp_path / "site-packages" / "data"
    (package / "_data").mkdir(parents=True)
    assert data.checkout() is None
    assert data.shipped_folder() == package / "_data"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data.data_folder() == tmp_path / "cache" / "sbgm"


def truncate(base):
    (base / "data_batch_3").write_bytes((base / "data_batch_3").read_bytes()[:-1])
    return "data_batch_3"


def flip_a_byte(base):
    content = bytearray((base / "test_batch").read_bytes())
    content[len(content) // 2] ^= 1
    (base / "test_batch").write_bytes(content)
    return "test_batch"


def remove(base):
    (base / "batches.meta").unlink()
    return "batches.meta"


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, remove])
@pytest.mark.parametrize("split", data.SPLITS)
def test_a_damaged_folder_is_named_with_its_files_and_never_used(home, monkeypatch, damage, split):
    base = tiny_cifar10(home, monkeypatch)
    broken = damage(base)
    before = {path.name: path.read_bytes() for path in base.iterdir()}
    assert data.is_available("cifar10")  # so that nothing falls back in silence
    for call in (lambda: data.load_images("cifar10", split), lambda: download("cifar10")):
        with pytest.raises(data.DataNotFoundError, match=f"incomplete or damaged: {broken} missing") as raised:
            call()
        assert str(base) in str(raised.value)
        assert "Move that folder away" in str(raised.value)
    assert {path.name: path.read_bytes() for path in base.iterdir()} == before


# --- the download, with a network of our own -------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A CIFAR-10 archive on a server, its checksum known to torchvision; its path, and what the server is asked."""
    base = tiny_cifar10(tmp_path / "server", monkeypatch)
    path = tmp_path / "server" / CIFAR10.filename
    with tarfile.open(path, "w:gz") as file:
        file.add(base, CIFAR10.base_folder)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({CIFAR10.filename: path.read_bytes()}) as (url, asked):
        monkeypatch.setattr(CIFAR10, "url", f"{url}/whole/{CIFAR10.filename}")
        yield path, asked


def test_a_download_arrives_whole_and_is_not_repeated(home, archive):
    download("cifar10")
    assert len(data.load_images("cifar10")) == 5 * N_TINY
    assert [path.name for path in home.iterdir()] == [CIFAR10.base_folder]
    n_asked = len(archive[1])
    download("cifar10")
    assert len(archive[1]) == n_asked > 0


def test_an_archive_put_there_by_hand_is_unpacked_without_a_network(home, archive):
    home.mkdir()
    shutil.copy(archive[0], home)
    download("cifar10")
    assert len(data.load_images("cifar10")) == 5 * N_TINY
    assert archive[1] == []


def test_unpacking_that_is_interrupted_leaves_no_folder_behind(home, archive, monkeypatch):
    """The archive's first file is out when it happens."""

    def half(archive, folder, *options):
        (Path(folder) / CIFAR10.base_folder).mkdir()
        (Path(folder) / CIFAR10.base_folder / "data_batch_1").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extractall", half)
        with pytest.raises(KeyboardInterrupt):
            download("cifar10")
    assert list(home.iterdir()) == []
    download("cifar10")
    assert len(data.load_images("cifar10")) == 5 * N_TINY


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "file"))
    with pytest.raises(ConnectionError, match=r"could not be downloaded into .*file"):
        download("cifar10")


@pytest.mark.parametrize("name", SIZES)
def test_what_scikit_learn_carries_needs_no_download(name, home):
    download(name)
    assert not home.exists()


# --- the real things -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "means", "off"),  # of the channels, to the digits that are published
    [
        pytest.param("mnist", (60_000, 1, 28, 28), [0.13066], 5e-6, marks=pytest.mark.mnist),
        pytest.param("fashion_mnist", (60_000, 1, 28, 28), [0.2860], 5e-5, marks=pytest.mark.fashion_mnist),
        pytest.param("cifar10", (50_000, 3, 32, 32), [0.49140, 0.48216, 0.44653], 5e-6, marks=pytest.mark.cifar10),
    ],
)
def test_the_real_set_has_its_images_and_a_tenth_of_them_in_each_class(name, shape, means, off):
    images, labels = data.load_images(name), data.load_labels(name)
    assert images.shape == shape
    assert images.double().mean(dim=(0, 2, 3)).tolist() == pytest.approx(means, abs=off)
    assert float((labels.bincount(minlength=10) / len(labels) - 0.1).abs().max()) < 0.02
