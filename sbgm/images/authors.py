"""The authors' own networks: a `RefineNet` from a file of their code, github.com/ermongroup/ncsn."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from sbgm.guard import ArgumentError, FilePath, checked
from sbgm.images.refinenet import RefineNet
from sbgm.noise import geometric_sigmas

__all__ = ["load_authors"]

THEIRS = {  # parts of a parameter's name: in `RefineNet`, and in their network
    "begin.": "begin_conv.",
    "end.": "end_conv.",
    "norm.": "normalizer.",
    "norm1": "normalize1",
    "norm2": "normalize2",
    "levels": "embed",
    "stages": "res",
    "refines": "refine",
    "inputs": "adapt_convs",
    "output": "output_convs",
    "fusion": "msf",
    "pooling": "crp",
}


@checked
def load_authors(path: FilePath) -> RefineNet:
    """The paper's network with the authors' weights, ready to use: `network(x, sigma)` is its score.

    Nothing but numbers is read: a file that would run code is refused. Three things stand in no file and are assumed:
    the ladder, ten levels from 1 to 0.01; that the network sees images in [0, 1] (their `data.logit_transform` is
    false); and the images' size, their 28 × 28 for grey images and 32 × 32 for colour.

    Args:
        path: the `checkpoint.pth` that their code wrote, such as one from their `run.zip`.

    Returns:
        A `RefineNet` of the file's width, on the CPU, in evaluation mode, without gradients, in float32. `save_network`
        keeps it in a file of ours.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds another network; the message says where it differs.

    Example:
        >>> sbgm.load_authors("checkpoint.pth")
        Traceback (most recent call last):
        FileNotFoundError: there is no file at checkpoint.pth; docs/authors_code.md says where the authors' weights are
    """
    path = Path(path)
    tensors = _tensors_in(path)
    begin = tensors.get("module.begin_conv.weight")
    if begin is None or begin.ndim != 4 or len(begin) < 2 or not begin.numel():
        raise _refused(path, "lacks module.begin_conv.weight, (C, channels, 3, 3) with C ≥ 2")
    if "module.normalizer.embed.weight" not in tensors:
        raise _refused(path, "holds a network whose norms know no noise level, such as NCSNv2")
    sigmas = geometric_sigmas(1.0, 0.01, 10)
    with torch.device("meta"):  # which draws no weights
        network = RefineNet(sigmas.tolist(), *begin.shape[:2])
    wanted = {_their_name(name): parameter for name, parameter in network.named_parameters()}
    for name in sorted(wanted.keys() | tensors.keys()):
        there, must = (tuple(of[name].shape) if name in of else "absent" for of in (tensors, wanted))
        if there != must:
            raise _refused(path, f"has another network: its {name} is {there}, not {must}")
    weights = {name: tensors[_their_name(name)] for name, _ in network.named_parameters()}
    network.load_state_dict(weights | {"sigmas": sigmas}, assign=True)
    network.image_shape = {1: (1, 28, 28), 3: (3, 32, 32)}.get(begin.shape[1])
    return network.eval().requires_grad_(False)


def _their_name(name: str) -> str:
    """The name in the authors' file of a parameter of ours, such as "refines.3.output.convs.4.weight"."""
    for ours, theirs in THEIRS.items():
        name = name.replace(ours, theirs)
    name = re.sub(r"(res|refine)\.(\d)", lambda m: f"{m[1]}{int(m[2]) + 1}", name)  # stages and blocks from 1
    name = re.sub(r"res2\.0\.(conv2|shortcut)", r"\g<0>.conv", name)  # they wrap the layers that halve the image
    unit = r"(adapt_convs\.\d|output_convs)\.(norm|conv)s\.(\d)"  # whose layers go in pairs: 1_1, 1_2, 2_1, …
    return "module." + re.sub(unit, lambda m: f"{m[1]}.{int(m[3]) // 2 + 1}_{int(m[3]) % 2 + 1}_{m[2]}", name)


def _tensors_in(path: Path) -> dict[str, Tensor]:
    """The tensors by name that their code puts first into its file, before the optimiser's."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file at {path}; docs/authors_code.md says where the authors' weights are")
    with path.open("rb") as file:
        try:
            states = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # torch has many, and some advise to read the file with `weights_only=False`
            raise _refused(path, "is damaged, or holds more than numbers") from None
    tensors = states[0] if isinstance(states, list) and states else None
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise _refused(path, "holds no list whose first entry has a network's tensors by name")
    for name, value in tensors.items():
        is_plain = isinstance(value, Tensor) and value.dtype == torch.float32 and value.layout == torch.strided
        if not (is_plain and value.device.type == "cpu" and value.is_contiguous() and value.isfinite().all()):
            raise _refused(path, f"has no plain tensor of finite float32 numbers in {name}")
    return tensors


def _refused(path: Path, but: str) -> ArgumentError:
    return ArgumentError("path", f"be a checkpoint.pth of the authors' NCSN (docs/authors_code.md), but {path} {but}")
