"""Every check refuses every wrong answer, each named mistake by its own sentence, and passes every right one."""

import functools
import re
import sys

import pytest
import torch

import sbgm_course as checks
from answers import all_answers, breaking, careless, first_case, mistakes_of, of_wrong_form
from sbgm import plots
from sbgm.files import content_hash
from sbgm_course import exercise as engine
from sbgm_course.exercise import OTHER_NOISE, law_of

ANSWERS = all_answers()
EXERCISES = checks.exercises()
RIGHT = [(name, how) for name, answers in ANSWERS.items() for how in answers.right]
WRONG = [(name, how) for name, answers in ANSWERS.items() for how in answers.wrong]
MISTAKES = [(name, *mistake) for name, exercise in EXERCISES.items() for mistake in mistakes_of(exercise)]


def test_each_exercise_is_found_by_its_name():
    """`checks.dsm_loss` completes in a notebook, and each name is that of the function to write."""
    assert set(dir(checks)) == {*EXERCISES, *checks.__all__}
    assert {name: getattr(checks, name) for name in EXERCISES} == EXERCISES
    with pytest.raises(AttributeError, match="there is no exercise dsm_target; there are gaussian_score, mean_arrow"):
        _ = checks.dsm_target


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_states_what_it_asks_and_has_enough_answers(name):
    assert f"`{name}(" in EXERCISES[name].__doc__
    assert len(EXERCISES[name].mistakes) >= 6, f"{name} must name at least six mistakes"
    table = f"tests/answers/chapter_{EXERCISES[name].chapter:02d}.py"
    assert len(ANSWERS[name].right) >= 3, f"{table} must have at least two right answers to {name}"


def content(argument):
    """An argument of a case, by what is in it."""
    if isinstance(argument, torch.Tensor):
        return content_hash(argument)
    return tuple(map(content, vars(argument).values())) if hasattr(argument, "__dict__") else argument


@pytest.fixture(scope="module", autouse=True)
def laws():
    """A check computes the law of each of its mistakes anew for every answer; here it is computed once a case."""
    known = {}

    def once(sampler, case, law="normal"):
        key = (sampler, law, *map(content, case))
        if key not in known:
            known[key] = law_of(sampler, case, law)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "law_of", once)
        yield


def seeds(name):
    """Of a check's draws; one where answers train networks."""
    return [0] if name == "train_score" else [0, 1, 2]


@pytest.mark.parametrize(("name", "how"), RIGHT)
def test_right_answer_passes(name, how):
    for seed in seeds(name):
        verdict = EXERCISES[name].try_answer(ANSWERS[name].right[how], seed=seed)
        assert repr(verdict) == f"{name}: correct"


@pytest.mark.parametrize(("name", "sentence", "mistake"), MISTAKES)
def test_a_mistake_is_named_by_its_own_sentence(name, sentence, mistake):
    """Numbers that a sentence quotes stand in braces."""
    said = re.sub(r"\\{.*?\\}", ".+", re.escape(sentence))
    for seed in seeds(name):
        with pytest.raises(checks.WrongAnswer, match=f"^{said}$"):
            EXERCISES[name].try_answer(mistake, seed=seed)


