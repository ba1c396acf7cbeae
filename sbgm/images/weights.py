"""Trained weights that ship with the project: small safetensors files that say how they were made."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
import runpy
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from torch import Tensor, nn

from sbgm.files import Fact, file_hash, load_tensors, read_facts, save_tensors
from sbgm.guard import (
    FilePath,
    Ladder,
    Network,
    as_list,
    checked,
    did_you_mean,
    instance_of,
    require_finite,
    require_number,
    sigma_tensor,
)
from sbgm.images.data import Notice, shipped_folder
from sbgm.images.refinenet import RefineNet
from sbgm.networks import ScoreNetwork, label_tensor

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
    """Where the shipped weights are, `weights/` in `data.shipped_folder()`.

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
        run: the folder.
        step: of the checkpoint; None is the latest.
        averaged: the moving average of the weights where the run keeps one, else the weights themselves.

    Raises:
        FileNotFoundError, ValueError: as `whole_checkpoint`.
    """
    checkpoint = whole_checkpoint(run, step)
    average = checkpoint / "average.safetensors"
    return average if averaged and average.exists() else checkpoint / "network.safetensors"


CHECKPOINT = re.compile(r"step-\d{7,}")
IN_CHECKPOINT = ("settings.json", "state.pt")  # and the networks of the run, if it keeps any by themselves


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
        run: the folder.
        step: None is the latest.

    Raises:
        FileNotFoundError: there is no such checkpoint (yet).
        ValueError: it is damaged; the message names the files, and the checkpoint before it that is not.
    """
    there = {step_of(path): path for path in checkpoints(run)}
    step = max(there, default=0) if step is None else step
    if step not in there:
        raise FileNotFoundError(f"{run} holds no checkpoint of step {step}; those there: {[*there] or 'none'}")
    if damaged := _damaged(there[step]):
        whole = [path.name for made, path in there.items() if made < step and not _damaged(path)]
        way_on = f"remove it to go on from {whole[-1]}" if whole else "no whole one is left before it: start anew"
        raise ValueError(f"{there[step]} is damaged: {', '.join(damaged)} changed since it was written; {way_on}")
    return there[step]


def _damaged(checkpoint: Path) -> list[str]:
    """The names of the files that are not as they were written; of all where no checksum says how that was."""
    sums = checkpoint / "SHA256SUMS"
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines() if sums.is_file() else []
    there = {*IN_CHECKPOINT, *(file.name for file in checkpoint.glob("*.safetensors"))}
    written = dict.fromkeys(sorted(there)) | {line[66:]: line[:64] for line in lines}
    files = {checkpoint / name: value for name, value in written.items()}
    return [file.name for file, value in files.items() if not file.is_file() or file_hash(file) != value]


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
N = TypeVar("N", bound=nn.Module)
OWN = 'a torch.nn.Module, or "FILE.py:CLASS"'
REBUILT = "a ScoreNetwork, which has the sigmas and the arguments to be built again"


@checked
def save_weights(network: Network, path: FilePath, *, dtype: Precision | None = None, **facts: Fact) -> None:
    """Write a network's weights and the facts of its making to one file, the same bytes for the same content.

    Args:
        network: its `state_dict` is saved.
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
    like: Annotated[ScoreNetwork | None, instance_of((ScoreNetwork, type(None)), REBUILT)] = None,
    dtype: Precision | None = None,
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
        raise TypeError(f"network must be {REBUILT}, got {type(network).__name__}")
    images = {"image_shape": network.image_shape, "data_range": network.data_range, "classes": network.classes or None}
    facts = {name: list(value) for name, value in images.items() if value is not None} | facts
    made_by = {"class": type(network).__name__, "arguments": network.arguments, "sigmas": network.sigmas.tolist()}
    save_weights(network, path, dtype=dtype, **facts, architecture=made_by)


class OwnNetwork(ScoreNetwork):
    """Any module s(x, sigma), or s(x, sigma, label), as a network that is saved, built again and sampled from.

    The module is given σ as a (B,) tensor, and a label as a (B,) tensor of whole numbers, of which n_classes is any.

    Args:
        sigmas: the ladder σ_1 > … > σ_L that it is trained on.
        source: "FILE.py:CLASS", where its class is, or the class's name alone where that is in no file.
        sha256: of the file.
        n_classes: 0 where the module takes no label.
        given: what its constructor may ask for by name, beside `sigmas`.
        module: the module; None builds it from the source, which runs the file, unless that has changed.

    Raises:
        ValueError: the source has changed, or has no such class; it must be given again.

    Example:
        >>> class Pull(torch.nn.Module):
        ...     def forward(self, x, sigma):
        ...         return -x / (1 + sigma**2).reshape(-1, 1, 1, 1)
        >>> network = sbgm.images.weights.OwnNetwork([1.0, 0.1], "Pull", module=Pull())
        >>> network(torch.ones(2, 1, 8, 8), 1.0).mean()
        tensor(-0.5000)
    """

    def __init__(
        self,
        sigmas: Ladder,
        source: str,
        sha256: str = "",
        n_classes: int = 0,
        given: Mapping[str, Any] | None = None,
        module: nn.Module | None = None,
    ) -> None:
        given = dict(given or {})
        super().__init__(sigmas, source=source, sha256=sha256, n_classes=n_classes, given=given)
        self.n_classes = n_classes
        if module is None:
            with torch.device("cpu"):  # its code may look at values, which `meta` has none of
                module = _own_module(source, sha256, given | {"sigmas": torch.tensor(as_list(sigmas))})
        self.module = module

    def forward(self, x: Tensor, sigma: float | Tensor, label: int | Tensor | None = None) -> Tensor:
        """(B, C, H, W), σ > 0 a float or (B,), a label where it has classes -> scores of x's shape."""
        index = label_tensor(label, x, self.n_classes)
        return self.module(x, sigma_tensor(sigma, x).reshape(-1).expand(len(x)), *[index] * (self.n_classes > 0))


