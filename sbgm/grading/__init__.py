"""Grading students' notebooks without trusting them: see `grade`.

The checks of `sbgm.checks` run in the grader's process. A student's functions run in another one, under limits on time
and memory, and answer by arrays alone (`sbgm.grading.messages`): whatever a notebook redefines, patches or prints, it
can earn a mark only by returning right arrays for inputs that it has not seen before.
"""

from __future__ import annotations

from sbgm.grading.cells import Submission, read_submission
from sbgm.grading.folder import Graded, find_submissions, grade, report_of, write_marks
from sbgm.grading.marking import Outcome, mark_notebook
from sbgm.grading.sandbox import Limits, isolation

__all__ = [
    "Graded",
    "Limits",
    "Outcome",
    "Submission",
    "find_submissions",
    "grade",
    "isolation",
    "mark_notebook",
    "read_submission",
    "report_of",
    "write_marks",
]
