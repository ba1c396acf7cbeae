"""Messages between the grader and a student's process: JSON and bytes, never code or pickles.

A message is two lengths (8 bytes each, little endian), a JSON object, and bytes, which hold a notebook or tensors. Each
side writes and reads within limits of time and size.
"""

from __future__ import annotations

import json
import math
import os
import select
import struct
import time
from collections.abc import Mapping

__all__ = ["LENGTHS", "MessageError", "printable", "receive", "send"]

LARGEST = 64 * 2**20  # bytes of one message
LARGEST_OBJECT = 8 * 2**20  # bytes of its JSON
MOST_TEXT = 2_000  # characters kept of what a student's process says
LENGTHS = struct.Struct("<QQ")


class MessageError(ValueError):
    """Something received is no message of this protocol, or something to send is too large for one."""


def send(descriptor: int, fields: Mapping[str, object], blob: bytes = b"", deadline: float = math.inf) -> None:
    """Write one message to a file descriptor, a non-blocking one where there is a deadline (of `time.monotonic`).

    Raises:
        BrokenPipeError: the other side is gone.
        TimeoutError: the deadline passed before all of it was taken.
        MessageError: it is too large; nothing was written.
    """
    text = json.dumps(fields).encode()
    _require_small(len(text), len(blob))
    data = memoryview(LENGTHS.pack(len(text), len(blob)) + text + blob)
    while data:
        _wait(descriptor, deadline, writing=True)
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int, deadline: float = math.inf) -> tuple[dict[str, object], bytes]:
    """Read one message from a file descriptor.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: the deadline (of `time.monotonic`) passed before the message was whole.
        MessageError: it is none.
    """
    lengths = LENGTHS.unpack(_read(descriptor, LENGTHS.size, deadline))
    _require_small(*lengths)
    text, blob = (_read(descriptor, length, deadline) for length in lengths)
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


def _read(descriptor: int, n_bytes: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < n_bytes:
        _wait(descriptor, deadline, writing=False)
        piece = os.read(descriptor, min(n_bytes - len(data), 2**20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _wait(descriptor: int, deadline: float, *, writing: bool) -> None:
    """Wait until the descriptor can be written to, or read."""
    seconds = None if deadline == math.inf else max(deadline - time.monotonic(), 0)
    if not any(select.select([] if writing else [descriptor], [descriptor] if writing else [], [], seconds)):
        raise TimeoutError


def printable(text: str, most: int = MOST_TEXT) -> str:
    """The first of what a student wrote, or a student's process said, without control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text[:most])
