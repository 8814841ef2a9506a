"""sidecall predict: answers, order, flushing, and how invalid lines fail."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import models
import pytest

GOOD = '{"age": 39, "income": 1000, "kids": 0, "job": "nurse"}'
EXPECTED = models.answer(models.FEATURES, json.loads(GOOD))


def check_answer(line: str, expected: dict) -> None:
    got = json.loads(line)
    assert list(got) == list(expected)
    assert got["label"] == expected["label"]
    assert list(got["probabilities"]) == list(expected["probabilities"])
    assert got["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)


def good_with(**changes: object) -> str:
    return json.dumps({k: v for k, v in (json.loads(GOOD) | changes).items() if v is not ...})


# Valid input.


def test_answers_come_in_the_order_of_the_lines(sidecall, jobs):
    done = sidecall("predict", jobs, stdin="".join(json.dumps(row) + "\n" for row in models.ROWS))
    assert (done.code, done.err, len(done.lines())) == (0, "", 3)
    for line, row in zip(done.lines(), models.ROWS, strict=True):
        check_answer(line, models.answer(models.FEATURES, row))


def test_a_file_and_stdin_give_the_same_answers(sidecall, jobs, tmp_path):
    (tmp_path / "rows.jsonl").write_text(GOOD + "\n" + good_with(kids=7) + "\n")
    by_name = sidecall("predict", jobs, "rows.jsonl")
    by_stdin = sidecall("predict", jobs, "-", stdin=(tmp_path / "rows.jsonl").read_bytes())
    assert by_name.code == by_stdin.code == 0
    assert by_name.out == by_stdin.out


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="no_newline_at_the_end"),
        pytest.param(GOOD + "\r\n", id="crlf"),
        pytest.param("\ufeff" + GOOD + "\n", id="byte_order_mark"),
        pytest.param("\n  \n" + GOOD + "\n\r\n\n", id="empty_lines"),
        pytest.param("  \t" + GOOD + "  \n", id="blanks_around"),
        pytest.param(
            '{"job":"nurse","kids":0,"income":1e3,"age":39.0}\n', id="another_order_of_keys"
        ),
        pytest.param(
            '{"job":"\\u006eurse","kids":0.0,"income":1000,"age":39}\n',
            id="escapes_and_a_whole_float",
        ),
    ],
)
def test_every_valid_notation_of_a_record_is_read(sidecall, jobs, text):
    done = sidecall("predict", jobs, stdin=text)
    assert (done.code, done.err) == (0, "")
    check_answer(done.out.rstrip("\n"), EXPECTED)
    assert done.out.count("\n") == 1


def test_null_and_an_absent_key_are_missing(sidecall, jobs):
    done = sidecall("predict", jobs, stdin=good_with(age=None) + "\n" + good_with(age=...) + "\n")
    assert done.code == 0
    assert done.lines()[0] == done.lines()[1]
    check_answer(done.lines()[0], models.answer(models.FEATURES, json.loads(good_with(age=None))))


def test_no_input_gives_no_output(sidecall, jobs):
    done = sidecall("predict", jobs, stdin="")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_unknown_features_can_be_ignored(sidecall, jobs):
    done = sidecall("predict", jobs, "--extra", "ignore", stdin=good_with(shoe_size=43))
    assert (done.code, done.err) == (0, "")
    check_answer(done.out, EXPECTED)


def test_answers_do_not_wait_for_the_end_of_input(sidecall, jobs):
    with sidecall.start("predict", jobs) as process:
        for kids in (0, 1):
            process.stdin.write((good_with(kids=kids) + "\n").encode())
            process.stdin.flush()
            check_answer(
                process.stdout.readline().decode(),
                models.answer(models.FEATURES, json.loads(good_with(kids=kids))),
            )
        process.stdin.close()
        assert process.wait(30) == 0


def test_lines_that_arrive_in_pieces_are_answered(sidecall, jobs):
    with sidecall.start("predict", jobs) as process:
        for piece in (GOOD[:10], GOOD[10:30], GOOD[30:] + "\n" + GOOD[:5], GOOD[5:] + "\n"):
            process.stdin.write(piece.encode())
            process.stdin.flush()
            time.sleep(0.02)
        out, err = process.communicate()
    assert (process.returncode, err, out.count(b"\n")) == (0, b"", 2)


def test_memory_does_not_grow_with_the_number_of_rows(sidecall, jobs, tmp_path):
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    few.write_text((GOOD + "\n") * 10)
    many.write_text((GOOD + "\n") * 200_000)

    def peak_kib(file: Path) -> int:
        with (tmp_path / "out.jsonl").open("wb") as out:
            process = subprocess.Popen(
                [sidecall.path, "predict", jobs, str(file)],
                cwd=tmp_path,
                env=sidecall.env,
                stdout=out,
            )
            _, state, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(state)
        assert process.returncode == 0
        return usage.ru_maxrss

    small = peak_kib(few)
    assert peak_kib(many) - small < 4096  # the input has 11 MiB, the answers 13 MiB
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 200_000


def test_a_line_of_three_megabytes_is_answered(sidecall, jobs):
    done = sidecall("predict", jobs, stdin=" " * 3_000_000 + GOOD + "\n" + GOOD)
    assert (done.code, done.err, len(done.lines())) == (0, "", 2)


def test_a_deadline_that_is_not_reached_changes_nothing(sidecall, jobs):
    done = sidecall("predict", jobs, "--timeout", "30", stdin=GOOD)
    assert (done.code, done.err) == (0, "")


def test_a_file_uri_is_opened(sidecall, jobs, tmp_path):
    done = sidecall("predict", f"file://{tmp_path}/{jobs}", stdin=GOOD)
    assert (done.code, done.err) == (0, "")


def test_a_regressor_answers_with_its_prediction(sidecall, tmp_path):
    models.regressor(tmp_path / "price.onnx")
    done = sidecall("predict", "price.onnx", stdin='{"x0": 1, "x1": 2.5}\n{"x1": 0, "x0": 0}')
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.lines()] == [{"prediction": 8.0}, {"prediction": 1.0}]


# Invalid files and models.


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.jsonl", "sidecall: none.jsonl: no such file or directory\n"),
        (".", "sidecall: .: is a directory\n"),
    ],
)
def test_a_file_of_rows_that_cannot_be_read_fails_with_code_2(sidecall, jobs, file, message):
    done = sidecall("predict", jobs, file)
    assert (done.code, done.out, done.err) == (2, "", message)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param("directory", "directory", id="directory"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"this is not ONNX at all", "", id="text"),
        pytest.param("cut", "", id="cut_off"),
    ],
)
def test_a_model_that_cannot_be_opened_fails_with_code_3(sidecall, jobs, tmp_path, content, words):
    path = tmp_path / "bad.onnx"
    if content == "directory":
        path.mkdir()
    elif content == "cut":
        path.write_bytes((tmp_path / jobs).read_bytes()[:-700])
    elif content is not None:
        path.write_bytes(content)
    done = sidecall("predict", "bad.onnx", stdin=GOOD)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("sidecall: ") and "bad.onnx" in done.err and words in done.err
    assert done.err.count("\n") == 1


def test_a_model_without_a_contract_fails_with_code_3(sidecall, tmp_path):
    models.bare(tmp_path / "bare.onnx")
    for text in ('{"x": 1}', ""):
        done = sidecall("predict", "bare.onnx", stdin=text)
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith("sidecall: bare.onnx: ") and "contract" in done.err


def test_golden_rows_that_disagree_fail_or_warn(sidecall, tmp_path):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][1] = [0.25, 0.75]

    models.classifier(tmp_path / "wrong.onnx", change=spoil)
    refused = sidecall("predict", "wrong.onnx", stdin=GOOD)
    assert (refused.code, refused.out) == (3, "")
    assert "wrong.onnx" in refused.err and "probabilities" in refused.err
    warned = sidecall("predict", "wrong.onnx", "--verify", "warn", stdin=GOOD)
    assert (warned.code, len(warned.lines())) == (0, 1)
    assert warned.err.startswith("sidecall: warning: wrong.onnx: ")
    silent = sidecall("predict", "wrong.onnx", "--verify", "off", stdin=GOOD)
    assert (silent.code, silent.err) == (0, "")
    by_operator = sidecall("predict", "wrong.onnx", stdin=GOOD, env={"SIDECALL_VERIFY": "off"})
    assert (by_operator.code, by_operator.err) == (0, "")


def test_a_missing_engine_fails_with_code_4(sidecall, jobs, tmp_path):
    done = sidecall("predict", jobs, "--onnxruntime", "/no/libonnxruntime.so", stdin=GOOD)
    assert (done.code, done.out) == (4, "")
    assert "/no/libonnxruntime.so" in done.err


def test_a_file_that_is_not_an_engine_fails_with_code_4(sidecall, jobs, tmp_path):
    (tmp_path / "libfake.so").write_bytes(b"not a library")
    done = sidecall(
        "predict", jobs, stdin=GOOD, env={"SIDECALL_ONNXRUNTIME": str(tmp_path / "libfake.so")}
    )
    assert (done.code, done.out) == (4, "")


# Pipes, disks and signals.


@pytest.mark.parametrize(
    "restore_signals", [True, False], ids=["default", "parent_ignores_sigpipe"]
)
def test_a_reader_that_disconnects_ends_the_command_by_sigpipe(sidecall, jobs, restore_signals):
    with sidecall.start("predict", jobs, restore_signals=restore_signals) as process:
        process.stdin.write((GOOD + "\n").encode())
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        try:
            for _ in range(1000):
                process.stdin.write((GOOD + "\n").encode() * 100)
                process.stdin.flush()
        except BrokenPipeError:
            pass
        process.stdin = None
        assert process.stderr.read() == b""
        assert process.wait(30) == -signal.SIGPIPE


def test_a_full_disk_fails_with_code_4(sidecall, jobs):
    with Path("/dev/full").open("wb") as full:
        done = sidecall("predict", jobs, stdin=GOOD, stdout=full)
    assert (done.code, done.err) == (
        4,
        "sidecall: cannot write the output: no space left on device\n",
    )


def test_a_disk_that_is_full_in_the_middle_fails_with_code_4(sidecall, jobs):
    with Path("/dev/full").open("wb") as full:
        done = sidecall("predict", jobs, stdin=(GOOD + "\n") * 5000 + "nonsense", stdout=full)
    assert (done.code, done.err) == (
        4,
        "sidecall: cannot write the output: no space left on device\n",
    )


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_a_closed_standard_stream_does_no_harm(sidecall, jobs, tmp_path, fd):
    before = (tmp_path / jobs).read_bytes()
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f'printf \'%s\\n\' "$1" | "$0" predict {jobs} {fd}>&- {"<&-" if fd == 0 else ""}',
            sidecall.path,
            GOOD,
        ],
        cwd=tmp_path,
        env=sidecall.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == {0: 2, 1: 4, 2: 0}[fd]
    assert (tmp_path / jobs).read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_the_answers_that_were_written(sidecall, jobs, number):
    with sidecall.start("predict", jobs) as process:
        process.stdin.write((GOOD + "\n").encode())
        process.stdin.flush()
        check_answer(process.stdout.readline().decode(), EXPECTED)
        process.send_signal(number)
        assert process.wait(30) == -number
        assert process.stdout.read() == b"" and process.stderr.read() == b""


def test_an_interrupt_of_a_long_run_leaves_only_whole_lines(sidecall, jobs, tmp_path):
    (tmp_path / "rows.jsonl").write_text((GOOD + "\n") * 3_000_000)
    with (
        (tmp_path / "out.jsonl").open("wb") as out,
        sidecall.start("predict", jobs, "rows.jsonl", stdout=out) as process,
    ):
        while os.fstat(out.fileno()).st_size == 0 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        assert process.stderr.read() == b""
    lines = (tmp_path / "out.jsonl").read_bytes()
    assert lines.endswith(b"}\n")  # only complete lines


def test_descriptors_above_1024_work(sidecall, jobs):
    """Descriptors of 1024 and more, as a child of a process with many open files gets them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < 1100:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (1100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1050)]
    try:
        done = sidecall("predict", jobs, stdin=GOOD, pass_fds=files)
    finally:
        for fd in files:
            os.close(fd)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("how", [">", ">>"])
def test_a_full_disk_leaves_no_incomplete_line(sidecall, jobs, tmp_path, how):
    (tmp_path / "rows.jsonl").write_text(f"{GOOD}\n" * 5000)
    script = f'ulimit -f 100 && exec "$0" predict {jobs} rows.jsonl {how} out.jsonl'
    done = subprocess.run(
        ["bash", "-c", script, sidecall.path],
        cwd=tmp_path,
        env=sidecall.env,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        4,
        "sidecall: cannot write the output: file too large\n",
    )
    answers = (tmp_path / "out.jsonl").read_text()
    assert len(answers) > 100_000 and answers.endswith("}\n")
