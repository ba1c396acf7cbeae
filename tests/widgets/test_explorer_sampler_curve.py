"""Chapter 10's second explorer, without a browser: stored samples by sampler and cost."""

import numpy as np
import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import plots
from sbgm.measure.records import MeasuredPoint, SamplerCurve
from sbgm.widgets import sampler_curve_explorer

POINTS = (
    MeasuredPoint("Algorithm 1", 100, 50.0, 2.0, 0.2),
    MeasuredPoint("Algorithm 1", 1_000, 9.0, 0.5, 0.7),
    MeasuredPoint("ancestral, geometric", 20, 20.0, 1.0, 0.5),
    MeasuredPoint("ancestral, geometric", 100, 8.0, 0.25, 0.75),
    MeasuredPoint("heun, power", 19, 30.0, 1.0, 0.4),
)


def sheet(i):
    return torch.randint(256, (16, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(i))


CURVE = SamplerCurve(
    POINTS, {"n_samples": 200}, {f"{p.label}, {p.evaluations}": sheet(i) for i, p in enumerate(POINTS)}
)


@pytest.fixture
def explorer():
    return sampler_curve_explorer(CURVE)


def test_it_starts_at_the_best_of_a_tenth(explorer):
    assert explorer.values == {"label": "ancestral, geometric", "evaluations": 100}
    assert explorer.readout.value == (
        "ancestral, geometric, 100 evaluations: Fréchet distance 8 ± 0.5; the classifier is sure of 75%"
    )


@pytest.mark.parametrize(
    ("label", "evaluations", "shown"),
    [("ancestral, geometric", 20, 2), ("heun, power", 19, 4), ("Algorithm 1", 1_000, 1), ("Algorithm 1", 100, 0)],
)
def test_the_samples_are_those_of_sampler_and_cost(explorer, label, evaluations, shown):
    explorer.controls["label"].value = label
    explorer.controls["evaluations"].value = evaluations
    point, (picture,) = POINTS[shown], explorer.figure.axes[0].images
    expected = plots.image_sheet(sheet(shown).float() / 255, n_columns=4).numpy()
    np.testing.assert_allclose(np.asarray(picture.get_array()), expected, atol=1e-6)
    assert explorer.readout.value.startswith(f"{label}, {point.evaluations} evaluations: Fréchet distance ")
    here = explorer.figure.axes[1].lines[-2]
    assert (list(here.get_xdata()), list(here.get_ydata())) == ([point.evaluations], [point.distance])


def test_another_sampler_begins_at_its_nearest_cost(explorer):
    explorer.controls["label"].value = "heun, power"
    assert explorer.values == {"label": "heun, power", "evaluations": 19}
    explorer.controls["label"].value = "ancestral, geometric"
    assert explorer.values == {"label": "ancestral, geometric", "evaluations": 20}
    explorer.controls["label"].value = "Algorithm 1"
    assert explorer.readout.value.startswith("Algorithm 1, 100 evaluations")


@pytest.mark.parametrize(("name", "value"), [("label", "heun, power"), ("evaluations", 20)])
def test_every_control_changes_the_picture_and_back_again(explorer, name, value):
    explorer.controls["evaluations"].value = 20 if name == "label" else 100
    assert_moves_and_returns(explorer, name, value, share=0.01)


def test_updates_are_quick(explorer):
    assert explorer.update_seconds("label") < 1
    assert explorer.update_seconds("evaluations") < 1
