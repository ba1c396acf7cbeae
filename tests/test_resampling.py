"""Upsampling and pooling by matrices: PyTorch's own are the same functions."""

import pytest
import torch
from torch.nn import functional

from sbgm.refinenet import pooled, upsampled


def agree(size, ours, theirs):
    """Whether two functions of a map of this size have the same values and gradients."""
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    values = [function(x) for function in (ours, theirs)]
    torch.testing.assert_close(*values)
    weights = torch.randn(values[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad((value * weights).sum(), x)[0] for value in values))


@pytest.mark.parametrize(
    ("size", "target"), [((7, 7), (14, 14)), ((5, 3), (9, 11)), ((1, 2), (2, 4)), ((4, 4), (4, 4))]
)
def test_upsampling_is_bilinear_with_aligned_corners(size, target):
    agree(
        size,
        lambda x: upsampled(x, target),
        lambda x: functional.interpolate(x, size=target, mode="bilinear", align_corners=True),
    )


@pytest.mark.parametrize("width", [3, 5])
@pytest.mark.parametrize("size", [(14, 14), (7, 9), (2, 4)])
def test_pooling_is_a_mean_with_zeros_beyond_the_border(size, width):
    agree(
        size,
        lambda x: pooled(x, width),
        lambda x: functional.avg_pool2d(x, width, stride=1, padding=width // 2),
    )


def test_pooling_in_bfloat16_rounds_three_times_and_without_bias():
    x = (torch.rand(4, 8, 28, 28, generator=torch.Generator().manual_seed(0)) + 1).bfloat16()
    error = pooled(x).float() / pooled(x.float()) - 1
    assert error.abs().max() < 3 * 2**-8
    assert error.mean().abs() < 2**-12
