"""The score matching objectives: one example at a time, in any shape, and the laws that tie them together."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import DTYPES, SCALES, SEEDS, batches, ladders, normal, scores, seeded, sigmas_of, wide
from sbgm.checked import widened


@st.composite
def problems(draw, dtypes=DTYPES, max_size=4):
    """A score, a batch and its noise level."""
    x = draw(batches(dtypes=dtypes, max_size=max_size))
    return draw(scores(tuple(x.shape[1:]))), x, draw(sigmas_of(x))


FLOAT64 = st.just(torch.float64)
LOSSES = {
    "exact": lambda score, x, sigma, seed, **options: sbgm.score_matching_loss(score, x, sigma, **options),
    "denoising": lambda score, x, sigma, seed, **options: sbgm.denoising_score_matching_loss(
        score, x, sigma, generator=seeded(seed), **options
    ),
    "sliced": lambda score, x, sigma, seed, **options: sbgm.sliced_score_matching_loss(
        score, x, sigma, generator=seeded(seed), **options
    ),
    "forward": lambda score, x, sigma, seed, **options: sbgm.sliced_score_matching_loss(
        score, x, sigma, generator=seeded(seed), autodiff="forward", **options
    ),
    "ladder": lambda score, x, sigma, seed, **options: sbgm.ncsn_loss(
        score, x, [3.0, 1.0, 0.2], generator=seeded(seed), **options
    ),
}


@given(st.sampled_from(sorted(LOSSES)), problems(), SEEDS)
def test_a_loss_is_one_number_an_example_in_float32_at_least_or_their_mean(name, problem, seed):
    score, x, sigma = problem
    with untouched(x):
        each = LOSSES[name](score, x, sigma, seed, reduction="none")
        mean = LOSSES[name](score, x, sigma, seed)
    assert_like(each, widened(x).flatten(1)[:, 0])
    assert mean.shape == ()
    assert_near(mean, each.mean())


@given(problems(dtypes=st.sampled_from([torch.float32, torch.float64]), max_size=3))
def test_exact_score_matching_takes_one_example_at_a_time(problem):
    score, x, sigma = problem
    assert_one_by_one(lambda x, sigma: sbgm.score_matching_loss(score, x, sigma, reduction="none"), x, sigma)


@given(batches(dtypes=FLOAT64), SEEDS)
def test_a_linear_score_has_its_trace_and_half_its_squared_norm_for_a_loss(x, seed):
    dim = x[0].numel()
    matrix = normal(seed, dim, dim)

    def score(x, sigma):
        return (x.flatten(1) @ matrix.T).reshape(x.shape)

    expected = matrix.trace() + 0.5 * score(x, 0.0).flatten(1).square().sum(dim=1)
    assert_near(sbgm.score_matching_loss(score, x, reduction="none"), expected)


@given(batches(dtypes=FLOAT64), st.integers(1, 3), st.sampled_from(["reverse", "forward"]), SEEDS)
def test_slices_along_the_axes_signs_see_the_whole_trace_of_a_diagonal_score(x, n, autodiff, seed):
    """vᵀ diag(a) v = Σ a for v in {−1, 1}^D, so that the sliced loss is the exact one."""
    slopes = normal(seed, *x.shape[1:])
    options = {"n_projections": n, "projection": "rademacher", "autodiff": autodiff, "reduction": "none"}
    sliced = sbgm.sliced_score_matching_loss(lambda x, sigma: slopes * x, x, generator=seeded(seed), **options)
    assert_near(sliced, sbgm.score_matching_loss(lambda x, sigma: slopes * x, x, reduction="none"))


@given(batches(dtypes=FLOAT64), st.data(), SEEDS)
def test_the_target_is_minus_the_noise_over_sigma_squared(x, data, seed):
    """−(x̃ − x)/σ²: a score that knows x has no loss, and zero has half the target's squared norm."""
    sigma = data.draw(sigmas_of(x))
    options = {"generator": seeded(seed), "reduction": "none"}
    known = sbgm.denoising_score_matching_loss(lambda y, s: (x - y) / wide(s, y) ** 2, x, sigma, **options)
    options["generator"] = seeded(seed)
    zero = sbgm.denoising_score_matching_loss(lambda y, s: torch.zeros_like(y), x, sigma, **options)
    noise = sbgm.perturb(torch.zeros_like(x), sigma, generator=seeded(seed))
    assert float((known / zero).max()) < 1e-9
    assert_near(zero, 0.5 * (noise / wide(sigma, x) ** 2).flatten(1).square().sum(dim=1))


@given(problems(dtypes=FLOAT64), SCALES, SEEDS)
def test_the_denoising_loss_of_data_c_times_as_large_is_that_over_c_squared(problem, c, seed):
    score, x, sigma = problem
    loss = LOSSES["denoising"](score, x, sigma, seed, reduction="none")
    scaled = LOSSES["denoising"](lambda x, sigma: score(x / c, sigma / c) / c, c * x, c * sigma, seed, reduction="none")
    assert_near(scaled, loss / c**2)


@given(batches(dtypes=FLOAT64), ladders(), st.data(), SEEDS)
def test_a_level_of_the_ladder_is_sigma_squared_times_its_denoising_loss(x, sigmas, data, seed):
    score = data.draw(scores(tuple(x.shape[1:])))
    levels = torch.randint(len(sigmas), (len(x),), generator=seeded(seed))
    sigma = torch.tensor([float(s) for s in sigmas], dtype=torch.float64)[levels]
    options = {"levels": levels, "reduction": "none"}
    loss = sbgm.ncsn_loss(score, x, sigmas, generator=seeded(seed), **options)
    assert_near(loss, sigma**2 * LOSSES["denoising"](score, x, sigma, seed, reduction="none"))
    doubled = sbgm.ncsn_loss(score, x, sigmas, generator=seeded(seed), weighting=lambda s: 2 * s**2, **options)
    assert_near(doubled, 2 * loss)
