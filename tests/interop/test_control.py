"""A parent that holds a server's control socket (section 1 of shm/PROTOCOL.md), in pure Python.

This is what `exec:` and supervisors do.
"""

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Generator

import client
import pytest
import wire
from served import environment
from vector_servers import MODELS, command_path
from wire import Tensor

ATTACH, LOAD = b"\2", 3


class Parent:
    """The parent of a server without an address."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(20)
        words = [command_path(), "serve", str(MODELS / "add.onnx")]
        self.process = subprocess.Popen(
            words,
            env=environment() | {"SIDECALL_FD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def load(self) -> int:
        """The number of connections in the server's next LOAD message."""
        message = self.control.recv(100)
        assert len(message) == 5 and message[0] == LOAD
        return int(struct.unpack_from("<I", message, 1)[0])

    def attach(self, _address: str = "") -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wire.send(self.control, ATTACH, [theirs.fileno()])
        theirs.close()
        return ours


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Generator[Parent, None, None]:
    made = Parent()
    monkeypatch.setattr(wire, "dial", made.attach)
    yield made
    made.process.kill()
    made.process.wait()
    made.control.close()


def rows() -> dict[str, Tensor]:
    return {"x": Tensor("float32", (1, 2), struct.pack("<2f", 1, 2))}


def test_the_first_load_message_means_that_the_server_is_ready(parent: Parent) -> None:
    assert parent.load() == 0
    model = client.open("")
    with model.connect() as first, model.connect() as second:
        assert first.run(rows()) == second.run(rows())


def test_load_equals_the_number_of_connections(parent: Parent) -> None:
    assert parent.load() == 0
    model = client.open("")
    connections = [model.connect() for _ in range(3)]
    while parent.load() != 3:
        pass
    for connection in connections:
        connection.run(rows())
        connection.close()
    while parent.load() != 0:
        pass


def test_a_server_ends_when_its_parent_hangs_up(parent: Parent) -> None:
    assert parent.load() == 0
    with client.open("").connect() as connection:
        connection.run(rows())
        parent.control.shutdown(socket.SHUT_RDWR)
        assert parent.process.wait(20) == 0


def test_a_server_drains_on_sigterm(parent: Parent) -> None:
    assert parent.load() == 0
    with client.open("").connect() as connection:
        connection.run(rows())
        parent.process.send_signal(signal.SIGTERM)
        assert parent.process.wait(20) == 0


@pytest.mark.parametrize("message", [b"\7", b"\2\2", ATTACH])
def test_invalid_control_messages_are_ignored(parent: Parent, message: bytes) -> None:
    assert parent.load() == 0
    with client.open("").connect() as connection:
        wire.send(parent.control, message)
        connection.run(rows())


def test_a_descriptor_that_is_not_a_socket_is_ignored(parent: Parent) -> None:
    assert parent.load() == 0
    fd = os.open("/dev/null", os.O_RDONLY)
    wire.send(parent.control, ATTACH, [fd])
    os.close(fd)
    with client.open("").connect() as connection:
        connection.run(rows())
