"""sidecall status of servers that send false data: no crash, no control character in the output."""

from __future__ import annotations

import json
import re

import pytest
from status_liar import lying

HONEST = {"name": "jobs", "ready": True, "calls": 3, "statuses": {"0": 3}, "latency_ns": {}}
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
def test_a_status_that_is_none_is_a_protocol_error(sidecall, tmp_path, lie, form):
    with lying(tmp_path / "liar.sock", LIES[lie]) as at:
        done = sidecall("status", at, *form)
    assert (done.code, done.out) == (4, "")
    assert (
        "the peer broke the protocol: its status is not" in done.err and done.err.count("\n") == 1
    )
    assert not CONTROL.search(done.err.rstrip("\n"))


@pytest.mark.parametrize("backend", ["native", "cffi"])
@pytest.mark.parametrize("lie", LIES)
def test_python_raises_protocol_for_it(tmp_path, monkeypatch, lie, backend):
    from sidecall import errors, serving

    monkeypatch.setenv("SIDECALL_PYTHON_BACKEND", backend)
    with (
        lying(tmp_path / "liar.sock", LIES[lie]) as at,
        pytest.raises(errors.Protocol, match="its status is not"),
    ):
        serving.status(at)


@pytest.mark.parametrize("form", FORMS[:3], ids=lambda form: form[0] if form else "page")
@pytest.mark.parametrize("key", ["name", "version", "model_id", "connections", "calls"])
def test_text_of_a_server_cannot_steer_the_terminal(sidecall, tmp_path, form, key):
    with lying(tmp_path / "liar.sock", json.dumps(HONEST | {key: ESCAPES}).encode()) as at:
        done = sidecall("status", at, *form)
    assert (done.code, done.err) == (0, "")
    assert not CONTROL.search(done.out)
    assert not any(line.startswith("fake") for line in done.lines())


def test_json_of_a_server_stays_what_it_is(sidecall, tmp_path):
    told = HONEST | {"name": ESCAPES, "more": [1.5, None, {"a": []}]}
    with lying(
        tmp_path / "liar.sock", json.dumps(told, ensure_ascii=False, indent=1).encode()
    ) as at:
        assert json.loads(sidecall("status", at, "--json").out) == told


def test_labels_are_escaped_as_prometheus_asks(sidecall, tmp_path):
    with lying(
        tmp_path / "liar.sock", json.dumps(HONEST | {"name": 'a"b\\c\nd\x1be'}).encode()
    ) as at:
        done = sidecall("status", at, "--prometheus")
    assert '{name="a\\"b\\\\c\\nd\\\\u001be",' in done.out


@pytest.mark.parametrize("value", ['"1\\nfake_total 1"', "[1]", "{}", "null", "true"])
def test_a_counter_that_is_no_number_is_no_sample(sidecall, tmp_path, value):
    text = f'{{"calls": {value}, "connections": {value}, "statuses": {{"0": {value}}}, "latency_ns": {{"sum": {value}}}}}'
    with lying(tmp_path / "liar.sock", text.encode()) as at:
        done = sidecall("status", at, "--prometheus")
    assert done.code == 0
    for line in done.lines():
        assert line.startswith("# ") or re.fullmatch(r"[a-z_]+(\{.*\})? [0-9.e+-]+", line), line


def test_64_levels_are_taken(sidecall, tmp_path):
    text = b'{"ready": true, "a":' + b"[" * 63 + b"]" * 63 + b"}"
    with lying(tmp_path / "liar.sock", text) as at:
        assert sidecall("status", at, "--ready").out == "ready\n"
        assert sidecall("status", at, "--json").code == 0
