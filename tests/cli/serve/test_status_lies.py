"""sidecall status of servers that send false data: no crash, no control character in the output."""

from __future__ import annotations

import json
import re

import pytest
from status_liar import lying

VALID = {"name": "jobs", "ready": True, "calls": 3, "statuses": {"0": 3}, "latency_ns": {}}
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]")
ESCAPES = "\x1b[2J\x9b1m\x7f\r\nfake: all is well"
FORMS = [(), ("--json",), ("--prometheus",), ("--ready",)]


LIES = {
    "deep_lists": b'{"name":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "deep_objects": b'{"name":' * 1_000_000 + b"1" + b"}" * 1_000_000,
    "one_level_too_many": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "cut_off": b"[" * 1_000_000,
    "empty": b"",
    "list": b"[1]",
    "number": b"17",
    "trailing_text": b'{"ready": true} x',
    "a_number_of_5000_digits": b'{"calls": ' + b"9" * 5000 + b"}",
    "invalid_utf8": b'{"name": "\xff"}',
    "raw_escape": b'{"name": "a\x1bb"}',
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form[0] if form else "page")
@pytest.mark.parametrize("lie", LIES)
def test_an_invalid_status_is_a_protocol_error(sidecall, tmp_path, lie, form):
    with lying(tmp_path / "liar.sock", LIES[lie]) as at:
        done = sidecall("status", at, *form)
    assert (done.code, done.out) == (4, "")
    assert (
        "the peer broke the protocol: its status is not" in done.err and done.err.count("\n") == 1
    )
    assert not CONTROL.search(done.err.rstrip("\n"))


@pytest.mark.parametrize("backend", ["native", "cffi"])
@pytest.mark.parametrize("lie", LIES)
def test_python_raises_protocol_for_an_invalid_status(tmp_path, monkeypatch, lie, backend):
    from sidecall import errors, serving

    monkeypatch.setenv("SIDECALL_PYTHON_BACKEND", backend)
    with (
        lying(tmp_path / "liar.sock", LIES[lie]) as at,
        pytest.raises(errors.Protocol, match="its status is not"),
    ):
        serving.status(at)


@pytest.mark.parametrize("form", FORMS[:3], ids=lambda form: form[0] if form else "page")
@pytest.mark.parametrize("key", ["name", "version", "model_id", "connections", "calls"])
def test_control_characters_of_a_server_are_escaped(sidecall, tmp_path, form, key):
    with lying(tmp_path / "liar.sock", json.dumps(VALID | {key: ESCAPES}).encode()) as at:
        done = sidecall("status", at, *form)
    assert (done.code, done.err) == (0, "")
    assert not CONTROL.search(done.out)
    assert not any(line.startswith("fake") for line in done.lines())


def test_the_json_of_a_server_is_written_with_the_same_values(sidecall, tmp_path):
    status = VALID | {"name": ESCAPES, "more": [1.5, None, {"a": []}]}
    with lying(
        tmp_path / "liar.sock", json.dumps(status, ensure_ascii=False, indent=1).encode()
    ) as at:
        assert json.loads(sidecall("status", at, "--json").out) == status


def test_labels_are_escaped_as_prometheus_requires(sidecall, tmp_path):
    with lying(
        tmp_path / "liar.sock", json.dumps(VALID | {"name": 'a"b\\c\nd\x1be'}).encode()
    ) as at:
        done = sidecall("status", at, "--prometheus")
    assert '{name="a\\"b\\\\c\\nd\\\\u001be",' in done.out


@pytest.mark.parametrize("value", ['"1\\nfake_total 1"', "[1]", "{}", "null", "true"])
def test_a_counter_that_is_not_a_number_is_left_out_of_the_metrics(sidecall, tmp_path, value):
    text = f'{{"calls": {value}, "connections": {value}, "statuses": {{"0": {value}}}, "latency_ns": {{"sum": {value}}}}}'
    with lying(tmp_path / "liar.sock", text.encode()) as at:
        done = sidecall("status", at, "--prometheus")
    assert done.code == 0
    for line in done.lines():
        assert line.startswith("# ") or re.fullmatch(r"[a-z_]+(\{.*\})? [0-9.e+-]+", line), line


def histogram_of(done) -> list[tuple[float, float]]:
    lines = [line for line in done.lines() if line.startswith("sidecall_call_seconds_bucket")]
    return [(float(line.split('"')[1]), float(line.split()[1])) for line in lines]


def test_buckets_are_merged_without_losing_or_moving_a_call(sidecall, tmp_path):
    bounds = [2**power - 1 for power in range(1, 39)]
    latency = {"sum": 0, "bounds": bounds, "counts": list(range(1, 40))}
    with lying(tmp_path / "liar.sock", json.dumps(VALID | {"latency_ns": latency}).encode()) as at:
        done = sidecall("status", at, "--prometheus")
    shown = histogram_of(done)
    assert len(shown) < len(bounds)
    for bound, count in shown[:-1]:
        place = bounds.index(round(bound * 1e9))
        assert count == sum(range(1, place + 2))
    assert shown[-1] == (float("inf"), sum(range(1, 40)))
    assert f"sidecall_call_seconds_count {sum(range(1, 40))}" in done.lines()


@pytest.mark.parametrize(
    "latency",
    [
        {"bounds": [1000, 2000], "counts": [1, 2]},
        {"bounds": [2000, 1000], "counts": [1, 2, 3]},
        {"bounds": [1000, 1000], "counts": [1, 2, 3]},
        {"bounds": [1000, -1], "counts": [1, 2, 3]},
        {"bounds": [], "counts": [1]},
        {"bounds": list(range(200_000)), "counts": [1]},
    ],
    ids=["too_few_counts", "falling", "equal", "negative", "none", "many"],
)
def test_a_false_histogram_is_left_out(sidecall, tmp_path, latency):
    with lying(tmp_path / "liar.sock", json.dumps(VALID | {"latency_ns": latency}).encode()) as at:
        done = sidecall("status", at, "--prometheus")
    assert done.code == 0
    assert "sidecall_call_seconds" not in done.out


def test_a_histogram_of_many_buckets_is_read_in_linear_time(sidecall, tmp_path):
    """The work grows with the number of buckets, and not with its square."""
    latency = {"sum": 0, "bounds": list(range(0, 10**9, 1000)), "counts": [1] * 1_000_001}
    with lying(tmp_path / "liar.sock", json.dumps(VALID | {"latency_ns": latency}).encode()) as at:
        shown = histogram_of(sidecall("status", at, "--prometheus"))
    assert shown[0] == (1e-6, 2)
    assert shown[-1] == (float("inf"), 1_000_001)


def test_a_status_of_64_levels_is_accepted(sidecall, tmp_path):
    text = b'{"ready": true, "a":' + b"[" * 63 + b"]" * 63 + b"}"
    with lying(tmp_path / "liar.sock", text) as at:
        assert sidecall("status", at, "--ready").out == "ready\n"
        assert sidecall("status", at, "--json").code == 0
