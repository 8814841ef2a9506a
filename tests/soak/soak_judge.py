"""Says for each call of the soak whether its outcome is right, given what happened meanwhile. Used
by soak_fleet.py and soak_events.py.

The outcome of a call is right if it is OK with the right answer, the error that its kind must cause
(EXPECTED), an error that an event during the call may cause (ALLOWED), or CONTRACT_CHANGED after
the signature has changed. Calls of the kinds in EXPECTED must not end with OK.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from soak_models import WIDTHS

HANG_SECONDS = 10.0  # how much later than its deadline a call may end
KEPT_SECONDS = 120.0  # longer than every call
TOLERANCE = 0.1  # seconds
LATE_START = 0.5  # seconds; a server that starts so shortly before a deadline may answer too late

# Calls that must fail.
EXPECTED = {"late": "TIMEOUT", "wrong": "MISSING_VALUE", "garbage": "INVALID_JSON"}

# The errors with which calls of the clients that an event disturbs may end while the event lasts.
ALLOWED = {
    "server killed": {"PEER_DIED", "UNREACHABLE"},
    "worker killed": {"PEER_DIED"},
    # A server that drains answers the calls that it has taken.
    "server drained": {"UNREACHABLE"},
    "server stopped": {"TIMEOUT"},
    "descriptors of the server": {"OUT_OF_MEMORY"},
    # Such a process gets its connections from its parent. Without a free descriptor it gets none,
    # so it cannot always refuse a connection with OUT_OF_MEMORY.
    "descriptors of a worker": {"OUT_OF_MEMORY", "UNREACHABLE"},
    "clock of the server": set(),
    "disk full": set(),
    "disk full, restart refused": {"PEER_DIED", "UNREACHABLE"},
    "client killed": set(),
    "command killed": {"KILLED"},
    "client stopped": {"TIMEOUT"},
    "descriptors of the client": {"OUT_OF_MEMORY"},
    "clock of the client": set(),
}
# The outcomes of the command if it cannot open the model.
EXIT_OF_CHANGED_CONTRACT = "EXIT 3"
EXIT_OF_COMMAND = "EXIT 4"
REASONS_TO_EXIT = {"UNREACHABLE", "PEER_DIED", "TIMEOUT", "OUT_OF_MEMORY"}


class Outcome(NamedTuple):
    """The line of a call: see soak_call.py."""

    number: int
    kind: str
    outcome: str
    model: int
    width: int
    begin: float
    end: float
    deadline: float
    message: str


@dataclass
class Event:
    kind: str
    clients: frozenset[str]  # the names of the clients that it may disturb
    begin: float
    end: float = math.inf
    deaths: int = 0  # how many more calls may end with PEER_DIED
    # If this is set, the event ends when a call that began after this time gets an answer.
    ended_by_ok_after: float | None = None

    def overlaps(self, begin: float, end: float) -> bool:
        return self.begin <= end and begin <= self.end


@dataclass
class Serving:
    """The time during which a server has one model."""

    model: int
    begin: float
    end: float = math.inf


@dataclass
class History:
    """What happened to one group, and the defects that were found in it."""

    name: str
    is_exec: bool  # clients then start their servers, with a pause if a server dies often
    events: list[Event] = field(default_factory=list)
    servings: list[Serving] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, kind: str, clients: Iterable[str], deaths: int = 0) -> Event:
        """Notes an event. Call this before the event happens."""
        event = Event(kind, frozenset(clients), time.monotonic(), deaths=deaths)
        limit = event.begin - KEPT_SECONDS
        with self._lock:
            self.counts[kind] += 1
            self.events = [*(each for each in self.events if each.end > limit), event]
            self.servings = [each for each in self.servings if each.end > limit]
        return event

    @contextmanager
    def event(self, kind: str, clients: Iterable[str], deaths: int = 0) -> Iterator[None]:
        event = self.begin(kind, clients, deaths)
        yield
        event.end = time.monotonic()

    def serve(self, model: int) -> Serving:
        serving = Serving(model, time.monotonic())
        with self._lock:
            self.servings.append(serving)
        return serving

    def add_defect(self, text: str) -> None:
        with self._lock:
            self.defects.append(f"{self.name}: {text}")

    def judge(self, client: str, wait: float, call: Outcome) -> None:
        """Adds a defect if the outcome of the call is wrong."""
        with self._lock:
            during = [
                event
                for event in self.events
                if client in event.clients and event.overlaps(call.begin, call.end)
            ]
            reason = self._reason(call, wait, during)
            if call.outcome == "OK":
                for event in during:
                    after = event.ended_by_ok_after
                    if after is not None and after < call.begin:
                        event.end = min(event.end, call.end)
        if reason:
            happened = ", ".join(
                f"{event.kind} {event.begin - call.begin:+.3f} to {event.end - call.begin:+.3f} s"
                for event in during
            )
            self.add_defect(f"{client}: {reason}: {list(call)}; meanwhile: {happened or 'nothing'}")

    def _reason(self, call: Outcome, wait: float, during: list[Event]) -> str | None:
        """Why the outcome is wrong; None if it is right."""
        stops = (event for event in during if event.kind == "client stopped")
        stopped = sum(min(event.end, call.end) - event.begin for event in stops)
        # A client that opens the model again also opens the call that it keeps. That waits for a
        # server and for its answer, before the run with its own deadline begins.
        opening = wait + call.deadline if call.kind == "call" else 0
        if call.end - call.begin > opening + call.deadline + HANG_SECONDS + stopped:
            return "a hang"
        if call.outcome == "OK":
            return self._reason_of_ok(call)
        if call.outcome == EXPECTED.get(call.kind):
            return None
        if call.outcome in ("CONTRACT_CHANGED", EXIT_OF_CHANGED_CONTRACT):
            return None if self._has_changed(call) else "the signature has not changed"
        return self._reason_of_failure(call, wait, during)

    def _reason_of_ok(self, call: Outcome) -> str | None:
        if call.kind in EXPECTED:
            return f"expected {EXPECTED[call.kind]}"
        if call.model == 0:
            return None if call.kind == "open" else "an answer without a model"
        if call.width not in (0, WIDTHS.get(call.model)):
            return "the model has another signature"
        if call.model not in self._served(call.begin, call.end):
            return "no server had this model"
        return None

    def _has_changed(self, call: Outcome) -> bool:
        if call.width != 0:
            return any(WIDTHS[each] != call.width for each in self._served(call.begin, call.end))
        # The width is 0: the client opened the model shortly before, and has had no answer yet.
        return len({WIDTHS[each] for each in self._served(call.begin - 60, call.end)}) > 1

    def _served(self, begin: float, end: float) -> set[int]:
        return {each.model for each in self.servings if each.begin <= end and begin <= each.end}

    def _reason_of_failure(self, call: Outcome, wait: float, during: list[Event]) -> str | None:
        patience = call.deadline if self.is_exec else min(wait, call.deadline)
        for event in reversed(during):
            if not _may_cause(event, call, patience):
                continue
            if call.outcome == "PEER_DIED":
                if event.deaths == 0:
                    continue
                event.deaths -= 1
            waited = call.end - call.begin
            is_early = waited < patience - TOLERANCE and not self.is_exec
            if call.outcome == "UNREACHABLE" and is_early:
                return f"expected a wait of {patience} s, got {waited:.3f} s"
            return None
        return "no event explains this"


def _may_cause(event: Event, call: Outcome, patience: float) -> bool:
    allowed = ALLOWED[event.kind]
    if call.outcome == EXIT_OF_COMMAND:
        return bool(allowed & REASONS_TO_EXIT)
    if call.outcome == "TIMEOUT" and "UNREACHABLE" in allowed and patience > 0:
        # The server came back just before the deadline, which was too late for an answer.
        lasted = min(event.end, call.end) - max(event.begin, call.begin)
        return lasted > patience - LATE_START
    return call.outcome in allowed
