"""One call of the soak: what it sends, and whether the answer is right. Used by soak_client.py and
soak_command.py; soak_client.cpp and soak_client.js do the same.

A client writes one line for each call, a JSON array: the number of the call, its kind, its outcome
(a status, WRONG for a wrong answer, or an end of the command that soak_command.py describes), the
number of the model that answered (0 for none), the number of columns of `x` (0 if it is not known
yet), the seconds of the monotonic clock at which the call began and ended, its deadline in seconds,
and the message of its error. Its last line is "end" and the number of its calls.
"""

import json
import random
import select
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

DEADLINE = 5.0
SHORT_DEADLINE = 0.02
PAUSE = 0.03
LONG_RUN = 5000  # rounds that take some milliseconds
ENDLESS = 10**9  # rounds that last longer than every deadline
LARGE_ROWS = 3000
MANY_PIECES = 50_000
RARELY = 100  # each kind in `rare` is about one call in 100


class Request(NamedTuple):
    """What a call sends. Element i of `x` is number * 10 000 + i."""

    number: int
    rows: int
    pieces: int
    rounds: int

    def row(self, width: int, row: int = 0) -> list[float]:
        first = self.number * 10_000 + row * width
        return [float(first + i) for i in range(width)]

    def record(self, names: Sequence[str]) -> dict:
        row = dict(zip(names, self.row(len(names)), strict=True))
        return row | {"pieces": self.pieces, "rounds": self.rounds}

    def answerer(self, y: Sequence[float], more: Sequence[float] | None, width: int) -> int:
        """The number of the model that gave this answer; 0 if the answer is wrong."""
        offset = y[0] - self.row(width)[0] if len(y) == self.rows * width else 0
        model = round(offset * 16)
        sent = (value for row in range(self.rows) for value in self.row(width, row))
        is_right = (
            0 < offset < 1
            and offset == model / 16
            and all(got == value + offset for got, value in zip(y, sent, strict=True))
            and (
                more is None or (len(more) == self.pieces and all(each == offset for each in more))
            )
        )
        return model if is_right else 0


class Line:
    """Measures a call and writes its line."""

    def __init__(self, number: int, kind: str, width: int, deadline: float = DEADLINE):
        self._head = [number, kind]
        self._width, self._deadline = width, deadline
        self._begin = time.monotonic()

    def write(self, outcome: str, model: int = 0, message: str = "") -> None:
        times = [round(each, 6) for each in (self._begin, time.monotonic(), self._deadline)]
        print(json.dumps([*self._head, outcome, model, self._width, *times, message]), flush=True)


class Caller:
    """Makes calls until stdin ends, and chooses the kind of each."""

    def __init__(self, first: int, seed: int, usual: Sequence[str], rare: Sequence[str]):
        self._random, self._usual, self._rare = random.Random(seed), usual, rare
        self.number = self._first = first

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def request(self, kind: str) -> Request:
        return Request(
            self.next_number(),
            LARGE_ROWS if kind == "large" else 1,
            MANY_PIECES if kind == "one-shot" else self._random.randint(1, 3),
            ENDLESS if kind == "late" else LONG_RUN if self._random.random() < 0.2 else 0,
        )

    def call_until_stdin_ends(self, call: Callable[[str], None]) -> None:
        while not select.select([sys.stdin], [], [], PAUSE)[0]:
            is_rare = self._random.randrange(RARELY) < len(self._rare)
            call(self._random.choice(self._rare if is_rare else self._usual))
        print(json.dumps(["end", self.number - self._first]), flush=True)
