"""Where files lie, files written whole, safetensors files with facts, and hashes that name what was measured."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DiskFullError",
    "checkout",
    "content_hash",
    "data_folder",
    "fetch",
    "file_hash",
    "load_tensors",
    "read_facts",
    "runs_folder",
    "save_tensors",
    "shipped_folder",
    "write_bytes",
    "write_json",
    "written_whole",
]

Fact = str | int | float | bool | list | dict
PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The folder of the checkout of the repository that this package is part of; None where it is an installed one."""
    return None if (PACKAGE / "_data").is_dir() else PACKAGE.parent


def shipped_folder() -> Path:
    """Where what ships lives, whatever $SBGM_DATA says: a checkout's `data/`, or `_data/` of the installed package.

    Example:
        >>> (sbgm.files.shipped_folder() / "weights").is_dir()
        True
    """
    root = checkout()
    return root / "data" if root else PACKAGE / "_data"


def data_folder() -> Path:
    """Where downloads live: $SBGM_DATA if it is set, else a checkout's `data/`, else the user's cache folder."""
    chosen = os.environ.get("SBGM_DATA")
    if chosen:
        return Path(chosen).expanduser()
    root = checkout()
    if root:
        return root / "data"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sbgm"


def runs_folder() -> Path:
    """Where runs are kept unless told otherwise: `runs/` of a checkout, or else of the working folder.

    Example:
        >>> sbgm.files.runs_folder().name
        'runs'
    """
    return (checkout() or Path.cwd()) / "runs"


class DiskFullError(OSError):
    """There is no room for a file; the message names it, or its folder, and says what to do."""


@contextlib.contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Give a path to write to, and move what was written to `path` in one step.

    A kill, an error or a full disk on the way leaves the old file, or none: `with written_whole(path) as partial: …`.

    Args:
        path: the file; its folder must exist.

    Raises:
        DiskFullError: the message names the file.

    Example:
        >>> from pathlib import Path
        >>> with sbgm.files.written_whole("log.txt") as partial:
        ...     _ = partial.write_text("step 1")
        >>> Path("log.txt").read_text()
        'step 1'
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # two processes may write the same file
    try:
        yield partial
        with partial.open("r+b") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(f"The disk is full: there is no room for {path}. Free some space there.") from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes | memoryview) -> None:
    """Write a file at once, as `written_whole` does.

    Example:
        >>> from pathlib import Path
        >>> sbgm.files.write_bytes("log.txt", b"step 1")
        >>> Path("log.txt").read_bytes()
        b'step 1'
    """
    with written_whole(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path | str, content: object) -> None:
    """Write what JSON can hold to a file of text, indented by one space a level; its folder must exist.

    Example:
        >>> from pathlib import Path
        >>> sbgm.files.write_json("ladder.json", {"n_levels": 10})
        >>> print(Path("ladder.json").read_text().strip())
        {
         "n_levels": 10
        }
    """
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


@contextlib.contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Turn a package that the body misses into an ImportError that names the extra of pyproject.toml that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        words = f"{error.name} is missing, which sbgm's extra [{extra}] brings; docs/using.md, Install, says how"
        raise ImportError(words) from error


TIMEOUT = 30.0  # seconds without a word from a server


def fetch(url: str, folder: Path | str, name: str, known_hash: str) -> Path:
    """Fetch a file under a progress bar, unless it is there; it appears in its folder when it is whole.

    A server that says nothing for `TIMEOUT` seconds is left.

    Args:
        url: the file's address.
        folder: where it goes, made if need be.
        name: the file's name there.
        known_hash: its sha256, or another hash with its kind, such as "md5:…".

    Returns:
        The file's path.

    Raises:
        OSError: nothing came, or too little.
        ValueError: what came is not the file, or what the server says makes no sense.
    """
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    return Path(pooch.retrieve(url, known_hash, name, folder, downloader=downloader))  # pyright: ignore[reportArgumentType] - as its own examples do


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], **facts: Fact) -> None:
    """Write tensors, and facts about them, to a safetensors file, the same bytes for the same content.

    Args:
        path: the file, by convention `….safetensors`; its folder must exist.
        tensors: by name, such as {"samples": (N, C, H, W)}.
        facts: anything that JSON can hold, such as `seed=0, n_steps=100`.

    Example:
        >>> sbgm.files.save_tensors("samples.safetensors", {"samples": torch.zeros(4, 2)}, seed=0)
        >>> tensors, facts = sbgm.files.load_tensors("samples.safetensors")
        >>> tensors["samples"].shape, facts
        (torch.Size([4, 2]), {'seed': 0})
    """
    from safetensors.torch import save

    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(content, {"facts": json.dumps(facts, sort_keys=True)}))  # the order of several would vary


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Fact]]:
    """The tensors and the facts of a safetensors file; nothing but numbers and text is read, it holds no code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.

    Example:
        >>> sbgm.files.save_tensors("ladder.safetensors", {"sigmas": torch.tensor([1.0, 0.1])}, n_levels=2)
        >>> sbgm.files.load_tensors("ladder.safetensors")
        ({'sigmas': tensor([1.0000, 0.1000])}, {'n_levels': 2})
    """
    with _opened(path) as (file, facts):
        return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no mapping


def read_facts(path: Path | str) -> dict[str, Fact]:
    """The facts of a safetensors file, without its tensors.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is damaged.

    Example:
        >>> facts = sbgm.files.read_facts(sbgm.images.weights.weights_file("mnist_ncsn"))
        >>> facts["image_shape"]
        [1, 28, 28]
    """
    with _opened(path) as (_, facts):
        return facts


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[tuple[Any, dict[str, Fact]]]:
    """A safetensors file open for reading, and its facts; what is wrong with it is raised in our words."""
    from safetensors import SafetensorError, safe_open

    from sbgm.guard import ArgumentError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no safetensors file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            if not isinstance(facts := json.loads((file.metadata() or {}).get("facts", "{}")), dict):
                raise ValueError(f"its facts must be a table, got {facts!r}")
            yield file, facts
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ArgumentError("path", f"be a whole safetensors file, but {path} is not: {error}") from error


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal.

    Example:
        >>> from pathlib import Path
        >>> sbgm.files.write_bytes("abc.txt", b"abc")
        >>> sbgm.files.file_hash(Path("abc.txt"))[:8]
        'ba7816bf'
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_hash(*tensors: Tensor) -> str:
    """The sha256 of tensors, their types and shapes included, in hexadecimal: the same wherever they are kept.

    Example:
        >>> sbgm.files.content_hash(torch.zeros(4)) == sbgm.files.content_hash(torch.zeros(4))
        True
        >>> sbgm.files.content_hash(torch.zeros(4)) == sbgm.files.content_hash(torch.zeros(2, 2))
        False
    """
    import torch

    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)  # numpy has no bfloat16
    return digest.hexdigest()
