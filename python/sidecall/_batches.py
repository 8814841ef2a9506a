"""Scores tables of pyarrow in the workers of a cluster; shared by sidecall.ray and sidecall.spark.

The driver makes a `Plan` from the contract and checks the columns of its data with it. The plan
travels to the workers, where `Plan.answer` opens the model, once in each process, and answers one
batch after the other.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import sidecall
from sidecall import errors
from sidecall._data.arrow import accepts
from sidecall._file_contract import columns_of, features_of, read_contract
from sidecall._signature import Column, Feature

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAULTS_IN_MESSAGE = 3


@dataclass(frozen=True)
class Plan:
    """What a worker has to do with a table.

    source  what the worker opens: a path or URI, or the bytes of a file
    keep    the columns of the table that come before the answers; None keeps all
    error   the column that tells why a row has no answer; None lets a bad row fail the job
    """

    source: str | bytes
    model_id: str
    features: tuple[Feature, ...]
    columns: tuple[Column, ...]
    keep: tuple[str, ...] | None
    error: str | None

    def check(self, schema: pa.Schema, *, is_part: bool = False) -> None:
        """Checks the columns of a table before the job runs.

        Each feature must have a column of a type that can hold it. `is_part`: the schema is that of
        some rows only, which may have nulls alone where others have values.

        Raises MissingInput, DtypeMismatch, UnknownName, InvalidArgument.
        """
        names = schema.names
        if len(set(names)) < len(names):
            raise errors.InvalidArgument("columns: expected each column once, got one twice")
        if len(set(self.keep or ())) < len(self.keep or ()):
            raise errors.InvalidArgument("keep: expected each name once, got one twice")
        unknown = [name for name in self.keep or () if name not in names]
        if unknown:
            raise errors.UnknownName(f"keep: expected columns of the table, got '{unknown[0]}'")
        for name in self.kept(schema):
            if name in self._answer_names():
                raise errors.InvalidArgument(
                    f"keep: expected names that no column of the answers has, got '{name}'"
                )
        self._check_features(schema, is_part)

    def _check_features(self, schema: pa.Schema, is_part: bool) -> None:
        faults = (_fault_of(each, schema, is_part) for each in self.features)
        if found := [fault for fault in faults if fault]:
            texts = [fault[-1] for fault in found]
            more = len(texts) - FAULTS_IN_MESSAGE
            text = "; ".join(texts[:FAULTS_IN_MESSAGE]) + (f"; and {more} more" if more > 0 else "")
            status, row, name, expected, got, _ = found[0]
            raise errors.make(status, text, False, row, name, expected, got, found)

    def kept(self, schema: pa.Schema) -> list[str]:
        """The columns of the table that come before the answers."""
        return list(schema.names if self.keep is None else self.keep)

    def needed(self, schema: pa.Schema) -> list[str]:
        """The columns of the table that a worker needs."""
        wanted = {*self.kept(schema), *(feature.name for feature in self.features)}
        return [name for name in schema.names if name in wanted]

    def answer_schema(self) -> pa.Schema:
        """The columns that are new."""
        fields = [(column.name, _arrow_type(column.dtype)) for column in self.columns]
        if self.error is not None:
            fields.append((self.error, pa.string()))
        return pa.schema(fields)

    def open(self) -> sidecall.Model:
        """The model, which this process opens and verifies at most once."""
        return _open(self.source, self.model_id)

    def answer(self, batch: Any) -> Any:
        """Returns the kept columns, the answers, and the column of errors; a batch for a batch.

        A row with a fault has nulls for answers. Raises MissingInput or DtypeMismatch if the batch
        has no column for a feature, or one of a type that cannot hold it: that is a mistake of the
        job and not of its rows. Also raises what `sidecall.open` raises, and, without a column for
        errors, what `Model.predict` raises.
        """
        self._check_features(batch.schema, is_part=True)
        rows = batch.select([feature.name for feature in self.features])
        answers, faults = self._answers(rows)
        names = self.kept(batch.schema)
        columns = [batch.column(name) for name in names] + list(answers)
        if self.error is not None:
            columns.append(_texts(batch.num_rows, faults))
        fields = [batch.schema.field(name) for name in names] + list(self.answer_schema())
        return type(batch).from_arrays(columns, schema=pa.schema(fields))

    def _answer_names(self) -> set[str]:
        return {column.name for column in self.columns} | {self.error or ""}

    def _answers(self, rows: Any) -> tuple[list[Any], dict[int, str]]:
        """One array for each column of the answers, and what is wrong with rows, by row."""
        if not rows.num_rows:
            return [pa.nulls(0, _arrow_type(column.dtype)) for column in self.columns], {}
        model = self.open()
        faults: dict[int, str] = {}
        if self.error is None:
            answers = model.predict(rows)
        else:
            answers, faults = _predict_each(model, rows)
        places = _places(rows.num_rows, faults) if faults else None
        found = []
        for column in self.columns:
            kind = _arrow_type(column.dtype)
            if answers is None:
                found.append(pa.nulls(rows.num_rows, kind))
                continue
            values = answers.column(column.name).cast(kind)
            found.append(values if places is None else values.take(places))
        return found, faults


def make_plan(
    model: str | os.PathLike[str],
    source: str | bytes | None,
    keep: Sequence[str] | None,
    error: str | None,
) -> Plan:
    """Makes a plan from the contract of a file. `source` None: the workers open the same path."""
    if isinstance(keep, str):
        raise errors.InvalidArgument("keep: expected a list of names, got one text")
    contract, model_id = read_contract(model)
    columns = columns_of(contract)
    if error is not None and (not error or error in {column.name for column in columns}):
        raise errors.InvalidArgument(
            f"error: expected a name that no column of the answers has, got '{error}'"
        )
    return Plan(
        str(Path(model).absolute()) if source is None else source,
        model_id,
        features_of(contract),
        columns,
        None if keep is None else tuple(keep),
        error,
    )


@functools.lru_cache(maxsize=8)
def _open(source: str | bytes, model_id: str) -> sidecall.Model:
    model = sidecall.open(source, wait=30)
    if model.id != model_id:
        name = repr(source) if isinstance(source, str) else "bytes"
        raise errors.VerificationFailed(
            f"{name}: expected the driver's model with the id {model_id}, got the id {model.id}"
        )
    return model


def _predict_each(model: sidecall.Model, rows: Any) -> tuple[Any, dict[int, str]]:
    """Predicts the rows that have no fault; None if there are none. Says what is wrong with others.

    A call keeps a limited number of faults, and refuses rows only when no value has a fault.
    Therefore the rows that are left are predicted again until all of them have an answer.
    """
    faults: dict[int, str] = {}
    left: NDArray[np.int64] = np.arange(rows.num_rows)
    while len(left):
        try:
            part = rows if len(left) == rows.num_rows else rows.take(pa.array(left))
            return model.predict(part), faults
        except (errors.Engine, errors.OutOfMemory) as error:
            if len(left) > 1:
                found = _failing_rows(model, rows, left)
                if not found:
                    raise
            else:
                found = {0: f"{error.code}: {error}"}
        except errors.Error as error:
            found = _faults_by_row(error)
            if not found:
                raise
        faults |= {int(left[row]): text for row, text in found.items()}
        left = np.delete(left, list(found))
    return None, faults


def _places(num_rows: int, faults: dict[int, str]) -> pa.Array:
    """The place of each row among the answers; null for a row with a fault."""
    is_bad = np.isin(np.arange(num_rows), list(faults))
    return pa.array(np.cumsum(~is_bad) - 1, pa.int64(), mask=is_bad)


def _texts(num_rows: int, faults: dict[int, str]) -> pa.Array:
    """The column of errors."""
    if not faults:
        return pa.nulls(num_rows, pa.string())
    return pa.array([faults.get(row) for row in range(num_rows)], pa.string())


def _failing_rows(model: sidecall.Model, rows: Any, left: NDArray[np.int64]) -> dict[int, str]:
    """Predicts row by row after the model itself failed on a batch, as `sidecall predict` does."""
    found = {}
    for place, row in enumerate(left):
        try:
            model.predict(rows.slice(int(row), 1))
        except (errors.Engine, errors.OutOfMemory) as error:
            found[place] = f"{error.code}: {error}"
        except errors.Error as error:
            faults = _faults_by_row(error)
            if not faults:
                raise
            found[place] = faults[0]
    return found


def _faults_by_row(error: errors.Error) -> dict[int, str]:
    """The text of each row: the code of its first fault, and what is wrong with all its values."""
    found: dict[int, list[errors.Fault]] = {}
    for fault in error.faults:
        if fault.row is not None:
            found.setdefault(fault.row, []).append(fault)
    return {row: _text(faults) for row, faults in found.items()}


def _text(faults: list[errors.Fault]) -> str:
    return "; ".join(f"{fault.code}: {fault.message}" for fault in faults)


def _fault_of(feature: Feature, schema: pa.Schema, is_part: bool) -> tuple[Any, ...] | None:
    index = schema.get_field_index(feature.name)
    if index < 0:
        status = errors.MissingInput.status
        text = f"feature '{feature.name}': expected a column, got none"
        return status, None, feature.name, "a column", "none", text
    kind = schema.field(index).type
    if accepts(feature, kind) or (is_part and pa.types.is_null(kind)):
        return None
    got = kind.type_name if isinstance(kind, pa.OpaqueType) else str(kind)
    text = f"feature '{feature.name}': expected {feature.type_text}, got {got}"
    return errors.DtypeMismatch.status, None, feature.name, feature.type_text, got, text


def _arrow_type(dtype: str) -> pa.DataType:
    return pa.type_for_alias(dtype)
