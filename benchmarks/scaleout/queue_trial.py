"""Messages with known outcomes, sent through a broker and a consumer of examples/queue.

Used by queues.py and by tests/examples/test_queue.py.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sidecall

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "network"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/queue"))

from approaches.kafka import create_topic, start_tansu
from approaches.rabbitmq import start_rabbitmq
from host import Host
from queue_kill import STEPS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = ROOT / "tests/vectors/models/matrix.onnx"
PATIENCE_S = 120
# Bodies that cannot be scored, with their errors.
POISON = (
    (b"\xffnot JSON", "INVALID_JSON"),
    (b"", "INVALID_JSON"),
    (b"[1, 2]", "INVALID_JSON"),
    (b'{"a": NaN, "b": 2, "c": true, "d": 0.5}', "INVALID_JSON"),
    (b'{"a": 1, "a": 1, "b": 2, "c": true, "d": 0.5}', "INVALID_JSON"),
    (b"[" * 100_000, "INVALID_JSON"),
    (b"{}", "MISSING_VALUE"),
    (b'{"a": 1, "b": 2, "c": true}', "MISSING_VALUE"),
    (b'{"a": "1", "b": 2, "c": true, "d": 0.5}', "DTYPE_MISMATCH"),
    (b'{"a": 1, "b": 2, "c": true, "d": 0.5, "e": 6}', "UNKNOWN_NAME"),
    (b'{"a": 1, "b": 2, "c": true, "d": 0.5, "\\ud800": 6}', "UNKNOWN_NAME"),
    (json.dumps({f"k{i}": i for i in range(2000)}).encode(), "UNKNOWN_NAME"),
    (b'{"a": [], "b": {}, "c": true, "d": 0.5}', "DTYPE_MISMATCH"),
    (b'{"a": 1, "b": 1e300, "c": true, "d": 0.5}', "OUT_OF_RANGE"),
    (b'{"a": 1e999, "b": 2, "c": true, "d": 0.5}', "OUT_OF_RANGE"),
)


@dataclass(frozen=True)
class Sent:
    body: bytes
    answer: dict | None  # None if the message cannot be scored
    code: str | None = None


def make_messages(number: int, seed: int, poison_share: float = 0.02) -> list[Sent]:
    """Messages whose expected answers come from single calls in this process."""
    draw, made = random.Random(seed), []
    with sidecall.open(MODEL) as model:
        for _ in range(number):
            if draw.random() < poison_share:
                body, code = draw.choice(POISON)
                made.append(Sent(body, None, code))
                continue
            record = {
                "a": draw.randrange(1000),
                "b": draw.randrange(1000),
                "c": draw.random() < 0.5,
                "d": draw.randrange(1000) / 8,
            }
            made.append(Sent(json.dumps(record).encode(), model.predict(record)))
    return made


class RabbitMqTrial:
    """A quorum queue of a RabbitMQ broker, and one for its dead letters."""

    name, consumer = "RabbitMQ", "rabbitmq_consumer"
    steps = tuple(step for step in STEPS if step != "produce")

    @staticmethod
    def start(host: Host) -> str:
        """Starts a broker; returns its address."""
        return f"amqp://guest:guest@127.0.0.1:{start_rabbitmq(host)}/%2F"

    def __init__(self, host: Host, address: str, queue: str) -> None:
        import pika

        self._pika, self._queue = pika, queue
        self.connection = pika.BlockingConnection(
            pika.URLParameters(f"{address}?heartbeat=0")  # this program may be busy for long
        )
        self._channel = self.connection.channel()
        # By default, a quorum queue drops a message after 20 deliveries.
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": -1}
        for name in (queue, f"{queue}.dead"):
            self._channel.queue_declare(name, durable=True, arguments=arguments)
        self._channel.tx_select()
        self._number = 0
        self.arguments = ["--url", address, "--queue", queue]

    def send(self, bodies: list[bytes]) -> list[str]:
        """Sends messages; returns their ids."""
        ids = [f"m{self._number + i}" for i in range(len(bodies))]
        self._number += len(bodies)
        for identity, body in zip(ids, bodies, strict=True):
            self.send_one(identity, body)
        self._channel.tx_commit()
        return [f"{self._queue}/{identity}" for identity in ids]

    def send_one(self, identity: str | bytes | None, body: bytes, **properties: Any) -> None:
        """Sends a message with any id, together with those that `send` sends next."""
        properties = self._pika.BasicProperties(message_id=identity, delivery_mode=2, **properties)
        self._channel.basic_publish("", self._queue, body, properties)

    def dead_letters(self) -> list[tuple[str, bytes, str]]:
        """Takes all dead letters: id, body and code of the error."""
        found = []
        while True:
            method, properties, body = self._channel.basic_get(f"{self._queue}.dead", auto_ack=True)
            if method is None:
                return found
            identity = properties.message_id
            if isinstance(identity, str) and identity:
                identity = f"{self._queue}/{identity}"
            found.append((identity, body, properties.headers["error-code"]))

    def unsettled(self, _database: Path) -> int:
        """The messages that the broker still holds, when no consumer runs."""
        return self._channel.queue_declare(self._queue, passive=True).method.message_count


class KafkaTrial:
    """A topic of a broker for the Kafka protocol."""

    name, consumer = "Kafka protocol (Tansu)", "kafka_consumer"
    steps = tuple(step for step in STEPS if step != "basic_ack")

    @staticmethod
    def start(host: Host) -> str:
        """Starts a broker; returns its address."""
        return start_tansu(host)

    def __init__(self, host: Host, address: str, topic: str) -> None:
        from confluent_kafka import Producer

        for name in (topic, f"{topic}.dead"):
            create_topic(host, address, name)
        self._address, self._topic = address, topic
        self._producer = Producer({"bootstrap.servers": address, "acks": "all"})
        self.arguments = ["--brokers", address, "--topic", topic]

    def send(self, bodies: list[bytes]) -> list[str]:
        """Sends messages; returns their ids."""
        offsets: list[int] = []

        def note(_error: object, one: Any) -> None:
            offsets.append(one.offset())

        for body in bodies:
            self._producer.produce(self._topic, body, partition=0, on_delivery=note)
        if self._producer.flush(PATIENCE_S) or offsets != sorted(set(offsets)):
            raise RuntimeError("kafka: expected each message to be stored once and in order")
        return [f"{self._topic}/0/{offset}" for offset in offsets]

    def dead_letters(self) -> list[tuple[str, bytes, str]]:
        """Reads all dead letters: id, body and code of the error."""
        found = []
        for one in self._read(f"{self._topic}.dead", 0):
            headers = {key: value.decode() for key, value in one.headers()}
            identity = f"{self._topic}/0/{headers['source-offset']}"
            found.append((identity, one.value() or b"", headers["error-code"]))
        return found

    def unsettled(self, database: Path) -> int:
        """The messages after the position of the results."""
        query = "SELECT next FROM positions WHERE id = ?"
        rows = sqlite3.connect(database).execute(query, [f"{self._topic}/0"])
        return len(self._read(self._topic, rows.fetchone()[0]))

    def _read(self, topic: str, begin: int) -> list:
        from kafka_consumer import read_to_end

        return list(read_to_end(self._address, topic, 0, begin))


Trial = RabbitMqTrial | KafkaTrial
TRIALS = (RabbitMqTrial, KafkaTrial)


class Consumer:
    """A process of a consumer, which may kill itself (queue_kill.py)."""

    def __init__(
        self,
        trial: Trial,
        folder: Path,
        step: str = "never",
        nth: int = 1,
        model: str = str(MODEL),
        options: tuple[str, ...] = (),
    ) -> None:
        self.log, self.errors = folder / "received", folder / "errors"
        self.log.touch()
        command = [sys.executable, str(HERE / "queue_kill.py"), step, str(nth), str(self.log)]
        command += [trial.consumer, "--model", model, "--results", str(folder / "results.db")]
        with self.errors.open("ab") as file:
            self.process = subprocess.Popen(
                [*command, *trial.arguments, *options],
                stdin=subprocess.DEVNULL,
                stderr=file,
                env=os.environ | {"SIDECALL_ENGINE": "native"},
            )

    def wait(self) -> int:
        """The exit code; -9 after SIGKILL."""
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Sends SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.wait()

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def settled(database: Path) -> int:
    """The messages that have an outcome."""
    if not database.exists():
        return 0
    try:
        query = "SELECT count(*) FROM outcomes"
        return sqlite3.connect(database, timeout=60).execute(query).fetchone()[0]
    except sqlite3.OperationalError:  # the table does not exist yet
        return 0


def wait_for(condition: Callable[[], bool], what: str, consumer: Consumer | None = None) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if consumer and consumer.process.poll() is not None:
            raise RuntimeError(f"the consumer ended: {consumer.errors.read_text()[-2000:]}")
        if time.monotonic() > until:
            raise RuntimeError(f"expected {what} within {PATIENCE_S} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Verdict:
    """What a run did to the messages, counted for results and dead letters together."""

    lost: int
    doubled: int
    wrong: int
    redelivered: int  # received more than once, which is right


def judge(trial: Trial, folder: Path, sent: dict[str, Sent]) -> tuple[Verdict, list[str]]:
    """Compares the results and the dead letters with what was sent, when no consumer runs.

    Also returns a sentence about each message that is not as it should be.
    """
    database = sqlite3.connect(folder / "results.db")
    outcomes = {i: rest for i, *rest in database.execute("SELECT id, answer, code FROM outcomes")}
    letters = Counter(trial.dead_letters())
    lost, doubled, wrong = [], [], []
    for identity, message in sent.items():
        found = outcomes.pop(identity, None)
        letter = identity, message.body, message.code
        if found is None or (message.code and letter not in letters):
            lost.append(f"lost: {identity}")
        elif not fits(message, *found):
            wrong.append(f"wrong: {identity}: expected {message}, got {found}")
        if letters[letter] > 1:
            doubled.append(f"doubled: {identity}: {letters[letter]} dead letters")
        letters.pop(letter, None)
    # What is left was not sent, or is not what was sent.
    wrong += [f"wrong: {one}" for one in [*outcomes, *letters]]
    received = Counter((folder / "received").read_text().split())
    redelivered = sum(count > 1 for count in received.values())
    verdict = Verdict(len(lost), len(doubled), len(wrong), redelivered)
    return verdict, lost + doubled + wrong


def fits(message: Sent, answer: str | None, code: str | None) -> bool:
    return code == message.code and (answer and json.loads(answer)) == message.answer
