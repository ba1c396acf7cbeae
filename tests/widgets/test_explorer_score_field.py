"""The explorers' base class and chapter 01's slider, without a browser."""

import base64
import re

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from moving import assert_moves_and_returns, pixels
from sbgm import paper_mixture
from sbgm.widgets import FigureExplorer, score_field_explorer


def test_moving_sigma_redraws_and_gives_the_exact_density_at_the_origin():
    explorer = score_field_explorer()
    for sigma in (0.0, 4.0, 10.0):
        explorer.controls["sigma"].value = sigma
        density = float(paper_mixture().log_prob(torch.zeros(1, 2), sigma).exp())
        length = float(paper_mixture().score(torch.zeros(1, 2), sigma).norm())
        shown = [float(number) for number in re.findall(r"\d+\.\d+(?:e[-+]\d+)?", explorer.readout.value)]
        assert shown == pytest.approx([sigma, density, length], rel=0.05, abs=0.005)
    assert_moves_and_returns(explorer, "sigma", 3.0, share=0.05)


def test_a_blitted_picture_equals_a_full_redraw():
    explorer = score_field_explorer()
    explorer.controls["sigma"].value = 3.0
    for artist in explorer.figure.findobj(lambda artist: artist.get_animated()):
        artist.set_animated(False)
    explorer.figure.canvas.draw()
    full = np.asarray(explorer.figure.canvas.buffer_rgba())[:, :, :3].astype(int)
    # ticks and frame are drawn below the moving artists when blitting: only their thin lines may differ
    assert (np.abs(full - pixels(explorer)) > 8).any(axis=2).mean() < 0.02


def test_pages_without_widgets_get_text_and_a_picture():
    bundle = score_field_explorer()._repr_mimebundle_()
    assert bundle["text/plain"] == "FigureExplorer(σ = 3)"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_update_seconds_visits_the_whole_range_and_puts_the_slider_back():
    seen = []
    figure = Figure(figsize=(1, 1))
    (line,) = figure.subplots().plot([0, 1], animated=True)

    def update(power, n, kind):
        seen.append((power, n, kind))
        line.set_ydata([0, n])
        return f"{power} {n} {kind}"

    controls = {
        "power": ipywidgets.FloatLogSlider(value=1, min=-2, max=1, description="power"),
        "n": ipywidgets.IntSlider(value=3, min=1, max=5, description="n"),
        "kind": ipywidgets.Dropdown(options=["a", "b"], value="b", description="kind"),
    }
    explorer = FigureExplorer(figure, update, controls)
    for name, ends in (("power", (0.01, 10)), ("n", (1, 5)), ("kind", ("a", "b"))):
        seen.clear()
        assert explorer.update_seconds(name) > 0
        position = list(controls).index(name)
        assert {ends[0], ends[1]} <= {values[position] for values in seen}
    assert explorer.values == {"power": 1, "n": 3, "kind": "b"}


def test_an_error_in_update_reaches_the_caller():
    def update(n):
        if n > 1:
            raise RuntimeError("broken")
        return ""

    slider = ipywidgets.IntSlider(value=1, min=0, max=5)
    explorer = FigureExplorer(Figure(figsize=(1, 1)), update, {"n": slider})
    with pytest.raises(RuntimeError, match="broken"):
        explorer.controls["n"].value = 2
