"""How the properties compare: to the rounding of a dtype, example by example, and before with after."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from properties.strategies import sigma_at

Numbers = Tensor | float | Sequence[float]
ROUNDING = {torch.float32: 2e-5, torch.float64: 1e-9, torch.bfloat16: 5e-2}


def assert_near(value: Numbers, expected: Numbers, dtype: torch.dtype = torch.float64) -> None:
    """Equal up to the rounding of the coarsest dtype at hand, measured by the largest number there is.

    Args:
        value, expected: tensors, or plain numbers, which count as float64.
        dtype: of what they were computed from, where that is coarser.
    """
    value, expected = (v if isinstance(v, Tensor) else torch.tensor(v, dtype=torch.float64) for v in (value, expected))
    assert value.shape == expected.shape
    tolerance = max(ROUNDING.get(d, 0.0) for d in (value.dtype, expected.dtype, dtype))
    value = value.detach().double()
    expected = expected.detach().double()
    size = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance * max(size, 1e-3))


def assert_like(value: Tensor, x: Tensor) -> None:
    """Of x's shape, dtype and device, and finite."""
    assert (value.shape, value.dtype, value.device) == (x.shape, x.dtype, x.device)
    assert bool(torch.isfinite(value).all())


def assert_one_by_one(function: Callable, x: Tensor, sigma: float | Tensor) -> Tensor:
    """A batch's result is that of its examples one at a time, in any order; return it."""
    together = function(x, sigma)
    alone = [function(x[i : i + 1], sigma_at(sigma, slice(i, i + 1))) for i in range(len(x))]
    assert_near(torch.cat(alone), together)
    order = torch.arange(len(x)).flip(0)
    assert_near(function(x[order], sigma_at(sigma, order)), together[order])
    return together


@contextlib.contextmanager
def untouched(*tensors: Tensor) -> Iterator[None]:
    """Tensors, and torch's global generator, are as before."""
    copies = [tensor.clone() for tensor in tensors]
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)
    for tensor, copy in zip(tensors, copies, strict=True):
        assert torch.equal(tensor, copy)
