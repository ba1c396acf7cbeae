"""The ladder of noise levels, the perturbation of data, and generators derived from a seed."""

from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, untouched
from properties.strategies import DTYPES, SEEDS, batches, seeded, sigmas_of, wide
from sbgm import derived_generator, perturb


def test_streams_of_neighbouring_keys_are_uncorrelated():
    x = torch.stack([torch.randn(10_000, generator=derived_generator(0, step, 3)) for step in range(20)])
    correlations = torch.corrcoef(x)[~torch.eye(20, dtype=torch.bool)]
    assert float(correlations.abs().max()) < 5 / 10_000**0.5


@pytest.mark.parametrize("ends", [(1e300, 1.0), (1.0, 1e-300), (1.0, 1 - 1e-9)])
def test_a_ladder_that_float32_cannot_hold_is_refused(ends):
    """Its levels would be infinite, zero, or equal."""
    with pytest.raises(ValueError, match=r"sigma_max = .* and sigma_min = .* float32 tells 5 levels apart"):
        sbgm.geometric_sigmas(*ends, 5)


@pytest.mark.parametrize("sigma_min", [2.0, 3.0])
def test_a_ladder_that_does_not_descend_is_named_as_that(sigma_min):
    with pytest.raises(ValueError, match=f"sigma_min must be smaller than sigma_max = 2.0, got {sigma_min}"):
        sbgm.geometric_sigmas(2.0, sigma_min, 5)


# --- laws of any noise -----------------------------------------------------------------------------------------------

ENDS = st.tuples(st.floats(0.001, 100.0), st.floats(1.5, 1_000.0)).map(lambda drawn: (drawn[0] * drawn[1], drawn[0]))
LENGTHS = st.integers(2, 40)


@given(batches(dtypes=DTYPES), st.data(), SEEDS)
def test_perturbed_data_are_x_plus_sigma_z_with_z_the_seeds_own(x, data, seed):
    sigma = data.draw(sigmas_of(x))
    z = torch.randn(x.shape, generator=seeded(seed), dtype=x.dtype)
    with untouched(x):
        assert torch.equal(sbgm.randn_like(x, seeded(seed)), z)
        noisy, copy = (perturb(x, level, generator=seeded(seed)) for level in (sigma, 0.0))
    assert_like(noisy, x)
    assert_near(noisy, x + wide(sigma, x) * z)
    assert torch.equal(copy, x)
    assert copy.data_ptr() != x.data_ptr()


@given(ENDS, LENGTHS)
def test_a_geometric_ladder_descends_in_equal_ratios_between_its_ends(ends, n):
    sigmas = sbgm.geometric_sigmas(*ends, n)
    assert (sigmas.shape, sigmas.dtype) == ((n,), torch.float32)
    assert torch.equal(sigmas[[0, -1]], torch.tensor(ends))
    ratio = (ends[0] / ends[1]) ** (1 / (n - 1))
    assert [a / b for a, b in pairwise(sigmas.tolist())] == pytest.approx([ratio] * (n - 1), rel=1e-5)


@given(SEEDS, st.lists(st.integers(0, 2**31), max_size=3), st.integers(0, 2**31))
def test_a_derived_generator_depends_on_its_numbers_alone(seed, keys, key):
    assume(key not in keys)
    with untouched():
        draw = torch.rand(4, generator=sbgm.derived_generator(seed, *keys))
        assert torch.equal(draw, torch.rand(4, generator=sbgm.derived_generator(seed, *keys)))
        for others in ((seed + 1, *keys), (seed, *keys, key), (seed, key, *keys[1:])):
            assert not torch.equal(draw, torch.rand(4, generator=sbgm.derived_generator(*others)))
