"""Redis worker with redis-py and hiredis. Usage: worker.py PORT

It takes requests from the list requests.NAME of every workload and pushes each answer to the list
on which the caller waits.
"""

import sys

import models
import redis

connection = redis.Redis(port=int(sys.argv[1]))
lists = [f"requests.{name}" for name in models.all_names()]
print("ready", flush=True)
while True:
    taken, message = connection.blpop(lists)
    reply, body = message[:16], message[16:]
    connection.rpush(
        b"reply." + reply, models.answer_body(taken.decode().removeprefix("requests."), body)
    )
