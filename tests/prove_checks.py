"""Print, as a Markdown table, the words of every exercise's check to each right and wrong answer, and to each mistake.

    python tests/prove_checks.py [EXERCISE…]

Exits with 1 if a right answer is refused or a wrong one passes.
"""

import sys

import sbgm_course as checks
from answers import all_answers, mistakes_of


def main(names: list[str]) -> int:
    """Print the table for some exercises, or for all; return the exit status."""
    exercises = checks.exercises()
    answers = all_answers()
    if unknown := [name for name in names if name not in exercises]:
        print(f"no exercise {', '.join(unknown)}; there are {', '.join(exercises)}", file=sys.stderr)
        return 2
    print("| exercise | answer | as it should be | what the check says |\n|---|---|---|---|")
    n_faults = 0
    for name in names or exercises:
        wrong = [*answers[name].wrong.items(), *mistakes_of(exercises[name])]
        for kind, functions in (("right", answers[name].right.items()), ("wrong", wrong)):
            for how, function in functions:
                try:
                    says = repr(exercises[name].try_answer(function))
                    passed = "right"
                except checks.WrongAnswer as error:
                    says = str(error)
                    passed = "wrong"
                n_faults += passed != kind
                cells = (name, f"{kind}: {how}", "yes" if passed == kind else "NO", says)
                print("|", " | ".join(cell.replace("|", r"\|") for cell in cells), "|")
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
