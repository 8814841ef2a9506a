"""Rows that the model refuses are handled like other invalid rows.

They are reported with their line, skipped or answered with null, and the exit code is 2.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

STEPS = Path(__file__).resolve().parents[2] / "vectors/models/steps.onnx"
LIMITS = STEPS.parent / "limits.onnx"
# The second, the fourth and the fifth row are refused.
ROWS = [
    (6, 2),
    (101, 2),
    (8, 2),
    (-5, 2),
    (1, 0),
    (9, 3),
]
LINES = "".join(f'{{"a": {a}, "b": {b}}}\n' for a, b in ROWS)
CSV = "key,a,b\n" + "".join(f"{key},{a},{b}\n" for key, (a, b) in zip("uvwxyz", ROWS, strict=True))
COMPLAINTS = [
    "<stdin>:2:1: step 'pca': expected finite numbers, got others",
    "<stdin>:4:1: step 'log': expected numbers above 0, got others",
    "<stdin>:5:1: output 'prediction': expected finite numbers, got others",
]


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_refused_rows_of_json_lines_are_answered_with_null(sidecall, batch):
    done = sidecall("predict", STEPS, "--on-error=null", f"--batch={batch}", stdin=LINES)
    assert done.code == 2
    assert [json.loads(line) for line in done.lines()] == [
        {"prediction": 3},
        None,
        {"prediction": 4},
        None,
        None,
        {"prediction": 3},
    ]
    assert done.err.splitlines()[:3] == COMPLAINTS


def test_refused_rows_of_csv_are_skipped(sidecall):
    done = sidecall("predict", STEPS, "--on-error=skip", "--from=csv", "--keep=key", stdin=CSV)
    assert (done.code, done.lines()) == (2, ["key,prediction", "u,3", "w,4", "z,3"])
    assert "3 rows of 6 had faults and were left out" in done.err
    assert [line.split(": ", 1)[1] for line in done.err.splitlines()[:3]] == [
        line.split(": ", 1)[1] for line in COMPLAINTS
    ]


def test_the_first_refused_row_ends_the_run_by_default(sidecall):
    done = sidecall("predict", STEPS, stdin=LINES)
    assert (done.code, done.lines()) == (2, ['{"prediction":3}'])
    assert done.err.splitlines()[0] == COMPLAINTS[0]


def test_a_stream_answers_with_the_error(sidecall):
    done = sidecall("predict", STEPS, "--stream", stdin=LINES)
    answers = [json.loads(line) for line in done.lines()]
    assert done.code == 0
    assert [answer.get("prediction") for answer in answers] == [3, None, 4, None, None, 3]
    assert answers[1]["error"]["status"] == "REFUSED"
    assert answers[1]["error"]["faults"][0] == {
        "status": "REFUSED",
        "name": "pca",
        "expected": "finite numbers",
        "got": "others",
        "message": "step 'pca': expected finite numbers, got others",
    }


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_number_outside_the_domain_is_refused(sidecall, form):
    good = {
        "share": 0.5,
        "speed": 1,
        "level": 0.2,
        "ratio": 0.5,
        "step": 2,
        "count": 5,
        "year": 2000,
        "word": "a",
        "note": "b",
    }
    rows = [good, {**good, "level": 0.5}, {**good, "word": ""}, good]
    if form == "json":
        lines = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        lines = (
            ",".join(good)
            + "\n"
            + "".join(
                ",".join('""' if value == "" else str(value) for value in row.values()) + "\n"
                for row in rows
            )
        )
    done = sidecall(
        "predict",
        LIMITS,
        "--on-error=skip",
        f"--from={'csv' if form == 'csv' else 'jsonl'}",
        stdin=lines,
    )
    assert (done.code, len(done.lines())) == (2, 2 + (form == "csv"))
    first, second = done.err.splitlines()[:2]
    assert first.endswith("feature 'level': expected a number from 0.1 to 0.3, got another")
    assert second.endswith("feature 'word': expected a string that is not empty, got an empty one")
