"""Each invalid line is reported by itself, whatever bytes it has, and the next line is answered."""

from __future__ import annotations

import json
import random

import pytest

GOOD = {"age": 39, "income": 1000, "kids": 0, "job": "nurse"}
LINE = json.dumps(GOOD).encode()
OFFSETS = range(48)  # 48 bytes are more than two blocks of 16 bytes, the unit that parsers look at


def with_job(text: bytes) -> bytes:
    return LINE.replace(b"nurse", text)


def control_lines() -> list[bytes]:
    """Bytes below 0x20 except the line end, at every offset of a block, in values and keys."""
    lines = []
    for code in (code for code in range(0x20) if code != 0x0A):
        for offset in OFFSETS:
            text = b"a" * offset + bytes([code]) + b"b" * (47 - offset)
            lines += [
                with_job(text),
                LINE.replace(b'"job"', b'"' + text + b'"'),
                LINE[:-1] + b', "' + text + b'": 1}',
            ]
    return lines


def stream(sidecall, model, lines: list[bytes], *options: str) -> list[dict]:
    done = sidecall(
        "predict", model, "--stream", *options, stdin=b"".join(line + b"\n" for line in lines)
    )
    assert (done.code, done.err) == (0, "")
    answers = [json.loads(line) for line in done.lines()]
    assert len(answers) == len(lines)
    return answers


@pytest.mark.parametrize("extra", ["error", "ignore"])
def test_control_characters_are_refused_in_a_stream(sidecall, jobs, extra):
    lines = control_lines()
    answers = stream(
        sidecall, jobs, [line for bad in lines for line in (bad, LINE)], f"--extra={extra}"
    )
    for answer in answers[::2]:
        assert answer["error"]["status"] == "INVALID_JSON"
    assert all(answer == answers[1] for answer in answers[1::2]) and "label" in answers[1]


def test_control_characters_are_refused_in_a_batch(sidecall, jobs):
    lines = control_lines()
    done = sidecall(
        "predict",
        jobs,
        "--on-error=null",
        "--extra=ignore",
        stdin=b"".join(bad + b"\n" + LINE + b"\n" for bad in lines),
    )
    assert done.code == 2
    assert done.lines()[::2] == ["null"] * len(lines)
    assert "null" not in done.lines()[1::2] and len(done.lines()) == 2 * len(lines)
    reported = done.err.splitlines()
    assert len(reported) == 101 and all("expected JSON, got a" in line for line in reported[:100])


def test_an_error_names_the_column_of_a_control_character(sidecall, jobs):
    done = sidecall("predict", jobs, stdin=LINE + b"\n" + with_job(b"a" * 30 + b"\x1f") + b"\n")
    column = LINE.index(b"nurse") + 31
    assert (
        done.err
        == f"<stdin>:2:{column}: records: expected JSON, got a control character that is not escaped\n"
    )


DEEP = b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}"
WRONG = {
    "lone_high_surrogate": with_job(b"\\ud800"),
    "lone_low_surrogate": with_job(b"\\udc00"),
    "surrogate_in_a_key": LINE[:-1] + b', "\\ud800": 1}',
    "invalid_utf8": with_job(b"\xff"),
    "overlong_utf8": with_job(b"\xc0\xaf"),
    "utf8_of_a_surrogate": with_job(b"\xed\xa0\x80"),
    "cut_utf8": with_job(b"\xc3"),
    "nul": with_job(b"\x00"),
    "nul_in_a_key": LINE.replace(b'"job"', b'"jo\x00b"'),
    "escaped_nul": with_job(b"\\u0000"),
    "escaped_nul_in_a_feature": LINE.replace(b'"job"', b'"job\\u0000"'),
    "deep": DEEP,
    "deep_without_end": b'{"age":' * 100_000,
    "too_long": b" " * 200_000 + LINE,
    "1e999": LINE.replace(b"1000", b"1e999"),
    "minus_1e999": LINE.replace(b"1000", b"-1e999"),
    "400_digits": LINE.replace(b"1000", b"9" * 400),
    "nan": LINE.replace(b"1000", b"NaN"),
    "key_twice": LINE[:-1] + b', "age": 1}',
    "key_twice_escaped": LINE[:-1] + b', "\\u0061ge": 1}',
    "mark_amid": b"\xef\xbb\xbf" + LINE,
    "carriage_return_amid": LINE + b"\r" + LINE,
    "two_records": LINE + LINE,
    "list": b"[" + LINE + b"]",
    "bad_escape": with_job(b"\\x"),
    "cut": LINE[:-1],
    "no_json": b"age=39",
    "only_delete": b"\x7f",
}


