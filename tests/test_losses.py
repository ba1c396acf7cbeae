"""The score matching objectives: the formulas written out, closed forms for linear scores, and each other."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call

from counting import CountedOperations
from properties.comparing import assert_like, assert_near, untouched
from properties.strategies import BAD_SCORES, DTYPES, SEEDS, batches, ladders, normal, scores, seeded, sigmas_of, wide
from sbgm import (
    MLP,
    ConditionalMLP,
    denoising_score_matching_loss,
    geometric_sigmas,
    ncsn_loss,
    paper_mixture,
    randn_like,
    score_matching_loss,
    sliced_score_matching_loss,
)
from sbgm.guard import widened
from sbgm.measure import estimate

# torch's own warning, when forward-mode differentiation is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

FLOAT64 = st.just(torch.float64)


def seeded_loss(loss, *arguments, **fixed):
    """A loss whose generator is made from a seed."""
    return lambda score, x, sigma, seed, **options: loss(
        score, x, *(arguments or [sigma]), generator=seeded(seed), **fixed, **options
    )


LOSSES = {
    "exact": lambda score, x, sigma, seed, **options: score_matching_loss(score, x, sigma, **options),
    "denoising": seeded_loss(denoising_score_matching_loss),
    "sliced": seeded_loss(sliced_score_matching_loss),
    "forward": seeded_loss(sliced_score_matching_loss, autodiff="forward"),
    "ladder": seeded_loss(ncsn_loss, [3.0, 1.0, 0.2]),  # which has levels of its own
}
all_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@st.composite
def problems(draw, dtypes=DTYPES, max_size=4):
    """A score, a batch and its noise level."""
    x = draw(batches(dtypes=dtypes, max_size=max_size))
    return draw(scores(tuple(x.shape[1:]))), x, draw(sigmas_of(x))


def zero(x, sigma):
    return torch.zeros_like(x)


# --- exact and sliced score matching, Eq. 1 and 3 --------------------------------------------------------------------


@given(
    batches(dtypes=FLOAT64),
    st.sampled_from(["gaussian", "rademacher"]),
    st.sampled_from(["reverse", "forward"]),
    SEEDS,
)
def test_a_linear_scores_objectives_are_their_formulas(x, projection, autodiff, seed):
    """Of s(x) = A x + b: tr A + ½‖s‖², and vᵀAv + ½‖s‖²."""
    dim = x[0].numel()
    generator = seeded(seed)
    matrix = normal(seed, dim, dim)
    shift = normal(seed + 1, dim)

    def score(x, sigma):
        return (x.flatten(1) @ matrix.T + shift).reshape(x.shape)

    s = score(x, 0.0).flatten(1)
    norm = 0.5 * s.square().sum(dim=1)
    assert_near(score_matching_loss(score, x, reduction="none"), matrix.trace() + norm)
    v = randn_like(x, generator).flatten(1)
    v = v.sign() if projection == "rademacher" else v
    options = {"projection": projection, "autodiff": autodiff}
    sliced = sliced_score_matching_loss(score, x, generator=seeded(seed), reduction="none", **options)
    assert_near(sliced, (v @ matrix * v).sum(dim=1) + norm)


def test_each_dimension_adds_the_same_number_of_operations_to_the_exact_objective():
    """One backward pass, however many components the score has."""
    counts = []
    for dim in (10, 20, 30):
        network = MLP(dim, width=4, depth=1, generator=seeded())
        with CountedOperations() as operations:
            score_matching_loss(network, torch.zeros(1, dim)).backward()
        counts.append(operations.count)
    assert counts[2] - counts[1] == counts[1] - counts[0]


# --- denoising score matching, Eq. 2 and 5 ---------------------------------------------------------------------------


@given(problems(FLOAT64), SEEDS)
def test_the_denoising_objective_is_its_formula(problem, seed):
    """½‖s(x̃, σ) + (x̃ − x)/σ²‖² with x̃ = x + σz."""
    score, x, sigma = problem
    noise = wide(sigma, x) * randn_like(x, seeded(seed))
    error = score(x + noise, sigma) + noise / wide(sigma, x) ** 2
    found = denoising_score_matching_loss(score, x, sigma, generator=seeded(seed), reduction="none")
    assert_near(found, 0.5 * error.flatten(1).square().sum(dim=1))


def test_without_sigma_score_matching_is_that_of_the_data():
    score = paper_mixture().score
    x = normal(0, 4, 2)
    assert torch.equal(score_matching_loss(score, x), score_matching_loss(score, x, 0.0))
    sliced = sliced_score_matching_loss(score, x, generator=seeded())
    assert torch.equal(sliced, sliced_score_matching_loss(score, x, 0.0, generator=seeded()))


def test_denoising_target_survives_small_noise_on_large_data_in_float32():
    """(x̃ − x)/σ² formed from x̃ in float32 would be off by half at x = 1000, σ = 10⁻³."""
    x = torch.full((100, 3), 1000.0)
    loss = denoising_score_matching_loss(zero, x, 1e-3, generator=seeded(), reduction="none")
    torch.testing.assert_close(loss, 0.5 * (randn_like(x, seeded()) / 1e-3).square().sum(dim=1))


# --- the ladder, Eq. 6 -----------------------------------------------------------------------------------------------


@given(problems(FLOAT64), ladders(), SEEDS)
def test_a_level_of_the_ladder_is_sigma_squared_times_its_denoising_loss(problem, sigmas, seed):
    score, x, _ = problem
    generator = seeded(seed)
    levels = torch.randint(len(sigmas), (len(x),), generator=generator)  # drawn first, and the noise after them
    sigma = torch.tensor([float(s) for s in sigmas], dtype=torch.float64)[levels]
    denoising = denoising_score_matching_loss(score, x, sigma, generator=generator, reduction="none")
    for options, weights in (({}, sigma**2), ({"weighting": lambda s: s}, sigma)):
        loss = ncsn_loss(score, x, sigmas, generator=seeded(seed), reduction="none", **options)
        assert_near(loss, weights * denoising)


def test_ncsn_loss_draws_levels_uniformly_and_hands_their_sigmas_to_the_score():
    sigmas = geometric_sigmas(10.0, 1.0, 4)
    seen = []

    def score(x, sigma):
        seen.append(sigma)
        return torch.zeros_like(x)

    loss = ncsn_loss(score, torch.zeros(40_000, 5), sigmas, generator=seeded(), reduction="none")
    shares = torch.stack([(seen[0] == s).float().mean() for s in sigmas])
    assert float((shares - 0.25).abs().max()) < 4 * math.sqrt(0.25 * 0.75 / 40_000)
    mean = estimate(loss)  # λ = σ² makes the loss of s = 0 be ½‖z‖², D/2 in the mean, at every level
    assert mean.value == pytest.approx(5 / 2, abs=4 * mean.se)


def test_a_weighting_that_works_in_place_leaves_the_levels_alone():
    losses = [ncsn_loss(zero, torch.ones(9, 2), [3.0, 1.0], generator=seeded(), weighting=square)
              for square in (torch.square, lambda sigma: sigma.square_())]  # fmt: skip
    assert losses[0] == losses[1] == pytest.approx(float(losses[0]))


def test_weighting_must_return_one_weight_an_example():
    with pytest.raises(ValueError, match=r"weighting must return one weight an example, shape \(3,\), got \(3, 1\)"):
        ncsn_loss(zero, torch.ones(3, 2), [2.0, 1.0], generator=seeded(), weighting=lambda sigma: sigma[:, None])


# --- what holds for all ----------------------------------------------------------------------------------------------


@all_losses
@given(problems(), SEEDS)
def test_a_loss_is_one_number_an_example_in_float32_at_least_or_their_mean(loss, problem, seed):
    score, x, sigma = problem
    with untouched(x):
        each, mean = (loss(score, x, sigma, seed, reduction=reduction) for reduction in ("none", "mean"))
    assert_like(each, widened(x).flatten(1)[:, 0])
    assert_near(mean, each.mean())


@pytest.mark.filterwarnings("error:Converting a tensor with requires_grad=True")
@pytest.mark.parametrize("name", ["exact", "denoising", "sliced", "forward"])
def test_sigma_may_want_a_gradient_as_a_number_and_one_an_example(name):
    network = ConditionalMLP(dim=2, width=8, generator=seeded()).double()
    x = normal(0, 6, 2)

    def slope(shape):
        sigma = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(LOSSES[name](network, x, sigma, 1), sigma)[0].sum()

    torch.testing.assert_close(slope(()), slope((6,)))


@all_losses
def test_gradient_with_respect_to_the_parameters_is_the_finite_difference(loss):
    """Along one direction, which moves all parameters."""
    network = ConditionalMLP(dim=2, width=6, depth=2, generator=seeded()).double()
    x = normal(0, 8, 2)
    directions = {name: normal(3, *p.shape) for name, p in network.named_parameters()}

    def value(step):
        moved = {name: p + step * directions[name] for name, p in network.named_parameters()}
        return loss(lambda x, sigma: functional_call(network, moved, (x, sigma)), x, 0.5, 0)

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(step), step)
    difference = (value(1e-5) - value(-1e-5)).detach() / 2e-5
    torch.testing.assert_close(slope, difference, rtol=1e-6, atol=0.0)


@all_losses
def test_without_gradients_the_values_are_the_same_and_no_graph_is_kept(loss):
    network = ConditionalMLP(dim=2, width=8, generator=seeded())
    x = normal(0, 8, 2, dtype=torch.float32)
    with torch.no_grad():
        values = loss(network, x, 0.5, 0, reduction="none")
    assert not values.requires_grad
    torch.testing.assert_close(values, loss(network, x, 0.5, 0, reduction="none").detach())


@all_losses
def test_a_score_that_says_it_is_constant_has_no_trace(loss):
    shift = torch.ones(2, dtype=torch.float64, requires_grad=True)
    x = normal(0, 8, 2)
    value = loss(lambda x, sigma: shift + 0 * x, x, 0.5, 0)
    (gradient,) = torch.autograd.grad(value, shift)
    assert bool(gradient.isfinite().all())
    if loss in (LOSSES["exact"], LOSSES["sliced"], LOSSES["forward"]):
        assert float(value.detach()) == pytest.approx(1.0)  # ½‖s‖²


@torch.no_grad()
def without_grad(x, sigma):
    return -x


NO_SLOPE = {
    "detached": lambda x, sigma: -x.detach(),
    "no_grad": without_grad,
    "NumPy": lambda x, sigma: torch.from_numpy(-x.detach().numpy()),
    "parameters alone": lambda x, sigma: torch.ones(2, requires_grad=True).expand_as(x),
    "constant": zero,
}


@pytest.mark.parametrize("case", NO_SLOPE)
@pytest.mark.parametrize("name", ["exact", "sliced", "forward"])
def test_a_slope_that_torch_cannot_take_is_no_zero(name, case):
    """Of these scores the loss would be ½‖s‖² without a word. Forward differentiation goes on below `no_grad`."""
    x = normal(0, 8, 2, dtype=torch.float32)
    if (name, case) == ("forward", "no_grad"):
        torch.testing.assert_close(LOSSES[name](without_grad, x, 0.5, 0), LOSSES["sliced"](lambda x, s: -x, x, 0.5, 0))
        return
    with pytest.raises(ValueError, match=r"the score's slope in x can't be computed: .*add 0 \* x to it"):
        LOSSES[name](NO_SLOPE[case], x, 0.5, 0)


@pytest.mark.parametrize("name", ["denoising", "ladder"])
def test_a_score_that_changes_its_argument_is_refused(name):
    with pytest.raises(ValueError, match="score must leave its arguments as they are"):
        LOSSES[name](lambda x, sigma: x.sub_(1).neg(), torch.zeros(4, 2), 0.5, 0)


@all_losses
@pytest.mark.parametrize("case", BAD_SCORES)
def test_a_score_of_the_wrong_kind_is_named(loss, case):
    score, error, message = BAD_SCORES[case]
    with pytest.raises(error, match=f"score must {message}"):
        loss(score, torch.zeros(4, 2), 0.5, 0)
