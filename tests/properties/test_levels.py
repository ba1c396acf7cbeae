"""What a score does level by level."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near, untouched
from properties.strategies import SEEDS, batches, ladders, scores, seeded, wide
from sbgm.measure import LevelValues, level_losses, optimality_identity, score_norms

MEASURES = {"losses": level_losses, "norms": score_norms, "identity": optimality_identity}
DATA = batches(dtypes=st.just(torch.float64), min_size=2)


def zero(x, sigma):
    return torch.zeros_like(x)


@given(st.sampled_from(sorted(MEASURES)), DATA, ladders(), st.integers(1, 3), st.data(), SEEDS)
def test_there_is_one_mean_a_level_with_its_error_and_the_seeds_own(name, x, sigmas, n_noise, data, seed):
    score = data.draw(scores(tuple(x.shape[1:])))
    with untouched(x):
        found, again = (MEASURES[name](score, x, sigmas, n_noise=n_noise, generator=seeded(seed)) for _ in range(2))
    assert isinstance(found, LevelValues)
    assert found.values.shape == found.se.shape == (len(sigmas),)
    assert found.values.dtype == torch.float64
    assert found.n == len(x)
    assert bool((found.values >= 0).all() and (found.se >= 0).all())
    assert torch.equal(found.values, again.values)


@given(DATA, ladders(), st.floats(-3, 3), SEEDS)
def test_the_identity_is_the_squared_norm_and_twice_the_loss(x, sigmas, k, seed):
    """For a score of one length at each level, k/σ in every coordinate, whose norm is then exact."""

    def score(x, sigma):
        return torch.full_like(x, k) / wide(sigma, x)

    losses, norms, identity = (measure(score, x, sigmas, generator=seeded(seed)) for measure in MEASURES.values())
    squares = (torch.tensor([float(s) for s in sigmas]) * norms.values) ** 2
    assert_near(identity.values, squares + 2 * losses.values, torch.float32)
