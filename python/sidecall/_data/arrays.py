"""Makes arrays that both backends can read: from lists, and from arrays of any layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

# The numpy type that holds the raw bits of a type that numpy does not have.
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


def is_masked(array: Array) -> bool:
    """Whether the array has a mask. Its memory alone does not show which values are masked."""
    return isinstance(array, np.ma.MaskedArray)


def unmasked(array: Any) -> Array | None:
    """The same values without a mask: NaN or None stands for each value that was masked.

    Returns None if the type of the array has no such value.
    """
    if not np.ma.is_masked(array):
        return np.asarray(array.data)
    if array.dtype.kind == "f":
        return filled(array, array.dtype, np.nan)
    if array.dtype.kind in "OSUT":
        return filled(array, np.dtype(object), None)
    return None


def filled(array: Any, dtype: np.dtype[Any], missing: float | np.datetime64 | None) -> Array:
    """A copy of an array without its mask, if it has one; masked values become `missing`."""
    result = np.array(np.ma.getdata(array), dtype=dtype)
    result[np.ma.getmaskarray(array)] = missing
    return result


def from_python(value: Any, dtype: str, dims: Sequence[int]) -> tuple[Array, list[int]]:
    """Returns an array for an input of type `dtype`, and its shape.

    Lists and numbers have no type of their own: they take the type of the input if that changes no
    value. Any other value keeps its type, and the library checks that type.
    """
    untyped = isinstance(value, (list, tuple, int, float, str))
    natural = _natural(value, dtype)
    array = plain(_adapted(natural, storage(dtype)) if untyped else natural)
    return array, _unpacked(array, dims) if dtype in PACKED else list(array.shape)


def as_float64(array: Array) -> Array:
    """Converts integers or float16 for an input of float32 or float64.

    Integers are converted as in a record: they are rounded where float64 cannot hold them exactly.
    """
    return array.astype(np.float64, order="C")


def _natural(value: Any, dtype: str) -> Array:
    try:
        return np.asarray(
            value, dtype=object if dtype == "string" and isinstance(value, (list, tuple)) else None
        )
    except ValueError:
        # A ragged list becomes an array of a type that no input has.
        return np.asarray(None, dtype=object)


def _adapted(array: Array, wanted: np.dtype[Any]) -> Array:
    kind = array.dtype.kind
    if array.size == 0:
        return array.astype(wanted)
    if wanted.kind == "f" and kind in "iuf":
        wide = array.astype(np.float64)
        is_beyond = wanted.itemsize == 4 and bool(
            (np.isfinite(wide) & (np.abs(wide) > _LARGEST_FLOAT32)).any()
        )
        # The library reports numbers beyond float32 as an error.
        return wide if is_beyond else wide.astype(wanted)
    if wanted.kind in "iu" and kind in "iu":
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
        if low <= int(array.min()) and int(array.max()) <= high:
            return array.astype(wanted)
    return array


def _unpacked(array: Array, dims: Sequence[int]) -> list[int]:
    """Returns the shape of packed 4-bit elements, two in a byte.

    The shape is that of the model; a free first dimension follows from the number of bytes.
    """
    rest = int(np.prod([max(dim, 1) for dim in dims[1:]], dtype=np.int64))
    if not dims or dims[0] >= 0:
        return [max(dim, 1) for dim in dims]
    return [2 * array.size // max(rest, 1), *(max(dim, 1) for dim in dims[1:])]
