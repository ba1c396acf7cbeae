"""What every slider does, without a browser: its picture, its readout, a mistake of the reader's, a stored page."""

import base64
import io
import itertools
import math
import re

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import sbgm_course as checks
from moving import pixels
from sbgm import paper_mixture, plots, samplers, widgets
from sbgm.images.data import load_images
from sbgm.widgets import FigureExplorer, LiveTraining
from seeds import seeded

DIGITS = load_images("digits", "test")[:5]
FIELD = paper_mixture().score(plots.grid(39))
STATES = torch.rand(13, 5, 1, 6, 6, generator=seeded())
TRAJECTORY = widgets.Trajectory(STATES, 1 - STATES, [1.0] * 13, [1] * 13, list(range(13)))
EXPLORERS = {
    "score field": widgets.score_field_explorer,
    "training": lambda: widgets.training_explorer({0: 0 * FIELD, 10: FIELD}),
    "Langevin": widgets.langevin_explorer,
    "annealing": widgets.annealing_explorer,
    "level steps": widgets.level_steps_explorer,
    "noise": lambda: widgets.image_noise_explorer(DIGITS),
    "guess": lambda: widgets.image_noise_explorer(DIGITS, lambda x, sigma: 0.5 - x),
    "film": lambda: widgets.image_annealing_explorer(TRAJECTORY),
}


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_control_moves_the_picture_and_going_back_restores_it(name):
    explorer = EXPLORERS[name]()
    before = pixels(explorer)
    for control in explorer.controls.values():
        first = control.index
        for index in {0, len(control.options) - 1} - {first}:
            control.index = index
            assert (pixels(explorer) != before).any(), control.description
        control.index = first
        assert np.array_equal(pixels(explorer), before)


@pytest.mark.parametrize(
    ("typed", "label"), [("4.6", "4.6"), ("4.64", "4.6"), ("4,6", "4.6"), ("1e9", "10.0"), ("abc", "3.0"), ("", "3.0")]
)
def test_a_number_that_is_typed_moves_the_slider_to_the_nearest_that_it_has(typed, label):
    explorer = widgets.score_field_explorer()
    slider, number = explorer.children[0].children[0].children
    number.value = typed
    assert (slider.label, number.value) == (label, label)
    assert explorer.readout.value.startswith(f"σ = {label}:")
    slider.index = 7
    assert number.value == "0.7"


def test_the_box_beside_a_slider_that_begins_at_its_first_number_shows_that_number():
    *_, number = widgets.image_noise_explorer(DIGITS).children[0].children[1].children
    assert number.value == "0"


def test_a_blitted_picture_equals_a_full_redraw():
    explorer = widgets.score_field_explorer()
    explorer.controls["sigma"].value = 4.0
    for artist in explorer.figure.findobj(lambda artist: artist.get_animated()):
        artist.set_animated(False)
    explorer.figure.canvas.draw()
    full = np.asarray(explorer.figure.canvas.buffer_rgba())[:, :, :3].astype(int)
    # ticks and frame are drawn below the moving artists when blitting: only their thin lines may differ
    assert (np.abs(full - pixels(explorer)) > 8).any(axis=2).mean() < 0.02


def test_a_page_without_widgets_has_the_picture_and_the_values():
    assert widgets.score_field_explorer()._repr_mimebundle_()["text/plain"] == "FigureExplorer(σ = 3)"


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_page_without_widgets_has_the_readout_above_the_picture(name):
    explorer = EXPLORERS[name]()
    strip, picture = still(explorer)
    assert np.array_equal(picture, pixels(explorer))
    assert (strip < 100).any()  # there is text,
    assert (strip[:, -8:] == 255).all()  # and no line of it is cut off
    explorer.readout.value = "another number"
    assert not np.array_equal(still(explorer)[0], strip)


def still(explorer):
    """What a stored page shows: the strip of text, and the picture below it."""
    png = base64.b64decode(explorer._repr_mimebundle_()["image/png"])
    stored = np.asarray(Image.open(io.BytesIO(png)))
    n_rows = len(pixels(explorer))
    return stored[:-n_rows], stored[-n_rows:]


# --- mistakes ---------------------------------------------------------------------------------------------------------


def raises(*arguments):
    raise ZeroDivisionError("division by zero\nin two lines")


def returns(value):
    """A function of a reader that returns what `value` makes of x."""

    def mine(*arguments):
        return value(next(argument for argument in arguments if isinstance(argument, torch.Tensor)))

    return mine


MISTAKES = [
    (raises, "ZeroDivisionError in raises: division by zero$"),
    (returns(lambda x: None), "TypeError in mine: mine must return a torch.Tensor of floats, got NoneType$"),
    (returns(lambda x: x[None]), r"ValueError in mine: mine must return x's shape, \((\d+, .*)\), got \(1, \1\)$"),
    (returns(lambda x: x / 0), "ValueError in mine: the result of mine must be finite, but it holds NaN or infinity$"),
]
TAKE_A_FUNCTION = [
    lambda mine: widgets.score_field_explorer(score=mine),
    lambda mine: widgets.langevin_explorer(step=mine),
    lambda mine: widgets.annealing_explorer(sampler=mine),
    lambda mine: widgets.level_steps_explorer(step=mine),
    lambda mine: widgets.image_noise_explorer(DIGITS, mine),
]


