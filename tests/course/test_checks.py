"""Every check of an exercise refuses every wrong answer known and passes every right one."""

import dataclasses
import functools

import pytest
import torch

from answers import all_answers
from grading.messages import as_reply, decoded_arguments, encoded_arguments, encoded_reply
from sbgm import checks
from sbgm.course.calls import call, local

ANSWERS = all_answers()
EXERCISES = checks.exercises()
RIGHT = [(name, how) for name, answers in ANSWERS.items() for how in answers.right]
WRONG = [(name, how) for name, answers in ANSWERS.items() for how in answers.all_wrong()]


def test_the_stub_names_every_exercise():
    """`checks.dsm_target` completes in an editor, and each name is that of the function to write; none is left over."""
    others = {"Exercise", "Verdict", "WrongAnswer", "exercises", "ladder_problem"}
    assert EXERCISES.keys() == set(checks.__all__) - others
    assert {name: getattr(checks, name) for name in EXERCISES} == EXERCISES


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_states_what_it_asks_and_has_enough_answers(name):
    assert f"`{name}(" in EXERCISES[name].__doc__
    assert len(ANSWERS[name].right) >= 3
    assert len(ANSWERS[name].wrong) >= 6


def through_bytes(function):
    """The runner that calls a function as a student's process does: on bytes, which it answers by bytes."""

    def run(arguments, with_gradients):
        reply = call(function, decoded_arguments(encoded_arguments(arguments)), with_gradients)
        return as_reply(*encoded_reply(reply))

    return run


def tries(name):
    """Seeds of a check's draws, and how to call; one where answers train networks, of which a slow test tries more."""
    return list(enumerate([through_bytes, local, local]))[: 1 if name == "train_score" else 3]


@pytest.mark.parametrize(("name", "how"), RIGHT)
def test_right_answer_passes(name, how):
    for seed, runner in tries(name):
        verdict = EXERCISES[name].try_answer(runner(ANSWERS[name].right[how]), seed=seed, variant=0)
        assert repr(verdict) == f"{name}: correct"


SHARED = "share their noise: is a draw used more than once"
OPPOSITE = "have opposite noise, z and −z"
SAYS_OF_NOISE = {  # in `answers.DEPENDENT_NOISE`
    "one half's noise for the other half": f"two examples of the batch {SHARED}",
    "one half's noise for the other half, in reverse": f"two examples of the batch {SHARED}",
    "one half's noise for the other half, shuffled": "come up again elsewhere: is noise copied, or shuffled",
    "z and −z for the two halves": f"two examples of the batch {OPPOSITE}",
    "z and −z in turn": f"two examples of the batch {OPPOSITE}",
    "one draw for half the numbers of an example": f"two numbers of every example {SHARED}",
    "z and −z for the numbers of an example": f"two numbers of every example {OPPOSITE}",
    "one example's draw, rolled for the others": "come up again elsewhere: is noise copied, or shuffled",
    "the last example's noise for the first one, too": f"two examples of the batch {SHARED}",
    "half of the variance is shared": f"two examples of the batch {SHARED}",
    "each shares with the next": f"two examples of the batch {SHARED}",
    "ten draws in turn": f"two examples of the batch {SHARED}",
    "half of the noise whatever the generator": f"two examples of the batch {SHARED}",
    "three numbers an example": "does your function fit any size",
    "two numbers an example": "does your function fit any size",
    "one number an example": f"two numbers of every example {SHARED}",
    "ten examples": "does your function fit any size",
}
WRONG_FORM = r"has (shape|dtype)|returned \d+ values|must return (tensors|a score)"
NAMED = {
    ("gaussian_score", "the log-density of each coordinate"): "a score is its gradient",
    ("gaussian_score", "half the square of each coordinate"): "a score is its gradient",
    ("gaussian_score", "the log-density in every coordinate"): "a score is its gradient",
    ("gaussian_score", "^ for a power"): r"write x\*\*2",
    ("gaussian_score", "summed over the coordinates"): "D times too long",
    ("gaussian_score", "½ missing"): "twice too long",
    ("annealed_langevin", "no kick in the last step"): "the last step has no kick",
    ("annealed_langevin", "score at the level's index"): "told the level's number, from 0",
    ("annealed_langevin", "score at the level's number"): "told the level's number, from 1",
    ("train_score", "not told σ"): "is the network given σ",
    ("train_score", "divided by σ, and not told it"): "does not see σ",
    ("train_score", "told σ by the size of x only"): "does not see σ",
    ("train_score", "not divided by σ"): "Does your network divide its output by σ",
    ("train_score", "λ = 1"): "With λ = 1",
    ("train_score", "the four smallest levels only"): "drawn from the whole ladder, from σ = 8 on",
    ("train_score", "the four largest levels only"): "wrong at σ = 0.57, 0.34, 0.2",
    ("train_score", "half the score"): r"0\.\d+ times the right one at every level",
}
NAMED |= {(name, how): WRONG_FORM for name, answers in ANSWERS.items() for how in answers.of_wrong_form()}
for name in ("langevin_step", "annealed_langevin", "inpaint_step"):
    NAMED |= {(name, how): said for how, said in SAYS_OF_NOISE.items()}


