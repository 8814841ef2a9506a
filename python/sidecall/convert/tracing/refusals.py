"""Refuses what cannot be traced, even if the traced function catches the error."""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, ClassVar, NoReturn

import numpy as np
from scipy.sparse import csr_matrix

from .advice import advice, advice_for, library_function

# The refusals of each trace that runs, the innermost last. One thread traces at a time.
_lock = threading.RLock()
_traces: list[list[Untraceable]] = []
# How numpy reported errors and warnings when each of these traces began.
_reports: list[Any] = []


class Untraceable(Exception):
    """The function does something that a graph cannot do; the text says what.

    Every Untraceable is remembered (`remembering`). A function that catches one is refused all the
    same: the original raises no error there, so it computes something else.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason + advice_for(reason))
        for refusals in _traces:
            refusals.append(self)


class AsOriginal(Exception):
    """Errors that numpy or pandas would raise too, so the traced function may catch them."""


class NoColumn(AsOriginal, KeyError):
    def __str__(self) -> str:
        return str(self.args[0])


class NoAttribute(AsOriginal, AttributeError):
    pass


@contextmanager
def remembering() -> Iterator[list[Untraceable]]:
    """Yields a list of the refusals until the end of the block."""
    with _lock:
        refusals: list[Untraceable] = []
        _traces.append(refusals)
        _reports.append(_how_errors_are_reported())
        try:
            yield refusals
        finally:
            _traces.pop()
            _reports.pop()


def require_unchanged_reports() -> None:
    """Refuses a function that makes numpy raise errors for some values: it may catch them."""
    if not _reports:
        return
    for now, before, what in zip(_how_errors_are_reported(), _reports[-1], _OBSERVED, strict=True):
        if now != before:
            raise Untraceable(what)


_OBSERVED = (
    "it turns numpy's warnings into errors, calls or logs (np.errstate or np.seterr; to hide them, "
    "use 'ignore')",
    "it turns warnings into errors (warnings.simplefilter; to hide them, use 'ignore')",
    "it replaces warnings.showwarning, which sees the warnings of numpy",
)


def _how_errors_are_reported() -> Any:
    filters = getattr(warnings, "_get_filters", lambda: warnings.filters)()
    return (
        [(kind, how) for kind, how in np.geterr().items() if how not in ("ignore", "warn")],
        [entry for entry in filters if entry[0] == "error"],
        warnings.showwarning,
    )


def called(what: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """function(*args, **options). Errors that the original would not raise become Untraceable."""
    try:
        return function(*args, **options)
    except (AsOriginal, Untraceable):
        raise
    except Exception as error:
        known = inspect.signature(function).parameters
        for name in options:
            if name not in known:
                raise Untraceable(
                    f"it uses {what} with the argument '{name}', which is not supported"
                    + advice(f"{what}.{name}".lstrip("."))
                ) from error
        raise Untraceable(f"{type(error).__name__} in {what}: {error}") from error


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **options: Any) -> Any:
        require_unchanged_reports()
        return called(f"{self.prefix}{name}", function, self, *args, **options)

    return guarded


def refusing(what: str) -> Callable[..., NoReturn]:
    """Returns a method that always refuses. The error names the library function that called it."""

    def refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
        library = library_function()
        if library is not None:
            raise Untraceable(f"it calls {library}, which needs the values{advice(library)}")
        raise Untraceable(f"it uses {what}")

    return refuse


class Recorded:
    """Base class of everything that stands for an object of numpy or pandas.

    If one of its methods raises an error that the original would not raise, the tracer lacks a
    feature. Then the traced function is refused.
    """

    stands_for: ClassVar[type]
    prefix: ClassVar[str] = "."  # what a function writes before the names of its attributes

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, member in list(vars(cls).items()):
            if name in ("__class__", "__getattribute__"):
                continue
            if isinstance(member, FunctionType):
                setattr(cls, name, _guarded(name, member))
            elif isinstance(member, property) and member.fget is not None:
                setattr(cls, name, property(_guarded(name, member.fget)))

    def __getattr__(self, name: str) -> Any:
        kind = type(self).stands_for
        is_private = name.startswith("_") and not name.startswith("__")
        # What is an array here may be a sparse matrix in the original. So do not answer that an
        # attribute of sparse matrices does not exist.
        is_sparse_only = name[0] != "_" and hasattr(csr_matrix, name) and not hasattr(kind, name)
        if kind is np.ndarray and is_sparse_only:
            raise Untraceable(
                f"it uses .{name} of sparse matrices (make the step before it return dense rows)"
            )
        if not is_private and not hasattr(kind, name):
            raise NoAttribute(f"'{kind.__name__}' object has no attribute '{name}'")
        if name.startswith("_"):
            refusing(f"the attribute {name}")(self)
        name = f"{self.prefix}{name}"
        raise Untraceable(f"it uses {name}, which is not supported{advice(name)}")


class Valueless(Recorded):
    """An object whose values are not known."""

    __bool__ = refusing("values in a condition (use np.where)")
    __float__ = __int__ = __index__ = __complex__ = refusing("a value as a Python number")
    __len__ = refusing("the number of rows")
    __str__ = __repr__ = __format__ = __bytes__ = refusing("the text of its values")
    __iter__ = __reversed__ = refusing(
        "a loop over rows (compute with whole columns; for columns, loop over d.columns)"
    )
    __contains__ = refusing("`in` (for a column, use 'a' in d.columns)")
    __array__ = refusing("a function of numpy or another package that needs the values")
    __round__ = refusing("round() (use .round())")
    __setitem__: Callable[..., None] = refusing("an assignment to some rows (use np.where)")
    __delitem__ = refusing("del (use .drop(columns=...))")
    __reduce_ex__ = refusing("a copy by pickle")
    __dir__ = refusing("dir()")
    __hash__ = None  # type: ignore[assignment]


class Unknown(Recorded):
    """Stands for something that depends on the other rows, such as the number of rows."""

    def __init__(self, what: str, kind: type) -> None:
        self.what, self.kind = what, kind

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # for isinstance() in the traced function
        return self.kind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise NoAttribute(name)
        self._refuse()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise Untraceable(
            f"it uses {self.what}, but the answer for a row must not depend on others"
        )


_OPERATORS = (
    "bool len iter contains getitem int float index complex str repr format hash call round array "
    "eq ne lt le gt ge add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod "
    "divmod rdivmod pow rpow neg pos abs invert and rand or ror array_ufunc array_function"
)
for _name in _OPERATORS.split():
    setattr(Unknown, f"__{_name}__", Unknown._refuse)
