"""Who handed in what: an entry of a folder is a student, and nothing that lies there is trusted to be a plain file."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LARGEST_NOTEBOOK, MOST_BYTES = 32 * 2**20, 128 * 2**20  # of one file, and of all files of a student
MOST_NOTEBOOKS, MOST_FILES, MOST_PROBLEMS = 40, 2_000, 20
NOT_HANDED_IN = {".ipynb_checkpoints", "__MACOSX", ".DS_Store"}  # what editors and systems put there themselves


@dataclasses.dataclass(frozen=True)
class Submission:
    """The notebooks that a student handed in.

    Attributes:
        files: the content of each, by its path below the student's folder.
        problems: what was found there and not read, in words.
    """

    files: dict[str, bytes]
    problems: list[str]

    @property
    def fingerprint(self) -> str:
        """The sha256 of the names and contents, and of the problems, in hexadecimal."""
        parts = [part for name, content in self.files.items() for part in (name.encode(), content)]
        digests = [hashlib.sha256(part).digest() for part in [*parts, "\n".join(self.problems).encode()]]
        return hashlib.sha256(b"".join(digests)).hexdigest()


def find_students(paths: Iterable[Path]) -> dict[str, Path]:
    """Where each student's submission lies, by the student: everything in a folder is one, and so is a notebook.

    A student's name is that of the entry as it can be printed, without ".ipynb"; one that is taken gets a number.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: there is nothing in any of them.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}; name a folder of notebooks, or notebooks")
        for entry in sorted(path.iterdir()) if path.is_dir() else [path]:
            name = spelled(entry.name.removesuffix(".ipynb") or entry.name)
            if entry.name not in NOT_HANDED_IN:
                names = itertools.chain([name], (f"{name} ({n})" for n in itertools.count(2)))
                found[next(free for free in names if free not in found)] = entry
    if not found:
        raise ValueError(f"submissions must hold an entry for each student, got {', '.join(map(str, paths))}")
    return found


def read_submission(entry: Path) -> Submission:
    """Read the notebooks of one student, within limits of number and size; follow no link, and raise nothing."""
    files: dict[str, bytes] = {}
    problems: list[str] = []
    try:
        for n_seen, path in enumerate(_below(entry, problems)):
            if n_seen >= MOST_FILES or len(files) >= MOST_NOTEBOOKS:
                problems.append(f"of more than {MOST_NOTEBOOKS} notebooks or {MOST_FILES} files the rest was not read")
                break
            name = spelled(str(path.relative_to(entry)) if path != entry else path.name)
            try:
                if path.suffix == ".ipynb" or path.is_symlink():
                    files[name] = _content(path, MOST_BYTES - sum(map(len, files.values())))
            except OSError as error:
                problems.append(f"{name}: {error.strerror or error}")
    except (RecursionError, OSError):  # the latter where a path is longer than the system takes
        problems.append("folders lie too deep in one another")
    told, n_more = list(dict.fromkeys(problems))[:MOST_PROBLEMS], len(set(problems)) - MOST_PROBLEMS
    told += [f"{n_more} more of the kind"] if n_more > 0 else []
    return Submission(files, told if files or told else ["no notebook"])


def _below(entry: Path, problems: list[str]) -> Iterator[Path]:
    """An entry, or the files and links below it where it is a folder, in order; what can't be seen is a problem."""
    if entry.is_symlink() or not entry.is_dir():
        yield entry
        return
    tree = os.walk(entry, onerror=lambda error: problems.append(f"a folder: {error.strerror}"))
    for n_seen, (folder, folders, names) in enumerate(tree):
        if n_seen == MOST_FILES:
            problems.append(f"of more than {MOST_FILES} folders the rest was not read")
            return
        folders[:] = sorted(set(folders) - NOT_HANDED_IN)
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (Path(folder, name) for name in sorted([*names, *links]))


def _content(path: Path, most: int) -> bytes:
    """The bytes of a plain file; raise OSError for anything else, and where they are too many."""
    if path.is_symlink():
        raise OSError("a link is not followed")
    if not path.is_file():
        raise OSError("this is no plain file")
    most = min(most, LARGEST_NOTEBOOK)
    how = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither
    with open(os.open(path, how), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"this is larger than {LARGEST_NOTEBOOK} bytes, or all are larger than {MOST_BYTES}")
    return content


def spelled(name: str) -> str:
    """A name of any bytes as text that can be printed and written: é stays, a lone byte becomes \\xe9."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
