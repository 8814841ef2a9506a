"""The pure-Python client against the pure-Python server: both implement shm/PROTOCOL.md alike."""

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import client
import pytest
import wire
from client import Connection, Model
from served import ServerProcess, Start, words_of
from wire import Spec, Tensor, Violation


@pytest.fixture
def toy(start: Start) -> ServerProcess:
    return start("toy")


@pytest.fixture
def model(toy: ServerProcess) -> Generator[Model, None, None]:
    opened = client.open(toy.address)
    yield opened
    opened.close()


def rows(*pairs: tuple[float, float]) -> Tensor:
    return Tensor(
        "float32",
        (len(pairs), 2),
        struct.pack(f"<{2 * len(pairs)}f", *[value for pair in pairs for value in pair]),
    )


def floats(tensor: Tensor) -> list[float]:
    return list(memoryview(tensor.data).cast("f"))


def inputs_of(count: int, text: str = "é") -> dict[str, Tensor | list[str]]:
    return {"x": rows(*[(i, 0.5) for i in range(count)]), "text": [text] * count}


# Calls.
def test_open_returns_the_signature_of_the_server(model: Model, toy: ServerProcess) -> None:
    assert model.inputs == [Spec("x", "float32", (-1, 2)), Spec("text", "string", (-1,))]
    assert [spec.name for spec in model.outputs] == ["sum", "text"]
    assert model.welcome.pid == toy.process.pid
    assert model.contract is None


def test_a_run_returns_every_output(model: Model) -> None:
    result = model.run({"x": rows((1, 2), (3, 4)), "text": ["a", ""]})
    assert floats(result["sum"]) == [3, 7] and result["text"].strings() == ["a", ""]


def test_a_run_takes_objects_with_the_buffer_protocol(model: Model) -> None:
    numpy = pytest.importorskip("numpy")
    result = model.run({"x": numpy.array([[1, 2]], numpy.float32), "text": ["a"]})
    assert floats(result["sum"]) == [3]


def test_inputs_larger_than_the_slot_get_a_larger_connection(model: Model) -> None:
    for count in (1, 3000, 1):
        assert len(floats(model.run(inputs_of(count))["sum"])) == count


def test_each_of_several_requests_in_flight_gets_its_own_answer(model: Model) -> None:
    with model.connect(slots=4) as connection:
        for turn in range(50):
            numbers = [connection.start(inputs_of(1, f"{turn}.{i}")) for i in range(4)]
            texts = [connection.finish(number)["text"].strings() for number in reversed(numbers)]
            assert texts == [[f"{turn}.{i}"] for i in (3, 2, 1, 0)]


def test_a_fifth_request_has_to_wait_with_four_slots(model: Model) -> None:
    with model.connect(slots=4) as connection:
        numbers = [connection.start(inputs_of(1)) for _ in range(4)]
        with pytest.raises(BlockingIOError):
            connection.start(inputs_of(1))
        connection.finish(numbers[1])
        with pytest.raises(BlockingIOError):  # a slot is free, but the ring entry is not
            connection.start(inputs_of(1))
        connection.finish(numbers[0])
        connection.start(inputs_of(1))


def test_a_result_larger_than_the_slot_arrives_as_a_one_shot_file(model: Model) -> None:
    with model.connect(request_bytes=1 << 20, response_bytes=4096) as connection:
        for count in (5000, 1, 4000):
            result = connection.run(inputs_of(count, "x" * 20))
            assert (
                len(floats(result["sum"])) == count
                and result["text"].strings() == ["x" * 20] * count
            )
        assert not connection.one_shots


def test_an_error_of_the_model_reaches_the_caller(model: Model) -> None:
    with model.connect() as connection:
        with pytest.raises(client.Failed) as failure:
            connection.run(inputs_of(0))
        error = failure.value
        assert (error.status, error.row, error.name) == ("SHAPE_MISMATCH", -1, "x")
        assert (error.expected, error.got) == (
            "at least 1 row",
            "0 rows",
        ) and "at least 1 row" in error.message
        assert floats(connection.run(inputs_of(1))["sum"]) == [0.5]


def test_same_layout_needs_no_table(model: Model) -> None:
    with model.connect() as connection:
        connection.run(inputs_of(2))
        number = connection.start({"x": rows((5, 6), (7, 8)), "text": ["ü", "ö"]}, same_layout=True)
        assert connection.finish(number)["text"].strings() == ["ü", "ö"]


def test_status_counts_the_calls(toy: ServerProcess, model: Model) -> None:
    model.run(inputs_of(1))
    assert toy.status(calls=1)["calls"] == 1


# Deadlines and dead servers.
def test_a_timeout_cancels_the_call_and_keeps_the_slot(start: Start) -> None:
    with client.open(start("toy", "--delay-ms 300").address).connect() as connection:
        with pytest.raises(TimeoutError):
            connection.run(inputs_of(1, "late"), timeout=0.01)
        assert connection.run(inputs_of(1, "next"))["text"].strings() == ["next"]


def test_cancelled_and_late_requests_fail_with_their_status(
    toy: ServerProcess, model: Model
) -> None:
    with model.connect(slots=4) as connection:
        toy.stop()
        numbers = [connection.start(inputs_of(1)) for _ in range(3)]
        with pytest.raises(TimeoutError):
            connection.finish(numbers[1], timeout=0.001)
        toy.process.send_signal(signal.SIGCONT)
        for number in numbers[:2]:  # `cancelled` applies to all requests up to its number
            with pytest.raises(client.Failed) as failure:
                connection.finish(number)
            assert failure.value.status == "CANCELLED"
        connection.finish(numbers[2])
        with pytest.raises(client.Failed) as failure:
            connection.finish(connection.start(inputs_of(1), timeout_ns=1))
        assert failure.value.status == "TIMEOUT"


