"""Scores the messages of a Kafka topic; none is lost or doubled if this process is killed.

python kafka_consumer.py --model penguins.onnx --topic penguins --results penguins.db

Messages that cannot be scored go to the topic NAME.dead, with the headers error-code, error and
source-offset. That topic must have as many partitions as the topic, and no other writer. SIGTERM
ends the program after the batch that it is working on.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from consumer import FAILURES, Message, Move, Outcome, Results, make_parser, run

PATIENCE_S = 30  # for answers of the broker


class Kafka:
    """Partitions of a topic, and the topic of its dead letters."""

    dead_letters_stay = True

    def __init__(
        self, brokers: str, topic: str, partitions: list[int], group: str, results: Results
    ) -> None:
        self._topic, self._dead = topic, f"{topic}.dead"
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": group,
                "enable.auto.commit": False,
                # Messages that the broker has deleted unread are a failure, and not skipped.
                "auto.offset.reset": "error",
            }
        )
        # Each dead letter is written once and in order, whatever the network does.
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "enable.idempotence": True,
                "message.max.bytes": 1_000_000_000,  # the limit is the broker's
            }
        )
        partitions = partitions or self._partitions_of(topic)
        missing = set(partitions) - set(self._partitions_of(self._dead))
        if missing:
            raise ValueError(f"topic {self._dead}: expected partitions {sorted(missing)}, got none")
        # Offsets that the results have, and those that they get with the next batch.
        self._at: dict[str, int] = {}
        self._ahead: dict[str, int] = {}
        for p in partitions:
            self._recover_dead(brokers, p, results)
            first, _ = self._range_of(topic, p)
            self._at[name(topic, p)] = results.position(name(topic, p), first)
        self._consumer.assign(
            [TopicPartition(topic, p, self._at[name(topic, p)]) for p in partitions]
        )

    def _partitions_of(self, topic: str) -> list[int]:
        found = self._consumer.list_topics(topic, PATIENCE_S).topics[topic]
        if found.error:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def _range_of(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that the broker still has, and the offset after the last."""
        return self._consumer.get_watermark_offsets(TopicPartition(topic, partition), PATIENCE_S)

    def _recover_dead(self, brokers: str, partition: int, results: Results) -> None:
        """Writes the outcomes of messages that are among the dead letters already.

        The process that published them was killed before it could write these outcomes.
        """
        dead = name(self._dead, partition)
        first, _ = self._range_of(self._dead, partition)
        stored = after = results.position(dead, first)
        outcomes = {}
        for letter in read_to_end(brokers, self._dead, partition, max(stored, first)):
            headers = dict(letter.headers())
            identity = name(self._topic, partition, headers["source-offset"].decode())
            outcomes[identity] = Outcome(
                code=headers["error-code"].decode(), error=headers["error"].decode()
            )
            after = letter.offset() + 1
        results.write(outcomes, [Move(dead, stored, after)])
        self._at[dead] = after

    def receive(self, max_messages: int) -> list[Message]:
        first = self._consumer.poll(1)
        if first is None:
            return []
        # `consume` waits until the number is reached, unless its timeout is 0.
        found = [first, *self._consumer.consume(max_messages - 1, 0)]
        for one in found:
            if one.error():
                raise KafkaException(one.error())
        return [
            Message(name(one.topic(), one.partition(), one.offset()), one.value() or b"", one)
            for one in found
        ]

    def publish_dead(self, rejected: list[tuple[Message, Outcome]]) -> None:
        for message, outcome in rejected:
            one = message.origin
            headers = {"error-code": outcome.code, "error": outcome.error}
            headers["source-offset"] = str(one.offset())
            self._producer.produce(
                self._dead,
                one.value(),
                one.key(),
                partition=one.partition(),
                headers=[*(one.headers() or []), *headers.items()],
                on_delivery=self._note_delivery,
            )
        if self._producer.flush(PATIENCE_S):
            raise KafkaException("the broker does not take the dead letters")

    def _note_delivery(self, error, letter) -> None:
        if error:
            raise KafkaException(error)
        dead = name(self._dead, letter.partition())
        self._ahead[dead] = max(self._ahead.get(dead, self._at[dead]), letter.offset() + 1)

    def moves(self, messages: list[Message]) -> list[Move]:
        for message in messages:
            one = message.origin
            self._ahead[name(one.topic(), one.partition())] = one.offset() + 1
        return [Move(which, self._at[which], after) for which, after in self._ahead.items()]

    def acknowledge(self, messages: list[Message]) -> None:
        self._at |= self._ahead
        self._ahead.clear()
        # Only for tools that show the lag of a group: this program starts from the results.
        after = {m.origin.partition(): m.origin.offset() + 1 for m in messages}
        offsets = [TopicPartition(self._topic, p, offset) for p, offset in after.items()]
        self._consumer.commit(offsets=offsets, asynchronous=True)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # librdkafka keeps its connections in threads of its own

    def close(self) -> None:
        self._consumer.close()


def name(topic: str, partition: int, *offset: object) -> str:
    return "/".join(map(str, [topic, partition, *offset]))


def read_to_end(brokers: str, topic: str, partition: int, begin: int) -> Iterator[KafkaMessage]:
    """The messages of a partition from an offset on, without waiting for more."""
    reader = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "reader",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    reader.assign([TopicPartition(topic, partition, begin)])
    try:
        while True:
            one = reader.poll(PATIENCE_S)
            if one is None:
                raise KafkaException(f"topic {topic}: the broker does not answer")
            if one.error() and one.error().code() == KafkaError._PARTITION_EOF:
                return
            if one.error():
                raise KafkaException(one.error())
            yield one
    finally:
        reader.close()


def main() -> int:
    parser = make_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    add("--brokers", default="127.0.0.1:9092")
    add("--topic", required=True)
    add("--partitions", type=int, nargs="*", default=[], help="by default all of the topic")
    add("--group", default="sidecall", help="the name under which tools show the lag")
    options = parser.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s")
    try:
        results = Results(options.results)
        source = Kafka(options.brokers, options.topic, options.partitions, options.group, results)
        run(source, results, options)
        source.close()
    except (KafkaException, ValueError, *FAILURES) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
