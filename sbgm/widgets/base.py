"""The parts of every explorer: a figure that sliders redraw in place, its panels, and one that follows a training."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import math
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from sbgm import plots
from sbgm.guard import require_finite, require_score

# An Image widget has no alternative text, and one with a tooltip is not drawn at all (ipywidgets 8.1).
FOR_SCREEN_READERS = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"
# The page marks a widget whose kernel was restarted or crashed, or that comes from a saved notebook. Where the kernel
# was shut down it marks the notebook only. A label has one line and cuts off what is longer: a readout has several.
STYLE = """<style>
:is(.sbgm-explorer.jupyter-widgets-disconnected,
    .jp-NotebookPanel:has(.jp-Notebook-ExecutionIndicator[data-status="unknown"]) .sbgm-explorer)::before {
  content: "The kernel that drew this picture is gone, so nothing moves it. Select this cell, \\
choose Run > Run All Above Selected Cell, then run this cell.";
  padding: 4px 8px; color: #1b1b1b; background: #ffe08a; font: var(--jp-widgets-font-size) var(--jp-ui-font-family);
}
.sbgm-explorer .sbgm-readout.widget-label { height: auto; white-space: normal; }
</style>"""


class NotDrawnError(Exception):
    """An explorer can't draw what its sliders ask for; the message is the sentence that it shows instead."""


def own(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A reader's function, whose mistakes become a sentence that the explorer shows.

    Args:
        function: takes a batch x among its arguments, and returns a tensor of x's shape.

    Returns:
        The function of the same arguments, whose result is of x's dtype. It raises NotDrawnError where the reader's
        raises, or where it returns anything but finite numbers of x's shape.
    """
    name = getattr(function, "__name__", type(function).__name__)

    def call(*arguments: Any) -> Tensor:
        x = next(argument for argument in arguments if isinstance(argument, Tensor))
        # copies: one that works in place would move the explorer's own points
        copies = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
        try:
            result = require_score(function(*copies), x, name)
            require_finite(result, f"the result of {name}")
        except NotDrawnError:
            raise  # by the score that a sampler asks, and no mistake of its own
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            raise NotDrawnError(f"{type(error).__name__} in {name}: {first_line}") from error
        return result.detach()

    return call


class FigureExplorer(ipywidgets.VBox):
    """Sliders above a Matplotlib figure, with a line of text that gives the number that matters.

    The figure lives outside pyplot. Artists made with `animated=True` are redrawn on every move over a saved picture of
    all the others (blitting), so axes, limits and colour ranges stay as they were at the start. A page that cannot run
    widgets (GitHub, a printed page) shows a PNG of the figure below the sliders' values and the readout. Where the
    kernel is gone, a line above the sliders says so.

    Args:
        figure: the finished figure; its moving artists are marked by `animated=True`.
        update: called with the controls' values by name; moves the artists and returns the readout. Where it raises
            NotDrawnError, the readout is the error's message, and no moving artist is drawn.
        controls: widgets with a `value` and a `description`, by the name of update's argument.
        alt: what the figure shows, for readers who cannot see it.

    Attributes:
        controls: the widgets, by name; set a `value` to move one from code.
        readout: the widget whose `value` is the text.
        image: the widget whose `value` is the PNG.
    """

    def __init__(
        self, figure: Figure, update: Callable[..., str], controls: Mapping[str, Any], *, alt: str = ""
    ) -> None:
        self.figure = figure
        self.controls = dict(controls)
        self._update = update
        self._canvas = FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # a second layout would move the axes away from the saved picture
        self._canvas.draw()  # animated artists are left out
        self._background = self._canvas.copy_from_bbox(figure.bbox)
        self._moving = sorted(figure.findobj(lambda artist: artist.get_animated()), key=lambda a: a.get_zorder())
        width = f"{figure.bbox.width:.0f}px"
        self.image = ipywidgets.Image(format="png", layout={"max_width": width}).add_class("sbgm-figure")
        self.readout = ipywidgets.Label().add_class("sbgm-readout")
        # Side by side where there is room, so that the picture is on the screen with the slider that moves it.
        rows = [
            with_number(control) if isinstance(control, ipywidgets.SelectionSlider) else control
            for control in self.controls.values()
        ]
        sliders = ipywidgets.Box(rows, layout={"flex_flow": "row wrap", "max_width": width})
        description = ipywidgets.HTML(f'<span style="{FOR_SCREEN_READERS}">{html.escape(alt)}</span>{STYLE}')
        super().__init__([sliders, self.readout, self.image, description])
        self.add_class("sbgm-explorer")
        for control in self.controls.values():
            control.observe(lambda change: self.redraw(), "value")
        self.redraw()

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self) -> None:
        """Update the moving artists from the controls and send the picture and the readout."""
        self._canvas.restore_region(self._background)
        try:
            self.readout.value = self._update(**self.values)
            for artist in self._moving:
                artist.axes.draw_artist(artist)  # pyright: ignore[reportOptionalMemberAccess] - all have axes
        except NotDrawnError as error:
            self.readout.value = str(error)
        pixels = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        picture = io.BytesIO()
        pixels.save(picture, "png", compress_level=1)
        self.image.value = picture.getvalue()

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        bundle: Any = super()._repr_mimebundle_(**options)
        values = []
        for control in self.controls.values():
            shown = f"{control.value:.4g}" if isinstance(control.value, float) else control.value
            values.append(f"{control.description} = {shown}")
        bundle["text/plain"] = f"{type(self).__name__}({', '.join(values)})"
        picture = self.image.value
        if values:
            picture = under_text([" · ".join(values), self.readout.value], picture)
        bundle["image/png"] = base64.b64encode(picture).decode()
        return bundle


def under_text(paragraphs: Sequence[str], picture: bytes) -> bytes:
    """A PNG of paragraphs of text, broken into lines, above a picture of 90 pixels an inch: as wide as the picture."""
    pixels = Image.open(io.BytesIO(picture))
    n_letters = pixels.width // 7  # that fit into a line
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, n_letters)]
    strip = Figure(figsize=(pixels.width / 90, 0.2 * len(lines) + 0.1), dpi=90)
    strip.text(0.02, 0.5, "\n".join(lines), va="center", fontsize=9, parse_math=False)
    canvas = FigureCanvasAgg(strip)
    canvas.draw()
    text = np.asarray(canvas.buffer_rgba())[:, :, :3]
    png = io.BytesIO()
    Image.fromarray(np.concatenate([text, np.asarray(pixels)])).save(png, "png", compress_level=1)
    return png.getvalue()


def panels(width: float, height: float, *ratios: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure outside pyplot with its axes in one row.

    Args:
        width, height: of the figure, in inches of 90 pixels.
        ratios: the axes' widths against each other.
    """
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    return figure, figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]


