"""Tensors and values between Python and the C ABI, for the cffi backend."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sidecall._cffi.header import (
    DTYPE_NAMES,
    DTYPES,
    NULL,
    CallError,
    constants,
    encoded,
    ffi,
    lib,
    new_view,
    text_of,
)
from sidecall._data.arrays import PACKED, from_python, is_masked, plain, storage, unmasked
from sidecall._data.datetimes import moment_of, tensor_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_INT64 = range(-(2**63), 2**63)
# SIDECALL_MISSING_STRING of sidecall.h.
_MISSING_STRING = "\ufdd0".encode()
_READ_ONLY = constants["SIDECALL_VIEW_READ_ONLY"]


class Spec(NamedTuple):
    """A tensor of the graph."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    dim_names: tuple[str, ...]
    takes_missing: bool = False  # an input of strings that are features of the model
    datetime_unit: str = ""  # of an input that holds datetimes: the unit that it counts


class Refused(Exception):
    """A type that is not one of the library's types; the argument is its name in Python."""


def spec_of(struct: Any) -> Spec:
    """Converts a sidecall_tensor_spec."""
    dims = tuple(struct.dims[0 : struct.rank])
    return Spec(
        text_of(struct.name),
        DTYPE_NAMES[struct.dtype],
        dims,
        tuple(text_of(name) for name in struct.dim_names[0 : struct.rank]),
    )


def is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ == "NAType"
    )


def pack(values: Iterable[Any], takes_missing: bool) -> tuple[bytes, Any]:
    """Returns the strings joined, and the offset at which each begins.

    Bytes are taken as they are. With `takes_missing`, None, NaN and pandas.NA become the string
    that stands for a missing value. Raises Refused for any other value.
    """
    parts = []
    for value in values:
        if isinstance(value, (str, bytes)):
            parts.append(value if isinstance(value, bytes) else encoded(value))
        elif takes_missing and is_missing(value):
            parts.append(_MISSING_STRING)
        else:
            raise Refused(type(value).__name__)
    return b"".join(parts), ffi.new("int64_t[]", [0, *accumulate(len(part) for part in parts)])


def view_of(value: Any, spec: Spec) -> tuple[Any, list[Any]]:
    """Returns a sidecall_view of a value for an input, and the objects that must outlive the view.

    Raises Refused.
    """
    if spec.datetime_unit and isinstance(value, np.ndarray) and value.dtype.kind == "M":
        value = tensor_of(value, spec.name, spec.datetime_unit)
    if isinstance(value, np.ndarray) and is_masked(value):
        value = unmasked(value)
        if value is None:
            raise Refused("a masked array")
    if isinstance(value, np.ndarray) and spec.dtype not in PACKED:
        array = plain(value)
        dims = list(array.shape)
    else:
        array, dims = from_python(value, spec.dtype, spec.dims)
    dtype = (
        spec.dtype
        if array.dtype == storage(spec.dtype)
        else "string"
        if array.dtype.kind == "O"
        else array.dtype.name
    )
    if dtype not in DTYPES:
        raise Refused(dtype)
    view = new_view()
    view.dtype, view.rank = DTYPES[dtype], len(dims)
    keep = [array, ffi.new("int64_t[]", dims)]
    view.dims = keep[1]
    if dtype == "string" and spec.dtype == "string":
        data, view.offsets = packed = pack(array.ravel().tolist(), spec.takes_missing)
        view.data, view.data_bytes = ffi.from_buffer(data), len(data)
        keep.extend(packed)
    elif dtype != "string":
        view.data, view.data_bytes = ffi.cast("void *", array.ctypes.data), array.nbytes
    return view, keep


