"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64.

On several GPUs or processes: torchrun --nproc_per_node 8 -m sbgm sample …
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sbgm.apps.options import name_or_path
from sbgm.apps.sampling import DRAWING_GROUPS, SAMPLERS, Command, DrawingOptions, counted, data_like, require_shape
from sbgm.guard import Count, NonNegative, Score, checked, did_you_mean, one_of
from sbgm.images.data import NAMES, load_images
from sbgm.images.drawing import cost_of, fitted_start, gaussian_start, uniform_start
from sbgm.networks import ScoreNetwork, guided
from sbgm.samplers import State

KnownData = Annotated[str, name_or_path(*NAMES)]
GROUPS = {**DRAWING_GROUPS, "n": "what is drawn"}
EXAMPLE = "sbgm sample mnist_ncsn --out runs/digits -n 16"


@checked
@dataclasses.dataclass(frozen=True)
class Options(DrawingOptions):
    """The options of `sbgm sample`."""

    _: dataclasses.KW_ONLY
    sampler: Annotated[str, one_of(SAMPLERS), f"one of {', '.join(SAMPLERS)}; annealed is Algorithm 1"] = "annealed"
    start: Annotated[
        Literal["uniform", "gaussian", "fitted"] | None,
        "uniform noise (the default for annealed), 0.5 + σ_1 z (for the others), or draws from a normal law fitted to "
        "--data, better where σ_1 is not large",
    ] = None
    data: Annotated[
        KnownData | None, "data set or folder to whose first 2,000 training images --start fitted is fitted"
    ] = None
    n: Annotated[Count, "number of images"] = 64
    label: Annotated[list[str] | None, "the class of each image, in turn, by its name or number (any)"] = None
    guidance: Annotated[NonNegative | None, "w in s + w (s_c − s), how strongly the class is emphasised (2)"] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = SAMPLERS[self.sampler].settings(1.0)
        for name in ("step_size", "n_steps"):
            value = getattr(self, name)
            if value is None and settings.get(name, 1.0) is None:
                raise ValueError(f"{name} must be given for {self.sampler}")
            if value is not None and name not in settings:
                raise ValueError(f"{name} must be left out with {self.sampler}, which has no such setting, got {value}")
        if self.guidance is not None and self.label is None:
            raise ValueError(f"guidance must come with --label, got {self.guidance} alone")
        if (self.data is not None) != (self.start == "fitted"):
            raise ValueError(
                f"data must be given with --start fitted, and only then, got {self.data} with {self.start}"
            )


def main(**given: Any) -> None:
    """Draw images, write them, and say what it took; `given` are fields of `Options`."""
    options = Options(**given)
    n = options.n
    sampler = SAMPLERS[options.sampler]
    start = options.start or sampler.start
    command = Command(options, "samples.safetensors")
    network = command.network
    sigmas = command.sigmas
    settings = options.settings_of(options.sampler, sigmas[-1])
    own_options: dict[str, Any] = {"n": n, "sampler": options.sampler, "start": start, "sigmas": sigmas, **settings}
    labels = None
    classes = {}
    w = 2.0 if options.guidance is None else options.guidance
    if options.label is not None:
        classes = named_classes(network, options.label)
        labels = torch.tensor(list(classes.values())).repeat(n)[:n]
        own_options |= {"label": list(classes.values()), "label_names": list(classes), "guidance": w}

    def run(score: Score, x: Tensor, generator: torch.Generator) -> Iterator[State]:
        return sampler.sampler(score, x, sigmas, generator=generator, denoise_last=options.denoise, **settings)

    def states(x: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Iterator[State]:
        score = command.score if labels is None else guided(command.score, labels, w)
        return run(score, x, generator)

    inputs = []
    starts = uniform_start if start == "uniform" else gaussian_start(sigmas[0])
    if options.data is not None:
        images = load_images(data_like(options.data, network.image_shape))[:2_000]
        inputs.append(require_shape(images, options.data, network))
        starts = fitted_start(inputs[0], sigmas[0])
    samples, facts = command.draw(states, n, cost_of(run), own_options, *inputs, start=starts, given=labels)
    n_columns = len(classes) if len(classes) > 1 else 8
    pictures = samples[: 8 * n_columns]
    command.write(counted(n, "image"), samples, facts, {"samples": samples}, pictures, n_columns, list(classes))


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
