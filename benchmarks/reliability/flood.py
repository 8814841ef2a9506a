"""flood.py ADDRESS USER RATE: connects as USER, RATE times a second (0: as fast as it can).

Every connection asks for memory for one call. With a rate, each connection is closed when the
server has answered. Without a rate, it is closed immediately, so that the server's queues fill up.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/interop"))

import client
import wire


def main(address: str, user: int, rate: int) -> None:
    os.setuid(user)
    message = client.hello(wire.CONNECT, 1, 4096, 4096)
    print("ready", flush=True)
    due = time.monotonic()
    while True:
        try:
            with wire.dial(address) as sock:
                wire.send(sock, message)
                if rate > 0:
                    wire.close_all(wire.receive(sock)[1])
        except OSError:
            pass  # the server's queue of connections is full
        if rate > 0:
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
