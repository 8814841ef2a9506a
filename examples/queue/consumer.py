"""What the two consumers of this folder share: they score messages, and settle each exactly once.

A message is a JSON object: one record of the model. It is settled when its outcome is in the
database of the results: an answer, or the error for which it went to the dead letters. The broker
hears of it afterwards. docs/deployment/queues.md explains why a kill at any moment loses and doubles nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import signal
import sqlite3
from dataclasses import dataclass
from typing import Any, Protocol

import sidecall

log = logging.getLogger("consumer")


@dataclass(frozen=True)
class Message:
    id: str | None  # the same at each delivery; None if the sender gave none
    body: bytes
    origin: Any  # the object of the broker's own client


@dataclass(frozen=True)
class Outcome:
    """What becomes of a message: an answer as JSON, or the code and the text of an error."""

    answer: str | None = None
    code: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Move:
    """How far a batch moves through a partition of a log: the offset before it, and after it."""

    partition: str
    before: int
    after: int


class Source(Protocol):
    """A queue or topic of a broker."""

    # Whether a dead letter stays published if this process dies before `acknowledge`.
    dead_letters_stay: bool

    def receive(self, max_messages: int) -> list[Message]:
        """The messages that have arrived, in order; none if none arrives for about a second."""

    def publish_dead(self, rejected: list[tuple[Message, Outcome]]) -> None:
        """Publishes messages that cannot be scored, with their errors."""

    def moves(self, messages: list[Message]) -> list[Move]:
        """What the results must remember with the outcomes; none if the broker remembers it."""

    def acknowledge(self, messages: list[Message]) -> None:
        """Tells the broker that the messages are settled."""

    def pause(self, seconds: float) -> None:
        """Waits, and keeps the connection to the broker alive."""


class StoppedError(Exception):
    """SIGTERM or SIGINT arrived while a batch waited for the model. Nothing of it is settled."""


class SupersededError(Exception):
    """Another consumer has moved the same partition. This one must end."""


FAILURES = (sidecall.Error, sqlite3.Error, SupersededError)


class Stop:
    """Becomes true at SIGTERM or SIGINT, so that the loop can finish its batch first."""

    def __init__(self) -> None:
        self._is_asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self._is_asked = True

    def __bool__(self) -> bool:
        return self._is_asked


class Results:
    """The outcomes, in SQLite. In PostgreSQL, the same statements serve many machines."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._database.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS outcomes (
                id TEXT PRIMARY KEY, answer TEXT, code TEXT, error TEXT
            );
            CREATE TABLE IF NOT EXISTS positions (id TEXT PRIMARY KEY, next INTEGER NOT NULL);
        """)

    def known(self, ids: list[str]) -> dict[str, Outcome]:
        """The outcomes that earlier deliveries of these messages had."""
        query = """
            SELECT id, answer, code, error FROM outcomes
            WHERE id IN (SELECT value FROM json_each(?))
        """
        rows = self._database.execute(query, [json.dumps(ids)])
        return {identity: Outcome(*values) for identity, *values in rows}

    def position(self, partition: str, first: int) -> int:
        """The offset at which a partition goes on. A partition that is new begins at `first`."""
        insert = "INSERT INTO positions VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._database.execute(insert, [partition, first])
        query = "SELECT next FROM positions WHERE id = ?"
        return self._database.execute(query, [partition]).fetchone()[0]

    def write(self, outcomes: dict[str, Outcome], moves: list[Move]) -> None:
        """Writes the outcomes and moves the positions, both or neither.

        Raises SupersededError if a position is not where this consumer left it.
        """
        rows = [(identity, o.answer, o.code, o.error) for identity, o in outcomes.items()]
        with self._database:  # commits, or rolls back after an exception
            self._database.execute("BEGIN IMMEDIATE")
            for move in moves:
                update = "UPDATE positions SET next = ? WHERE id = ? AND next = ?"
                values = [move.after, move.partition, move.before]
                if self._database.execute(update, values).rowcount != 1:
                    raise SupersededError(f"another consumer has moved {move.partition}")
            insert = "INSERT INTO outcomes VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
            self._database.executemany(insert, rows)


class Scorer:
    """Scores batches. It waits for a model that is away, and isolates messages that break it."""

    def __init__(self, uri: str, timeout: float, attempts: int, source: Source, stop: Stop) -> None:
        self._uri, self._timeout, self._attempts = uri, timeout, attempts
        self._source, self._stop = source, stop
        self._model: sidecall.Model | None = None

    def score(self, messages: list[Message]) -> list[Outcome]:
        """One outcome for each message.

        Raises StoppedError, and each error of sidecall that no waiting cures.
        """
        outcomes: dict[int, Outcome] = {}
        records = {}
        for i, message in enumerate(messages):
            try:
                records[i] = parse(message)
            except sidecall.Error as error:
                outcomes[i] = Outcome(code=error.code, error=error.message)
        outcomes |= self._predict(records)
        return [outcomes[i] for i in range(len(messages))]

    def _predict(self, records: dict[int, dict[str, Any]]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        delay, failures = 0.1, 0
        while True:
            try:
                if self._model is None:
                    self._model = sidecall.open(self._uri, timeout=self._timeout)
                if not records:
                    return outcomes
                answers = self._model.predict(list(records.values()))
                scored = {
                    i: Outcome(answer=to_json(a)) for i, a in zip(records, answers, strict=True)
                }
                return outcomes | scored
            except sidecall.Error as error:
                if error.family == DATA and error.faults:
                    outcomes |= rejections(list(records), error)
                    records = {i: record for i, record in records.items() if i not in outcomes}
                    continue
                if self._model and (error.family == DATA or isinstance(error, BREAKS)):
                    # Perhaps one message of the batch is the reason.
                    if len(records) > 1:
                        self._pause(delay)
                        return outcomes | self._predict_halves(records)
                    failures += 1
                    if error.family == DATA or failures == self._attempts:
                        rejected = Outcome(code=error.code, error=error.message)
                        return outcomes | dict.fromkeys(records, rejected)
                elif not error.retryable:
                    raise
                log.warning("waiting for the model: %s", error)
            self._pause(delay)
            delay = min(2 * delay, 5)

    def _predict_halves(self, records: dict[int, dict[str, Any]]) -> dict[int, Outcome]:
        items = list(records.items())
        middle = len(items) // 2
        return self._predict(dict(items[:middle])) | self._predict(dict(items[middle:]))

    def _pause(self, seconds: float) -> None:
        if self._stop:
            raise StoppedError
        self._source.pause(seconds)


MAX_ERROR = 1000  # characters of a text; one record can have hundreds of faults
DATA = 40  # the family of the errors about values
# The model has taken a call and died, or was too slow, or its code raised an exception.
BREAKS = (sidecall.errors.PeerDied, sidecall.errors.Timeout, sidecall.errors.Engine)


def parse(message: Message) -> dict[str, Any]:
    """The record in a message.

    Raises InvalidJson, OutOfRange for a number that is too large for float64, and MissingValue if
    the message has no id.
    """
    if not message.id:
        raise sidecall.errors.MissingValue("message: expected an id, got none")
    try:
        record = json.loads(
            message.body,
            parse_constant=refuse,
            parse_float=finite_float,
            object_pairs_hook=distinct,
        )
    except (ValueError, RecursionError):
        raise sidecall.errors.InvalidJson("message: expected JSON, got another text") from None
    if not isinstance(record, dict):
        raise sidecall.errors.InvalidJson("message: expected a JSON object, got another value")
    return record


def refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity, which are not JSON


def finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # 1e999, which would not be JSON when it is written again
        raise sidecall.errors.OutOfRange("message: expected numbers of float64, got a larger one")
    return value


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("the same key twice")
    return record


def to_json(answer: Any) -> str:
    """An answer as JSON, with null for NaN and infinity, as sidecall's servers write it."""
    return json.dumps(without_nan(answer), allow_nan=False)


