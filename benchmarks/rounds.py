"""Clients in separate processes, and rounds that alternate approaches; used by */run.py."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

BLOCK = 64  # calls that are timed together if a call is short


class Client:
    """A process that understands the requests that inproc/native/main.c describes.

    Requests are sent one at a time, so that no two clients run at the same time.
    """

    def __init__(self, name: str, command: list[str], environment: dict[str, str]):
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | environment
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if (
            kind is not None
        ):  # the client may be in the middle of a request and wait for a server that is stopped
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def ask(self, *words: object) -> tuple[np.ndarray, np.ndarray]:
        """Sends a request; returns the numbers (times in ns) and the answers of the client."""
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self._process.stdin.flush()
        head = self._process.stdout.readline().decode().split()
        if not head or head[0] != "ok":
            raise RuntimeError(
                f"client {self.name}, request '{words[0]}': {' '.join(head[1:]) or 'the process ended'}"
            )
        return self._read(int(head[1]), np.int64), self._read(int(head[2]), np.float64)

    def _read(self, count: int, dtype: type) -> np.ndarray:
        return np.frombuffer(self._process.stdout.read(count * 8), dtype)


@dataclass
class Contender:
    """An approach in a client, and the results of its rounds."""

    client: Client
    approach: str
    calls: int = 0
    block: int = 1  # calls that are timed together; only native clients know blocks
    next_call: int = 0
    medians: list[float] = field(default_factory=list)  # one per round, ns
    times: list[np.ndarray] = field(default_factory=list)

    def ask_round(self, calls: int, warm_up: int) -> tuple[np.ndarray, np.ndarray]:
        request = ["round", self.approach, self.next_call, calls, warm_up]
        times, answers = self.client.ask(*request, *([self.block] if self.block > 1 else []))
        return times / self.block, answers

    @property
    def key(self) -> tuple[str, str]:
        return self.client.name, self.approach

    def percentile_us(self, percent: float) -> float:
        return float(np.percentile(np.concatenate(self.times), percent)) / 1000

    def row(self, scenario: str, rows: int, **more: float) -> dict:
        """The row of the document for this contender."""
        measured = {"p50_us": self.percentile_us(50), "p99_us": self.percentile_us(99)}
        timed = sum(len(times) for times in self.times)
        counts = {"calls": timed * self.block, "rounds": len(self.medians)}
        return (
            {
                "scenario": scenario,
                "rows": rows,
                "approach": self.approach,
                "client": self.client.name,
            }
            | measured
            | more
            | counts
        )

    def ratio_to(self, other: "Contender") -> float:
        """The median over rounds of the ratio within a round.

        A disturbance in a round affects both contenders, so it hardly affects the ratio.
        """
        return float(np.median(np.array(self.medians) / np.array(other.medians)))


def run_rounds(
    contenders: list[Contender],
    rounds: int,
    budget_ns: float,
    check: Callable[[Contender, int, np.ndarray], None],
    *,
    blocks_below_ns: float = 0,
    can_block: Sequence[Contender] = (),
    warm: bool = True,
) -> None:
    """Lets each contender time about `budget_ns` of calls in each round.

    The order of the contenders is reversed after every round. `check` receives the contender, the
    number of its first call and the answers. Calls that take less than `blocks_below_ns` are timed
    in blocks of BLOCK, if the contender is one of `can_block`. Without `warm` there are no untimed
    calls, because the calls take seconds.
    """

    def run(contender: Contender, calls: int, warm_up: int) -> np.ndarray:
        times, answers = contender.ask_round(calls, warm_up)
        check(contender, contender.next_call, answers)
        contender.next_call += calls
        return times

    for contender in contenders:
        estimate = float(np.median(run(contender, 3, 2) if warm else run(contender, 1, 0)))
        contender.calls = int(np.clip(budget_ns / estimate, 1, 1000))
        if estimate < blocks_below_ns and contender in can_block:
            contender.block = BLOCK
            contender.calls = -(-contender.calls // BLOCK) * BLOCK
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            # The process was asleep, so other processes have used its caches. A few untimed calls
            # fill them again.
            times = run(contender, contender.calls, min(contender.calls, 20) if warm else 0)
            contender.medians.append(float(np.median(times)))
            contender.times.append(times)
