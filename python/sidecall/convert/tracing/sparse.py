"""The placeholder for the rows of a sparse matrix, which a function can make dense."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..registry import Conversion
from .columns import type_of
from .placeholders import Array
from .refusals import Untraceable, Valueless

_DENSE = "call .toarray() first, or make the step before it return dense rows"


class Sparse(Valueless, np.lib.mixins.NDArrayOperatorsMixin):
    """A sparse matrix [N, K]. Operators of sparse matrices have rules of their own."""

    def __init__(self, g: Conversion, tensor: Tensor) -> None:
        self._g, self._tensor = g, tensor

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # for isinstance() in the traced function
        return type(self).stands_for

    def __getitem__(self, key: Any) -> Any:
        raise Untraceable(f"it chooses elements of a sparse matrix ({_DENSE})")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *_: Any, **__: Any) -> Any:
        raise Untraceable(f"it uses np.{ufunc.__name__} with a sparse matrix ({_DENSE})")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise Untraceable(f"it uses numpy.{function.__name__} with a sparse matrix ({_DENSE})")

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self).stands_for, name):
            raise Untraceable(f"it uses .{name} of a sparse matrix ({_DENSE})")
        return super().__getattr__(name)

    @property
    def dtype(self) -> Any:
        return np.dtype(type_of(self._tensor))

    def toarray(self) -> Array:
        return Array(self._g, self._tensor, 2)

    def copy(self) -> Sparse:
        return self


def sparse_rows(g: Conversion, tensor: Tensor, kind: type) -> Sparse:
    """The placeholder for a matrix of the given class of scipy."""
    return type("Sparse", (Sparse,), {"stands_for": kind})(g, tensor)  # type: ignore[no-any-return]
