"""The pure-Python client against the real server.

Covers the test vectors, several slots, one-shot files, deadlines, dead servers and versions.
"""

import json
import math
import signal
import struct
from pathlib import Path
from typing import Any

import client
import pytest
import wire
from client import Model
from served import MODELS, ROOT, ServerProcess, Start
from wire import Tensor

HEADER = ROOT / "include/sidecall/sidecall.h"
PAGE = ROOT / "shm/PROTOCOL.md"
FORMATS = {
    1: "f",
    11: "d",
    7: "q",
    6: "i",
    5: "h",
    3: "b",
    2: "B",
    4: "H",
    12: "I",
    13: "Q",
    9: "?",
    10: "H",
    16: "H",
}
# Errors that the server's model reports. A client library reports all other errors itself: it never
# sends a table that does not fit the signature.
OF_THE_SERVER = {"ENGINE", "UNKNOWN_CATEGORY", "MISSING_VALUE", "REFUSED"}
# Errors that the server reports too, if they concern the values of a feature.
OF_A_FEATURE = {
    "OUT_OF_RANGE",
    "INVALID_STRING",
}


def cases() -> dict[str, list[dict[str, Any]]]:
    """The cases by model: those that run tensors, open with default options and are answered by the
    server.
    """

    def is_of_the_server(case: dict[str, Any]) -> bool:
        status = case["expect_status"]
        return status in OF_THE_SERVER or (
            status in OF_A_FEATURE and case["name"].startswith("refusals/")
        )

    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((ROOT / "tests/vectors/cases").glob("*.json")):
        for case in json.loads(path.read_text()):
            if (
                "inputs" in case
                and "open" not in case
                and ("outputs" in case or is_of_the_server(case))
            ):
                found.setdefault(case["model"], []).append(case)
    return found


def elements(values: list[Any]) -> list[Any]:
    return [float(value) if isinstance(value, str) else value for value in values]


def tensor_of(given: dict[str, Any]) -> Tensor:
    dtype, dims, data = given["dtype"], tuple(given["shape"]), given["data"]
    if dtype == "string":
        return Tensor.of_strings(
            [bytes.fromhex(value["hex"]) if isinstance(value, dict) else value for value in data],
            dims,
        )
    letter = FORMATS.get(wire.DTYPES[dtype][0], "B")
    return Tensor(dtype, dims, struct.pack(f"<{len(data)}{letter}", *elements(data)))


