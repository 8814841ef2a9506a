"""Runs the cases of tests/vectors in process, over shared memory and over the network.

Each case runs with `run` or `predict`, and again on an event loop with `arun` or `apredict`.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from peer import Peer
from sidecall import errors
from sidecall._data.arrays import PACKED, storage
from vector_files import BACKENDS, MODELS, VECTORS
from vector_servers import Servers, reason_to_leave_out

Case = dict[str, Any]
CASES: dict[str, Case] = {
    case["name"]: case
    for path in sorted((VECTORS / "cases").glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))
}
CODES = {kind.code for kind in errors.Error.__subclasses__()}

# Python takes records as values; it has no function that takes raw JSON text.
RUNNABLE = {name: case for name, case in CASES.items() if "json" not in case}
NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

# Cases that a server can run; vector_servers.py gives the reasons for the others.
SERVED = {name: case for name, case in RUNNABLE.items() if reason_to_leave_out(case) is None}

# Cases that Python cannot express, each with its reason.
ODD = (
    "an odd number of 4-bit elements along a free dimension: two elements share a byte, and the "
    "size of a numpy array gives only the number of bytes"
)
NUMBER = (
    "the case expects that an input of floats refuses an array of integers, but Python converts "
    "the array, as it converts integers in a record (test_widths.py)"
)
INEXPRESSIBLE = {
    "types/from_int4_odd": ODD,
    "types/from_uint4_odd": ODD,
    **{
        f"widths/{taker}_given_{given}": NUMBER
        for taker in ("float32", "float64")
        for given in ("int32", "int64", "uint8")
    },
}


def element(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return value


def array_of(tensor: dict[str, Any]) -> np.ndarray:
    dtype = tensor["dtype"]
    values = [element(value) for value in tensor["data"]]
    if dtype == "string":
        array = np.empty(len(values), dtype=object)
        array[:] = values
    elif dtype == "float16" and tensor.get("raw"):
        array = np.array(values, dtype=np.uint16).view(np.float16)
    else:
        array = np.array(
            [NUMBERS.get(value, value) if isinstance(value, str) else value for value in values],
            dtype=storage(dtype),
        )
    return array if dtype in PACKED else array.reshape(tensor["shape"])


def open_case(case: Case, backend: str, **options: Any) -> sidecall.Model:
    how = dict(case.get("open", {}))
    path: Any = MODELS / case["model"]
    if how.pop("as", None) == "bytes":
        path = path.read_bytes()
    elif "uri" in how:
        path = how.pop("uri").replace("$MODELS", str(MODELS))
    else:
        path = str(path)
    return sidecall.open(path, backend=backend, **how, **options)


def answer(case: Case, model: sidecall.Model) -> Any:
    if "record" in case:
        return model.predict(case["record"])
    return model.run(inputs_of(case)) if "inputs" in case else None


def answer_on_a_loop(case: Case, model: sidecall.Model) -> Any:
    if "record" in case:
        return asyncio.run(model.apredict(case["record"]))
    return asyncio.run(model.arun(inputs_of(case))) if "inputs" in case else None


def inputs_of(case: Case) -> dict[str, np.ndarray]:
    return {name: array_of(tensor) for name, tensor in case["inputs"].items()}


def assert_tensors(got: dict[str, np.ndarray], case: Case) -> None:
    assert set(got) == set(case["outputs"])
    for name, tensor in case["outputs"].items():
        expected = array_of(tensor)
        assert got[name].dtype == expected.dtype, name
        assert got[name].shape == expected.shape, name
        if expected.dtype == object:
            assert got[name].ravel().tolist() == [
                e.decode() if isinstance(e, bytes) else e for e in expected.ravel()
            ], name
        elif case.get("tolerance"):
            np.testing.assert_allclose(got[name], expected, rtol=0, atol=case["tolerance"])
        else:
            np.testing.assert_array_equal(got[name], expected)


def assert_record(got: Any, expected: Any, tolerance: float) -> None:
    """`expected` comes from JSON: null is NaN or infinity, a float32 has the fewest digits."""
    if isinstance(expected, dict):
        assert isinstance(got, dict)
        assert list(got) == list(expected)
        for key, value in expected.items():
            assert_record(got[key], value, tolerance)
    elif isinstance(expected, list):
        assert isinstance(got, list)
        assert len(got) == len(expected)
        for one, value in zip(got, expected, strict=True):
            assert_record(one, value, tolerance)
    elif isinstance(expected, str) and isinstance(got, float):
        np.testing.assert_equal(got, NUMBERS[expected])
    elif expected is None:
        assert isinstance(got, float)
        assert not math.isfinite(got)
    elif isinstance(expected, (bool, str)):
        assert got is expected or (isinstance(expected, str) and got == expected)
    else:
        assert not isinstance(got, bool)
        assert abs(got - expected) <= tolerance or np.float32(got) == np.float32(expected)


def check(case: Case, model: sidecall.Model) -> None:
    for got in (answer(case, model), answer_on_a_loop(case, model)):
        if "outputs" in case:
            assert_tensors(got, case)
        if "result" in case:
            assert_record(got, case["result"], case.get("tolerance", 0))


def assert_error(
    error: errors.Error, expected: dict[str, Any], plain: Callable[[str], str]
) -> None:
    for key, value in expected.items():
        got = len(error.faults) if key == "num_faults" else getattr(error, key)
        if isinstance(got, str) and isinstance(value, str):
            got, value = plain(got), plain(value)
        assert got == (None if value in ("", -1) else value), f"{key} of {error}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [name for name in RUNNABLE if name not in INEXPRESSIBLE])
def test_the_case_gives_the_expected_outcome(name: str, backend: str) -> None:
    case = RUNNABLE[name]
    run_case(case, lambda: open_case(case, backend))


def is_refused_natively(case: Case) -> bool:
    """Whether the native engine refuses the file.

    It does not support some graphs. Where ONNX Runtime finds that a graph contradicts itself
    (ENGINE), the native engine says so too, with another status.
    """
    try:
        open_case(case, "native", engine="native").close()
    except errors.Unsupported:
        return True
    except errors.FileInvalid:
        return case.get("expect_status") == "ENGINE"
    except errors.Error:
        return False
    return False


@pytest.mark.parametrize("name", [name for name in RUNNABLE if name not in INEXPRESSIBLE])
def test_the_native_engine_gives_the_expected_outcome_or_refuses_the_file(name: str) -> None:
    case = RUNNABLE[name]
    if not is_refused_natively(case):
        run_case(case, lambda: open_case(case, "native", engine="native"))


def test_the_native_engine_refuses_few_files() -> None:
    refused = [name for name, case in RUNNABLE.items() if is_refused_natively(case)]
    assert len(refused) <= len(RUNNABLE) / 8, refused


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [name for name in SERVED if name not in INEXPRESSIBLE])
def test_the_case_gives_the_expected_outcome_over_shm(
    name: str, backend: str, servers: Servers
) -> None:
    case = SERVED[name]
    address = servers.address(case["model"], case.get("open", {}).get("verify", "error"))
    run_case(case, lambda: sidecall.open(address, backend=backend, wait=30, **case.get("open", {})))


# Cases that a server of the Open Inference Protocol cannot run, or not alike. The protocol has no
# names for some types and for dimensions, and no way to say that an output has no known shape.
NOT_OVER_NETWORK = (
    *("bfloat16", "float8", "int4"),
    *("shapes/unshaped", "shapes/two_inputs_rows_differ", "shapes/matmul_inner_differs"),
    "strings/rows_differ",
)
NETWORKED = {
    name: case
    for name, case in SERVED.items()
    if not any(part in name for part in NOT_OVER_NETWORK)
}


def has_only_json_numbers(case: Case) -> bool:
    """Whether JSON can hold all numbers of the case: finite ones, and none of 16 bits."""
    others = r'"nan"|inf|1e999|null|float16|REFUSED|absent|missing'
    return not re.search(others, json.dumps(case))


ROUTED = [
    (name, route)
    for name, case in NETWORKED.items()
    for route in ("http", "http-json", "grpc")
    if name not in INEXPRESSIBLE and (route != "http-json" or has_only_json_numbers(case))
]


def without_dimension_names(text: str) -> str:
    return re.sub(r"(?<=[\[,])[A-Za-z_]\w*(?=[\],])", "?", text)


@pytest.fixture(scope="module")
def peer(network_library: Path) -> Iterator[Peer]:
    assert network_library.is_file()
    started = Peer(VECTORS / "models")
    yield started
    started.close()


@pytest.mark.parametrize(("name", "route"), ROUTED)
def test_the_case_gives_the_expected_outcome_over_the_network(
    name: str, route: str, peer: Peer
) -> None:
    case = NETWORKED[name]
    how = dict(case.get("open", {}))
    uri = peer.uri(route.split("-")[0], case["model"].replace("/", "%2F"))
    if route == "http-json":
        uri += "?format=json"
        how["verify"] = "off"  # golden rows may have numbers that JSON does not have
    run_case(case, lambda: sidecall.open(uri, **how), without_dimension_names)


@pytest.fixture(scope="module", params=["open", pytest.param("confined", marks=pytest.mark.long)])
def network_servers(network_library: Path, request: pytest.FixtureRequest) -> Iterator[Servers]:
    assert network_library.is_file()
    started = Servers(
        network=True, options=["--sandbox=require"] if request.param == "confined" else []
    )
    yield started
    started.close()


@pytest.mark.parametrize(("name", "route"), ROUTED)
def test_the_case_gives_the_expected_outcome_on_a_server_of_ours(
    name: str, route: str, network_servers: Servers
) -> None:
    case = NETWORKED[name]
    how = dict(case.get("open", {}))
    verify = how.get("verify", "error")
    uri = network_servers.network_address(route.split("-")[0], case["model"], verify)
    if route == "http-json":
        uri += "?format=json"
        how["verify"] = "off"  # golden rows may have numbers that JSON does not have
    run_case(case, lambda: sidecall.open(uri, wait=30, **how), without_dimension_names)


def run_case(
    case: Case,
    opening: Callable[[], sidecall.Model],
    plain: Callable[[str], str] = lambda text: text,
) -> None:
    status = case.get("expect_status")
    if status is None:
        with opening() as model:
            check(case, model)
        return
    assert status in CODES
    for get in (answer, answer_on_a_loop):
        model = None
        with pytest.raises(errors.Error) as caught:
            model = opening()
            get(case, model)
        assert caught.value.code == status, caught.value
        assert "\n" not in str(caught.value)
        assert_error(caught.value, case.get("expect_error", {}), plain)
        if "after" in case:
            assert model is not None
            check(CASES[case["after"]], model)


def test_every_case_is_run_or_listed_as_inexpressible() -> None:
    assert set(INEXPRESSIBLE) <= set(RUNNABLE)
    assert len(RUNNABLE) > 300
    assert len(SERVED) > 200
    assert len(NETWORKED) > 400
    assert len(ROUTED) > 2 * len(NETWORKED) + 300
    assert len([case for case in SERVED.values() if "expect_status" in case]) > 80
