"""RabbitMQ worker with pika. Usage: worker.py PORT

It takes messages from queue.NAME of every workload and answers to the caller's direct reply-to.
"""

import sys

import models
import pika

channel = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(sys.argv[1]))
).channel()


def answer(channel, method, properties, body: bytes) -> None:
    name = method.routing_key.removeprefix("queue.")
    channel.basic_publish(
        "",
        properties.reply_to,
        models.answer_body(name, body),
        pika.BasicProperties(correlation_id=properties.correlation_id),
    )


for name in models.all_names():
    channel.queue_declare(f"queue.{name}", auto_delete=True)
    channel.basic_consume(
        f"queue.{name}", answer, auto_ack=True
    )  # no acknowledgements, because messages are not persistent either
print("ready", flush=True)
channel.start_consuming()
