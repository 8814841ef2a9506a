"""sidecall diff, which reports the changes that break callers.

The first test compares a whole printed report. Most of the others test one kind of change each.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import models
import pytest

AGE, INCOME, KIDS, JOB = models.FEATURES

PAGE = """\
old.onnx (jobs 1) -> new.onnx (jobs 2)

breaks        what                                                       old                         new
------------  ---------------------------------------------------------  --------------------------  -----------------
predict, run  feature 'age' may no longer be missing                     missing allowed             missing refused
predict, run  feature 'income' renamed (a guess: same place, same type)  income                      salary
predict, run  feature 'job' allows fewer values                          only clerk, nurse, teacher  only clerk, nurse
predict, run  feature 'town' added, required                                                         float32

answers on the 3 golden rows of the old file
  3 rows refused by the new model: {refusal}

4 changes break callers
"""


@pytest.fixture
def diff(sidecall, tmp_path):
    """diff(old options, new options) returns the report, which must agree with the exit code."""

    def run(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        models.classifier(tmp_path / "old.onnx", **old)
        models.classifier(tmp_path / "new.onnx", **new)
        done = sidecall("diff", "old.onnx", "new.onnx", "--json")
        assert done.err == ""
        report = json.loads(done.out)
        assert done.code == int(report["breaks"])
        return report

    return run


def kinds(report: dict[str, Any]) -> dict[str, list[str]]:
    return {change["kind"]: change["breaks"] for change in report["changes"]}


BOTH = ["predict", "run"]
VECTORS = Path(__file__).resolve().parents[1] / "vectors/models"


def test_the_page_shows_changes_answers_and_a_verdict(sidecall, tmp_path):
    models.classifier(tmp_path / "old.onnx")
    new = [
        AGE | {"nullable": False},
        INCOME | {"name": "salary"},
        KIDS,
        JOB | {"allowed": ["clerk", "nurse"]},
        INCOME | {"name": "town"},
    ]
    rows = [{"age": 1, "salary": 2, "kids": 3, "job": "nurse", "town": 1}]
    models.classifier(tmp_path / "new.onnx", new, rows=rows, version="2")
    done = sidecall("diff", "old.onnx", "new.onnx")
    assert (done.code, done.err) == (1, "")
    refusal = done.out.split("new model: ")[1].split("\n")[0]
    assert "feature 'town': expected float32, got a missing value" in refusal
    assert done.out == PAGE.format(refusal=refusal)


def test_equal_files_show_no_change(sidecall, jobs):
    done = sidecall("diff", jobs, jobs)
    assert (done.code, done.err) == (0, "")
    assert "no change in features, inputs, outputs or classes\n" in done.out and done.out.endswith(
        "\nno caller breaks\n"
    )
    assert [
        line.split() for line in done.lines() if line.startswith("  ") and "--" not in line
    ] == [
        ["output", "rows", "that", "moved", "largest"],
        ["label", "0"],
        ["probabilities", "0", "0"],
    ]


def test_a_retrained_model_moves_answers_and_breaks_no_caller(diff):
    report = diff({}, {"bias": 1.5})
    assert report["changes"] == [] and not report["breaks"]
    label, probabilities = report["answers"]["outputs"]
    before = [models.answer(models.FEATURES, row) for row in models.ROWS]
    after = [models.answer(models.FEATURES, row, bias=1.5) for row in models.ROWS]
    moved = sum(x["label"] != y["label"] for x, y in zip(before, after, strict=True))
    largest = max(
        abs(x["probabilities"]["yes"] - y["probabilities"]["yes"])
        for x, y in zip(before, after, strict=True)
    )
    assert label == {"name": "label", "moved": moved, "largest": None} and moved > 0
    assert probabilities == {
        "name": "probabilities",
        "moved": 3,
        "largest": pytest.approx(largest, abs=1e-6),
    }


def test_answers_are_compared_even_if_a_feature_is_guessed_to_be_renamed(diff):
    rows = [{("salary" if k == "income" else k): v for k, v in row.items()} for row in models.ROWS]
    report = diff({}, {"features": [AGE, INCOME | {"name": "salary"}, KIDS, JOB], "rows": rows})
    assert kinds(report) == {"feature_renamed": BOTH}
    assert [(change["old"], change["new"]) for change in report["changes"]] == [
        ("income", "salary")
    ]
    assert [output["moved"] for output in report["answers"]["outputs"]] == [0, 0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param([AGE, KIDS], [AGE], {"feature_removed": BOTH}, id="removed"),
        pytest.param([AGE], [AGE, KIDS], {"feature_added": BOTH}, id="added_required"),
        pytest.param([KIDS], [KIDS, AGE], {"feature_added": ["run"]}, id="added_nullable"),
        pytest.param(
            [KIDS, AGE], [AGE, KIDS], {"inputs_reordered": ["run"]}, id="inputs_reordered"
        ),
        pytest.param(
            [AGE, INCOME],
            [AGE, KIDS],
            {"feature_removed": BOTH, "feature_added": BOTH},
            id="another_type_is_no_rename",
        ),
        pytest.param(
            [KIDS],
            [KIDS | {"type": "float64"}],
            {"feature_retyped": [], "input_retyped": ["run"]},
            id="int64_to_float64",
        ),
        pytest.param(
            [KIDS | {"type": "float64"}],
            [KIDS],
            {"feature_retyped": ["predict"], "input_retyped": ["run"]},
            id="float64_to_int64",
        ),
        pytest.param(
            [KIDS],
            [KIDS | {"type": "bool"}],
            {"feature_retyped": ["predict"], "input_retyped": ["run"]},
            id="int64_to_bool",
        ),
        pytest.param(
            [AGE],
            [AGE | {"nullable": False}],
            {"nullable_tightened": BOTH},
            id="nullable_tightened",
        ),
        pytest.param(
            [INCOME],
            [INCOME | {"nullable": True}],
            {"nullable_loosened": []},
            id="nullable_loosened",
        ),
        pytest.param(
            [JOB],
            [JOB | {"allowed": ["clerk", "nurse"]}],
            {"allowed_shrunk": BOTH},
            id="allowed_shrunk",
        ),
        pytest.param(
            [JOB],
            [JOB | {"allowed": ["pilot", "clerk", "nurse", "teacher"]}],
            {"allowed_grown": []},
            id="allowed_grown",
        ),
        pytest.param(
            [JOB], [JOB | {"allowed": ["teacher", "nurse", "clerk"]}], {}, id="allowed_reordered"
        ),
        pytest.param([AGE], [AGE | {"seen": {"min": 0, "max": 1}}], {}, id="seen_is_informative"),
    ],
)
def test_changes_of_features_are_classified(diff, old, new, expected):
    def row(features):
        return [
            {
                f["name"]: "nurse" if f["type"] == "string" else f["type"] == "bool" or 1
                for f in features
            }
        ]

    report = diff({"features": old, "rows": row(old)}, {"features": new, "rows": row(new)})
    assert kinds(report) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {"domain": [[0, 100]]}, {"domain_shrunk": BOTH}, id="domain_added"),
        pytest.param({"domain": [[0, 100]]}, {}, {"domain_grown": []}, id="domain_removed"),
        pytest.param(
            {"domain": [[0, 100]]}, {"domain": [[0, 99]]}, {"domain_shrunk": BOTH}, id="another_end"
        ),
        pytest.param(
            {"domain": [[0, 100]]}, {"domain": [[50, 200]]}, {"domain_shrunk": BOTH}, id="moved"
        ),
        pytest.param(
            {"domain": [[0, 100]]},
            {"domain": [["-inf", 100]]},
            {"domain_grown": []},
            id="an_infinite_end",
        ),
        pytest.param(
            {"domain": [[0, 100]]},
            {"domain": [[0, 50], [60, 100]]},
            {"domain_shrunk": BOTH},
            id="a_hole",
        ),
        pytest.param(
            {"domain": [[0, 50], [60, 100]]},
            {"domain": [[-1, 100]]},
            {"domain_grown": []},
            id="a_hole_filled",
        ),
        pytest.param({"domain": [[0, 100]]}, {"domain": [[0, 100]]}, {}, id="the_same"),
        pytest.param(
            {"domain": [[0, 100]]}, {"domain": [[0.0, 100.0]]}, {}, id="the_same_in_other_digits"
        ),
    ],
)
def test_changes_of_domains_are_classified(diff, old, new, expected):
    def limit(domain):
        def change(contract):
            contract["features"][0].update(domain)

        return {"features": [AGE], "rows": [{"age": 70}], "change": change}

    assert kinds(diff(limit(old), limit(new))) == expected


def test_changes_of_empty_strings_are_classified(diff):
    def with_empty(empty):
        return {
            "features": [JOB],
            "rows": [{"job": "nurse"}],
            "change": lambda contract: _refuse_empty(contract, empty),
        }

    assert kinds(diff(with_empty(True), with_empty(False))) == {"empty_refused": BOTH}
    assert kinds(diff(with_empty(False), with_empty(True))) == {"empty_allowed": []}


def _refuse_empty(contract, empty):
    contract["features"][0]["empty"] = empty


def test_changes_of_steps_that_refuse_rows_are_reported(sidecall):
    done = sidecall(
        "diff", VECTORS / "contracts/steps_renamed.onnx", VECTORS / "steps.onnx", "--json"
    )
    (change,) = json.loads(done.out)["changes"]
    assert (done.code, change["kind"], change["breaks"]) == (0, "steps_changed", [])
    assert change["new"] == "log (numbers above 0), pca (finite numbers)"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(("no", "yes"), ("yes", "no"), {"classes_reordered": ["run"]}, id="reordered"),
        pytest.param(("no", "yes"), ("no", "maybe"), {"classes_changed": BOTH}, id="changed"),
        pytest.param(("0", "1"), (0, 1), {"output_retyped": BOTH}, id="strings_to_integers"),
    ],
)
def test_changes_of_classes_are_classified(diff, old, new, expected):
    report = diff({"classes": old}, {"classes": new})
    assert kinds(report) == expected
    # The report has one line for both outputs.
    assert all(
        c["what"].endswith(": label, probabilities")
        for c in report["changes"]
        if "classes" in c["kind"]
    )


def test_reordered_classes_are_compared_by_name(diff):
    report = diff({"classes": ("no", "yes"), "bias": 0.5}, {"classes": ("yes", "no"), "bias": 0.5})
    p = [
        models.answer(models.FEATURES, row, bias=0.5)["probabilities"]["yes"] for row in models.ROWS
    ]
    assert report["answers"]["outputs"][1]["largest"] == pytest.approx(
        max(abs(1 - 2 * x) for x in p), abs=1e-5
    )


def test_moved_columns_of_a_matrix_break_callers_of_run_only(sidecall, tmp_path):
    models.regressor(tmp_path / "old.onnx", names=("a", "b"), weights=(1.0, 5.0))
    models.regressor(tmp_path / "new.onnx", names=("b", "a"), weights=(5.0, 1.0))
    done = sidecall("diff", "old.onnx", "new.onnx")
    assert done.code == 1
    assert [line.split()[:4] for line in done.lines()[4:6]] == [
        ["run", "feature", "'a'", "goes"],
        ["run", "feature", "'b'", "goes"],
    ]
    assert done.out.endswith("2 changes break callers of run; callers of predict do not break\n")
    assert ["prediction", "0", "0"] in [line.split() for line in done.lines()]


def test_a_model_of_another_task_breaks_callers(sidecall, jobs, tmp_path):
    models.regressor(tmp_path / "price.onnx")
    done = sidecall("diff", jobs, "price.onnx", "--json")
    assert done.code == 1
    found = {(change["kind"], change["what"]) for change in json.loads(done.out)["changes"]}
    assert ("output_removed", "output 'label' removed") in found
    assert ("output_added", "output 'prediction' added") in found
    # The feature is not reported as renamed to x0.
    assert ("feature_removed", "feature 'age' removed") in found


def test_models_without_a_common_output_are_reported(sidecall, tmp_path):
    features = [models.INCOME | {"name": name} for name in ("x0", "x1")]
    models.classifier(tmp_path / "old.onnx", features, rows=[{"x0": 1, "x1": 2}])
    models.regressor(tmp_path / "new.onnx")
    done = sidecall("diff", "old.onnx", "new.onnx")
    assert done.code == 1
    assert "answers on the 1 golden row of the old file\n  no output is in both files\n" in done.out


def test_files_without_contracts_are_compared_by_tensors(sidecall, tmp_path):
    models.bare(tmp_path / "old.onnx")
    models.bare(tmp_path / "wide.onnx", width=3)
    models.bare(tmp_path / "double.onnx", dtype=models.TensorProto.DOUBLE)
    wide = json.loads(sidecall("diff", "old.onnx", "wide.onnx", "--json").out)
    assert kinds(wide) == {"input_reshaped": ["run"], "output_reshaped": ["run"]}
    double = json.loads(sidecall("diff", "old.onnx", "double.onnx", "--json").out)
    assert kinds(double) == {"input_retyped": ["run"], "output_retyped": ["run"]}
    same = sidecall("diff", "old.onnx", "old.onnx")
    assert same.code == 0
    assert "answers not compared: the old file has no golden rows\n" in same.out


def test_a_lost_contract_breaks_callers_of_predict(sidecall, jobs, tmp_path):
    models.bare(tmp_path / "bare.onnx")
    report = json.loads(sidecall("diff", jobs, "bare.onnx", "--json").out)
    assert kinds(report)["contract_removed"] == ["predict"]
    assert report["answers"]["problem"] == "the new file has no contract"


def test_rows_that_the_new_model_refuses_are_counted(diff):
    rows = copy.deepcopy(models.ROWS)
    rows[0]["job"] = rows[1]["job"] = rows[2]["job"] = "nurse"
    report = diff(
        {}, {"features": [AGE, INCOME, KIDS, JOB | {"allowed": ["nurse", "teacher"]}], "rows": rows}
    )
    assert report["answers"]["refused"] == 1 and report["answers"]["rows"] == 3


@pytest.mark.parametrize("names", [("none.onnx", "jobs.onnx"), ("jobs.onnx", "none.onnx")])
def test_a_missing_file_fails_with_code_3(sidecall, jobs, names):
    done = sidecall("diff", *names)
    assert (done.code, done.out) == (3, "")
    assert "none.onnx" in done.err


def test_a_missing_second_file_is_refused(sidecall, jobs):
    done = sidecall("diff", jobs)
    assert (done.code, done.out) == (1, "")
    assert done.err == "sidecall: diff: expected NEW, got nothing (see sidecall diff --help)\n"


# The options --max-moved and --rows.


@pytest.fixture
def retrained(tmp_path):
    """old.onnx, and new.onnx, whose answers moved by up to 0.45 in all three golden rows."""
    models.classifier(tmp_path / "old.onnx")
    models.classifier(tmp_path / "new.onnx", bias=1.5)
    return tmp_path


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("most", "code"), [("0", 1), ("2", 1), ("3", 0), ("99.9%", 1), ("100%", 0)]
)
def test_moved_answers_beyond_max_moved_fail(sidecall, retrained, most, code):
    # Without the option, moved answers do not matter.
    assert sidecall("diff", "old.onnx", "new.onnx").code == 0
    done = sidecall("diff", "old.onnx", "new.onnx", "--max-moved", most)
    assert (done.code, done.err) == (code, "")
    assert done.lines()[-1] == f"3 of 3 rows moved: {'' if code else 'not '}more than --max-moved"


def test_equal_models_pass_max_moved(sidecall, jobs):
    done = sidecall("diff", jobs, jobs, "--max-moved", "0", "--json")
    assert done.code == 0
    assert json.loads(done.out)["answers"]["moved"] == 0


def test_a_breaking_change_fails_even_if_max_moved_allows_the_answers(sidecall, jobs, tmp_path):
    models.classifier(tmp_path / "new.onnx", [AGE | {"nullable": False}, INCOME, KIDS, JOB])
    assert sidecall("diff", jobs, "new.onnx", "--max-moved", "100%").code == 1


def test_a_row_that_only_one_model_refuses_counts_as_moved(sidecall, tmp_path):
    models.classifier(tmp_path / "new.onnx")
    models.classifier(
        tmp_path / "old.onnx",
        [AGE, INCOME, KIDS, JOB | {"allowed": ["clerk", "nurse"]}],
        rows=models.ROWS[:2],
    )
    write_rows(tmp_path / "rows.jsonl", models.ROWS)
    done = sidecall(
        "diff", "old.onnx", "new.onnx", "--rows", "rows.jsonl", "--max-moved", "0", "--json"
    )
    answers = json.loads(done.out)["answers"]
    assert (
        done.code,
        answers["rows"],
        answers["moved"],
        answers["refused"],
        answers["refused_by_old"],
    ) == (1, 3, 1, 0, 1)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_answers_are_compared_on_the_rows_of_a_file(sidecall, retrained, suffix):
    rows = [
        {"age": 30 + k, "income": 10 * k, "kids": k % 3, "job": "nurse", "note": "not a feature"}
        for k in range(20)
    ]
    if suffix == "jsonl":
        write_rows(retrained / "rows.jsonl", rows)
    else:
        lines = [",".join(str(value) for value in row.values()) for row in rows]
        (retrained / "rows.csv").write_text("\n".join([",".join(rows[0]), "", *lines]) + "\n")
    after, before = (
        [models.answer(models.FEATURES, row, bias=bias)["probabilities"]["yes"] for row in rows]
        for bias in (1.5, 0.0)
    )
    moved = sum(abs(x - y) > 1e-5 for x, y in zip(before, after, strict=True))
    done = sidecall(
        "diff", "old.onnx", "new.onnx", "--rows", f"rows.{suffix}", "--max-moved", moved
    )
    assert (done.code, done.err) == (0, "")
    assert f"answers on the 20 rows of rows.{suffix}\n" in done.out
    assert done.lines()[-1] == f"{moved} of 20 rows moved: not more than --max-moved"
    assert (
        sidecall(
            "diff", "old.onnx", "new.onnx", "--rows", f"rows.{suffix}", "--max-moved", moved - 1
        ).code
        == 1
    )


def test_a_row_that_both_models_refuse_counts_as_equal(sidecall, retrained):
    write_rows(retrained / "rows.jsonl", [models.ROWS[0] | {"job": "pilot"}, models.ROWS[1]])
    done = sidecall("diff", "old.onnx", "new.onnx", "--rows", "rows.jsonl", "--json")
    answers = json.loads(done.out)["answers"]
    assert (answers["rows"], answers["moved"], answers["refused_by_both"]) == (2, 1, 1)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param("", id="no row"),
        pytest.param('{"age": "old"}\n{"job": 3}\n', id="only rows that both models refuse"),
    ],
)
def test_max_moved_fails_if_no_answer_was_compared(sidecall, jobs, tmp_path, rows):
    (tmp_path / "rows.jsonl").write_text(rows)
    done = sidecall("diff", jobs, jobs, "--rows", "rows.jsonl", "--max-moved", "100%")
    assert (done.code, done.lines()[-1]) == (
        1,
        "no answer was compared, so --max-moved cannot be checked",
    )


def test_max_moved_fails_without_golden_rows(sidecall, tmp_path):
    models.bare(tmp_path / "bare.onnx")
    done = sidecall("diff", "bare.onnx", "bare.onnx", "--max-moved", "5")
    assert done.code == 1 and "answers not compared" in done.out


def test_a_header_that_the_new_model_refuses_is_reported(sidecall, tmp_path):
    models.classifier(tmp_path / "old.onnx", [KIDS], rows=[{"kids": 1}])
    models.classifier(tmp_path / "new.onnx", [KIDS, INCOME], rows=[{"kids": 1, "income": 1}])
    (tmp_path / "rows.csv").write_text("kids\n1\n")
    done = sidecall("diff", "old.onnx", "new.onnx", "--rows", "rows.csv")
    assert done.code == 1 and done.err == ""
    assert (
        "answers not compared: the new model cannot read the rows: rows.csv:1:1: feature 'income': expected a column, got none"
        in done.out
    )


@pytest.mark.parametrize("most", ["", "-1", "1.5", "x", "1%%", "%", "nan%"])
def test_a_wrong_value_of_max_moved_is_refused(sidecall, jobs, most):
    done = sidecall("diff", jobs, jobs, f"--max-moved={most}")
    assert (done.code, done.out) == (1, "")
    assert "--max-moved: expected" in done.err


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.jsonl", "no such file"),
        ("rows.parquet", "rows.parquet: expected rows in .jsonl, .ndjson or .csv"),
    ],
)
def test_a_file_of_rows_that_cannot_be_read_fails_with_code_2(sidecall, jobs, file, message):
    done = sidecall("diff", jobs, jobs, "--rows", file)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
