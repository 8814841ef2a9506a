"""Scores DataFrames of Apache Spark with an exported file.

    scored = sidecall.spark.predict(frame, "fraud.onnx", keep=["id"])
    scored.where("error is null").write.parquet("answers")
    scored.where("error is not null").write.parquet("rejected")

`predict` returns a DataFrame; `udf` makes a function for `select`, for SQL and for streams. The
driver reads only the contract of the file, and checks with it that the DataFrame has a column of
the right type for each feature. Each Python worker opens the file once, which runs its golden rows,
and then gets batches of rows as Arrow.

Needs `pip install 'sidecall[spark]'` on the driver and sidecall with pyarrow on the workers.
`import sidecall` does not load this module; import it as `import sidecall.spark`.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import functions
from pyspark.sql import types as spark_types
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from sidecall import errors
from sidecall._batches import Plan, make_plan

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Udf", "predict", "udf"]

# The types of columns as their batches have them, for all types that a feature can take.
_ARROW_TYPES = (
    (spark_types.BooleanType, pa.bool_()),
    (spark_types.ByteType, pa.int8()),
    (spark_types.ShortType, pa.int16()),
    (spark_types.IntegerType, pa.int32()),
    (spark_types.LongType, pa.int64()),
    (spark_types.FloatType, pa.float32()),
    (spark_types.DoubleType, pa.float64()),
    (spark_types.StringType, pa.string()),
    (spark_types.TimestampType, pa.timestamp("us", "UTC")),
    (spark_types.TimestampNTZType, pa.timestamp("us")),
    (spark_types.NullType, pa.null()),
)


def predict(
    frame: DataFrame,
    model: str | os.PathLike[str],
    *,
    keep: Sequence[str] | None = None,
    error: str | None = "error",
    on_workers: str | None = None,
) -> DataFrame:
    """Returns the DataFrame with the answers of a model. Spark computes them when they are needed.

    frame       has a column for each feature, by name; other columns are not read unless they are
                kept. Rows travel as Arrow (`mapInArrow`), so integers and missing values stay exact
    model       the exported file, as the driver sees it
    keep        names of columns of `frame` that come before the answers; None keeps all
    error       the name of a column that says what is wrong with a row, for example "MISSING_VALUE:
                feature 'age': expected int64, got a missing value". The answers of such a row are
                null. In all other rows this column is null. None: the first such row fails the job
    on_workers  what the workers open: a path or URI that each of them can open, such as
                "/models/fraud.onnx" or "shm:fraud", or the name of a file that `--files` or
                `addFile` brought to them. None: the job brings `model` to them. The workers refuse
                a model with another id than that of `model`

    The answers have the columns of `Model.columns`. Spark needs backticks around names with a dot:
    frame["`probabilities.fraud`"].

    Before the job runs, raises MissingInput, DtypeMismatch, UnknownName and InvalidArgument if the
    columns do not fit the contract; FileNotFound, FileUnreadable, FileInvalid, NoContract and
    ContractInvalid for the file. The job itself fails with what `sidecall.open` raises in a worker,
    such as VerificationFailed.
    """
    plan = _plan(frame.sparkSession, model, on_workers, keep, error)
    schema = _arrow_schema(frame.schema)
    plan.check(schema)
    kept = StructType([frame.schema[name] for name in plan.kept(schema)])
    answers = from_arrow_schema(plan.answer_schema())

    def answer_all(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = _in_worker(plan)
        for batch in batches:
            yield found.answer(batch)

    columns = [_column(frame, name) for name in plan.needed(schema)]
    return frame.select(*columns).mapInArrow(answer_all, StructType(kept.fields + answers.fields))


class Udf:
    """What `udf` returns.

    function  the function of Spark, for `spark.udf.register`: from a struct with a field for each
              feature to a struct with the answers. SQL: `SELECT fraud(struct(*)) FROM rows`
    """

    def __init__(self, plan: Plan, form: Literal["arrow", "pandas"]) -> None:
        self._plan = plan
        self.function = _function(plan, form)

    def __call__(self, frame: DataFrame) -> Column:
        """Returns a column of structs with the answers to the rows of `frame`.

        Raises MissingInput, DtypeMismatch and InvalidArgument if the columns do not fit.
        """
        self._plan.check(_arrow_schema(frame.schema))
        columns = [_column(frame, feature.name) for feature in self._plan.features]
        return self.function(functions.struct(*columns))


def udf(
    session: SparkSession,
    model: str | os.PathLike[str],
    *,
    error: str | None = "error",
    on_workers: str | None = None,
    form: Literal["arrow", "pandas"] = "arrow",
) -> Udf:
    """Makes a function of a model for `select` and `withColumn`.

    form  how rows reach the function: "arrow" (`arrow_udf`), or "pandas" (`pandas_udf`), in which
          integers beside missing values become floating-point numbers, exact up to 2^53, and times
          lose their zone, so it takes no model with a feature that has one

    The other arguments are those of `predict`. Raises what `predict` raises for the file, and
    InvalidArgument.

        score = sidecall.spark.udf(session, "fraud.onnx")
        frame.withColumn("answer", score(frame)).select("id", "answer.label", "answer.error")
    """
    if form not in ("arrow", "pandas"):
        raise errors.InvalidArgument(f"form: expected 'arrow' or 'pandas', got {form!r}")
    plan = _plan(session, model, on_workers, [], error)
    zoned = [feature.name for feature in plan.features if feature.zone is not None]
    if form == "pandas" and zoned:
        raise errors.InvalidArgument(
            f"form: expected 'arrow' because feature '{zoned[0]}' has a time zone, got 'pandas'"
        )
    return Udf(plan, form)


def _function(plan: Plan, form: Literal["arrow", "pandas"]) -> Callable[..., Any]:
    def answer_arrow(rows: pa.Array) -> pa.Array:
        return _in_worker(plan).answer(pa.RecordBatch.from_struct_array(rows)).to_struct_array()

    def answer_pandas(rows: pd.DataFrame) -> pd.DataFrame:
        batch = pa.RecordBatch.from_pandas(rows, preserve_index=False)
        return _in_worker(plan).answer(batch).to_pandas()

    kind = from_arrow_schema(plan.answer_schema())
    if form == "arrow":
        return functions.arrow_udf(answer_arrow, kind)  # type: ignore[no-any-return]
    return functions.pandas_udf(answer_pandas, kind)  # type: ignore[no-any-return]


def _plan(
    session: SparkSession,
    model: str | os.PathLike[str],
    on_workers: str | None,
    keep: Sequence[str] | None,
    error: str | None,
) -> Plan:
    plan = make_plan(model, on_workers, keep, error)
    return plan if on_workers else replace(plan, source=_ship(session, Path(model)))


def _in_worker(plan: Plan) -> Plan:
    """The plan with a source that this worker can open. Spark knows files by their name."""
    source = str(plan.source)
    is_complete = source.startswith("/") or ":" in source
    return plan if is_complete else replace(plan, source=SparkFiles.get(source))


_shipped: dict[str, str] = {}  # names of files that an application has, by application and digest
_folder: list[str] = []  # the copies; Spark's driver serves them to the workers while it runs


def _ship(session: SparkSession, model: Path) -> str:
    """Adds a copy of the file to the application, and returns the name that workers know it by.

    The name has a digest of the content, because Spark keeps the first file of each name.
    """
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    context = session.sparkContext
    key = f"{context.applicationId}/{digest}"
    if key not in _shipped:
        if not _folder:
            _folder.append(tempfile.mkdtemp(prefix="sidecall-"))
            atexit.register(shutil.rmtree, _folder[0], ignore_errors=True)
        copy = Path(_folder[0]) / f"{digest}.onnx"
        shutil.copy(model, copy)
        context.addFile(str(copy))
        _shipped[key] = copy.name
    return _shipped[key]


def _arrow_schema(schema: StructType) -> pa.Schema:
    return pa.schema([(field.name, _arrow_type(field.dataType)) for field in schema])


def _arrow_type(kind: spark_types.DataType) -> pa.DataType:
    """The type as Arrow; one that no feature takes, but with its name, for all other types."""
    for spark_type, arrow_type in _ARROW_TYPES:
        if isinstance(kind, spark_type):
            return arrow_type
    return pa.opaque(pa.null(), kind.simpleString(), "Apache Spark")


def _column(frame: DataFrame, name: str) -> Column:
    quoted = name.replace("`", "``")
    return frame[f"`{quoted}`"]