def _own_module(source: str, sha256: str, given: Mapping[str, Any]) -> nn.Module:
    """Run a file, unless it has changed, and build the class in it with what its constructor asks for by name."""
    path, _, name = source.rpartition(":")
    if not (path and Path(path).is_file() and file_hash(Path(path)) == sha256):
        raise ValueError(
            f"network is one's own, {source}, which is not there or has changed; give it again, as FILE.py:CLASS after "
            "--network, or as load_network(path, network=…)"
        )
    warnings.warn(f"{path} is run, because the class {name} of the network is in it", Notice, 3)
    kind = runpy.run_path(path, run_name=f"own_{Path(path).stem}").get(name)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"network must name a torch.nn.Module of {path}, got {name!r}")
    wanted = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in given.items() if name in wanted})


def own_source(source: str) -> dict[str, str]:
    """The source "FILE.py:CLASS" with its full path, and the sha256 of the file, which is not run.

    Raises:
        ValueError: there is no such file.
    """
    file, _, name = source.rpartition(":")
    if not (name and file.endswith(".py") and Path(file).is_file()):
        raise ValueError(f"network must be FILE.py:CLASS, with a file that there is, got {source}")
    return {"source": f"{Path(file).resolve()}:{name}", "sha256": file_hash(Path(file))}


@torch.no_grad()
def _with_weights(like: ScoreNetwork, network: nn.Module) -> ScoreNetwork:
    """A copy of `like` with the weights of a network that gives the same scores; raise where it does not."""
    twin, weights = copy.deepcopy(like).cpu().eval(), network.state_dict()
    _require_weights(twin, weights, type(like).__name__, "the weights of")
    twin.load_state_dict(weights)
    x = torch.rand(2, *(like.image_shape or ()), generator=torch.Generator().manual_seed(0))
    device = next(network.parameters()).device
    for sigma, label in itertools.product(twin.ladder, [(), (0,)] if like.n_classes else [()]):
        wanted, given = twin(x, sigma, *label), network(x.to(device), sigma, *label).cpu()
        if not torch.allclose(wanted, given, rtol=1e-3, atol=1e-3 / sigma):
            raise ValueError(
                f"network must give the scores that {type(like).__name__} gives with the same weights, but at sigma = "
                f"{sigma:g} they differ by up to {float((wanted - given).abs().max()):.2g}; `save_weights` keeps the "
                "weights of any network"
            )
    return twin


