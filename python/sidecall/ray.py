"""Scores datasets of Ray Data with an exported file, and serves the file with Ray Serve.

    scored = sidecall.ray.predict(dataset, "fraud.onnx", keep=["id"])
    scored.write_parquet("answers")

    app = sidecall.ray.deployment("fraud.onnx", num_replicas=2)    # serve run app:app

The driver reads only the contract of the file, and checks with it that the dataset has a column of
the right type for each feature. Each worker opens the file once, which runs its golden rows.

Needs `pip install 'sidecall[ray]'` on all nodes. `import sidecall` does not load this module;
import it as `import sidecall.ray`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sidecall import errors
from sidecall._batches import Plan, make_plan

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.serve import Application
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Predictor", "deployment", "predict"]


def predict(
    dataset: Dataset,
    model: str | os.PathLike[str],
    *,
    keep: Sequence[str] | None = None,
    error: str | None = "error",
    on_workers: str | None = None,
    batch_size: int = 8192,
    **options: Any,
) -> Dataset:
    """Returns the dataset with the answers of a model. Ray computes them when they are needed.

    dataset     has a column for each feature, by name; other columns are not read unless they are
                kept
    model       the exported file, as the driver sees it
    keep        names of columns of `dataset` that come before the answers; None keeps all
    error       the name of a column that says what is wrong with a row, for example "MISSING_VALUE:
                feature 'age': expected int64, got a missing value". The answers of such a row are
                null. In all other rows this column is null. None: the first such row fails the job
    on_workers  what the workers open: a path or URI that each of them can open, such as
                "/models/fraud.onnx" or "shm:fraud". None: the job brings `model` to them. The
                workers refuse a model with another id than that of `model`
    batch_size  rows of one call
    options     of `Dataset.map_batches`, such as compute=ray.data.ActorPoolStrategy(size=8)

    The answers have the columns of `Model.columns`.

    Before the job runs, raises MissingInput, DtypeMismatch, UnknownName and InvalidArgument if the
    columns do not fit the contract; FileNotFound, FileUnreadable, FileInvalid, NoContract and
    ContractInvalid for the file. The job itself fails with what `sidecall.open` raises in a worker,
    such as VerificationFailed.
    """
    plan = _plan(model, on_workers, keep, error)
    schema, is_part = _arrow_schema(dataset, plan)
    plan.check(schema, is_part=is_part)
    return dataset.select_columns(plan.needed(schema)).map_batches(
        Predictor,
        fn_constructor_args=[plan],
        batch_format="pyarrow",
        batch_size=batch_size,
        **options,
    )


class Predictor:
    """A class for `Dataset.map_batches` with `batch_format="pyarrow"`, which `predict` uses too.

    Each actor opens the model once. `model` is a path that the worker can read; `keep` and `error`
    are those of `predict`. Here the columns are checked with the first batch of each actor.

        dataset.map_batches(
            sidecall.ray.Predictor,
            fn_constructor_kwargs={"model": "/models/fraud.onnx", "keep": ["id"]},
            batch_format="pyarrow",
        )
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Plan,
        *,
        keep: Sequence[str] | None = None,
        error: str | None = "error",
    ) -> None:
        self._is_checked = isinstance(model, Plan)
        self._plan = model if isinstance(model, Plan) else make_plan(model, None, keep, error)
        self._plan.open()

    def __call__(self, batch: pa.Table) -> pa.Table:
        if not self._is_checked:
            self._plan.check(batch.schema, is_part=True)
            self._is_checked = True
        return self._plan.answer(batch)


def deployment(
    model: str | os.PathLike[str], *, on_workers: str | None = None, **options: Any
) -> Application:
    """Returns an application of Ray Serve that answers records.

    `POST` with a record as JSON is answered by a record, a list by a list. An error is
    `{"error": text, "status": "DTYPE_MISMATCH", "num_faults": 1, "faults": [...]}`, as from
    `sidecall serve --http`. Other deployments call `handle.predict.remote(records)`.

    A replica answers each request at once. `@serve.batch` is not used: one call takes microseconds,
    less than the wait for other requests, and docs/deployment/batch.md has the measurement.

    on_workers  as for `predict`
    options     of `serve.deployment`, such as num_replicas and ray_actor_options

    Raises FileNotFound, FileUnreadable, FileInvalid, NoContract, ContractInvalid.
    """
    from ray import serve

    plan = _plan(model, on_workers, None, None)
    settings = {"name": "Sidecall", **options}
    made: Application = serve.deployment(**settings)(_Replica).bind(plan)
    return made


