"""Describes what every call ends with. test_outcomes.py checks this in each language.

`python tests/outcomes/outcomes.py --update` writes docs/outcomes.md from it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from sidecall import errors

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/outcomes.md"
WAIT, DIE = 1000, 1001  # see outcomes_server.c
LANGUAGES = ("c", "python", "node")
ROUTES = {
    "file": "a file, in process",
    "shm": "`shm:`",
    "exec": "`exec:`",
    "http": "`http:`",
    "grpc": "`grpc:`",
}

STATUSES = {"OK": 0} | {
    each.code: each.status
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.Error) and each.status != 0
}


@dataclass(frozen=True)
class Event:
    """Something that happens to a call; the same in every language."""

    text: str
    mode: str  # the argument MODE of the clients
    asked: int  # what the client asks the server for: the argument ASKED
    outcome: str
    when: str
    routes: tuple[str, ...] = tuple(ROUTES)


REMOTE = ("shm", "exec", "http", "grpc")
EVENTS = (
    Event("it ends, and the thread waits for it", "synchronous", 0, "OK", "when it ends"),
    Event("it ends, and it was started", "asynchronous", 0, "OK", "when it ends"),
    Event("its deadline passes, and the thread waits", "timed-out", WAIT, "TIMEOUT", "then"),
    Event(
        "its deadline passes, and it was started",
        "timed-out-asynchronous",
        WAIT,
        "TIMEOUT",
        "then",
    ),
    Event("the program cancels it", "cancelled", WAIT, "CANCELLED", "immediately"),
    Event(
        "the program closes it and makes another call",
        "abandoned",
        WAIT,
        "OK",
        "when the other call ends; the closed one has no outcome",
    ),
    Event(
        "its server is killed, and the thread waits",
        "synchronous",
        DIE,
        "PEER_DIED",
        "within about 10 ms on one host, and otherwise when its connection ends",
        REMOTE,
    ),
    Event(
        "its server is killed, and it was started",
        "asynchronous",
        DIE,
        "PEER_DIED",
        "within about 10 ms on one host, and otherwise when its connection ends",
        REMOTE,
    ),
)


def answered(status: str) -> str:
    """Returns the status that the client gets if the server's function ends with `status`.

    NOT_RUN describes a call in the client's program, not the outcome of a request.
    """
    return "INTERNAL" if status == "NOT_RUN" else status


def page() -> str:
    lines = [
        "# Outcomes",
        "",
        "Every call ends with exactly one outcome, unless the program closes it first. The outcome",
        "is decided by the library, so it is the same in every language. If a call was cancelled,",
        "Python raises `asyncio.CancelledError`, Node.js throws the reason of the `AbortSignal`,",
        "and Go returns an error that is also `context.Canceled`.",
        "",
        "`tests/outcomes/outcomes.py` writes this page. The tests check it in C, Python and",
        "Node.js. A program can wait for a call, or start the call and go on. A cell is empty if",
        "the event cannot happen there.",
        "",
        "| what happens to a call | " + " | ".join(ROUTES.values()) + " | when |",
        "|---|" + "---|" * len(ROUTES) + "---|",
    ]
    for event in EVENTS:
        cells = (f"`{event.outcome}`" if route in event.routes else "" for route in ROUTES)
        lines.append(f"| {event.text} | {' | '.join(cells)} | {event.when} |")
    lines += [
        "",
        "A served function can end a request with any status. The client then gets the status in",
        "this table, over each route but a file, for a call that its thread waits for and for a "
        "call",
        "that was started:",
        "",
        "| the function ends with | the client gets |",
        "|---|---|",
    ]
    lines += [f"| `{status}` | `{answered(status)}` |" for status in STATUSES]
    return "\n".join(lines) + "\n"


if __name__ == "__main__" and sys.argv[1:] == ["--update"]:
    PAGE.write_text(page())
