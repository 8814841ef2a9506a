"""A client of the sidecall channel in pure Python, written from shm/PROTOCOL.md alone.

Used by the tests in this folder.

    model = client.open("shm:fraud")
    model.run({"X": array})["probabilities"]          # a wire.Tensor: dtype, dims, data
    with model.connect(slots=4) as connection: ...    # several requests in flight
"""

import hashlib
import json
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Mapping
from math import prod
from types import TracebackType
from typing import Any, NamedTuple

import wire
from wire import Spec, Tensor, Violation, require

FORMATS = {"f": "float32", "d": "float64", "e": "float16", "?": "bool"} | {
    code: f"{sign}int{8 * size}"
    for sign, codes in (("", "bhilq"), ("u", "BHILQ"))
    for code, size in zip(codes, (1, 2, 4, 8, 8), strict=True)
}


class Refused(Exception):
    """The server refused HELLO."""

    def __init__(self, status: int, versions: tuple[int, int], text: str):
        super().__init__(f"{wire.STATUS_NAMES.get(status, status)}: {text}")
        self.status, self.versions, self.text = (
            wire.STATUS_NAMES.get(status, str(status)),
            versions,
            text,
        )


class Failed(Exception):
    """The server answered a request with an error."""

    def __init__(self, status: int, row: int, name: str, expected: str, got: str, message: str):
        super().__init__(message)
        self.status, self.row, self.name = wire.STATUS_NAMES.get(status, str(status)), row, name
        self.expected, self.got, self.message = expected, got, message
        self.faults: list[wire.Fault] = []  # as the server lists them
        self.num_faults = 0


def raise_failed(status: int, slot: memoryview, rows: int, texts: int, found: int) -> None:
    again, zero, row, *fields = wire.ERROR.unpack_from(slot)
    require(
        again == status and zero == 0,
        f"expected an error record of status {status} and a zero, got {again} and {zero}",
    )
    failed = Failed(status, row, *wire.texts_of(fields))
    failed.faults, failed.num_faults = wire.read_faults(slot, rows, texts), found
    raise failed


class PeerDied(Exception):
    """The server is gone. With `never_taken`, the request may be sent again to another server."""

    def __init__(self, never_taken: bool):
        super().__init__("the process at the other end is gone")
        self.never_taken = never_taken


class ContractChanged(Exception):
    """A restarted server has another signature."""


def hello(
    kind: int,
    slots: int = 0,
    request: int = 0,
    response: int = 0,
    *,
    versions: tuple[int, int] = (1, 1),
) -> bytes:
    return wire.HELLO.pack(
        wire.MAGIC, *versions, kind, wire.ALWAYS_RING, slots, request, response, bytes(24)
    )


def greet(sock: socket.socket, message: bytes) -> tuple[bytes, list[int]]:
    """Sends HELLO and returns the answer, which is WELCOME or STATUS."""
    wire.send(sock, message)
    answer, fds = wire.receive(sock)
    try:
        if not answer:
            raise PeerDied(never_taken=True)
        require(
            len(answer) >= 32 and answer[:8] == wire.MAGIC,
            "expected an answer to HELLO, got other bytes",
        )
        (kind,) = struct.unpack_from("<I", answer, 12)
        if kind == wire.REFUSED_KIND:
            _, lowest, highest, _, status, size, _ = wire.REFUSED.unpack_from(answer)
            require(
                size == len(answer) - 32 and size <= 1024,
                "expected the text that REFUSED announces, got another length",
            )
            raise Refused(status, (lowest, highest), answer[32:].decode())
    except BaseException:
        wire.close_all(fds)
        raise
    return answer, fds


class Welcome(NamedTuple):
    flags: int
    slots: int
    request_bytes: int
    response_bytes: int
    manifest_bytes: int
    most_request_bytes: int
    most_response_bytes: int
    digest: bytes
    model_id: str
    instance: int
    pid: int


def read_welcome(answer: bytes) -> Welcome:
    require(len(answer) == wire.WELCOME.size, f"expected WELCOME, got {len(answer)} bytes")
    _, version, zero, kind, *numbers, digest, model_id, instance, pid, _ = wire.WELCOME.unpack(
        answer
    )
    require(
        (version, zero, kind) == (wire.VERSION, 0, wire.WELCOME_KIND),
        "expected WELCOME of version 1, got another message",
    )
    return Welcome(*numbers, digest, model_id.rstrip(b"\0").decode("ascii"), instance, pid)


