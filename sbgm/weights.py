"""Trained weights that ship with the project: small safetensors files that say how they were made."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

Fact = str | int | float | bool | list


def weights_folder() -> Path:
    """Where the shipped weights are: `data/weights/` of the repository."""
    return Path(__file__).resolve().parent.parent / "data" / "weights"


def save_weights(network: nn.Module, path: Path | str, **facts: Fact) -> None:
    """Write a network's weights and the facts of its making to one file, the same bytes for the same content.

    Args:
        network: its `state_dict` is saved.
        path: the file, by convention `….safetensors`; its folder must exist. A kill leaves the old file or the new one.
        facts: how the weights were made, such as `seed=0, n_iterations=3000`; anything that JSON can hold.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    content = save(tensors, metadata={"facts": json.dumps(facts, sort_keys=True)})  # one entry: their order varies
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def load_weights(network: nn.Module, path: Path | str) -> dict[str, Fact]:
    """Load what `save_weights` wrote into a network of the same architecture, and return the facts.

    Nothing but numbers is read: a safetensors file holds no code. The network is left as it was if anything is wrong.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or its tensors are not those of the network; the message names them.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file of weights, but there is none at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"path must be a whole safetensors file, but {path} is not: {error}") from error
    found = {name: tuple(value.shape) for name, value in saved.items()}
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if found != wanted:
        names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        differences = ", ".join(f"{name} is {found.get(name)}, not {wanted.get(name)}" for name in names)
        raise ValueError(f"network must have the shapes saved in {path.name}, but there {differences}")
    network.load_state_dict(saved)
    return facts
