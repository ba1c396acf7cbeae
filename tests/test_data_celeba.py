"""CelebA, as a few photographs of noise: the crop, the cache, and what is missing, damaged, or sent in its place."""

import hashlib
import io
import math
import pathlib
import zipfile

import numpy as np
import pooch
import pytest
import torch
import torchvision.datasets
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from data_server import PAGE
from sbgm import data
from sbgm.train import downloads
from sbgm.train.downloads import crop_and_resize, download, prepare_celeba

PARTITION = {"000001.jpg": 0, "000002.jpg": 2, "000003.jpg": 1, "000004.jpg": 0, "000005.jpg": 0, "000006.jpg": 2}
FILES = {"train": ["000001.jpg", "000004.jpg", "000005.jpg"], "test": ["000002.jpg", "000006.jpg"]}


def photograph(seed, size=(178, 218), mode="RGB"):
    """A JPEG with detail at every scale: smooth waves, edges, and noise."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]] / 20
    pixels = np.stack([np.sin(x * f + seed) * np.cos(y * f) for f in (0.5, 1.0, 2.0)], axis=-1) * 80 + 128
    pixels += draw.normal(0, 20, pixels.shape) + 60 * (x > y)[..., None]
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


PHOTOS = {name: photograph(seed) for seed, name in enumerate(PARTITION)}
ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as packed:
    for photo_name, content in PHOTOS.items():
        packed.writestr(f"img_align_celeba/{photo_name}", content)
WHOLE = {
    "list_eval_partition.txt": "".join(f"{name} {part}\n" for name, part in PARTITION.items()).encode(),
    "img_align_celeba.zip": ARCHIVE.getvalue(),
}


@pytest.fixture
def home(monkeypatch, tmp_path):
    """An empty data folder, and torchvision's checksums those of our few photographs."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path))
    files = [("id of " + name, hashlib.md5(content).hexdigest(), name) for name, content in WHOLE.items()]
    monkeypatch.setattr(torchvision.datasets.CelebA, "file_list", files)
    return tmp_path


def put(home, *, unpacked):
    """Lay CelebA out as torchvision does, or as it comes from Google Drive."""
    base = home / "celeba"
    base.mkdir()
    (base / "list_eval_partition.txt").write_bytes(WHOLE["list_eval_partition.txt"])
    if unpacked:
        (base / "img_align_celeba").mkdir()
        for name, content in PHOTOS.items():
            (base / "img_align_celeba" / name).write_bytes(content)
    else:
        (base / "img_align_celeba.zip").write_bytes(WHOLE["img_align_celeba.zip"])
    return base


def prepared(split="train"):
    """A split's images, prepared anew where the cache has none."""
    if not data.celeba_cache(split).exists():
        prepare_celeba(split)
    return data.load_images("celeba", split)


def everything_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(name):
    return Image.open(io.BytesIO(PHOTOS[name]))


# --- the crop --------------------------------------------------------------------------------------------------------


def triangle_filter(n_in, n_out):
    """(n_out, n_in) weights of a bilinear reduction: a triangle of half-width n_in/n_out around each pixel's centre."""
    scale = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(n_in) + 0.5 - centres[:, None]) / scale, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def reduced(image):
    """The crop and the reduction from their definitions, in floating point."""
    pixels = np.asarray(image.convert("RGB"), dtype=float)
    middle = pixels[39:179, 19:159]  # (218 − 140)/2 rows and (178 − 140)/2 columns left out at each side
    matrix = triangle_filter(140, 32)
    return np.einsum("ip,jq,pqc->ijc", matrix, matrix, middle)


@pytest.mark.parametrize("name", PARTITION)
def test_the_crop_is_the_papers_by_the_filters_definition(name):
    """Pillow rounds to whole greys after each axis, so the definition may differ by one."""
    small = crop_and_resize(opened(name))
    assert small.dtype == np.uint8
    assert np.abs(small - reduced(opened(name))).max() <= 1


def test_a_grey_photograph_becomes_colour():
    small = crop_and_resize(Image.open(io.BytesIO(photograph(0, mode="L"))))
    assert small.shape == (32, 32, 3)
    assert (small[..., :1] == small).all()


@pytest.mark.parametrize("size", [(218, 178), (178, 219), (32, 32)])
def test_a_photograph_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match=f"photo must be 178×218 pixels, got {size[0]}×{size[1]}"):
        crop_and_resize(Image.new("RGB", size))


