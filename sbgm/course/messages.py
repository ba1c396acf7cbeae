"""Messages between the grader and a student's process: JSON and bytes. The grader reads neither code nor pickles.

A message is two lengths (8 bytes each, little endian), a JSON object, and bytes, which hold a notebook or tensors. How
long a message may take is the sandbox's affair: it ends a process that is late, and the file with it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO

__all__ = ["LENGTHS", "MessageError", "printable", "receive", "send"]

LARGEST = 64 * 2**20  # bytes of one message
LARGEST_OBJECT = 8 * 2**20  # bytes of its JSON
MOST_TEXT = 2_000  # characters kept of what a student's process says
LENGTHS = struct.Struct("<QQ")


class MessageError(ValueError):
    """Something received is no message of this protocol, or something to send is too large for one."""


def send(file: IO[bytes], fields: Mapping[str, object], blob: bytes = b"") -> None:
    """Write one message to a file without a buffer.

    Raises:
        BrokenPipeError: the other side is gone.
        MessageError: it is too large; nothing was written.
    """
    text = json.dumps(fields).encode()
    _require_small(len(text), len(blob))
    data = memoryview(LENGTHS.pack(len(text), len(blob)) + text + blob)
    while data:
        data = data[file.write(data) :]


def receive(file: IO[bytes]) -> tuple[dict[str, object], bytes]:
    """Read one message from a buffered file.

    Raises:
        EOFError: the other side is gone.
        MessageError: it is none.
    """
    lengths = LENGTHS.unpack(_read(file, LENGTHS.size))
    _require_small(*lengths)
    text, blob = (_read(file, length) for length in lengths)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message could not be read: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("a message must be a JSON object")
    return fields, blob


def _require_small(text_length: int, blob_length: int) -> None:
    if text_length > LARGEST_OBJECT or text_length + blob_length > LARGEST:
        raise MessageError(f"a message of {text_length} + {blob_length} bytes is larger than {LARGEST}")


def _read(file: IO[bytes], n_bytes: int) -> bytes:
    data = file.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError
    return data


def printable(text: str, most: int = MOST_TEXT) -> str:
    """The first of what a student wrote, or a student's process said, without control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text[:most])