@checked
def load_network(
    path: FilePath, *, network: Annotated[nn.Module | str | None, instance_of((nn.Module, str, type(None)), OWN)] = None
) -> ScoreNetwork:
    """A noise conditional network from what `save_network` wrote, ready to use: `network(x, sigma)` is its score.

    Args:
        path: the name of a shipped network, such as "mnist_ncsn", the file, or the folder of a run, whose latest it
            then is (the averaged one where the run keeps an average), also while another process trains it.
        network: of a run of a module of one's own, the module, into which the weights are loaded, or "FILE.py:CLASS",
            which runs that file. Without it the file that the run was trained with is run if it has not changed, with
            a warning, and if it does not lie in the run's own folder.

    Returns:
        The network, in evaluation mode, without gradients, in float32, with the facts of its making in `facts`. A
        `ScoreNetwork` of your own is found by the name of its class, once that is defined.

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

    def build(facts: dict[str, Any]) -> ScoreNetwork:
        nonlocal network
        built = _network_from(facts, network, weights_file(path))
        network = built.module if isinstance(built, OwnNetwork) else network  # a file is run once, not for `meta` too
        return built

    return load_built(path, build)


def load_built(path: Path | str, build: Callable[[dict[str, Any]], N]) -> N:
    """A network from a file of weights, in evaluation mode, without gradients.

    Args:
        path: as for `load_network`.
        build: makes the network, untrained, from the facts in the file; it is called first on `meta`, which takes no
            memory, whatever sizes the file claims.

    Raises:
        FileNotFoundError, ValueError: as `load_network`.
    """
    name, path = path, weights_file(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is no file of weights, no run's folder, and no network that ships; {shipped_networks(name)}"
        )
    facts = read_facts(path)
    try:
        with torch.device("meta"):
            claimed = build(facts)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"path must hold a network that this version can build, but {path} does not: {error}"
        ) from error
    saved, _ = load_tensors(path)
    _require_weights(claimed, saved, path)
    network = build(facts)
    network.load_state_dict(saved)
    return network.eval().requires_grad_(False)


def _network_from(facts: dict[str, Any], own: nn.Module | str | None, path: Path) -> ScoreNetwork:
    """The untrained network that the facts of `save_network` in a file describe."""
    made_by, classes = facts.get("architecture"), {kind.__name__: kind for kind in (RefineNet, *_kinds(ScoreNetwork))}
    if not isinstance(made_by, dict) or made_by.get("class") not in classes:
        raise ValueError("it does not say which network it holds, as a file of save_network does")
    arguments = dict(made_by["arguments"])
    if made_by["class"] == OwnNetwork.__name__:
        beside = path.resolve().parents[bool(CHECKPOINT.fullmatch(path.resolve().parent.name))]
        if own is None and Path(arguments["source"].rpartition(":")[0]).is_relative_to(beside):  # a stranger's, perhaps
            raise ValueError(f"its class came with it, {arguments['source']}; give it again to run that file")
        arguments |= own_source(own) if isinstance(own, str) else {"module": own}
    network = classes[made_by["class"]](sigmas=made_by["sigmas"], **arguments)
    shape, values = facts.get("image_shape"), facts.get("data_range", (0.0, 1.0))
    network.image_shape = None if shape is None else tuple(torch.Size(shape))
    low, high = (require_number(value, "data_range") for value in values)
    if not low < high:
        raise ValueError(f"data_range must be two numbers, the lower one first, got {values!r}")
    network.data_range, network.facts = (low, high), facts
    network.classes = tuple(map(str, facts.get("classes", ())))
    if network.classes and len(network.classes) != network.n_classes:
        raise ValueError(f"classes must be the names of {network.n_classes} classes, got {len(network.classes)}")
    return network


def _kinds(parent: type) -> Iterator[type]:
    for child in parent.__subclasses__():  # a student's own among them
        yield child
        yield from _kinds(child)


@checked
def load_weights(network: Network, path: FilePath) -> dict[str, Fact]:
    """Load what `save_weights` wrote into a network of the same architecture, and return the facts.

    Nothing but numbers is read: a safetensors file holds no code. The network is left as it was if anything is wrong.

    Args:
        network: whose weights are replaced.
        path: as for `load_network`.

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
    saved, facts = load_tensors(weights_file(path))
    _require_weights(network, saved, path)
    network.load_state_dict(saved)
    return facts


def _require_weights(
    network: nn.Module, saved: Mapping[str, Tensor], path: FilePath, wanted_is: str = "the shapes saved in"
) -> None:
    """Raise unless tensors have the names and shapes of a network's weights, and are finite numbers of their kind."""
    weights = network.state_dict()
    found, wanted = ({name: tuple(value.shape) for name, value in of.items()} for of in (saved, weights))
    if found != wanted:
        names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        differences = ", ".join(f"{name} is {found.get(name)}, not {wanted.get(name)}" for name in names)
        raise ValueError(f"network must have {wanted_is} {Path(path).name}, but there {differences}")
    for name, value in saved.items():
        wanted = FLOATS if weights[name].is_floating_point() else (weights[name].dtype,)
        if value.dtype not in wanted:
            raise ValueError(f"{name} in {path} must be of {' or '.join(map(str, wanted))}, got {value.dtype}")
        require_finite(value, f"{name} in {path}")
