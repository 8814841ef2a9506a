"""A client that violates shm/PROTOCOL.md in every possible way.

The server closes its connection, and an honest client next to it continues.
"""

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress

import client
import pytest
import wire
from client import Connection, Model, Refused
from served import ServerProcess, Start
from wire import Tensor

GRACE = 10  # seconds after which a connection counts as not closed


@pytest.fixture(scope="module", params=["native", "python", "toy"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(start_for_all: Start, kind: str) -> ServerProcess:
    """One server for all violations of this file: it has to survive them all."""
    return start_for_all(kind, "strings.onnx" if kind == "native" else "", name=kind)


@pytest.fixture
def model(server: ServerProcess) -> Model:
    return client.open(server.address)


def inputs_of(model: Model, text: str = "a") -> dict[str, Tensor]:
    """One row for each server: two strings for the native one, numbers and a string for the toy."""
    made = {}
    for spec in model.inputs:
        numbers = Tensor("float32", (1, 2), struct.pack("<2f", 1, 2))
        made[spec.name] = Tensor.of_strings([text], (1,)) if spec.dtype == "string" else numbers
    return made


@pytest.fixture(autouse=True)
def honest(server: ServerProcess, model: Model) -> Generator[None, None, None]:
    """An honest client calls before and after each violation. The server must be unchanged."""
    with model.connect(slots=2) as connection:
        first = connection.run(inputs_of(model))
        yield
        assert connection.run(inputs_of(model)) == first
    assert server.process.poll() is None
    assert model.run(inputs_of(model)) == first
    model.close()


def is_closed(sock: socket.socket) -> bool:
    """Reads messages until the server hangs up. Returns False if it does not do so in time."""
    sock.settimeout(GRACE)
    try:
        while True:
            data, fds = wire.receive(sock)
            wire.close_all(fds)
            if not data:
                return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


# The handshake.
def hello(**changes: object) -> bytes:
    fields = {
        "magic": wire.MAGIC,
        "lowest": 1,
        "highest": 1,
        "kind": wire.CONNECT,
        "flags": wire.ALWAYS_RING,
        "slots": 1,
    }
    fields |= {"request": 4096, "response": 4096, "zero": bytes(24)} | changes
    return wire.HELLO.pack(*fields.values())


VIOLATIONS_OF_HELLO = {
    "magic": hello(magic=b"sidecaII"),
    "kind 0": hello(kind=0),
    "kind 4": hello(kind=4),
    "an unknown flag": hello(flags=2),
    "a byte that is not zero": hello(zero=bytes(23) + b"\1"),
    "short": hello()[:63],
    "long": hello() + b"\0",
    "two bytes": b"si",
    "a ring": wire.RING,
    "open with slots": hello(kind=wire.OPEN),
    "status with bytes": hello(kind=wire.STATUS, slots=0, response=0),
    "the largest message": bytes(100_000),
}


@pytest.mark.parametrize("name", VIOLATIONS_OF_HELLO)
def test_a_wrong_hello_closes_the_connection(server: ServerProcess, name: str) -> None:
    with wire.dial(server.address) as sock:
        wire.send(sock, VIOLATIONS_OF_HELLO[name])
        assert is_closed(sock)


@pytest.mark.parametrize("versions", [(2, 3), (0, 0), (65535, 65535), (2, 1)])
def test_an_unsupported_version_is_refused(
    server: ServerProcess, versions: tuple[int, int]
) -> None:
    with wire.dial(server.address) as sock:
        with pytest.raises(Refused) as refusal:
            client.greet(
                sock, hello(lowest=versions[0], highest=versions[1]) + b"of another length"
            )
        assert (
            refusal.value.status == "PROTOCOL"
            and refusal.value.versions == (1, 1)
            and refusal.value.text
        )
        assert is_closed(sock)


def test_the_highest_common_version_is_chosen(server: ServerProcess) -> None:
    with wire.dial(server.address) as sock:
        answer, fds = client.greet(sock, hello(lowest=0, highest=9))
        wire.close_all(fds)
        assert client.read_welcome(answer).slots == 1


@pytest.mark.parametrize(
    "wanted",
    [{"slots": 0}, {"slots": 3}, {"slots": 128}, {"request": 1 << 40}, {"response": (1 << 64) - 1}],
)
def test_unsupported_sizes_are_refused(server: ServerProcess, wanted: dict[str, int]) -> None:
    with wire.dial(server.address) as sock:
        with pytest.raises((Refused, client.PeerDied)) as refusal:
            client.greet(sock, hello(**wanted))
        assert getattr(refusal.value, "status", "PROTOCOL") in ("PROTOCOL", "OUT_OF_RANGE")
        assert is_closed(sock)


def test_descriptors_with_hello_close_the_connection(server: ServerProcess) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    for count in (1, 8, 250):
        with wire.dial(server.address) as sock:
            wire.send(sock, hello(), [fd] * count)
            assert is_closed(sock)
    os.close(fd)
    assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 60  # noqa: PTH208  not a path to walk


def test_a_silent_client_is_disconnected(server: ServerProcess) -> None:
    begin = time.monotonic()
    with wire.dial(server.address) as sock:
        assert is_closed(sock)
    assert time.monotonic() - begin >= 1.5


# After the handshake.
class Violator:
    """A connection of two slots with a valid request in slot 0 that has been answered."""

    def __init__(self, model: Model):
        self.model = model
        self.connection = Connection(model, 2, 65536, 4096)
        self.connection.run(inputs_of(model))

    def write(self, slot: int, change: Callable[[memoryview], None] = lambda memory: None) -> None:
        memory = self.connection.request_slot(slot)
        wire.write_tensors(memory, self.model.tensors(inputs_of(self.model)))
        change(memory)

    def descriptor(self, at: int, sequence: int, *fields: object) -> None:
        words = wire.HEAD_WORDS + wire.DESCRIPTOR_WORDS * at
        self.connection.request[8 * words + 8 : 8 * words + 64] = wire.REQUEST.pack(*fields)
        self.connection.request_words[words] = sequence
        wire.ring(self.connection.sock)

    def is_closed(self) -> bool:
        closed = is_closed(self.connection.sock)
        self.connection.close()
        return closed


@pytest.fixture
def violator(model: Model) -> Violator:
    return Violator(model)


@pytest.mark.parametrize(
    ("sequence", "fields"),
    [
        (3, (0, 0, 0, 0, bytes(36))),
        (1, (0, 0, 0, 0, bytes(36))),
        ((1 << 64) - 1, (0, 0, 0, 0, bytes(36))),
        (2, (2, 0, 0, 0, bytes(36))),
        (2, ((1 << 32) - 1, 0, 0, 0, bytes(36))),
        (2, (0, 2, 0, 0, bytes(36))),
        (2, (0, 1 << 31, 0, 0, bytes(36))),
        (2, (1, wire.SAME_LAYOUT, 0, 0, bytes(36))),
        (2, (0, 0, 0, 0, bytes(35) + b"\1")),
    ],
)
def test_a_wrong_slot_descriptor_closes_the_connection(
    violator: Violator, sequence: int, fields: tuple[object, ...]
) -> None:
    violator.write(0)
    violator.descriptor(1, sequence, *fields)
    assert violator.is_closed()


def test_same_layout_after_a_failure_closes_the_connection(
    model: Model, violator: Violator, kind: str
) -> None:
    wrong = inputs_of(model)
    wrong[model.inputs[-1].name] = Tensor.of_strings(["a", "b"], (2,))
    with pytest.raises(client.Failed):
        violator.connection.run(wrong)
    violator.connection.publish(0, wire.SAME_LAYOUT)
    assert violator.is_closed()


def set_entry(index: int, field: int, value: object) -> Callable[[memoryview], None]:
    def change(memory: memoryview) -> None:
        fields: list[object] = list(wire.ENTRY.unpack_from(memory, wire.ENTRY.size * index))
        fields[field] = value
        memory[wire.ENTRY.size * index : wire.ENTRY.size * (index + 1)] = wire.ENTRY.pack(*fields)

    return change


LIES_OF_TABLES = [
    *[(0, value) for value in (0, 7, 11, -1, 99)],
    *[(1, value) for value in (0, 3, 17, (1 << 32) - 1)],
    *[(2, value) for value in (0, 64, 1, 65536, 65537, (1 << 64) - 64, 1 << 63, 65472)],
    *[(3, value) for value in (0, 1, 65536, (1 << 64) - 1, 1 << 63)],
    *[(4, value) for value in (-1, 2, 1 << 62, -(1 << 63), 1 << 32)],
    (19, 1),
    (20, bytes(7) + b"\1"),
]


@pytest.mark.parametrize(("field", "value"), LIES_OF_TABLES)
def test_a_wrong_table_closes_the_connection(violator: Violator, field: int, value: object) -> None:
    violator.write(1, set_entry(1, field, value))
    violator.connection.publish(1)
    assert violator.is_closed()


@pytest.mark.parametrize(
    "text",
    [
        struct.pack("<2q", 0, 2) + b"a",
        struct.pack("<2q", 1, 1) + b"a",
        struct.pack("<2q", 0, -1) + b"a",
        struct.pack("<2q", 0, 1 << 62) + b"a",
        struct.pack("<2q", -(1 << 63), 1) + b"a",
    ],
)
def test_wrong_string_offsets_close_the_connection(violator: Violator, text: bytes) -> None:
    def change(memory: memoryview) -> None:
        offset = wire.ENTRY.unpack_from(memory, wire.ENTRY.size)[2]
        memory[offset : offset + len(text)] = text

    violator.write(1, change)
    violator.connection.publish(1)
    assert violator.is_closed()


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"a\0b"])
def test_text_with_invalid_utf8_or_nul_closes_the_connection(
    model: Model, violator: Violator, text: bytes
) -> None:
    wrong = inputs_of(model)
    wrong[model.inputs[-1].name] = Tensor.of_strings([text], (1,))
    violator.connection.start(wrong)
    assert violator.is_closed()


