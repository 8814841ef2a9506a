"""The parts of a random graph: values with what is known of them, nodes, inputs and their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto
from operator_cases import TEXTS, Random, odd_values, pick
from two_engines import ML, Array, element_type, make_node, model_of


@dataclass
class Value:
    """A value of shape [rows, width], or [rows] if the width is 0."""

    name: str
    dtype: str
    width: int
    # Zeros may differ in sign, because an operator before leaves that open.
    loose_zeros: bool = False
    # The numbers are NaN or multiples of 1/16 of at most this size, so small sums are exact.
    grid: float | None = None
    has_nan: bool = True

    @property
    def is_real(self) -> bool:
        return self.dtype.startswith("float")


@dataclass
class Inexact:
    """A node whose answer is judged by its inputs, which are outputs of the graph too."""

    node: NodeProto
    # The same node without its post transform; None if it has none.
    raw: NodeProto | None = None


@dataclass
class Drawn:
    """A random graph, and a function that draws rows for it."""

    model: ModelProto
    rows: Callable[[Random, int], dict[str, Array]]
    loose_zeros: dict[str, bool]  # by exact output
    inexact: list[Inexact]
    constants: dict[str, Array]
    versions: dict[str, int]

    def outputs(self) -> list[str]:
        return [output.name for output in self.model.graph.output]


@dataclass
class Builder:
    rng: Random
    opset: int
    opset_ml: int
    values: list[Value] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    inexact: list[Inexact] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)  # by name
    read: set[str] = field(default_factory=set)
    numbers: list[float] = field(default_factory=list)  # that rows should hold or come near to
    texts: list[str] = field(default_factory=list)
    count: int = 0

    # ---- Names, constants, inputs ----

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def constant(self, values: Any, dtype: str) -> str:
        name = self.name()
        array = np.array(values, dtype)
        self.constants[name] = array
        if array.dtype == object:
            self.texts += [str(text) for text in array.ravel()]
        elif array.dtype.kind in "fi":
            self.numbers += [float(each) for each in array.ravel()[:50]]
        return name

    def add_input(self, dtype: str, width: int) -> None:
        value = Value(self.name(), dtype, width)
        self.inputs.append(value)
        self.values.append(value)
        self.types[value.name] = dtype

    # ---- Nodes ----

    def node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **more: Any
    ) -> NodeProto:
        node = make_node(op, inputs, outputs, **more)
        node.name = f"{op}_{outputs[0]}"
        self.nodes.append(node)
        self.read.update(inputs)
        return node

    def apply(self, op: str, inputs: Sequence[str], like: Value, **attributes: Any) -> str:
        """Adds a node with one output, which is not offered to other nodes yet."""
        name = self.name()
        self.node(op, inputs, [name], **attributes)
        self.types[name] = like.dtype
        return name

    def offer(self, name: str, like: Value, **changes: Any) -> Value:
        """Offers a value to other nodes. Nothing is known of its numbers unless `changes` says so."""
        value = replace(like, **{"name": name, "grid": None, "has_nan": True, **changes})
        self.types[name] = value.dtype
        self.values.append(value)
        return value

    def step(self, op: str, inputs: Sequence[str], like: Value, **changes: Any) -> Value:
        """A node without attributes, and its value."""
        return self.offer(self.apply(op, inputs, like), like, **changes)

    def end(
        self,
        op: str,
        inputs: Sequence[str],
        types: Sequence[str],
        *,
        has_transform: bool = False,
        **more: Any,
    ) -> None:
        """Adds a node whose answer is not exact. Nothing reads its outputs."""
        names = [self.name() for _ in types]
        node = self.node(op, inputs, names, **more)
        self.types.update(zip(names, types, strict=True))
        raw = None
        if has_transform:
            others = [self.name() for _ in types]
            without = {key: value for key, value in more.items() if key != "post_transform"}
            raw = self.node(op, inputs, others, **without)
            self.types.update(zip(others, types, strict=True))
        self.inexact.append(Inexact(node, raw))

    # ---- The graph ----

    def finish(self) -> Drawn:
        exact: dict[str, bool] = {}
        needed = {name for each in self.inexact for name in each.node.input}
        for value in self.values:
            is_last = value.name not in self.read
            is_input = value in self.inputs
            if is_last or value.name in needed or (not is_input and self.rng.random() < 0.1):
                exact[value.name] = value.loose_zeros
        names = list(exact)
        for each in self.inexact:
            for node in (each.node, each.raw):
                names += node.output if node is not None else []
        model = model_of(
            self.nodes,
            {
                value.name: (
                    element_type(value.dtype),
                    ["rows", value.width] if value.width else ["rows"],
                )
                for value in self.inputs
            },
            {name: element_type(self.types[name]) for name in names},
            self.constants,
            opset=self.opset,
            opset_ml=self.opset_ml,
        )
        versions = {"": self.opset, ML: self.opset_ml}
        return Drawn(model, self.rows, exact, self.inexact, self.constants, versions)

    def rows(self, rng: Random, count: int) -> dict[str, Array]:
        return {value.name: self.column(rng, value, count) for value in self.inputs}

    def column(self, rng: Random, value: Value, count: int) -> Array:
        shape = (count, value.width) if value.width else (count,)
        size = int(np.prod(shape))
        if value.dtype == "object":
            known = np.array(self.texts or [""], object)
            x = known[rng.integers(0, len(known), size)]
            for i in np.flatnonzero(rng.random(size) < 0.2):
                x[i] = pick(rng, [*TEXTS, "unknown", f"long{'y' * 1000}"])
            return np.asarray(x.reshape(shape), object)
        if value.dtype == "bool":
            return np.asarray(rng.integers(0, 2, shape).astype(bool))
        if value.dtype.startswith("int"):
            limits = np.iinfo(value.dtype)
            known = np.clip(np.nan_to_num(np.array(self.numbers or [0.0])), -1e9, 1e9)
            x = rng.integers(-20, 21, size).astype(value.dtype)
            for i in np.flatnonzero(rng.random(size) < 0.4):
                x[i] = int(pick(rng, known))
            for i in np.flatnonzero(rng.random(size) < 0.05):
                x[i] = pick(rng, [limits.min, limits.max, 0, -1, 1])
            return np.asarray(x.reshape(shape))
        return self.reals(rng, value.dtype, size).reshape(shape)

    def reals(self, rng: Random, dtype: str, size: int) -> Array:
        """Random numbers, numbers of the graph, those one unit beside them, and odd ones."""
        x = (rng.normal(size=size) * pick(rng, [1, 3, 30])).astype(dtype)
        known = np.array(self.numbers or [0.0]).astype(dtype)
        at = np.flatnonzero(rng.random(size) < 0.4)
        x[at] = known[rng.integers(0, len(known), len(at))]
        way = rng.integers(-1, 2, len(at))
        with np.errstate(all="ignore"):
            up, down = np.array(np.inf, dtype), np.array(-np.inf, dtype)
            beside = np.where(way > 0, np.nextafter(x[at], up), np.nextafter(x[at], down))
            x[at] = np.where(way == 0, x[at], beside)
        odd = np.array(odd_values(dtype), dtype)
        at = np.flatnonzero(rng.random(size) < pick(rng, [0, 0.05, 0.2]))
        x[at] = odd[rng.integers(0, len(odd), len(at))]
        at = np.flatnonzero(rng.random(size) < pick(rng, [0, 0.1]))
        x[at] = np.nan
        return np.asarray(x)
