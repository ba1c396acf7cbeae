"""What is seen of an explorer when its controls move."""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from sbgm.widgets import FigureExplorer


@functools.cache
def _made(make: Callable[[], FigureExplorer]) -> tuple[FigureExplorer, dict[str, object]]:
    explorer = make()
    return explorer, explorer.values


def moved(make: Callable[[], FigureExplorer], **values: object) -> FigureExplorer:
    """The one explorer of its kind, with every control at these values, or where it begins."""
    explorer, first = _made(make)
    for name, value in (first | values).items():
        explorer.controls[name].value = value
    return explorer


def pixels(explorer: FigureExplorer) -> np.ndarray:
    """The picture as it is shown, (H, W, 3) grey values."""
    return np.asarray(Image.open(io.BytesIO(explorer.image.value)))
