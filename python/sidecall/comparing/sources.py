"""Reads rows from containers, from iterators of containers, and from files.

Files are read in pieces, so that memory is bounded.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sidecall.exporting.errors import DataError
from sidecall.exporting.files import (
    InputError,
    existing,
    load_data,
    needs_pyarrow,
    records_of,
)

_WHOLE = (".joblib", ".pkl", ".pickle")
_SUFFIXES = ".csv, .tsv, .jsonl, .parquet, .npy, .txt, .joblib or .pkl"


@dataclass
class Source:
    """Pieces of rows. `total` is the number of rows; None if it is not known in advance."""

    pieces: Iterable[Any]
    total: int | None


def open_source(
    data: Any, features: list[dict[str, Any]], size: int, *, trusted: bool = False
) -> Source:
    """Opens `data`. The contract's `features` give the types that text files lack.

    Raises DataError, InputError, ModuleNotFoundError.
    """
    if data is None:
        raise DataError("expected data, got None")
    if isinstance(data, (str, os.PathLike)):
        return _of_file(existing(os.fspath(data)), features, size, trusted)
    if (
        isinstance(data, (list, tuple))
        and data
        and (hasattr(data[0], "iloc") or getattr(data[0], "ndim", 0) == 2)
    ):
        return Source(data, sum(len(piece) for piece in data))
    if hasattr(data, "__next__"):
        return Source(_checked(data), None)
    if hasattr(data, "shape"):
        return Source([data.tocsr() if hasattr(data, "tocsr") else data], data.shape[0])
    if isinstance(data, (list, tuple)):
        return Source([list(data)], len(data))
    raise DataError(
        "expected a DataFrame, an array, a list of text, a path, or an iterator of these, got "
        f"{type(data).__name__}"
    )


def _checked(pieces: Iterator[Any]) -> Iterator[Any]:
    for piece in pieces:
        if isinstance(piece, (str, bytes, dict)) or not hasattr(piece, "__len__"):
            raise DataError(
                "expected an iterator of DataFrames, arrays or lists of text, got one of "
                f"{type(piece).__name__}"
            )
        yield piece


def _of_file(file: Path, features: list[dict[str, Any]], size: int, trusted: bool) -> Source:
    suffix = file.suffix.lower()
    if suffix in _WHOLE:
        data = load_data(str(file), None, trusted, [])
        return Source([data], len(data))
    if suffix == ".npy":
        array = _guarded(file, lambda: np.load(file, mmap_mode="r", allow_pickle=False))
        return Source([array], len(array))
    if suffix == ".parquet":
        return _of_parquet(file, size)
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".txt": _texts}
    if suffix not in readers:
        raise InputError(f"{file}: expected {_SUFFIXES}, got '{suffix}'")
    return Source(_guarded_each(file, readers[suffix](file, features, size)), None)


def _of_parquet(file: Path, size: int) -> Source:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise needs_pyarrow(file) from None
    parquet = _guarded(file, lambda: pyarrow.parquet.ParquetFile(file))
    pieces = (
        pyarrow.Table.from_batches([batch]).to_pandas()
        for batch in parquet.iter_batches(batch_size=size)
    )
    return Source(_guarded_each(file, pieces), parquet.metadata.num_rows)


def _csv(file: Path, features: list[dict[str, Any]], size: int) -> Iterator[Any]:
    import pandas

    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    # Without the types, a piece whose codes are all digits would be read as numbers, and the next
    # piece as text.
    texts = {feature["name"]: str for feature in features if feature["type"] == "string"}
    with pandas.read_csv(file, sep=separator, dtype=texts, chunksize=size) as reader:
        for piece in reader:
            yield _typed(piece, features)


def _jsonl(file: Path, features: list[dict[str, Any]], size: int) -> Iterator[Any]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        numbered = enumerate(lines, 1)
        while chunk := list(itertools.islice(numbered, size)):
            frame = records_of(chunk, str(file))
            if frame.empty:
                continue
            absent = [
                feature["name"] for feature in features if feature["name"] not in frame.columns
            ]
            if frame.shape[1] != len(features) or len(absent) < len(features):
                frame = frame.reindex(columns=[*frame.columns, *absent])
            yield _typed(frame, features)


def _texts(file: Path, features: list[dict[str, Any]], size: int) -> Iterator[Any]:
    with file.open(encoding="utf-8") as lines:
        while chunk := [line.rstrip("\n") for line in itertools.islice(lines, size)]:
            yield chunk


def _typed(frame: Any, features: list[dict[str, Any]]) -> Any:
    """Converts integers to float64 for features that are floats.

    So a column has the same type in all pieces.
    """
    floats = {feature["name"] for feature in features if feature["type"] in ("float32", "float64")}
    return frame.astype(
        {
            name: np.float64
            for name in frame.columns
            if name in floats and frame[name].dtype.kind in "iu"
        }
    )


def _guarded(file: Path, read: Any) -> Any:
    try:
        return read()
    except (OSError, ValueError, StopIteration) as error:
        if isinstance(error, (InputError, StopIteration)):
            raise
        # The reader's own message may quote the data.
        raise InputError(
            f"{file}: expected {file.suffix[1:]} data, got a file that cannot be read "
            f"({type(error).__name__})"
        ) from None


def _guarded_each(file: Path, pieces: Iterator[Any]) -> Iterator[Any]:
    while True:
        try:
            piece = _guarded(file, lambda: next(pieces))
        except StopIteration:
            return
        yield piece
