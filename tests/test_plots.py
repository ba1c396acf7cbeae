"""Sheets of images are those of torchvision."""

import pytest
import torch
from torchvision.utils import make_grid

from sbgm import plots
from seeds import seeded


@pytest.mark.parametrize(("n", "n_channels", "n_columns"), [(1, 1, 8), (3, 1, 8), (5, 1, 3), (16, 3, 8)])
def test_a_sheet_is_torchvisions_grid(n, n_channels, n_columns):
    images = 1.4 * torch.rand(n, n_channels, 7, 5, generator=seeded()) - 0.2
    expected = make_grid(images.clamp(0, 1), nrow=n_columns, padding=1, pad_value=1.0)
    assert torch.equal(plots.image_sheet(images, n_columns), expected.permute(1, 2, 0))