def check_equal(got: Tensor, wanted: dict[str, Any], tolerance: float) -> None:
    expected = tensor_of(wanted)
    assert (got.dtype, got.dims) == (expected.dtype, expected.dims)
    if got.dtype not in ("float32", "float64"):
        assert bytes(got.data) == bytes(expected.data)
        return
    letter = FORMATS[wire.DTYPES[got.dtype][0]]
    for a, b in zip(
        memoryview(got.data).cast(letter), memoryview(expected.data).cast(letter), strict=True
    ):
        assert (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= tolerance


@pytest.fixture
def add(start: Start) -> ServerProcess:
    return start("native", "add.onnx")


@pytest.fixture
def model(add: ServerProcess) -> Model:
    return client.open(add.address)


def rows(*values: float) -> dict[str, Tensor]:
    return {"x": Tensor("float32", (len(values) // 2, 2), struct.pack(f"<{len(values)}f", *values))}


# Test vectors.
@pytest.mark.parametrize("name", cases())
def test_the_native_server_passes_the_vectors(start: Start, name: str) -> None:
    run_cases(start("native", name), name)


@pytest.mark.parametrize(
    "name",
    [
        "add.onnx",
        "gbm.onnx",
        "strings.onnx",
        "closed.onnx",
        "nonzero.onnx",
        "gather.onnx",
        "from_int4.onnx",
        "two_inputs.onnx",
    ],
)
def test_a_python_server_passes_the_vectors(start: Start, name: str) -> None:
    run_cases(start("python", name), name)


def run_cases(server: ServerProcess, name: str) -> None:
    model = client.open(server.address)
    assert bool(model.welcome.flags & wire.VERIFIED) == (
        model.contract is not None and bool(model.contract["verification"]["rows"])
    )
    for case in cases()[name]:
        inputs = {key: tensor_of(value) for key, value in case["inputs"].items()}
        if any(
            inputs[spec.name].dtype != spec.dtype for spec in model.inputs if spec.name in inputs
        ):
            continue  # a library converts such a tensor before it sends it
        if "outputs" in case:
            result = model.run(inputs)
            assert set(result) == set(case["outputs"]), case["name"]
            for key, wanted in case["outputs"].items():
                check_equal(result[key], wanted, case.get("tolerance", 0))
            continue
        with pytest.raises(client.Failed) as failure:
            model.run(inputs)
        assert failure.value.status == case["expect_status"], case["name"]
        for key in ("name", "expected", "got", "row", "message", "num_faults"):
            if key in case.get("expect_error", {}):
                assert getattr(failure.value, key) == case["expect_error"][key], case["name"]
        listed = failure.value.faults
        assert len(listed) == failure.value.num_faults, case["name"]
        if listed:
            assert (listed[0].row, listed[0].name, listed[0].got) == (
                failure.value.row,
                failure.value.name,
                failure.value.got,
            )
            assert [fault.row for fault in listed] == sorted(fault.row for fault in listed)
    model.close()


def test_the_vectors_hold_50_cases_and_every_status_of_the_server() -> None:
    assert sum(map(len, cases().values())) >= 50
    assert {
        case["expect_status"]
        for found in cases().values()
        for case in found
        if "expect_status" in case
    } == OF_THE_SERVER | OF_A_FEATURE


# Calls.
def test_the_contract_arrives_as_stored(start: Start) -> None:
    model = client.open(start("native", "gbm.onnx").address)
    assert model.contract is not None and model.contract["format"] == 5
    content = (MODELS / "gbm.onnx").read_bytes()
    assert f"sidecall.id\x12\x40{model.welcome.model_id}".encode() in content
    assert model.welcome.flags & wire.VERIFIED


def test_several_slots_in_flight_are_answered(model: Model) -> None:
    with model.connect(slots=8) as connection:
        zero = [
            float(value) for value in memoryview(connection.run(rows(0, 0))["y"].data).cast("f")
        ]
        for turn in range(100):
            numbers = [connection.start(rows(turn, i)) for i in range(8)]
            for i, number in enumerate(numbers):
                assert list(memoryview(connection.finish(number)["y"].data).cast("f")) == [
                    zero[0] + turn,
                    zero[1] + i,
                ]


def test_same_layout_gives_the_same_answer(model: Model) -> None:
    with model.connect() as connection:
        first = connection.run(rows(1, 2))["y"]
        again = connection.finish(connection.start(rows(1, 2), same_layout=True))["y"]
        assert again == first


def test_a_result_larger_than_its_slot_arrives_as_a_one_shot_file(start: Start) -> None:
    model = client.open(start("native", "identity_float32.onnx").address)
    (name,) = (spec.name for spec in model.inputs)
    rank = len(model.inputs[0].dims)
    for size in (100_000, 10, 300_000):
        given = Tensor("float32", (size, *[1] * (rank - 1)), struct.pack("<f", 0.5) * size)
        with model.connect(
            request_bytes=wire.slot_bytes([given]), response_bytes=4096
        ) as connection:
            for _ in range(3):
                (got,) = connection.run({name: given}).values()
                assert got == given


def test_status_counts_the_calls(add: ServerProcess, model: Model) -> None:
    for _ in range(5):
        model.run(rows(1, 2))
    status = add.status(calls=5)
    assert status["calls"] == 5 and status["errors"] == 0 and status["ready"] is True


# Deadlines and dead servers.
def slow_inputs(rounds: int) -> dict[str, Tensor]:
    return {
        "x": Tensor("float32", (10_000,), struct.pack("<f", 0.5) * 10_000),
        "n": Tensor("int64", (), struct.pack("<q", rounds)),
    }


def test_the_server_enforces_deadlines(start: Start) -> None:
    model = client.open(start("native", "slow.onnx").address)
    with model.connect(2, 65536, 65536) as connection:
        slow = connection.start(slow_inputs(200_000), timeout_ns=50_000_000)
        late = connection.start(slow_inputs(1), timeout_ns=1)
        for number in (slow, late):
            with pytest.raises(client.Failed) as failure:
                connection.finish(number)
            assert failure.value.status == "TIMEOUT"
        connection.run(slow_inputs(1))


def test_only_the_cancelled_call_ends_early(start: Start) -> None:
    model = client.open(start("native", "slow.onnx").address)
    with model.connect(2, 65536, 65536) as connection:
        slow = connection.start(slow_inputs(10_000_000))
        queued = connection.start(slow_inputs(1))
        with pytest.raises(TimeoutError):
            connection.finish(slow, timeout=0.05)
        connection.finish(queued)
        with pytest.raises(client.Failed) as failure:
            connection.finish(slow)
        assert failure.value.status == "CANCELLED"
        connection.run(slow_inputs(1))


def test_the_next_server_answers_after_the_first_is_killed(
    start: Start, add: ServerProcess, model: Model
) -> None:
    first = model.run(rows(1, 2))
    add.end(signal.SIGKILL)
    start("native", "add.onnx")
    assert model.run(rows(1, 2)) == first


def test_a_stopped_server_takes_no_request(add: ServerProcess, model: Model) -> None:
    with model.connect() as connection:
        connection.run(rows(1, 2))
        add.stop()
        number = connection.start(rows(1, 2))
        with pytest.raises(TimeoutError):
            connection.finish(number, timeout=0.05)
        add.process.send_signal(signal.SIGKILL)
        with pytest.raises(client.PeerDied) as failure:
            connection.wait(number, None)
        assert failure.value.never_taken


def test_another_model_at_the_same_address_is_refused(
    start: Start, add: ServerProcess, model: Model
) -> None:
    model.run(rows(1, 2))
    add.end(signal.SIGKILL)
    start("native", "two_inputs.onnx")
    with pytest.raises(client.ContractChanged):
        model.run(rows(1, 2))


def test_a_draining_server_answers_and_exits_with_0(start: Start) -> None:
    server = start("native", "slow.onnx")
    with client.open(server.address).connect(1, 65536, 65536) as connection:
        number = connection.start(slow_inputs(20_000))
        while connection.response_words[8] < number:
            pass  # until the server has taken the request
        server.process.send_signal(signal.SIGTERM)
        connection.finish(number)
        assert server.process.wait(20) == 0
    assert not server.path.exists()


def test_a_second_server_at_the_same_address_fails(
    add: ServerProcess, model: Model, start: Start
) -> None:
    with pytest.raises(AssertionError, match=r"already|busy|another"):
        start_beside(start, add)
    model.run(rows(1, 2))


def start_beside(start: Start, first: ServerProcess) -> None:
    server = start("native", "add.onnx")
    # start() finds that the address answers, but that is the first server. The second one must exit
    # by itself.
    assert server.process.wait(20) == 0, server.said()


# shm/PROTOCOL.md.
def test_the_numbers_in_the_protocol_document_equal_those_of_the_header() -> None:
    text = PAGE.read_text()
    numbers = text[text.index("## 8. Numbers") :]
    for line in HEADER.read_text().splitlines():
        words = line.split()
        if (
            len(words) >= 3
            and words[0] == "#define"
            and words[1].startswith("SIDECALL_")
            and words[2].isdigit()
        ):
            name, number = words[1].removeprefix("SIDECALL_"), int(words[2])
            if name.lower() in wire.DTYPES:
                assert (
                    wire.DTYPES[name.lower()][0] == number
                    and f"| {name.lower()} | {number} |" in numbers
                )
            elif wire.STATUS_NAMES.get(number) == name:
                assert f"{number} {name}" in numbers
    for number, name in wire.STATUS_NAMES.items():
        assert f"#define SIDECALL_{name} {number}" in HEADER.read_text()


def test_the_client_uses_only_the_standard_library() -> None:
    for name in ("client.py", "wire.py"):
        text = (Path(__file__).parent / name).read_text()
        assert "ctypes" not in text and "import sidecall" not in text and "numpy" not in text