@pytest.mark.parametrize("extra", ["error", "ignore"])
def test_each_wrong_line_of_a_stream_fails_only_itself(sidecall, jobs, extra):
    lines = [line for bad in WRONG.values() for line in (bad, LINE)]
    answers = stream(sidecall, jobs, lines, f"--extra={extra}", "--max-line=150000")
    wrong = dict(zip(WRONG, answers[::2], strict=True))
    for name, answer in wrong.items():
        assert answer["error"]["status"] not in ("INTERNAL", "UNKNOWN", "ENGINE"), name
        assert answer["error"]["message"] and answer["error"]["retryable"] is False, name
    assert all(answer == answers[1] for answer in answers[1::2]) and "label" in answers[1]


@pytest.mark.parametrize("how", ["skip", "null"])
def test_each_wrong_line_of_a_batch_fails_only_itself(sidecall, jobs, how):
    lines = [line for bad in WRONG.values() for line in (bad, LINE)]
    done = sidecall(
        "predict", jobs, f"--on-error={how}", "--max-line=150000", stdin=b"\n".join(lines)
    )
    assert done.code == 2
    labels = [json.loads(line)["label"] for line in done.lines() if line != "null"]
    assert len(labels) == len(WRONG) and done.out.count("null\n") == (
        len(WRONG) if how == "null" else 0
    )
    assert f"{len(WRONG)} rows of {2 * len(WRONG)} had faults" in done.err
    assert "internal" not in done.err


GOOD_LINES = {
    "carriage_return": LINE + b"\r",
    "blanks": b" \t" + LINE + b"\t ",
    "tab_between": LINE.replace(b", ", b",\t"),
    "escaped_controls_in_an_extra_key": LINE[:-1] + b', "\\u001b\\u0000\\ud83d\\udc27": 1}',
    "nested_extra": LINE[:-1] + b', "x": [1, {"y": "z"}]}',
    "long_extra": LINE[:-1] + b', "x": "' + b"y" * 100_000 + b'"}',
    "delete_in_an_extra_key": LINE[:-1] + b', "\x7f": 1}',
}


@pytest.mark.parametrize("name", GOOD_LINES)
def test_unusual_but_valid_lines_are_answered(sidecall, jobs, name):
    answers = stream(sidecall, jobs, [LINE, GOOD_LINES[name], LINE], "--extra=ignore")
    assert answers[1] == answers[0] and "label" in answers[0]
    done = sidecall(
        "predict",
        jobs,
        "--extra=ignore",
        "--batch=1",
        stdin=LINE + b"\n" + GOOD_LINES[name] + b"\n",
    )
    assert (done.code, done.err, len(set(done.lines()))) == (0, "", 1)


def test_a_byte_order_mark_and_empty_lines_are_skipped_in_batches(sidecall, jobs):
    answers = stream(sidecall, jobs, [b"\xef\xbb\xbf" + LINE, b"", b"\r", LINE])
    assert answers[0] == answers[3] and "label" in answers[0]
    assert [answer["error"]["status"] for answer in answers[1:3]] == ["INVALID_JSON"] * 2
    done = sidecall("predict", jobs, stdin=b"\xef\xbb\xbf" + LINE + b"\n\n\r\n" + LINE + b"\n")
    assert (done.code, done.err, len(done.lines())) == (0, "", 2)


def test_randomly_damaged_lines_do_not_end_a_stream(sidecall, jobs):
    """The command reads records itself, the library describes the faults: both must agree."""
    source = random.Random(5)
    pieces = [
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\\u00",
        b"\\ud83d",
        b"e",
        b"-",
        b".",
        b"0",
        b"null",
        b"\t",
        b"\r",
        b"\xc3\xa9",
    ]
    lines = []
    for _ in range(4000):
        line = bytearray(LINE)
        for _ in range(source.randint(1, 3)):
            at = source.randrange(len(line))
            new = source.choice(
                [*pieces, bytes([source.choice([b for b in range(256) if b != 0x0A])])]
            )
            line[at : at + source.randint(0, 2)] = new
        lines.append(bytes(line))
    answers = stream(
        sidecall, jobs, [line for bad in lines for line in (bad, LINE)], "--extra=ignore"
    )
    statuses = {answer["error"]["status"] for answer in answers[::2] if "error" in answer}
    assert statuses <= {
        "INVALID_JSON",
        "DTYPE_MISMATCH",
        "MISSING_VALUE",
        "UNKNOWN_CATEGORY",
        "OUT_OF_RANGE",
        "INVALID_STRING",
    }
    assert not any(
        "only the library" in answer.get("error", {}).get("message", "") for answer in answers
    )
    assert all(answer == answers[1] for answer in answers[1::2])