SHARED = "share their noise: is a draw used more than once"
OPPOSITE = "have opposite noise, z and −z"
SAYS_OF_NOISE = {  # in `answers.DEPENDENT_NOISE`
    "one half's noise for the other half": f"two examples of the batch {SHARED}",
    "one half's noise for the other half, shuffled": "come up again elsewhere: is noise copied, or shuffled",
    "z and −z for the two halves": f"two examples of the batch {OPPOSITE}",
    "one draw for half the numbers of an example": f"two numbers of every example {SHARED}",
    "z and −z for the numbers of an example": f"two numbers of every example {OPPOSITE}",
    "the last example's noise for the first one, too": f"two examples of the batch {SHARED}",
    "half of the variance is shared": f"two examples of the batch {SHARED}",
    "three numbers an example": "does your function fit any size",
    "one number an example": f"two numbers of every example {SHARED}",
}
WRONG_FORM = r"has (shape|dtype)|returned \d+ values|must return (tensors|a score)"
SAYS_OF_LAW = dict(zip(("a product", "uniform"), OTHER_NOISE, strict=True))  # in `answers.WRONG_NOISE`
NAMED = {
    ("gaussian_score", "^ for a power"): r"write x\*\*2",
    ("sliced_loss", "no create_graph"): "give torch.autograd.grad create_graph=True",
    ("train_score", "noise from the global generator"): "draw from torch's global generator",
    ("train_score", "no step"): "does not depend on n_steps",
    ("best_guess", "one maximum for the batch"): "takes the largest exponent of each x̃ off first",
    ("train_score", "an energy's gradient"): "A score is asked under no_grad",
}
for name, exercise in EXERCISES.items():
    NAMED |= {(name, how): WRONG_FORM for how in of_wrong_form(exercise, exercise.right)}
    NAMED[name, "as a NumPy array"] = "returned a NumPy array: return a torch tensor"
for name in ("langevin_step", "annealed_langevin", "inpaint_step"):
    NAMED |= {(name, how): said for how, said in SAYS_OF_NOISE.items()}
for name in ("langevin_step", "annealed_langevin", "guess_and_shake", "fill_step", "inpaint_step", "level_step"):
    NAMED |= {(name, how): re.escape(said) for how, said in SAYS_OF_LAW.items()}


@pytest.mark.parametrize(("name", "how"), WRONG)
def test_wrong_answer_is_refused(name, how):
    """In the words that say what is wrong, where there are some."""
    with pytest.raises(checks.WrongAnswer, match=NAMED.get((name, how))):
        EXERCISES[name].try_answer(ANSWERS[name].wrong[how])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("seed", [1, 2])
def test_answers_from_other_seeds(name, seed):
    for right in ANSWERS[name].right.values():
        assert EXERCISES[name].try_answer(right, seed=seed).correct
    for wrong in (*ANSWERS[name].wrong.values(), *(mistake for _, mistake in mistakes_of(EXERCISES[name]))):
        with pytest.raises(checks.WrongAnswer):
            EXERCISES[name].try_answer(wrong, seed=seed)


def test_what_pytorch_does_not_implement_is_a_mistake_and_no_untouched_stub():
    def answer(*arguments):
        raise NotImplementedError("Subtraction with a bool tensor is not supported")

    with pytest.raises(checks.WrongAnswer, match="your function raised NotImplementedError: Subtraction"):
        checks.dsm_loss.try_answer(answer)


def in_single_precision(function):
    """The function, for which numbers are tensors of the default dtype, as `torch.as_tensor(sigma)` makes them."""
    return functools.wraps(function)(
        lambda *case: function(*(torch.as_tensor(a) if isinstance(a, float) else a for a in case))
    )


WITH_NUMBERS = [name for name, e in EXERCISES.items() if any(isinstance(a, float) for a in first_case(e))]


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_a_number_in_single_precision_is_no_mistake(name):
    assert EXERCISES[name].try_answer(in_single_precision(EXERCISES[name].right)).correct


def noisy_losses(score, x, sigmas, levels, z):
    """½‖s + z/σ‖², number by number, without λ."""
    sigma = sigmas[levels].reshape(-1, *[1] * (x.ndim - 1))
    return (score(x + sigma * z, sigmas[levels]) + z / sigma).square() / 2


def test_two_mistakes_at_once_are_named_both_and_three_are_too_many():
    first = r"\(1\) the levels are not weighted: where is λ\?"
    second = r"\(2\) your answer is averaged over the numbers of an example"
    with pytest.raises(checks.WrongAnswer, match=f"two mistakes at once. {first} {second}"):
        checks.ncsn_loss.try_answer(lambda *case: noisy_losses(*case).mean())
    with pytest.raises(checks.WrongAnswer, match="the check knows no mistake"):
        checks.ncsn_loss.try_answer(lambda *case: 2 * noisy_losses(*case).sum())


