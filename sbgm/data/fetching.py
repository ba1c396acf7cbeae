"""Fetching a data set so that nothing half made is ever in its place, and a failure says what to do instead.

Files are fetched and unpacked in a temporary folder beside the place, checked there, and moved in one step. What is
already there is never overwritten.
"""

from __future__ import annotations

import contextlib
import http.client
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sbgm.data.folder import DataNotFoundError, data_folder
from sbgm.files import DiskFullError, disk_is_full

_FAILURES = (OSError, RuntimeError, EOFError, http.client.HTTPException)  # a URLError is an OSError


@contextlib.contextmanager
def fetching(title: str, size: str, instead: str) -> Iterator[Path]:
    """Give a temporary folder inside `data_folder()`, and remove it whatever happens.

    Args:
        title: what is fetched, as messages name it.
        size: how much disk it takes, such as "170 MB".
        instead: what to do if it can't be fetched, whole sentences.

    Raises:
        DiskFullError: the message says how much is needed.
        ConnectionError: the body failed in another way; the message says why, and what to do instead.
    """
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as bench:
            yield Path(bench)
    except DataNotFoundError:
        raise
    except _FAILURES as error:
        if disk_is_full(error):
            raise DiskFullError(
                f"The disk is full: {title} takes {size} in {folder}. Free some space there, or set SBGM_DATA to a "
                "folder on another disk. Nothing half made was left behind."
            ) from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ConnectionError(f"{title} could not be downloaded into {folder} ({reason}). {instead}") from error


def fetch(urls: Sequence[str], path: Path, md5: str) -> None:
    """Write the file to `path`, from the first of several mirrors that sends it whole.

    Raises:
        ConnectionError: none did; the message gives each one's reason.
    """
    from torchvision.datasets.utils import download_url

    reasons = []
    for url in urls:
        try:
            return download_url(url, str(path.parent), path.name, md5)
        except _FAILURES as error:
            if disk_is_full(error):
                raise
            reasons.append(f"{url}: {_reason(error, path)}")
            path.unlink(missing_ok=True)  # so that the next mirror's failure is not told by this one's file
    raise ConnectionError("; ".join(reasons))


def fetch_from_google_drive(file_id: str, path: Path, md5: str) -> None:
    """Write a file that Google Drive shares to `path`, by the package gdown.

    Raises:
        ConnectionError: it did not arrive whole; the message tells a quota page from a broken transfer.
    """
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        download_file_from_google_drive(file_id, str(path.parent), path.name, md5)
    except Exception as error:  # gdown's own errors share no class
        if disk_is_full(error):
            raise
        raise ConnectionError(f"{path.name} from Google Drive: {_reason(error, path)}") from error


def move_into_place(made: Path, place: Path) -> None:
    """Move what was made and checked into its place, in one step; what another process put there meanwhile stays."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        made.replace(place)


def is_web_page(path: Path) -> bool:
    """Whether a file is HTML, which a server sends with good status in place of what one asked for."""
    with path.open("rb") as file:
        return file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def what_is_wrong(path: Path) -> str:
    """Why a file whose checksum is wrong may be so, in a few words."""
    if is_web_page(path):
        return (
            "it is a web page, not the data: a quota notice (Google Drive's says that too many users have viewed or "
            "downloaded the file) or a network's log-in page"
        )
    return f"its {path.stat().st_size:,} bytes have a wrong checksum: a broken transfer, or another file"


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, RuntimeError) and path.is_file():  # torchvision's "File not found or corrupted."
        return "what came was not the file, " + what_is_wrong(path)
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
