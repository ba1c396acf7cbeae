"""Trained weights that ship with the project: small safetensors files that say how they were made."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sbgm.checked import (
    FilePath,
    Network,
    Shape,
    checked,
    did_you_mean,
    instance_of,
    require_finite,
    require_number,
)
from sbgm.data import shipped_folder
from sbgm.files import Fact, load_tensors, read_facts, save_tensors
from sbgm.networks import ScoreNetwork

__all__ = [
    "load_network",
    "load_weights",
    "save_network",
    "save_weights",
    "weights_file",
    "weights_folder",
]


def weights_folder() -> Path:
    """Where the shipped weights are, `weights/` in `data.shipped_folder()`.

    Example:
        >>> sbgm.weights.weights_folder().name
        'weights'
    """
    return shipped_folder() / "weights"


@checked
def weights_file(name: FilePath) -> Path:
    """The file of a shipped network's name, such as "mnist_ncsn"; the path of a file stays as it is.

    Example:
        >>> sbgm.weights.weights_file("mnist_ncsn").name
        'mnist_ncsn.safetensors'
        >>> sbgm.weights.weights_file("runs/mine.safetensors").as_posix()
        'runs/mine.safetensors'
    """
    return Path(name) if Path(name).suffix or Path(name).is_file() else weights_folder() / f"{name}.safetensors"


def shipped_networks(name: FilePath) -> str:
    """Say which networks `load_network` knows by name, and which of them is meant where `name` is nearly one."""
    files = sorted(weights_folder().glob("*.safetensors"))
    known = [file.stem for file in files if isinstance(read_facts(file).get("architecture"), dict)]
    return f"those that ship are {', '.join(known)}{did_you_mean(name, known)}"


def _floating(dtype: torch.dtype, name: str) -> None:
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"{name} must be a floating-point torch.dtype, such as torch.float16, got {dtype!r}")


FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
Precision = Annotated[torch.dtype, _floating]
REBUILT = "a ScoreNetwork, which has the sigmas and the arguments to be built again"


@checked
def save_weights(network: Network, path: FilePath, *, dtype: Precision | None = None, **facts: Fact) -> None:
    """Write a network's weights and the facts of its making to one file, the same bytes for the same content.

    Args:
        network: its `state_dict` is saved.
        path: the file, by convention `….safetensors`; its folder must exist. A kill leaves the old file or the new one.
        dtype: of the parameters in the file; None keeps theirs.
        facts: how the weights were made, such as `seed=0, n_iterations=3000`; anything that JSON can hold.

    Example:
        >>> sbgm.save_weights(sbgm.MLP(generator=torch.Generator().manual_seed(0)), "mlp.safetensors", seed=0)
        >>> network = sbgm.MLP()
        >>> sbgm.load_weights(network, "mlp.safetensors")
        {'seed': 0}
    """
    tensors = network.state_dict()
    if dtype is not None:  # of the parameters; buffers, such as a ladder, stay exact
        tensors |= {name: tensors[name].to(dtype) for name, _ in network.named_parameters()}
    save_tensors(path, tensors, **facts)


@checked
def save_network(
    network: Annotated[ScoreNetwork, instance_of(ScoreNetwork, REBUILT)],
    path: FilePath,
    *,
    dtype: Precision | None = None,
    **facts: Fact,
) -> None:
    """Write a noise conditional network with all that `load_network` needs to build it again.

    Args:
        network: an `ImageMLP`, a `RefineNet`, or a `ScoreNetwork` of your own.
        path: as in `save_weights`.
        dtype: of the parameters in the file; torch.float16 halves it. None keeps theirs.
        facts: as in `save_weights`; `image_shape` [C, H, W] and `data_range` [low, high] say what images it is for,
            and are the network's own unless given.

    Example:
        >>> network = sbgm.ImageMLP([1.0, 0.1], width=16, generator=torch.Generator().manual_seed(0))
        >>> sbgm.save_network(network, "digits.safetensors", seed=0)
        >>> sbgm.load_network("digits.safetensors").facts["seed"]
        0
    """
    images = {"image_shape": network.image_shape, "data_range": network.data_range}
    facts = {name: list(value) for name, value in images.items() if value is not None} | facts
    made_by = {"class": type(network).__name__, "arguments": network.arguments, "sigmas": network.sigmas.tolist()}
    save_weights(network, path, dtype=dtype, **facts, architecture=made_by)


@checked
def load_network(path: FilePath) -> ScoreNetwork:
    """A noise conditional network from what `save_network` wrote, ready to use: `network(x, sigma)` is its score.

    Args:
        path: the file, or the name of a shipped network, such as "mnist_ncsn".

    Returns:
        The network, in evaluation mode, without gradients, in float32, with the facts of its making in `facts`. A
        `ScoreNetwork` of your own is found by the name of its class, once that is defined.

    Raises:
        FileNotFoundError: there is no such file, or no shipped network of the name; the message lists their names.
        ValueError: the file is damaged, or says of no network that this version knows how to build it.

    Example:
        >>> network = sbgm.load_network("mnist_ncsn")
        >>> type(network).__name__, network.image_shape, len(network.ladder)
        ('RefineNet', (1, 28, 28), 10)
        >>> network(torch.zeros(1, 1, 28, 28), network.ladder[0]).shape
        torch.Size([1, 1, 28, 28])
    """
    import sbgm.refinenet  # noqa: F401 - so that RefineNet is among the subclasses

    name, path = path, weights_file(path)
    if not path.is_file() and not Path(name).suffix:
        raise FileNotFoundError(f"{name} is no network that ships; {shipped_networks(name)}")
    facts: dict[str, Any] = read_facts(path)
    made_by = facts.get("architecture")
    classes = {known.__name__: known for known in _subclasses(ScoreNetwork)}
    if not isinstance(made_by, dict) or made_by.get("class") not in classes:
        raise ValueError(f"path must be a file of save_network, but {path} does not say which network it holds")
    try:
        build = functools.partial(classes[made_by["class"]], sigmas=made_by["sigmas"], **made_by["arguments"])
        image_shape, data_range = _images_for(**facts)
        with torch.device("meta"):  # which takes no memory, whatever sizes the file claims
            claimed = build()
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"path must hold a network that this version can build, but {path} does not: {error}"
        ) from error
    saved, _ = load_tensors(path)
    _require_weights(claimed, saved, path)
    network = build()
    network.load_state_dict(saved)
    network.image_shape, network.data_range, network.facts = image_shape, data_range, facts
    return network.eval().requires_grad_(False)


def _range(values: Sequence[float], name: str) -> None:
    low, high = values if isinstance(values, Sequence) and len(values) == 2 else (math.nan, math.nan)
    if not require_number(low, name) < require_number(high, name):
        raise ValueError(f"{name} must be two numbers, the lower one first, got {values!r}")


@checked
def _images_for(
    image_shape: Shape | None = None, data_range: Annotated[Sequence[float], _range] = (0.0, 1.0), **others: Fact
) -> tuple[tuple[int, ...] | None, tuple[float, float]]:
    """What the facts of a file say of the images that its network is for."""
    low, high = data_range
    return None if image_shape is None else tuple(image_shape), (low, high)


def _subclasses(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


@checked
def load_weights(network: Network, path: FilePath) -> dict[str, Fact]:
    """Load what `save_weights` wrote into a network of the same architecture, and return the facts.

    Nothing but numbers is read: a safetensors file holds no code. The network is left as it was if anything is wrong.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or its tensors are not those of the network; the message names them.

    Example:
        >>> network, other = sbgm.MLP(), sbgm.MLP()
        >>> sbgm.save_weights(network, "mlp.safetensors", n_steps=0)
        >>> sbgm.load_weights(other, "mlp.safetensors")
        {'n_steps': 0}
        >>> torch.equal(network(torch.ones(1, 2)), other(torch.ones(1, 2)))
        True
    """
    saved, facts = load_tensors(path)
    _require_weights(network, saved, path)
    network.load_state_dict(saved)
    return facts


def _require_weights(network: nn.Module, saved: Mapping[str, Tensor], path: FilePath) -> None:
    """Raise unless tensors have the names and shapes of a network's weights, and are finite numbers of their kind."""
    weights = network.state_dict()
    found, wanted = ({name: tuple(value.shape) for name, value in of.items()} for of in (saved, weights))
    if found != wanted:
        names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        differences = ", ".join(f"{name} is {found.get(name)}, not {wanted.get(name)}" for name in names)
        raise ValueError(f"network must have the shapes saved in {Path(path).name}, but there {differences}")
    for name, value in saved.items():
        wanted = FLOATS if weights[name].is_floating_point() else (weights[name].dtype,)
        if value.dtype not in wanted:
            raise ValueError(f"{name} in {path} must be of {' or '.join(map(str, wanted))}, got {value.dtype}")
        require_finite(value, f"{name} in {path}")
