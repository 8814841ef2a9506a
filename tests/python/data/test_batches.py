"""A worker of Ray or Spark answers a table, and says why a row has no answer."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import sidecall
from sidecall import _batches, errors
from sidecall._batches import make_plan
from sidecall.ray import _status
from vector_files import MODELS

MATRIX = MODELS / "matrix.onnx"
COLUMNS = {
    "id": pa.array([7, 8, 9]),
    "a": pa.array([1, 2, None]),
    "b": pa.array([1, None, 3]),
    "c": pa.array([True, False, True]),
    "d": pa.array([0.5, 1.0, 2.0]),
}
TABLE = pa.table(COLUMNS)


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """As in a new worker, no model is open yet."""
    _batches._open.cache_clear()


def test_kept_columns_come_before_the_answers_and_the_errors() -> None:
    answers = make_plan(MATRIX, None, ["id"], "error").answer(TABLE)
    assert answers.column_names == ["id", "prediction", "error"]
    with sidecall.open(MATRIX) as model:
        expected = model.predict(TABLE.drop_columns(["id"]))
    assert answers.column("prediction").equals(expected.column("prediction"))
    assert answers.column("error").to_pylist() == [None] * 3


def test_without_a_choice_all_columns_are_kept() -> None:
    answers = make_plan(MATRIX, None, None, None).answer(TABLE)
    assert answers.column_names == [*COLUMNS, "prediction"]


def test_the_schema_that_is_announced_is_that_of_the_answers() -> None:
    for name in ("matrix.onnx", "penguins.onnx", "label_bool.onnx", "prediction_int64.onnx"):
        plan = make_plan(MODELS / name, None, [], "error")
        features = {f.name: f.dtype for f in plan.features}
        with sidecall.open(MODELS / name) as model:
            golden = model.contract["verification"]["features"]
        columns = [
            pa.array(values, dtype) for values, dtype in zip(golden, features.values(), strict=True)
        ]
        rows = pa.table(columns, names=list(features))
        plan.check(rows.schema)
        assert plan.answer(rows).schema == plan.answer_schema()
        assert plan.answer(rows.slice(0, 0)).schema == plan.answer_schema()


def test_a_bad_row_has_an_error_and_no_answer() -> None:
    rows = TABLE.set_column(4, "d", pa.array([0.5, None, 2.0]))
    answers = make_plan(MATRIX, None, ["id"], "why").answer(rows)
    assert answers.column("why").to_pylist() == [
        None,
        "MISSING_VALUE: feature 'd': expected float32, got a missing value",
        None,
    ]
    assert [value is None for value in answers.column("prediction").to_pylist()] == [
        False,
        True,
        False,
    ]


def test_all_faults_of_a_row_are_in_its_error() -> None:
    rows = TABLE.set_column(4, "d", pa.array([0.5, None, 2.0]))
    rows = rows.set_column(3, "c", pa.array([True, None, True]))
    (text,) = filter(None, make_plan(MATRIX, None, [], "error").answer(rows)["error"].to_pylist())
    assert text.count("MISSING_VALUE") == 2 and "'c'" in text and "'d'" in text


def test_more_bad_rows_than_a_call_reports_are_all_found() -> None:
    rows = pa.table({**COLUMNS, "d": pa.array([None, 1.0, None])})
    many = pa.concat_tables([rows] * 1500)
    answers = make_plan(MATRIX, None, [], "error").answer(many)
    assert answers["error"].null_count == 1500
    assert answers["prediction"].null_count == 3000


def test_a_table_of_bad_rows_has_no_answers() -> None:
    answers = make_plan(MATRIX, None, [], "error").answer(
        TABLE.set_column(4, "d", pa.nulls(3, pa.float64()))
    )
    assert answers["prediction"].to_pylist() == [None] * 3
    assert answers["error"].null_count == 0


def test_rows_that_a_step_refuses_are_found_beside_rows_with_bad_values() -> None:
    rows = pa.table({"a": [1.0, -1.0, None, 0.0], "b": [1.0, 1.0, 1.0, 0.0]})
    answers = make_plan(MODELS / "steps.onnx", None, [], "error").answer(rows)
    assert answers["error"].to_pylist() == [
        None,
        "REFUSED: step 'log': expected numbers above 0, got others",
        "MISSING_VALUE: feature 'a': expected float32, got a missing value",
        "REFUSED: output 'prediction': expected finite numbers, got others",
    ]
    assert answers["prediction"].to_pylist() == [1.0, None, None, None]


def test_without_a_column_of_errors_a_bad_row_is_an_error() -> None:
    rows = TABLE.set_column(4, "d", pa.array([0.5, None, 2.0]))
    with pytest.raises(errors.MissingValue, match="'d'"):
        make_plan(MATRIX, None, [], None).answer(rows)


def test_a_model_that_fails_on_one_row_answers_the_others() -> None:
    class Failing:
        def predict(self, rows: pa.Table) -> pa.Table:
            if 8 in rows["id"].to_pylist():
                raise errors.Engine("node 'x': failed")
            return pa.table({"prediction": rows["id"]})

    answers, faults = _batches._predict_each(Failing(), TABLE)
    assert faults == {1: "ENGINE: node 'x': failed"}
    assert answers["prediction"].to_pylist() == [7, 9]


def test_a_row_that_is_refused_beside_one_that_fails_has_its_own_error() -> None:
    refused = errors.make(
        errors.Refused.status,
        "refused",
        False,
        0,
        "x",
        "",
        "",
        [(errors.Refused.status, 0, "x", "", "", "refused")],
    )

    class Failing:
        def predict(self, rows: pa.Table) -> pa.Table:
            if 8 in rows["id"].to_pylist():
                raise errors.Engine("node 'x': failed")
            if 9 in rows["id"].to_pylist():
                raise refused
            return pa.table({"prediction": rows["id"]})

    answers, faults = _batches._predict_each(Failing(), TABLE)
    assert faults == {1: "ENGINE: node 'x': failed", 2: "REFUSED: refused"}
    assert answers["prediction"].to_pylist() == [7]


def test_a_batch_with_a_column_of_another_type_is_an_error_of_the_job() -> None:
    """As from SQL, whose 12.5 is a decimal: otherwise all answers would be null."""
    plan = make_plan(MATRIX, None, [], "error")
    wrong = TABLE.set_column(4, "d", TABLE["d"].cast(pa.decimal128(9, 2)))
    with pytest.raises(errors.DtypeMismatch, match=r"'d': expected float32, got decimal128"):
        plan.answer(wrong)
    with pytest.raises(errors.MissingInput, match="'d'"):
        plan.answer(TABLE.drop_columns(["d"]))


def test_a_batch_may_have_nothing_but_missing_values_in_a_column() -> None:
    rows = TABLE.set_column(4, "d", pa.nulls(3))
    answers = make_plan(MATRIX, None, [], "error").answer(rows)
    assert answers["prediction"].to_pylist() == [None] * 3
    assert all(text.startswith("MISSING_VALUE") for text in answers["error"].to_pylist())


def test_a_model_that_fails_only_on_batches_is_an_error() -> None:
    class Failing:
        def predict(self, rows: pa.Table) -> pa.Table:
            if rows.num_rows > 1:
                raise errors.Engine("out of luck")
            return rows

    with pytest.raises(errors.Engine):
        _batches._predict_each(Failing(), TABLE)


def test_a_server_that_is_gone_is_an_error_and_not_a_bad_row() -> None:
    class Gone:
        def predict(self, rows: pa.Table) -> pa.Table:
            raise errors.PeerDied("gone")

    with pytest.raises(errors.PeerDied):
        _batches._predict_each(Gone(), TABLE)


def test_a_process_opens_the_model_once() -> None:
    plan = make_plan(MATRIX, MATRIX.read_bytes(), None, "error")
    again = pickle.loads(pickle.dumps(plan))
    assert plan.open() is again.open()


def test_a_worker_with_another_model_is_an_error() -> None:
    plan = make_plan(MATRIX, str(MODELS / "penguins.onnx"), None, "error")
    with pytest.raises(errors.VerificationFailed, match="expected the driver's model with the id"):
        plan.open()


def test_golden_rows_run_when_a_worker_opens_the_model() -> None:
    with pytest.raises(errors.VerificationFailed, match="golden row"):
        make_plan(MATRIX, str(MODELS / "verification/first_row.onnx"), None, "error").open()


def test_a_worker_refuses_a_file_whose_bytes_have_changed() -> None:
    content = MATRIX.read_bytes()
    changed = content.replace(b'"vectors"', b'"vector_"')
    assert changed != content
    with pytest.raises(errors.FileInvalid, match="expected the bytes that the export wrote"):
        make_plan(MATRIX, changed, None, "error").open()


def test_columns_that_fit_the_contract_pass() -> None:
    make_plan(MATRIX, None, ["id"], "error").check(TABLE.schema)


def test_the_column_of_a_feature_must_be_there() -> None:
    plan = make_plan(MATRIX, None, None, "error")
    rows = TABLE.drop_columns(["b"])
    for attempt in (lambda: plan.check(rows.schema), lambda: plan.answer(rows)):
        with pytest.raises(errors.MissingInput, match="feature 'b': expected a column, got none"):
            attempt()


def test_all_columns_that_do_not_fit_are_reported_together() -> None:
    rows = pa.table({"a": ["1"], "b": [True], "c": [1], "d": pa.array([b"x"])})
    with pytest.raises(errors.DtypeMismatch, match=r"'a': .*'b': .*'c': .*; and 1 more") as caught:
        make_plan(MATRIX, None, None, "error").check(rows.schema)
    assert [fault.name for fault in caught.value.faults] == ["a", "b", "c", "d"]
    assert {fault.row for fault in caught.value.faults} == {None}
    assert caught.value.got == "string"


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.null()])
def test_a_column_that_predict_takes_passes_the_check(kind: pa.DataType) -> None:
    rows = TABLE.set_column(1, "a", pa.array([None, None, None], kind))
    plan = make_plan(MATRIX, None, [], "error")
    plan.check(rows.schema)
    assert plan.answer(rows)["error"].null_count == 3


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.bool_(), pa.binary(), pa.date32(), pa.decimal128(9)]
)
def test_a_column_that_predict_refuses_does_not_pass_the_check(kind: pa.DataType) -> None:
    rows = TABLE.set_column(1, "a", pa.nulls(3, kind))
    with pytest.raises(errors.DtypeMismatch, match="feature 'a'"):
        make_plan(MATRIX, None, [], "error").check(rows.schema)


def test_a_feature_that_may_not_be_missing_takes_no_column_of_nulls() -> None:
    rows = TABLE.set_column(4, "d", pa.nulls(3))
    with pytest.raises(errors.DtypeMismatch, match="feature 'd': expected float32, got null"):
        make_plan(MATRIX, None, [], "error").check(rows.schema)


def test_only_columns_of_the_table_can_be_kept() -> None:
    with pytest.raises(errors.UnknownName, match="keep: expected columns of the table, got 'no'"):
        make_plan(MATRIX, None, ["no"], "error").check(TABLE.schema)


@pytest.mark.parametrize("name", ["prediction", "error"])
def test_no_column_is_kept_under_the_name_of_an_answer(name: str) -> None:
    rows = TABLE.append_column(name, pa.array([1, 2, 3]))
    with pytest.raises(errors.InvalidArgument, match=f"keep: .*got '{name}'"):
        make_plan(MATRIX, None, None, "error").check(rows.schema)


def test_a_table_with_a_name_twice_is_refused() -> None:
    schema = pa.schema([*TABLE.schema, ("a", pa.int64())])
    with pytest.raises(errors.InvalidArgument, match="expected each column once"):
        make_plan(MATRIX, None, None, "error").check(schema)


@pytest.mark.parametrize("name", ["", "prediction"])
def test_the_column_of_errors_needs_a_name_of_its_own(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="error: expected a name"):
        make_plan(MATRIX, None, None, name)


def test_a_column_is_kept_once() -> None:
    with pytest.raises(errors.InvalidArgument, match="keep: expected each name once"):
        make_plan(MATRIX, None, ["id", "id"], None).check(TABLE.schema)


def test_keep_is_a_list() -> None:
    with pytest.raises(errors.InvalidArgument, match="keep: expected a list of names"):
        make_plan(MATRIX, None, "id", "error")


def test_making_a_plan_loads_neither_the_library_nor_an_engine() -> None:
    code = f"""
from sidecall._batches import make_plan
make_plan({str(MATRIX)!r}, None, None, "error")
mapped = open("/proc/self/maps").read()
print([name for name in ("libsidecall", "libonnxruntime") if name in mapped])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_errors_have_the_same_status_over_http_with_ray_as_from_the_server() -> None:
    header = (Path(__file__).parents[3] / "base/http_status.h").read_text()
    statuses, waiting = dict[str, int](), list[str]()
    for name, status in re.findall(r"case SIDECALL_(\w+):|return (\d+);", header):
        if name:
            waiting.append(name)
        else:
            statuses |= dict.fromkeys(waiting, int(status))
            waiting.clear()
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    made = [each("x") for each in classes if issubclass(each, errors.Error) and each.code]
    assert len(made) > 30
    found = {error.code: _status(error) for error in made}
    assert found == {code: statuses.get(code, 500) for code in found}
