"""Masks, and inpainting behind any of them."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, untouched
from properties.strategies import DTYPES, IMAGE_SHAPES, SEEDS, batches, ladders, masks_of, scores, seeded
from sbgm.masks import KINDS, centre_box, make_mask, random_mask, right_half

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


@given(IMAGE_SHAPES, FRACTIONS, SEEDS)
def test_a_random_mask_hides_the_share_asked_for(shape, fraction, seed):
    mask = random_mask(shape, fraction, generator=seeded(seed))
    assert int((~mask).sum()) == round(fraction * shape[-2] * shape[-1])


@given(batches(dtypes=DTYPES, max_size=3), ladders(1, 3), st.booleans(), st.booleans(), st.data(), SEEDS)
def test_the_known_pixels_are_the_levels_y_bit_for_bit(x, sigmas, one_image, denoise_last, data, seed):
    """y = image + σ_i z is drawn before a level's steps: at its first and its last step the known pixels are equal."""
    score, mask = data.draw(scores(tuple(x.shape[1:]))), data.draw(masks_of(x))
    image = x[0] if one_image else x.flip(0)
    with untouched(x, image, mask):
        states = list(
            sbgm.inpaint(
                score,
                x,
                sigmas,
                image=image,
                mask=mask,
                step_size=0.1 * float(sigmas[-1]) ** 2,
                n_steps=2,
                denoise_last=denoise_last,
                generator=seeded(seed),
            )
        )
    known = mask.expand_as(x)
    assert len(states) == 2 * len(sigmas) + denoise_last
    for state in states:
        assert_like(state.x, x)
        first = next(other for other in states if other.level == state.level)
        assert torch.equal(state.x[known], first.x[known])
    z = sbgm.randn_like(x, seeded(seed))
    assert_near(states[0].x[known], (image.expand_as(x) + float(sigmas[0]) * z)[known])


@given(batches(max_size=3), ladders(1, 3), st.data(), SEEDS)
def test_what_the_image_holds_where_nothing_is_known_counts_for_nothing(x, sigmas, data, seed):
    score, mask = data.draw(scores(tuple(x.shape[1:]))), data.draw(masks_of(x))
    options = {"mask": mask, "step_size": 0.1 * float(sigmas[-1]) ** 2, "n_steps": 2}
    ends = [
        sbgm.final(sbgm.inpaint(score, x, sigmas, image=image, generator=seeded(seed), **options))
        for image in (x, torch.where(mask, x, torch.full_like(x, 7.0)))
    ]
    assert torch.equal(*ends)
