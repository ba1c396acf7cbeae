"""Images and labels by name, what ships, where data are kept, and what is done to images before training."""

import hashlib
import lzma

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from properties.comparing import untouched
from sbgm.apps.download import download
from sbgm.files import data_folder, shipped_folder
from sbgm.images import data
from sbgm.images.data import dequantised, load_images, load_labels
from seeds import seeded

# --- names and folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [load_images, data.is_available, download])
def test_an_unknown_name_is_refused(call):
    known = "'digits', 'photo_patches', 'mnist_small', 'mnist', 'fashion_mnist', 'cifar10'"
    with pytest.raises(ValueError, match=rf"name must be one of {known}, got 'cifar'; did you mean 'cifar10'\?$"):
        call("cifar")


def test_every_name_and_every_file_that_ships_is_documented():
    readme = (shipped_folder() / "README.md").read_text(encoding="utf-8")
    files = sorted((shipped_folder() / "mnist_small").glob("*.xz"))
    assert len(files) == 4
    for file in files:
        sha256 = hashlib.sha256(lzma.decompress(file.read_bytes())).hexdigest()
        assert f"| `{file.stem}` | `{sha256}` |" in readme
    for name in data.NAMES:
        assert f"| `{name}` |" in readme
        assert f'"{name}"' in load_images.__doc__


def test_the_folder_is_sbgm_data_or_the_repositorys(monkeypatch, tmp_path):
    monkeypatch.delenv("SBGM_DATA", raising=False)
    assert data_folder().parts[-1] == "data"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SBGM_DATA", "~/sets")


# --- what ships ------------------------------------------------------------------------------------------------------

SHIPPED = {
    "digits": ((1, 8, 8), 1437, 360),
    "photo_patches": ((3, 32, 32), 5700, 1700),
    "mnist_small": ((1, 28, 28), 3158, 5000),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_images_are_floats_between_0_and_1(name):
    shape, *numbers = SHIPPED[name]
    for split, n in zip(data.SPLITS, numbers, strict=True):
        images = load_images(name, split)
        assert images.shape == (n, *shape)
        assert images.dtype == torch.float32
        assert float(images.min()) == 0
        assert float(images.max()) == 1


def test_train_and_test_patches_share_no_pixel(monkeypatch):
    """Photographs whose every pixel has a number of its own (float32 counts exactly up to 2²⁴)."""
    height, width = 427, 640
    numbers = np.arange(2 * height * width).reshape(2, height, width)
    photos = [np.stack([number] * 3, axis=-1) for number in numbers]  # of three colours that are alike
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: Bunch(images=photos))
    pixels = {}
    for split in data.SPLITS:
        patches = (load_images("photo_patches", split)[:, :1].double() * 255).round().long()
        assert len(torch.unique(patches[:, :, 0, 0], dim=0)) == len(patches)  # no patch twice
        # rows and columns are not exchanged: steps of 1 along a row, of the width down a column
        assert (patches[..., 1:] - patches[..., :-1] == 1).all()
        assert (patches[:, :, 1:] - patches[:, :, :-1] == width).all()
        pixels[split] = patches.unique()
    assert not torch.isin(pixels["train"], pixels["test"]).any()
    assert (pixels["train"] % width).max() < width * 3 // 4 <= (pixels["test"] % width).min()


def test_each_digits_label_is_scikit_learns_in_the_order_of_the_images():
    labels = [load_labels("digits", split) for split in data.SPLITS]
    assert [len(split) for split in labels] == [1437, 360]
    assert torch.cat(labels).tolist() == load_digits().target.tolist()
    assert labels[0].dtype == torch.int64


# --- before training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dequantising_is_the_formula(dtype):
    x = torch.rand(5, 3, 4, 6, generator=seeded(), dtype=dtype)
    u = torch.rand(x.shape, generator=seeded(1), dtype=dtype)
    with untouched(x):
        y = dequantised(x, seeded(1))
    torch.testing.assert_close(y, x * 255 / 256 + u / 256, rtol=0, atol=2e-7)
    assert y.dtype == dtype


def test_a_flipped_image_is_numpys_and_half_of_them_are():
    """4,096 images; the share within 4 s.e. of ½, and no image tells of the next one's flip."""
    n = 4096
    x = torch.rand(n, 2, 3, 5, generator=seeded())
    with untouched(x):
        y = data.flipped(x, seeded(1))
    mirrored = torch.from_numpy(np.flip(x.numpy(), axis=3).copy())
    flipped = (y == mirrored).flatten(1).all(dim=1)
    kept = (y == x).flatten(1).all(dim=1)
    assert torch.equal(flipped, ~kept)
    assert abs(float(flipped.double().mean()) - 0.5) < 4 * 0.5 / n**0.5
    signs = flipped.double() * 2 - 1
    assert abs(float((signs[:-1] * signs[1:]).mean())) < 4 / n**0.5
