"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or machines, or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from sbgm.apps.drawing import Drawing, DrawingOptions, data_like, require_shape
from sbgm.apps.options import name_or_path
from sbgm.checked import Count, one_of
from sbgm.data import NAMES, load_images
from sbgm.generation import SAMPLERS, fitted_start, gaussian_start, uniform_start
from sbgm.networks import guided, label_tensor
from sbgm.samplers import State


def sample(
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
        "a data set or a folder of images, 2,000 training images of it, of --start fitted",
    ] = None,
    label: Annotated[list[int] | None, "the class of each image, in turn (any)"] = None,
    guidance: Annotated[float | None, "w of s + w (s_c − s), how much the class is exaggerated (2)"] = None,
) -> None:
    """Draw n images, write them, and say what it took."""
    if guidance is not None and label is None:
        raise ValueError(f"--guidance must come with --label, got {guidance} alone")
    start = start or ("uniform" if sampler == "annealed" else "gaussian")
    if (data is not None) != (start == "fitted"):
        raise ValueError(f"--data must be given with --start fitted, and only then, got {data} with {start}")
    drawing = Drawing(options, "samples.safetensors")
    steps, score, network = drawing.sampler(sampler), drawing.score(), drawing.network

    labels = None
    w = 2.0 if guidance is None else guidance
    if label is not None:
        if not network.n_classes:
            raise ValueError(f"--label must be left out, because {options.network} was trained without classes")
        labels = torch.tensor(label).repeat(n)[:n]
        label_tensor(labels, labels, network.n_classes)  # refuses a class that there is not

    def states(x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> Iterator[State]:
        wanted = score if classes is None else guided(score, classes, w)
        return steps.states(wanted, x, generator)

    sigma_1 = float(steps.sigmas[0])
    inputs = []
    starts = uniform_start if start == "uniform" else gaussian_start(sigma_1)
    if data is not None:
        images = load_images(data_like(data, network.image_shape))[:2_000]
        inputs.append(require_shape(images, data, network))
        starts = fitted_start(inputs[0], sigma_1)

    asked = {"n": n, "sampler": sampler, "start": start, "label": label, "guidance": w}
    samples, facts = drawing.draw(states, n, steps, asked, *inputs, start=starts, given=labels)
    facts |= {"sampler": sampler, "start": start}
    if label is not None:
        facts |= {"label": label, "guidance": w}
    drawing.write(f"{n} images", samples, facts, {"samples": samples}, samples[:64], n_columns=8)
