"""Masks: their sizes, places and shares."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import untouched
from properties.strategies import IMAGE_SHAPES, SEEDS, seeded
from sbgm.images.masks import centre_box, random_mask, right_half

FRACTIONS = st.floats(0.05, 0.95)


@given(IMAGE_SHAPES, SEEDS)
def test_a_mask_is_boolean_and_the_same_in_all_channels(shape, seed):
    for make in (right_half, centre_box, lambda shape: random_mask(shape, generator=seeded(seed))):
        with untouched():
            mask = make(shape)
        assert (mask.dtype, mask.shape) == (torch.bool, (1, *shape[-2:]))
        assert torch.equal(mask, make((4, *shape)))


@given(IMAGE_SHAPES)
def test_the_right_half_mirrored_knows_what_was_unknown_but_a_middle_column(shape):
    height, width = shape[-2:]
    half = width // 2
    mask = right_half(shape)
    assert bool(mask[..., :half].all())  # "left 16 columns known" of 32
    both = mask.int() + mask.flip(-1).int()
    assert bool((both[..., :half] == 1).all())
    assert int((both == 0).sum()) == (width % 2) * height


@given(IMAGE_SHAPES, FRACTIONS)
def test_a_centre_box_has_its_size_and_lies_in_the_middle(shape, fraction):
    unknown = ~centre_box(shape, fraction)
    rows = unknown[0].any(dim=1)
    columns = unknown[0].any(dim=0)
    n_rows = int(rows.sum())
    n_columns = int(columns.sum())
    size = [round(fraction * n) for n in shape[-2:]]
    if min(size) > 0:
        assert [n_rows, n_columns] == size
    assert int(unknown.sum()) == n_rows * n_columns
    for line in (rows, columns):
        before = int((~line).int().cumprod(0).sum())
        after = int((~line).flip(0).int().cumprod(0).sum())
        assert after - before in (0, 1)


def test_a_random_mask_hides_each_pixel_equally_often():
    masks = torch.stack([random_mask((28, 28), 0.3, generator=seeded(i)) for i in range(400)])
    share = (~masks).double().mean(dim=0)  # of 400: s.e. .023, and 784 pixels
    assert float((share - 0.3).abs().max()) < 5 * 0.023
