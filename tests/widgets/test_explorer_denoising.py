"""Chapter 06's widgets, without a browser: the sliders of the denoising explorer, and the view of a training."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from moving import assert_moves_and_returns, pixels
from sbgm.data import load_images
from sbgm.widgets import LiveTraining, denoising_explorer

DIGITS = load_images("digits", "test")[:5]


class Shrink(nn.Module):
    """The exact score of N(½, v I) data, v = 0.1: −(x − ½)/(v + σ²)."""

    sigmas = torch.tensor([1.0, 0.3, 0.1])

    def forward(self, x, sigma):
        return -(x - 0.5) / (0.1 + sigma**2)


@pytest.mark.parametrize(("level", "image"), [(0, 0), (1, 3), (2, 4)])
def test_the_readout_is_what_an_independent_computation_gives(level, image):
    explorer = denoising_explorer(Shrink(), DIGITS)
    sigma = float(Shrink.sigmas[level])
    explorer.controls["sigma"].value = sigma
    explorer.controls["image"].value = image
    z = torch.randn(DIGITS.shape, generator=torch.Generator().manual_seed(0))[image]
    x = DIGITS[image]
    noisy = x + sigma * z
    score = (0.5 - noisy) / (0.1 + sigma**2)
    guess = noisy + sigma**2 * score
    numbers = [float(n) for n in re.findall(r"(?:=|by|before,) (\d[\d.e+]*)", explorer.readout.value)]
    expected = [
        sigma,
        float(score.norm()),
        sigma * float(score.norm()),
        8.0,
        float((noisy - x).square().mean().sqrt()),
        float((guess - x).square().mean().sqrt()),
    ]
    assert numbers == pytest.approx(expected, rel=0.06)  # two digits are shown


def test_the_three_pictures_are_the_image_the_noisy_one_and_the_estimate():
    explorer = denoising_explorer(Shrink(), DIGITS)
    explorer.controls["image"].value = 2
    explorer.controls["sigma"].value = float(Shrink.sigmas[1])
    z = torch.randn(DIGITS.shape, generator=torch.Generator().manual_seed(0))[2]
    noisy = DIGITS[2] + 0.3 * z
    guess = noisy - 0.09 * (noisy - 0.5) / 0.19
    for ax, expected in zip(explorer.figure.axes, (DIGITS[2], noisy, guess), strict=False):
        shown = torch.tensor(np.asarray(ax.images[0].get_array())).permute(2, 0, 1)[:1]
        torch.testing.assert_close(shown.float(), expected.clamp(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("sigma", float(Shrink.sigmas[1])), ("image", 3)])
def test_every_slider_changes_the_picture_and_back_again(name, value):
    explorer = denoising_explorer(Shrink(), DIGITS)
    assert_moves_and_returns(explorer, name, value, share=0.02)


def test_scores_are_computed_once_and_then_looked_up():
    calls = []

    class Counting(Shrink):
        def forward(self, x, sigma):
            calls.append(sigma)
            return super().forward(x, sigma)

    explorer = denoising_explorer(Counting(), DIGITS)
    assert len(calls) == 3
    explorer.controls["sigma"].value = 1.0
    explorer.controls["image"].value = 1
    assert len(calls) == 3


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (4, 2, 8, 8), (4, 8, 8)])
def test_images_of_another_shape_are_named(shape):
    with pytest.raises(ValueError, match="images must be two or more"):
        denoising_explorer(Shrink(), torch.rand(shape))


# --- the view of a training ------------------------------------------------------------------------------------------


def test_the_view_follows_the_training():
    live = LiveTraining(400, ceiling=100)
    assert live.readout.value == "no step yet"
    pictures = [pixels(live)]
    for n, image in ((100, DIGITS), (300, 1 - DIGITS)):
        live.show([50.0] * (n - 100) + [20.0] * 100, image)
        pictures.append(pixels(live))
        assert live.readout.value == f"iteration {n}: loss 20.0"
    for a, b in itertools.pairwise(pictures):
        assert (a != b).mean() > 0.02


def test_the_curve_is_the_losses_and_their_mean_of_a_hundred():
    live = LiveTraining(400, ceiling=100)
    losses = [10 + math.sin(i) for i in range(150)]
    live.show(losses, DIGITS)
    each, mean = live.figure.axes[0].lines
    np.testing.assert_allclose(each.get_ydata(), losses, rtol=1e-6)
    assert list(each.get_xdata()) == list(range(1, 151))
    np.testing.assert_allclose(mean.get_ydata(), np.convolve(losses, np.ones(100) / 100, "valid"), rtol=1e-5)
    assert list(mean.get_xdata()) == list(range(100, 151))
    live.show(losses[:7], DIGITS)  # fewer than a hundred: their mean
    assert mean.get_ydata() == pytest.approx([np.mean(losses[:7])])


def test_a_page_keeps_no_empty_picture_and_the_finished_one():
    live = LiveTraining(10, ceiling=100)
    assert set(live._repr_mimebundle_()) & {"text/plain", "image/png"} == {"text/plain"}
    live.show([5.0, 4.0], DIGITS)
    bundle = live._repr_mimebundle_()
    assert bundle["text/plain"] == "LiveTraining()"
    assert bundle["image/png"]