def moving_images(axes: Sequence[Axes], titles: Sequence[str], blank: Tensor, n_columns: int) -> Callable[..., None]:
    """Draw a sheet of images like `blank`, (N, C, H, W), on each axes; return what shows other sheets there."""
    artists = []
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
        artists.append(plots.draw_images(ax, blank, n_columns, animated=True))

    def show(*sheets: Tensor) -> None:
        for artist, images in zip(artists, sheets, strict=True):
            artist.set_data(plots.image_sheet(images, n_columns).numpy())

    return show


def selection(
    description: str, values: Sequence[float], value: float, form: str = "g", **layout: str
) -> ipywidgets.SelectionSlider:
    """A slider over given numbers, shown in the format `form`."""
    options = [(f"{v:{form}}", v) for v in values]
    return ipywidgets.SelectionSlider(options=options, value=value, description=description, layout=layout)


def with_number(slider: ipywidgets.SelectionSlider) -> ipywidgets.HBox:
    """A slider beside a box with its number; a number typed there moves the slider to the nearest one that it has.

    (The readout of ipywidgets' own SelectionSlider can be typed over, and what is typed moves nothing.)
    """
    slider.readout = False
    hint = f"{slider.description}: type a number"
    number = ipywidgets.Text(continuous_update=False, tooltip=hint, layout={"width": "64px"})

    def show() -> None:
        number.value = slider.options[slider.index][0]  # its label is empty until it has moved

    def take() -> None:
        with contextlib.suppress(ValueError):
            typed = float(number.value.replace(",", "."))
            slider.value = min((value for _, value in slider.options), key=lambda value: abs(value - typed))
        show()

    show()
    slider.observe(lambda change: show(), "value")
    number.observe(lambda change: take(), "value")
    return ipywidgets.HBox([slider, number]).add_class("sbgm-slider")


