"""Scores the messages of a RabbitMQ queue; none is lost or doubled if this process is killed.

python rabbitmq_consumer.py --model penguins.onnx --queue penguins --results penguins.db

Messages need a message_id. Those that cannot be scored go to the queue NAME.dead, with the headers
error-code and error. In the results, the key of a message is NAME/MESSAGE_ID. SIGTERM ends the
program after the batch that it is working on.
"""

from __future__ import annotations

import logging
import sys
from urllib.parse import quote

import pika
from consumer import FAILURES, Message, Move, Outcome, Results, make_parser, run
from pika.exceptions import AMQPError, ChannelClosedByBroker


class RabbitMq:
    """A queue, and the queue of its dead letters."""

    dead_letters_stay = False  # they are published by `acknowledge`

    def __init__(self, url: str, queue: str, batch: int) -> None:
        self._queue, self._dead = queue, f"{queue}.dead"
        self._arrived: list[Message] = []
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.queue_declare(queue, passive=True)  # it must exist
        self._make_dead()
        # Dead letters and acknowledgements take effect together, at tx_commit, or not at all.
        self._channel.tx_select()
        # The next batch arrives while one is scored.
        self._channel.basic_qos(prefetch_count=2 * batch)
        self._channel.add_on_cancel_callback(self._refuse_cancel)
        self._tag = ""

    def _make_dead(self) -> None:
        """Creates the queue of the dead letters, unless there is one, of whatever type."""
        try:
            self._connection.channel().queue_declare(self._dead, passive=True)
        except ChannelClosedByBroker:
            self._connection.channel().queue_declare(self._dead, durable=True)

    def _keep(self, _channel, method, properties, body: bytes) -> None:
        identity = None
        # It may also be bytes that are not UTF-8.
        if isinstance(properties.message_id, str) and properties.message_id:
            # Unlike the name of a Kafka topic, that of a queue may have a slash.
            identity = f"{quote(self._queue, safe='')}/{properties.message_id}"
        self._arrived.append(Message(identity, body, (method, properties)))

    def _refuse_cancel(self, _method) -> None:
        raise AMQPError("the broker has ended the consumer: is the queue deleted?")

    def receive(self, max_messages: int) -> list[Message]:
        # Not earlier: a model that cannot be opened then costs no message one of its deliveries,
        # which quorum queues count.
        if not self._tag:
            self._tag = self._channel.basic_consume(self._queue, self._keep)
        self._connection.process_data_events(time_limit=0 if self._arrived else 1)
        batch, self._arrived = self._arrived[:max_messages], self._arrived[max_messages:]
        return batch

    def publish_dead(self, rejected: list[tuple[Message, Outcome]]) -> None:
        if rejected:
            # A message to a queue that does not exist would vanish, so this fails then.
            self._channel.queue_declare(self._dead, passive=True)
        for message, outcome in rejected:
            _, properties = message.origin
            headers = {"error-code": outcome.code, "error": outcome.error}
            for key, value in (properties.headers or {}).items():
                if key not in ("CC", "BCC"):  # the broker would publish to these queues again
                    headers.setdefault(key, value)
            properties.headers = headers
            properties.user_id = None  # the broker refuses that of another user, the sender
            properties.delivery_mode = pika.DeliveryMode.Persistent.value
            properties.expiration = None
            self._channel.basic_publish("", self._dead, message.body, properties)

    def moves(self, _messages: list[Message]) -> list[Move]:
        return []  # the broker knows which messages it has delivered

    def acknowledge(self, messages: list[Message]) -> None:
        last, _ = messages[-1].origin
        self._channel.basic_ack(last.delivery_tag, multiple=True)
        self._channel.tx_commit()

    def pause(self, seconds: float) -> None:
        self._connection.sleep(seconds)

    def close(self) -> None:
        self._connection.close()


def main() -> int:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--url", default="amqp://guest:guest@127.0.0.1:5672/%2F")
    parser.add_argument("--queue", required=True)
    options = parser.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # main prints the errors
    try:
        source = RabbitMq(options.url, options.queue, options.batch)
        run(source, Results(options.results), options)
        source.close()
    except (AMQPError, *FAILURES) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
