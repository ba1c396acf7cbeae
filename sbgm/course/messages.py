"""Messages between the grader and a student's process: JSON and arrays, never code or pickles.

A message is two lengths (8 bytes each, little endian), a JSON object, and tensors in the safetensors format. What comes
from a student is read as data only; whatever is malformed, too large or of the wrong type raises MessageError.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sbgm.course.calls import Argument, LogProbOf, MixtureField, Reply, Seed, TanhField

__all__ = [
    "LENGTHS",
    "MessageError",
    "OutOfTimeError",
    "as_reply",
    "decoded_arguments",
    "printable",
    "receive",
    "send",
    "send_call",
    "send_reply",
]

LARGEST = 64 * 2**20  # bytes of one message
MOST_TEXT = 2_000  # characters kept of what a student's process says
LENGTHS = struct.Struct("<QQ")


class MessageError(ValueError):
    """Something received is no message of this protocol."""


class OutOfTimeError(TimeoutError):
    """No whole message came in time."""


def send(descriptor: int, fields: Mapping[str, object], tensors: Mapping[str, Tensor] | None = None) -> None:
    """Write one message to a file descriptor."""
    text = json.dumps(fields).encode()
    arrays = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in (tensors or {}).items()}
    blob = safetensors.torch.save(arrays)
    if len(text) + len(blob) > LARGEST:
        raise MessageError(f"a message of {len(text) + len(blob)} bytes is larger than {LARGEST}")
    data = memoryview(LENGTHS.pack(len(text), len(blob)) + text + blob)
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int, seconds: float = math.inf) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Read one message from a file descriptor.

    Raises:
        EOFError: the other side is gone.
        OutOfTimeError: `seconds` passed before the message was whole.
        MessageError: it is none.
    """
    deadline = time.monotonic() + seconds
    text_length, blob_length = LENGTHS.unpack(_read_bytes(descriptor, LENGTHS.size, deadline))
    if text_length + blob_length > LARGEST:
        raise MessageError(f"a message of {text_length + blob_length} bytes was announced, {LARGEST} are allowed")
    text, blob = _read_bytes(descriptor, text_length, deadline), _read_bytes(descriptor, blob_length, deadline)
    try:
        fields, tensors = json.loads(text), safetensors.torch.load(blob)
    except (ValueError, RecursionError, SafetensorError, KeyError) as error:
        raise MessageError(f"a message could not be read: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("a message must be a JSON object")
    return fields, tensors


def _read_bytes(descriptor: int, n_bytes: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < n_bytes:
        if deadline < math.inf:
            ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise OutOfTimeError
        piece = os.read(descriptor, min(n_bytes - len(data), 2**20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def send_call(descriptor: int, name: str, arguments: Sequence[Argument], with_gradients: bool) -> None:
    """Ask a student's process to call its function `name`."""
    encoded = [_encoded(argument) for argument in arguments]
    specs = [(kind, value) for kind, value, _ in encoded]
    tensors = {f"{i}.{key}": tensor for i, (_, _, own) in enumerate(encoded) for key, tensor in own.items()}
    send(descriptor, {"call": name, "arguments": specs, "gradients": with_gradients}, tensors)


def _encoded(argument: Argument) -> tuple[str, object, Mapping[str, Tensor]]:
    """Return the kind of an argument, what of it JSON can hold, and its tensors by name."""
    match argument:
        case Tensor():
            return "tensor", None, {"value": argument}
        case LogProbOf(field):
            return "log_prob", None, field.tensors
        case MixtureField() | TanhField():
            return argument.kind, None, argument.tensors
        case Seed(value):
            return "seed", value, {}
        case _:
            return "plain", argument, {}


_DECODERS = {
    "tensor": lambda value, tensors: tensors["value"],
    "log_prob": lambda value, tensors: LogProbOf(MixtureField(**tensors)),
    "mixture": lambda value, tensors: MixtureField(**tensors),
    "tanh": lambda value, tensors: TanhField(**tensors),
    "seed": lambda value, tensors: Seed(value),
    "plain": lambda value, tensors: value,
}


def decoded_arguments(fields: Mapping[str, object], tensors: Mapping[str, Tensor]) -> list[Argument]:
    """The arguments of a call, as the student's side builds them."""
    arrays = [{} for _ in fields["arguments"]]
    for key, tensor in tensors.items():
        position, name = key.split(".")
        arrays[int(position)][name] = tensor
    return [_DECODERS[kind](value, own) for own, (kind, value) in zip(arrays, fields["arguments"], strict=True)]


def send_reply(descriptor: int, reply: Reply) -> None:
    """Send what a call gave."""
    tensors = {f"value.{i}": tensor for i, tensor in enumerate(reply.values)}
    tensors |= {f"gradient.{i}": tensor for i, tensor in enumerate(reply.gradients)}
    fields = {
        "problem": reply.problem[:MOST_TEXT],
        "attempted": reply.attempted,
        "changed": list(reply.changed),
        "reseeded": reply.reseeded,
        "drew": reply.drew,
    }
    send(descriptor, fields, tensors)


def as_reply(fields: Mapping[str, object], tensors: Mapping[str, Tensor]) -> Reply:
    """Return the reply that a student's process sent; raise MessageError where it has not the form of a Reply."""
    problem, attempted, changed = fields.get("problem"), fields.get("attempted"), fields.get("changed")
    sound = isinstance(problem, str) and isinstance(attempted, bool) and isinstance(changed, list)
    if not sound or not all(isinstance(c, int) for c in changed):
        raise MessageError("a reply lacks a field, or has one of another type")
    if any(tensor.dtype.is_complex or tensor.layout != torch.strided for tensor in tensors.values()):
        raise MessageError("a reply holds tensors that are not plain real numbers")
    return Reply(
        _numbered("value", tensors),
        _numbered("gradient", tensors),
        printable(problem),
        attempted,
        tuple(changed[:16]),
        bool(fields.get("reseeded")),
        bool(fields.get("drew")),
    )


def _numbered(name: str, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    keys = itertools.takewhile(tensors.__contains__, (f"{name}.{i}" for i in itertools.count()))
    return tuple(tensors[key] for key in keys)


def printable(text: str) -> str:
    """The first of what a student's process says, without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text[:MOST_TEXT])
