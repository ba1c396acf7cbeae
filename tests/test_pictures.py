"""The README's moving picture: small, moving, its end held, and its numbers those of Fig. 3."""

import pytest
import torch
from PIL import Image

import pictures


@pytest.fixture(scope="module")
def scenes():
    generator = torch.Generator().manual_seed(0)
    return pictures.descent(torch.rand(1280, 2, generator=generator) * 16 - 8, generator)


def test_the_committed_picture_moves_and_holds_its_end(scenes):
    assert pictures.LADDER.stat().st_size <= 400_000
    with Image.open(pictures.LADDER) as picture:
        assert picture.n_frames == len(scenes)
        assert picture.info["loop"] == 0
        assert 340 <= picture.height <= 380
        picture.seek(picture.n_frames - 1)
        assert picture.info["duration"] >= 1000


def test_the_chains_go_down_the_ladder_and_find_the_true_share(scenes):
    sigmas = [scene.sigma for scene in scenes]
    assert sigmas == sorted(sigmas, reverse=True)
    assert (sigmas[0], sigmas[-1]) == pytest.approx((20, 1))
    error = (0.25 / 1280) ** 0.5  # of a share of 1,280 chains, at most
    assert scenes[0].share == pytest.approx(0.5, abs=3 * error)
    assert scenes[-1].share == pytest.approx(pictures.TRUE_SHARE, abs=0.02 + 3 * error)  # L5: within 0.02


def test_the_picture_of_the_controls_orders_its_rows_by_their_distance():
    assert (pictures.FOLDER / "controls.png").stat().st_size <= 300_000
    titles = [ax.get_title(loc="left").rpartition(": ") for ax in pictures.fooled().axes]
    assert titles[0][0] == "photographs"
    assert {title[0] for title in titles} == set(pictures.WORDS.values())
    kids = [float(title[2].split(" ±")[0]) for title in titles]
    assert kids == sorted(kids)
    assert pictures.photographs().shape == (12, 3, 32, 32)


def test_frames_are_drawn_alike_each_time_and_written_whole(scenes, tmp_path):
    first, again, last = (pictures.picture(pictures.draw(scenes, n, 0.5)) for n in (0, 0, len(scenes) - 1))
    assert first.tobytes() == again.tobytes() != last.tobytes()
    pictures.write(tmp_path / "ladder.png", [first, last])
    with Image.open(tmp_path / "ladder.png") as picture:
        for n, frame in enumerate((first, last)):
            picture.seek(n)
            assert picture.convert("RGB").tobytes() == frame.convert("RGB").tobytes()


def test_the_moving_faces_are_few_bytes_and_turn_from_noise_into_faces():
    path = pictures.FOLDER / "moving_faces.png"
    assert path.stat().st_size <= 250_000
    with Image.open(path) as picture:
        assert picture.n_frames == 21