def test_a_killed_server_ends_the_call_and_a_new_one_serves_the_next(
    start: Start, toy: ServerProcess, model: Model
) -> None:
    model.run(inputs_of(1))
    toy.stop()
    assert model.kept is not None
    number = model.kept.start(inputs_of(1))
    toy.end(signal.SIGKILL)
    with pytest.raises(client.PeerDied) as failure:
        model.kept.finish(number)
    assert failure.value.never_taken
    start("toy")
    assert floats(model.run(inputs_of(1))["sum"]) == [0.5]


def test_another_signature_after_a_restart_is_refused(
    start: Start, toy: ServerProcess, model: Model
) -> None:
    model.run(inputs_of(1))
    toy.end(signal.SIGKILL)
    start("toy", "--signature new")
    with pytest.raises(client.ContractChanged):
        model.run(inputs_of(1))


def test_a_drained_server_exits_with_0_and_removes_its_socket(
    toy: ServerProcess, model: Model
) -> None:
    model.run(inputs_of(1))
    assert toy.end() == 0 and not toy.path.exists()


def test_a_second_server_does_not_disturb_the_first(toy: ServerProcess, model: Model) -> None:
    second = subprocess.run(
        words_of("toy", "", toy.path), capture_output=True, timeout=20, check=False
    )
    assert second.returncode != 0
    assert floats(model.run(inputs_of(1))["sum"]) == [0.5]


# Addresses.
def test_addresses_map_to_socket_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user-folder")
    assert wire.path_of("shm:fraud") == ("/run/user-folder/sidecall/fraud.sock", True)
    assert wire.path_of("shm:///run/app/a%20b.sock") == ("/run/app/a b.sock", False)
    assert wire.path_of("shm:/run/app/fraud.sock") == ("/run/app/fraud.sock", False)
    for address in ("fraud", "shm:", "tcp:x"):
        with pytest.raises(ValueError, match="address"):
            wire.path_of(address)


def test_a_default_folder_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "sidecall").symlink_to(tmp_path / "real")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(PermissionError):
        client.open("shm:fraud")


# A server that violates the protocol.
def check_table(change: Callable[[list[int]], None], specs: list[Spec]) -> None:
    tensors = [rows((1, 2)), Tensor.of_strings(["a"], (1,))]
    slot = memoryview(bytearray(4096))
    wire.write_tensors(slot, tensors)
    wire.read_tensors(slot, specs)
    fields = list(wire.ENTRY.unpack_from(slot, 0))
    change(fields)
    wire.ENTRY.pack_into(slot, 0, *fields)
    wire.read_tensors(slot, specs)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, 11),
        (1, 1),
        (1, 17),
        (2, 0),
        (2, 64),
        (2, 321),
        (2, 4096),
        (2, 1 << 63),
        (3, 7),
        (3, 1 << 63),
        (4, -1),
        (4, 2),
        (5, 3),
        (6, 1),
        (19, 1),
    ],
)
def test_a_wrong_table_is_a_violation(field: int, value: int) -> None:
    def change(fields: list[int]) -> None:
        fields[field] = value

    with pytest.raises(Violation):
        check_table(change, [Spec("x", "float32", (-1, 2)), Spec("text", "string", (-1,))])


@pytest.mark.parametrize("offsets", [(1, 1), (0, 2), (0, -1), (0, 1 << 62)])
def test_wrong_string_offsets_are_a_violation(offsets: tuple[int, int]) -> None:
    with pytest.raises(Violation):
        wire.check_strings(Tensor("string", (1,), struct.pack("<2q", *offsets) + b"a"))


class Violator(Connection):
    """A connection whose server end is controlled by the test."""

    def __init__(self, model: Model):
        super().__init__(model, 1, 4096, 4096)
        self.sock.close()
        self.sock, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@pytest.mark.parametrize("message", [b"\2", b"\1\1", b"sidecall" + bytes(24)])
def test_an_unknown_message_is_a_violation(model: Model, message: bytes) -> None:
    violator = Violator(model)
    number = violator.start(inputs_of(1))
    violator.peer.send(message)
    with pytest.raises(Violation):
        violator.finish(number)


def test_a_one_shot_file_that_can_change_is_a_violation(model: Model) -> None:
    violator = Violator(model)
    number = violator.start(inputs_of(1))
    fd = wire.make_file("loose", 4096, wire.SEALED_SIZE)
    message = wire.ONE_SHOT_MESSAGE.pack(wire.MAGIC, 1, 0, wire.ONE_SHOT_KIND, number, 4096)
    wire.send(violator.peer, message, [fd])
    with pytest.raises(Violation, match="seals"):
        violator.finish(number)
    os.close(fd)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_do_not_leak(toy: ServerProcess) -> None:
    before = open_descriptors()
    for _ in range(20):
        model = client.open(toy.address)
        model.run(inputs_of(1))
        model.close()
        with pytest.raises(client.Refused):
            model.connect(slots=3)
        client.status(toy.address)
    del model
    assert open_descriptors() <= before + 2


def test_inputs_with_different_numbers_of_rows_are_an_error_but_not_a_violation(
    model: Model,
) -> None:
    with model.connect() as connection:
        with pytest.raises(client.Failed) as failure:
            connection.run({"x": rows((1, 2)), "text": ["a", "b"]})
        assert failure.value.name == "text"
        connection.run(inputs_of(1))