# --- the check above a function ---------------------------------------------------------------------------------------


def half(x, mean, std):
    return -(x - mean) / (2 * std**2)


def right(x, mean, std):
    return -(x - mean) / std**2


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_stub_lends(name, capsys):
    def stub(*arguments):
        raise NotImplementedError

    stub.__name__ = name
    assert EXERCISES[name]()(stub) is EXERCISES[name].right
    assert capsys.readouterr().out == f"{name}: not attempted yet; until you do, the cells below use ours\n"


def test_the_check_stands_above_other_decorators_and_below(capsys):
    with_options = checks.gaussian_score(seed=3)

    @torch.no_grad()
    @with_options
    @checks.gaussian_score
    @functools.cache
    def gaussian_score(x, mean, std):
        return -(x - mean) / std**2

    assert gaussian_score(torch.ones(1, 2), torch.zeros(2), 1.0).tolist() == [[-1, -1]]
    assert capsys.readouterr().out == "gaussian_score: correct\n" * 2


def unnamed(function):
    """A decorator of the student's own, which does not pass the name on."""
    return lambda *arguments: function(*arguments)


@pytest.mark.parametrize("function", [right, lambda *case: right(*case), functools.partial(right), unnamed(right)])
def test_a_call_checks_as_the_decorator_does_whatever_the_function_is_called(function, capsys):
    assert checks.gaussian_score(function) is function
    assert capsys.readouterr().out == "gaussian_score: correct\n"


class Guided(torch.nn.Module):
    def __init__(self, network, label, w):
        super().__init__()
        self.network = network
        self.label = label
        self.w = w

    def forward(self, x, sigma):
        of_any = self.network(x, sigma)
        return of_any + self.w * (self.network(x, sigma, self.label) - of_any)


CALLS_ITSELF = """
def gaussian_score(x, mean, std):
    gaussian_score.n_calls = getattr(gaussian_score, "n_calls", 0) + 1
    if len(x) == 1:
        return -(x - mean) / std**2
    return torch.cat([gaussian_score(row, mean, std) for row in x.split(1)])
"""


def test_a_function_that_calls_itself_is_right_at_the_first_run_and_after_a_wrong_one(capsys):
    cell = f"@checks.gaussian_score{CALLS_ITSELF}"
    names = {"torch": torch, "checks": checks}
    exec(cell, names)
    exec(cell.replace("-(x", "(x"), names)
    exec(cell, names)
    said, refused = capsys.readouterr()
    assert said == "gaussian_score: correct\n" * 2
    assert "has the wrong sign" in refused
    checks.gaussian_score(names.pop("gaussian_score"))
    assert "gaussian_score" not in names  # a check by itself binds no name


def test_a_class_is_an_answer_like_any_other(capsys):
    @checks.guided
    class guided(Guided):
        pass

    assert isinstance(guided, type)
    assert capsys.readouterr().out == "guided: correct\n"


def test_the_cells_below_use_a_function_whose_numbers_are_wrong_and_the_line_says_so(capsys):
    assert checks.gaussian_score(half) is half
    said = r"WrongAnswer: your answer is half of what it should be: .* \(the cells below use your function\)\n"
    assert re.fullmatch(said, capsys.readouterr().err)


UNUSABLE = [
    (name, how, answer)
    for name, exercise in EXERCISES.items()
    if name != "train_score"  # takes seconds
    for how, answer in (breaking(exercise.right) | careless(exercise, exercise.right)).items()
    if how != "constant 0"
]


@pytest.mark.parametrize(("name", "how", "answer"), UNUSABLE)
def test_the_cells_below_use_ours_where_nothing_can_be_drawn_and_the_line_says_so(name, how, answer, capsys):
    """Or where it would change their tensors, or their random numbers."""
    assert EXERCISES[name](answer) is EXERCISES[name].right
    assert re.fullmatch(r"WrongAnswer: .* \(the cells below use ours\)\n", capsys.readouterr().err)
    assert plots.refused(EXERCISES[name].right) == ""


