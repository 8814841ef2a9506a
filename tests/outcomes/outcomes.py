"""What every call ends with: the one description that test_outcomes.py runs in each language.

`python tests/outcomes/outcomes.py --update` writes docs/outcomes.md from it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from sidecall import errors

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/outcomes.md"
WAIT, DIE = 1000, 1001  # see outcomes_server.c
LANGUAGES = ("c", "python", "node")
ROUTES = {"file": "a file, in process", "shm": "`shm:`", "exec": "`exec:`"}

STATUSES = {"OK": 0, "PENDING": 14} | {
    each.code: each.status
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.Error) and each.status != 0
}


@dataclass(frozen=True)
class Event:
    """Something that happens to a call; the same in every language."""

    text: str
    mode: str  # of the clients
    asked: int  # of the server
    outcome: str
    when: str
    routes: tuple[str, ...] = tuple(ROUTES)


REMOTE = ("shm", "exec")
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
        "within about 10 ms",
        REMOTE,
    ),
    Event(
        "its server is killed, and it was started",
        "asynchronous",
        DIE,
        "PEER_DIED",
        "within about 10 ms",
        REMOTE,
    ),
)


def answered(status: str) -> str:
    """What the client gets if the server's function ends with a status.

    NOT_RUN and PENDING say nothing about a request.
    """
    return "INTERNAL" if status in ("NOT_RUN", "PENDING") else status


def page() -> str:
    lines = [
        "# Outcomes",
        "",
        "Every call ends with exactly one outcome, which is the same in C, C++, Python and Node.js.",
        "`tests/outcomes/outcomes.py` writes this page from the description that the tests run in",
        "C, Python and Node.js. Python raises `asyncio.CancelledError` for a call that was cancelled,",
        "and Node.js the reason of the `AbortSignal`.",
        "",
        "| what happens to a call | " + " | ".join(ROUTES.values()) + " | when |",
        "|---|" + "---|" * len(ROUTES) + "---|",
    ]
    for event in EVENTS:
        cells = (f"`{event.outcome}`" if route in event.routes else "" for route in ROUTES)
        lines.append(f"| {event.text} | {' | '.join(cells)} | {event.when} |")
    lines += [
        "",
        "A served function can end a request with any status. Its client gets, over `shm:` and over",
        "`exec:`, whether its thread waits or the call was started:",
        "",
        "| the function ends with | the client gets |",
        "|---|---|",
    ]
    lines += [f"| `{status}` | `{answered(status)}` |" for status in STATUSES]
    return "\n".join(lines) + "\n"


if __name__ == "__main__" and sys.argv[1:] == ["--update"]:
    PAGE.write_text(page())
