"""The sliders of images, without a browser: what is shown is what an independent computation gives."""

import math
import re
from functools import partial

import numpy as np
import pandas
import pytest
import torch
from torch import nn

from moving import moved, pixels
from sbgm import inpaint
from sbgm.images.data import load_images
from sbgm.images.masks import centre_box, right_half
from sbgm.measure.records import SamplerCurve, StepMap
from sbgm.widgets import (
    Trajectory,
    denoising_explorer,
    image_annealing_explorer,
    image_noise_explorer,
    inpainting_explorer,
    sampler_curve_explorer,
    step_map_explorer,
)
from seeds import seeded


def panels_of(explorer):
    """The sheets that are shown, (H, W, 3) each."""
    return [torch.tensor(np.asarray(ax.images[0].get_array())) for ax in explorer.figure.axes if ax.images]


# --- noise, and the guess behind it ----------------------------------------------------------------------------------

PATCHES = load_images("photo_patches", "test")[::400]
NOISE = partial(image_noise_explorer, PATCHES)


@pytest.mark.parametrize("power", [-3, -2, -1.5, -0.3, 0])
def test_the_readout_is_the_psnr_that_sigma_gives(power):
    explorer = moved(NOISE, sigma=10**power)
    sigma, shown = re.search(r"σ = (\S+), .* PSNR (-?\d+\.\d) dB", explorer.readout.value).groups()
    # 3,072 squared normal numbers: a standard error of 2.6 %, that is 0.11 dB, once and for all σ
    assert float(shown) == pytest.approx(-20 * power, abs=0.45)
    assert sigma == f"{10**power:.3g}"
    assert explorer._repr_mimebundle_()["text/plain"] == f"FigureExplorer(σ = {10**power:.4g}, image = 0)"


def test_the_noisy_half_is_what_an_independent_drawing_gives():
    """Noise from the same seed, clamped, at the centre of each pixel of the picture."""
    explorer = moved(NOISE, image=2)
    z, picture = torch.randn(PATCHES.shape, generator=seeded(0))[2], pixels(explorer)
    for ax, expected in zip(explorer.figure.axes, (PATCHES[2], PATCHES[2] + 0.1 * z), strict=True):
        box = ax.images[0].get_window_extent()
        centres = (np.arange(32) + 0.5) / 32
        columns = np.floor(box.x0 + centres * box.width).astype(int)
        rows = np.floor(picture.shape[0] - box.y1 + centres * box.height).astype(int)
        seen = torch.tensor(picture[np.ix_(rows, columns)] / 255).permute(2, 0, 1)
        assert float((seen - expected.clamp(0, 1)).abs().max()) < 0.01


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


@pytest.mark.parametrize(("sigma", "image"), [*zip(NETWORK.sigmas.tolist(), (0, 3, 4), strict=True)])
def test_readout_and_pictures_are_what_an_independent_computation_gives(sigma, image):
    assert GUESS().values == {"sigma": 1.0, "image": 0}
    explorer = moved(GUESS, sigma=sigma, image=image)
    x, z = DIGITS[image], torch.randn(DIGITS.shape, generator=seeded(0))[image]
    noisy = x + sigma * z
    score = (0.5 - noisy) / (0.1 + sigma**2)
    guess = noisy + sigma**2 * score
    shown = [float(n) for n in re.findall(r"-?\d+\.?\d*", explorer.readout.value)]
    psnrs = [-10 * math.log10(float((values - x).square().mean())) for values in (noisy, guess)]
    assert shown == pytest.approx([sigma, sigma**2, *psnrs, float(score.norm()), 8 / sigma], rel=0.01, abs=0.051)
    sheets = [v[0].clamp(0, 1) for v in (x, noisy, guess)]
    torch.testing.assert_close([panel[..., 0] for panel in panels_of(explorer)], sheets, rtol=0, atol=1e-5)


# --- annealing -------------------------------------------------------------------------------------------------------

SIGMAS = [1.0, 0.3, 0.1]


def trajectory(*shape):
    """Stored states and estimates of three levels of four steps."""
    x, estimates = torch.rand(2, 13, *shape, generator=seeded())
    return Trajectory(
        x, estimates, [1.0] * 4 + [0.3] * 4 + [0.1] * 5, [1] * 4 + [2] * 4 + [3] * 5, [0, 1, 2, 3] * 3 + [4]
    )


TRAJECTORY = trajectory(5, 1, 6, 6)
ANNEALING = partial(image_annealing_explorer, TRAJECTORY)


