"""The errors of export and check; `sidecall.ExportError` is their base class.

This module is imported when one of these functions or errors is first used.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sidecall.errors import Error

SERVE_INSTEAD = (
    "the same object can be served over shared memory, without conversion:\n"
    "  sidecall serve pipeline.joblib --at shm:NAME --trust-pickle\n"
    '  sidecall.serve(obj, at="shm:NAME", data=X)'
)


class ExportError(Error, ValueError):
    """A model was not exported. Nothing was written; an existing file at the path is unchanged.

    It has no status of the C ABI, because only Python exports models.
    """

    code: ClassVar[str] = "EXPORT"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.message), dict(vars(self))


def _restored(kind: type[ExportError], message: str) -> ExportError:
    """Returns an error without attributes. pickle sets them next."""
    return kind.__new__(kind, message)


class DataError(ExportError):
    """The data cannot describe the model's features. `name` is the column in question, or ""."""

    name: str

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message, name=name)


class NoDataError(DataError):
    """Only data can describe the model's features, and none was given."""


class ModelError(ExportError):
    """The object is not a fitted model or fails for the data, or a file was not exported."""


class FileError(ExportError):
    """The file cannot be written: too large for one ONNX file, or writing fails.

    With a layout: its folder has other content, or the server cannot describe the file.
    """


class StepError(ExportError):
    """No conversion of a step gives the same numbers. `step` is its path, `reason` says why."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"cannot export {step}: {reason}\n{SERVE_INSTEAD}")
        self.step = step
        self.reason = reason


class ParityError(StepError):
    """The converted graph gives other numbers than the model.

    `output`, `row` and `largest` describe the worst difference found.
    """

    row: int

    def __init__(self, step: str, reason: str, *, output: str, row: int, largest: float) -> None:
        super().__init__(step, reason)
        self.output = output
        self.row = row
        self.largest = largest
