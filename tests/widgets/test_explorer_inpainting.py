"""Chapter 08's explorer, without a browser: what it shows at each step and behind each mask."""

import re

import numpy as np
import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import inpaint
from sbgm.data import load_images
from sbgm.masks import centre_box, right_half
from sbgm.widgets import inpainting_explorer
from seeds import seeded

IMAGE = load_images("digits", "test")[0]
MASKS = {"right-half": right_half(IMAGE.shape), "centre-box": centre_box(IMAGE.shape)}
SIGMAS = [1.0, 0.3, 0.1]


def run(mask, seed=0, n=4):
    """Four fills by the exact score of N(½, v I), v = 0.1, two steps a level."""
    return list(
        inpaint(
            lambda x, sigma: (0.5 - x) / (0.1 + sigma**2),
            torch.rand(n, *IMAGE.shape, generator=seeded(seed)),
            SIGMAS,
            image=IMAGE,
            mask=mask,
            step_size=0.01,
            n_steps=2,
            generator=seeded(seed),
        )
    )


RUNS = {name: run(mask, seed) for seed, (name, mask) in enumerate(MASKS.items())}


@pytest.fixture
def explorer():
    return inpainting_explorer(IMAGE, MASKS, RUNS)


@pytest.mark.parametrize("step", [1, 4, 6])
@pytest.mark.parametrize("mask", ["right-half", "centre-box"])
def test_the_readout_is_what_an_independent_computation_gives(explorer, step, mask):
    explorer.controls["step"].value = step
    explorer.controls["mask"].value = mask
    x = RUNS[mask][step - 1].x
    known = MASKS[mask].expand_as(IMAGE)
    off = np.sqrt(np.mean([(fill[known] - IMAGE[known]).square().mean().item() for fill in x]))
    apart = np.sqrt(np.mean(np.var(x[:, ~known].numpy(), axis=0, ddof=1)))
    numbers = [float(n) for n in re.findall(r"\d[\d.]*", explorer.readout.value)]
    level = (step + 1) // 2
    expected = [level, 3, SIGMAS[level - 1], 2 - step % 2, off, apart]
    assert numbers == pytest.approx(expected, rel=0.06)  # two digits are shown


def test_the_pictures_are_the_image_its_noisy_known_part_and_the_fills(explorer):
    explorer.controls["step"].value = 3
    x = RUNS["right-half"][2].x
    known = MASKS["right-half"]
    image, y, fills = (np.asarray(ax.images[0].get_array())[..., 0] for ax in explorer.figure.axes[:3])
    np.testing.assert_allclose(image[1:-1, 1:-1] if image.shape != (8, 8) else image, IMAGE[0], atol=1e-6)
    shown = y[1:-1, 1:-1] if y.shape != (8, 8) else y
    np.testing.assert_allclose(shown, torch.where(known, x[0], 0.5).clamp(0, 1)[0], atol=1e-6)
    assert fills.shape == (19, 19)  # two by two, with borders
    np.testing.assert_allclose(fills[10:18, 10:18], x[3, 0].clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize(("name", "value"), [("step", 1), ("step", 3), ("mask", "centre-box")])
def test_every_control_changes_the_picture_and_back_again(explorer, name, value):
    assert_moves_and_returns(explorer, name, value, share=0.02)


def test_it_starts_at_the_end_and_moves_through_every_step(explorer):
    slider = explorer.controls["step"]
    assert (slider.min, slider.max, slider.value) == (1, 6, 6)
    assert explorer.update_seconds("step") < 1
    assert explorer.update_seconds("mask") < 1


@pytest.mark.parametrize(
    ("image", "masks", "runs", "message"),
    [
        (IMAGE[0], MASKS, RUNS, r"image must be \(C, H, W\)"),
        (
            IMAGE,
            {"right-half": MASKS["right-half"]},
            RUNS,
            "runs must have the names of masks, right-half, got right-h",
        ),
        (IMAGE, {}, {}, "runs must have the names of masks, none, got"),
        (IMAGE, MASKS, RUNS | {"centre-box": RUNS["centre-box"][:3]}, r"runs must be of one length .*, got \[3, 6\]"),
        (IMAGE, MASKS, {name: [] for name in MASKS}, r"runs must be of one length of at least 1, got \[0\]"),
        (IMAGE, MASKS, RUNS | {"centre-box": run(MASKS["centre-box"], n=1)}, "two or more fills .*but 'centre-box'"),
    ],
)
def test_bad_arguments_are_named(image, masks, runs, message):
    with pytest.raises(ValueError, match=message):
        inpainting_explorer(image, masks, runs)
