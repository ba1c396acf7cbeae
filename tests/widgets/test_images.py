"""The sliders of images, without a browser: what is shown is what an independent computation gives."""

import base64
import itertools
import math
import re
from functools import partial

import numpy as np
import pandas
import pytest
import torch
from torch import nn

from I5 import N_SHEET
from moving import assert_moves_and_returns, moved, pixels
from sbgm import inpaint, plots
from sbgm.data import load_images
from sbgm.masks import centre_box, right_half
from sbgm.measure.records import SamplerCurve, StepMap
from sbgm.widgets import (
    LiveTraining,
    Trajectory,
    denoising_explorer,
    image_annealing_explorer,
    image_noise_explorer,
    inpainting_explorer,
    sampler_curve_explorer,
    step_map_explorer,
)
from seeds import seeded

# --- image noise -----------------------------------------------------------------------------------------------------

PATCHES = load_images("photo_patches", "test")[::400]
NOISE = partial(image_noise_explorer, PATCHES)


@pytest.mark.parametrize("power", [-3, -2, -1.5, -0.3, 0])
def test_the_readout_is_the_psnr_that_sigma_gives(power):
    explorer = moved(NOISE, sigma=10**power)
    slider = explorer.controls["sigma"]
    sigma, shown = re.search(r"σ = (\S+), .* PSNR (-?\d+\.\d) dB", explorer.readout.value).groups()
    # 3,072 squared normal numbers: a standard error of 2.6 %, that is 0.11 dB, once and for all σ
    assert float(shown) == pytest.approx(-20 * power, abs=0.45)
    assert sigma == f"{10**power:.3g}"
    assert (power - slider.min) / slider.step % 1 == pytest.approx(0, abs=1e-9)  # a place on the slider


def test_the_noisy_half_is_what_an_independent_drawing_gives():
    """Noise from the same seed, clamped, at the centre of each pixel of the picture."""
    explorer = moved(NOISE, image=2)
    z, picture = torch.randn(3, 32, 32, generator=seeded(0)), pixels(explorer)
    for ax, expected in zip(explorer.figure.axes, (PATCHES[2], PATCHES[2] + 0.1 * z), strict=True):
        artist = ax.images[0]
        box = artist.get_window_extent()
        centres = (np.arange(32) + 0.5) / 32
        columns = np.floor(box.x0 + centres * box.width).astype(int)
        rows = np.floor(picture.shape[0] - box.y1 + centres * box.height).astype(int)
        seen = torch.tensor(picture[np.ix_(rows, columns)] / 255).permute(2, 0, 1)
        assert float((seen - expected.clamp(0, 1)).abs().max()) < 0.01


def test_all_text_is_the_same_for_other_images():
    texts = set()
    for images in (PATCHES, 1 - PATCHES.flip(3) ** 2):
        explorer = image_noise_explorer(images)
        explorer.controls["image"].value = 1
        texts.add((explorer.readout.value, explorer._repr_mimebundle_()["text/plain"]))
    ((_, text),) = texts
    assert text == "FigureExplorer(σ = 0.1, image = 1)"


# --- denoising -------------------------------------------------------------------------------------------------------

DIGITS = load_images("digits", "test")[:5]


class Shrink(nn.Module):
    """The exact score of N(½, v I) data, v = 0.1: −(x − ½)/(v + σ²)."""

    sigmas = torch.tensor([1.0, 0.3, 0.1])

    def forward(self, x, sigma):
        return -(x - 0.5) / (0.1 + sigma**2)


DENOISING = partial(denoising_explorer, Shrink(), DIGITS)


