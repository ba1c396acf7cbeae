"""Messages between the grader and a student's process: JSON and bytes. The grader reads neither code nor pickles.

A message is a JSON object, and bytes, which hold a notebook or tensors. How long a message may take is the sandbox's
affair: it ends a process that is late, and the pipe with it.
"""

import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

LARGEST = 64 * 2**20  # bytes of one message
LARGEST_OBJECT = 8 * 2**20  # bytes of its JSON
MOST_TEXT = 2_000  # characters kept of what a student's process says


class MessageError(ValueError):
    """Something received is no message of this protocol, or something to send is too large for one."""


def send(sink: Connection, fields: Mapping[str, object], blob: bytes = b"") -> None:
    """Write one message.

    Raises:
        BrokenPipeError: the other side is gone.
        MessageError: it is too large; nothing was written.
    """
    text = json.dumps(fields).encode()
    if len(text) > LARGEST_OBJECT or len(text) + len(blob) > LARGEST:
        raise MessageError(f"a message of {len(text)} + {len(blob)} bytes is larger than {LARGEST}")
    sink.send_bytes(text)
    sink.send_bytes(blob)


def receive(source: Connection) -> tuple[dict[str, Any], bytes]:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
        MessageError: it is none, or too large.
    """
    try:
        text, blob = source.recv_bytes(LARGEST_OBJECT), source.recv_bytes(LARGEST)
        fields = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise MessageError(f"a message could not be read: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("a message must be a JSON object")
    return fields, blob


def printable(text: str, most: int = MOST_TEXT) -> str:
    """The first of what a student wrote, or a student's process said, without control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text[:most])