class Wordless(Exception):
    def __str__(self) -> str:
        raise ValueError


def raising(error):
    raise error


DRASTIC = {
    "your function ends the program": lambda x, mean, std: sys.exit(),
    "your function raised BaseException: stop": lambda x, mean, std: raising(BaseException("stop")),
    "your function raised Wordless: an error that cannot be printed": lambda x, mean, std: raising(Wordless()),
    "it returned torch.float64, nested": lambda x, mean, std: torch.nested.nested_tensor([right(x, mean, std)]),
    "your function sets torch's default dtype":
        lambda x, mean, std: torch.set_default_dtype(torch.float64) or right(x, mean, std),
    "your function sets torch's default device":
        lambda x, mean, std: torch.set_default_device("meta") or right(x, mean, std),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(("says", "answer"), DRASTIC.items())
def test_the_cells_below_use_ours_where_a_function_does_something_drastic(says, answer, capsys):
    assert checks.gaussian_score(answer) is checks.gaussian_score.right
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["dsm_loss", "sliced_loss", "ncsn_loss"])
@pytest.mark.parametrize("change", [torch.Tensor.detach, lambda loss: loss + (loss - loss.detach()).sqrt()])
@pytest.mark.parametrize("factor", [1, 2])
def test_the_cells_below_use_ours_where_a_loss_has_no_gradient_or_an_infinite_one(name, change, factor):
    assert EXERCISES[name](lambda *case: change(factor * EXERCISES[name].right(*case))) is EXERCISES[name].right


def test_the_cells_below_use_ours_where_another_case_has_another_shape(capsys):
    assert checks.nearest(lambda queries, data: checks.nearest.right(data, queries)) is checks.nearest.right
    assert capsys.readouterr().err.startswith("WrongAnswer: the minimum runs over the queries")


def test_the_cells_below_use_ours_where_one_run_alone_holds_nan():
    runs = []

    def langevin_step(*case):
        runs.append(checks.langevin_step.right(*case))
        return runs[-1] * float("nan") if len(runs) == 1 else runs[-1]

    assert checks.langevin_step(langevin_step) is checks.langevin_step.right


REFUSED = "\n(drawn by a refused gaussian_score)"


def test_a_figure_of_a_refused_function_says_so():
    half_of_it = checks.gaussian_score(lambda x, mean, std: half(x, mean, std))
    doubled = checks.log_ratio(lambda score, a, b: 2 * checks.log_ratio.right(score, a, b))
    assert plots.refused(half_of_it, right) == REFUSED
    assert plots.refused(doubled, right, half_of_it, doubled) == "\n(drawn by a refused log_ratio)" + REFUSED


def untouched(x, mean, std):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [right, untouched])
def test_a_figure_of_a_right_or_lent_function_says_nothing(answer):
    assert plots.refused(checks.gaussian_score(answer), torch.sin) == ""


def test_a_class_says_that_it_was_refused():
    class guided(Guided):
        def forward(self, x, sigma):
            return -super().forward(x, sigma)

    assert plots.refused(checks.guided(guided)) == "\n(drawn by a refused guided)"


class Halved:
    def score(self, x, mean, std):
        return half(x, mean, std)


def test_a_bound_method_bears_no_mark_and_is_used_all_the_same():
    method = Halved().score
    assert checks.gaussian_score(method) is method
    assert plots.refused(method) == ""


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"answer must be the function you wrote, got Tensor: leave out the \(\)"):
        checks.gaussian_score(torch.ones(2))


def test_a_misspelt_name_is_told(capsys):
    """For the cells below would go on with another function."""

    @checks.gaussian_score
    def gausian_score(x, mean, std):
        return -(x - mean) / std**2

    said = "WrongAnswer: your function is called gausian_score: the cells below look for gaussian_score, "
    assert capsys.readouterr().err.startswith(said)
