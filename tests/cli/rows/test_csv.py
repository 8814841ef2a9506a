"""sidecall predict with CSV: what a field means, what is copied through, and how invalid files
fail.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import time

import models
import pytest

HEAD = "age,income,kids,job"
ROWS = ["39,1000,0,nurse", ",250.5,2,clerk", "20,2000,1,teacher"]
RECORDS = models.ROWS


def text_of(*rows: str, head: str = HEAD) -> str:
    return "".join(row + "\n" for row in (head, *rows))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def as_json(sidecall, jobs):
    """The answers of the same records as JSON Lines, row by row."""
    done = sidecall(
        "predict", jobs, "--batch=1", stdin="".join(json.dumps(row) + "\n" for row in RECORDS)
    )
    return [json.loads(line) for line in done.lines()]


# Valid input.


@pytest.mark.parametrize("batch", ["1", "2", "512"])
def test_csv_gives_the_same_answers_as_json(sidecall, jobs, as_json, batch):
    done = sidecall("predict", jobs, "--from=csv", f"--batch={batch}", stdin=text_of(*ROWS))
    assert (done.code, done.err) == (0, "")
    assert done.lines()[0] == "label,probabilities.no,probabilities.yes"
    for got, expected in zip(read(done.out), as_json, strict=True):
        assert got["label"] == expected["label"]
        assert float(got["probabilities.yes"]) == pytest.approx(
            expected["probabilities"]["yes"], abs=1e-6
        )


@pytest.mark.parametrize(
    ("name", "options"),
    [("rows.csv", []), ("rows.txt", []), ("rows.txt", ["--from=csv"])],
    ids=["by_name", "by_first_byte", "told"],
)
def test_the_format_is_detected(sidecall, jobs, tmp_path, name, options):
    (tmp_path / name).write_text(text_of(*ROWS))
    done = sidecall("predict", jobs, name, *options)
    assert (done.code, len(done.lines())) == (0, 4)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text_of(*ROWS).replace("\n", "\r\n"), id="crlf"),
        pytest.param("\ufeff" + text_of(*ROWS), id="byte_order_mark"),
        pytest.param(text_of(*ROWS)[:-1], id="no_newline_at_the_end"),
        pytest.param(text_of(*ROWS).replace("\n", "\n\n"), id="empty_lines"),
        pytest.param(
            text_of('"39","1000","0","nurse"', *ROWS[1:], head='"age","income","kids","job"'),
            id="everything_in_quotes",
        ),
        pytest.param(text_of("39.0,1e3,0.0,nurse", *ROWS[1:]), id="other_ways_to_write_a_number"),
        pytest.param(
            "\ufeff" + text_of('"39",1000,0,nurse', *ROWS[1:], head='"age",income,kids,job'),
            id="mark_and_quotes",
        ),
    ],
)
def test_every_valid_notation_of_a_csv_file_is_read(sidecall, jobs, text):
    expected = sidecall("predict", jobs, "--from=csv", stdin=text_of(*ROWS)).out
    done = sidecall("predict", jobs, "--from=csv", stdin=text)
    assert (done.code, done.err, done.out) == (0, "", expected)


def test_columns_can_have_any_order_and_extra_columns(sidecall, jobs):
    expected = sidecall("predict", jobs, "--from=csv", stdin=text_of(*ROWS)).out
    text = text_of(
        "nurse,7,0,1000,39",
        "clerk,7,2,250.5,",
        "teacher,7,1,2000,20",
        head="job,shoe,kids,income,age",
    )
    done = sidecall("predict", jobs, "--from=csv", "--extra=ignore", stdin=text)
    assert (done.code, done.out) == (0, expected)


def test_a_column_that_is_not_there_is_missing_only_on_request(sidecall, jobs):
    rows = text_of("1000,0,nurse", head="income,kids,job")
    done = sidecall("predict", jobs, "--from=csv", stdin=rows)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "<stdin>:1:1: feature 'age': expected a column, got none (--absent=missing takes it as "
        "missing)\n"
    )
    done = sidecall("predict", jobs, "--from=csv", "--absent=missing", stdin=rows)
    assert (done.code, done.err) == (0, "")
    assert done.out == sidecall("predict", jobs, "--from=csv", stdin=text_of(",1000,0,nurse")).out
    rows = text_of("0", head="kids")
    for option, names in (("error", "'age', 'income', 'job'"), ("missing", "'income', 'job'")):
        done = sidecall("predict", jobs, "--from=csv", f"--absent={option}", stdin=rows)
        assert done.err == f"<stdin>:1:1: features {names}: expected columns, got none\n"


@pytest.mark.parametrize("order", [["csv", "jsonl"], ["jsonl", "csv"]], ids="_to_".join)
def test_answers_to_csv_can_be_json_lines_and_the_other_way_round(sidecall, jobs, as_json, order):
    source = (
        text_of(*ROWS) if order[0] == "csv" else "".join(json.dumps(row) + "\n" for row in RECORDS)
    )
    done = sidecall("predict", jobs, f"--to={order[1]}", "--batch=1", stdin=source)
    assert (done.code, done.err) == (0, "")
    if order[1] == "jsonl":
        assert [json.loads(line) for line in done.lines()] == as_json
    else:
        assert [float(row["probabilities.yes"]) for row in read(done.out)] == [
            row["probabilities"]["yes"] for row in as_json
        ]


def test_kept_columns_are_copied_unchanged_in_front_of_the_answers(sidecall, jobs):
    text = text_of('"a,""b",39,1000,0,nurse', "\u00e9,20,2000,1,teacher", head="tx," + HEAD)
    done = sidecall("predict", jobs, "--from=csv", "--keep=tx,kids", "--only=label", stdin=text)
    assert (done.code, done.lines()) == (0, ["tx,kids,label", '"a,""b",0,yes', "\u00e9,1,no"])
    done = sidecall(
        "predict", jobs, "--from=csv", "--to=jsonl", "--keep=tx", "--only=label", stdin=text
    )
    assert [json.loads(line) for line in done.lines()] == [
        {"tx": 'a,"b', "label": "yes"},
        {"tx": "\u00e9", "label": "no"},
    ]


def test_kept_members_of_records_are_copied_unchanged(sidecall, jobs):
    records = [
        RECORDS[0] | {"tx": value} for value in (17, "a,b", None, [1, {"x": "]"}], 1e300, 'q"')
    ] + [RECORDS[0]]
    text = "".join(json.dumps(record) + "\n" for record in records)
    done = sidecall("predict", jobs, "--keep", "tx", "--only", "label", stdin=text)
    assert [json.loads(line)["tx"] for line in done.lines()] == [
        17,
        "a,b",
        None,
        [1, {"x": "]"}],
        1e300,
        'q"',
        None,
    ]
    done = sidecall("predict", jobs, "--keep", "tx", "--only", "label", "--to=csv", stdin=text)
    assert [row["tx"] for row in read(done.out)] == [
        "17",
        "a,b",
        "",
        '[1, {"x": "]"}]',
        "1e+300",
        'q"',
        "",
    ]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("label", ["label"]),
        ("probabilities.yes", ["probabilities.yes"]),
        ("probabilities", ["probabilities.no", "probabilities.yes"]),
        ("probabilities.yes,label", ["label", "probabilities.yes"]),
    ],
)
def test_only_the_chosen_answers_are_written(sidecall, jobs, only, expected):
    done = sidecall("predict", jobs, "--from=csv", "--only", only, stdin=text_of(*ROWS))
    assert done.lines()[0].split(",") == expected
    record = json.loads(sidecall("predict", jobs, "--only", only, stdin=json.dumps(RECORDS[0])).out)
    assert set(record) == {name.split(".")[0] for name in expected}


def test_a_line_end_in_quotes_belongs_to_its_field(sidecall, jobs):
    text = text_of('"two\nlines",39,1000,0,nurse', "x,39,1000,0,pirate", head="note," + HEAD)
    done = sidecall("predict", jobs, "--from=csv", "--keep=note", "--only=label", stdin=text)
    assert done.out == 'note,label\n"two\nlines",yes\n'
    assert done.err.startswith("<stdin>:4:13: feature 'job': expected a known category")


def test_an_empty_string_is_not_a_missing_value(sidecall, tmp_path):
    name = {
        "name": "name",
        "type": "string",
        "nullable": True,
        "weight": 1.0,
        "allowed": ["", "a", models.MISSING_STRING],
    }
    models.classifier(tmp_path / "s.onnx", [name], rows=[{"name": "a"}])
    done = sidecall(
        "predict", "s.onnx", "--from=csv", "--only=probabilities.yes", stdin='name\n""\n"a"\na\n'
    )
    assert done.code == 0
    empty, quoted, plain = done.lines()[1:]
    assert quoted == plain != empty


def test_booleans_are_read_in_the_spellings_of_pandas_r_and_excel(sidecall, tmp_path):
    flag = {"name": "flag", "type": "bool", "nullable": False, "weight": 1.0}
    models.classifier(tmp_path / "b.onnx", [flag], rows=[{"flag": True}])
    done = sidecall(
        "predict",
        "b.onnx",
        "--from=csv",
        "--only=label",
        stdin="flag\ntrue\nTrue\nTRUE\nfalse\nFalse\nFALSE\n",
    )
    assert done.lines() == ["label", *["yes"] * 3, *["no"] * 3]
    done = sidecall("predict", "b.onnx", "--from=csv", stdin="flag\n1\n")
    assert (done.code, done.err) == (2, "<stdin>:2:1: feature 'flag': expected bool, got text\n")


def test_a_row_with_faults_does_not_change_other_answers(sidecall, jobs):
    rows = [f"{20 + i % 50},{900 + i},{i % 4},nurse" for i in range(2000)]
    clean = sidecall("predict", jobs, "--from=csv", "--only=label", stdin=text_of(*rows)).lines()[
        1:
    ]
    for place in (0, 511, 512, 1999):
        spoiled = [*rows[:place], "x,1,1,nurse", *rows[place:]]
        done = sidecall(
            "predict",
            jobs,
            "--from=csv",
            "--only=label",
            "--on-error=null",
            stdin=text_of(*spoiled),
        )
        assert done.lines()[1:] == [*clean[:place], '""', *clean[place:]]
        done = sidecall("predict", jobs, "--from=csv", "--only=label", stdin=text_of(*spoiled))
        assert (done.code, done.lines()[1:]) == (2, clean[:place])
        assert done.err == f"<stdin>:{place + 2}:1: feature 'age': expected float32, got text\n"


def test_many_rows_keep_their_order(sidecall, jobs, tmp_path):
    rows = [
        f'{i},"{"n" * (i % 97)}\n",{20 + i % 50},{900 + i % 7},{i % 4},nurse' for i in range(30_000)
    ]
    (tmp_path / "rows.csv").write_text(text_of(*rows, head="tx,note," + HEAD))
    done = sidecall("predict", jobs, "rows.csv", "--keep=tx,note", "--only=label")
    assert (done.code, done.err) == (0, "")
    got = read(done.out)
    assert [(row["tx"], row["note"]) for row in got] == [
        (str(i), "n" * (i % 97) + "\n") for i in range(30_000)
    ]


def test_progress_is_shown_only_on_a_terminal(sidecall, jobs, tmp_path):
    ours, theirs = pty.openpty()
    answers = tmp_path / "out"
    with (
        answers.open("wb") as out,
        sidecall.start("predict", jobs, stdout=out, stderr=theirs) as process,
    ):
        os.close(theirs)
        process.stdin.write(b'{"income": 1, "kids": 0, "job": "nurse"}\n')
        process.stdin.flush()
        # Progress is shown two seconds after the command started. It may start late on a busy
        # machine, so the test waits from its first answer on.
        while not answers.read_bytes() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(2.1)
        process.stdin.write(b'{"income": 1, "kids": 0, "job": "nurse"}\n')
        process.stdin.close()
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # the terminal is gone when its last writer closes it
            pass
        assert process.wait(30) == 0
    os.close(ours)
    assert shown.startswith(b"\r2 rows, ") and shown.endswith(b"\r\x1b[K")
    assert answers.read_bytes().count(b"\n") == 2


# Invalid rows.


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(
            "39,1000,zero,nurse",
            "9: feature 'kids': expected int64, got text",
            id="text_for_a_number",
        ),
        pytest.param(
            "39,1000,0.5,nurse",
            "9: feature 'kids': expected int64, got float64",
            id="fraction_for_an_integer",
        ),
        pytest.param(
            "39,1000,1e999,nurse",
            "9: feature 'kids': expected int64, got a number beyond its range",
            id="1e999",
        ),
        pytest.param("NaN,1000,0,nurse", "1: feature 'age': expected float32, got text", id="nan"),
        pytest.param("inf,1000,0,nurse", "1: feature 'age': expected float32, got text", id="inf"),
        pytest.param(
            '"39,5",1000,0,nurse',
            "1: feature 'age': expected float32, got text",
            id="decimal_comma",
        ),
        pytest.param(
            " 39,1000,0,nurse", "1: feature 'age': expected float32, got text", id="blank"
        ),
        pytest.param("+39,1000,0,nurse", "1: feature 'age': expected float32, got text", id="plus"),
        pytest.param(
            "0x27,1000,0,nurse", "1: feature 'age': expected float32, got text", id="hexadecimal"
        ),
        pytest.param(
            "3\x009,1000,0,nurse",
            "1: feature 'age': expected float32, got text",
            id="nul_in_a_number",
        ),
        pytest.param(
            "39,1000,0,nur\x00se",
            "11: feature 'job': expected string, got a string with a NUL",
            id="nul",
        ),
        pytest.param(
            b"39,1000,0,nur\xffse",
            "11: feature 'job': expected string, got a string that is not UTF-8",
            id="invalid_utf8",
        ),
        pytest.param(
            "39,,0,nurse",
            "4: feature 'income': expected float32, got a missing value",
            id="missing",
        ),
        pytest.param(
            "39,1000,0,pirate",
            "11: feature 'job': expected a known category, got an unknown one",
            id="category",
        ),
        pytest.param("39,1000,0", "10: expected 4 fields, got 3", id="too_few_fields"),
        pytest.param("39,1000,0,nurse,1", "16: expected 4 fields, got more", id="too_many_fields"),
        pytest.param(
            '39,10"00,0,nurse',
            "4: expected quotes around a field that contains a quote, got none",
            id="quote_inside",
        ),
        pytest.param(
            '39,"1000"0,0,nurse',
            "4: expected a closing quote before the next comma, got none",
            id="behind_a_quote",
        ),
        pytest.param(
            '39,1000,0,"nurse',
            "11: expected a closing quote before the next comma, got none",
            id="open_quote",
        ),
    ],
)
def test_a_wrong_row_is_reported_with_its_line_and_column(sidecall, jobs, tmp_path, row, message):
    row = row.encode() if isinstance(row, str) else row
    (tmp_path / "rows.csv").write_bytes(text_of(ROWS[0]).encode() + row + b"\n")
    done = sidecall("predict", jobs, "rows.csv")
    assert done.err == f"rows.csv:3:{message}\n"
    assert (done.code, len(done.lines())) == (2, 2)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        pytest.param(
            HEAD + ",age",
            "1:21: column 'age': expected each column once, got it twice",
            id="a_column_twice",
        ),
        pytest.param(
            "shoe," + HEAD,
            "1:1: feature 'shoe': expected a feature of the model, got an unknown name",
            id="unknown",
        ),
        pytest.param(
            "age,kids,job", "1:1: feature 'income': expected a column, got none", id="absent"
        ),
        pytest.param(
            'ag"e,income,kids,job',
            "1:1: expected quotes around a field that contains a quote, got none",
            id="quote",
        ),
        pytest.param(
            "age,inc\x00ome,kids,job", "1:5: expected UTF-8 without NUL: save the file", id="nul"
        ),
        pytest.param("39,1000,0,nurse", "1:1: feature '39': expected a feature", id="no_header"),
    ],
)
def test_a_wrong_header_is_reported_with_its_column(sidecall, jobs, head, message):
    done = sidecall(
        "predict", jobs, "--from=csv", "--on-error=skip", stdin=text_of(*ROWS, head=head)
    )
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"<stdin>:{message}") and done.err.count("\n") == 1


def test_all_faults_of_a_row_are_reported_with_their_columns(sidecall, jobs):
    done = sidecall("predict", jobs, "--from=csv", stdin=text_of("\u00e9,x,y,nurse"))
    assert done.err.splitlines() == [
        "<stdin>:2:1: feature 'age': expected float32, got text",
        "<stdin>:2:3: feature 'income': expected float32, got text",
        "<stdin>:2:5: feature 'kids': expected int64, got text",
    ]


def test_rows_with_faults_are_counted(sidecall, jobs):
    text = text_of("7,x,1,1,nurse", "8,39,1000,0,nurse", "9", head="tx," + HEAD)
    done = sidecall(
        "predict", jobs, "--from=csv", "--keep=tx", "--only=label", "--on-error=null", stdin=text
    )
    assert (done.code, done.lines()) == (2, ["tx,label", "7,", "8,yes", ","])
    assert (
        done.err.splitlines()[-1] == "sidecall: 2 rows of 3 had faults and were answered with null"
    )
    done = sidecall(
        "predict", jobs, "--from=csv", "--keep=tx", "--only=label", "--on-error=skip", stdin=text
    )
    assert (done.code, done.lines()) == (2, ["tx,label", "8,yes"])
    assert done.err.splitlines()[-1] == "sidecall: 2 rows of 3 had faults and were left out"


def test_only_the_first_hundred_rows_with_faults_are_shown(sidecall, jobs):
    done = sidecall(
        "predict", jobs, "--from=csv", "--on-error=skip", stdin=text_of(*["x,1,1,nurse"] * 5000)
    )
    assert (done.code, len(done.lines()), len(done.err.splitlines())) == (2, 1, 101)
    assert done.err.endswith("sidecall: 5000 rows of 5000 had faults and were left out\n")


@pytest.mark.parametrize(("name", "text"), [("rows.csv", ""), ("rows.jsonl", "")])
def test_an_empty_csv_file_is_refused_and_an_empty_json_file_is_not(
    sidecall, jobs, tmp_path, name, text
):
    (tmp_path / name).write_text(text)
    done = sidecall("predict", jobs, name)
    if name == "rows.csv":
        assert (done.code, done.out, done.err) == (
            2,
            "",
            "rows.csv:1:1: expected a header, got an empty file\n",
        )
    else:
        assert (done.code, done.out, done.err) == (0, "", "")


def test_a_column_with_the_name_of_an_answer_can_be_kept_without_that_answer(sidecall, jobs):
    text = text_of("x,39,1000,0,nurse", head="label," + HEAD)
    done = sidecall(
        "predict", jobs, "--from=csv", "--keep=label", "--only=probabilities.yes", stdin=text
    )
    assert (done.code, done.lines()[0]) == (0, "label,probabilities.yes")


def test_a_header_without_rows_gives_only_a_header(sidecall, jobs):
    done = sidecall("predict", jobs, "--from=csv", stdin=HEAD)
    assert (done.code, done.out) == (0, "label,probabilities.no,probabilities.yes\n")


def test_a_header_of_many_columns_is_read_in_linear_time(sidecall, jobs):
    """The columns are looked up in linear time: quadratic time would take minutes."""
    names, fields = ",column" * 300_000, ",0" * 300_000
    done = sidecall(
        "predict", jobs, "--from=csv", "--extra=ignore", stdin=f"{HEAD}{names}\n{ROWS[0]}{fields}\n"
    )
    assert (done.code, done.err, len(done.lines())) == (0, "", 2)
    done = sidecall(
        "predict", jobs, "--from=csv", "--extra=ignore", stdin=HEAD + "," * (1 << 20) + "\n"
    )
    assert (done.code, done.out) == (2, "")
    assert (
        done.err
        == f"<stdin>:1:{len(HEAD) + (1 << 20) - 3 + 1}: expected at most 1048576 columns, got more\n"
    )


@pytest.mark.parametrize("start", ["x", '"'], ids=["endless_line", "endless_quote"])
def test_a_row_beyond_the_limit_is_refused(sidecall, jobs, start):
    done = sidecall(
        "predict",
        jobs,
        "--from=csv",
        "--max-line=100000",
        stdin=text_of(ROWS[0]) + start + "x\n"[: 1 + (start == '"')] * 1_000_000,
    )
    assert (done.code, len(done.lines())) == (2, 2)
    assert done.err == "<stdin>:3:1: expected a line of at most 100000 bytes, got a longer one\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--only=nonsense"],
            "predict: --only: expected 'label', 'probabilities.no', 'probabilities.yes', got 'nonsense'",
        ),
        (
            ["--from=tsv"],
            "predict: --from: expected jsonl or csv, got 'tsv' (see sidecall predict --help)",
        ),
        (
            ["--on-error=ignore"],
            "predict: --on-error: expected fail, skip or null, got 'ignore' (see sidecall predict --help)",
        ),
        (
            ["--batch=0"],
            "predict: --batch: expected a whole number from 1 to 1048576, got '0' (see sidecall predict --help)",
        ),
        (
            ["--batch=many"],
            "predict: --batch: expected a whole number from 1 to 1048576, got 'many' (see sidecall predict --help)",
        ),
        (["--keep=age,tx,age"], "predict: --keep: expected each name once, got 'age' twice"),
        (
            ["--keep=label"],
            "predict: --keep: expected a name that no answer has, got 'label' (--only can leave that answer out)",
        ),
        (
            ["--keep=probabilities", "--to=jsonl"],
            "predict: --keep: expected a name that no answer has, got 'probabilities'",
        ),
    ],
)
def test_wrong_arguments_are_refused(sidecall, jobs, words, message):
    done = sidecall("predict", jobs, *words, stdin=text_of(*ROWS))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"sidecall: {message}")


def test_a_kept_column_that_is_missing_is_reported(sidecall, jobs):
    done = sidecall("predict", jobs, "--from=csv", "--keep=tx", stdin=text_of(*ROWS))
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "<stdin>:1:1: --keep: column 'tx' is not in the header\n",
    )
