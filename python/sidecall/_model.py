"""Opens models, runs them over tensors, and predicts over records and DataFrames."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

import numpy as np

from sidecall import _backend, errors
from sidecall._timeouts import nanoseconds, waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from sidecall._call import Call
    from sidecall._signature import Column, Feature, Signature, Tensor

    Record = dict[str, Any]
    Frame = TypeVar("Frame", pd.DataFrame, pa.Table, pa.RecordBatch)
    Path = str | bytes | bytearray | memoryview | os.PathLike[str] | os.PathLike[bytes]

VERIFY = {"error": 0, "warn": 1, "off": 2}
EXTRA = {"error": 0, "ignore": 1}
ABSENT = {"error": 0, "missing": 1}
ENGINE = {"auto": 0, "native": 1, "onnxruntime": 2}


def open(
    path: Path,
    *,
    verify: Literal["error", "warn", "off"] = "error",
    extra: Literal["error", "ignore"] = "error",
    absent: Literal["error", "missing"] = "error",
    engine: Literal["auto", "native", "onnxruntime"] = "auto",
    onnxruntime: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    wait: float | None = 0,
    allow_exec: bool = False,
    backend: Literal["native", "cffi"] | None = None,
) -> Model:
    """Opens the model in a file, or in another process.

    Opening a model costs milliseconds: open it once and keep it.

    path         a path, a file:// URI, a PathLike, or the bytes of an .onnx file; "shm:NAME" or
                 "shm:/run/app/fraud.sock" for a model that a server of this host serves;
                 "exec:COMMAND" for a program that is started as the server
    verify       what happens if the golden rows of the file give other answers than at export:
                 "error" raises VerificationFailed, "warn" sets `Model.warning`, "off" does not run
                 them. SIDECALL_VERIFY in the environment overrides this.
    extra        what happens to keys of a record that are not features: "error" raises UnknownName,
                 "ignore" skips them
    absent       what happens if a DataFrame or table has no column for a feature: "error" raises
                 MissingInput, "missing" takes its values as missing. In a record, an absent key is
                 always a missing value
    engine       what runs a file: "onnxruntime"; "native" for sidecall's own engine, which needs no
                 ONNX Runtime and raises Unsupported for a graph that it cannot run; or "auto": the
                 native engine if the export proved the file on it, otherwise ONNX Runtime if there
                 is one. A query of the path overrides this ("fraud.onnx?engine=native"), and
                 SIDECALL_ENGINE in the environment overrides both. `Model.engine` says which engine
                 was taken
    onnxruntime  path of the ONNX Runtime library; by default SIDECALL_ONNXRUNTIME, else a library
                 that this process has loaded, else that of the installed package, which is not
                 imported
    timeout      seconds that each call may take, if the call does not pass its own timeout. None
                 waits forever; for a model in another process, None means the timeout of its
                 server, 30 seconds by default.
    wait         seconds to wait for a server that is still starting: in `open`, and in every call
                 while the server restarts, within the timeout of the call. None waits forever.
    allow_exec   True lets `path` start with exec:; leave it False if paths may come from outside
    backend      "native", or "cffi" if the compiled module cannot be used; by default
                 SIDECALL_PYTHON_BACKEND

    Raises FileNotFound, FileInvalid and the other File... errors, ContractInvalid, ContractFormat,
    Unsupported, VerificationFailed, Engine, EngineNotFound, EngineTooOld; for another process also
    Unreachable, Timeout, Denied, Protocol, Busy.

    >>> model = open(getfixture("models") / "matrix.onnx")
    >>> model.predict({"a": 1, "b": 2, "c": True, "d": 0.5})
    {'prediction': 621.0}
    """
    from sidecall._library import onnxruntime_package

    options = {
        "verify": verify,
        "extra": extra,
        "absent": absent,
        "engine": engine,
        "onnxruntime": onnxruntime,
        "timeout": timeout,
        "wait": wait,
        "allow_exec": allow_exec,
        "backend": backend,
    }
    choice("absent", ABSENT, absent)
    source, is_file = _source(path)
    module = _backend.load(backend)
    timeout_ns = nanoseconds(timeout)
    explicit = None if onnxruntime is None else os.fspath(onnxruntime)
    native = module.open(
        source,
        is_file,
        choice("verify", VERIFY, verify),
        choice("extra", EXTRA, extra),
        timeout_ns,
        explicit,
        None if explicit is not None else onnxruntime_package(),
        waiting(wait),
        bool(allow_exec),
        choice("engine", ENGINE, engine),
    )
    description = native.describe()
    origin = _absolute(source, description["is_in_process"]) if is_file else source
    model = Model(module, native, description, timeout_ns, (origin, options))
    _log_open(model, _name_of(origin))
    return model


def _reopen(source: str | bytes, options: dict[str, Any], expected: str) -> Model:
    """Opens a model that was pickled; `expected` is its id."""
    model = open(source, **options)
    if model.id != expected:
        raise errors.VerificationFailed(
            f"{_name_of(source)}: expected the pickled model with the id {expected}, got the id "
            f"{model.id}"
        )
    return model


def _absolute(source: bytes, is_in_process: bool) -> str:
    """The path or URI of an open model for a process with another working directory."""
    is_path = is_in_process and not source.startswith(b"file:")  # whose path is absolute
    # os.path.abspath would remove "..", which changes the meaning of a path through a link.
    return os.fsdecode(os.path.join(os.getcwdb(), source) if is_path else source)


def _name_of(source: str | bytes) -> str:
    return repr(source) if isinstance(source, str) else "bytes"


def _log_open(model: Model, name: str) -> None:
    """Logs how the model was opened, if the program uses logging."""
    logging = sys.modules.get("logging")
    if logging is None:
        return
    logger = logging.getLogger("sidecall")
    if model.warning is not None:
        logger.warning("%s: %s", name, model.warning)
    reason = model.engine_reason
    logger.info("opened %s on %s%s", name, model.engine, f": {reason}" if reason else "")


class Model:
    """An open model, from `sidecall.open`. Any number of threads may use it at the same time.

    A Model can be pickled: the pickle holds the absolute path or URI, or the bytes, the options of
    `open` and the id. Unpickling opens the model again, and raises VerificationFailed if the file
    or the server has another model by then.

    >>> with open(getfixture("models") / "matrix.onnx") as model:
    ...     [feature.name for feature in model.features]
    ['a', 'b', 'c', 'd']
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_description",
        "_native",
        "_origin",
        "_predict",
        "_run",
        "_signature",
        "_timeout_ns",
    )

    def __init__(
        self,
        backend: _backend.Backend,
        native: _backend.Model,
        description: dict[str, Any],
        timeout_ns: int,
        origin: tuple[str | bytes, dict[str, Any]],
    ) -> None:
        self._backend, self._native, self._timeout_ns = backend, native, timeout_ns
        self._origin = origin
        self._run = native.runner()
        self._predict = native.predictor()
        self._description = description
        self._signature: Signature | None = None

    def run(
        self,
        inputs: Mapping[str, Any] | Any,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Runs the model over tensors. The GIL is released while the engine runs.

        inputs   arrays by input name, or the array itself if the model has one input. For an input
                 of float32 or float64, arrays of float16, float32, float64 and integers are
                 converted, and each number is rounded once, as in a record. In all other cases an
                 array must have the input's own type. Lists take the input's type. Large arrays
                 of the input's type in C order are read in place and must not change during the
                 run. bfloat16 is passed as uint16, an 8-bit float as uint8, and two 4-bit elements
                 as one uint8.
        outputs  names of the outputs to return; all by default
        timeout  seconds; checked between graph nodes. A run succeeds if it completes, even late

        Raises UnknownName, MissingInput, DtypeMismatch, ShapeMismatch, OutOfRange, InvalidString,
        MissingValue, UnknownCategory, Refused, Timeout, Engine, OutOfMemory. A call finds all
        faults before it fails: see `Error.faults`.

        >>> import numpy as np
        >>> model = getfixture("matrix")
        >>> model.run({"X": np.array([[1, 2, 1, 0.5]], dtype=np.float32)})["prediction"]
        array([[621.]], dtype=float32)
        """
        timeout_ns = self._timeout_ns if timeout is None else nanoseconds(timeout)
        try:
            return self._run(inputs, outputs, timeout_ns)
        except MemoryError as error:
            _explain_lack_of_memory("inputs", error)

    async def arun(
        self,
        inputs: Mapping[str, Any] | Any,
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """As `run`, for asyncio: the event loop continues while the engine works.

        Cancelling the await cancels the run. Inputs are copied when the coroutine first runs, so
        arrays may be changed while the coroutine waits.

        Also raises Busy, if the library's queue of runs is full.

        >>> import asyncio
        >>> model = getfixture("matrix")
        >>> asyncio.run(model.arun({"X": [[1, 2, 1, 0.5]]}))["prediction"].tolist()
        [[621.0]]
        """
        from sidecall._async import outcome_of

        timeout_ns = self._timeout_ns if timeout is None else nanoseconds(timeout)
        try:
            answer: dict[str, NDArray[Any]] = await outcome_of(
                self._backend,
                lambda queue: queue.start_run(self._native, inputs, outputs, timeout_ns),
            )
        except MemoryError as error:
            _explain_lack_of_memory("inputs", error)
        return answer

    @overload
    def predict(self, records: Mapping[str, Any], *, timeout: float | None = None) -> Record: ...
    @overload
    def predict(
        self, records: Sequence[Mapping[str, Any]], *, timeout: float | None = None
    ) -> list[Record]: ...
    @overload
    def predict(
        self, records: NDArray[Any], *, timeout: float | None = None
    ) -> dict[str, NDArray[Any]]: ...
    @overload
    def predict(self, records: pl.DataFrame, *, timeout: float | None = None) -> pl.DataFrame: ...
    @overload
    def predict(self, records: Frame, *, timeout: float | None = None) -> Frame: ...

    def predict(self, records: Any, *, timeout: float | None = None) -> Any:
        """Predicts records: the answer to a dict is a dict, and to a list of dicts a list of dicts.

        For a DataFrame of pandas or polars, or a table or record batch of pyarrow, the answer is of
        the same type, with the columns that `Model.columns` lists; in pandas it has the index of
        `records`. Such a table needs a column for each feature (see `absent` of `open`). The order
        of keys does not matter. An array [rows, features] has its columns in the order of
        `Model.features`; the answer is a dict of arrays [rows] by the names of `Model.columns`.
        Absent keys, None, NaN and pandas.NA are missing values. An integer is accepted for a float,
        and a whole float for an integer; nothing else is converted. A number is rounded once, to
        the type of its feature; a float32 number stands for its exact value.
        `timeout` is in seconds, as for `run`. Millions of records take gigabytes: pass them in
        batches.

        Raises DtypeMismatch, MissingInput (no column), MissingValue, UnknownName, UnknownCategory,
        InvalidString, OutOfRange, Refused, ShapeMismatch (no row), NoContract, Timeout, Engine,
        OutOfMemory. A call finds all faults before it fails: see `Error.faults`.

        >>> model = getfixture("matrix")
        >>> records = [{"a": 1, "b": 2, "c": True, "d": 0.5}, {"a": 0, "b": 0, "c": False, "d": 1}]
        >>> model.predict(records)
        [{'prediction': 621.0}, {'prediction': 1000.0}]
        """
        timeout_ns = self._timeout_ns if timeout is None else nanoseconds(timeout)
        try:
            if isinstance(records, (dict, list)):
                return self._predict(records, timeout_ns)
            from sidecall._data.arrow import is_arrow, predict_arrow
            from sidecall._data.frames import (
                is_frame,
                predict_array,
                predict_frame,
                require_columns,
            )

            if is_frame(records):
                if self._origin[1]["absent"] == "error":
                    require_columns(self.features, records.columns)
                return predict_frame(self._native, records, self.features, timeout_ns)
            if is_arrow(records):
                if self._origin[1]["absent"] == "error":
                    require_columns(self.features, records.schema.names)
                return predict_arrow(self._native, records, self.features, timeout_ns)
            if isinstance(records, np.ndarray):
                return predict_array(self._native, records, self.features, timeout_ns)
            return self._predict(_plain_records(records), timeout_ns)
        except MemoryError as error:
            _explain_lack_of_memory("records", error)

    @overload
    async def apredict(
        self, records: Mapping[str, Any], *, timeout: float | None = None
    ) -> Record: ...
    @overload
    async def apredict(
        self, records: Sequence[Mapping[str, Any]], *, timeout: float | None = None
    ) -> list[Record]: ...
    @overload
    async def apredict(
        self, records: NDArray[Any], *, timeout: float | None = None
    ) -> dict[str, NDArray[Any]]: ...
    @overload
    async def apredict(
        self, records: pl.DataFrame, *, timeout: float | None = None
    ) -> pl.DataFrame: ...
    @overload
    async def apredict(self, records: Frame, *, timeout: float | None = None) -> Frame: ...

    async def apredict(self, records: Any, *, timeout: float | None = None) -> Any:
        """As `predict`, for asyncio. A DataFrame, table or array is predicted on another
        thread.

        >>> import asyncio
        >>> asyncio.run(getfixture("matrix").apredict({"a": 1, "b": 2, "c": True, "d": 0.5}))
        {'prediction': 621.0}
        """
        from sidecall._async import outcome_of
        from sidecall._data.arrow import is_arrow
        from sidecall._data.frames import is_frame

        if is_frame(records) or is_arrow(records) or isinstance(records, np.ndarray):
            import asyncio

            return await asyncio.to_thread(self.predict, records, timeout=timeout)
        timeout_ns = self._timeout_ns if timeout is None else nanoseconds(timeout)
        try:
            plain = _plain_records(records)
            return await outcome_of(
                self._backend, lambda queue: queue.start_predict(self._native, plain, timeout_ns)
            )
        except MemoryError as error:
            _explain_lack_of_memory("records", error)

    def call(self, rows: int = 1) -> Call:
        """Returns a reusable workspace for that many rows. Raises InvalidArgument.

        This is the fastest way to run a model, because the arrays of the workspace are the engine's
        own memory.
        """
        from sidecall._call import Call

        return Call(self._backend, self._native, self.signature, rows, self._timeout_ns)

    @property
    def signature(self) -> Signature:
        """Inputs, outputs, features and columns, as plain data."""
        if self._signature is None:
            from sidecall._signature import signature_of

            self._signature = signature_of(self._description)
        return self._signature

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that `run` takes."""
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors that `run` returns."""
        return self.signature.outputs

    @property
    def features(self) -> tuple[Feature, ...]:
        """The keys of a record, in the order of the contract; empty without a contract."""
        return self.signature.features

    @property
    def columns(self) -> tuple[Column, ...]:
        """The flat columns of a DataFrame from `predict`, such as `probabilities.fraud`."""
        return self.signature.columns

    @property
    def contract(self) -> dict[str, Any] | None:
        """The contract as it stands in the file; None if the file has none."""
        import json

        text: str | None = self._description["contract"]
        return None if text is None else json.loads(text)

    @property
    def name(self) -> str:
        """The model's name from the contract; "" without a contract."""
        return str(self._description["name"])

    @property
    def version(self) -> str:
        """The model's version from the contract; "" without a contract."""
        return str(self._description["version"])

    @property
    def id(self) -> str:
        """SHA-256 of the file and its external files, in hexadecimal.

        Models with the same id have the same graph, weights and contract.
        """
        return self._native.id()

    @property
    def engine(self) -> str:
        """The engine that runs the model: "native 2", "onnxruntime 1.32.0", or a server's name."""
        return str(self._description["engine"])

    @property
    def engine_reason(self) -> str:
        """Why this engine was taken, in one line; "" for a model in another process."""
        return str(self._description["engine_reason"])

    @property
    def warning(self) -> str | None:
        """Why verification failed, under verify="warn"; otherwise None."""
        warning: str | None = self._description["warning"]
        return warning

    def verify(self) -> dict[str, Any]:
        """Runs the golden rows now and returns the report.

        Raises VerificationFailed, NoContract, Engine.

        >>> getfixture("matrix").verify()["rows"]
        2
        """
        import json

        report: dict[str, Any] = json.loads(self._native.verify())
        return report

    def close(self) -> None:
        """Closes the model. Its open calls stay usable; the model itself raises InvalidArgument."""
        self._native.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return _reopen, (*self._origin, self.id)

    def __repr__(self) -> str:
        return f"<sidecall.Model {self.name!r} {self.version!r}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: features, answers and the engine."""
        from sidecall._html import heading, html_table, paragraph, section

        features = [
            (feature.name, feature.type_text, "yes" if feature.nullable else "no")
            for feature in self.features
        ]
        columns = [(column.name, column.dtype) for column in self.columns]
        shown = 100
        reason = f" ({self.engine_reason})" if self.engine_reason else ""
        return section(
            " ".join(filter(None, ("sidecall.Model", self.name, self.version))),
            heading(f"{len(features)} features of a record"),
            html_table(("feature", "type", "may be missing"), features[:shown]),
            paragraph("..." if len(features) > shown else ""),
            heading(f"{len(columns)} columns of an answer"),
            html_table(("column", "type"), columns[:shown]),
            paragraph("..." if len(columns) > shown else ""),
            paragraph(f"Runs on {self.engine}{reason}."),
        )


def _source(path: Path) -> tuple[bytes, bool]:
    if isinstance(path, (bytes, bytearray, memoryview)):
        return bytes(path), False
    text = os.fspath(path)
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise errors.InvalidArgument("path: expected a path without NUL, got one with NUL")
    # A PathLike is always a path, even if it looks like a URI or has a query.
    if not isinstance(path, str) and b":" in encoded and not os.path.isabs(encoded):
        encoded = os.path.join(b".", encoded)
    if not isinstance(path, str) and b"?engine=" in encoded:
        import pathlib

        encoded = pathlib.Path(os.fsdecode(encoded)).absolute().as_uri().encode()
    return encoded, True


def choice(name: str, known: dict[str, int], value: str) -> int:
    if value not in known:
        *first, last = (f"'{word}'" for word in known)
        raise errors.InvalidArgument(
            f"{name}: expected {', '.join(first)} or {last}, got {value!r}"
        )
    return known[value]


def _explain_lack_of_memory(what: str, error: MemoryError) -> NoReturn:
    # If the library's own text names the limit, it says more than the text below.
    is_bare = str(error) == "out of memory" or "bad_alloc" in str(error)
    if isinstance(error, errors.OutOfMemory) and not is_bare:
        raise error
    raise errors.OutOfMemory(
        f"{what}: too many rows for the available memory: pass them in batches",
        retryable=True,
    ) from error


def _plain_records(records: Any) -> Any:
    from collections.abc import Mapping, Sequence

    if isinstance(records, (dict, list)):
        return records
    if isinstance(records, Mapping):
        return dict(records)
    if isinstance(records, Sequence) and not isinstance(records, (str, bytes)):
        return [dict(record) if isinstance(record, Mapping) else record for record in records]
    raise errors.DtypeMismatch(
        "records: expected a record, a list of records, a DataFrame, a table or an array, got "
        f"{type(records).__name__}"
    )