class _Replica:
    def __init__(self, plan: Plan) -> None:
        self._model = plan.open()

    async def predict(self, records: Any) -> Any:
        return await self._model.apredict(records)

    async def __call__(self, request: Request) -> Response:
        from starlette.responses import Response

        status, answer = 200, None
        if request.method != "POST":
            error = "expected the method POST: send the record in the body of a POST request"
            status, answer = 405, {"error": error}
        else:
            try:
                answer = _without_nan(await self.predict(_parsed(await request.body())))
            except errors.Error as error:
                status, answer = _status(error), _document(error)
        return Response(json.dumps(answer), status, media_type="application/json")


def _parsed(body: bytes) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidJson(
            "records: expected JSON, got a body that is not valid JSON"
        ) from error


# The status of HTTP for errors, as of `sidecall serve --http` (base/http_status.h).
_STATUSES = {
    "DENIED": 403,
    "CANCELLED": 499,
    "PEER_DIED": 502,
    "UNREACHABLE": 502,
    "BUSY": 503,
    "OUT_OF_MEMORY": 503,
    "TIMEOUT": 504,
    **dict.fromkeys(("INVALID_ARGUMENT", "NO_CONTRACT", "UNSUPPORTED", "PROTOCOL"), 400),
}
_DATA = 40  # the family of the errors about values, which are all 400


def _status(error: errors.Error) -> int:
    return _STATUSES.get(error.code, 400 if error.family == _DATA else 500)


def _document(error: errors.Error) -> dict[str, Any]:
    """An error as `sidecall serve --http` writes it (base/json/fault_json.h)."""
    document: dict[str, Any] = {"error": str(error), "status": error.code}
    if error.faults:
        faults = [_fault(fault) for fault in error.faults]
        document |= {"num_faults": len(faults), "faults": faults}
    return document


def _fault(fault: errors.Fault) -> dict[str, Any]:
    row = {} if fault.row is None else {"row": fault.row}
    # "feature 'age': expected float32, got string" begins with what it is that `name` names.
    kind = fault.message.partition(" '")[0]
    return {
        **row,
        "status": fault.code,
        kind: fault.name or "",
        "expected": fault.expected or "",
        "got": fault.got or "",
    }


def _without_nan(value: Any) -> Any:
    """An answer as JSON can hold it: NaN and infinities are null, as in `sidecall predict`."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plan(
    model: str | os.PathLike[str],
    on_workers: str | None,
    keep: Sequence[str] | None,
    error: str | None,
) -> Plan:
    plan = make_plan(model, on_workers, keep, error)
    # Ray's object store brings the bytes of the file to the workers.
    return plan if on_workers else replace(plan, source=Path(model).read_bytes())


def _arrow_schema(dataset: Dataset, plan: Plan) -> tuple[pa.Schema, bool]:
    """The columns, and whether they were found by looking at some of the rows."""
    found = dataset.schema()
    if found is None:
        raise errors.InvalidArgument("dataset: expected columns, got none")
    if isinstance(found.base_schema, pa.Schema):
        return found.base_schema, False
    # Blocks of pandas do not tell the type of a column of objects, so look at the first rows.
    features = [feature.name for feature in plan.features if feature.name in found.names]
    kinds: dict[str, pa.DataType] = {}
    if features:
        rows = dataset.select_columns(features).limit(1000).to_pandas()
        kinds = {name: _type_of(rows[name]) for name in features}
    return pa.schema([(name, kinds.get(name, pa.null())) for name in found.names]), True


def _type_of(column: Any) -> pa.DataType:
    try:
        return pa.Array.from_pandas(column).type
    except pa.ArrowException:  # values of several types
        return pa.opaque(pa.null(), str(column.dtype), "pandas")
