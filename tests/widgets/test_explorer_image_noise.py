"""Chapter 05's sliders, without a browser: the number shown is that of the picture shown, whatever the images."""

import math
import re

import numpy as np
import pytest
import torch

from moving import assert_moves_and_returns, pixels
from sbgm.data import load_images
from sbgm.widgets import image_noise_explorer

PATCHES = load_images("photo_patches", "test")[::400]


def shown_psnr(explorer):
    return float(re.search(r"PSNR (-?\d+\.\d) dB", explorer.readout.value)[1])


@pytest.mark.parametrize("power", [-3, -2, -1.5, -0.3, 0])
def test_the_readout_is_the_psnr_that_sigma_gives(power):
    explorer = image_noise_explorer(PATCHES)
    (slider := explorer.controls["sigma"]).value = 10**power
    # 3,072 squared normal numbers: a standard error of 2.6 %, that is 0.11 dB, once and for all σ
    assert shown_psnr(explorer) == pytest.approx(-20 * power, abs=0.45)
    assert f"σ = {10**power:.3g}" in explorer.readout.value
    assert (power - slider.min) / slider.step % 1 == pytest.approx(0, abs=1e-9)  # a place on the slider


def test_the_noisy_half_is_what_an_independent_drawing_gives():
    """Noise from the same seed, clamped, at the centre of each pixel of the picture."""
    explorer = image_noise_explorer(PATCHES)
    explorer.controls["sigma"].value = 0.1
    explorer.controls["image"].value = 2
    z = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    picture = pixels(explorer)
    for ax, expected in zip(explorer.figure.axes, (PATCHES[2], PATCHES[2] + 0.1 * z), strict=True):
        artist = ax.images[0]
        box = artist.get_window_extent()
        centres = (np.arange(32) + 0.5) / 32
        columns = np.floor(box.x0 + centres * box.width).astype(int)
        rows = np.floor(picture.shape[0] - box.y1 + centres * box.height).astype(int)
        seen = torch.tensor(picture[np.ix_(rows, columns)] / 255).permute(2, 0, 1)
        assert float((seen - expected.clamp(0, 1)).abs().max()) < 0.01


@pytest.mark.parametrize(("name", "value"), [("sigma", 0.3), ("sigma", 0.05), ("image", 3)])
def test_every_slider_changes_the_picture_and_back_again(name, value):
    explorer = image_noise_explorer(PATCHES)
    assert_moves_and_returns(explorer, name, value, share=0.05)


def test_all_text_is_the_same_for_other_images():
    others = 1 - PATCHES.flip(3) ** 2
    texts = []
    for images in (PATCHES, others):
        explorer = image_noise_explorer(images)
        explorer.controls["image"].value = 1
        texts.append((explorer.readout.value, explorer._repr_mimebundle_()["text/plain"]))
    assert texts[0] == texts[1]
    assert texts[0][1] == "FigureExplorer(σ = 0.1, image = 1)"


def test_grey_images_are_shown_too():
    digits = load_images("digits")[:4]
    explorer = image_noise_explorer(digits)
    explorer.controls["sigma"].value = 0.01
    assert shown_psnr(explorer) == pytest.approx(40, abs=4 * 10 / math.log(10) * math.sqrt(2 / 64))


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (4, 2, 8, 8), (4, 8, 8)])
def test_images_of_another_shape_are_named(shape):
    with pytest.raises(ValueError, match="images must be two or more"):
        image_noise_explorer(torch.rand(shape))


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="images must hold floating-point numbers"):
        image_noise_explorer(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
