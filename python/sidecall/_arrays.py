"""Values that are not yet arrays of the right kind, for both backends: lists, other layouts, packed 4-bit types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

# What numpy holds a type in where it has none of that name: raw bits.
RAW = {
    "bfloat16": "uint16",
    "float8e4m3fn": "uint8",
    "float8e4m3fnuz": "uint8",
    "float8e5m2": "uint8",
    "float8e5m2fnuz": "uint8",
    "uint4": "uint8",
    "int4": "uint8",
}
PACKED = frozenset({"uint4", "int4"})
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def storage(dtype: str) -> np.dtype[Any]:
    """The numpy type that holds elements of a sidecall type."""
    return np.dtype("object" if dtype == "string" else RAW.get(dtype, dtype))


def plain(array: Array) -> Array:
    """The same values in C order, aligned, in native byte order; text as Python objects."""
    if array.dtype.kind in "UST":
        array = array.astype(object)
    native = array.dtype.newbyteorder("=")
    return np.require(array, native, ["C", "A"]) if array.ndim else array.astype(native)


def from_python(value: Any, dtype: str, dims: Sequence[int]) -> tuple[Array, list[int]]:
    """An array for an input of type `dtype`, and its shape. Lists and numbers have no type of their own and take that of the input where no
    value changes by it; what has a type keeps it, for the library to judge."""
    untyped = isinstance(value, (list, tuple, int, float, str))
    natural = _natural(value, dtype)
    array = plain(_adapted(natural, storage(dtype)) if untyped else natural)
    return array, _unpacked(array, dims) if dtype in PACKED else list(array.shape)


def as_float64(array: Array) -> Array:
    """The integers of an array for an input of float32 or float64, which takes them as it takes those of a record: rounded where float64 does not
    hold one. Also float16."""
    return array.astype(np.float64, order="C")


def _natural(value: Any, dtype: str) -> Array:
    try:
        return np.asarray(
            value, dtype=object if dtype == "string" and isinstance(value, (list, tuple)) else None
        )
    except ValueError:
        return np.asarray(None, dtype=object)  # ragged: a type that no input has


def _adapted(array: Array, wanted: np.dtype[Any]) -> Array:
    kind = array.dtype.kind
    if array.size == 0:
        return array.astype(wanted)
    if wanted.kind == "f" and kind in "iuf":
        wide = array.astype(np.float64)
        is_beyond = wanted.itemsize == 4 and bool(
            (np.isfinite(wide) & (np.abs(wide) > _LARGEST_FLOAT32)).any()
        )
        return (
            wide if is_beyond else wide.astype(wanted)
        )  # what is beyond float32 is refused by the library
    if wanted.kind in "iu" and kind in "iu":
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
        if low <= int(array.min()) and int(array.max()) <= high:
            return array.astype(wanted)
    return array


def _unpacked(array: Array, dims: Sequence[int]) -> list[int]:
    """The shape of packed 4-bit elements, two in a byte: as the model says; a free first dimension from the number of bytes."""
    rest = int(np.prod([max(dim, 1) for dim in dims[1:]], dtype=np.int64))
    if not dims or dims[0] >= 0:
        return [max(dim, 1) for dim in dims]
    return [2 * array.size // max(rest, 1), *(max(dim, 1) for dim in dims[1:])]