def without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rejections(numbers: list[int], error: sidecall.Error) -> dict[int, Outcome]:
    """The outcomes of the rows that have faults: the code of the first, and all texts."""
    outcomes: dict[int, Outcome] = {}
    for fault in error.faults:
        i = numbers[fault.row or 0]
        before = outcomes.get(i)
        text = f"{before.error}; {fault.message}" if before else fault.message
        code = before.code if before else fault.code
        outcomes[i] = Outcome(code=code, error=text[:MAX_ERROR])
    return outcomes


def run(source: Source, results: Results, options: argparse.Namespace) -> None:
    """Settles messages until SIGTERM or SIGINT. The batch is then settled first."""
    stop = Stop()
    scorer = Scorer(options.model, options.timeout, options.attempts, source, stop)
    with contextlib.suppress(StoppedError):  # the broker then delivers the batch again
        scorer.score([])  # a model that cannot be opened is found now
        while not stop:
            messages = source.receive(options.batch)
            if messages:
                settle(messages, source, scorer, results)


def settle(messages: list[Message], source: Source, scorer: Scorer, results: Results) -> None:
    """Gives each message of a batch its outcome. Each step may be the last before a kill."""
    known = results.known([message.id for message in messages if message.id])
    # A sender may have repeated a message, so one id can be in the batch twice.
    fresh = list({m.id: m for m in messages if m.id and m.id not in known}.values())
    fresh += [message for message in messages if not message.id]
    scored = list(zip(fresh, scorer.score(fresh), strict=True))
    new = {message.id: outcome for message, outcome in scored if message.id}
    if source.dead_letters_stay:
        source.publish_dead(rejected(scored))
        results.write(new, source.moves(messages))
    else:
        results.write(new, source.moves(messages))
        # If the broker has delivered a message to another consumer too, one outcome is stored, and
        # both consumers must follow it. Letters of earlier deliveries were perhaps not published.
        with_id = {message.id: message for message in messages if message.id}
        stored = results.known(list(with_id))
        again = [(message, stored[identity]) for identity, message in with_id.items()]
        source.publish_dead(rejected([*again, *(pair for pair in scored if not pair[0].id)]))
    source.acknowledge(messages)


def rejected(settled: list[tuple[Message, Outcome]]) -> list[tuple[Message, Outcome]]:
    return [(message, outcome) for message, outcome in settled if outcome.code]


def make_parser(description: str) -> argparse.ArgumentParser:
    """The options of both consumers."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("--model", required=True, help="a file, shm:NAME, http://HOST:PORT/NAME, ...")
    add("--results", required=True, help="the SQLite database of the outcomes")
    add("--batch", type=positive, default=100, help="the most messages that are scored at once")
    add("--timeout", type=float, default=10, help="seconds that one call of the model may take")
    add(
        "--attempts",
        type=int,
        default=5,
        help="how often a message may break the model before it is a dead letter; 0: always",
    )
    return parser


def positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)
