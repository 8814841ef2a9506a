"""Loads models and data from files for the command; a pickle only if the caller trusts it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .data.containers import fitted_names

_PICKLES = (".joblib", ".pkl", ".pickle")


class InputError(ValueError):
    """The command cannot use a file."""


def load_model(path: str, trusted: bool) -> Any:
    return _unpickle(existing(path), trusted)


def load_data(path: str, model: Any, trusted: bool, drop: list[str]) -> Any:
    """Returns a DataFrame, an array, a list of text or the pickled object, depending on the file.

    A DataFrame with a single column becomes a Series for a model that was trained on text.
    """
    file = existing(path)
    suffix = file.suffix.lower()
    try:
        if suffix in _PICKLES:
            data = _unpickle(file, trusted)
        elif suffix == ".npy":
            import numpy

            data = numpy.load(file, allow_pickle=False)
        elif suffix == ".txt":
            data = file.read_text(encoding="utf-8").splitlines()
        elif suffix == ".jsonl":
            data = records_of(enumerate(file.read_text(encoding="utf-8").split("\n"), 1), path)
        elif suffix == ".parquet":
            data = _read_parquet(file)
        elif suffix in (".csv", ".tsv"):
            import pandas

            data = pandas.read_csv(file, sep="\t" if suffix == ".tsv" else ",")
        else:
            raise InputError(
                f"{path}: expected .csv, .tsv, .jsonl, .parquet, .npy, .txt, .joblib or .pkl, got '{suffix}'"
            )
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: expected {suffix[1:]} data, got a file that cannot be read ({type(error).__name__})"
        ) from error
    return _shaped(data, path, model, drop)


def records_of(numbered_lines: Iterable[tuple[int, str]], path: str) -> Any:
    """Returns a DataFrame of JSON Lines.

    Values keep their JSON types: no text becomes a number or a date. Null and absent keys are
    missing values.
    """
    import json

    import pandas

    records = []
    for number, line in numbered_lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(
                f"{path}:{number}: expected a record as JSON, got text that is not JSON"
            ) from None
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: expected a record, got {type(record).__name__}")
        records.append(record)
    frame = pandas.DataFrame(records)
    for name in [name for name in frame.columns if frame[name].dtype.kind == "O"]:
        frame[name] = frame[name].where(frame[name].notna(), float("nan"))
    return frame


def _shaped(data: Any, path: str, model: Any, drop: list[str]) -> Any:
    if not hasattr(data, "columns"):
        if drop:
            raise InputError(
                f"--drop: expected data with named columns in {path}, got {type(data).__name__}"
            )
        return data
    absent = [name for name in drop if name not in data.columns]
    if absent:
        raise InputError(f"--drop: expected a column of {path}, got '{absent[0]}'")
    data = data.drop(columns=drop)
    if (
        hasattr(model, "fit")
        and fitted_names(model) is None
        and not hasattr(model, "n_features_in_")
        and data.shape[1] == 1
    ):
        # A model that has neither feature names nor a number of features is a text pipeline: its
        # vectorizer takes a flat list of text.
        return data.iloc[:, 0]
    return data


def needs_pyarrow(file: Path) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"{file}: reading Parquet needs pyarrow: pip install pyarrow", name="pyarrow"
    )


def _read_parquet(file: Path) -> Any:
    import pandas

    try:
        return pandas.read_parquet(file)
    except ImportError:  # pandas found neither pyarrow nor fastparquet
        raise needs_pyarrow(file) from None


def existing(path: str) -> Path:
    file = Path(path)
    if not file.exists():
        raise InputError(f"{path}: no such file")
    if file.is_dir():
        raise InputError(f"{path}: expected a file, got a directory")
    return file


def _unpickle(file: Path, trusted: bool) -> Any:
    if file.suffix.lower() not in _PICKLES:
        raise InputError(
            f"{file}: expected a fitted model as .joblib, .pkl or .pickle, got '{file.suffix}'"
        )
    if not trusted:
        raise InputError(
            f"{file}: loading a pickle can run any code of its author; pass --trust-pickle if you trust the author"
        )
    import joblib  # type: ignore[import-untyped]

    try:
        return joblib.load(file)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise InputError(
            f"{file}: expected a pickled object, got a file that does not load ({type(error).__name__})"
        ) from error
