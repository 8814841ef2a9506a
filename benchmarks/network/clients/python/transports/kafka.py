"""The Kafka protocol with confluent-kafka: one topic of requests, one of replies, correlation by
key.

All callers share a producer and a consumer.
"""

import itertools
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from workload_folder import WorkloadFolder

from transports import CALL_TIMEOUT_S, BytesTransport, nothing

# librdkafka's advice for low latency: do not wait for a batch, and let a fetch return with the
# first message.
SOCKET = {"socket.nagle.disable": True}
PRODUCER = SOCKET | {"linger.ms": 0, "acks": 1, "message.max.bytes": 8 << 20}
CONSUMER = SOCKET | {
    "group.id": "client",
    "enable.auto.commit": False,
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 1,
    "fetch.queue.backoff.ms": 0,
}


class Transport(BytesTransport):
    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        self._topic = f"{at['topic']}-{folder.name}"
        server = {"bootstrap.servers": at["bootstrap"]}
        self._producer = Producer(server | PRODUCER)
        self._consumer = Consumer(server | CONSUMER)
        replies = TopicPartition(f"{self._topic}-replies", 0)
        _, replies.offset = self._consumer.get_watermark_offsets(replies, CALL_TIMEOUT_S)
        self._consumer.assign([replies])
        self._caller, self._numbers = os.urandom(4), itertools.count()
        self._lock = threading.Lock()
        self._crowd = 0  # number of open connections whose replies the reader thread distributes
        self._waiting: dict[bytes, queue.SimpleQueue[bytes]] = {}
        self._reader: threading.Thread | None = None

    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        """Returns the function that sends a request and returns its response, and the function that
        a caller calls at its end.

        A single caller polls by itself. If there are many callers, a separate thread polls and
        distributes the replies, as long as at least one caller is connected.
        """
        if not crowded:
            return self._exchange_alone, nothing
        with self._lock:
            self._crowd += 1
            if self._crowd == 1:
                self._reader = threading.Thread(target=self._hand_out, daemon=True)
                self._reader.start()
        return self._exchange_in_crowd, self._leave

    def close(self) -> None:
        self._producer.flush(CALL_TIMEOUT_S)
        self._consumer.close()

    def _key(self) -> bytes:
        return self._caller + (next(self._numbers) & 0xFFFFFFFF).to_bytes(4, "little")

    def _exchange_alone(self, body: bytes) -> bytes:
        key = self._key()
        self._producer.produce(self._topic, body, key, partition=0)
        self._producer.poll(0)
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while time.monotonic() < deadline:
            message = _checked(self._consumer.poll(CALL_TIMEOUT_S))
            if message and message.key() == key:
                return message.value()
        raise TimeoutError(f"{self._topic}: expected a reply within {CALL_TIMEOUT_S} s, got none")

    def _exchange_in_crowd(self, body: bytes) -> bytes:
        key = self._key()
        box = self._waiting[key] = queue.SimpleQueue()
        self._producer.produce(self._topic, body, key, partition=0)
        self._producer.poll(0)
        try:
            return box.get(timeout=CALL_TIMEOUT_S)
        except queue.Empty:
            raise TimeoutError(
                f"{self._topic}: expected a reply within {CALL_TIMEOUT_S} s, got none"
            ) from None
        finally:
            del self._waiting[key]

    def _hand_out(self) -> None:
        while self._crowd:
            message = _checked(self._consumer.poll(0.1))
            box = self._waiting.get(message.key()) if message else None
            if box:
                box.put(message.value())

    def _leave(self) -> None:
        with self._lock:
            self._crowd -= 1
            if self._crowd == 0:
                self._reader.join()


def _checked(message: Message | None) -> Message | None:
    if message and message.error():
        raise KafkaException(message.error())
    return message
