"""Fetch a data set into the data folder, checked by its checksums; what is there is not fetched again."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from typing import Annotated, Any

from sbgm import files
from sbgm.files import data_folder, shipped_folder
from sbgm.guard import checked
from sbgm.images.data import NAMES, SETS, SPLITS, SetName, torchvisions


@checked
def download(name: SetName) -> None:
    """Fetch a data set into `data_folder()`, from where torchvision does, unless it is there and whole, and say so.

    An interrupted download is taken up by the next one.

    Raises:
        ConnectionError: the download failed; the message says why.
        DataNotFoundError: what is there is damaged.
    """
    if SETS[name].home:
        with fetching(name), contextlib.suppress(AssertionError):  # of a damaged file, which is named below
            torchvisions(name)(data_folder(), download=True)
    for split in SPLITS:
        SETS[name].images(split)  # and so see whether it is whole
    print(f"{name} is ready; downloads are kept in {data_folder()}")


@contextlib.contextmanager
def fetching(name: str) -> Iterator[None]:
    """Turn what torchvision or the disk raises in the body into a ConnectionError that says how to go on."""
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(files.TIMEOUT)  # torchvision sets none: it would wait for a silent server for ever
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConnectionError(
            f"{SETS[name].title} could not be downloaded into {data_folder()} ({reason}). Move "
            f"{SETS[name].home} away if it is there, and run the same command again. How to continue without it: "
            f"{shipped_folder() / 'README.md'}"
        ) from error
    finally:
        socket.setdefaulttimeout(usual)


# --- the command -----------------------------------------------------------------------------------------------------

EXAMPLE = "sbgm download mnist"
ONE_OF_THE_NAMES = f"one of {', '.join(NAMES)}"  # Sphinx reads no f-string in a class


@checked
@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `sbgm download`."""

    name: Annotated[SetName, ONE_OF_THE_NAMES]


def main(**given: Any) -> None:
    """Fetch the data set that `given`, the fields of `Options`, names."""
    download(Options(**given).name)
