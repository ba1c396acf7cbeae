"""Chapter 06's view of a training under way: the loss so far, and samples of the network as it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sbgm import plots
from sbgm._validate import check_batch, check_count
from sbgm.experiments.loss_curves import running_mean
from sbgm.explorers.base import FigureExplorer


class LiveTraining(FigureExplorer):
    """A figure that a training loop redraws: display it once, then call `show` every few steps.

    Args:
        n_iterations: length of the training, the end of the loss axis.
        ceiling: the end of the loss axis, which begins at 0.
        n_columns: images in a row of the sheet.
    """

    def __init__(self, n_iterations: int, ceiling: float, *, n_columns: int = 8) -> None:
        self.step, self._text, self._n_columns = 0, "no step yet", n_columns
        figure = Figure(figsize=(8.4, 3.2), dpi=90, layout="constrained")
        left, right = figure.subplots(1, 2)
        (self._losses,) = left.plot([], [], color="#9db1d6", lw=0.5, label="each iteration", animated=True)
        (self._mean,) = left.plot([], [], color="#1f3b73", lw=1.5, label="mean of 100", animated=True)
        left.set(xlim=(0, check_count(n_iterations, "n_iterations")), ylim=(0, ceiling))
        left.set(xlabel="iteration", ylabel="loss (Eq. 6)", title="loss")
        left.legend(loc="upper right")
        self._sheet = plots.draw_images(right, torch.ones(n_columns**2, 1, 8, 8), n_columns, animated=True)
        right.set_title("samples of the network as it is")
        super().__init__(figure, lambda: self._text, {}, alt="The loss of a training under way, and samples")

    def show(self, losses: Sequence[float], images: Tensor) -> None:
        """Draw the losses so far and a sheet of images, (N, C, H, W) in [0, 1]."""
        values = torch.tensor(losses)
        self.step = len(values)
        self._losses.set_data(range(1, self.step + 1), values)
        n_mean = min(100, self.step)
        mean = running_mean(values, n_mean)
        self._mean.set_data(range(n_mean, self.step + 1), mean)
        self._sheet.set_data(plots.image_sheet(check_batch(images, "images"), self._n_columns).numpy())
        self._text = f"iteration {self.step}: loss {float(mean[-1]):.1f}"
        self.redraw()

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**options)
        bundle["text/plain"] = "LiveTraining()"
        if self.step == 0:
            del bundle["image/png"]  # nothing to keep yet: a stored page shows the figure displayed at the end
        return bundle
