"""The cffi backend: the same functions as `_native`, in Python over the C ABI.

PyPy uses this backend. cffi parses the C headers, so using this backend also checks the headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall._backend import KIND_INPUT, KIND_OUTPUT
from sidecall._cffi.call import Call, Pending, Queue, Workspace, output_view
from sidecall._cffi.header import (
    DTYPE_NAMES,
    NULL,
    CallError,
    constants,
    encoded,
    ffi,
    lib,
    new_struct,
    text_of,
)
from sidecall._cffi.server import (
    Server,
    Supervisor,
    Watchdog,
    log_event,
    log_flush,
    log_line,
    query,
    remaining,
    serve_function,
    serve_model,
    supervise,
)
from sidecall._cffi.values import Datetime, Spec, array_of, get_value, set_value, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Columns = list[tuple[str, Any, Any, str | None]]

__all__ = [
    "Call",
    "Model",
    "Pending",
    "Queue",
    "Server",
    "Supervisor",
    "Watchdog",
    "abi_version",
    "describe_engine",
    "log_event",
    "log_flush",
    "log_line",
    "open",
    "query",
    "remaining",
    "serve_function",
    "serve_model",
    "status_name",
    "supervise",
    "version",
]

_IN_PROCESS = constants["SIDECALL_ROUTE_IN_PROCESS"]
_SCALAR, _MEMBER, _ELEMENT = (
    constants[f"SIDECALL_FORM_{form}"] for form in ("SCALAR", "MEMBER", "ELEMENT")
)


def open(
    source: bytes,
    is_file: bool,
    verify: int,
    extra: int,
    timeout_ns: int,
    onnxruntime: str | None,
    package: str | None,
    wait_ns: int = 0,
    allow_exec: bool = False,
    engine: int = 0,
) -> Model:
    options, keep = _options(onnxruntime, package)
    options.verify, options.extra, options.timeout_ns, options.wait_ns, options.allow_exec = (
        verify,
        extra,
        timeout_ns,
        wait_ns,
        allow_exec,
    )
    options.engine = engine
    error, model = CallError(), ffi.new("sidecall_model **")
    if is_file:
        status = lib.sidecall_model_open(source, options, model, error.struct)
    else:
        status = lib.sidecall_model_open_bytes(source, len(source), options, model, error.struct)
    del keep
    error.check(status)
    return Model(model[0])


def describe_engine(onnxruntime: str | None, package: str | None) -> str:
    options, keep = _options(onnxruntime, package)
    error, text = CallError(), ffi.new("sidecall_text **")
    status = lib.sidecall_engine_describe(options, text, error.struct)
    del keep
    error.check(status)
    return _take_text(text[0])


def status_name(status: int) -> str:
    return text_of(lib.sidecall_status_name(status))


def version() -> str:
    return text_of(lib.sidecall_version())


def abi_version() -> int:
    number: int = lib.sidecall_abi_version()
    return number


class Model:
    """An open model."""

    def __init__(self, handle: Any) -> None:
        self._handle = ffi.gc(handle, lib.sidecall_model_close)
        self._inputs = [
            spec_of(lib.sidecall_model_input_spec(handle, i))
            for i in range(lib.sidecall_model_num_inputs(handle))
        ]
        self._outputs = [
            spec_of(lib.sidecall_model_output_spec(handle, i))
            for i in range(lib.sidecall_model_num_outputs(handle))
        ]
        self._columns = [
            lib.sidecall_model_column_spec(handle, i)
            for i in range(lib.sidecall_model_num_columns(handle))
        ]
        self._features = {
            text_of(lib.sidecall_model_feature_spec(handle, i).name): i
            for i in range(lib.sidecall_model_num_features(handle))
        }
        self._datetimes: dict[int, Datetime] = {}
        for index in self._features.values():
            feature = lib.sidecall_model_feature_spec(handle, index)
            if DTYPE_NAMES[feature.dtype] == "datetime":
                self._datetimes[index] = Datetime(has_zone=bool(text_of(feature.zone)))
                self._inputs[feature.input] = self._inputs[feature.input]._replace(
                    datetime_unit=text_of(feature.unit)
                )
        if self._features:  # with a contract, every column of every input belongs to a feature
            self._inputs = [
                spec._replace(takes_missing=spec.dtype == "string") for spec in self._inputs
            ]

    @property
    def handle(self) -> Any:
        if self._handle is None:
            from sidecall.errors import InvalidArgument

            raise InvalidArgument("the model is closed")
        return self._handle

    @property
    def inputs(self) -> list[Spec]:
        return self._inputs

    @property
    def outputs(self) -> list[Spec]:
        return self._outputs

    def datetime_of(self, feature: int) -> Datetime | None:
        return self._datetimes.get(feature)

    def column_dtypes(self) -> list[str]:
        return [DTYPE_NAMES[column.dtype] for column in self._columns]

    def describe(self) -> dict[str, Any]:
        length = ffi.new("size_t *")
        contract = lib.sidecall_model_contract(self.handle, length)
        warning = lib.sidecall_model_warning(self.handle)
        return {
            "inputs": [tuple(spec)[:4] for spec in self._inputs],
            "outputs": [tuple(spec)[:4] for spec in self._outputs],
            "features": [self._feature(i) for i in self._features.values()],
            "columns": [
                (
                    text_of(c.name),
                    text_of(c.key),
                    DTYPE_NAMES[c.dtype],
                    self._outputs[c.output].name,
                    c.column,
                )
                for c in self._columns
            ],
            "is_in_process": lib.sidecall_model_route(self.handle) == _IN_PROCESS,
            "name": text_of(lib.sidecall_model_name(self.handle)),
            "version": text_of(lib.sidecall_model_version(self.handle)),
            "contract": None if contract == NULL else text_of(contract, length[0]),
            "engine": text_of(lib.sidecall_model_engine(self.handle)),
            "engine_reason": text_of(lib.sidecall_model_engine_reason(self.handle)),
            "warning": None if warning == NULL else text_of(warning),
        }

    def id(self) -> str:
        return text_of(lib.sidecall_model_id(self.handle))

    def verify(self) -> str:
        error, text = CallError(), ffi.new("sidecall_text **")
        status = lib.sidecall_model_verify(self.handle, text, error.struct)
        report = _take_text(text[0])
        error.check(status)
        return report

    def close(self) -> None:
        self._handle = None

    def find(self, kind: int, name: object) -> int:
        error, index, text = CallError(), ffi.new("int32_t *"), encoded(name)
        error.check(
            lib.sidecall_model_find(self.handle, kind, text, len(text), index, error.struct)
        )
        found: int = index[0]
        return found

    def runner(self) -> Callable[[Any, Any, int], dict[str, NDArray[Any]]]:
        return self.run

    def predictor(self) -> Callable[[Any, int], Any]:
        return self.predict

    def run(self, inputs: Any, outputs: Any, timeout_ns: int) -> dict[str, NDArray[Any]]:
        keep: list[Any] = []
        with self.workspace_of(inputs, keep) as workspace:
            workspace.run(timeout_ns)
            return self.tensors(workspace, outputs)

    def predict(self, records: Any, timeout_ns: int) -> Any:
        with self.filled_workspace(records) as workspace:
            workspace.run(timeout_ns)
            return self.records(workspace, isinstance(records, dict))

    def predict_columns(
        self, columns: Columns, rows: int, timeout_ns: int
    ) -> list[tuple[str, NDArray[Any]]]:
        with self._take_rows(rows) as workspace:
            self._set_columns(workspace, columns, rows)
            workspace.run(timeout_ns)
            return self._columns_of(workspace, rows)

    def _set_columns(self, workspace: Workspace, columns: Columns, rows: int) -> None:
        for name, values, mask, refused in columns:
            feature = self._features.get(name, -1)
            if feature < 0:
                text = encoded(name)
                lib.sidecall_call_set_unknown(workspace.call, 0, text, len(text), NULL)
            elif refused is not None:
                for row in range(rows):
                    lib.sidecall_call_set_invalid(
                        workspace.call, row, feature, encoded(refused), NULL
                    )
            elif values.dtype.kind == "M":  # in the unit of the feature
                for row, count in enumerate(values.view("int64").tolist()):
                    lib.sidecall_call_set_i64(workspace.call, row, feature, count, NULL)
            else:
                for row, value in enumerate(values.tolist()):
                    set_value(
                        workspace.call,
                        row,
                        feature,
                        self.datetime_of(feature),
                        None if mask is not None and mask[row] else value,
                    )

    def _columns_of(self, workspace: Workspace, rows: int) -> list[tuple[str, NDArray[Any]]]:
        answers = []
        for index, (column, dtype) in enumerate(
            zip(self._columns, self.column_dtypes(), strict=True)
        ):
            is_raw = dtype.startswith(("bfloat", "float8"))
            array = np.empty(
                rows, dtype=object if dtype == "string" else "float32" if is_raw else dtype
            )
            for row in range(rows):
                array[row] = get_value(workspace.call, row, index, dtype, workspace.error)
            answers.append((text_of(column.name), array))
        return answers

    def tensors(self, workspace: Workspace, wanted: Any) -> dict[str, NDArray[Any]]:
        order = (
            range(len(self._outputs))
            if wanted is None
            else [self.find(KIND_OUTPUT, name) for name in wanted]
        )
        return {
            self._outputs[i].name: array_of(output_view(workspace, i), self._outputs[i].dtype)
            for i in order
        }

    def records(self, workspace: Workspace, single: bool) -> Any:
        answers: list[dict[str, Any]] = []
        try:
            self._append_records(workspace, answers)
        except MemoryError:
            answers.clear()  # the traceback refers to this frame, and there is no memory for it
            raise
        return answers[0] if single else answers

    def _append_records(self, workspace: Workspace, answers: list[dict[str, Any]]) -> None:
        dtypes = self.column_dtypes()
        for row in range(lib.sidecall_call_rows(workspace.call)):
            record: dict[str, Any] = {}
            for index, column in enumerate(self._columns):
                name, value = (
                    self._outputs[column.output].name,
                    get_value(workspace.call, row, index, dtypes[index], workspace.error),
                )
                if column.form == _MEMBER:
                    record.setdefault(name, {})[text_of(column.key)] = value
                elif column.form == _ELEMENT:
                    record.setdefault(name, []).append(value)
                else:
                    record[name] = value
            answers.append(record)

    def _feature(self, index: int) -> tuple[Any, ...]:
        spec = lib.sidecall_model_feature_spec(self.handle, index)
        return (
            text_of(spec.name),
            DTYPE_NAMES[spec.dtype],
            bool(spec.nullable),
            self._inputs[spec.input].name,
            spec.column,
            *(text_of(text) or None for text in (spec.unit, spec.zone, spec.epoch)),
        )

    def workspace_of(self, inputs: Any, keep: list[Any] | None) -> Workspace:
        """Returns a workspace with these inputs. `keep`: see Workspace.set_input."""
        given: dict[Any, Any] = {}
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        elif len(self._inputs) == 1:
            given = {self._inputs[0].name: inputs}
        workspace = Workspace(self.handle, self._rows_of(given))
        try:
            for name, value in given.items():
                index = self.find(KIND_INPUT, name)
                workspace.set_input(index, value, self._inputs[index], keep)
        except BaseException:
            workspace.close()
            raise
        return workspace

    def _rows_of(self, given: dict[Any, Any]) -> int:
        # A guess is enough: the call takes the shape of each input that it gets.
        if not self._inputs:
            return 1
        spec = self._inputs[0]
        value = given.get(spec.name)
        if not isinstance(value, np.ndarray) or value.ndim != len(spec.dims) or not spec.dims:
            return 1
        return max(1, len(value)) if spec.dims[0] < 0 else 1

    def _take_rows(self, rows: int) -> Workspace:
        if rows == 0:
            error, text = CallError(), ffi.new("sidecall_text **")
            error.check(lib.sidecall_predict_json(self.handle, b"[]", 2, text, error.struct))
        workspace = Workspace(self.handle, rows)
        try:
            # All features are missing from here on, also for a record without any. Refuses a model
            # without features.
            workspace.error.check(lib.sidecall_call_clear(workspace.call, workspace.error.struct))
        except BaseException:
            workspace.close()
            raise
        return workspace

    def filled_workspace(self, records: Any) -> Workspace:
        batch = [records] if isinstance(records, dict) else records
        workspace = self._take_rows(len(batch))
        try:
            for row, record in enumerate(batch):
                self._set_record(workspace, row, record)
        except BaseException:
            workspace.close()
            raise
        return workspace

    def _set_record(self, workspace: Workspace, row: int, record: Any) -> None:
        if not isinstance(record, Mapping):
            got, error = encoded(type(record).__name__), workspace.error
            error.check(lib.sidecall_call_set_invalid(workspace.call, row, -1, got, error.struct))
        for name, value in record.items():
            feature = self._features.get(name, -1)
            if feature < 0:
                text = encoded(name)
                lib.sidecall_call_set_unknown(workspace.call, row, text, len(text), NULL)
            else:
                set_value(workspace.call, row, feature, self.datetime_of(feature), value)


def _options(onnxruntime: str | None, package: str | None) -> tuple[Any, list[Any]]:
    options = new_struct("sidecall_model_options")
    keep = [
        ffi.new("char[]", encoded(path)) if path is not None else NULL
        for path in (onnxruntime, package)
    ]
    options.onnxruntime, options.onnxruntime_package = keep
    return options, keep


def _take_text(text: Any) -> str:
    if text == NULL:
        return ""
    try:
        return text_of(text.data, text.length)
    finally:
        lib.sidecall_text_close(text)
