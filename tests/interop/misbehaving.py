"""The toy server with wrong answers or none. Tests check that every call to it ends nevertheless.

    python tests/interop/misbehaving.py /run/app/toy.sock BEHAVIOUR

busy, not-run, unknown: each request fails with that status. garbage: the response has a random
sequence number. silent: a request is taken and never answered. deaf: requests are not read at all.
ringing: like silent, but the server sends wake-ups for as long as the client reads them.
"""

import sys
from pathlib import Path

import wire
from server import Connection, Server

STATUSES = {"busy": 11, "not-run": 12, "unknown": 14}
BEHAVIOUR = sys.argv[2]


class Misbehaving(Connection):
    def serve(self) -> bool:
        if not self.slots or BEHAVIOUR == "deaf":
            return False
        if BEHAVIOUR in STATUSES:
            return super().serve()
        if self.request_words[wire.HEAD_WORDS] < self.next:
            return False
        self.response_words[8] = self.next
        if BEHAVIOUR == "garbage":
            self.response_words[wire.HEAD_WORDS] = 0x0123456789ABCDEF
            self.next += 1
        if BEHAVIOUR in ("garbage", "ringing"):
            wire.ring(self.sock)
        return False

    def _answer(self, slot: int, deadline_ns: int | None) -> tuple[int, int, int]:
        begin = self.head + slot * self.response_bytes
        status = STATUSES[BEHAVIOUR]
        self.response[begin : begin + wire.ERROR.size] = wire.ERROR.pack(
            status, 0, -1, b"", b"", b"", b"the server says so"
        )
        return status, 0, 0


if __name__ == "__main__":
    server = Server(Path(sys.argv[1]), 0, "old")
    server.accepted = Misbehaving
    server.listen()
    server.run()
