"""A tiny server of the sidecall channel in pure Python, written from shm/PROTOCOL.md alone.

It adds two columns and echoes text.

    python tests/interop/server.py /run/app/toy.sock [--delay-ms N] [--signature old|new]

Python has no atomic operations, so the server sends a wake-up after every response, and sleeps as
section 5 of shm/PROTOCOL.md requires for such a server.
"""

import argparse
import fcntl
import hashlib
import json
import mmap
import os
import secrets
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import wire
from wire import Spec, Tensor, Violation, require

INPUTS = [Spec("x", "float32", (-1, 2)), Spec("text", "string", (-1,))]
OUTPUTS = {
    "old": [Spec("sum", "float32", (-1,)), Spec("text", "string", (-1,))],
    "new": [Spec("total", "float32", (-1,)), Spec("text", "string", (-1,))],
}
MOST_SLOTS, MOST_BYTES = 64, 256 << 20
HELLO_SECONDS = 2.0


class Failed(Exception):
    """A request failed; the connection continues."""

    def __init__(
        self, status: str, name: str = "", expected: str = "", got: str = "", message: str = ""
    ):
        super().__init__(message)
        self.status = wire.STATUS_NUMBERS[status]
        self.texts = [
            name,
            expected,
            got,
            message or f"input '{name}': expected {expected}, got {got}",
        ]


def check_text(tensor: Tensor) -> None:
    try:
        texts = tensor.strings()
    except UnicodeDecodeError as error:
        raise Violation("expected UTF-8, got other bytes") from error
    require(not any("\0" in text for text in texts), "expected text without NUL, got text with NUL")


def add(inputs: list[Tensor]) -> list[Tensor]:
    x, text = inputs
    rows = x.dims[0]
    if text.dims[0] != rows:
        raise Failed("SHAPE_MISMATCH", "text", f"{rows} rows", f"{text.dims[0]} rows")
    if rows == 0:
        raise Failed("SHAPE_MISMATCH", "x", "at least 1 row", "0 rows")
    values = struct.unpack(f"<{2 * rows}f", x.data)
    sums = struct.pack(f"<{rows}f", *[values[i] + values[i + 1] for i in range(0, 2 * rows, 2)])
    return [Tensor("float32", (rows,), sums), text]


