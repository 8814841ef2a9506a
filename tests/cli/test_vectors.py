"""The test vectors through `sidecall predict`: same answers, texts and statuses as in every
binding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vector_servers import Servers
from vector_servers import reason_to_leave_out as reason_without_server

VECTORS = Path(__file__).parents[1] / "vectors"
CASES: list[dict[str, Any]] = [
    case
    for file in sorted((VECTORS / "cases").glob("*.json"))
    for case in json.loads(file.read_text())
]

# The exit code of each family of statuses, and the statuses of the family (sidecall.h).
EXIT_CODES = {
    2: "DTYPE_MISMATCH SHAPE_MISMATCH UNKNOWN_NAME MISSING_INPUT MISSING_VALUE UNKNOWN_CATEGORY INVALID_STRING INVALID_JSON OUT_OF_RANGE REFUSED",
    3: "FILE_NOT_FOUND FILE_UNREADABLE FILE_INVALID FILE_TOO_LARGE FILE_FORBIDDEN "
    "CONTRACT_INVALID CONTRACT_FORMAT NO_CONTRACT UNSUPPORTED VERIFICATION_FAILED",
    4: "TIMEOUT ENGINE ENGINE_NOT_FOUND ENGINE_TOO_OLD OUT_OF_MEMORY",
    1: "INVALID_ARGUMENT",
}
EXIT_CODE = {status: code for code, statuses in EXIT_CODES.items() for status in statuses.split()}


def raw_bytes(value: Any) -> bytes:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


def lines_of(case: dict[str, Any]) -> list[bytes]:
    """The rows of a case as input lines."""
    if "json" in case:
        return [raw_bytes(case["json"])]
    records = case.get("record", [])
    return [
        json.dumps(record, ensure_ascii=False).encode()
        for record in (records if isinstance(records, list) else [records])
    ]


def reason_to_leave_out(case: dict[str, Any]) -> str | None:
    """The reason why the command cannot express a case; None if it can."""
    if case.get("open", {}).get("as") == "bytes":
        return "the command opens files by name"
    if "inputs" in case and EXIT_CODE.get(case.get("expect_status", ""), 0) != 3:
        return "tensors: predict takes records"
    if case.get("record") == [] or ("json" in case and raw_bytes(case["json"]).strip() == b"[]"):
        return "an empty list: bindings refuse it, but the command accepts an empty input"
    if "json" in case and raw_bytes(case["json"]).lstrip()[:1] == b"[":
        return "a list as JSON text: the command takes one record per line"
    if "json" in case and (b"\n" in raw_bytes(case["json"]) or not raw_bytes(case["json"]).strip()):
        return "text of several lines, or blank text: the command takes one record per line"
    if isinstance(case.get("record"), list) and not all(
        isinstance(record, dict) for record in case["record"]
    ):
        return "a list with an element that is not a record: the command takes one record per line"
    return None


RUN = [case for case in CASES if reason_to_leave_out(case) is None]


def same(got: Any, expected: Any, tolerance: float) -> bool:
    if got is None:
        return expected in (None, "nan", "inf", "-inf")  # JSON cannot express these numbers
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and list(got) == list(expected)
            and all(same(got[k], expected[k], tolerance) for k in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(got) == len(expected)
            and all(map(same, got, expected, [tolerance] * len(expected)))
        )
    if isinstance(expected, float) or isinstance(got, float):
        numbers = isinstance(got, int | float) and isinstance(expected, int | float)
        return numbers and (
            got == expected or math.isclose(got, expected, rel_tol=0, abs_tol=tolerance)
        )
    if isinstance(got, int) and got > 2**63 - 1:
        return float(got) == float(expected)  # beyond int64, so it is a float64 without a fraction
    return type(got) is type(expected) and got == expected


def options_of(case: dict[str, Any]) -> list[str]:
    how = case.get("open", {})
    uri = how.get("uri", str(VECTORS / "models" / case["model"])).replace(
        "$MODELS", str(VECTORS / "models")
    )
    unknown = set(how) - {"uri", "verify", "extra", "as"}
    assert not unknown, f"a kind of open that this runner does not know: {unknown}"
    return [uri] + [
        word for key in ("verify", "extra") if key in how for word in (f"--{key}", how[key])
    ]


@pytest.mark.parametrize("case", RUN, ids=[case["name"] for case in RUN])
def test_every_vector_passes_with_the_command(sidecall, case):
    run_case(sidecall, case, options_of(case))


def run_case(sidecall, case: dict[str, Any], words: list[str]) -> None:
    lines = lines_of(case)
    done = sidecall("predict", "--from=jsonl", *words, stdin=b"\n".join(lines))
    if "expect_status" in case:
        assert done.code == EXIT_CODE[case["expect_status"]], done.err
        check_error(case, done.err)
    else:
        assert done.code == 0, done.err
        result = case.get("result")
        expected = result if isinstance(result, list) else [result]
        assert same(
            [json.loads(line) for line in done.lines()],
            expected if lines else [],
            case.get("tolerance", 0),
        ), done.out


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.close()


SERVED = [case for case in RUN if reason_without_server(case) is None]


@pytest.mark.parametrize("case", SERVED, ids=[case["name"] for case in SERVED])
def test_every_vector_passes_with_the_command_over_shm(sidecall, case, servers):
    how = case.get("open", {})
    address = servers.address(case["model"], how.get("verify", "error"))
    options = [word for key in ("verify", "extra") if key in how for word in (f"--{key}", how[key])]
    run_case(sidecall, case, [address, "--wait", "30", *options])


def check_error(case: dict[str, Any], text: str) -> None:
    error = case.get("expect_error", {})
    if "record" in case and EXIT_CODE[case["expect_status"]] == 2:
        assert (
            text.startswith(f"<stdin>:{max(error.get('row', 0), 0) + 1}:") or "row" not in error
        ), text
    for key in ("name", "expected", "got"):
        assert error.get(key, "") in text.replace("\\u000a", "\n").replace("\\u0009", "\t")
    if "message" in error and isinstance(case.get("record"), dict):
        assert error["message"] in text


def test_most_vectors_of_records_are_run():
    """Each case that is left out has a known reason, and most cases are not left out."""
    of_records = [case for case in CASES if "record" in case or "json" in case]
    assert len(of_records) > 20
    assert len([case for case in of_records if case in RUN]) > len(of_records) * 3 / 4
    negative = [case for case in RUN if "expect_status" in case]
    assert len(negative) >= 20
    assert len(SERVED) > 100
