"""The Python client of benchmarks/network.

Started by run.py. It reads requests from stdin and answers each with one line of JSON on stdout;
clients/README.md describes both.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram
from loops import Loop, closed_loop, open_loop
from sampled_answers import SampledAnswers
from test_call import Closed, measure, rounds_in
from transports import BaseTransport, Connection, open_transport
from workload_folder import WorkloadFolder

LONGEST_NS = 60_000_000_000
PERCENTILES = {"p50_us": 50.0, "p90_us": 90.0, "p99_us": 99.0, "p999_us": 99.9}


class Client:
    """The state between requests: at most one open transport, and this thread's connection."""

    def __init__(self) -> None:
        self._transport: BaseTransport | None = None
        self._connection: Connection | None = None
        self._about: dict[str, Any] = {}
        self._bytes = (0, 0)

    def answer(self, line: str) -> dict[str, Any]:
        try:
            request = json.loads(line)
            what = request["do"]
            known = {
                "open": self.open,
                "closed": self.closed,
                "open_loop": self.open_loop,
                "close": self.close,
            }
            if what not in known:
                raise ValueError(f"do: expected {', '.join(known)}, got {what}")
            return known[what](request)
        except KeyError as error:
            return {"error": f"request: expected {error}, got none"}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        self.close({})
        folder = WorkloadFolder(request["workload"], request["rows"])
        self._about = {name: request[name] for name in ("transport", "body", "rows")} | {
            "workload": folder.name
        }
        start = time.perf_counter()
        try:
            self._transport = open_transport(
                request["transport"], folder, request["body"], request["at"]
            )
            self._connection = self._transport.connect()
            answer = self._connection.call(folder.row(0))
            taken = time.perf_counter() - start
            if not folder.is_right(0, self._transport.unpack(answer)):
                raise ValueError(
                    f"first answer: expected that of row 0 of {folder.name}, "
                    f"got {str(answer)[:200]}"
                )
            self._bytes = self._transport.sizes(folder.row(0))
        except BaseException:
            self.close({})
            raise
        gc.unfreeze()
        gc.collect()
        # exclude long-lived objects from garbage collection, as in a service that has started
        gc.freeze()
        return {"ok": True, "first_answer_s": taken}

    def closed(self, request: dict[str, Any]) -> dict[str, Any]:
        transport, connection = self._opened()
        clients, seconds, warm_up, first = (
            request[name] for name in ("clients", "seconds", "warm_up", "first")
        )
        if clients != 1:
            return self._measurement_of(
                closed_loop(transport, first, _positive("clients", clients), warm_up, seconds)
            )
        row = transport.folder.row
        rounds = rounds_in(seconds, connection, row, first)
        closed = Closed(
            connection,
            SampledAnswers(transport),
            row,
            first,
            rounds,
            warm_up,
            self._about,
        )
        measure(closed)
        times_us = np.array(closed.times) * 1e6
        exact = {
            name: float(np.percentile(times_us, at, method="inverted_cdf"))
            for name, at in PERCENTILES.items()
        }
        return self._measurement(
            len(times_us),
            sum(closed.times),
            exact | {"max_us": float(times_us.max())},
            [closed.sampled_answers],
            closed.cpu_s,
        )

    def open_loop(self, request: dict[str, Any]) -> dict[str, Any]:
        transport, _ = self._opened()
        clients, rate, seconds, warm_up, first = (
            request[name] for name in ("clients", "rate", "seconds", "warm_up", "first")
        )
        return self._measurement_of(
            open_loop(
                transport,
                first,
                _positive("clients", clients),
                warm_up,
                seconds,
                _positive("rate", rate),
            )
        )

    def close(self, request: dict[str, Any]) -> dict[str, Any]:
        connection, transport = self._connection, self._transport
        self._connection = self._transport = None
        try:
            if connection:
                connection.close()
        finally:
            if transport:
                transport.close()
        return {"ok": True}

    def _opened(self) -> tuple[BaseTransport, Connection]:
        if self._transport is None or self._connection is None:
            raise ValueError("do: expected 'open' first, but no workload is open")
        return self._transport, self._connection

    def _measurement_of(self, loop: Loop) -> dict[str, Any]:
        times = np.frombuffer(loop.times_ns, np.int64) if loop.times_ns else np.zeros(1, np.int64)
        return self._measurement(
            len(loop.times_ns),
            loop.seconds,
            _percentiles(times),
            loop.sampled_by_thread,
            loop.cpu_s,
        )

    def _measurement(
        self,
        calls: int,
        seconds: float,
        figures: dict[str, float],
        sampled_by_thread: Iterable[SampledAnswers],
        cpu_s: float,
    ) -> dict[str, Any]:
        sampled_by_thread = list(sampled_by_thread)
        return {
            "calls": calls,
            "wrong": sum(samples.num_wrong() for samples in sampled_by_thread),
            "lost": sum(samples.lost for samples in sampled_by_thread),
            "seconds": seconds,
            **figures,
            "request_bytes": self._bytes[0],
            "response_bytes": self._bytes[1],
            "cpu_s": cpu_s,
            "error": next(
                (samples.error for samples in sampled_by_thread if samples.error),
                None,
            ),
        }


def _percentiles(times_ns: np.ndarray) -> dict[str, float]:
    """Percentiles from a histogram with three significant digits.

    Values in the same bucket are recorded together, because the histogram is slow pure Python.
    """
    histogram = HdrHistogram(1, LONGEST_NS, 3)
    coarse = np.maximum(
        np.frexp(times_ns.astype(np.float64))[1] - 11, 0
    )  # 2048 buckets per power of two
    values, counts = np.unique(
        np.clip(times_ns >> coarse << coarse, 1, LONGEST_NS), return_counts=True
    )
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return {
        name: histogram.get_value_at_percentile(at) / 1e3 for name, at in PERCENTILES.items()
    } | {"max_us": int(times_ns.max()) / 1e3}


def _positive(name: str, value: float) -> Any:
    if value <= 0:
        raise ValueError(f"{name}: expected more than 0, got {value}")
    return value


def main() -> None:
    # Only answers may go to stdout, so redirect everything that libraries print to stderr.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    client = Client()
    for line in sys.stdin:
        answers.write(json.dumps(client.answer(line)) + "\n")
        answers.flush()
    client.close({})


if __name__ == "__main__":
    main()
