"""The student's process, `python -m sbgm.course.student LIMIT=VALUE …`: does what the grader asks, in this order.

"read" reduces a notebook to the statements of each answer, "define" executes those of one answer in a namespace of its
own, "call" calls it. Messages come from standard input and go to a copy of standard output; what the student's code
prints goes nowhere. Nothing here is trusted: the grader takes from it arrays, and judges them itself.
"""

import dataclasses
import importlib
import os
import resource
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from sbgm.course.messages import receive, send
from sbgm.course.notebook import read_notebook


def serve(source: Connection, sink: Connection) -> None:
    """Do what the messages ask until the grader hangs up, which is an EOFError."""
    namespaces: dict[str, dict[str, Any]] = {}
    while True:
        fields, blob = receive(source)
        match fields["ask"]:
            case "read":
                send(sink, dataclasses.asdict(read_notebook(blob, fields["exercises"])))
            case "define":
                importlib.import_module("sbgm.course.calls")  # with torch: seconds that no call should be charged with
                namespace: dict[str, Any] = {"__name__": "__main__"}
                namespaces[fields["answer"]] = namespace
                send(sink, {"errors": _execute(fields["statements"], namespace)})
            case "call":
                _call(namespaces[fields["answer"]].get(fields["name"]), fields, blob, sink)


def _execute(statements: list[str], namespace: dict[str, Any]) -> str:
    """Execute each statement, whatever became of those before it, and return the first errors in a sentence."""
    errors = [""]
    for statement in statements:
        try:
            exec(compile(statement, "<notebook>", "exec"), namespace)
        except Exception as error:
            errors.append(traceback.format_exception_only(error)[-1].strip()[:200])
    return "; the notebook raised ".join(errors[:6])


def _call(function: object, fields: dict, blob: bytes, sink: Connection) -> None:
    """Call an answer and send the reply, or the reason why there is none."""
    from sbgm.course.calls import Reply, call, decoded_arguments, encoded_reply

    try:
        missing = Reply(problem=f"there is no function {fields['name']}")
        reply = call(function, decoded_arguments(blob), fields["gradients"]) if callable(function) else missing
        send(sink, *encoded_reply(reply))
    except Exception as error:
        send(sink, *encoded_reply(Reply(problem=f"your function gave nothing that can be judged: {error}")))


def main() -> None:
    """Limit what this process may use, then serve the grader that started it."""
    for name, value in (argument.split("=") for argument in sys.argv[1:]):
        kind, hard = getattr(resource, name), resource.getrlimit(getattr(resource, name))[1]
        most = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (most, most))
    source, sink = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.register_at_fork(after_in_child=sink.close)  # a child that stays does not keep the grader waiting
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    try:
        serve(source, sink)
    finally:
        os._exit(0)  # at once, whatever a student's code has set to be done at the end


if __name__ == "__main__":
    main()