class Connection:
    """One client, from accept to hang-up."""

    def __init__(self, server: "Server", sock: socket.socket):
        self.server, self.sock = server, sock
        self.accepted = time.monotonic()
        self.slots = 0  # zero before CONNECT
        self.next = 1
        self.rings = 0
        self.request_layout: dict[int, bool] = {}  # slots whose table has been checked

    # Handshake.
    def greet(self) -> bool:
        """Reads HELLO. Returns whether the connection stays open."""
        message, fds = wire.receive(self.sock, socket.MSG_DONTWAIT)
        wire.close_all(fds)
        require(
            not fds and len(message) >= 16 and message[:8] == wire.MAGIC,
            "expected HELLO, got another message",
        )
        lowest, highest, kind = struct.unpack_from("<HHI", message, 8)
        if not lowest <= wire.VERSION <= highest:
            return self._refuse("PROTOCOL", "this server speaks version 1")
        require(len(message) == wire.HELLO.size, f"expected HELLO, got {len(message)} bytes")
        _, _, _, _, flags, slots, request, response, zero = wire.HELLO.unpack(message)
        require(
            not any(zero) and flags & ~wire.ALWAYS_RING == 0,
            "expected known flags and zeros, got others",
        )
        if kind == wire.CONNECT:
            return self._connect(slots, request, response)
        require(
            kind in (wire.OPEN, wire.STATUS) and (slots, request, response) == (0, 0, 0),
            f"expected a kind of HELLO, got {kind}",
        )
        if kind == wire.STATUS:
            self._send_status()
        else:
            self._welcome(0, 0, 0, len(self.server.manifest), [self.server.manifest_fd])
        return False

    def _refuse(self, status: str, text: str) -> bool:
        answer = wire.REFUSED.pack(
            wire.MAGIC,
            wire.VERSION,
            wire.VERSION,
            wire.REFUSED_KIND,
            wire.STATUS_NUMBERS[status],
            len(text),
            0,
        )
        wire.send(self.sock, answer + text.encode())
        return False

    def _send_status(self) -> None:
        counters = json.dumps(
            {"calls": self.server.calls, "connections": len(self.server.connections)}
        ).encode()
        fd = wire.make_file(
            "status", len(counters), wire.SEALED, lambda file: os.pwrite(file, counters, 0)
        )
        answer = wire.STATUS_MESSAGE.pack(
            wire.MAGIC, wire.VERSION, 0, wire.STATUS_KIND, len(counters), 0
        )
        wire.send(self.sock, answer, [fd])
        os.close(fd)

    def _welcome(
        self, slots: int, request: int, response: int, manifest: int, fds: list[int]
    ) -> None:
        answer = wire.WELCOME.pack(
            wire.MAGIC, wire.VERSION, 0, wire.WELCOME_KIND, wire.HAS_PIDFD, slots, request, response, manifest, MOST_BYTES, MOST_BYTES,
            self.server.digest, bytes(64), self.server.instance, os.getpid(), bytes(20),
        )  # fmt: skip
        wire.send(self.sock, answer, [*fds, self.server.pidfd])

    def _connect(self, slots: int, request: int, response: int) -> bool:
        if slots not in (1, 2, 4, 8, 16, 32, 64) or max(request, response) > MOST_BYTES:
            return self._refuse(
                "OUT_OF_RANGE",
                f"expected at most {MOST_SLOTS} slots of {MOST_BYTES} bytes, got more",
            )
        self.head = wire.head_bytes(slots)
        self.request_bytes, self.response_bytes = (
            wire.align(max(size, 1), 4096) for size in (request, response)
        )
        sizes = self.head + slots * self.request_bytes, self.head + slots * self.response_bytes
        request_fd = wire.make_file(
            "request", sizes[0], wire.SEALED_SIZE, lambda fd: os.posix_fallocate(fd, 0, sizes[0])
        )
        response_fd = wire.make_file(
            "response",
            sizes[1],
            wire.SEALED_SIZE | wire.FUTURE_WRITE,
            lambda fd: self._map_response(fd, sizes[1]),
        )
        self.request = memoryview(mmap.mmap(request_fd, sizes[0], mmap.MAP_SHARED, mmap.PROT_READ))
        self.request_words = self.request.cast("Q")
        self.slots = slots
        self._welcome(slots, self.request_bytes, self.response_bytes, 0, [request_fd, response_fd])
        wire.close_all([request_fd, response_fd])
        return True

    def _map_response(self, fd: int, size: int) -> None:
        """Maps the response file before it is sealed: the seal forbids new writable mappings."""
        os.posix_fallocate(fd, 0, size)
        self.response = memoryview(
            mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        )
        self.response_words = self.response.cast("Q")

    # Requests.
    def sleep(self) -> None:
        """Asks the client for wake-ups. The caller then waits a millisecond and checks again."""
        if self.slots:
            self.response_words[0] += 1

    def receive_message(self) -> bool:
        """Reads and drops wake-ups. Returns whether the client is still connected."""
        while True:
            try:
                data, fds = wire.receive(self.sock, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            wire.close_all(fds)
            if data == b"":
                return False
            require(data == wire.RING and not fds, "expected 0x01, got another message")
            self.rings += 1
            require(self.rings <= 4096, "expected requests, got rings alone")

    def serve(self) -> bool:
        """Answers the next request, if it has arrived."""
        if not self.slots:
            return False
        at = wire.HEAD_WORDS + wire.DESCRIPTOR_WORDS * ((self.next - 1) % self.slots)
        sequence = self.request_words[at]
        if sequence != self.next:
            require(
                sequence == max(self.next - self.slots, 0),
                f"expected the sequence {self.next}, got {sequence}",
            )
            return False
        seen = time.monotonic_ns()
        descriptor = bytes(self.request[8 * at + 8 : 8 * at + 64])
        self.response_words[8] = self.next
        self.rings = 0
        slot, flags, timeout_ns, _, zero = wire.REQUEST.unpack(descriptor)
        require(
            slot < self.slots and flags & ~wire.SAME_LAYOUT == 0 and not any(zero),
            "expected a request, got a wrong descriptor",
        )
        require(
            not flags or self.request_layout.get(slot, False), "expected a table, got SAME_LAYOUT"
        )
        status, flags, size = self._answer(slot, seen + timeout_ns if timeout_ns else None)
        self.request_layout[slot] = status == 0 and not flags
        self.response[8 * at + 8 : 8 * at + 64] = wire.RESPONSE.pack(
            status, flags, time.monotonic_ns() - seen, 0, 0, size, 0, 0, 0, bytes(12)
        )
        self.response_words[at] = self.next
        self.next += 1
        self.server.calls += 1
        wire.ring(self.sock)
        return True

    def _answer(self, slot: int, deadline_ns: int | None) -> tuple[int, int, int]:
        begin = self.head + slot * self.response_bytes
        memory = self.response[begin : begin + self.response_bytes]
        begin = self.head + slot * self.request_bytes
        try:
            inputs = wire.read_tensors(self.request[begin : begin + self.request_bytes], INPUTS)
            check_text(inputs[1])
            if self.request_words[8] >= self.next:
                raise Failed("CANCELLED", message="the client gave the call up")
            if deadline_ns is not None and time.monotonic_ns() > deadline_ns:
                raise Failed("TIMEOUT", message="the deadline passed before the model ran")
            time.sleep(self.server.delay)
            outputs = add(inputs)
        except Failed as error:
            texts = [text.encode() for text in error.texts]
            memory[: wire.ERROR.size] = wire.ERROR.pack(error.status, 0, -1, *texts)
            return error.status, 0, 0
        size = wire.slot_bytes(outputs)
        if size <= self.response_bytes:
            wire.write_tensors(memory, outputs)
            return 0, 0, 0
        self._send_one_shot(outputs, size)
        return 0, wire.ONE_SHOT, size

    def _send_one_shot(self, outputs: list[Tensor], size: int) -> None:
        def fill(fd: int) -> None:
            with mmap.mmap(fd, size) as area, memoryview(area) as view:
                wire.write_tensors(view, outputs)

        fd = wire.make_file("one-shot", size, wire.SEALED, fill)
        message = wire.ONE_SHOT_MESSAGE.pack(
            wire.MAGIC, wire.VERSION, 0, wire.ONE_SHOT_KIND, self.next, size
        )
        wire.send(self.sock, message, [fd])
        os.close(fd)


class Server:
    accepted = Connection  # the class that handles an accepted socket

    def __init__(self, path: Path, delay: float, signature: str):
        self.path, self.delay, self.calls = path, delay, 0
        described = {
            side: [
                {
                    "name": spec.name,
                    "dtype": spec.dtype,
                    "dims": spec.dims,
                    "dim_names": [""] * len(spec.dims),
                }
                for spec in specs
            ]
            for side, specs in (("inputs", INPUTS), ("outputs", OUTPUTS[signature]))
        }
        text = json.dumps(described).encode() + b"\n"
        self.digest = hashlib.sha256(text).digest()
        self.manifest = struct.pack("<QQ", len(text), 0) + text
        self.manifest_fd = wire.make_file(
            "manifest", len(self.manifest), wire.SEALED, lambda fd: os.pwrite(fd, self.manifest, 0)
        )
        self.pidfd = os.pidfd_open(os.getpid())
        self.instance = secrets.randbits(64)
        self.connections: dict[int, Connection] = {}
        self.poll = select.poll()
        self.draining = False
        self.waken, self.wake = socket.socketpair()
        self.wake.setblocking(False)
        self.poll.register(self.waken, select.POLLIN)

    def listen(self) -> None:
        self.lock = Path(f"{self.path}.lock").open("w")  # noqa: SIM115  held while the server lives
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh = Path(f"{self.path}.new")
        fresh.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self.listener.bind(str(fresh))
        self.listener.listen(64)
        fresh.rename(self.path)
        self.poll.register(self.listener, select.POLLIN)

    def drain(self, _signal: int, _frame: FrameType | None) -> None:
        self.draining = True

    def run(self) -> None:
        while not self.draining:
            if self._serve_all():
                continue
            for connection in self.connections.values():
                connection.sleep()
            if not self._wait(1) and not self._serve_all():
                self._wait(100 if any(not c.slots for c in self.connections.values()) else None)
        self.path.unlink()
        Path(self.lock.name).unlink()

    def _serve_all(self) -> bool:
        return (
            sum(
                self._guarded(connection, connection.serve)
                for connection in list(self.connections.values())
            )
            > 0
        )

    def _wait(self, milliseconds: int | None) -> bool:
        """Waits for events, at most this long, and handles them. Returns whether there were any."""
        ready = self.poll.poll(milliseconds)
        for fd, _ in ready:
            if fd == self.listener.fileno():
                self._accept()
            elif fd != self.waken.fileno():
                connection = self.connections[fd]
                if not self._guarded(
                    connection, connection.receive_message if connection.slots else connection.greet
                ):
                    self._close(connection)
        for connection in list(self.connections.values()):
            if not connection.slots and time.monotonic() - connection.accepted > HELLO_SECONDS:
                self._close(connection)
        return bool(ready)

    def _guarded(self, connection: Connection, step: Callable[[], bool]) -> bool:
        """Runs a step of a connection. A violation or a hang-up closes only this connection."""
        try:
            return step()
        except (Violation, OSError):
            self._close(connection)
            return False

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (os.getuid(), 0):
            sock.close()
            return
        self.connections[sock.fileno()] = self.accepted(self, sock)
        self.poll.register(sock, select.POLLIN)

    def _close(self, connection: Connection) -> None:
        if self.connections.pop(connection.sock.fileno(), None) is not None:
            self.poll.unregister(connection.sock)
            connection.sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--signature", choices=OUTPUTS, default="old")
    options = parser.parse_args()
    server = Server(options.path, options.delay_ms / 1000, options.signature)
    signal.signal(signal.SIGTERM, server.drain)
    signal.set_wakeup_fd(server.wake.fileno())  # wakes poll after a signal
    server.listen()
    server.run()


if __name__ == "__main__":
    main()
