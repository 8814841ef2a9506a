"""Refuses functions that ask for the exact class of a placeholder, or that record warnings.

`type(x)` shows the class of a placeholder, and nothing of the placeholder can change this. So a
profile function sees each Python function that runs during the trace, and replaces the global name
`type` for it. Modules of the libraries that compute with placeholders, and of Python itself, keep
their names.
"""

from __future__ import annotations

import builtins
import contextvars
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .refusals import Recorded, Untraceable

_LIBRARIES = {"numpy", "pandas", "pyarrow", "scipy", "sidecall", "sklearn", "onnx", "onnxruntime"}
_ASKS = "it uses type(); use isinstance()"
_RECORDS = (
    "it records warnings (warnings.catch_warnings(record=True)); to hide them, use "
    "warnings.simplefilter('ignore') in the block"
)
_CATCH_WARNINGS = warnings.catch_warnings.__init__.__code__


class _TypeType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, type)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, type)

    def __getattr__(cls, name: str) -> Any:
        return getattr(type, name)

    def __call__(cls, value: Any, *more: Any, **options: Any) -> Any:
        if issubclass(type(value), Recorded):
            raise Untraceable(_ASKS)
        return type(value, *more, **options)

    def __getitem__(cls, item: Any) -> Any:
        return type[item]

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is type

    def __hash__(cls) -> int:
        return hash(type)


class _Type(metaclass=_TypeType):
    """Stands for `type`, which would show the class of a placeholder."""


def watched(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """function(*args, **options). Refuses what asks for the class of a placeholder."""
    if sys.getprofile() is None:
        return _watched(function, args, options)
    # A profiler runs, which a thread of its own leaves alone.
    done: list[Any] = []

    def work() -> None:
        try:
            done.append((_watched(function, args, options), None))
        except BaseException as error:
            done.append((None, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
    before = threading.getprofile()
    threading.setprofile(None)
    try:
        thread.start()
        thread.join()
    finally:
        threading.setprofile(before)
    result, error = done[0]
    if error is not None:
        raise error
    return result


def _watched(function: Callable[..., Any], args: Any, options: Any) -> Any:
    with _replacing() as look:
        before = threading.getprofile()
        sys.setprofile(look)
        threading.setprofile(look)
        try:
            return function(*args, **options)
        finally:
            sys.setprofile(None)
            threading.setprofile(before)


@contextmanager
def _replacing() -> Iterator[Callable[[FrameType, str, Any], None]]:
    """Yields a profile function. At the end, all modules have their own names again."""
    seen: set[tuple[int, int]] = set()
    replaced: list[tuple[dict[str, Any], str, bool]] = []
    kept: list[Any] = []  # the objects of the ids in `seen`, so that no id is used again

    # An exception of a profile function would end the profiling. It is enough to make an
    # Untraceable, because the trace remembers it (refusals.py).
    def look(frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code, names = frame.f_code, frame.f_globals
        if code is _CATCH_WARNINGS:
            if frame.f_locals.get("record") and not _is_library(_caller(frame)):
                Untraceable(_RECORDS)
            return
        if _is_library(names):
            return
        if any(value is type for value in frame.f_locals.values()):
            Untraceable(_ASKS)
        key = (id(code), id(names))
        if key in seen:
            return
        seen.add(key)
        kept.append((code, names))
        for name in code.co_names:
            value = names.get(name, getattr(builtins, name, None))
            if value is builtins and "type" in code.co_names:
                Untraceable(_ASKS)
            if value is type:
                replaced.append((names, name, name in names))
                names[name] = _Type

    try:
        yield look
    finally:
        for names, name, was_there in reversed(replaced):
            if was_there:
                names[name] = type
            else:
                names.pop(name, None)


def _caller(frame: FrameType) -> dict[str, Any]:
    return frame.f_back.f_globals if frame.f_back is not None else {}


def _is_library(names: dict[str, Any]) -> bool:
    package = str(names.get("__name__")).partition(".")[0]
    return package in _LIBRARIES or package in sys.stdlib_module_names
