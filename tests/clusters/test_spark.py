"""Spark with two executors: answers, bad rows, how the model gets there, and a killed executor.

sidecall.spark is imported by a fixture, because only `make test-long` installs Spark.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sidecall
from flights_model import Flights
from scaleout.clusters import executors_of, run_and_kill, spark_cluster
from sidecall import errors

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    pytest.importorskip("pyspark", reason="needs Spark: make .venv/.clusters")
    if shutil.which("java") is None:
        pytest.skip("needs Java: make .venv/.clusters")
    import sidecall.spark  # noqa: F401

    with spark_cluster(2) as session:
        yield session


@pytest.fixture
def rows(session: Any, flights: Flights) -> Any:
    return session.read.parquet(str(flights.folder))


@pytest.fixture
def few(session: Any, flights: Flights) -> Any:
    return session.createDataFrame(flights.rows.iloc[:20])


def test_the_answers_are_those_of_the_pipeline(rows, flights: Flights):
    scored = sidecall.spark.predict(rows, flights.model, keep=["id"])
    flights.check(scored.toPandas())


def test_all_columns_are_kept_without_a_choice(few, flights: Flights):
    scored = sidecall.spark.predict(few, flights.model, error=None)
    assert scored.columns == [*few.columns, *flights.answers.columns[1:]]
    assert scored.toPandas()["label"].tolist() == flights.answers["label"].tolist()[:20]


@pytest.mark.parametrize("form", ["arrow", "pandas"])
def test_a_udf_gives_the_same_answers(session, few, flights: Flights, form: str):
    score = sidecall.spark.udf(session, flights.model, form=form)
    answers = few.select("id", score(few).alias("answer")).select("id", "answer.*").toPandas()
    pd.testing.assert_frame_equal(
        answers.drop(columns="error"), flights.answers.iloc[:20], check_dtype=False
    )


def test_sql_calls_the_udf(session, few, flights: Flights):
    score = sidecall.spark.udf(session, flights.model)
    session.udf.register("late", score.function)
    few.createOrReplaceTempView("few")
    found = session.sql("SELECT id, late(struct(*)).label AS label FROM few").toPandas()
    assert found["label"].tolist() == flights.answers["label"].tolist()[:20]


def test_bad_rows_have_an_error_and_no_answer(session, flights: Flights):
    rows = session.createDataFrame(flights.with_bad_rows())
    flights.check_bad_rows(sidecall.spark.predict(rows, flights.model, keep=["id"]).toPandas())


def test_bad_rows_fail_the_job_without_a_column_for_errors(session, flights: Flights):
    rows = session.createDataFrame(flights.with_bad_rows())
    with pytest.raises(Exception, match=r"OutOfRange: feature 'dep_delay'"):
        sidecall.spark.predict(rows, flights.model, error=None).collect()


def test_columns_are_checked_before_the_job(session, few, flights: Flights):
    with pytest.raises(errors.MissingInput, match="feature 'dest': expected a column, got none"):
        sidecall.spark.predict(few.drop("dest"), flights.model)
    wrong = few.withColumn("distance", few["distance"].cast("decimal(9, 2)"))
    with pytest.raises(
        errors.DtypeMismatch, match=r"'distance': expected int64, got decimal\(9,2\)"
    ):
        sidecall.spark.predict(wrong, flights.model)
    with pytest.raises(errors.DtypeMismatch, match="'distance'"):
        sidecall.spark.udf(session, flights.model)(wrong)
    with pytest.raises(errors.UnknownName, match="got 'other'"):
        sidecall.spark.predict(few, flights.model, keep=["other"])


def test_a_column_of_another_type_in_sql_fails_the_job(session, few, flights: Flights):
    score = sidecall.spark.udf(session, flights.model)
    session.udf.register("late_again", score.function)
    few.withColumn("distance", few["distance"].cast("decimal(9, 2)")).createOrReplaceTempView("odd")
    with pytest.raises(Exception, match=r"DtypeMismatch: feature 'distance': expected int64"):
        session.sql("SELECT late_again(struct(*)).label FROM odd").collect()


def test_a_column_that_arrow_does_not_have_does_not_matter(few, flights: Flights):
    rows = few.selectExpr("*", "INTERVAL 1 MONTH AS gap")
    scored = sidecall.spark.predict(rows, flights.model, keep=["id"])
    assert scored.toPandas()["label"].tolist() == flights.answers["label"].tolist()[:20]


def test_pandas_takes_no_model_whose_times_have_a_zone(session):
    dates = Path(__file__).parents[1] / "vectors/models/dates.onnx"
    with pytest.raises(errors.InvalidArgument, match="form: expected 'arrow' because feature"):
        sidecall.spark.udf(session, dates, form="pandas")


def test_an_unknown_form_is_refused(session, flights: Flights):
    with pytest.raises(errors.InvalidArgument, match="form: expected 'arrow' or 'pandas'"):
        sidecall.spark.udf(session, flights.model, form="rows")


def test_a_file_that_is_not_there_is_refused_before_the_job(few, tmp_path: Path):
    with pytest.raises(errors.FileNotFound):
        sidecall.spark.predict(few, tmp_path / "none.onnx")


def test_workers_open_a_path_or_a_file_that_the_job_was_given(session, few, flights: Flights):
    session.sparkContext.addFile(str(flights.model))
    for source in (str(flights.model), flights.model.name):
        scored = sidecall.spark.predict(few, flights.model, on_workers=source)
        assert scored.toPandas()["label"].tolist() == flights.answers["label"].tolist()[:20]


def test_golden_rows_run_on_the_workers(few, wrong_model: Path):
    scored = sidecall.spark.predict(few, wrong_model)
    with pytest.raises(Exception, match=r"VerificationFailed: .*golden row"):
        scored.collect()


def test_workers_refuse_another_model_than_the_drivers(few, flights: Flights):
    other = Path(__file__).parents[1] / "vectors/models/penguins.onnx"
    scored = sidecall.spark.predict(few, flights.model, on_workers=str(other))
    with pytest.raises(Exception, match=r"VerificationFailed: .*expected the driver's model"):
        scored.collect()


def test_a_file_that_was_replaced_is_the_new_model_of_the_next_job(
    session, few, flights: Flights, wrong_model: Path, tmp_path: Path
):
    file = tmp_path / "flights.onnx"
    shutil.copy(flights.model, file)
    assert sidecall.spark.predict(few, file).count() == 20
    shutil.copy(wrong_model, file)
    with pytest.raises(Exception, match="VerificationFailed"):
        sidecall.spark.predict(few, file).collect()


def test_the_nightly_batch_writes_answers_and_rejected_rows(
    session, flights: Flights, tmp_path: Path, run_example
):
    flights.check_nightly(run_example, "nightly_spark.py", tmp_path)


def test_each_row_is_answered_once_when_an_executor_is_killed(
    session, rows, flights: Flights, tmp_path: Path
):
    out = tmp_path / "answers"
    scored = sidecall.spark.predict(rows, flights.model, keep=["id"])
    run_and_kill(
        lambda: scored.write.parquet(str(out)),
        lambda: any(out.rglob("*.parquet")),
        lambda: executors_of(session),
    )
    flights.check(pd.read_parquet(out))