@pytest.mark.parametrize(("sigma", "image"), [*zip(Shrink.sigmas.tolist(), (0, 3, 4), strict=True)])
def test_readout_and_pictures_are_what_an_independent_computation_gives(sigma, image):
    explorer = moved(DENOISING, sigma=sigma, image=image)
    x, z = DIGITS[image], torch.randn(DIGITS.shape, generator=seeded(0))[image]
    noisy = x + sigma * z
    score = (0.5 - noisy) / (0.1 + sigma**2)
    guess = noisy + sigma**2 * score
    numbers = [float(n) for n in re.findall(r"(?:=|by|before,) (\d[\d.e+]*)", explorer.readout.value)]
    length = float(score.norm())
    before, after = (float((values - x).square().mean().sqrt()) for values in (noisy, guess))
    assert numbers == pytest.approx([sigma, length, sigma * length, 8.0, before, after], rel=0.06)  # two digits
    shown = [torch.tensor(np.asarray(ax.images[0].get_array()))[..., 0] for ax in explorer.figure.axes[:3]]
    torch.testing.assert_close(shown, [v[0].clamp(0, 1) for v in (x, noisy, guess)], rtol=0, atol=1e-5)


def test_scores_are_computed_once_and_then_looked_up():
    calls, network = [], Shrink()
    network.register_forward_hook(lambda *call: calls.append(call))
    explorer = denoising_explorer(network, DIGITS)
    explorer.controls["sigma"].value = float(Shrink.sigmas[2])
    explorer.controls["image"].value = 1
    assert len(calls) == 3


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
    assert live._repr_mimebundle_().keys() & {"text/plain", "image/png"} == {"text/plain"}
    live.show([5.0, 4.0], DIGITS)
    bundle = live._repr_mimebundle_()
    assert bundle["text/plain"] == "LiveTraining()"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


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
def test_the_readout_is_what_an_independent_computation_gives_of_trajectory(step):
    explorer = moved(ANNEALING, step=step)
    numbers = [float(n) for n in re.findall(r"\d[\d.]*(?:e[+-]\d+)?", explorer.readout.value)]
    off = [float((v[step] - v[-1]).square().mean().sqrt()) for v in (TRAJECTORY.x, TRAJECTORY.denoised)]
    expected = [TRAJECTORY.levels[step], 3, TRAJECTORY.sigmas[step], TRAJECTORY.steps[step], 4, *off]
    assert numbers == pytest.approx(expected, rel=0.06, abs=1e-9)


def test_the_pictures_are_the_stored_states_clamped():
    explorer = moved(ANNEALING, step=7)
    for ax, images in zip(explorer.figure.axes, (TRAJECTORY.x[7], TRAJECTORY.denoised[7]), strict=False):
        shown = np.asarray(ax.images[0].get_array())[1:7, 1:7, 0]  # the first image, inside its border
        np.testing.assert_allclose(shown, images[0, 0].clamp(0, 1), atol=1e-6)


# --- inpainting ------------------------------------------------------------------------------------------------------

IMAGE = load_images("digits", "test")[0]
MASKS = {"right-half": right_half(IMAGE.shape), "centre-box": centre_box(IMAGE.shape)}


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
INPAINTING = partial(inpainting_explorer, IMAGE, MASKS, RUNS)


@pytest.mark.parametrize("step", [1, 4, 6])
@pytest.mark.parametrize("mask", ["right-half", "centre-box"])
def test_readout_and_pictures_are_what_an_independent_computation_gives_of_inpainting(step, mask):
    explorer = moved(INPAINTING, step=step, mask=mask)
    x = RUNS[mask][step - 1].x
    known = MASKS[mask].expand_as(IMAGE)
    off = np.sqrt(np.mean([(fill[known] - IMAGE[known]).square().mean().item() for fill in x]))
    apart = np.sqrt(np.mean(np.var(x[:, ~known].numpy(), axis=0, ddof=1)))
    numbers = [float(n) for n in re.findall(r"\d[\d.]*", explorer.readout.value)]
    level = (step + 1) // 2
    assert numbers == pytest.approx([level, 3, SIGMAS[level - 1], 2 - step % 2, off, apart], rel=0.06)  # two digits
    image, y, fills = (np.asarray(ax.images[0].get_array())[..., 0] for ax in explorer.figure.axes[:3])
    np.testing.assert_allclose(image[-9:-1, -9:-1] if len(image) > 8 else image, IMAGE[0], atol=1e-6)
    expected = torch.where(known, x[0], 0.5).clamp(0, 1)[0]
    np.testing.assert_allclose(y[-9:-1, -9:-1] if len(y) > 8 else y, expected, atol=1e-6)
    assert fills.shape == (19, 19)  # two by two, with borders
    np.testing.assert_allclose(fills[10:18, 10:18], x[3, 0].clamp(0, 1), atol=1e-6)


