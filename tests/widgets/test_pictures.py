"""The sliders of images, without a browser: what is shown is what an independent computation gives."""

import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from moving import moved
from sbgm import inpaint
from sbgm.images.data import load_images
from sbgm.images.masks import centre_box, right_half
from sbgm.widgets import Trajectory, image_annealing_explorer, image_noise_explorer, inpainting_explorer
from seeds import seeded


def panels_of(explorer):
    """The sheets that are shown, (H, W, 3) each."""
    artists = [ax.images[0] for ax in explorer.figure.axes if ax.images]
    return [torch.tensor(np.asarray(artist.get_array())) for artist in artists]


def numbers(explorer):
    """The numbers in its readout."""
    return [float(n) for n in re.findall(r"-?\d[\d.]*(?:e[+-]\d+)?", explorer.readout.value)]


def rms(values):
    return float(values.square().mean().sqrt())


# --- noise, and the guess behind it ----------------------------------------------------------------------------------

PATCHES = load_images("photo_patches", "test")[::400]
NOISE = partial(image_noise_explorer, PATCHES)


@pytest.mark.parametrize("power", [-3, -2, -1.5, -0.3, 0])
def test_the_readout_is_the_psnr_that_sigma_gives_and_colours_are_shown(power):
    sigma = 10**power
    explorer = moved(NOISE, sigma=sigma, image=2)
    shown, psnr = re.search(r"σ = (\S+), .* PSNR (-?\d+\.\d) dB", explorer.readout.value).groups()
    # 3,072 squared normal numbers: a standard error of 2.6 %, that is 0.11 dB, once and for all σ
    assert float(psnr) == pytest.approx(-20 * power, abs=0.45)
    assert shown == f"{sigma:.3g}"
    assert explorer._repr_mimebundle_()["text/plain"] == f"FigureExplorer(σ = {sigma:.4g}, image = 2)"
    z = torch.randn(PATCHES.shape, generator=seeded(0))
    expected = [PATCHES[2], PATCHES[2] + sigma * z[2]]
    sheets = [panel.permute(2, 0, 1) for panel in panels_of(explorer)]
    torch.testing.assert_close(sheets, [x.clamp(0, 1) for x in expected], rtol=0, atol=1e-5)


DIGITS = load_images("digits", "test")[:5]


class Shrink(nn.Module):
    """The exact score of N(½, v I) data, v = 0.1: −(x − ½)/(v + σ²), times a weight that is learned."""

    def __init__(self):
        super().__init__()
        self.sigmas = torch.tensor([1.0, 0.3, 0.1])
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, x, sigma):
        return -self.weight * (x - 0.5) / (0.1 + sigma**2)


NETWORK = Shrink()
GUESS = partial(image_noise_explorer, DIGITS, NETWORK, sigmas=NETWORK.sigmas)


@pytest.mark.parametrize(("level", "image"), [(0, 0), (1, 3), (2, 4)])
def test_readout_and_pictures_are_what_an_independent_computation_gives(level, image):
    sigma = float(NETWORK.sigmas[level])
    assert GUESS().values == {"sigma": 1.0, "image": 0}
    explorer = moved(GUESS, sigma=sigma, image=image)
    x = DIGITS[image]
    z = torch.randn(DIGITS.shape, generator=seeded(0))[image]
    noisy = x + sigma * z
    score = (0.5 - noisy) / (0.1 + sigma**2)
    guess = noisy + sigma**2 * score
    psnrs = [-20 * math.log10(rms(values - x)) for values in (noisy, guess)]
    lengths = [float(score.norm()), 8 / sigma]
    assert numbers(explorer) == pytest.approx([sigma, sigma**2, *psnrs, *lengths], rel=0.01, abs=0.051)
    sheets = [v[0].clamp(0, 1) for v in (x, noisy, guess)]
    torch.testing.assert_close([panel[..., 0] for panel in panels_of(explorer)], sheets, rtol=0, atol=1e-5)


# --- annealing -------------------------------------------------------------------------------------------------------

SIGMAS = [1.0, 0.3, 0.1]


def trajectory(*shape):
    """Stored states and guesses of three levels of four steps."""
    x, guesses = torch.rand(2, 13, *shape, generator=seeded())
    sigmas = [1.0] * 4 + [0.3] * 4 + [0.1] * 5
    levels = [1] * 4 + [2] * 4 + [3] * 5
    return Trajectory(x, guesses, sigmas, levels, [0, 1, 2, 3] * 3 + [4])


