"""Kafka worker with confluent-kafka. Usage: worker.py BOOTSTRAP

For every workload, it reads partition 0 of topic-NAME and answers with the same key to
topic-NAME-replies.
"""

import sys

import models
from confluent_kafka import Consumer, Producer, TopicPartition

# For low latency, do not wait for a batch. This broker does not end a waiting fetch when a message
# arrives: a call took 252 ms with librdkafka's fetch.wait.max.ms of 500, and 4.5 ms with 1.
consumer = Consumer(
    {
        "bootstrap.servers": sys.argv[1],
        "group.id": "worker",
        "enable.auto.commit": False,
        "fetch.min.bytes": 1,
        "fetch.queue.backoff.ms": 0,
        "fetch.wait.max.ms": 1,
        "socket.nagle.disable": True,
    }
)
producer = Producer(
    {
        "bootstrap.servers": sys.argv[1],
        "linger.ms": 0,
        "acks": 1,
        "socket.nagle.disable": True,
        "message.max.bytes": 8 << 20,
    }
)
# Assign the partitions by hand: joining a group takes seconds, and there is only one worker.
consumer.assign([TopicPartition(f"topic-{name}", 0, 0) for name in models.all_names()])
print("ready", flush=True)
while True:
    message = consumer.poll(1)
    if message is None:
        continue
    if message.error():
        raise SystemExit(str(message.error()))
    name = message.topic().removeprefix("topic-")
    producer.produce(
        f"{message.topic()}-replies",
        models.answer_body(name, message.value()),
        message.key(),
        partition=0,
    )
    producer.poll(0)
