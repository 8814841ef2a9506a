"""sidecall predict with invalid lines: the message, and the position that it names."""

from __future__ import annotations

import json
import re

import pytest

GOOD = '{"age": 39, "income": 1000, "kids": 0, "job": "nurse"}'


def good_with(**changes: object) -> str:
    return json.dumps({k: v for k, v in (json.loads(GOOD) | changes).items() if v is not ...})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(
            good_with(age="39"),
            "feature 'age': expected float32, got string",
            id="string_for_a_number",
        ),
        pytest.param(
            good_with(age=True), "feature 'age': expected float32, got bool", id="bool_for_a_number"
        ),
        pytest.param(
            good_with(kids=0.5),
            "feature 'kids': expected int64, got float64",
            id="fraction_for_an_integer",
        ),
        pytest.param(
            good_with(job=3), "feature 'job': expected string, got int64", id="number_for_a_string"
        ),
        pytest.param(
            good_with(job=None), "feature 'job': expected string, got a missing value", id="missing"
        ),
        pytest.param(
            good_with(income=...),
            "feature 'income': expected float32, got a missing value",
            id="absent",
        ),
        pytest.param(
            good_with(job="pirate"),
            "feature 'job': expected a known category, got an unknown one",
            id="unknown_category",
        ),
        pytest.param(
            good_with(shoe_size=43),
            "feature 'shoe_size': expected a feature of the model, got an unknown name",
            id="unknown_feature",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(sidecall, jobs, tmp_path, line, message):
    (tmp_path / "rows.jsonl").write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    done = sidecall("predict", jobs, "rows.jsonl")
    name = message.split("'")[1]
    key = f'"{name}": '
    # The message names the column of the value, or of the record if there is no value.
    column = line.index(key) + len(key) + 1 if key in line else 1
    assert done.err == f"rows.jsonl:3:{column}: {message}\n"
    assert (done.code, len(done.lines())) == (2, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(b'{"age": 39,', "expected JSON", id="cut_off"),
        pytest.param(b"age=39", "expected JSON", id="no_json"),
        pytest.param(b'{"age": 39} {"age": 40}', "expected JSON", id="two_records"),
        pytest.param(
            b'{"age": 1, "age": 2, "income": 1, "kids": 0, "job": "nurse"}', "age", id="a_key_twice"
        ),
        pytest.param(b"[" + GOOD.encode() + b"]", "expected a record, got array", id="list"),
        pytest.param(b"39", "", id="number"),
        pytest.param(b"null", "", id="null"),
        pytest.param(b"[" * 100_000, "expected a record, got array", id="deep_lists"),
        pytest.param(b'{"a":' * 100_000, "", id="deep_records"),
        pytest.param(
            b'{"age": NaN, "income": 1, "kids": 0, "job": "nur\xff"}', "", id="invalid_utf8"
        ),
        pytest.param(b'{"age": 1, "income": 1, "kids": 0, "job": "nur\x00se"}', "", id="nul_byte"),
        pytest.param(
            b'{"age": 1, "income": 1, "kids": 0, "job": "nur\\u0000se"}',
            "job",
            id="nul_in_a_string",
        ),
        pytest.param(b"\xff\xfe{\x00}\x00", "", id="utf16"),
    ],
)
def test_a_line_that_is_not_a_record_is_refused(sidecall, jobs, line, words):
    done = sidecall(
        "predict", jobs, stdin=GOOD.encode() + b"\n" + line + b"\n" + GOOD.encode() + b"\n"
    )
    assert (done.code, len(done.lines())) == (2, 1)
    assert re.match(r"<stdin>:2:\d+: ", done.err) and words in done.err
    assert done.err.count("\n") == 1
    assert "39" not in done.err  # a message never contains a value of the data


def test_all_faults_of_a_line_are_reported(sidecall, jobs):
    done = sidecall("predict", jobs, stdin='{"age": "old", "kids": true, "job": "nurse"}')
    assert done.code == 2
    assert sorted(done.err.splitlines()) == [
        "<stdin>:1:1: feature 'income': expected float32, got a missing value",
        "<stdin>:1:24: feature 'kids': expected int64, got bool",
        "<stdin>:1:9: feature 'age': expected float32, got string",
    ]


@pytest.mark.parametrize(
    ("line", "column"),
    [
        pytest.param('{"age": 39,', 12, id="cut_off"),
        pytest.param(
            good_with(age=1)[:-1] + ', "age": 2}', len(good_with(age=1)) + 7, id="a_key_twice"
        ),
        pytest.param('{"age": 1e999}', 9, id="beyond_float64"),
        pytest.param('  {"\u00e9\u00e9": NaN}', 10, id="characters_not_bytes"),
        pytest.param(b'{"job": "nur\xffse"}', 13, id="invalid_utf8"),
        pytest.param(b'{"job": "nur\x00se"}', 13, id="nul"),
        pytest.param('{"job": "nur\\ud800se"}', 13, id="lone_surrogate"),
        pytest.param(
            '{"x\\"": {"age": "x"}, "age" : "x", "income": 1, "kids": 1, "job": "nurse"}',
            31,
            id="a_key_inside_another",
        ),
        pytest.param(" \t[1]", 3, id="list"),
        pytest.param('{"a":' * 1_000_000, 322, id="a_million_deep"),
    ],
)
def test_an_error_names_the_line_and_the_column(sidecall, jobs, line, column):
    line = line.encode() if isinstance(line, str) else line
    done = sidecall("predict", jobs, "--extra=ignore", stdin=GOOD.encode() + b"\n" + line + b"\n")
    assert (done.code, len(done.lines())) == (2, 1)
    assert done.err.startswith(f"<stdin>:2:{column}: ")


def test_rows_with_faults_can_be_answered_with_null(sidecall, jobs):
    done = sidecall(
        "predict",
        jobs,
        "--on-error=null",
        stdin=f"{GOOD}\n{good_with(age='x')}\nnonsense\n\n{GOOD}\n",
    )
    assert done.code == 2
    assert [line == "null" for line in done.lines()] == [False, True, True, False]
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [
        "<stdin>:2:9",
        "<stdin>:3:2",
        "sidecall",
    ]
    assert done.err.endswith("sidecall: 2 rows of 4 had faults and were answered with null\n")


def test_control_characters_in_names_are_escaped(sidecall, jobs):
    done = sidecall("predict", jobs, stdin=good_with(**{"\x1b[2J\nfake: all is well": 1}))
    assert done.code == 2
    assert "\x1b" not in done.err and done.err.count("\n") == 1
    assert "\\u001b[2J\\nfake" in done.err


def test_a_line_beyond_the_limit_is_refused(sidecall, jobs):
    done = sidecall("predict", jobs, stdin=GOOD + "\n" + "x" * (65 << 20))
    assert (done.code, len(done.lines())) == (2, 1)
    assert done.err == "<stdin>:2:1: expected a line of at most 64 MiB, got a longer one\n"