# --- reading, and the cache ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unpacked", [True, False])
@pytest.mark.parametrize("split", data.SPLITS)
def test_a_split_is_its_photographs_cropped_in_the_lists_order(home, unpacked, split):
    put(home, unpacked=unpacked)
    images = prepared(split)
    assert images.shape == (len(FILES[split]), 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    for image, name in zip(images, FILES[split], strict=True):
        expected = torch.tensor(crop_and_resize(opened(name))).permute(2, 0, 1)
        assert torch.equal(image, expected.float() / 255)


def test_what_was_prepared_is_kept_and_read_without_the_photographs(home):
    base = put(home, unpacked=True)
    first = prepared()
    assert [path.name for path in (home / "cache").iterdir()] == ["celeba_crop140_bilinear32_train.safetensors"]
    with safe_open(home / "cache" / "celeba_crop140_bilinear32_train.safetensors", "pt") as file:
        assert file.get_tensor("images").dtype == torch.uint8
        assert file.metadata()["terms"] == "non-commercial research"
    for path in (base / "img_align_celeba").iterdir():
        path.unlink()
    assert torch.equal(data.load_images("celeba"), first)
    with pytest.raises(data.DataNotFoundError, match="not prepared yet: `sbgm download celeba` does that once"):
        data.load_images("celeba", "test")
    with pytest.raises(data.DataNotFoundError, match=r"incomplete or damaged: 000002.jpg can't be used"):
        download("celeba")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def another_tensor(path):
    save_file({"faces": torch.zeros(1)}, path)


def another_shape(path):
    save_file({"images": torch.full((2, 3), math.nan)}, path)


@pytest.mark.parametrize("damage", [cut, another_tensor, another_shape])
def test_a_damaged_cache_is_named_and_never_used(home, damage):
    put(home, unpacked=True)
    whole = prepared()
    (cache,) = (home / "cache").iterdir()
    damage(cache)
    with pytest.raises(
        data.DataNotFoundError, match=rf"{cache.name} is damaged. Delete it; `sbgm download celeba` prep"
    ):
        data.load_images("celeba")
    cache.unlink()
    assert torch.equal(prepared(), whole)


# --- missing and damaged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", WHOLE)
def test_a_quota_page_saved_under_a_files_name_is_recognised_and_left(home, file):
    base = put(home, unpacked=False)
    (base / file).write_bytes(PAGE)
    before = everything_in(home)
    assert data.is_available("celeba")  # so that nothing falls back in silence
    with pytest.raises(data.DataNotFoundError, match=f"{file} is not CelebA's.*Move it away.*try again tomorrow"):
        download("celeba")
    assert everything_in(home) == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(PHOTOS["000004.jpg"][:2000], "truncated"), (PAGE, "cannot identify"), (photograph(0, (178, 200)), "178×218")],
)
def test_a_photograph_that_cannot_be_used_is_named(home, content, reason):
    base = put(home, unpacked=True)
    (base / "img_align_celeba" / "000004.jpg").write_bytes(content)
    with pytest.raises(data.DataNotFoundError, match=f"is incomplete or damaged: 000004.jpg can't be used .*{reason}"):
        prepare_celeba("train")
    assert not (home / "cache").exists()


# --- the download, from a Google Drive of ours -----------------------------------------------------------------------


def use_drive(monkeypatch, answer):
    """Have `answer(name, file)` stand for Google Drive; gives the names that were asked for."""
    asked = []

    def retrieve(downloader, url, file, pooch):
        asked.append(url.removeprefix(downloads.GOOGLE_DRIVE + "id of "))
        answer(asked[-1], file)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", retrieve)
    return asked


def whole(name, file):
    pathlib.Path(file).write_bytes(WHOLE[name])


def test_a_download_arrives_whole_packed_and_is_not_repeated(home, monkeypatch):
    asked = use_drive(monkeypatch, whole)
    download("celeba")
    assert everything_in(home / "celeba") == WHOLE
    assert sorted(path.name for path in home.iterdir()) == ["cache", "celeba"]
    download("celeba")
    assert asked == list(WHOLE)
    assert len(data.load_images("celeba")) == 3


def test_only_what_is_missing_is_fetched(home, monkeypatch):
    asked = use_drive(monkeypatch, whole)
    base = put(home, unpacked=True)
    (base / "list_eval_partition.txt").unlink()
    download("celeba")
    assert asked == ["list_eval_partition.txt"]
    data.celeba_cache("test").unlink()
    (base / "img_align_celeba").rename(home / "away")
    download("celeba")
    assert asked == ["list_eval_partition.txt", "img_align_celeba.zip"]


def page(name, file):
    pathlib.Path(file).write_bytes(PAGE)


def quota(name, file):
    pathlib.Path(file).write_bytes(b"half")
    raise OSError("429 Client Error: Too many\n\nRequests.")


@pytest.mark.parametrize(
    ("answer", "reason"), [(page, "does not match the known hash"), (quota, "429 Client Error: Too many")]
)
@pytest.mark.parametrize("failing", WHOLE)
def test_what_google_drive_sends_instead_is_explained_and_not_kept(home, monkeypatch, answer, reason, failing):
    use_drive(monkeypatch, lambda name, file: (answer if name == failing else whole)(name, file))
    with pytest.raises(ConnectionError, match=f"CelebA could not be downloaded .*{reason}.* try again tomorrow"):
        download("celeba")
    kept = {"celeba/list_eval_partition.txt": WHOLE["list_eval_partition.txt"]}
    assert everything_in(home) == (kept if failing.endswith("zip") else {})
    use_drive(monkeypatch, whole)
    download("celeba")
    assert len(data.load_images("celeba", "test")) == 2


# --- the real thing --------------------------------------------------------------------------------------------------


@pytest.mark.celeba_sample
def test_real_photographs_are_cropped_as_someone_else_prepared_them():
    prepared = data.data_folder() / "faces" / "celeba32_ncsn_5000.npz"
    if not prepared.exists():
        pytest.skip(f"needs {prepared}")
    with np.load(prepared) as file:
        images = dict(zip(file["image_ids"].tolist(), file["images"], strict=True))
    compared = 0
    for path in (data.data_folder() / "faces" / "img_align_celeba").glob("*.jpg"):
        if int(path.stem) in images:
            with Image.open(path) as photo:
                assert np.array_equal(crop_and_resize(photo), images[int(path.stem)])
            compared += 1
    assert compared > 0


@pytest.mark.celeba
def test_celeba_is_the_real_one():
    for split, n in (("train", 162_770), ("test", 19_962)):
        assert data.load_images("celeba", split).shape == (n, 3, 32, 32)
