"""Networks in safetensors files that say how they were made: those that ship, one's own, and a run's checkpoints."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from torch import Tensor, nn

from sbgm.files import Fact, file_hash, load_tensors, read_facts, save_tensors, shipped_folder
from sbgm.guard import (
    ArgumentError,
    FilePath,
    Ladder,
    Network,
    Whole,
    as_list,
    checked,
    count_from,
    did_you_mean,
    instance_of,
    require_finite,
    require_number,
    sigma_tensor,
)
from sbgm.images.networks import DigitNetwork, label_tensor
from sbgm.images.refinenet import RefineNet
from sbgm.networks import ImageMLP, ScoreNetwork

__all__ = [
    "OwnNetwork",
    "load_network",
    "load_weights",
    "save_network",
    "save_weights",
    "weights_file",
    "weights_folder",
]


def weights_folder() -> Path:
    """Where the shipped weights are, `weights/` in `files.shipped_folder()`.

    Example:
        >>> sbgm.images.weights.weights_folder().name
        'weights'
    """
    return shipped_folder() / "weights"


@checked
def weights_file(name: FilePath) -> Path:
    """The file that a name stands for: that of a shipped network, a file's own path, or the latest in a run's folder.

    Raises:
        FileNotFoundError, ValueError: it is a folder, as `whole_checkpoint`.

    Example:
        >>> sbgm.images.weights.weights_file("mnist_ncsn").name
        'mnist_ncsn.safetensors'
        >>> sbgm.images.weights.weights_file("runs/mine.safetensors").as_posix()
        'runs/mine.safetensors'
    """
    path = Path(name)
    if path.is_dir():
        return run_weights(path)
    return path if path.suffix or path.is_file() else weights_folder() / f"{name}.safetensors"


def run_weights(run: Path, step: int | None = None, *, averaged: bool = True) -> Path:
    """The file of a network's weights in a run's folder.

    Args:
        run: the run's folder.
        step: of the checkpoint; None is the latest.
        averaged: the moving average of the weights where the run keeps one, else the weights themselves.

    Raises:
        FileNotFoundError, ValueError: as `whole_checkpoint`.
    """
    checkpoint = whole_checkpoint(run, step)
    average = checkpoint / "average.safetensors"
    return average if averaged and average.exists() else checkpoint / "network.safetensors"


CHECKPOINT = re.compile(r"step-[0-9]{7,}")


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints in a run's folder, such as `step-0005000/`, oldest first."""
    found = (p for p in run.glob("step-*") if CHECKPOINT.fullmatch(p.name) and p.is_dir())
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(checkpoint.name.removeprefix("step-"))


def whole_checkpoint(run: Path, step: int | None = None) -> Path:
    """A checkpoint in a run's folder, whose files are as they were written.

    Args:
        run: the run's folder.
        step: the checkpoint's step; None takes the latest.

    Raises:
        FileNotFoundError: there is no such checkpoint (yet).
        ValueError: its checksums do not agree.
    """
    there = {step_of(path): path for path in checkpoints(run)}
    step = max(there, default=0) if step is None else step
    if step not in there:
        raise FileNotFoundError(f"{run} holds no checkpoint of step {step}; those there: {[*there] or 'none'}")
    sums = there[step] / "SHA256SUMS"
    if not sums.is_file() or sums.read_bytes() != checksums(there[step]).encode():
        raise ValueError(
            f"{there[step]} is damaged: its checksums do not agree; remove it to go on from the one before"
        )
    return there[step]


def checksums(checkpoint: Path) -> str:
    """The content of a checkpoint's SHA256SUMS, as `sha256sum -c` reads it."""
    files = [*sorted(checkpoint.glob("*.safetensors")), checkpoint / "state.pt"]  # a system may put more there
    return "".join(f"{file_hash(file)}  {file.name}\n" for file in files if file.is_file())


def shipped_networks(name: FilePath) -> str:
    """Say which networks `load_network` knows by name, and which of them is meant where `name` is nearly one."""
    files = sorted(weights_folder().glob("*.safetensors"))
    known = [file.stem for file in files if isinstance(read_facts(file).get("architecture"), dict)]
    return f"those are {', '.join(known)}{did_you_mean(name, known)}"


FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
N = TypeVar("N", bound=nn.Module)
NETWORKS = {kind.__name__: kind for kind in (RefineNet, DigitNetwork, ImageMLP)}
"""The networks that a file can name."""
REBUILT = "a ScoreNetwork, which has the sigmas and the arguments to be built again"


@checked
def save_weights(network: Network, path: FilePath, *, dtype: torch.dtype | None = None, **facts: Fact) -> None:
    """Write a network's weights and the facts of its making to one file, the same bytes for the same content.

    Args:
        network: the module whose `state_dict` is saved.
        path: the file, by convention `….safetensors`; its folder must exist. A kill leaves the old file or the new one.
        dtype: of the parameters in the file; None keeps theirs.
        facts: how the weights were made, such as `seed=0, n_steps=3000`; anything that JSON can hold.

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
    network: Network,
    path: FilePath,
    *,
    like: Annotated[ScoreNetwork, instance_of(ScoreNetwork, REBUILT)] | None = None,
    dtype: torch.dtype | None = None,
    **facts: Fact,
) -> None:
    """Write a noise conditional network with all that `load_network` needs to build it again.

    Args:
        network: a `RefineNet`, a `DigitNetwork`, an `ImageMLP`, or a `ScoreNetwork` of your own; with `like`, any.
        path: as in `save_weights`.
        like: a network of the same structure, such as `DigitNetwork(sigmas, mean, variance)`, as which the file is then
            loaded wherever the class of `network` is not defined. It is left as it is.
        dtype: of the parameters in the file; torch.float16 halves it. None keeps theirs.
        facts: as in `save_weights`; `image_shape` [C, H, W] and `data_range` [low, high] say what images it is for,
            `classes` [name, …] what its labels mean; they are the network's own unless given.

    Raises:
        ValueError: the weights of `like` have other names or shapes, or give other scores.

    Example:
        >>> network = sbgm.ImageMLP([1.0, 0.1], width=16, generator=torch.Generator().manual_seed(0))
        >>> sbgm.save_network(network, "digits.safetensors", seed=0)
        >>> sbgm.load_network("digits.safetensors").facts["seed"]
        0
    """
    if like is not None:
        network = _with_weights(like, network)
    if not isinstance(network, ScoreNetwork):
        raise TypeError(
            f"network must be {REBUILT}, got {type(network).__name__}; save_weights keeps the weights of any network"
        )
    images = {"image_shape": network.image_shape, "data_range": network.data_range, "classes": network.classes or None}
    facts = {name: list(value) for name, value in images.items() if value is not None} | facts
    made_by = {"class": type(network).__name__, "arguments": network.arguments, "sigmas": network.sigmas.tolist()}
    save_weights(network, path, dtype=dtype, **facts, architecture=made_by)


class OwnNetwork(ScoreNetwork):
    """Any module s(x, sigma), or s(x, sigma, label), as a network that is trained, saved and sampled from.

    The module is given σ as a (B,) tensor, and a label as a (B,) tensor of whole numbers, of which n_classes is any. A
    file of its weights holds the name of its class, for messages; `load_network(path, network=…)` is given the module.

    Args:
        sigmas: the ladder σ_1 > … > σ_L, a tensor or a list, that it is trained on.
        module: the module that is wrapped.
        n_classes: an int, 0 where the module takes no label.

    Example:
        >>> class Pull(torch.nn.Module):
        ...     def forward(self, x, sigma):
        ...         return -x / (1 + sigma**2).reshape(-1, 1, 1, 1)
        >>> network = sbgm.images.weights.OwnNetwork([1.0, 0.1], Pull())
        >>> network(torch.ones(2, 1, 8, 8), 1.0).mean()
        tensor(-0.5000)
    """

    @checked
    def __init__(self, sigmas: Ladder, module: Network, n_classes: Whole = 0) -> None:
        super().__init__(sigmas, module=type(module).__qualname__, n_classes=n_classes)
        self.module = module
        self.n_classes = n_classes

    def forward(self, x: Tensor, sigma: float | Tensor, label: int | Tensor | None = None) -> Tensor:
        """(B, C, H, W), σ > 0 a float or (B,), a label where it has classes -> scores of x's shape."""
        inputs = [x, sigma_tensor(sigma, x).reshape(-1).expand(len(x))]
        if self.n_classes or label is not None:
            inputs.append(label_tensor(label, x, self.n_classes))
        return self.module(*inputs)


