"""What a score does level by level."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near, untouched
from properties.coverage import covers
from properties.strategies import SCALES, SEEDS, batches, ladders, scores, seeded, wide
from sbgm.measure import LevelValues, level_losses, optimality_identity, score_norms

MEASURES = {"losses": level_losses, "norms": score_norms, "identity": optimality_identity}
DATA = batches(dtypes=st.just(torch.float64), min_size=2)


def zero(x, sigma):
    return torch.zeros_like(x)


@covers(level_losses, score_norms, optimality_identity, LevelValues)
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


@covers(level_losses, score_norms, optimality_identity)
@given(DATA, ladders(), SCALES, st.data(), SEEDS)
def test_data_and_ladder_c_times_as_large_change_the_norms_alone(x, sigmas, c, data, seed):
    score = data.draw(scores(tuple(x.shape[1:])))
    scaled = [c * s for s in torch.as_tensor(sigmas).tolist()]
    for name, power in (("losses", 0), ("norms", -1), ("identity", 0)):
        before = MEASURES[name](score, x, sigmas, generator=seeded(seed))
        after = MEASURES[name](lambda x, s: score(x / c, s / c) / c, c * x, scaled, generator=seeded(seed))
        assert_near(after.values, c**power * before.values, torch.float32)


@covers(level_losses, score_norms, optimality_identity)
@given(DATA, ladders(), SEEDS)
def test_a_score_of_zero_has_twice_its_loss_for_the_identity(x, sigmas, seed):
    losses, norms, identity = (measure(zero, x, sigmas, generator=seeded(seed)) for measure in MEASURES.values())
    assert_near(identity.values, 2 * losses.values)
    assert float(norms.values.max()) == 0


@covers(level_losses, score_norms, optimality_identity)
@given(DATA, ladders(), st.floats(-3, 3), SEEDS)
def test_the_identity_is_the_squared_norm_and_twice_the_loss(x, sigmas, k, seed):
    """For a score of one length at each level, k/σ in every coordinate, whose norm is then exact."""

    def score(x, sigma):
        return torch.full_like(x, k) / wide(sigma, x)

    losses, norms, identity = (measure(score, x, sigmas, generator=seeded(seed)) for measure in MEASURES.values())
    squares = (torch.tensor([float(s) for s in sigmas]) * norms.values) ** 2
    assert_near(identity.values, squares + 2 * losses.values, torch.float32)