# --- step map --------------------------------------------------------------------------------------------------------

N_STEPS, STEP_SIZES = (10, 30, 100), (5e-6, 2e-5)
PLACES = [(t, eps) for t in N_STEPS for eps in STEP_SIZES]
ROWS = [(t, eps, 0.1 + 0.01 * t, 0.005, 1 + 1e5 * eps, 1.2 + 0.01 * t, 0.01) for t, eps in PLACES]
SHEETS = torch.randint(256, (6, N_SHEET, 1, 8, 8), generator=seeded(0), dtype=torch.uint8)
STEP_MAP = partial(step_map_explorer, StepMap.of(ROWS, SHEETS))


@pytest.mark.parametrize("i", range(6))
def test_readout_samples_and_frames_are_the_cells(i):
    explorer = moved(STEP_MAP, n_steps=PLACES[i][0], step_size=PLACES[i][1])
    n_steps, step_size, distance, se, predicted, measured, _ = ROWS[i]
    pattern = r"(?:=|distance|±|predicted|measured) (\d[\d.e-]*\d|\d)"
    numbers = [float(number) for number in re.findall(pattern, explorer.readout.value)]
    expected = [n_steps, step_size, step_size / 2, distance, 2 * se, predicted, measured]
    assert numbers == pytest.approx(expected, rel=0.01)
    sheet, *maps = explorer.figure.axes
    expected = plots.image_sheet(SHEETS[i].float() / 255, n_columns=4)
    torch.testing.assert_close(torch.tensor(np.asarray(sheet.images[0].get_array())), expected)
    assert [ax.patches[0].get_xy() for ax in maps] == [(i % 2 - 0.5, i // 2 - 0.5)] * 2


def test_the_maps_show_distances_and_predictions():
    shown = [[text.get_text() for text in ax.texts] for ax in moved(STEP_MAP).figure.axes[1:]]
    assert shown == [["0.2", "0.2", "0.4", "0.4", "1.1", "1.1"], ["1.5", "3"] * 3]


# --- sampler curve ---------------------------------------------------------------------------------------------------

POINTS = pandas.DataFrame(
    [
        ("Algorithm 1", 100, 50.0, 2.0, 0.2),
        ("Algorithm 1", 1_000, 9.0, 0.5, 0.7),
        ("ancestral, geometric", 20, 20.0, 1.0, 0.5),
        ("ancestral, geometric", 100, 8.0, 0.25, 0.75),
        ("heun, power", 19, 30.0, 1.0, 0.4),
    ],
    columns=["label", "evaluations", "distance", "se", "sure"],
)


def sheet(i):
    return torch.randint(256, (16, 1, 28, 28), dtype=torch.uint8, generator=seeded(i))


NAMES = POINTS["label"] + ", " + POINTS["evaluations"].astype(str)
SHOWN = {name: sheet(i) for i, name in NAMES.items()}
CURVE = partial(sampler_curve_explorer, SamplerCurve(POINTS, {"n_samples": 200}, SHOWN, pandas.DataFrame()))


@pytest.mark.parametrize(
    ("label", "evaluations", "shown"),
    [("ancestral, geometric", 20, 2), ("heun, power", 19, 4), ("Algorithm 1", 1_000, 1), ("Algorithm 1", 100, 0)],
)
def test_the_samples_are_those_of_sampler_and_cost(label, evaluations, shown):
    explorer = moved(CURVE, label=label, evaluations=evaluations)
    point, (picture,) = POINTS.loc[shown], explorer.figure.axes[0].images
    expected = plots.image_sheet(sheet(shown).float() / 255, n_columns=4).numpy()
    np.testing.assert_allclose(np.asarray(picture.get_array()), expected, atol=1e-6)
    assert explorer.readout.value == (
        f"{label}, {point.evaluations} evaluations: Fréchet distance {point.distance:g} ± {2 * point.se:g}; "
        f"the classifier is sure of {point.sure:.0%}"
    )
    here = explorer.figure.axes[1].lines[-2]
    assert (list(here.get_xdata()), list(here.get_ydata())) == ([point.evaluations], [point.distance])


def test_another_sampler_begins_at_its_nearest_cost_and_the_first_is_the_best_of_a_tenth():
    explorer = CURVE()
    assert explorer.values == {"label": "ancestral, geometric", "evaluations": 100}
    for label, evaluations in (("heun, power", 19), ("ancestral, geometric", 20), ("Algorithm 1", 100)):
        explorer.controls["label"].value = label
        assert explorer.values == {"label": label, "evaluations": evaluations}
        assert explorer.readout.value.startswith(f"{label}, {evaluations} evaluations")


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name", "value", "share"),
    [
        (NOISE, "sigma", 0.3, 0.05),
        (NOISE, "sigma", 0.05, 0.05),
        (NOISE, "image", 3, 0.05),
        (DENOISING, "sigma", float(Shrink.sigmas[1]), 0.02),
        (DENOISING, "image", 3, 0.02),
        (ANNEALING, "step", 1, 0.02),
        (INPAINTING, "step", 1, 0.02),
        (INPAINTING, "step", 3, 0.02),
        (INPAINTING, "mask", "centre-box", 0.02),
        (STEP_MAP, "n_steps", 10, 0.02),
        (STEP_MAP, "step_size", 5e-6, 0.02),
        (CURVE, "evaluations", 20, 0.01),
    ],
)
def test_every_control_changes_the_picture_and_back_again(make, name, value, share):
    assert_moves_and_returns(moved(make), name, value, share=share)


def inpainting_of(image=IMAGE, masks=MASKS, **runs):
    return inpainting_explorer(image, masks, RUNS | {name.replace("_", "-"): states for name, states in runs.items()})


REFUSED = [
    *(
        (make, [torch.rand(shape)], "images must be two or more")
        for make in (image_noise_explorer, lambda images: denoising_explorer(Shrink(), images))
        for shape in ((1, 1, 8, 8), (4, 2, 8, 8), (4, 8, 8))
    ),
    (image_annealing_explorer, [trajectory(3, 2)], "trajectory must be of images"),
    (step_map_explorer, [StepMap.of(ROWS[:-1], SHEETS[:-1])], r"a cell at every T in \[10, 30, 100\]"),
    (inpainting_of, [IMAGE[0]], r"image must be \(C, H, W\)"),
    (
        inpainting_of,
        [IMAGE, dict(list(MASKS.items())[:1])],
        "runs must have the names of masks, right-half, got right-h",
    ),
    (inpainting_explorer, [IMAGE, {}, {}], "runs must have the names of masks, none, got"),
    (partial(inpainting_of, centre_box=RUNS["centre-box"][:3]), [], r"runs must be of one length .*, got \[3, 6\]"),
    (partial(inpainting_of, centre_box=[], right_half=[]), [], r"runs must be of one length of at least 1, got \[0\]"),
    (partial(inpainting_of, centre_box=run(MASKS["centre-box"], n=1)), [], "two or more fills .*but 'centre-box'"),
]


@pytest.mark.parametrize(("make", "arguments", "message"), REFUSED)
def test_bad_arguments_are_named(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(*arguments)
