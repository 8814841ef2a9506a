"""Keeps answers while the clock runs, checks them later. Used by loops.py and test_call.py."""

from typing import Any

from transports import BaseTransport

FIRST_CALLS = 100  # the answer to each of these is checked; fewer calls if answers are large
MOST_ANSWERS = 1000
MOST_BYTES = 64 << 20


class SampledAnswers:
    """The kept answers of one thread: those of the first calls, and every k-th one.

    k doubles whenever too many answers are kept.
    """

    def __init__(self, transport: BaseTransport, threads: int = 1):
        self._transport = transport
        self._every = 1
        self._most = max(
            16, min(MOST_ANSWERS, MOST_BYTES // transport.folder.answer_bytes) // threads
        )
        self._kept: list[tuple[int, int, Any]] = []
        self.lost = 0
        self.error: str | None = None

    def add(self, number: int, call: int, answer: Any) -> None:
        """Keeps an answer if it is one of the first, or a k-th one. `number` counts the calls of
        this measurement from 0, `call` selects the rows that were sent.
        """
        if number % self._every and number >= FIRST_CALLS:
            return
        self._kept.append((number, call, answer))
        if len(self._kept) > self._most:
            self._every *= 2
            first = min(FIRST_CALLS, self._most // 2)
            self._kept = [one for one in self._kept if one[0] % self._every == 0 or one[0] < first]

    def add_lost(self, error: Exception) -> None:
        self.lost += 1
        self.error = self.error or f"{type(error).__name__}: {error}"

    def num_wrong(self) -> int:
        """The number of kept answers that differ from the expected ones."""
        folder, unpack = self._transport.folder, self._transport.unpack
        return sum(not folder.is_right(call, unpack(answer)) for _, call, answer in self._kept)
