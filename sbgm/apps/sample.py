"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sbgm.apps.drawing import Drawing, DrawingOptions, counted, data_like, require_shape
from sbgm.apps.options import name_or_path
from sbgm.guard import Count, NonNegative, did_you_mean, one_of
from sbgm.images.data import NAMES, load_images
from sbgm.images.drawing import SAMPLERS, fitted_start, gaussian_start, uniform_start
from sbgm.networks import ScoreNetwork, guided
from sbgm.samplers import State


def main(
    options: DrawingOptions,
    *,
    n: Annotated[Count, "images"] = 64,
    sampler: Annotated[str, one_of(SAMPLERS), f"one of {', '.join(SAMPLERS)}; annealed is Algorithm 1"] = "annealed",
    start: Annotated[
        Literal["uniform", "gaussian", "fitted"] | None,
        "uniform noise (the default for annealed), 0.5 + σ_1 z (for the others), or draws from a normal law fitted to "
        "--data, better where σ_1 is not large",
    ] = None,
    data: Annotated[
        str | None,
        name_or_path(*NAMES),
        "data set or folder whose first 2,000 training images --start fitted is fitted to",
    ] = None,
    label: Annotated[list[str] | None, "the class of each image, in turn, by its name or number (any)"] = None,
    guidance: Annotated[NonNegative | None, "w of s + w (s_c − s), how much the class is exaggerated (2)"] = None,
) -> None:
    """Draw n images, write them, and say what it took."""
    if guidance is not None and label is None:
        raise ValueError(f"guidance must come with --label, got {guidance} alone")
    start = start or ("uniform" if sampler == "annealed" else "gaussian")
    if (data is not None) != (start == "fitted"):
        raise ValueError(f"data must be given with --start fitted, and only then, got {data} with {start}")
    drawing = Drawing(options, "samples.safetensors")
    network = drawing.network
    steps = drawing.sampler(sampler)
    own_options: dict[str, Any] = {"n": n, "sampler": sampler, "start": start}
    labels = None
    classes = {}
    w = 2.0 if guidance is None else guidance
    if label is not None:
        classes = named_classes(network, label)
        labels = torch.tensor(list(classes.values())).repeat(n)[:n]
        own_options |= {"label": list(classes.values()), "label_names": list(classes), "guidance": w}

    def states(x: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Iterator[State]:
        score = drawing.score if labels is None else guided(drawing.score, labels, w)
        return steps.states(score, x, generator)

    sigma_1 = float(steps.sigmas[0])
    inputs = []
    starts = uniform_start if start == "uniform" else gaussian_start(sigma_1)
    if data is not None:
        images = load_images(data_like(data, network.image_shape))[:2_000]
        inputs.append(require_shape(images, data, network))
        starts = fitted_start(inputs[0], sigma_1)
    samples, facts = drawing.draw(states, n, steps, own_options, *inputs, start=starts, given=labels)
    n_columns = len(classes) if len(classes) > 1 else 8
    pictures = samples[: 8 * n_columns]
    drawing.write(counted(n, "image"), samples, facts, {"samples": samples}, pictures, n_columns, list(classes))


def named_classes(network: ScoreNetwork, labels: list[str]) -> dict[str, int]:
    """Find which classes of a network labels mean: each is a class's name or, if it is none, a class's number.

    Returns:
        {name: number}, in the order of the labels, each class once.

    Raises:
        ValueError: the network has no such class.
    """
    if not network.n_classes:
        raise ValueError(f"label must be left out, because this network was trained without classes, got {labels[0]}")
    names = network.classes or tuple(map(str, range(network.n_classes)))
    numbers = {str(number): number for number in range(len(names))}
    numbers |= {name: number for number, name in enumerate(names)}
    for label in labels:
        if label not in numbers:
            choices = f"{', '.join(names)}, or its number, 0 to {len(names) - 1}"
            raise ValueError(f"label must be a class, {choices}, got {label!r}{did_you_mean(label, names)}")
    return {names[numbers[label]]: numbers[label] for label in labels}