@pytest.mark.parametrize(("name", "how"), WRONG)
def test_wrong_answer_is_refused(name, how):
    """In the words that name the mistake, where there are some, from the first seed."""
    for seed, runner in tries(name):
        with pytest.raises(checks.WrongAnswer, match=None if seed else NAMED.get((name, how))):
            EXERCISES[name].try_answer(runner(ANSWERS[name].all_wrong()[how]), seed=seed, variant=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_trained_answers_from_other_seeds(seed):
    check, answers = EXERCISES["train_score"], ANSWERS["train_score"]
    for right in answers.right.values():
        assert repr(check(right, seed=seed)) == "train_score: correct"
    for wrong in answers.all_wrong().values():
        with pytest.raises(checks.WrongAnswer):
            check(wrong, seed=seed)


@pytest.mark.parametrize("name", ["dsm_loss", "sliced_loss", "ncsn_loss", "instance_norm_plus"])
def test_gradients_of_no_size_are_refused(name):
    """A reply forged in a student's process may hold them; of no numbers all are equal to the right ones."""
    run = local(next(iter(ANSWERS[name].right.values())))

    def forged(arguments, with_gradients):
        reply = run(arguments, with_gradients)
        return dataclasses.replace(reply, gradients=tuple(g.new_empty(0, *g.shape) for g in reply.gradients))

    with pytest.raises(checks.WrongAnswer, match="a gradient has shape"):
        EXERCISES[name].try_answer(forged, seed=0, variant=0)


def test_what_pytorch_does_not_implement_is_a_mistake_and_no_untouched_stub():
    def answer(*arguments):
        raise NotImplementedError("Subtraction with a bool tensor is not supported")

    with pytest.raises(checks.WrongAnswer, match="your function raised NotImplementedError: Subtraction"):
        checks.dsm_target(answer)


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
    assert EXERCISES[name]()(stub) is EXERCISES[name].lent
    assert capsys.readouterr().out == f"{name}: not attempted yet; sbgm's is lent to the cells below\n"


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


def test_a_call_gives_the_verdict_whatever_the_function_is_called():
    def gaussian_score(x, mean, std):
        return -(x - mean) / std**2

    other, alone = gaussian_score, [lambda x, mean, std: -(x - mean) / std**2, functools.partial(right), right]
    gaussian_score = torch.no_grad()(gaussian_score)
    for function in (gaussian_score, other, *alone):
        assert checks.gaussian_score(function) == checks.Verdict("gaussian_score", correct=True)
    assert checks.gaussian_score(lambda x, mean, std: -(x - mean) / std**2).correct
    with pytest.raises(checks.WrongAnswer):
        checks.gaussian_score(half)


WITHOUT_A_FILE = {
    "a class scope": "class A:\n    @checks.gaussian_score\n    def gaussian_score(x, mean, std):\n"
    "        return -(x - mean) / std**2\ngaussian_score = A.gaussian_score",
    "one line": "@checks.gaussian_score\ndef gaussian_score(x, mean, std): return -(x - mean) / std**2",
    "an earlier one": "@checks.gaussian_score\ndef gaussian_score(x, mean, std): return x\n"
    "@checks.gaussian_score\ndef gaussian_score(x, mean, std):\n    return -(x - mean) / std**2",
}


@pytest.mark.parametrize("how", WITHOUT_A_FILE)
def test_a_definition_without_a_source_file(how, capsys):
    namespace = {"checks": checks}
    exec(WITHOUT_A_FILE[how], namespace)
    assert namespace["gaussian_score"](torch.ones(1, 2), torch.zeros(2), 1.0).tolist() == [[-1, -1]]
    exec("verdict = checks.gaussian_score(gaussian_score)", namespace)
    assert namespace["verdict"].correct
    assert capsys.readouterr().out == "gaussian_score: correct\n"


def test_not_even_an_interrupt_leaves_an_earlier_function_in_use():
    namespace = {"checks": checks, "gaussian_score": right}
    with pytest.raises(KeyboardInterrupt):
        exec("@checks.gaussian_score\ndef gaussian_score(*arguments):\n    raise KeyboardInterrupt", namespace)
    with pytest.raises(KeyboardInterrupt):
        namespace["gaussian_score"]()


def test_a_misspelt_name_is_told(capsys):
    """For the cells below would go on with another function."""

    @checks.gaussian_score
    def gausian_score(x, mean, std):
        return -(x - mean) / std**2

    assert capsys.readouterr().err == (
        "WrongAnswer: your function is called gausian_score: the cells below look for gaussian_score\n"
    )
