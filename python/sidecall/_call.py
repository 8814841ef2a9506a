"""The reusable workspace: arrays over the memory that the engine itself reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall import _backend, errors
from sidecall._data.arrays import filled
from sidecall._timeouts import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from sidecall._signature import Signature, Tensor


class _Tensors(Mapping[str, "NDArray[Any]"]):
    """Arrays by name over the inputs or outputs of a call; each is made on first use."""

    def __init__(self, call: Call, kind: int, tensors: tuple[Tensor, ...]) -> None:
        self._native, self._model, self._kind = call._native, call._model, kind
        self._tensors = tensors
        self._index = {tensor.name: i for i, tensor in enumerate(tensors)}
        self._views: dict[str, NDArray[Any]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def index(self, name: str) -> int:
        found = self._index.get(name)
        # For an unknown name, `find` raises an error that lists the known names.
        return self._model.find(self._kind, name) if found is None else found

    def reset(self, native: _backend.Call) -> None:
        self._views.clear()
        self._native = native


class Inputs(_Tensors):
    """Inputs by name.

    Each array is the memory that the engine reads. Numbers that are written into an array are
    converted to its type by numpy. Assigning to a name also writes into the array, and raises
    OutOfRange if the type of the array cannot hold one of the numbers. Strings can only be
    assigned.
    """

    def __getitem__(self, name: str) -> NDArray[Any]:
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = self._native.input(self.index(name))
        return view

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        index = self.index(name)
        if self._tensors[index].dtype == "string":
            if isinstance(value, np.ma.MaskedArray):
                value = filled(value, np.dtype(object), None)
            self._native.set_strings(index, np.asarray(value, dtype=object).ravel().tolist())
        else:
            view = self[name]
            if np.ma.is_masked(value):
                value = _without_mask(value, name, view.dtype)
            try:
                with np.errstate(over="raise"):
                    view[...] = value
            except FloatingPointError:
                expected, got = str(view.dtype), "a number beyond its range"
                raise errors.OutOfRange(
                    f"input '{name}': expected {expected}, got {got}",
                    name=name,
                    expected=expected,
                    got=got,
                ) from None


def _without_mask(array: Any, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns the array with NaN for each masked number."""
    if dtype.kind != "f":
        expected, got = str(dtype), "a masked array"
        raise errors.DtypeMismatch(
            f"input '{name}': expected {expected}, got {got}", name=name, expected=expected, got=got
        )
    return filled(array, np.dtype(np.float64), np.nan)


class Outputs(_Tensors):
    """Outputs by name, valid after a successful run and until the next run.

    An output of strings, or with a shape that only the run determines, is a copy.
    """

    def __getitem__(self, name: str) -> NDArray[Any]:
        view = self._views.get(name)
        if view is None:
            index = self.index(name)
            view = self._native.output(index)
            if self._native.is_kept(index):
                self._views[name] = view
        return view


