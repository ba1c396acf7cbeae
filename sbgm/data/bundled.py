"""Images that scikit-learn carries: handwritten digits, and patches of its two photographs."""

from __future__ import annotations

import torch
from torch import Tensor


def digits(split: str) -> Tensor:
    """(N, 1, 8, 8) handwritten digits; the last fifth, by other writers, is the test split."""
    from sklearn.datasets import load_digits

    return _part(torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16, split)


def digit_labels(split: str) -> Tensor:
    """(N,) the number each of `digits(split)` shows."""
    from sklearn.datasets import load_digits

    return _part(torch.tensor(load_digits().target, dtype=torch.int64), split)


def _part(rows: Tensor, split: str) -> Tensor:
    n_train = len(rows) * 4 // 5
    return rows[:n_train] if split == "train" else rows[n_train:]


def photo_patches(split: str, size: int = 32, stride: int = 8) -> Tensor:
    """(N, 3, size, size) patches, `stride` apart, of two photographs; their right quarters are the test split."""
    from sklearn.datasets import load_sample_images

    patches = []
    for photo in load_sample_images().images:
        image = torch.tensor(photo, dtype=torch.float32).permute(2, 0, 1) / 255
        border = image.shape[2] * 3 // 4
        part = image[:, :, :border] if split == "train" else image[:, :, border:]
        windows = part.unfold(1, size, stride).unfold(2, size, stride)  # (C, rows, columns, size, size)
        patches.append(windows.permute(1, 2, 0, 3, 4).flatten(0, 1))
    return torch.cat(patches)