TRAJECTORY = trajectory(5, 1, 6, 6)
ANNEALING = partial(image_annealing_explorer, TRAJECTORY)


@pytest.mark.parametrize("step", [0, 5, 12])
def test_readout_curves_and_pictures_are_what_an_independent_computation_gives(step):
    explorer = moved(ANNEALING, step=step)
    x, guesses, sigmas, levels, _ = TRAJECTORY
    off = [rms(state - x[-1]) for state in x]
    guesses_off = [rms(guess - guesses[-1]) for guess in guesses]
    expected = [levels[step], 3, sigmas[step], off[step], guesses_off[step]]
    assert numbers(explorer) == pytest.approx(expected, rel=0.06, abs=1e-9)
    solid, dashed, here = explorer.figure.axes[-1].lines
    assert list(solid.get_ydata()) == pytest.approx(guesses_off)
    assert list(dashed.get_ydata()) == pytest.approx(off)
    assert here.get_xdata() == [step, step]
    for panel, images in zip(panels_of(explorer), (x, guesses), strict=True):
        first = panel[1:7, 1:7, 0]  # inside its border
        torch.testing.assert_close(first, images[step, 0, 0])


# --- inpainting ------------------------------------------------------------------------------------------------------

IMAGE = DIGITS[0]
MASKS = {"right-half": right_half(IMAGE.shape), "centre-box": centre_box(IMAGE.shape)}


def run(mask, n=4):
    """Fills by the exact score of N(½, v I), v = 0.1, two steps a level."""
    start = torch.rand(n, *IMAGE.shape, generator=seeded())
    options = {"step_size": 0.01, "n_steps": 2, "generator": seeded()}
    return list(inpaint(NETWORK, start, SIGMAS, image=IMAGE, mask=mask, **options))


RUNS = {name: run(mask) for name, mask in MASKS.items()}
INPAINTING = partial(inpainting_explorer, IMAGE, MASKS, RUNS)


@pytest.mark.parametrize("step", [1, 4, 6])
@pytest.mark.parametrize("mask", ["right-half", "centre-box"])
def test_readout_and_pictures_are_those_of_the_stored_fills(step, mask):
    explorer = moved(INPAINTING, step=step, mask=mask)
    x = RUNS[mask][step - 1].x
    known = MASKS[mask].expand_as(IMAGE)
    off = rms(x[:, known] - IMAGE[known])
    apart = math.sqrt(x[:, ~known].var(dim=0).mean())
    level = (step + 1) // 2
    expected = [level, 3, SIGMAS[level - 1], off, apart]
    assert numbers(explorer) == pytest.approx(expected, rel=0.06)  # two digits
    image, y, fills = (panel[..., 0] for panel in panels_of(explorer))
    torch.testing.assert_close(image, IMAGE[0])
    expected = torch.where(known, x[0], 0.5).clamp(0, 1)
    torch.testing.assert_close(y, expected[0])
    assert fills.shape == (19, 19)  # two by two, with borders
    torch.testing.assert_close(fills[10:18, 10:18], x[3, 0].clamp(0, 1))
    solid, dashed, _ = explorer.figure.axes[-1].lines
    assert (solid.get_ydata()[step - 1], dashed.get_ydata()[step - 1]) == pytest.approx((apart, off))


# --- arguments, and what was there before ----------------------------------------------------------------------------


NO_IMAGES = [torch.rand(shape) for shape in ((1, 1, 8, 8), (4, 2, 8, 8), (4, 8, 8))]
FEWER_STATES = RUNS | {"centre-box": RUNS["centre-box"][:3]}
ONE_FILL = {name: run(mask, n=1) for name, mask in MASKS.items()}
REFUSED = [
    *((image_noise_explorer, (images,), "images must be two or more") for images in NO_IMAGES),
    (image_annealing_explorer, (trajectory(3, 2),), "trajectory must be of images"),
    (inpainting_explorer, (IMAGE, MASKS, FEWER_STATES), r"runs must hold equally many .*\(3, 4, 1, 8, 8\)"),
    (inpainting_explorer, (IMAGE, MASKS, ONE_FILL), r"runs must hold .* two or more fills, got shapes \[\(6, 1, "),
]


@pytest.mark.parametrize(("make", "arguments", "message"), REFUSED)
def test_bad_arguments_are_named(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(*arguments)
