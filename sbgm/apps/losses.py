"""Measure a network's loss level by level, on held-out images."""

from __future__ import annotations

from typing import Annotated

import pandas
import torch

from sbgm.apps.drawing import Threads, data_like, require_shape
from sbgm.apps.options import Device, name_or_path
from sbgm.guard import Count, Whole, one_of
from sbgm.images.data import NAMES, SPLITS, data_set, load_images
from sbgm.images.devices import find_device, idle_cores
from sbgm.images.weights import load_network
from sbgm.measure.judging import some_images
from sbgm.measure.scores import LevelValues, level_losses, optimality_identity


def main(
    network: Annotated[str, "a shipped network's name, a file of weights, or a run's folder"],
    *,
    data: Annotated[str, name_or_path(*NAMES), "a data set or folder"],
    split: Annotated[str, one_of(SPLITS), "of the data set, train or test"] = "test",
    images: Annotated[Count, "so many of its images"] = 1_000,
    seed: Annotated[Whole, "of the noise"] = 0,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Print λℓ and the optimality identity at each level, and the mean over levels."""
    torch.set_num_threads(threads or idle_cores())
    where = find_device(device)
    model = load_network(network).to(where)
    source = data_like(data, model.image_shape)
    n = min(images, len(load_images(source, split)))
    x = require_shape(some_images(source, split, n), data, model).to(where)
    by_level = level_losses(model, x, model.sigmas, generator=torch.Generator().manual_seed(seed))
    identity = optimality_identity(model, x, model.sigmas, generator=torch.Generator().manual_seed(seed))
    best = f"E|sigma s|^2 + 2 sigma^2 loss (best: {x[0].numel()})"
    table = pandas.DataFrame(
        {
            "sigma": [f"{sigma:.4g}" for sigma in model.sigmas.tolist()],
            "sigma^2 loss": column(by_level, 3),
            best: column(identity, 1),
        }
    )
    print(f"{network}: {n:,} {data_set(source).title} {split} images, one draw of noise each, ± 2 s.e.")
    print(table.to_string(index=False))
    print(f"mean over the levels: {by_level.values.mean():.3f}")


def column(levels: LevelValues, digits: int) -> list[str]:
    """The values at each level as text, with twice their standard errors."""
    pairs = zip(levels.values.tolist(), levels.se.tolist(), strict=True)
    return [f"{value:.{digits}f} ± {2 * se:.{digits}f}" for value, se in pairs]
