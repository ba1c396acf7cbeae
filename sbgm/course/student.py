"""The student's process, `python -m sbgm.course.student MEMORY FILE`: defines the answers, calls them when asked.

It reads messages from standard input and answers on a copy of standard output; what the student's code prints goes
nowhere. Nothing here is trusted: the grader takes from it arrays, and judges them itself.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback

from sbgm.course.calls import Reply, call
from sbgm.course.messages import MessageError, decoded_arguments, receive, send, send_reply

MOST_PROCESSES = 512
MOST_CPU_SECONDS = 900


def serve(source: int, sink: int) -> None:
    """Run the statements of the first message, then answer calls until the grader hangs up."""
    fields, _ = receive(source)
    namespace: dict[str, object] = {"__name__": "__main__"}
    errors = []
    for statement in fields["statements"]:
        try:
            exec(compile(statement, "<notebook>", "exec"), namespace)
        except Exception as error:
            errors.append(traceback.format_exception_only(error)[-1].strip())
    send(sink, {"errors": errors[:20]})
    while True:
        try:
            fields, tensors = receive(source)
        except EOFError:
            return
        function = namespace.get(fields["call"])
        if not callable(function):
            send_reply(sink, Reply(problem=f"there is no function {fields['call']}"))
            continue
        reply = call(function, decoded_arguments(fields, tensors), fields["gradients"])
        try:
            send_reply(sink, reply)
        except (MessageError, TypeError, ValueError, RuntimeError) as error:
            send_reply(sink, Reply(problem=f"what your function returned can't be sent: {error}"))


def main() -> None:
    """Give up what a student's code needs not, then serve the grader that started this process."""
    memory, file = (int(argument) for argument in sys.argv[1:])
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NPROC, MOST_PROCESSES),
        (resource.RLIMIT_CPU, MOST_CPU_SECONDS),  # the grader's own limits come first
    ):
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    source, sink = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.setrecursionlimit(1_000)
    serve(source, sink)


if __name__ == "__main__":
    main()
