"""What becomes of a student's function in the cells below: it stays the student's, and where it fails ours goes on."""

import inspect
import math
import pickle
import re

import pytest
import torch

import sbgm_course as checks
from answers import breaking, first_case
from sbgm import plots
from sbgm_course.calls import Asked, MixtureField, prepared
from sbgm_course.wrapped import wrapped

EXERCISES = {name: exercise for name, exercise in checks.exercises().items() if name != "train_score"}  # takes seconds
LOSSES = ("dsm_loss", "sliced_loss", "ncsn_loss")
OF_TENSORS = [
    name for name, exercise in EXERCISES.items() if exercise.like and exercise.like(*first_case(exercise)).ndim
]
UNFIT = {
    "raises": (lambda *arguments: 1 / 0, "your function raised ZeroDivisionError: division by zero"),
    "returns nothing": (lambda *arguments: None, "your function (returned nothing.*|must return a score, .*NoneType)"),
    "returns a word": (lambda *arguments: "x", "your function must return .*str"),
    "another shape": (
        lambda *arguments: torch.ones(1, 2, 3, 4, 5),
        "your (answer|function) (has shape|must return) .*",
    ),
}


def arguments_of(name):
    """Those that a check tries first, always with the same numbers; a field's parameters want gradients."""
    return [prepared(argument, True) for argument in first_case(EXERCISES[name]) if not isinstance(argument, Asked)]


def numbers(function, name):
    """What a function returns, or what the score that it returns gives at the points where the check asks for it."""
    returned = function(*arguments_of(name))
    if EXERCISES[name].like:
        return torch.as_tensor(returned, dtype=torch.float64)
    (asked,) = (argument for argument in first_case(EXERCISES[name]) if isinstance(argument, Asked))
    return torch.cat([returned(asked.points, sigma) for sigma in asked.sigmas.tolist()])


def refused(name, function):
    EXERCISES[name].said.clear()
    return wrapped(function, EXERCISES[name], refused=True)


def test_the_line_of_a_wrong_answer_says_what_becomes_of_it(capsys):
    checks.gaussian_score(lambda x, mean, std: np.exp(x))  # noqa: F821
    goes_on = "(the cells below go on with your function, and with ours where it fails)"
    said = f"WrongAnswer: your function raised NameError: name 'np' is not defined {goes_on}\n"
    assert capsys.readouterr() == ("", said)


# --- ours goes on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("how", UNFIT)
def test_ours_goes_on_from_the_call_on_in_which_a_function_fails(name, how, capsys):
    unfit, says = UNFIT[how]
    function = refused(name, unfit)
    assert plots.refused(function) == f"\n(drawn by a refused {name})"
    for line in (f"{name}: {says}. The cells below go on with ours\n", ""):
        torch.testing.assert_close(numbers(function, name), numbers(EXERCISES[name].right, name), rtol=0, atol=0)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert re.fullmatch(line, printed.err)
    if EXERCISES[name].like:
        assert plots.refused(function) == ""


def test_ours_is_trained_where_a_network_fails_while_it_draws(capsys):
    exercise = checks.train_score
    exercise.said.clear()
    function = wrapped(lambda data, sigmas, generator: lambda x, sigma: 1 / 0, exercise, refused=True)
    arguments = [torch.randn(50, 2), torch.tensor([2.0, 1.0])]
    with torch.no_grad():
        score = function(*arguments, torch.Generator().manual_seed(0))
        torch.manual_seed(0)  # the first weights
        values = score(torch.ones(3, 2), 1.0)
    torch.manual_seed(0)
    ours = exercise.right(*arguments, torch.Generator().manual_seed(0))
    assert torch.equal(values, ours(torch.ones(3, 2), 1.0))
    said = "train_score: your function raised ZeroDivisionError: division by zero. The cells below go on with ours\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (torch.Tensor.detach, "no gradient flows back"),
        (lambda loss: loss * math.nan, "your function returned no finite number"),
    ],
)
def test_ours_goes_on_for_a_loss_that_trains_nothing(name, changed, says, capsys):
    function = refused(name, lambda *arguments: changed(EXERCISES[name].right(*arguments)))
    assert numbers(function, name) == numbers(EXERCISES[name].right, name)
    assert capsys.readouterr().err.startswith(f"{name}: {says}")


