"""Many callers, one thread each: the closed loop and the open loop. Used by client.py."""

import ctypes
import itertools
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from sampled_answers import SampledAnswers
from test_call import cpu_seconds
from transports import BaseTransport, Connection

SPIN_NS = 100_000  # spin for this long before a call is due
PR_SET_TIMERSLACK = 29
# Takes the number of a call in its measurement. Returns the moment from which the call is timed, or
# None if the loop is over.
Due = Callable[[int], int | None]


@dataclass
class Loop:
    """The results of a measurement with several threads."""

    times_ns: array  # of every call that is counted
    sampled_by_thread: list[SampledAnswers]
    seconds: float
    cpu_s: float


def closed_loop(
    transport: BaseTransport, first: int, clients: int, warm_up: int, seconds: float
) -> Loop:
    """The closed loop: each thread calls again as soon as it has its answer.

    Each thread makes at least one call, because on a busy machine it may wake up after the end.
    """

    def due_from(start: int) -> Due:
        end = start + round(seconds * 1e9)

        def due(number: int) -> int | None:
            now = time.perf_counter_ns()
            return now if now < end or number == 0 else None

        return due

    return _run(transport, first, clients, warm_up, due_from)


def open_loop(
    transport: BaseTransport, first: int, clients: int, warm_up: int, seconds: float, rate: float
) -> Loop:
    """The open loop: call i is due i / rate seconds after the start, however late answers are.

    The time of a call counts from the moment at which it was due.
    """
    calls = max(1, round(rate * seconds))

    def due_from(start: int) -> Due:
        def due(number: int) -> int | None:
            if number >= calls:
                return None
            at = start + round(number * 1e9 / rate)
            sleep_ns = at - time.perf_counter_ns() - SPIN_NS
            if sleep_ns > 0:
                time.sleep(sleep_ns / 1e9)
            while time.perf_counter_ns() < at:
                time.sleep(0)  # releases the interpreter lock too
            return at

        return due

    return _run(transport, first, clients, warm_up, due_from)


def _run(
    transport: BaseTransport, first: int, clients: int, warm_up: int, due_from: Callable[[int], Due]
) -> Loop:
    together = threading.Barrier(
        clients + 1
    )  # three waits: all threads are warm, the clock runs, all threads are done
    workers = [_Worker(transport, clients, first, warm_up, together) for _ in range(clients)]
    for worker in workers:
        worker.start()
    try:
        together.wait()
        numbers = itertools.count()
        cpu, start = cpu_seconds(), time.perf_counter_ns()
        for worker in workers:
            worker.numbers, worker.due = numbers, due_from(start)
        together.wait()
        together.wait()
        seconds, cpu = (time.perf_counter_ns() - start) / 1e9, cpu_seconds() - cpu
    except threading.BrokenBarrierError:
        raise next(worker.failure for worker in workers if worker.failure) from None
    finally:
        for worker in workers:
            worker.join()
    times = array("q")
    for worker in workers:
        times.extend(worker.times_ns)
    return Loop(times, [worker.sampled_answers for worker in workers], seconds, cpu)


class _Worker(threading.Thread):
    """One caller with its own connection."""

    numbers: Iterator[int]
    due: Due

    def __init__(
        self,
        transport: BaseTransport,
        clients: int,
        first: int,
        warm_up: int,
        together: threading.Barrier,
    ):
        super().__init__(daemon=True)
        self._transport, self._first, self._warm_up, self._together = (
            transport,
            first,
            warm_up,
            together,
        )
        self._crowded = clients > 1
        self.sampled_answers = SampledAnswers(transport, clients)
        self.times_ns = array("q")
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            # Without this, a sleep ends up to 50 us late.
            ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
            connection = self._transport.connect(self._crowded)
            try:
                self._work(connection)
            finally:
                connection.close()
        except threading.BrokenBarrierError:
            return
        except Exception as error:
            self.failure = error
            self._together.abort()

    def _work(self, connection: Connection) -> None:
        row, call, first, sampled_answers = (
            self._transport.folder.row,
            connection.call,
            self._first,
            self.sampled_answers,
        )
        for i in range(self._warm_up):
            with suppress(Exception):  # only calls of the measurement count as lost
                call(row(first + i))
        self._together.wait()
        self._together.wait()
        for number in self.numbers:
            sent = row(first + number)
            start = self.due(number)
            if start is None:
                break
            try:
                answer = call(sent)
            except Exception as error:
                self.times_ns.append(time.perf_counter_ns() - start)
                sampled_answers.add_lost(error)
            else:
                self.times_ns.append(time.perf_counter_ns() - start)
                sampled_answers.add(number, first + number, answer)
        self._together.wait()
