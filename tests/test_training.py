"""The training loop, its steps and batches, and its checkpoints."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from sbgm import MLP
from sbgm.training import fit, fit_score, require_finite_step


def line_fit(seed=0):
    """A line y = 2x − 1 to be learned without noise: parameters, optimizer, loss."""
    generator = torch.Generator().manual_seed(seed)
    line = nn.Linear(1, 1)
    with torch.no_grad():
        line.weight.zero_(), line.bias.zero_()

    def loss():
        x = torch.randn(16, 1, generator=generator)
        return (line(x) - (2 * x - 1)).square().mean()

    return line, torch.optim.SGD(line.parameters(), lr=0.1), loss


# --- fit -------------------------------------------------------------------------------------------------------------


def test_fit_minimises_and_yields_every_loss_from_before_its_update():
    line, optimizer, loss = line_fit()
    steps = list(fit(loss, optimizer, 200))
    assert [s.step for s in steps] == list(range(1, 201))
    first = torch.randn(16, 1, generator=torch.Generator().manual_seed(0))
    assert steps[0].loss == pytest.approx(float((2 * first - 1).square().mean()))  # at weight and bias zero
    assert line.weight.item() == pytest.approx(2, abs=1e-4)
    assert line.bias.item() == pytest.approx(-1, abs=1e-4)


def test_fit_advances_the_schedule_once_a_step():
    _, optimizer, loss = line_fit()
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    assert len(list(fit(loss, optimizer, 3, schedule=schedule))) == 3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda loss, bias: loss * math.nan, "loss is nan"),
        (lambda loss, bias: loss * math.inf, "loss is inf"),
        (lambda loss, bias: -loss * math.inf, "loss is -inf"),
        (lambda loss, bias: loss + (bias - bias.detach()).sum().sqrt() * 0, "sum of the gradient is nan"),
    ],
)
def test_a_step_that_is_no_number_raises_before_it_touches_the_parameters(spoil, said):
    line, optimizer, loss = line_fit()
    before = []
    losses = itertools.chain([loss] * 3, [lambda: spoil(loss(), line.bias)])
    steps = fit(lambda: next(losses)(), optimizer, 9)
    for _ in range(3):
        next(steps)
        before = copy.deepcopy(line.state_dict())
    with pytest.raises(FloatingPointError, match=f"the {said} at step 4 of 9; lower the learning rate"):
        next(steps)
    torch.testing.assert_close(line.state_dict(), before, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda loss: loss.expand(3), r"loss must return a scalar tensor, .* got a tensor of shape \(3,\)"),
        (float, "loss must return a scalar tensor, .* got float"),
        (lambda loss: loss.detach(), "loss must be computed from the network with gradients, without detach"),
        (lambda loss: torch.ones(1, requires_grad=True).sum(), "loss must depend on the parameters that are trained"),
    ],
)
def test_a_loss_that_trains_nothing_is_refused_before_the_first_update(spoil, said):
    line, optimizer, loss = line_fit()
    with pytest.raises(ValueError, match=said):
        next(fit(lambda: spoil(loss()), optimizer, 3))
    assert line.weight.item() == line.bias.item() == 0


def test_a_gradient_may_overflow_only_under_a_scale_above_one():
    """A scale of 1 is that of a training without one: an overflow there is no fault of the scale."""
    line, optimizer, loss = line_fit()
    value = loss()
    value.backward()
    line.bias.grad.fill_(math.inf)
    assert require_finite_step(value, optimizer, 1, 9, torch.tensor(2.0)) == float(value)
    for scale in (None, torch.tensor(1.0)):
        with pytest.raises(FloatingPointError, match="the sum of the gradient is inf at step 1 of 9"):
            require_finite_step(value, optimizer, 1, 9, scale)
    with pytest.raises(FloatingPointError, match="the loss is inf"):
        require_finite_step(value * math.inf, optimizer, 1, 9, torch.tensor(2.0))


# --- fit_score -------------------------------------------------------------------------------------------------------


def test_batches_are_rows_drawn_with_replacement_by_the_generator():
    data = torch.arange(10.0)[:, None].repeat(1, 2)
    batches = []
    g = torch.Generator().manual_seed(1)

    def loss(score, x):
        batches.append(x)
        return score(x, 0.0).square().mean()

    list(fit_score(MLP(width=4), data, loss, n_steps=2, batch_size=6, generator=g))
    again = torch.Generator().manual_seed(1)
    assert all(torch.equal(x, data[torch.randint(10, (6,), generator=again)]) for x in batches)