def test_a_loss_without_a_gradient_goes_on_where_nothing_is_trained(capsys):
    cut_off = refused("dsm_loss", lambda *arguments: 2 * EXERCISES["dsm_loss"].right(*arguments).detach())
    expected = 2 * numbers(EXERCISES["dsm_loss"].right, "dsm_loss")
    with torch.no_grad():
        assert numbers(cut_off, "dsm_loss") == expected
    x = torch.ones(3, 2)
    assert cut_off(lambda x, sigma: 0 * x, x, 1.0, x) == 2  # by a score that has no parameters
    assert capsys.readouterr().err == ""


def test_ours_goes_on_where_a_right_function_fails(capsys):
    """It may be written for what the check tries, and for nothing else."""

    def gaussian_score(x, mean, std):
        return torch.stack([(mean - row) / std**2 for row in x])  # of no rows

    function = checks.gaussian_score(gaussian_score)
    x, mean = torch.ones(0, 2), torch.zeros(2)
    assert function(x, mean, std=1.0).shape == (0, 2)
    said = "gaussian_score: your function raised RuntimeError: stack expects a non-empty TensorList. The cells below go"
    assert capsys.readouterr().err.startswith(said)


def test_an_interrupt_is_no_failure(capsys):
    def interrupted(x, mean, std):
        if std == 0.7:
            raise KeyboardInterrupt
        return (x - mean) / std**2

    function = refused("gaussian_score", interrupted)
    x, mean = torch.ones(3, 2), torch.zeros(2)
    with pytest.raises(KeyboardInterrupt):
        function(x, mean, 0.7)
    assert torch.equal(function(x, mean, 0.5), 4 * x)
    assert capsys.readouterr() == ("", "")


def test_what_a_slider_says_passes_through_a_samplers_step(capsys):
    def out_of_sight(x):
        raise plots.NotDrawnError("a chain is farther out than a million")

    for is_wrong in (False, True):
        function = wrapped(lambda score, x, *others: x - score(x), EXERCISES["langevin_step"], refused=is_wrong)
        with pytest.raises(plots.NotDrawnError):
            function(out_of_sight, torch.ones(3, 2), 0.1, torch.Generator())
    assert capsys.readouterr().err == ""


# --- wrong numbers ----------------------------------------------------------------------------------------------------


def test_wrong_numbers_go_on_and_are_cut_off_where_no_figure_shows_them(capsys):
    function = refused("gaussian_score", lambda x, mean, std: 3e5 * x)
    x = torch.tensor([[1.0, 4.0], [-math.inf, math.nan]])
    for said in ("gaussian_score: its numbers are cut off at -1,000,000 and 1,000,000; NaN counts as 1,000,000\n", ""):
        assert function(x, torch.zeros(2), std=1.0).tolist() == [[3e5, 1e6], [-1e6, 1e6]]
        assert capsys.readouterr() == ("", said)
    assert plots.refused(function) == "\n(drawn by a refused gaussian_score)"


@pytest.mark.parametrize("name", OF_TENSORS)
def test_no_cell_meets_what_is_not_finite(name):
    for how, answer in breaking(EXERCISES[name].right).items():
        values = numbers(refused(name, answer), name)
        assert values.abs().max() <= 1e6, how


def test_a_wrong_index_leads_to_an_image_that_is_there(capsys):
    function = refused("nearest", lambda queries, data: EXERCISES["nearest"].right(queries, data) + 5)
    queries, data = arguments_of("nearest")
    assert data[function(queries, data)].shape == queries.shape
    assert "nearest: its numbers are cut off at 0 and 23" in capsys.readouterr().err


