"""Print, as a Markdown table, what every exercise's check says to each right and wrong answer known.

    python tests/prove_checks.py [EXERCISE…]

Exits with 1 if a right answer is refused or a wrong one passes.
"""

import sys
from collections.abc import Iterator

from answers import all_answers
from sbgm import checks


def rows(names: list[str]) -> Iterator[tuple[str, str, bool, str]]:
    """Exercise, answer, whether the check is right about it, and what the check says."""
    answers = all_answers()
    for name in names:
        exercise = checks.exercises()[name]
        known = {"right": answers[name].right, "wrong": answers[name].all_wrong()}
        for kind, how, function in ((kind, *answer) for kind, those in known.items() for answer in those.items()):
            try:
                verdict, passed = repr(exercise(function)), "right"
            except checks.WrongAnswer as error:
                verdict, passed = str(error), "wrong"
            yield name, f"{kind}: {how}", passed == kind, verdict


def main(names: list[str]) -> int:
    """Print the table for some exercises, or for all; return the exit status."""
    exercises = checks.exercises()
    if unknown := [name for name in names if name not in exercises]:
        print(f"no exercise {', '.join(unknown)}; there are {', '.join(exercises)}", file=sys.stderr)
        return 2
    print("| exercise | answer | as it should be | what the check says |\n|---|---|---|---|")
    n_faults = 0
    for name, answer, sound, verdict in rows(names or list(exercises)):
        n_faults += not sound
        cells = (name, answer, "yes" if sound else "NO", verdict)
        print("|", " | ".join(cell.replace("|", r"\|") for cell in cells), "|")
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
