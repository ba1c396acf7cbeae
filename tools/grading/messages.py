"""Messages between the grader and a student's process: a JSON object each, and bytes, which hold a notebook or tensors.

The grader reads what comes from a student's process as data only: JSON, and tensors in the safetensors format. The
student's process loads the arguments of a call as torch loads weights, which makes only the classes named here.
"""

import io
import json
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import safetensors.torch
import torch

from sbgm.checks.calls import (
    KINDS_OF_NUMBER,
    Argument,
    Asked,
    Descent,
    LogProbOf,
    MixtureField,
    Reply,
    Seed,
    TanhField,
)

LARGEST = 64 * 2**20  # bytes of one message
LARGEST_OBJECT = 8 * 2**20  # bytes of its JSON
LARGEST_HEADER = 2**16  # bytes that may name tensors
MOST_TEXT = 2_000  # characters kept of what a student's process says


class MessageError(ValueError):
    """Something received is no message of this protocol, or something to send is too large for one."""


def send(sink: Connection, fields: Mapping[str, object], blob: bytes = b"") -> None:
    """Write one message; raise MessageError if it is too large, and write nothing then."""
    text = json.dumps(fields).encode()
    if len(text) > LARGEST_OBJECT or len(text) + len(blob) > LARGEST:
        raise MessageError(f"a message of {len(text)} + {len(blob)} bytes is larger than {LARGEST}")
    sink.send_bytes(text)
    sink.send_bytes(blob)


def receive(source: Connection) -> tuple[dict[str, Any], bytes]:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
        MessageError: what came is no message, or too large.
    """
    try:
        text = source.recv_bytes(LARGEST_OBJECT)
        blob = source.recv_bytes(LARGEST)
        fields = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise MessageError(f"a message could not be read: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("a message must be a JSON object")
    return fields, blob


def printable(text: str, most: int = MOST_TEXT) -> str:
    """The first `most` characters of a text that a student wrote, each control character replaced by �."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text[:most])


def encoded_arguments(arguments: Sequence[Argument]) -> bytes:
    """The arguments of a call, as the student's process loads them."""
    file = io.BytesIO()
    torch.save(list(arguments), file)
    return file.getvalue()


def decoded_arguments(blob: bytes) -> list[Argument]:
    """The arguments that `encoded_arguments` wrote: numbers, text, tensors, and objects of the classes named here."""
    torch.serialization.add_safe_globals([MixtureField, TanhField, LogProbOf, Seed, Asked, Descent])
    return torch.load(io.BytesIO(blob), weights_only=True)


def encoded_reply(reply: Reply) -> tuple[dict[str, Any], bytes]:
    """What of a reply JSON can hold, and the bytes of its tensors: first its values, then its gradients."""
    tensors = [*reply.values, *reply.gradients]
    named = {str(i): tensor.detach().cpu().clone().contiguous() for i, tensor in enumerate(tensors)}
    fields = {"problem": reply.problem[:MOST_TEXT], "attempted": reply.attempted, "n_values": len(reply.values)}
    return fields, safetensors.torch.save(named)


def as_reply(fields: Mapping[str, object], blob: bytes) -> Reply:
    """The reply that a student's process sent; raise MessageError where it has not the form of one."""
    problem = fields.get("problem")
    attempted = fields.get("attempted")
    n_values = fields.get("n_values")
    if not (type(problem) is str and type(attempted) is bool and type(n_values) is int):
        raise MessageError("a reply lacks a field, or has one of another type")
    if int.from_bytes(blob[:8], "little") > LARGEST_HEADER:
        raise MessageError(f"the names and shapes of tensors take more than {LARGEST_HEADER} bytes")
    try:
        named = safetensors.torch.load(blob)
        tensors = tuple(named[str(i)] for i in range(len(named)))
    except Exception as error:  # whatever another hand may have put there
        raise MessageError(f"tensors could not be read: {type(error).__name__}") from error
    if any(tensor.dtype not in KINDS_OF_NUMBER for tensor in tensors):
        raise MessageError("a reply holds tensors that are not plain real numbers")
    return Reply(tensors[:n_values], tensors[n_values:], printable(problem), attempted)
