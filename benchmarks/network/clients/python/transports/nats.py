"""NATS with nats-py on uvloop: request-reply. One connection and one event loop per thread."""

from collections.abc import Callable

import nats
import uvloop

from transports import CALL_TIMEOUT_S, BytesTransport


class Transport(BytesTransport):
    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        loop = uvloop.new_event_loop()
        run = loop.run_until_complete
        client = run(nats.connect(self.at["url"]))
        subject = f"predict.{self.folder.name}"

        def exchange(body: bytes) -> bytes:
            return run(client.request(subject, body, CALL_TIMEOUT_S)).data

        def close() -> None:
            run(client.close())
            loop.close()

        return exchange, close
