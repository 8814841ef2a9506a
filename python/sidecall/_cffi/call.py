"""Calls of the cffi backend: workspaces, and the runs of an event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall import errors
from sidecall._cffi.header import DTYPES, NULL, CallError, encoded, ffi, lib, new_view
from sidecall._cffi.values import Refused, Spec, array_of, get_value, pack, set_value, view_of
from sidecall._data.arrays import as_float64

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sidecall._cffi import Model

_COPY_BYTES = 16 * 1024  # the engine reads larger arrays in place
_MAX_TAKEN = 64


class Workspace:
    """A call of the library with its error struct.

    A call of the pool of its model connects to another process when it runs. `close` gives it back,
    or closes it if it is not of the pool; so does the end of the last reference.
    """

    def __init__(self, model: Any, rows: int, *, is_pooled: bool = True) -> None:
        self.model = model
        self.error = CallError.take()
        call = ffi.new("sidecall_call **")
        open_call = lib.sidecall_model_take_call if is_pooled else lib.sidecall_call_open
        try:
            self.error.check(open_call(model, rows, call, self.error.struct))
        except errors.Error:
            self.error.give_back()
            raise
        give_back = partial(lib.sidecall_model_give_call, model)
        self.call = ffi.gc(call[0], give_back if is_pooled else lib.sidecall_call_close)
        self.leases = 0  # the number of arrays over its memory that still exist

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        ffi.release(self.call)
        self.error.give_back()

    def run(self, timeout_ns: int) -> None:
        self.error.check(lib.sidecall_call_run(self.call, timeout_ns, self.error.struct))

    def set_input(self, index: int, value: Any, spec: Spec, keep: list[Any] | None) -> None:
        """Gives one input to the library.

        With `keep`, the engine may read a large array in place; the objects that hold its memory
        are then added to the list, which must live until the run is over. Only an array of the
        input's own type is read in place. Any other array is copied, which also converts between
        float32 and float64.
        """
        if (
            spec.dtype in ("float32", "float64")
            and isinstance(value, np.ndarray)
            and (value.dtype.kind in "iu" or value.dtype == np.float16)
        ):
            value = as_float64(value)
        try:
            view, holders = view_of(value, spec)
        except Refused as refused:
            lib.sidecall_call_describe_mismatch(
                self.call, index, encoded(refused), self.error.struct
            )
            raise self.error.exception(self.error.struct.status) from None
        is_bound = (
            keep is not None
            and view.data_bytes > _COPY_BYTES
            and spec.dtype != "string"
            and view.dtype == DTYPES[spec.dtype]
        )
        set_input = lib.sidecall_call_bind_input if is_bound else lib.sidecall_call_copy_input
        self.error.check(set_input(self.call, index, view, self.error.struct))
        if keep is not None and is_bound:
            keep.append(holders)

    def lease(self, data: Any) -> Any:
        self.leases += 1
        return ffi.gc(ffi.cast("char *", data), self._end_lease)

    def _end_lease(self, _: Any) -> None:
        self.leases -= 1


def output_view(workspace: Workspace, index: int) -> Any:
    view = new_view()
    workspace.error.check(
        lib.sidecall_call_output(workspace.call, index, view, workspace.error.struct)
    )
    return view


class Queue:
    """A completion queue of the library."""

    def __init__(self) -> None:
        self._error, queue = CallError(), ffi.new("sidecall_queue **")
        self._error.check(lib.sidecall_queue_open(NULL, queue, self._error.struct))
        self._queue = ffi.gc(queue[0], lib.sidecall_queue_close)
        self._taken = ffi.new("sidecall_completion[]", _MAX_TAKEN)
        self._count = ffi.new("int64_t *")

    def handle(self) -> int:
        handle = ffi.new("intptr_t *")
        self._error.check(lib.sidecall_queue_handle(self._queue, handle, self._error.struct))
        return int(handle[0])

    def take(self, wait_ns: int) -> list[int]:
        self._error.check(
            lib.sidecall_queue_take(
                self._queue,
                0,
                self._taken,
                ffi.sizeof("sidecall_completion"),
                _MAX_TAKEN,
                wait_ns,
                self._count,
                self._error.struct,
            )
        )
        return [self._taken[i].run for i in range(self._count[0])]

    def arm(self) -> int:
        look_ns = ffi.new("int64_t *")
        self._error.check(lib.sidecall_queue_arm(self._queue, look_ns, self._error.struct))
        return int(look_ns[0])

    def start_run(self, model: Model, inputs: Any, outputs: Any, timeout_ns: int) -> Pending:
        workspace = model.workspace_of(inputs, None)
        return self._submit(workspace, timeout_ns, lambda: model.tensors(workspace, outputs))

    def start_predict(self, model: Model, records: Any, timeout_ns: int) -> Pending:
        workspace = model.filled_workspace(records)
        is_single = isinstance(records, dict)
        return self._submit(workspace, timeout_ns, lambda: model.records(workspace, is_single))

    def _submit(self, workspace: Workspace, timeout_ns: int, collect: Callable[[], Any]) -> Pending:
        run = ffi.new("uint64_t *")
        workspace.error.check(
            lib.sidecall_queue_submit(
                self._queue, workspace.call, timeout_ns, 0, run, workspace.error.struct
            )
        )
        return Pending(workspace, run[0], collect)


class Pending:
    """A run that was submitted to a queue."""

    def __init__(self, workspace: Workspace, run: int, collect: Callable[[], Any]) -> None:
        self._workspace: Workspace | None = workspace
        self._collect = collect
        self.run = run

    def result(self) -> Any:
        workspace = self._workspace
        if workspace is None:
            raise errors.NotRun("the run was closed, or its outcome was already returned")
        workspace.error.check(lib.sidecall_call_error(workspace.call, workspace.error.struct))
        return self._collect()

    def close(self) -> None:
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            workspace.close()


class Call:
    """A workspace. Inputs, features and columns are named by index."""

    def __init__(self, model: Model, rows: int, handle: Any = None) -> None:
        self._model = model
        self._workspace: Workspace | None = Workspace(handle or model.handle, rows, is_pooled=False)
        self._find_dynamic_outputs()

    def fresh(self, rows: int) -> Call:
        return Call(self._model, rows, self._open.model)

    @property
    def _open(self) -> Workspace:
        if self._workspace is None:
            raise errors.InvalidArgument("the call is closed")
        return self._workspace

    @property
    def rows(self) -> int:
        rows: int = lib.sidecall_call_rows(self._open.call)
        return rows

    @property
    def is_shared(self) -> bool:
        return self._workspace is not None and self._workspace.leases > 0

    def runner(self) -> Callable[[int], None]:
        return self._run

    def _run(self, timeout_ns: int) -> None:
        self._open.run(timeout_ns)

    def input(self, index: int) -> NDArray[Any]:
        workspace, spec, view = self._open, self._model.inputs[index], new_view()
        workspace.error.check(
            lib.sidecall_call_input(workspace.call, index, view, workspace.error.struct)
        )
        if spec.dtype == "string":
            raise errors.InvalidArgument(
                f"input '{spec.name}': strings are set by assignment; there is no array to write into"
            )
        return array_of(view, spec.dtype, workspace.lease(view.data))

    def output(self, index: int) -> NDArray[Any]:
        workspace, spec = self._open, self._model.outputs[index]
        view = output_view(workspace, index)
        if view.rank < 0 or (view.data == NULL and view.data_bytes > 0):
            raise errors.NotRun("outputs: expected a run that succeeded, got none")
        return array_of(
            view, spec.dtype, workspace.lease(view.data) if self.is_kept(index) else None
        )

    def is_kept(self, output: int) -> bool:
        return not self._is_dynamic[output] and self._model.outputs[output].dtype != "string"

    def set_strings(self, index: int, values: Sequence[str]) -> None:
        workspace = self._open
        try:
            data, offsets = pack(values, self._model.inputs[index].takes_missing)
        except Refused as refused:
            lib.sidecall_call_describe_mismatch(
                workspace.call, index, encoded(refused), workspace.error.struct
            )
            raise workspace.error.exception(workspace.error.struct.status) from None
        workspace.error.check(
            lib.sidecall_call_set_strings(
                workspace.call, index, data, offsets, len(values), workspace.error.struct
            )
        )

    def resize(self, rows: int) -> None:
        workspace = self._open
        workspace.error.check(
            lib.sidecall_call_resize(workspace.call, rows, workspace.error.struct)
        )
        self._find_dynamic_outputs()

    def reshape(self, index: int, dims: Sequence[int]) -> None:
        workspace = self._open
        workspace.error.check(
            lib.sidecall_call_reshape(
                workspace.call, index, list(dims), len(dims), workspace.error.struct
            )
        )
        self._find_dynamic_outputs()

    def set(self, row: int, feature: int, value: Any) -> None:
        workspace = self._open
        workspace.error.check(
            set_value(
                workspace.call,
                row,
                feature,
                self._model.datetime_of(feature),
                value,
                workspace.error.struct,
            )
        )

    def get(self, row: int, column: int) -> Any:
        return get_value(
            self._open.call, row, column, self._model.column_dtypes()[column], self._open.error
        )

    def clear(self) -> None:
        self._open.error.check(lib.sidecall_call_clear(self._open.call, self._open.error.struct))

    def cancel(self) -> None:
        if self._workspace is not None:
            lib.sidecall_call_cancel(self._workspace.call)

    def close(self) -> None:
        self._workspace = None

    def _find_dynamic_outputs(self) -> None:
        # Must be called before a run, because after a run every output has a shape. If the shapes
        # of the inputs still disagree, no output has a shape yet and all outputs are copied.
        self._is_dynamic = []
        for index in range(len(self._model.outputs)):
            view = new_view()
            status = lib.sidecall_call_output(self._open.call, index, view, NULL)
            self._is_dynamic.append(status != 0 or view.rank < 0)