@pytest.mark.parametrize("step", [0, 5, 12])
def test_readout_curves_and_pictures_are_what_an_independent_computation_gives(step):
    explorer = moved(ANNEALING, step=step)
    numbers = [float(n) for n in re.findall(r"\d[\d.]*(?:e[+-]\d+)?", explorer.readout.value)]
    off = [[float((v[i] - v[-1]).square().mean().sqrt()) for i in range(13)] for v in TRAJECTORY[:2]]
    expected = [TRAJECTORY.levels[step], 3, TRAJECTORY.sigmas[step], TRAJECTORY.steps[step], 4]
    assert numbers == pytest.approx([*expected, off[0][step], off[1][step]], rel=0.06, abs=1e-9)
    estimates, chains, here = (line.get_data() for line in explorer.figure.axes[-1].lines)
    assert list(chains[1]) == pytest.approx(off[0])
    assert list(estimates[1]) == pytest.approx(off[1])
    assert list(here[0]) == [step, step]
    for panel, images in zip(panels_of(explorer), TRAJECTORY[:2], strict=True):
        torch.testing.assert_close(panel[1:7, 1:7, 0], images[step, 0, 0].clamp(0, 1))  # the first, inside its border


# --- inpainting ------------------------------------------------------------------------------------------------------

IMAGE = DIGITS[0]
MASKS = {"right-half": right_half(IMAGE.shape), "centre-box": centre_box(IMAGE.shape)}


def run(mask, seed=0, n=4):
    """Four fills by the exact score of N(½, v I), v = 0.1, two steps a level."""
    start = torch.rand(n, *IMAGE.shape, generator=seeded(seed))
    options = {"step_size": 0.01, "n_steps": 2, "generator": seeded(seed)}
    return list(inpaint(NETWORK, start, SIGMAS, image=IMAGE, mask=mask, **options))


RUNS = {name: run(mask, seed) for seed, (name, mask) in enumerate(MASKS.items())}
INPAINTING = partial(inpainting_explorer, IMAGE, MASKS, RUNS)


@pytest.mark.parametrize("step", [1, 4, 6])
@pytest.mark.parametrize("mask", ["right-half", "centre-box"])
def test_readout_and_pictures_are_those_of_the_stored_fills(step, mask):
    explorer = moved(INPAINTING, step=step, mask=mask)
    x = RUNS[mask][step - 1].x
    known = MASKS[mask].expand_as(IMAGE)
    off = np.sqrt(np.mean([(fill[known] - IMAGE[known]).square().mean().item() for fill in x]))
    apart = np.sqrt(np.mean(np.var(x[:, ~known].numpy(), axis=0, ddof=1)))
    numbers = [float(n) for n in re.findall(r"\d[\d.]*", explorer.readout.value)]
    level = (step + 1) // 2
    assert numbers == pytest.approx([level, 3, SIGMAS[level - 1], 2 - step % 2, off, apart], rel=0.06)  # two digits
    image, y, fills = (panel[..., 0] for panel in panels_of(explorer))
    torch.testing.assert_close(image, IMAGE[0])
    torch.testing.assert_close(y, torch.where(known, x[0], 0.5).clamp(0, 1)[0])
    assert fills.shape == (19, 19)  # two by two, with borders
    torch.testing.assert_close(fills[10:18, 10:18], x[3, 0].clamp(0, 1))
    curves = [line.get_ydata()[step - 1] for line in explorer.figure.axes[-1].lines[:2]]
    assert curves == pytest.approx([apart, off])


# --- arguments, and what was there before ----------------------------------------------------------------------------


def inpainting_of(masks=MASKS, **runs):
    return inpainting_explorer(IMAGE, masks, RUNS | {name.replace("_", "-"): states for name, states in runs.items()})


REFUSED = [
    *(
        (partial(image_noise_explorer, torch.rand(shape)), "images must be two or more")
        for shape in ((1, 1, 8, 8), (4, 2, 8, 8), (4, 8, 8))
    ),
    (partial(image_annealing_explorer, trajectory(3, 2)), "trajectory must be of images"),
    (partial(inpainting_of, dict([*MASKS.items()][:1])), "runs must have the names of masks, right-half, got right-h"),
    (partial(inpainting_explorer, IMAGE, {}, {}), "runs must have the names of masks, none, got"),
    (partial(inpainting_of, centre_box=RUNS["centre-box"][:3]), r"runs must hold equally many .*\(3, 4, 1, 8, 8\)"),
    (
        partial(inpainting_of, **{name: run(mask, n=1) for name, mask in MASKS.items()}),
        r"runs must hold .* two or more fills, got shapes \[\(6, 1, ",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_explorers_of_chapters_before_still_answer_and_say_what_took_their_place():
    with pytest.warns(FutureWarning, match=r"is now image_noise_explorer\(images, network"):
        explorer = denoising_explorer(NETWORK, DIGITS, seed=23)
    assert explorer.values == {"sigma": 1.0, "image": 0}
    points = pandas.DataFrame({"label": ["heun"], "distance": [2.0]})
    with pytest.warns(FutureWarning, match="is now a figure in chapter 10"):
        assert sampler_curve_explorer(SamplerCurve(points, {}, {}, points)) is points
    with pytest.warns(FutureWarning, match="is now a figure in chapter 9"):
        assert step_map_explorer(StepMap(points, torch.zeros(1))) is points
