"""Tables and record batches of pyarrow as records, for `Model.predict` and `sidecall._batches`.

pyarrow is not imported here: a caller who passes a table has imported it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from sidecall import errors
from sidecall._data.frames import column_of_instants, column_of_numpy

if TYPE_CHECKING:
    import pyarrow as pa

    from sidecall import _backend
    from sidecall._data.frames import FrameColumn
    from sidecall._signature import Feature


def is_arrow(value: object) -> TypeGuard[pa.Table | pa.RecordBatch]:
    """Whether this is a table or batch of pyarrow; False if pyarrow was never imported."""
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, (pyarrow.Table, pyarrow.RecordBatch))


def predict_arrow(
    model: _backend.Model, table: Any, features: tuple[Feature, ...], timeout_ns: int
) -> Any:
    """Predicts a table or batch; the result is of the same type and has the columns of outputs."""
    names = table.schema.names
    if len(set(names)) < len(names):
        raise errors.InvalidArgument("a table: expected each column once, got one twice")
    by_name = {feature.name: feature for feature in features}
    columns = [_column_of(name, table.column(name), by_name.get(name)) for name in names]
    answers = model.predict_columns(columns, table.num_rows, timeout_ns)
    return type(table).from_pydict(dict(answers))


def accepts(feature: Feature, kind: pa.DataType) -> bool:
    """Whether a column of this type can hold values of the feature, as `predict` takes them."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return feature.nullable
    if feature.dtype == "datetime" and pa.types.is_timestamp(kind):
        return (kind.tz is None) == (feature.zone is None)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return feature.dtype in ("float32", "float64", "int64") or feature.epoch is not None
    if pa.types.is_boolean(kind):
        return feature.dtype == "bool"
    return _is_text(kind) and feature.dtype in ("string", "datetime")


def _column_of(name: str, values: Any, feature: Feature | None) -> FrameColumn:
    """Returns a column as the backends take it; see `sidecall._data.frames.column_of`."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind) and feature is not None and feature.dtype == "datetime":
        counts = values.cast(pa.int64()).fill_null(np.iinfo(np.int64).min)
        instants = counts.to_numpy(zero_copy_only=False).view(f"M8[{kind.unit}]")
        return column_of_instants(name, instants, kind.tz is not None, str(kind), feature)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if is_number or pa.types.is_boolean(kind):
        mask = None
        if values.null_count:
            mask = np.ascontiguousarray(values.is_null().to_numpy(zero_copy_only=False))
            values = values.fill_null(pa.scalar(0).cast(kind))
        _, plain, _, refused = column_of_numpy(name, values.to_numpy(zero_copy_only=False))
        return name, plain, mask, refused
    if _is_text(kind) or pa.types.is_null(kind):
        return name, np.asarray(values.to_numpy(zero_copy_only=False), dtype=object), None, None
    return name, None, None, str(kind)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
