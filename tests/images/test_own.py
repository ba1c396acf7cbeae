"""Images of one's own: what a folder and a tensor become, what is ignored, and all that is refused."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from sbgm.images import data
from sbgm.images.data import DataNotFoundError, load_images, load_labels
from sbgm.images.own import own_images
from seeds import seeded


def plain(colour, size=(20, 20), mode="RGB"):
    """A picture of one colour."""
    return Image.new(mode, size, colour)


def folder_of(path, n=12, step=20, first=0, **options):
    """A folder of PNGs, each of one grey value: the first, and then always `step` more."""
    path.mkdir(parents=True)
    for i in range(n):
        plain(first + step * i, mode="L", **options).save(path / f"{i:02}.png")
    return path


def pixels_of(own):
    """The images of both splits, (N, C, H, W), as bytes."""
    return torch.cat([load_images(own, split) for split in data.SPLITS]).mul(255).round().byte()


def test_a_folder_is_split_by_a_seed(tmp_path):
    folder = folder_of(tmp_path / "photos", 20, step=10)
    own = own_images(folder, 8)
    parts = [load_images(own, split) for split in data.SPLITS]
    assert [tuple(part.shape) for part in parts] == [(16, 1, 8, 8), (4, 1, 8, 8)]
    greys = pixels_of(own)[:, 0, 0, 0]
    assert sorted(greys.tolist()) == list(range(0, 200, 10))  # each picture is in one split
    assert torch.equal(load_images(own_images(folder, 8), "test"), parts[1])
    assert not torch.equal(load_images(own_images(folder, 8, seed=1), "test"), parts[1])


def test_subfolders_are_classes_and_train_and_test_are_splits(tmp_path):
    for split, n in (("train", 8), ("test", 2)):
        folder_of(tmp_path / "pets" / split / "cats", n, step=0)
        folder_of(tmp_path / "pets" / split / "dogs", n, step=0, first=80)
    own = own_images(tmp_path / "pets", 8)
    assert own.classes == ("cats", "dogs")
    for split, n in (("train", 16), ("test", 4)):
        images = load_images(own, split)
        labels = load_labels(own, split)
        assert len(images) == n
        assert torch.equal((images[:, 0, 0, 0] * 255).round(), 80.0 * labels)
        assert len(labels[: n // 2].unique()) == 2  # shuffled
    with pytest.raises(ValueError, match="name must be of a set with a class for every image, and cats has none"):
        load_labels(own_images(tmp_path / "pets" / "train" / "cats", 8))


@pytest.mark.parametrize("filled", [["train"], ["Test"], ["Train", "test"], ["train", "test", "val"]])
def test_train_and_test_never_become_classes_in_silence(tmp_path, filled):
    for name in filled:
        folder_of(tmp_path / name, 10)
    with pytest.raises(ValueError, match=rf"all its pictures in train and test, or none, got .*{filled[0]}"):
        own_images(tmp_path, 8)


def test_a_picture_beside_the_subfolders_takes_the_classes_away_and_a_warning_says_so(tmp_path):
    for name in ("a", "b"):
        folder_of(tmp_path / name, 10)
    assert own_images(tmp_path, 8).classes == ("a", "b")
    shutil.copy(tmp_path / "a" / "00.png", tmp_path / "stray.png")
    with pytest.warns(UserWarning, match=r"no classes, because not all lie in subfolders, such as .*stray\.png"):
        assert own_images(tmp_path, 8).classes == ()


def test_pictures_of_all_modes_are_read_and_what_is_hidden_or_no_picture_by_its_suffix_is_ignored(tmp_path):
    folder = folder_of(tmp_path / "photos", 10)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._00.png").write_bytes(b"what a Mac leaves")
    folder_of(folder / ".thumbnails", 1)
    os.mkfifo(folder / "pipe.png")
    (folder / "empty.png").mkdir()
    (folder / "up").symlink_to(folder)
    plain((0, 255, 255, 0), mode="CMYK").save(folder / "press.jpg", quality=100)
    plain((0, 200, 0)).save(folder / "moves.gif", save_all=True, append_images=[plain((0, 0, 200))])
    plain((200, 100, 50), size=(4000, 3000)).save(folder / "IMG_1.JPG")
    plain((9, 9, 9, 0), mode="RGBA").save(folder / "clear.webp", lossless=True)
    with pytest.warns(UserWarning, match="links to folders are not followed: .*photos/up$"):
        own = own_images(folder, 8)
    assert own.shape == (3, 8, 8)
    pixels = pixels_of(own)[:, :, 4, 4].int()
    assert len(pixels) == 14
    white = [255, 255, 255]  # where nothing is seen
    for colour in ([255, 0, 0], [0, 200, 0], [200, 100, 50], white):
        off = (pixels - torch.tensor(colour)).abs().amax(dim=1)
        assert off.min() <= 3, colour


MODE = "a picture must have 8 bits per channel, got mode '{}'"


def test_pictures_that_cannot_be_used_are_named_in_one_message_each_with_its_reason(tmp_path):
    folder = folder_of(tmp_path / "photos", 10)
    says = {}

    def bad(name, reason):
        says[name] = reason
        return folder / name

    Image.fromarray(np.full((20, 20), 200, np.uint16)).save(bad("deep.png", MODE.format("I;16")))
    Image.fromarray(np.full((20, 20), 0.5, np.float32)).save(bad("floats.tiff", MODE.format("F")))
    half = bad("half.png", "image file is truncated")
    Image.fromarray(BYTES.reshape(60, 64).numpy()).save(half)
    os.truncate(half, 2_000)
    phone = folder / "phone.heic"
    bad("phone.heic", f"cannot identify image file '{phone}'").write_bytes(b"ftypheic")
    plain(0, size=(1, 1)).save(bad("small.png", "a picture must have at least 8×8 pixels, got 1×1"))
    with pytest.raises(ValueError, match="source must hold") as refused:
        own_images(folder, 8)
    first, *named = str(refused.value).splitlines()
    assert first == "source must hold pictures that can be used, and 5 of 15 can't be; remove them:"
    assert named == [f"  {folder / name}: {reason}" for name, reason in says.items()]


@pytest.mark.parametrize("n", [0, 7])
def test_a_folder_without_pictures_is_refused(tmp_path, n):
    folder = folder_of(tmp_path / "photos", n)
    with pytest.raises(ValueError, match=rf"source must hold at least 8 images .*got {n}"):
        own_images(folder, 8)


def test_the_middle_square_is_kept_and_a_camera_that_was_turned_is_minded(tmp_path):
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, 15:45] = [[[200, 0, 0]]] * 15 + [[[0, 0, 200]]] * 15  # the square in the middle: red above blue
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for folder, top, options in (("straight", 0, {}), ("turned", 2, {"exif": exif})):
        (tmp_path / folder).mkdir()
        for i in range(8):
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png", **options)
        image = load_images(own_images(tmp_path / folder, 10))[0]
        assert (image[top, :4] > 0.6).all()
        assert (image[2 - top, 6:] > 0.6).all()
        assert (image[1] == 0).all()


# --- tensors and arrays ----------------------------------------------------------------------------------------------

BYTES = torch.randint(256, (20, 3, 8, 8), generator=seeded(), dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_tensor_is_a_data_set_with_each_byte_as_it_was(dtype):
    labels = torch.arange(20) % 3
    own = own_images(BYTES, 8, labels=labels)
    assert own.classes == ("0", "1", "2")
    rows = []
    for image in pixels_of(own):
        same = (image == BYTES).flatten(1).all(dim=1)
        rows.append(int(same.nonzero()))
    assert sorted(rows) == list(range(20))
    own_labels = torch.cat([load_labels(own, split) for split in data.SPLITS])
    assert torch.equal(own_labels, labels[rows])
    floats = (BYTES / 255).to(dtype).requires_grad_()
    for same in (BYTES.numpy(), floats):
        assert torch.equal(load_images(own_images(same, 8, labels=labels.tolist())), load_images(own))
    in_bytes = own_images(BYTES, 8, labels=labels.numpy().astype(np.uint8))
    assert load_labels(in_bytes).dtype == torch.int64
    assert own_images(BYTES, 8, 1).shape == (1, 8, 8)
    grey = BYTES[:, :1]
    assert own_images(grey, 8).shape == (1, 8, 8)
    assert own_images(grey, 8, 3).shape == (3, 8, 8)


BAD_IMAGES = [
    (BYTES.long(), r"bytes \(uint8\) or floats in \[0, 1\], got others of torch.int64"),
    (BYTES.numpy().astype(np.uint16), "got others of torch.uint16"),
    (BYTES / 127.5 - 1, "got others of torch.float32"),
    (torch.full(BYTES.shape, torch.nan), "got others of torch.float32"),
    (BYTES.permute(0, 2, 3, 1), r"\(N, C, H, W\) with C = 1 or 3, got shape \(20, 8, 8, 3\)"),
    (BYTES[:, 0], r"got shape \(20, 8, 8\)"),
    (BYTES[..., :4], "at least 8×8 pixels, got 4×8"),
    (BYTES[:0], "source must hold at least 8 images .*, got 0"),
    (np.full(BYTES.shape, "a"), "can't convert np.ndarray of type numpy.str_"),  # in torch's words
    ([BYTES[0]], r"source must be a folder of pictures, or a tensor or array \(N, C, H, W\), got list"),
    (None, "source must be a folder of pictures, or .*, got NoneType"),
]


@pytest.mark.parametrize(("images", "says"), BAD_IMAGES, ids=[says for _, says in BAD_IMAGES])
def test_images_of_another_kind_are_refused_in_a_line_that_says_which(images, says):
    with pytest.raises((ValueError, TypeError, DataNotFoundError), match=says):
        own_images(images, 8)


NO_CLASSES = [torch.arange(20.0) / 2, torch.arange(19), torch.arange(20) - 1]


@pytest.mark.parametrize("labels", NO_CLASSES)
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match="labels must be 20 whole numbers from 0, without a gap, got tensor"):
        own_images(BYTES, 8, labels=labels)


def test_a_folder_takes_no_labels_and_channels_are_1_or_3(tmp_path):
    with pytest.raises(ValueError, match="labels must be None for a folder, because its subfolders are the classes"):
        own_images(tmp_path, 8, labels=[0])
    with pytest.raises(ValueError, match=r"n_channels must be one of 1, 3, None, got 2$"):
        own_images(BYTES, 8, 2)
