"""Hashes of tensors, which name what a measurement was made from."""

from __future__ import annotations

import hashlib

from torch import Tensor


def content_hash(*tensors: Tensor) -> str:
    """The sha256 of tensors, their types and shapes included, in hexadecimal: the same wherever they are kept."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