def test_chains_that_diverge_end_out_of_sight_and_their_score_never_sees_it(capsys):
    """A score raises where x is not finite; it is the chains, and not the score, that are wrong."""
    upwards = EXERCISES["annealed_langevin"].mistakes["the drift has the wrong sign: a step goes up the density"]
    function = refused("annealed_langevin", upwards)
    seen = []

    def score(x, sigma):
        seen.append(float(x.abs().max()))
        return -x

    x = function(score, torch.ones(5, 2), torch.tensor([10.0, 1.0]), 1.0, 300, torch.Generator().manual_seed(0))
    assert x.abs().tolist() == [[1e6, 1e6]] * 5
    assert max(seen) == 1e6
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", EXERCISES)
def test_nothing_is_said_of_a_right_answer(name, capsys):
    function = wrapped(EXERCISES[name].right, EXERCISES[name], refused=False)
    torch.testing.assert_close(numbers(function, name), numbers(EXERCISES[name].right, name), rtol=0, atol=0)
    assert capsys.readouterr() == ("", "")


def test_a_right_answer_may_be_large(capsys):
    function = wrapped(EXERCISES["gaussian_score"].right, EXERCISES["gaussian_score"], refused=False)
    assert function(torch.ones(1, 1), torch.zeros(1), 1e-5).item() == pytest.approx(-1e10)
    assert capsys.readouterr().err == ""


def test_a_wrong_function_works_on_copies():
    def in_place(score, x, mask, *others):
        x *= 2
        return x

    function = refused("inpaint_step", in_place)
    score, x, *others = arguments_of("inpaint_step")
    before = x.clone()
    assert torch.equal(function(score, x, *others), 2 * before)
    assert torch.equal(x, before)


# --- it stays the student's -------------------------------------------------------------------------------------------


def heun_step(score, x, sigma, sigma_next):
    """My step."""
    return x  # mine


heun_step.tried = 3
by_hand = heun_step
heun_step = checks.heun_step(heun_step)


def test_a_wrapped_function_is_the_students_to_whoever_looks_at_it():
    assert inspect.signature(heun_step) == inspect.signature(by_hand)
    assert inspect.getsource(heun_step).endswith("return x  # mine\n")
    assert (heun_step.__name__, heun_step.__doc__, heun_step.tried) == ("heun_step", "My step.", 3)
    assert pickle.loads(pickle.dumps(heun_step)) is heun_step


def test_a_check_looks_at_the_students_function_and_not_at_ours(capsys):
    """Also where it stands above another check, and a decorator between them."""

    def failing(*arguments):
        raise ValueError("no")

    function = checks.heun_step(torch.no_grad()(checks.heun_step(failing)))
    assert capsys.readouterr().err.count("WrongAnswer: your function raised ValueError: no") == 2
    torch.testing.assert_close(numbers(function, "heun_step"), numbers(EXERCISES["heun_step"].right, "heun_step"))
    with pytest.raises(checks.WrongAnswer, match="raised ValueError: no"):
        checks.heun_step.mark(seed=1)


CALLS_ITSELF = """
@checks.gaussian_score
def gaussian_score(x, mean, std):
    gaussian_score.n_calls = getattr(gaussian_score, "n_calls", 0) + 1
    if len(x) == 1:
        return SIGN * (mean - x) / std**2
    return torch.cat([gaussian_score(x[:1], mean, std), gaussian_score(x[1:], mean, std)])
"""


@pytest.mark.parametrize("sign", [1, -1])
def test_a_function_may_call_itself_and_keep_what_it_likes(sign, capsys):
    names = {"torch": torch, "checks": checks, "SIGN": sign}
    exec(CALLS_ITSELF, names)
    function = names["gaussian_score"]
    before = function.n_calls
    capsys.readouterr()
    x = torch.ones(400, 2)
    assert torch.equal(function(x, torch.zeros(2), 1.0), -sign * x)
    assert function.n_calls == before + 799
    assert capsys.readouterr() == ("", "")


def test_a_mixture_may_be_the_score_of_a_wrong_step(capsys):
    """As in a cell, where it is called with σ by name."""
    function = refused("langevin_step", lambda score, x, e, g: x + score(x, sigma=0.5))
    target = MixtureField(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    assert function(target, torch.ones(3, 2), 0.1, torch.Generator()).shape == (3, 2)
    assert capsys.readouterr().err == ""
