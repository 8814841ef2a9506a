"""The form of a case of one operator, its data, and the list of operators in the sources."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, defs
from two_engines import (
    MICROSOFT,
    ML,
    OPSET,
    OPSET_MICROSOFT,
    OPSET_ML,
    Array,
    element_type,
    make_node,
    model_of,
)

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "engines/native/operators"
Random = np.random.Generator

# ---- What the engine has ----


class Entry(NamedTuple):
    """A line of a table of operators: the versions of its operator set in which it is supported."""

    domain: str
    op: str
    first: int
    last: int
    has_end: bool  # Later versions of the operator are refused.


def table_entries() -> list[Entry]:
    """Reads the tables, which have lines such as {"", "Squeeze", 1, 12, ...}."""
    line = re.compile(r'\{(""|kDomain|"[a-z.]+"), "(\w+)", (\d+),\s*(\d+|kAnyVersion),')
    newest = {"": defs.onnx_opset_version(), ML: OPSET_ML, MICROSOFT: OPSET_MICROSOFT}
    entries = []
    for path in sorted(TABLES.glob("*.cpp")):
        for domain, op, first, last in line.findall(path.read_text(encoding="utf-8")):
            domain = ML if domain == "kDomain" else domain.strip('"')
            end = newest[domain] if last == "kAnyVersion" else int(last)
            entries.append(Entry(domain, op, int(first), end, last != "kAnyVersion"))
    return entries


def versions_of(entry: Entry) -> list[int]:
    """The versions that ONNX distinguishes and ONNX Runtime runs: those from 7 on."""
    first = max(entry.first, 1 if entry.domain else 7)
    changes = all_changes()[entry.domain, entry.op]
    return sorted({first} | {change for change in changes if first <= change <= entry.last})


@cache
def all_changes() -> dict[tuple[str, str], set[int]]:
    """The versions in which ONNX changes each operator."""
    changes = defaultdict(set)
    for schema in defs.get_all_schemas_with_history():
        changes[schema.domain, schema.name].add(schema.since_version)
    return changes


# ---- Cases ----


class Known:
    """An input that is an initializer of the graph."""

    def __init__(self, array: Any, dtype: Any = None) -> None:
        self.array = np.asarray(array, dtype)


Input = Array | Known | None


@dataclass
class Case:
    """A node with its inputs. `types` are the element types of its outputs; None: as the input."""

    op: str
    inputs: Sequence[Any]  # of Input
    attributes: Mapping[str, Any] = field(default_factory=dict)
    types: Sequence[int | None] = (None,)
    domain: str = ""
    # The first dimension of each input is free, as the rows of most models are.
    is_free: bool = False

    def node(self) -> NodeProto:
        return make_node(
            self.op,
            ["" if given is None else f"x{i}" for i, given in enumerate(self.inputs)],
            [f"y{i}" for i in range(len(self.types))],
            domain=self.domain,
            **self.attributes,
        )

    def arrays(self) -> list[Array | None]:
        return [given.array if isinstance(given, Known) else given for given in self.inputs]

    def feeds(self) -> dict[str, Array]:
        return {f"x{i}": x for i, x in enumerate(self.inputs) if isinstance(x, np.ndarray)}

    def output_types(self) -> list[int]:
        first = next((x for x in self.arrays() if x is not None), None)
        own = None if first is None else element_type(first.dtype)
        return [own if kind is None else kind for kind in self.types]  # type: ignore[misc]

    def model(self, version: int) -> ModelProto:
        kinds = {}
        for name, array in self.feeds().items():
            shape: list[Any] = list(array.shape)
            if self.is_free and shape:
                shape[0] = "rows"
            kinds[name] = (element_type(array.dtype), shape)
        outputs = {f"y{i}": kind for i, kind in enumerate(self.output_types())}
        constants = {f"x{i}": x.array for i, x in enumerate(self.inputs) if isinstance(x, Known)}
        opset = OPSET if self.domain else version
        opset_ml = version if self.domain == ML else OPSET_ML
        return model_of([self.node()], kinds, outputs, constants, opset=opset, opset_ml=opset_ml)

    def describe(self) -> str:
        shapes = [
            "-" if x is None else f"{x.dtype}{list(x.shape)}".replace(" ", "")
            for x in self.arrays()
        ]
        return f"{self.op}({', '.join(shapes)}) {dict(self.attributes)}"[:300]


Cases = Callable[[str, int, Random], Iterator[Case]]
CASES: dict[str, Cases] = {}


def cases_of(*ops: str) -> Callable[[Cases], Cases]:
    """Registers a function that gives the cases of these operators in one version."""

    def register(function: Cases) -> Cases:
        CASES.update(dict.fromkeys(ops, function))
        return function

    return register


# ---- Data ----

REALS = ("float64", "float32")
NUMBERS = ("float64", "float32", "int64", "int32")
ALL = (*NUMBERS, "bool", "object")

TEXTS = ["", "a", "b", "ab", "é", "日本", "a ", "A", "🙂", "x" * 300]


def odd_values(dtype: Any) -> list[Any]:
    """Values that are often treated wrongly."""
    dtype = np.dtype(dtype)
    if dtype.kind == "O":
        return TEXTS
    if dtype.kind == "b":
        return [False, True]
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        return [0, 1, -1, limits.max, limits.min, limits.max - 1, limits.min + 1]
    limits = np.finfo(dtype)
    large = [2.0**31, -(2.0**31), 2.0**53, 2.0**63, -(2.0**63), limits.max, limits.min]
    small = [limits.smallest_subnormal, -limits.smallest_subnormal, limits.tiny, limits.eps]
    near = [0.5, 1.5, -0.5, 1, -1, 2.5]
    return [np.nan, np.inf, -np.inf, 0.0, -0.0, *large, *small, *near]


def data(
    rng: Random, dtype: Any, shape: Sequence[int], *, odd: float = 0.3, size: float = 3
) -> Array:
    """Random elements, of which the share `odd` is odd and others are about `size`."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    if dtype.kind == "O":
        plain: Any = np.array(TEXTS[:4], object)[rng.integers(0, 4, count)]
    elif dtype.kind == "b":
        plain = rng.integers(0, 2, count).astype(bool)
    elif dtype.kind == "i":
        plain = rng.integers(-int(size * 4), int(size * 4) + 1, count).astype(dtype)
    else:
        plain = (rng.normal(size=count) * size).astype(dtype)
    choices = odd_values(dtype)
    for i in np.flatnonzero(rng.random(count) < odd):
        plain[i] = choices[rng.integers(0, len(choices))]
    return np.asarray(plain).reshape(shape)


def moderate(rng: Random, dtype: Any, shape: Sequence[int], *, size: float = 3) -> Array:
    """Numbers whose sums and products do not overflow; some are NaN, infinite or -0."""
    x = data(rng, dtype, shape, odd=0, size=size)
    if x.dtype.kind == "f" and rng.random() < 0.4:
        flat = x.ravel()
        for i in np.flatnonzero(rng.random(flat.size) < 0.1):
            flat[i] = [np.nan, np.inf, -np.inf, -0.0][rng.integers(0, 4)]
    return x


def shape_of(
    rng: Random, low: int = 0, high: int = 3, sizes: Sequence[int] = (1, 1, 2, 3, 5)
) -> tuple[int, ...]:
    rank = int(rng.integers(low, high + 1))
    return tuple(int(sizes[rng.integers(0, len(sizes))]) for _ in range(rank))


def pick(rng: Random, choices: Any) -> Any:
    return choices[int(rng.integers(0, len(choices)))]