@pytest.mark.parametrize("message", [b"\2", b"\0", b"\1\1", b"", hello(), bytes(60_000)], ids=len)
def test_an_unknown_message_closes_the_connection(violator: Violator, message: bytes) -> None:
    violator.connection.sock.send(message)
    assert violator.is_closed()


def test_a_descriptor_with_a_ring_message_closes_the_connection(
    server: ServerProcess, violator: Violator
) -> None:
    wire.send(violator.connection.sock, wire.RING, [violator.connection.sock.fileno()])
    assert violator.is_closed()


def test_ring_messages_without_requests_close_the_connection(violator: Violator) -> None:
    deadline = time.monotonic() + GRACE
    with suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                wire.send(violator.connection.sock, wire.RING)
    assert violator.is_closed()


def test_a_client_may_disconnect_at_any_time(server: ServerProcess, model: Model) -> None:
    for _ in range(30):
        connection = model.connect(2, 65536)
        connection.start(inputs_of(model))
        connection.close()
        wire.dial(server.address).close()


def test_segments_that_change_during_a_run_do_no_harm(model: Model) -> None:
    """Random bytes are written into a segment while the server reads it.

    Only the sequence numbers are left out, so that the server goes on to read requests.
    """
    rng = random.Random(1)
    until = time.monotonic() + (20 if os.environ.get("SIDECALL_LONG") == "1" else 1.5)
    while time.monotonic() < until:
        connection = model.connect(2, 4096)
        noise = threading.Thread(target=make_noise, args=(connection, rng.random(), until))
        noise.start()
        with suppress(
            client.PeerDied, client.Failed, wire.Violation, BlockingIOError, TimeoutError
        ):
            for _ in range(20):
                connection.finish(connection.start(inputs_of(model)), timeout=0.05)
        connection.gone = True
        noise.join()
        connection.close()


def make_noise(connection: Connection, seed: float, until: float) -> None:
    rng = random.Random(seed)
    sequences = {
        8 * (wire.HEAD_WORDS + wire.DESCRIPTOR_WORDS * at) + i for at in range(2) for i in range(8)
    }
    places = [at for at in range(connection.head + 2 * 512) if at not in sequences]
    while not connection.gone and time.monotonic() < until:
        for _ in range(50):
            at = rng.choice(places) if rng.random() < 0.5 else connection.head + rng.randrange(1024)
            old = connection.request[at]
            connection.request[at] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
            connection.request[at] = old