class Connection:
    """Memory shared with the server, and the requests in flight. For use by one thread."""

    def __init__(self, model: "Model", slots: int, request_bytes: int, response_bytes: int):
        self.model = model
        self.sock = wire.dial(model.address)
        self.pidfd = -1
        self.next = 1
        self.gone = False
        self.pending: dict[int, int] = {}  # request -> slot, until its response is read
        self.abandoned: set[int] = set()
        self.one_shots: dict[int, bytes] = {}
        try:
            answer, fds = greet(
                self.sock, hello(wire.CONNECT, slots, request_bytes, response_bytes)
            )
            try:
                self._map(read_welcome(answer), (slots, request_bytes, response_bytes), fds)
            finally:
                wire.close_all([fd for fd in fds if fd != self.pidfd])
        except BaseException:
            self.sock.close()
            raise

    def _map(self, welcome: Welcome, wanted: tuple[int, int, int], fds: list[int]) -> None:
        slots, *sizes = wanted
        require(
            welcome.slots == slots and welcome.manifest_bytes == 0,
            f"expected {slots} slots and no manifest, got {welcome.slots} slots and {welcome.manifest_bytes} bytes",
        )
        for size, granted in zip(
            sizes, (welcome.request_bytes, welcome.response_bytes), strict=True
        ):
            fits = max(size, 4096) <= granted <= 2 * size + (1 << 20) and granted % 4096 == 0
            require(fits, f"expected slots of about {size} bytes, got {granted}")
        if welcome.digest != self.model.welcome.digest:
            raise ContractChanged("expected the signature of open, got another")
        require(
            len(fds) == 2 + bool(welcome.flags & wire.HAS_PIDFD),
            f"expected the descriptors that WELCOME names, got {len(fds)}",
        )
        head = wire.head_bytes(slots)
        sizes = [head + slots * size for size in (welcome.request_bytes, welcome.response_bytes)]
        wire.check_file(fds[0], sizes[0], wire.SEALED_SIZE)
        wire.check_file(fds[1], sizes[1], wire.SEALED_SIZE | wire.FUTURE_WRITE)
        self.welcome = welcome
        self.request = memoryview(
            mmap.mmap(fds[0], sizes[0], mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        )
        self.response = memoryview(mmap.mmap(fds[1], sizes[1], mmap.MAP_SHARED, mmap.PROT_READ))
        self.request_words, self.response_words = self.request.cast("Q"), self.response.cast("Q")
        self.head, self.slots = head, slots
        if len(fds) == 3:
            self.pidfd = fds[2]

    def close(self) -> None:
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def request_slot(self, slot: int) -> memoryview:
        size = self.welcome.request_bytes
        return self.request[self.head + slot * size : self.head + (slot + 1) * size]

    def response_slot(self, slot: int) -> memoryview:
        size = self.welcome.response_bytes
        return self.response[self.head + slot * size : self.head + (slot + 1) * size]

    # Requests.
    def publish(self, slot: int, flags: int = 0, timeout_ns: int = 0) -> int:
        """Sends the request that is in the slot and returns its number."""
        number = self.next
        at = wire.HEAD_WORDS + wire.DESCRIPTOR_WORDS * ((number - 1) % self.slots)
        self.request[8 * at + 8 : 8 * at + 64] = wire.REQUEST.pack(
            slot, flags, timeout_ns, 0, bytes(36)
        )
        self.request_words[at] = number
        self.next = number + 1
        self.pending[number] = slot
        wire.ring(self.sock)
        return number

    def start(
        self, inputs: Mapping[str, Any], *, timeout_ns: int = 0, same_layout: bool = False
    ) -> int:
        """Sends a request in a free slot, after the server has released requests that timed out."""
        for number in sorted(self.abandoned):
            self.wait(number, None)
            self._release_slot(number)
            self.one_shots.pop(number, None)
        oldest = self.next - self.slots
        free = sorted(set(range(self.slots)) - set(self.pending.values()))
        if not free or oldest in self.pending:
            raise BlockingIOError(f"expected at most {self.slots} requests in flight, got one more")
        tensors = self.model.tensors(inputs)
        if wire.slot_bytes(tensors) > self.welcome.request_bytes:
            raise ValueError(
                f"expected at most {self.welcome.request_bytes} bytes of inputs, got {wire.slot_bytes(tensors)}"
            )
        wire.write_tensors(self.request_slot(free[0]), tensors, with_table=not same_layout)
        return self.publish(free[0], wire.SAME_LAYOUT if same_layout else 0, timeout_ns)

    def finish(self, number: int, timeout: float | None = None) -> dict[str, Tensor]:
        """The answer to a request. TimeoutError abandons it; Failed is an error of the server."""
        descriptor = self.wait(number, timeout)
        slot = self._release_slot(number)
        status, flags, _, _, zero, size, *faults, _ = wire.RESPONSE.unpack(descriptor)
        memory = self.response_slot(slot)
        require(
            zero == 0 and bool(size) == bool(flags & wire.ONE_SHOT),
            "expected zeros, and a size only with ONE_SHOT, got others",
        )
        if status != 0:
            raise_failed(status, memory, *faults)
        if flags & wire.ONE_SHOT:
            result = self.one_shots.pop(number, b"")
            require(
                len(result) == size, f"expected a one-shot file of {size} bytes, got {len(result)}"
            )
            memory = memoryview(result)
        tensors = wire.read_tensors(memory, self.model.outputs)
        return {spec.name: tensor for spec, tensor in zip(self.model.outputs, tensors, strict=True)}

    def run(self, inputs: Mapping[str, Any], timeout: float | None = None) -> dict[str, Tensor]:
        return self.finish(self.start(inputs), timeout)

    def _release_slot(self, number: int) -> int:
        self.abandoned.discard(number)
        return self.pending.pop(number)

    # Waiting.
    def wait(self, number: int, timeout: float | None) -> bytes:
        """Waits for a response and returns its descriptor without the sequence."""
        deadline = None if timeout is None else time.monotonic() + timeout
        at = wire.HEAD_WORDS + wire.DESCRIPTOR_WORDS * ((number - 1) % self.slots)
        while True:
            gone = self.gone
            sequence = self.response_words[at]
            if sequence == number:
                self._drain()  # a one-shot file is sent before its response
                return bytes(self.response[8 * at + 8 : 8 * at + 64])
            require(
                sequence == max(number - self.slots, 0),
                f"expected the sequence {number}, got {sequence}",
            )
            if gone:
                raise PeerDied(never_taken=self.response_words[8] < number)
            self._sleep(number, deadline)
            self._drain()

    def _sleep(self, number: int, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            self.request_words[8] = number
            self.abandoned.add(number)
            raise TimeoutError("the deadline passed")
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if self.pidfd >= 0:
            poll.register(self.pidfd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if left is None else 1000 * left + 1)]
        self.gone = self.gone or self.pidfd in ready

    def _drain(self) -> None:
        while not self.gone:
            try:
                data, fds = wire.receive(self.sock, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, fds = b"", []
            try:
                if data == b"":
                    self.gone = True
                elif data != wire.RING or fds:
                    self._keep_one_shot(data, fds)
            finally:
                wire.close_all(fds)

    def _keep_one_shot(self, data: bytes, fds: list[int]) -> None:
        require(
            len(data) == wire.ONE_SHOT_MESSAGE.size and len(fds) == 1,
            "expected a one-shot result, got another message",
        )
        magic, version, zero, kind, number, size = wire.ONE_SHOT_MESSAGE.unpack(data)
        require(
            (magic, version, zero, kind) == (wire.MAGIC, wire.VERSION, 0, wire.ONE_SHOT_KIND),
            "expected a one-shot result, got another",
        )
        require(
            number in self.pending and number not in self.one_shots,
            f"expected a request in flight, got {number}",
        )
        wire.check_file(fds[0], size, wire.SEALED)
        self.one_shots[number] = (
            os.pread(fds[0], size, 0)
            if size < 1 << 30
            else bytes(mmap.mmap(fds[0], size, mmap.MAP_SHARED, mmap.PROT_READ))
        )


class Model:
    """The model that an address serves."""

    def __init__(self, address: str):
        self.address = address
        with wire.dial(address) as sock:
            answer, fds = greet(sock, hello(wire.OPEN))
            try:
                self.welcome = read_welcome(answer)
                require(
                    len(fds) == 1 + bool(self.welcome.flags & wire.HAS_PIDFD),
                    f"expected the descriptors that WELCOME names, got {len(fds)}",
                )
                self._read_manifest(fds[0])
            finally:
                wire.close_all(fds)
        self.kept: Connection | None = None

    def _read_manifest(self, fd: int) -> None:
        size = self.welcome.manifest_bytes
        wire.check_file(fd, size, wire.SEALED)
        require(16 <= size <= 64 << 20, f"expected a manifest of at most 64 MiB, got {size}")
        manifest = os.pread(fd, size, 0)
        signature, contract = struct.unpack_from("<QQ", manifest)
        require(
            16 + signature + contract == size,
            "expected two parts that fill the manifest, got others",
        )
        self.signature = manifest[16 : 16 + signature]
        require(
            hashlib.sha256(self.signature).digest() == self.welcome.digest,
            "expected the digest of the signature, got another",
        )
        self.contract = json.loads(manifest[16 + signature :]) if contract else None
        require(
            (self.contract is not None) == bool(self.welcome.flags & wire.HAS_CONTRACT),
            "expected HAS_CONTRACT to match the manifest, got another value",
        )
        described = json.loads(self.signature.split(b"\n", 1)[0])
        self.inputs, self.outputs = (
            [
                Spec(
                    tensor["name"],
                    tensor["dtype"],
                    None if tensor["dims"] is None else tuple(tensor["dims"]),
                )
                for tensor in described[side]
            ]
            for side in ("inputs", "outputs")
        )

    def tensors(self, inputs: Mapping[str, Any]) -> list[Tensor]:
        if set(inputs) != {spec.name for spec in self.inputs}:
            raise ValueError(
                f"expected the inputs {[spec.name for spec in self.inputs]}, got {list(inputs)}"
            )
        return [tensor_of(inputs[spec.name], spec) for spec in self.inputs]

    def connect(
        self, slots: int = 1, request_bytes: int = 4096, response_bytes: int = 4096
    ) -> Connection:
        return Connection(self, slots, request_bytes, response_bytes)

    def run(self, inputs: Mapping[str, Any], timeout: float | None = None) -> dict[str, Tensor]:
        """One call over a connection that is reused.

        The connection is replaced when the server is gone or the inputs need more memory.
        """
        needed = wire.slot_bytes(self.tensors(inputs))
        if self.kept is not None and (self.kept.gone or needed > self.kept.welcome.request_bytes):
            self.close()
        if self.kept is None:
            self.kept = self.connect(1, needed)
        try:
            return self.kept.run(inputs, timeout)
        except (Violation, PeerDied) as error:
            self.close()
            if isinstance(error, PeerDied) and error.never_taken:
                return self.run(inputs, timeout)
            raise

    def close(self) -> None:
        if self.kept is not None:
            self.kept.close()
            self.kept = None


def tensor_of(value: Any, spec: Spec) -> Tensor:
    """Converts a Tensor, a buffer or a flat list of strings to a Tensor.

    A list gets the dims of the signature. At most one of them may be free.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list):
        known = prod(size for size in spec.dims if size > 0)
        return Tensor.of_strings(
            value, tuple(len(value) // known if size < 0 else size for size in spec.dims)
        )
    view = memoryview(value)
    dtype = FORMATS.get(view.format, view.format)
    if dtype != spec.dtype:
        raise TypeError(f"input '{spec.name}': expected {spec.dtype}, got {dtype}")
    return Tensor(dtype, tuple(view.shape or ()), view.tobytes())


def open(address: str) -> Model:
    return Model(address)


def status(address: str) -> Any:
    """The counters of a server."""
    with wire.dial(address) as sock:
        answer, fds = greet(sock, hello(wire.STATUS))
        try:
            magic, version, zero, kind, size, zeros = wire.STATUS_MESSAGE.unpack(answer)
            expected = (wire.MAGIC, wire.VERSION, 0, wire.STATUS_KIND, 0)
            require(
                (magic, version, zero, kind, zeros) == expected and len(fds) == 1,
                "expected STATUS, got another message",
            )
            wire.check_file(fds[0], size, wire.SEALED)
            return json.loads(os.pread(fds[0], size, 0))
        finally:
            wire.close_all(fds)