class LiveTraining(FigureExplorer):
    """A figure of losses and of a sheet of images, for a training to redraw: display it, then call `show` now and then.

    Args:
        n_steps: length of the training, the end of the axis of steps.
        limits: the ends of the axis of losses, logarithmic where the lower end is above 0.
        sheet: rows and columns of the sheet.
        names: of the losses that are drawn, such as one a level; in the legend unless they are empty.
        n_mean: how many measurements the mean of all losses is taken over.
        beside: other curves, which stay: their steps and losses, by name; two at most.

    Attributes:
        step: the last one that was drawn, 0 before the first.
    """

    def __init__(
        self,
        n_steps: int,
        limits: tuple[float, float],
        sheet: tuple[int, int],
        *,
        names: Sequence[str] = ("each step",),
        n_mean: int = 100,
        beside: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        self.step = 0
        self._n_steps = n_steps
        self._n_mean = n_mean
        self._began: tuple[int, float] | None = None  # the first step that is drawn, and when
        self._text = "no step yet"
        figure, (left, right) = panels(8.4, 3.4, 1, 1.05)
        blue = np.array(to_rgb(plots.COLOURS.moving))
        self._losses = [
            left.plot([], [], color=blue + (1 - blue) * paleness, lw=1, label=name, animated=True)[0]
            for name, paleness in zip(names, np.linspace(0.2, 0.75, len(names)), strict=True)
        ]
        (self._mean,) = left.plot([], [], color=plots.COLOURS.moving, lw=2, label="mean", animated=True)
        others = plots.COLOURS.noise, plots.COLOURS.data
        for (name, curve), colour in zip((beside or {}).items(), others, strict=False):
            left.plot(*curve, "--", color=colour, lw=1.5, label=name)
        scale = "log" if limits[0] > 0 else "linear"
        left.set(xlim=(0, n_steps), ylim=limits, yscale=scale, xlabel="step", title="loss")
        left.legend(fontsize=8)
        blank = torch.ones(math.prod(sheet), 1, 8, 8)
        self._show_images = moving_images([right], ["samples of the network as it is"], blank, sheet[1])
        super().__init__(figure, lambda: self._text, {}, alt="The losses of a training under way, and samples")

    def show(self, losses: Any, images: Tensor | None, steps: Sequence[int] | None = None) -> None:
        """Draw the losses so far, and a sheet where there is a new one.

        Args:
            losses: (n,), or (n, number of names).
            images: (N, C, H, W) in [0, 1].
            steps: (n,) at which the losses were measured; None for every step.
        """
        values = torch.as_tensor(losses, dtype=torch.float64).reshape(len(losses), -1)
        at = range(1, len(values) + 1) if steps is None else steps
        for line, curve in zip(self._losses, values.T.numpy(), strict=True):
            line.set_data(at, curve)
        n_mean = min(self._n_mean, len(values))
        mean = values.mean(dim=1).unfold(0, n_mean, 1).mean(dim=1)
        self._mean.set_data(at[n_mean - 1 :], mean.numpy())
        if images is not None:
            self._show_images(images)
        self.step = at[-1]
        self._text = f"step {self.step:,} of {self._n_steps:,}: loss {float(mean[-1]):.1f}"
        if self._began is None:
            self._began = self.step, time.monotonic()
        else:
            first_step, begin = self._began
            rate = (self.step - first_step) / (time.monotonic() - begin)
            minutes = (self._n_steps - self.step) / rate / 60
            self._text += f", {rate:.2g} steps a second, {minutes:.1f} minutes left"
        self.redraw()

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        bundle: Any = super()._repr_mimebundle_(**options)
        if self.step == 0:
            del bundle["image/png"]  # nothing to keep yet: a stored page shows the figure displayed at the end
        return bundle
