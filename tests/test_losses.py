"""The score matching objectives, against each other, closed forms for linear scores, and the formulas written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import DTYPES, SEEDS, batches, ladders, normal, scores, seeded, sigmas_of, wide
from sbgm import (
    MLP,
    ConditionalMLP,
    EnergyMLP,
    ResNet,
    denoising_score_matching_loss,
    geometric_sigmas,
    ncsn_loss,
    randn_like,
    score_matching_loss,
    sliced_score_matching_loss,
)
from sbgm.checked import widened
from sbgm.measure import estimate

# torch's own warning, when forward-mode differentiation is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


class Linear(nn.Module):
    """s(x) = A x + b on flattened points, whose Jacobian is A."""

    def __init__(self, matrix, offset=0.0):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float64))
        self.offset = nn.Parameter(torch.zeros(len(matrix), dtype=torch.float64) + offset)

    def forward(self, x, sigma=0.0):
        return (x.flatten(1) @ self.matrix.T.to(x.dtype) + self.offset.to(x.dtype)).reshape(x.shape)


def zero(x, sigma):
    return torch.zeros_like(x)


SKEWED = torch.tensor([[-1.0, 0.8, 0.1], [-0.2, -0.5, 0.4], [0.3, 0.0, 0.6]], dtype=torch.float64)

OBJECTIVES = {
    "exact": lambda score, x, **options: score_matching_loss(score, x, 0.5, **options),
    "denoising": lambda score, x, **options: denoising_score_matching_loss(
        score, x, 0.5, generator=seeded(), **options
    ),
    "sliced": lambda score, x, **options: sliced_score_matching_loss(score, x, 0.5, generator=seeded(), **options),
    "sliced forward": lambda score, x, **options: sliced_score_matching_loss(
        score, x, 0.5, generator=seeded(), autodiff="forward", **options
    ),
    "ncsn": lambda score, x, **options: ncsn_loss(score, x, [1.0, 0.5], generator=seeded(), **options),
}


def objectives(function):
    return pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())(function)


# --- sliced score matching, Eq. 3 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ("gaussian", 2 * (0.5 * (SKEWED + SKEWED.T)).square().sum()),
        ("rademacher", 2 * ((0.5 * (SKEWED + SKEWED.T)).square().sum() - SKEWED.diagonal().square().sum())),
    ],
)
def test_variance_of_the_trace_term(projection, expected):
    """vᵀAv over 100,000 directions: variance 2‖sym A‖²_F, for Rademacher without the diagonal; within 4 s.e."""
    x = torch.zeros(100_000, 3, dtype=torch.float64)  # where s(x) = 0, so that the trace term is all
    options = {"generator": seeded(), "projection": projection, "reduction": "none"}
    with torch.no_grad():
        term = sliced_score_matching_loss(Linear(SKEWED), x, **options)
    variance = estimate((term - SKEWED.trace()).square())
    assert variance.value == pytest.approx(float(expected), abs=4 * variance.se)
    assert variance.se < 0.02 * variance.value


@pytest.mark.parametrize("autodiff", ["reverse", "forward"])
@pytest.mark.parametrize("variance_reduced", [True, False])
def test_sliced_objective_is_its_formula(variance_reduced, autodiff):
    score, x = Linear(SKEWED, offset=0.3), drawn(7, 3)
    v, s = randn_like(x, seeded(5)), x @ SKEWED.T + 0.3
    norm = s.square().sum(dim=1) if variance_reduced else (v * s).sum(dim=1) ** 2
    expected = torch.einsum("bi,ij,bj->b", v, SKEWED, v) + 0.5 * norm
    options = {"variance_reduced": variance_reduced, "autodiff": autodiff, "reduction": "none"}
    torch.testing.assert_close(sliced_score_matching_loss(score, x, generator=seeded(5), **options), expected)


@pytest.mark.parametrize("autodiff", ["reverse", "forward"])
def test_several_projections_are_averaged(autodiff):
    network, x = MLP(width=8, generator=seeded()), drawn(7, 2, dtype=torch.float32)
    generator = seeded(1)
    options = {"generator": generator, "autodiff": autodiff, "reduction": "none"}
    single = torch.stack([sliced_score_matching_loss(network, x, **options) for _ in range(5)])
    options["generator"] = seeded(1)
    together = sliced_score_matching_loss(network, x, n_projections=5, **options)
    torch.testing.assert_close(together, single.mean(dim=0))


def image_network():
    return ResNet(channels=8, generator=torch.Generator().manual_seed(0))


NETWORKS = {
    "MLP": lambda: MLP(dim=3, width=8, generator=seeded()),
    "conditional": lambda: ConditionalMLP(dim=3, width=8, generator=seeded()),
    "energy": lambda: EnergyMLP(dim=3, width=8, generator=seeded()),
    "ResNet": image_network,
}


@pytest.mark.parametrize("projection", ["gaussian", "rademacher"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_forward_and_reverse_differentiation_agree(network, projection):
    """Values and the gradients of all parameters, in float64."""
    network = network().double()
    x = drawn(2, 3, 8, 8).sigmoid() if isinstance(network, ResNet) else drawn(6, 3)
    sigma = torch.linspace(0.3, 0.9, len(x), dtype=torch.float64)
    values, gradients = [], []
    for autodiff in ("reverse", "forward"):
        network.zero_grad()
        options = {"n_projections": 2, "projection": projection, "autodiff": autodiff, "reduction": "none"}
        value = sliced_score_matching_loss(network, x, sigma, generator=seeded(1), **options)
        value.mean().backward()
        values.append(value.detach())
        # an output bias shifts a score's potential or the score itself: it may have no part in the trace
        gradients.append([torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)
    assert sum(float(g.abs().sum()) for g in gradients[0]) > 0


# --- denoising score matching, Eq. 2 and 5 ---------------------------------------------------------------------------


def test_denoising_target_survives_small_noise_on_large_data_in_float32():
    """(x̃ − x)/σ² formed from x̃ in float32 would be off by half at x = 1000, σ = 10⁻³."""
    x = torch.full((100, 3), 1000.0)
    z = randn_like(x, seeded())
    loss = denoising_score_matching_loss(zero, x, 1e-3, generator=seeded(), reduction="none")
    torch.testing.assert_close(loss, 0.5 * (z / 1e-3).square().sum(dim=1))


# --- the ladder, Eq. 6 -----------------------------------------------------------------------------------------------


def test_ncsn_loss_draws_levels_uniformly_and_hands_their_sigmas_to_the_score():
    sigmas, seen = geometric_sigmas(10.0, 1.0, 4), []

    def score(x, sigma):
        seen.append(sigma)
        return torch.zeros_like(x)

    loss = ncsn_loss(score, torch.zeros(40_000, 5), sigmas, generator=seeded(), reduction="none")
    (sigma,) = seen
    assert sigma.shape == (40_000,)
    shares = torch.stack([(sigma == s).float().mean() for s in sigmas])
    assert float(shares.sum()) == pytest.approx(1)
    assert float((shares - 0.25).abs().max()) < 4 * math.sqrt(0.25 * 0.75 / 40_000)
    mean = estimate(loss)  # λ = σ² makes the loss of s = 0 be ½‖z‖², D/2 in the mean, at every level
    assert mean.value == pytest.approx(5 / 2, abs=4 * mean.se)


# --- what holds for all ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:Converting a tensor with requires_grad=True")
@pytest.mark.parametrize("loss", [score_matching_loss, sliced_score_matching_loss, denoising_score_matching_loss])
def test_sigma_may_want_a_gradient_as_a_number_and_one_an_example(loss):
    network, x = ConditionalMLP(dim=2, width=8, generator=seeded()).double(), drawn(6, 2)

    def slope(shape):
        sigma = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
        options = {} if loss is score_matching_loss else {"generator": seeded(1)}
        return torch.autograd.grad(loss(network, x, sigma, **options), sigma)[0].sum()

    torch.testing.assert_close(slope(()), slope((6,)))


@objectives
def test_gradient_with_respect_to_the_parameters_is_the_finite_difference(objective):
    network, x = ConditionalMLP(dim=2, width=6, depth=2, generator=seeded()).double(), drawn(8, 2)
    parameters = list(network.parameters())
    direction = [torch.randn(p.shape, generator=seeded(3), dtype=p.dtype) for p in parameters]
    objective(network, x).backward()
    assert all(p.grad is not None for p in parameters)
    slope = sum(float((p.grad * d).sum()) for p, d in zip(parameters, direction, strict=True))

    def shifted(step):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += step * d
            value = float(objective(network, x))
            for p, d in zip(parameters, direction, strict=True):
                p -= step * d
        return value

    assert slope == pytest.approx((shifted(1e-5) - shifted(-1e-5)) / 2e-5, rel=1e-6)


@objectives
@pytest.mark.parametrize("network", [ConditionalMLP, EnergyMLP], ids=["score", "energy"])
def test_without_gradients_the_value_is_the_same_and_no_graph_is_kept(objective, network):
    network, x = network(dim=2, width=8, generator=seeded()), drawn(8, 2, dtype=torch.float32)
    with torch.no_grad():
        value = objective(network, x)
    assert not value.requires_grad
    torch.testing.assert_close(value, objective(network, x).detach())


@objectives
def test_a_score_that_ignores_x_has_no_trace(objective):
    shift = torch.ones(2, requires_grad=True)
    x = drawn(8, 2, dtype=torch.float32)
    loss = objective(lambda x, sigma: shift.expand_as(x), x)
    assert bool(torch.isfinite(loss))
    loss.backward()
    assert shift.grad is not None
    assert bool(torch.isfinite(objective(zero, x)))  # and one without parameters


# --- bad input -------------------------------------------------------------------------------------------------------


X = torch.zeros(4, 2)


BAD_SCORES = {
    "flat": (lambda x, sigma: x.sum(dim=1), ValueError, r"score must return x's shape, \(4, 2\), got \(4,\)"),
    "transposed": (lambda x, sigma: x.T, ValueError, r"score must return x's shape, \(4, 2\), got \(2, 4\)"),
    "no tensor": (lambda x, sigma: None, TypeError, "score must return a torch.Tensor, got NoneType"),
    "device": (lambda x, sigma: x.to("meta"), ValueError, "score must return a tensor on x's device, cpu, got meta"),
}


@objectives
@pytest.mark.parametrize(("score", "error", "message"), BAD_SCORES.values(), ids=BAD_SCORES.keys())
def test_bad_scores_are_named(objective, score, error, message):
    with pytest.raises(error, match=message):
        objective(score, X)


def test_weighting_must_return_one_weight_an_example():
    with pytest.raises(ValueError, match=r"weighting must return one weight an example, shape \(3,\), got \(3, 1\)"):
        ncsn_loss(zero, torch.ones(3, 2), [2.0, 1.0], generator=seeded(), weighting=lambda sigma: sigma[:, None])


# --- laws of any loss ------------------------------------------------------------------------------------------------


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
