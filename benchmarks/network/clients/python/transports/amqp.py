"""RabbitMQ with pika: RPC over direct reply-to. One connection per thread, as pika requires."""

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pika

from transports import CALL_TIMEOUT_S, BytesTransport

REPLIES = "amq.rabbitmq.reply-to"


class Transport(BytesTransport):
    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        # Disable heartbeats: between measurements no thread reads them.
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(self.at["host"], self.at["port"], heartbeat=0)
        )
        channel = connection.channel()
        queue = f"{self.at['queue']}.{self.folder.name}"
        numbers = count()
        replies: dict[str, bytes] = {}

        def on_reply(
            _channel: Any, _method: Any, properties: pika.BasicProperties, body: bytes
        ) -> None:
            replies[properties.correlation_id] = body

        channel.basic_consume(REPLIES, on_reply, auto_ack=True)

        def exchange(body: bytes) -> bytes:
            replies.clear()  # an answer that arrived too late
            number = str(next(numbers))
            channel.basic_publish(
                "", queue, body, pika.BasicProperties(reply_to=REPLIES, correlation_id=number)
            )
            deadline = time.monotonic() + CALL_TIMEOUT_S
            while number not in replies:
                connection.process_data_events(CALL_TIMEOUT_S)
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{queue}: expected a reply within {CALL_TIMEOUT_S} s, got none"
                    )
            return replies.pop(number)

        def close() -> None:
            with suppress(
                pika.exceptions.AMQPError
            ):  # the broker may have closed the connection; calls on it already count as lost
                connection.close()

        return exchange, close