@pytest.mark.parametrize(("mine", "sentence"), MISTAKES)
@pytest.mark.parametrize("make", TAKE_A_FUNCTION)
def test_a_mistake_of_the_readers_is_a_sentence_over_an_empty_picture(make, mine, sentence):
    explorer = make(mine)
    for index in (0, 1):  # and the slider still moves
        list(explorer.controls.values())[-1].index = index
        assert re.match(sentence, explorer.readout.value) or explorer.values.get("n_steps") == 0
    assert np.array_equal(pixels(explorer), empty(explorer))


def empty(explorer):
    """The picture without its moving artists."""
    explorer._canvas.restore_region(explorer._background)
    return np.asarray(explorer._canvas.buffer_rgba())[:, :, :3]


@pytest.mark.parametrize("make", [TAKE_A_FUNCTION[0], TAKE_A_FUNCTION[-1]])
def test_a_score_in_double_precision_is_drawn_like_any_other(make):
    double = make(lambda x, sigma: -x.double())
    assert double.readout.value == make(lambda x, sigma: -x).readout.value


LEFT = (torch.arange(6) < 3).expand(1, 6, 6)
FILLS = {"left": [samplers.State(x, 1, 1.0, n) for n, x in enumerate(STATES, start=1)]}
ARE_TOLD_WHO_DRAWS = [
    lambda mine: widgets.score_field_explorer(score=lambda x, sigma: -x, drawn_by=[mine]),
    lambda mine: widgets.image_noise_explorer(DIGITS, lambda x, sigma: -x, drawn_by=[mine]),
    lambda mine: widgets.training_explorer({0: 0 * FIELD}, drawn_by=[mine]),
    lambda mine: widgets.image_annealing_explorer(TRAJECTORY, drawn_by=[mine]),
    lambda mine: widgets.inpainting_explorer(STATES[0, 0], {"left": LEFT}, FILLS, drawn_by=[mine]),
]


@pytest.mark.parametrize("make", TAKE_A_FUNCTION + ARE_TOLD_WHO_DRAWS)
def test_a_title_names_a_function_that_its_check_refused(make):
    refused = checks.langevin_step(lambda score, x, step_size, generator: score(x))
    titles = "".join(ax.get_title() for ax in make(refused).figure.axes)
    assert titles.count("\n(drawn by a refused langevin_step)") == 1


def test_an_error_of_ours_reaches_the_caller():
    texts = {1: "the first"}
    slider = ipywidgets.IntSlider(value=1, min=0, max=5)
    FigureExplorer(Figure(figsize=(1, 1)), lambda n: texts[n], {"n": slider})
    with pytest.raises(KeyError):
        slider.value = 2


# --- the view of a training ------------------------------------------------------------------------------------------


def test_picture_curves_and_readout_follow_the_training():
    live = LiveTraining(400, (0, 100), (8, 8))
    assert live.readout.value == "no step yet"
    pictures = [pixels(live)]
    for n, image in ((150, DIGITS), (151, 1 - DIGITS)):
        losses = [20 + math.sin(i) for i in range(n)]
        live.show(losses, image)
        pictures.append(pixels(live))
        each, mean = live.figure.axes[0].lines
        np.testing.assert_allclose(each.get_data(), [range(1, n + 1), losses], rtol=1e-6)
        means = np.convolve(losses, np.ones(100) / 100, "valid")
        np.testing.assert_allclose(mean.get_data(), [range(100, n + 1), means], rtol=1e-5)
        assert live.readout.value.startswith(f"step {n} of 400: loss {means[-1]:.1f}")
    for a, b in itertools.pairwise(pictures):
        assert (a != b).mean() > 0.02


def test_a_page_keeps_no_empty_picture_and_the_finished_one():
    live = LiveTraining(10, (0, 100), (8, 8))
    assert live._repr_mimebundle_().keys() & {"text/plain", "image/png"} == {"text/plain"}
    live.show([5.0, 4.0], DIGITS)
    bundle = live._repr_mimebundle_()
    assert bundle["text/plain"] == "LiveTraining()"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_levels_are_drawn_with_their_mean_beside_another_run_and_the_time_is_told(monkeypatch):
    seconds = iter([0.0, 10.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    options = {"names": ["σ = 1", "σ = 0.1"], "n_mean": 1, "beside": {"recorded": ([1, 100], [32.0, 16.0])}}
    live = LiveTraining(100, (0.5, 64), (2, 4), **options)
    pictures = [pixels(live)]
    for n, sheet in ((2, DIGITS[:8]), (3, None)):
        live.show([[40.0, 30.0], [18.0, 30.0], [16.0, 28.0]][:n], sheet, steps=[1, 20, 40][:n])
        pictures.append(pixels(live))
    large, small, mean, recorded = live.figure.axes[0].lines
    np.testing.assert_allclose(large.get_data(), [[1, 20, 40], [40, 18, 16]])
    np.testing.assert_allclose(small.get_data(), [[1, 20, 40], [30, 30, 28]])
    np.testing.assert_allclose(mean.get_data(), [[1, 20, 40], [35, 24, 22]])
    np.testing.assert_allclose(recorded.get_data(), [[1, 100], [32, 16]])
    # 20 steps in 10 s, 60 to go
    assert live.readout.value == "step 40 of 100: loss 22.0, 2 steps a second, 0.5 minutes left"
    assert (pictures[0] != pictures[1]).mean() > 0.02
