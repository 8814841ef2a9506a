"""NATS worker with nats-py on uvloop: answers requests on predict.NAME. Usage: worker.py URL"""

import asyncio
import sys

import models
import nats
import uvloop
from nats.aio.msg import Msg


async def answer(message: Msg) -> None:
    await message.respond(
        models.answer_body(message.subject.removeprefix("predict."), message.data)
    )


async def main() -> None:
    connection = await nats.connect(sys.argv[1])
    await connection.subscribe("predict.*", cb=answer)
    await connection.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
