"""Print, as a Markdown table, what every exercise's check says to each right and wrong answer known.

    python tests/prove_checks.py [EXERCISE…]

Exits with 1 if a right answer is refused or a wrong one passes.
"""

import sys

from answers import all_answers
from sbgm import checks


def main(names: list[str]) -> int:
    """Print the table for some exercises, or for all; return the exit status."""
    exercises, answers = checks.exercises(), all_answers()
    if unknown := [name for name in names if name not in exercises]:
        print(f"no exercise {', '.join(unknown)}; there are {', '.join(exercises)}", file=sys.stderr)
        return 2
    print("| exercise | answer | as it should be | what the check says |\n|---|---|---|---|")
    n_faults = 0
    for name in names or exercises:
        for kind, known in (("right", answers[name].right), ("wrong", answers[name].all_wrong())):
            for how, function in known.items():
                try:
                    verdict, passed = repr(exercises[name](function)), "right"
                except checks.WrongAnswer as error:
                    verdict, passed = str(error), "wrong"
                n_faults += passed != kind
                cells = (name, f"{kind}: {how}", "yes" if passed == kind else "NO", verdict)
                print("|", " | ".join(cell.replace("|", r"\|") for cell in cells), "|")
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
