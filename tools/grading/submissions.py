"""What students handed in: found in folders, and read within limits. No link is followed, nothing is run."""

import hashlib
import os
import re
from pathlib import Path

LARGEST_NOTEBOOK = 32 * 2**20  # bytes
MOST_NOTEBOOKS = 40  # of one student
NOT_HANDED_IN = {".ipynb_checkpoints", "__MACOSX", ".DS_Store"}  # what editors and systems put there themselves


def find_students(folder: Path, leave_out: Path) -> dict[str, Path]:
    """Where each student's submission lies, by the student: everything in the folder is one, whatever it is.

    A student's name is that of the entry without ".ipynb", as a spreadsheet may hold it; one that is taken gets a
    number. The folder of the marks, `leave_out`, may lie among them.

    Raises:
        OSError: there is no such folder.
        ValueError: it is empty.
    """
    students: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name in NOT_HANDED_IN or os.path.realpath(entry) == os.path.realpath(leave_out):
            continue
        name = for_spreadsheets(spelled(entry.name.removesuffix(".ipynb") or entry.name))
        while name in students:
            name += " (2)"
        students[name] = entry
    if not students:
        raise ValueError(f"submissions must hold an entry for each student, got {folder}")
    return students


def read_submission(entry: Path) -> tuple[dict[str, bytes], list[str]]:
    """A student's notebooks, by their path below the student's folder, and what was not read; raises nothing."""
    files: dict[str, bytes] = {}
    problems: list[str] = []
    paths = [entry]
    if entry.is_dir() and not entry.is_symlink():
        there = (Path(folder, name) for folder, _, names in os.walk(entry) for name in names)
        paths = sorted(path for path in there if path.suffix == ".ipynb" and path.parent.name not in NOT_HANDED_IN)
    if len(paths) > MOST_NOTEBOOKS:
        problems.append(f"of {len(paths)} notebooks only the first {MOST_NOTEBOOKS} were read")
    for path in paths[:MOST_NOTEBOOKS]:
        name = spelled(path.name if path == entry else str(path.relative_to(entry)))
        try:
            files[name] = _content(path)
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
    if not paths:
        problems.append("no notebook")
    return files, problems


def _content(path: Path) -> bytes:
    """The bytes of a plain notebook; raise OSError for anything else."""
    if path.is_symlink():
        raise OSError("a link is not followed")
    if path.suffix != ".ipynb" or not path.is_file():
        raise OSError("this is no notebook")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        content = file.read(LARGEST_NOTEBOOK + 1)
    if len(content) > LARGEST_NOTEBOOK:
        raise OSError(f"this is larger than {LARGEST_NOTEBOOK // 2**20} MiB")
    return content


def fingerprint(files: dict[str, bytes]) -> str:
    """The sha256 of the names and contents, in hexadecimal."""
    parts = [part for name, content in files.items() for part in (name.encode(), content)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def spelled(name: str) -> str:
    """A name of any bytes as text that can be printed and written: é stays, a lone byte becomes \\xe9."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def for_spreadsheets(text: str) -> str:
    """The text in a form in which no spreadsheet takes a part of it for a formula, whatever divides its columns."""
    return re.sub(r"(^|[;,|\t\n])(?=\s*[=+\-@＝＋－＠])", r"\1'", text)
