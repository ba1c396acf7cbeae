"""Masks: their sizes, places and shares."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import untouched
from properties.strategies import IMAGE_SHAPES, SEEDS, seeded
from sbgm.images.masks import KINDS, centre_box, make_mask, random_mask, right_half

FRACTIONS = st.floats(0.05, 0.95)


@given(st.sampled_from(KINDS), IMAGE_SHAPES, SEEDS)
def test_a_mask_is_boolean_and_the_same_in_all_channels(kind, shape, seed):
    with untouched():
        mask = make_mask(kind, shape, generator=seeded(seed))
    assert (mask.dtype, mask.shape) == (torch.bool, (1, *shape[-2:]))
    made = {"right-half": right_half, "centre-box": centre_box}.get(kind)
    assert torch.equal(mask, made(shape) if made else random_mask(shape, generator=seeded(seed)))
    assert torch.equal(mask, make_mask(kind, (4, *shape), generator=seeded(seed)))


@given(IMAGE_SHAPES)
def test_the_right_half_mirrored_knows_what_was_unknown_but_a_middle_column(shape):
    mask = right_half(shape)
    assert bool(mask[..., : shape[-1] // 2].all())  # "left 16 columns known" of 32
    both = mask.int() + mask.flip(-1).int()
    assert bool((both[..., : shape[-1] // 2] == 1).all())
    assert int((both == 0).sum()) == (shape[-1] % 2) * shape[-2]


@given(IMAGE_SHAPES, FRACTIONS)
def test_a_centre_box_has_its_size_and_lies_in_the_middle(shape, fraction):
    unknown = ~centre_box(shape, fraction)
    rows, columns = unknown[0].any(dim=1), unknown[0].any(dim=0)
    size = [round(fraction * n) for n in shape[-2:]]
    assert [int(rows.sum()), int(columns.sum())] == (size if min(size) > 0 else [0, 0])
    assert int(unknown.sum()) == int(rows.sum()) * int(columns.sum())
    for line in (rows, columns):
        before, after = (int(side.int().cumprod(0).sum()) for side in (~line, ~line.flip(0)))
        assert after - before in (0, 1)


def test_a_random_mask_hides_each_pixel_equally_often():
    masks = torch.stack([random_mask((28, 28), 0.3, generator=seeded(i)) for i in range(400)])
    share = (~masks).double().mean(dim=0)  # of 400: s.e. .023, and 784 pixels
    assert float((share - 0.3).abs().max()) < 5 * 0.023
