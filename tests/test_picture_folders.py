"""Images of one's own: what a folder, a file of arrays and a sequence become, and the dirt that folders hold."""

import numpy as np
import pytest
import torch
from PIL import Image

from sbgm import data
from sbgm.data import DataNotFoundError, Notice, load_images, load_labels
from sbgm.pictures import own_images, read_picture


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))


def plain(colour, size=(20, 20), mode="RGB"):
    """A picture of one colour."""
    return Image.new(mode, size, colour)


def folder_of(path, n=12, step=20, first=0, **options):
    """A folder of PNGs, each of one grey value: the first, and then always `step` more."""
    path.mkdir(parents=True)
    for i in range(n):
        plain(first + step * i, mode="L", **options).save(path / f"{i:02}.png")
    return path


def test_a_folder_is_split_by_a_seed_and_read_once(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "photos", 20)
    parts = [load_images(own_images(folder, 8), split) for split in data.SPLITS]
    assert [tuple(part.shape) for part in parts] == [(16, 1, 8, 8), (4, 1, 8, 8)]
    assert torch.equal(load_images(own_images(folder, 8), "test"), parts[1])
    other = load_images(own_images(folder, 8, seed=1), "test")
    assert not torch.equal(other, parts[1])
    monkeypatch.setattr(Image, "open", None)  # what was read before is not read again
    assert torch.equal(load_images(own_images(folder, 8)), parts[0])


def test_subfolders_are_classes_and_train_and_test_are_splits(tmp_path):
    for split, n in (("train", 8), ("test", 2)):
        folder_of(tmp_path / "pets" / split / "cats", n, step=0)
        folder_of(tmp_path / "pets" / split / "dogs", n, step=0, first=80)
    own = own_images(tmp_path / "pets", 8)
    assert own.classes == ("cats", "dogs")
    for split, n in (("train", 16), ("test", 4)):
        images, labels = load_images(own, split), load_labels(own, split)
        assert len(images) == n
        assert torch.equal((images[:, 0, 0, 0] * 255).round(), 80.0 * labels)
    mixed = own_images(tmp_path / "pets" / "train" / "cats", 8)
    with pytest.raises(ValueError, match="name must be of a set with a class for every image, and cats has none"):
        load_labels(mixed)


def test_the_dirt_of_a_folder(tmp_path):
    folder = folder_of(tmp_path / "photos", 10)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._00.png").write_bytes(b"what a Mac leaves")
    plain((0, 255, 255, 0), mode="CMYK").save(folder / "press.jpg", quality=100)
    plain((0, 200, 0)).save(folder / "moves.gif", save_all=True, append_images=[plain((0, 0, 200))])
    plain((200, 100, 50), size=(4000, 3000)).save(folder / "IMG_1.JPG")
    Image.fromarray(np.full((30, 30), 100 * 257, np.uint16)).save(folder / "deep.tiff")
    plain((9, 9, 9, 0), mode="RGBA").save(folder / "clear.webp", lossless=True)
    whole = (folder / "05.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(Notice, match=r"of 16 pictures these can't be read and are left out: .*cut\.png \(\w+: .*\)"):
        own = own_images(folder, 8)
    assert own.shape == (3, 8, 8)
    pixels = torch.cat([load_images(own, split) for split in data.SPLITS]).mul(255).round().int()[:, :, 4, 4].tolist()
    assert len(pixels) == 15
    for wanted in ([255, 0, 0], [0, 200, 0], [200, 100, 50], [100] * 3, [255] * 3):  # white where nothing is seen
        assert min(max(abs(a - b) for a, b in zip(pixel, wanted, strict=True)) for pixel in pixels) <= 3, wanted


def test_a_folder_with_many_that_cannot_be_read_is_refused_with_their_names(tmp_path):
    folder = folder_of(tmp_path / "photos", 10)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"of 12 these can't: .*a\.png .*b\.png"):
        own_images(folder, 8)


@pytest.mark.parametrize("n", [0, 7])
def test_a_folder_without_pictures_is_refused(tmp_path, n):
    folder = folder_of(tmp_path / "photos", n)
    with pytest.raises(DataNotFoundError, match=rf"source must hold eight pictures or more .*got {n} in photos"):
        own_images(folder)


def test_the_middle_square_is_kept_and_a_camera_that_was_turned_is_minded(tmp_path):
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, 15:45] = [[[200, 0, 0]]] * 15 + [[[0, 0, 200]]] * 15  # the square in the middle: red above blue
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    for picture, top in ((pixels, 0), (Image.fromarray(pixels), 0), (tmp_path / "a.png", 2)):
        image = read_picture(picture, 10)
        assert (image[top, :4] > 150).all()
        assert (image[2 - top, 6:] > 150).all()
        assert (image[1] == 0).all()


def test_files_of_arrays_and_sequences_are_data_sets(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(10) % 3)
    rows = [{"image": Image.fromarray(x), "label": i % 3} for i, x in enumerate(pixels)]
    floats = torch.tensor(pixels).permute(0, 3, 1, 2) / 255
    wanted = load_images(own_images(tmp_path / "a.npy", 8))
    for source in (tmp_path / "a.npz", rows, floats, list(zip(pixels, range(10), strict=True))):
        assert torch.equal(load_images(own_images(source, 8)), wanted)
    assert torch.equal(load_labels(own_images(tmp_path / "a.npz", 8)), load_labels(own_images(rows, 8)))
    assert own_images(rows, 8).classes == ("0", "1", "2")
    for arguments, says in (
        ((3,), "source must be a folder, "),
        ((tmp_path / "none",), "source must be a folder, an .npy or"),
        ((rows, 8, 2), "n_channels must be one of 1, 3, None, got 2$"),
        ((rows, 8, "grey"), "n_channels must be one of 1, 3, None, got 'grey'$"),
    ):
        with pytest.raises((TypeError, ValueError, DataNotFoundError), match=says):
            own_images(*arguments)


@pytest.mark.filterwarnings("error::sbgm.data.Notice")
def test_many_pictures_are_read_by_several_processes(tmp_path):
    folder = folder_of(tmp_path / "photos", 12, size=(3, 3))
    for i in range(500):
        (folder / f"x{i}.png").symlink_to(folder / f"{i % 12:02}.png")
    own = own_images(folder, 3)
    seen = torch.cat([load_images(own, split) for split in data.SPLITS]).mul(255).round()
    greys = torch.tensor(sorted([*range(12), *(i % 12 for i in range(500))])) * 20.0
    assert torch.equal(seen.flatten(1).sort(dim=0).values, greys[:, None].expand(-1, 9))  # each of one grey value