@torch.no_grad()
def _with_weights(like: ScoreNetwork, network: nn.Module) -> ScoreNetwork:
    """A copy of `like` with the weights of a network that gives the same scores; raise where it does not."""
    if like.image_shape is None:
        raise ValueError("like must have its image_shape set, such as (1, 28, 28), got None")
    twin = copy.deepcopy(like).cpu().eval()
    weights = network.state_dict()
    _require_weights(twin, weights, type(like).__name__, "the weights of")
    twin.load_state_dict(weights)
    x = torch.rand(2, *like.image_shape, generator=torch.Generator().manual_seed(0))
    device = next(network.parameters()).device
    for sigma, label in itertools.product(twin.ladder, [(), (0,)] if like.n_classes else [()]):
        wanted = twin(x, sigma, *label)
        score = network(x.to(device), sigma, *label).cpu()
        if not torch.allclose(wanted, score, rtol=1e-3, atol=1e-3 / sigma):
            raise ValueError(
                f"network must give the scores that {type(like).__name__} gives with the same weights, but at sigma = "
                f"{sigma:g} they differ by up to {float((wanted - score).abs().max()):.2g}; `save_weights` keeps the "
                "weights of any network"
            )
    return twin


@checked
def load_network(path: FilePath, *, network: Network | None = None) -> ScoreNetwork:
    """A noise conditional network from what `save_network` wrote, ready to use: `network(x, sigma)` is its score.

    A file names no code: it is numbers, and the name of one of this package's networks. Any other network is given.

    Args:
        path: the name of a shipped network, such as "mnist_ncsn", the file, or the folder of a run, whose latest it
            then is (the averaged one where the run keeps an average), also while another process trains it.
        network: one of your own, into which the weights are loaded.

    Returns:
        The network, in evaluation mode, without gradients, in float32, with the facts of its making in `facts`.

    Raises:
        FileNotFoundError: it is none of these, which the message says, or the run has no checkpoint yet.
        ValueError: the file or the checkpoint is damaged, or holds no network that this version knows how to build.

    Example:
        >>> network = sbgm.load_network("mnist_ncsn")
        >>> type(network).__name__, network.image_shape, len(network.ladder)
        ('RefineNet', (1, 28, 28), 10)
        >>> network(torch.zeros(1, 1, 28, 28), network.ladder[0]).shape
        torch.Size([1, 1, 28, 28])
    """
    built = load_built(path, lambda facts: _network_from(facts, network))
    ladder = _ladder(built.facts["architecture"]["sigmas"])
    if built.ladder != ladder:
        raise ValueError(f"network must have the ladder that the facts of {path} state, {ladder}, got {built.ladder}")
    return built


def load_built(path: Path | str, build: Callable[[dict[str, Any]], N]) -> N:
    """A network from a file of weights, in evaluation mode, without gradients, in float32.

    Args:
        path: as for `load_network`.
        build: makes the network, untrained, from the facts in the file; it is called first on `meta`, which takes no
            memory, whatever sizes the file claims.

    Raises:
        FileNotFoundError, ValueError: as `load_network`.
    """
    name = path
    path = weights_file(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is neither a file of weights nor a run's folder nor a network that comes with sbgm; "
            f"{shipped_networks(name)}"
        )
    facts = read_facts(path)
    try:
        with torch.device("meta"):
            claimed = build(facts).float()  # whatever torch's default is
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError) as error:  # the last: no such size exists
        must = f"hold a network that this version can build, but {path} does not: {error}"
        raise ArgumentError("path", must) from error
    saved, _ = load_tensors(path)
    _require_weights(claimed, saved, path)
    network = build(facts).float()
    network.load_state_dict(saved)
    return network.eval().requires_grad_(False)


