"""Checks of arguments, made before work starts.

Every message names the argument, says what it must be, and shows what it was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn


def check_batch(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a non-empty, finite, floating-point batch (B, *shape); raise otherwise."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape (B, *shape), got {type(x).__name__}")
    check_floating(x, name)
    if x.ndim < 2:
        raise ValueError(f"{name} must be a batch of shape (B, *shape), got shape {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"{name} must hold at least one example and one dimension, got shape {tuple(x.shape)}")
    if not math.isfinite(float(x.detach().abs().max())):  # NaN wins every max; several times faster than torch.isfinite
        raise ValueError(f"{name} must be finite, but it holds NaN or infinity")
    return x


def check_floating(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a floating-point tensor, of any shape and with any values; raise otherwise."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(
            f"{name} must hold floating-point numbers, got {x.dtype}; turn integer images into floats in [0, 1] first"
        )
    return x


def check_finite(values: Tensor, name: str) -> Tensor:
    """Return `values` if it is a non-empty tensor of finite real numbers, of any shape; raise otherwise."""
    if not isinstance(values, Tensor) or values.is_complex():
        found = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name} must be a torch.Tensor of real numbers, got {found}")
    if values.numel() == 0:
        raise ValueError(f"{name} must hold at least one number, got shape {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} must be finite, but it holds NaN or infinity")
    return values


def check_sigma(sigma: float | Tensor, x: Tensor, *, positive: bool = False) -> float | Tensor:
    """Return σ in a form that broadcasts against x: a float, or a tensor of shape (B, 1, …, 1)."""
    if isinstance(sigma, Tensor) and sigma.ndim > 0:
        if sigma.shape != x.shape[:1]:
            raise ValueError(
                f"sigma must be a float or a tensor of shape ({x.shape[0]},), one noise level an example, "
                f"got shape {tuple(sigma.shape)}"
            )
        if sigma.device != x.device:
            raise ValueError(f"sigma must be on the device of x, {x.device}, got {sigma.device}")
        low = float(sigma.min())
        if not bool(torch.isfinite(sigma).all()) or low < 0 or (positive and low == 0):
            raise ValueError(f"sigma must be finite and {'positive' if positive else 'not negative'}, got {sigma}")
        return sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    value = check_number(sigma, "sigma")
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"sigma must be finite and {'positive' if positive else 'not negative'}, got {value}")
    return value


def check_sigmas(sigmas: Tensor | Sequence[float]) -> list[float]:
    """Return the noise levels σ_1 > … > σ_L > 0 as floats; raise if they are not such a ladder."""
    values = sigmas.tolist() if isinstance(sigmas, Tensor) else sigmas
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise TypeError(f"sigmas must be a sequence of noise levels (L,), got {sigmas!r}")
    levels = [check_number(s, "sigmas") for s in values]
    if not levels:
        raise ValueError("sigmas must hold at least one noise level, got none")
    if not all(math.isfinite(s) and s > 0 for s in levels):
        raise ValueError(f"sigmas must be finite and positive, got {levels}")
    if any(a <= b for a, b in itertools.pairwise(levels)):
        raise ValueError(f"sigmas must descend strictly, from σ_1 (largest) to σ_L (smallest), got {levels}")
    return levels


def check_number(value: float, name: str) -> float:
    """Return `value` as a float, be it NaN or infinite; raise if it is no number."""
    try:
        if not isinstance(value, str | bytes | bool):  # float() takes these too
            return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise TypeError(f"{name} must be a number, got {value!r}")


def check_positive(value: float, name: str) -> float:
    """Return `value` as a finite float > 0; raise otherwise."""
    value = check_number(value, name)
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be finite and positive, got {value}")
    return value


def check_at_least(value: float, name: str, least: float) -> float:
    """Return `value` as a finite float ≥ `least`; raise otherwise."""
    value = check_number(value, name)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if value < least:
        raise ValueError(f"{name} must {_bound(least)}, got {value}")
    return value


def check_inside(value: float, name: str, low: float = 0.0, high: float = 1.0) -> float:
    """Return `value` as a float between `low` and `high`, which it must not reach; raise otherwise."""
    value = check_number(value, name)
    if not low < value < high:
        raise ValueError(f"{name} must be in ({low:g}, {high:.4g}), got {value:g}")
    return value


def check_count(value: int, name: str, *, least: int = 1) -> int:
    """Return `value` if it is a whole number ≥ `least`; raise otherwise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must {_bound(least)}, got {value}")
    return value


def check_shape(shape: Sequence[int], name: str = "shape") -> tuple[int, ...]:
    """Return `shape` as a tuple if it is a sequence of one or more whole numbers ≥ 1; raise otherwise."""
    if not isinstance(shape, Sequence) or not shape:
        raise TypeError(f"{name} must be a sequence of one or more whole numbers, got {shape!r}")
    return tuple(check_count(n, name) for n in shape)


def check_callable(value: Callable, name: str, arguments: str = "x, sigma") -> Callable:
    """Return `value` if it can be called; raise otherwise."""
    if not callable(value):
        raise TypeError(f"{name} must be a callable {name}({arguments}), got {type(value).__name__}")
    return value


def check_network(network: nn.Module) -> nn.Module:
    """Return `network` if it is a torch.nn.Module; raise otherwise."""
    if not isinstance(network, nn.Module):
        raise TypeError(f"network must be a torch.nn.Module, got {type(network).__name__}")
    return network


def check_choice(value: str, name: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`; raise otherwise."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_generator(generator: torch.Generator) -> torch.Generator:
    """Return `generator` if it is a torch.Generator; raise otherwise."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, such as torch.Generator().manual_seed(0), "
            f"got {type(generator).__name__}"
        )
    return generator


def check_score(value: Tensor, x: Tensor) -> Tensor:
    """Return what a score gave for `x` if it has x's shape and device; raise otherwise."""
    if not isinstance(value, Tensor):
        raise TypeError(f"score must return a torch.Tensor, got {type(value).__name__}")
    if value.shape != x.shape:
        raise ValueError(f"score must return x's shape, {tuple(x.shape)}, got {tuple(value.shape)}")
    if value.device != x.device:
        raise ValueError(f"score must return a tensor on x's device, {x.device}, got {value.device}")
    return value


def _bound(least: float) -> str:
    return "not be negative" if least == 0 else f"be at least {least:g}"