def array_of(view: Any, dtype: str, owner: Any = None) -> NDArray[Any]:
    """Returns a copy of a view as an array, or an array over the memory itself if `owner` is given.

    `owner` is a cdata over the view's memory that keeps the memory alive.
    """
    dims = tuple(view.dims[0 : view.rank])
    if dtype == "string":
        count = math.prod(dims)
        offsets = view.offsets[0 : count + 1]
        texts = np.empty(count, dtype=object)
        for k in range(count):
            texts[k] = text_of(
                ffi.cast("char *", view.data) + offsets[k], offsets[k + 1] - offsets[k]
            )
        return texts.reshape(dims)
    shape = (int(view.data_bytes),) if dtype in PACKED else dims
    if view.data_bytes == 0:
        return np.empty(shape, dtype=storage(dtype))
    memory = np.frombuffer(
        ffi.buffer(owner if owner is not None else view.data, view.data_bytes), dtype=storage(dtype)
    ).reshape(shape)
    if view.flags & _READ_ONLY:
        memory.flags.writeable = False
    return memory if owner is not None else memory.copy()


class Datetime(NamedTuple):
    """What a value of a datetime feature must be."""

    has_zone: bool


def set_value(
    call: Any, row: int, feature: int, datetime: Datetime | None, value: Any, err: Any = NULL
) -> int:
    """Sets one value of a record. The library checks it, and reports a fault when the call runs.

    `datetime` is None for a feature of another type.
    """
    status: int
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind in "biuf" else value
    if is_missing(value):
        status = lib.sidecall_call_set_missing(call, row, feature, err)
    elif isinstance(value, bool):
        status = lib.sidecall_call_set_bool(call, row, feature, value, err)
    elif datetime is not None and not isinstance(value, str):
        status = _set_datetime(call, row, feature, datetime, value, err)
    elif isinstance(value, int):
        status = _set_integer(call, row, feature, value, err)
    elif isinstance(value, float):
        status = lib.sidecall_call_set_f64(call, row, feature, value, err)
    elif isinstance(value, str):
        text = encoded(value)
        status = lib.sidecall_call_set_str(call, row, feature, text, len(text), err)
    else:
        got = (
            "array"
            if isinstance(value, (list, tuple))
            else "object"
            if isinstance(value, dict)
            else type(value).__name__
        )
        status = lib.sidecall_call_set_invalid(call, row, feature, encoded(got), err)
    return status


def _set_integer(call: Any, row: int, feature: int, value: int, err: Any) -> int:
    status: int
    if value in _INT64:
        status = lib.sidecall_call_set_i64(call, row, feature, value, err)
        return status
    try:
        number = float(value)
    except OverflowError:
        status = lib.sidecall_call_set_invalid(
            call, row, feature, b"an integer beyond float64", err
        )
        return status
    status = lib.sidecall_call_set_f64(call, row, feature, number, err)
    return status


def _set_datetime(
    call: Any, row: int, feature: int, datetime: Datetime, value: Any, err: Any
) -> int:
    status: int
    if isinstance(value, float) and not math.isfinite(value):
        status = lib.sidecall_call_set_f64(call, row, feature, value, err)
        return status
    if isinstance(value, (int, float)):
        try:
            text = (int if isinstance(value, int) else float).__repr__(value).encode()
        except ValueError:  # Python refuses to write integers of thousands of digits
            text = b"1e999"
        status = lib.sidecall_call_set_epoch(call, row, feature, text, len(text), err)
        return status
    found = moment_of(value)
    if isinstance(found, tuple) and found[2] != datetime.has_zone:
        found = f"a datetime {'with' if found[2] else 'without'} a zone"
    if found is None:
        status = lib.sidecall_call_set_missing(call, row, feature, err)
    elif isinstance(found, str):
        status = lib.sidecall_call_set_invalid(call, row, feature, encoded(found), err)
    else:
        status = lib.sidecall_call_set_datetime(call, row, feature, found[0], found[1], err)
    return status


def get_value(call: Any, row: int, column: int, dtype: str, error: CallError) -> Any:
    """Returns one value of a column as bool, int, float or str."""
    if dtype == "string":
        text, length = ffi.new("char **"), ffi.new("size_t *")
        error.check(lib.sidecall_call_get_str(call, row, column, text, length, error.struct))
        return text_of(text[0], length[0])
    if dtype == "bool" or "int" in dtype:
        integer = ffi.new("int64_t *")
        error.check(lib.sidecall_call_get_i64(call, row, column, integer, error.struct))
        return bool(integer[0]) if dtype == "bool" else integer[0]
    number = ffi.new("double *")
    error.check(lib.sidecall_call_get_f64(call, row, column, number, error.struct))
    return number[0]
