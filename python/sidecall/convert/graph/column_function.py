"""Finds out how a column of the graph follows from one other column; used before thresholds.

Converters record the functions whose last digits depend on the library that computes them. Between
these functions, a graph computes what numpy computes, to the bit: sums and products of two numbers,
square roots, comparisons and the like. So this module goes back from a column to one that every
library computes alike, and repeats the way with the functions of the original.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..registry import Conversion
    from .builder import Tensor

Place = tuple[str, int]  # the name of a tensor, and a column


@dataclass(frozen=True)
class Recorded:
    """A tensor whose last digits may differ from the original's.

    In the original, its column k is `function(k, numbers)` of column k of `source`. Without a
    function, a column follows from several columns. `name` names the function in messages.
    `exact`: the graph computes all digits of this tensor, but not by the operators of the original.
    """

    name: str
    source: Tensor | None = None
    function: Callable[[int, np.ndarray], Any] | None = field(default=None, compare=False)
    exact: bool = False


@dataclass(frozen=True)
class ColumnFunction:
    """A column as a function of column `column` of `source`."""

    source: Tensor
    column: int
    function: Callable[[np.ndarray], np.ndarray]


_EXACT: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Clip": np.clip,
    "Div": np.divide,
    "Equal": np.equal,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": np.positive,
    "IsInf": np.isinf,
    "IsNaN": np.isnan,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Round": np.rint,
    "Sign": np.sign,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}
# The operators whose results do not show the last digits of their inputs.
_CHOOSING = {
    *("ArgMax", "ArgMin", "LabelEncoder", "Round", "Shape"),
    *("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
}
_NUMBERS = ("float32", "float64")


def record(g: Conversion, x: Tensor, recorded: Recorded) -> None:
    """Records how the original computes a tensor that may differ in its last digits."""
    known = g.recorded.get(x.name, recorded)
    if known != recorded:  # two functions that the graph computes alike
        recorded = known if known.exact and recorded.exact else Recorded(recorded.name)
    if x.name in g.functions_behind:
        g.functions_behind.clear()
    g.recorded[x.name] = recorded


def functions_behind(g: Conversion, x: Tensor) -> frozenset[str]:
    """The names of the recorded functions whose last digits are in a tensor.

    Rounding removes these digits, and so does an operator that only chooses by its input.
    """
    known = g.functions_behind
    stack = [x.name]
    while stack:
        name = stack[-1]
        if name in known:
            stack.pop()
            continue
        recorded = g.recorded.get(name)
        own = frozenset([recorded.name] if recorded and not recorded.exact else [])
        operator = g.made[name][0].op_type if name in g.made else ""
        inputs = [] if operator in ("", *_CHOOSING) else [t.name for t in g.made[name][1]]
        if recorded is not None:
            source = None if recorded.exact else recorded.source
            inputs = [] if source is None else [source.name]
        unknown = [other for other in inputs if other not in known]
        stack += unknown
        if not unknown:
            known[name] = own.union(*(known[other] for other in inputs))
    return known[x.name]


def column_function(g: Conversion, x: Tensor, column: int) -> ColumnFunction | None:
    """How the column follows from one exact column; None if several columns take part."""
    for deep in (False, True):
        walk = _Walk(g, deep)
        if walk.visit(x, column) and len(walk.roots) == 1:
            ((root, place),) = walk.roots.values()
            return ColumnFunction(root, place, walk.function(x, column))
    return None


class _Walk:
    """Goes from a column to the columns from which it follows, its roots.

    A root is a column that no recorded function takes part in. If `deep`, the walk goes on from
    there as long as numpy can repeat the operators.
    """

    def __init__(self, g: Conversion, deep: bool) -> None:
        self.g, self.deep = g, deep
        self.constants = dict(g.constants.values())
        self.roots: dict[Place, tuple[Tensor, int]] = {}
        self.seen: set[Place] = set()

    def visit(self, x: Tensor, column: int) -> bool:
        """Collects the roots of a column; False if an operator cannot be repeated."""
        if (x.name, column) in self.seen or x.name in self.constants:
            return True
        self.seen.add((x.name, column))
        inexact = bool(functions_behind(self.g, x))
        if x.name in self.g.recorded:
            source = self.g.recorded[x.name].source
            return source is not None and self.visit(source, column)
        inputs = self._inputs(x, column)
        if not inexact and not self.deep and not self._is_same_column(x):
            inputs = None
        if inputs is None:
            self.roots[x.name, column] = x, column
            return not inexact and x.dtype in _NUMBERS
        return all(self.visit(*pair) for pair in inputs)

    def _is_same_column(self, x: Tensor) -> bool:
        """Whether the operator only places columns of float numbers, or makes float32 wider."""
        operator = self.g.made[x.name][0].op_type if x.name in self.g.made else ""
        is_wider = operator == "Cast" and self.g.made[x.name][1][0].dtype == "float32"
        return operator in ("Concat", "Gather") or is_wider

    def _inputs(self, x: Tensor, column: int) -> list[tuple[Tensor, int]] | None:
        """The columns that the operator of a column reads; None if it cannot be repeated."""
        if x.name not in self.g.made:
            return None
        node, inputs = self.g.made[x.name]
        widths = [other.width for other in inputs if other.width is not None]
        if node.domain or len(widths) < len(inputs):
            return None
        if node.op_type == "Concat":
            ends = np.cumsum(widths)
            part = int(np.searchsorted(ends, column, side="right"))
            return [(inputs[part], column - int(ends[part]) + widths[part])]
        if node.op_type == "Gather":
            chosen = self.constants.get(inputs[1].name)
            along = [a.i for a in node.attribute if a.name == "axis"] == [1]
            return [(inputs[0], int(chosen[column]))] if along and chosen is not None else None
        if node.op_type == "Cast":
            return [(inputs[0], column)] if inputs[0].dtype in (*_NUMBERS, "bool") else None
        if node.op_type not in _EXACT or any(other.dtype == "string" for other in inputs):
            return None
        return [(other, column if other.width != 1 else 0) for other in inputs]

    def function(self, x: Tensor, column: int) -> Callable[[np.ndarray], np.ndarray]:
        def answers(values: np.ndarray) -> np.ndarray:
            known: dict[Place, Any] = dict.fromkeys(self.roots, values)
            return np.broadcast_to(self._value(x, column, known), values.shape)

        return answers

    def _value(self, x: Tensor, column: int, known: dict[Place, Any]) -> Any:
        place = x.name, column
        if place in known:
            return known[place]
        if x.name in self.constants:
            array = self.constants[x.name]
            return array[..., column] if array.ndim and array.shape[-1] > 1 else array.reshape(())
        recorded = self.g.recorded.get(x.name)
        if recorded is not None:
            assert recorded.source is not None and recorded.function is not None
            given = self._value(recorded.source, column, known)
            value = np.asarray(recorded.function(column, given)).reshape(np.shape(given))
        else:
            inputs = self._inputs(x, column)
            assert inputs is not None
            operands = [self._value(*pair, known) for pair in inputs]
            operator = self.g.made[x.name][0].op_type
            value = _EXACT[operator](*operands) if operator in _EXACT else operands[0]
        known[place] = np.asarray(value).astype(x.dtype, copy=False)
        return known[place]