def _network_from(facts: dict[str, Any], own: nn.Module | None) -> ScoreNetwork:
    """The untrained network that the facts of `save_network` in a file describe, or that is given."""
    made_by = facts.get("architecture")
    if not isinstance(made_by, dict):
        raise ValueError("it does not say which network it holds, as a file of save_network does")
    arguments = made_by["arguments"]
    if isinstance(own, ScoreNetwork):
        network = own
    elif own is not None:
        network = OwnNetwork(made_by["sigmas"], own, arguments.get("n_classes", 0))
    elif made_by["class"] in NETWORKS:
        network = NETWORKS[made_by["class"]](sigmas=made_by["sigmas"], **arguments)
    else:
        name = arguments.get("module", made_by["class"])
        raise ValueError(f"its network is not of this package, but {name}; give it as load_network(path, network=…)")
    _ladder(made_by["sigmas"])  # where the network was given, nothing has looked at it
    shape = facts.get("image_shape")
    if shape is not None:
        shape = tuple(torch.Size(shape))
        if len(shape) != 3 or (own is None and network.image_shape not in (None, shape)):
            raise ValueError(f"image_shape must be [C, H, W] of the network's images, got {list(shape)}")
        for length in shape:
            count_from(1)(length, "image_shape")
    network.image_shape = shape
    low, high = facts.get("data_range", (0.0, 1.0))
    if not -math.inf < require_number(low, "data_range") < require_number(high, "data_range") < math.inf:
        raise ValueError(f"data_range must be two finite numbers [low, high], low < high, got {[low, high]}")
    network.data_range = (low, high)
    classes = facts.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes must be a list of names, got {classes!r}")
    network.classes = tuple(classes)
    network.facts = facts
    return network


@checked
def _ladder(sigmas: Ladder) -> list[float]:
    """The levels of a ladder as a network holds them, in float32."""
    return torch.tensor(as_list(sigmas), dtype=torch.float32, device="cpu").tolist()


@checked
def load_weights(network: Network, path: FilePath) -> dict[str, Fact]:
    """Load what `save_weights` wrote into a network of the same architecture, and return the facts.

    Nothing but numbers is read: a safetensors file holds no code. The network is left as it was if anything is wrong.

    Args:
        network: the module whose weights are replaced.
        path: as for `load_network`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or its tensors are not those of the network; the message names one.

    Example:
        >>> network, other = sbgm.MLP(), sbgm.MLP()
        >>> sbgm.save_weights(network, "mlp.safetensors", n_steps=0)
        >>> sbgm.load_weights(other, "mlp.safetensors")
        {'n_steps': 0}
        >>> torch.equal(network(torch.ones(1, 2)), other(torch.ones(1, 2)))
        True
    """
    saved, facts = load_tensors(weights_file(path))
    _require_weights(network, saved, path)
    network.load_state_dict(saved)
    return facts


def _require_weights(
    network: nn.Module, saved: Mapping[str, Tensor], path: FilePath, wanted_is: str = "the shapes saved in"
) -> None:
    """Raise unless tensors have the names and shapes of a network's weights, and are finite numbers of their kind."""
    weights = network.state_dict()
    for name in sorted(saved.keys() | weights.keys()):
        shapes = [tuple(tensors[name].shape) if name in tensors else None for tensors in (saved, weights)]
        if shapes[0] != shapes[1]:
            there = f"{name} is {shapes[0]}, not {shapes[1]}"
            raise ArgumentError("network", f"have {wanted_is} {Path(path).name}, but there {there}")
        admitted = FLOATS if weights[name].is_floating_point() else (weights[name].dtype,)
        if saved[name].dtype not in admitted:
            raise ValueError(f"{name} in {path} must be of {' or '.join(map(str, admitted))}, got {saved[name].dtype}")
        require_finite(saved[name].to(weights[name].dtype), f"{name} in {path}")  # 1e300 is infinite in float32
