"""Redis with redis-py and hiredis: one list as the queue, and one list per call for the reply.

One connection per thread.
"""

import os
from collections.abc import Callable
from itertools import count

import redis

from transports import CALL_TIMEOUT_S, BytesTransport


class Transport(BytesTransport):
    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        client = redis.Redis(
            port=self.at["port"], single_connection_client=True, socket_timeout=CALL_TIMEOUT_S + 5
        )
        requests = f"requests.{self.folder.name}"
        caller, numbers = os.urandom(4).hex(), count()

        def exchange(body: bytes) -> bytes:
            reply = f"{caller}{next(numbers) & 0xFFFFFFFF:08x}"
            # Send both commands in one write; waiting for the answer to the first one would be a
            # second round trip.
            pipeline = client.pipeline(transaction=False)
            pipeline.rpush(requests, reply.encode() + body).blpop(f"reply.{reply}", CALL_TIMEOUT_S)
            _, taken = pipeline.execute()
            if taken is None:
                raise TimeoutError(
                    f"{requests}: expected a reply within {CALL_TIMEOUT_S} s, got none"
                )
            return taken[1]

        return exchange, client.close