class Call:
    """A workspace for a number of rows, from `Model.call`.

    One thread at a time may use it, for any number of runs. Arrays of `inputs` and `outputs` stay
    safe to use after the call is closed or resized, but later runs do not use them.

    >>> model = getfixture("matrix")
    >>> with model.call(rows=2) as call:
    ...     call.inputs["X"][:] = [[1, 2, 1, 0.5], [0, 0, 0, 1]]
    ...     call.run()
    ...     call.outputs["prediction"].tolist()
    [[621.0], [1000.0]]
    """

    __slots__ = (
        "_columns",
        "_features",
        "_inputs",
        "_model",
        "_native",
        "_outputs",
        "_run",
        "_shapes",
        "_signature",
        "_timeout_ns",
    )

    def __init__(
        self,
        backend: _backend.Backend,
        model: _backend.Model,
        signature: Signature,
        rows: int,
        timeout_ns: int,
    ) -> None:
        self._model, self._signature = model, signature
        self._timeout_ns = timeout_ns
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._native = backend.Call(model, rows)
        self._run = self._native.runner()
        self._inputs = Inputs(self, _backend.KIND_INPUT, signature.inputs)
        self._outputs = Outputs(self, _backend.KIND_OUTPUT, signature.outputs)
        self._features = {feature.name: i for i, feature in enumerate(signature.features)}
        self._columns = {column.name: i for i, column in enumerate(signature.columns)}

    @property
    def inputs(self) -> Inputs:
        """Arrays by input name: `call.inputs["X"][:] = x`.

        If the model has a contract, values are missing until they are written. A run refuses those
        that may not be missing (MissingValue). Without a contract, they are zero.
        """
        return self._inputs

    @property
    def outputs(self) -> Outputs:
        """Arrays by output name. Raises NotRun if no run has succeeded yet."""
        return self._outputs

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._native.rows

    def run(self, timeout: float | None = None) -> None:
        """Runs the model once, with the GIL released.

        timeout  seconds; checked between graph nodes. A run succeeds if it completes, even late

        Raises MissingInput, MissingValue, OutOfRange, InvalidString, UnknownCategory, Refused,
        ShapeMismatch, Timeout, Cancelled, Engine, Busy.
        """
        try:
            self._run(self._timeout_ns if timeout is None else nanoseconds(timeout))
        except errors.Error:
            self._outputs.reset(self._native)
            raise

    def cancel(self) -> None:
        """Asks a run that is under way in another thread to end with Cancelled."""
        self._native.cancel()

    def set(self, row: int, feature: str, value: Any) -> None:
        """Sets one feature of one row; None means missing. Later runs use the value too.

        Raises UnknownName, DtypeMismatch, MissingValue, UnknownCategory, InvalidString, OutOfRange,
        InvalidArgument (row), NoContract.
        """
        index = self._features.get(feature)
        self._native.set(
            row, self._model.find(_backend.KIND_FEATURE, feature) if index is None else index, value
        )

    def get(self, row: int, column: str) -> Any:
        """Returns one column of one row after a run: `call.get(0, "probabilities.fraud")`.

        Raises UnknownName, NotRun, InvalidArgument (row).
        """
        index = self._columns.get(column)
        return self._native.get(
            row, self._model.find(_backend.KIND_COLUMN, column) if index is None else index
        )

    def clear(self) -> None:
        """Marks every feature of every row as missing. Raises NoContract."""
        self._native.clear()

    def resize(self, rows: int) -> None:
        """Changes the number of rows.

        The values of the inputs are lost. Arrays taken earlier no longer belong to the call.
        """
        if rows == self._native.rows:
            return
        self._reset_views()
        self._shapes.clear()
        if self._native.is_shared:
            self._replace_native(self._native.fresh(rows))
        else:
            self._native.resize(rows)

    def reshape(self, name: str, shape: Sequence[int]) -> None:
        """Changes the shape of one input.

        Its values are lost. Arrays taken earlier no longer belong to the call. If such an array
        still exists, the call moves to new memory: the other inputs keep their values, except that
        strings and features have to be set again.

        Raises UnknownName, ShapeMismatch, OutOfRange.
        """
        index = self._inputs.index(name)
        self._reset_views()
        if self._native.is_shared:
            self._move_to_new_memory(index)
        self._native.reshape(index, list(shape))
        self._shapes[index] = tuple(shape)

    def close(self) -> None:
        """Closes the call. Its memory is freed when the last array over it is gone."""
        self._reset_views()
        self._native.close()

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a Call cannot be pickled: its memory belongs to this process")

    def __repr__(self) -> str:
        return f"<sidecall.Call rows={self._native.rows}>"

    def _reset_views(self) -> None:
        self._inputs.reset(self._native)
        self._outputs.reset(self._native)

    def _replace_native(self, native: _backend.Call) -> None:
        self._native.close()
        self._native = native
        self._run = native.runner()
        self._reset_views()

    def _move_to_new_memory(self, changing: int) -> None:
        fresh = self._native.fresh(self._native.rows)
        for index, shape in self._shapes.items():
            fresh.reshape(index, shape)
        for index, tensor in enumerate(self._signature.inputs):
            if index != changing and tensor.dtype != "string":
                fresh.input(index)[...] = self._native.input(index)
        self._replace_native(fresh)
