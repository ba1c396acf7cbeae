"""Sliders, picture and readout of a chapter's explorer, by what a reader sees and does."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SETTLE_SECONDS = 300


class Shown(NamedTuple):
    """What an explorer shows: the address of its picture, its readout, and its sliders' places."""

    source: str
    readout: str
    places: tuple[float, ...]


class Slider:
    """One slider. A logarithmic one counts in exponents of 10, one over a list in its positions.

    Attributes:
        name: its description.
        handle: what a mouse drags and a key moves.
    """

    def __init__(self, box: Locator) -> None:
        self.name = box.locator(".widget-label").inner_text()
        self.handle, self._track = box.locator(".noUi-handle"), box.locator(".noUi-base")
        self._label = box.locator(".widget-readout")

    @property
    def place(self) -> float:
        return float(self.handle.get_attribute("aria-valuetext"))

    @property
    def label(self) -> str:
        """The value beside the track."""
        return self._label.inner_text()

    def press(self, key: str) -> None:
        """Press a key on the handle."""
        self.handle.press(key)

    def drag(self, fraction: float) -> None:
        """Drag the handle to a fraction of the track, in ten moves of the mouse."""
        mouse, handle, track = self.handle.page.mouse, self.handle.bounding_box(), self._track.bounding_box()
        height = handle["y"] + handle["height"] / 2
        mouse.move(handle["x"] + handle["width"] / 2, height)
        mouse.down()
        mouse.move(track["x"] + fraction * track["width"], height, steps=10)
        mouse.up()


class Explorer:
    """The explorer on a page, in view.

    Attributes:
        page: the browser's page.
        picture: its image.
        sliders: by name, from the top.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.picture = page, page.locator("img.sbgm-figure")
        self._box = page.locator(".widget-vbox", has=self.picture)
        self._scroll_into_view()
        boxes = self._box.locator(".widget-slider").all()
        self.sliders = {slider.name: slider for slider in map(Slider, boxes)}

    def shown(self) -> Shown:
        """What is shown now."""
        readout = self._box.locator(".sbgm-readout").inner_text()
        return Shown(self.picture.get_attribute("src"), readout, tuple(s.place for s in self.sliders.values()))

    def settled(self, before: Shown | None = None) -> Shown:
        """What is shown once nothing has changed for half a second.

        Args:
            before: if given, wait until the picture is another.

        Raises:
            TimeoutError: it goes on changing, or the picture stays what it was.
        """
        deadline, last, since = time.monotonic() + SETTLE_SECONDS, self.shown(), time.monotonic()
        while time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
            now = self.shown()
            if now != last or (before is not None and now.source == before.source):
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 0.5:
                return now
        raise TimeoutError(f"after {SETTLE_SECONDS} s the picture was not another, or still changed: {last}")

    def pixels(self) -> np.ndarray:
        """The picture as it is on the screen, (height, width, 3)."""
        return np.asarray(Image.open(io.BytesIO(self.picture.screenshot())).convert("RGB"))

    def spoken(self) -> str:
        """The text for screen readers."""
        return self._box.locator(".widget-html").inner_text()

    def _scroll_into_view(self) -> None:
        """Scroll until it stays: Lab lays cells out when they come into view, and moves those below."""
        last = None
        while last != (now := self._box.bounding_box()):
            last = now
            self._box.evaluate("box => box.scrollIntoView({block: 'center'})")
            self.page.wait_for_timeout(300)
