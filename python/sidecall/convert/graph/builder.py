"""A thin builder of ONNX graphs whose tensors have numpy's operators; used by every converter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..checks import Range
from .promotion import DATES, NO_NUMBERS, common_type

# Every onnxruntime since 1.21 supports these versions. The tree operators of ai.onnx.ml 3 return
# float32 for every input type. Version 5 has one that returns double, but not the older ones.
OPSETS = {"": 20, "ai.onnx.ml": 3, "com.microsoft": 1}
DOUBLE_TREES = 5
IR_VERSION = 9
FUNCTIONS_VERSION = 1  # of the operator set that holds the model's own functions

ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


class Attribute(NamedTuple):
    """Refers to an attribute of a function; a node in the function's body takes its value.

    `kind` is the type of the attribute.
    """

    name: str
    kind: onnx.AttributeProto.AttributeType

    def proto(self, own_name: str) -> onnx.AttributeProto:
        return onnx.AttributeProto(name=own_name, ref_attr_name=self.name, type=self.kind)


class Tensor:
    """A value of the graph. Arithmetic adds nodes; `width` is the last dimension, if known.

    `single`: its numbers are float32 values from the caller or from a table of an encoder, and no
    computation has changed them. `wide`: the same numbers in double; a float32 graph keeps them for
    steps that split at thresholds. `range`: the bounds of its numbers, if known. `nullable`: set
    while a function is traced, for columns of pandas whose type has pd.NA.
    """

    __slots__ = ("_name", "dtype", "graph", "nullable", "range", "single", "wide", "width")

    def __init__(self, graph: Graph, name: str, dtype: str, width: int | None) -> None:
        self.graph = graph
        self._name = name
        self.dtype = dtype
        self.width = width
        self.single = False
        self.wide: Tensor | None = None
        self.range: Range | None = None
        self.nullable: Any = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def key(self) -> str:
        """A text that only tensors with the same numbers share."""
        return self.name

    def _binary(self, op: str, left: Any, right: Any, dtype: str | None = None) -> Tensor:
        left, right = self.graph.promoted(op, left, right)
        widths = [t.width for t in (left, right)]
        width = None if None in widths else max(w for w in widths if w is not None)
        return self.graph.op(op, left, right, dtype=dtype or left.dtype, width=width)

    def __bool__(self) -> bool:
        raise TypeError(
            "a tensor has no truth value: combine conditions with & | ~, and choose with where()"
        )

    __array_ufunc__ = None  # so that numpy's numbers and arrays leave operators to this class

    def __add__(self, other: Any) -> Tensor:
        return self._binary("Add", self, other)

    def __radd__(self, other: Any) -> Tensor:
        return self._binary("Add", other, self)

    def __sub__(self, other: Any) -> Tensor:
        return self._binary("Sub", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._binary("Sub", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return self._binary("Mul", self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return self._binary("Mul", other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return self._binary("Div", self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._binary("Div", other, self)

    def __pow__(self, other: Any) -> Tensor:
        return self._binary("Pow", self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return self._binary("Pow", other, self)

    def __abs__(self) -> Tensor:
        return self.graph.abs(self)

    def __neg__(self) -> Tensor:
        return self.graph.op("Neg", self, width=self.width)

    def __matmul__(self, other: Any) -> Tensor:
        other = self.graph.like(other, self)
        return self.graph.op("MatMul", self, other, width=other.width)

    def __lt__(self, other: Any) -> Tensor:
        return self._binary("Less", self, other, "bool")

    def __le__(self, other: Any) -> Tensor:
        return self._binary("LessOrEqual", self, other, "bool")

    def __gt__(self, other: Any) -> Tensor:
        return self._binary("Greater", self, other, "bool")

    def __ge__(self, other: Any) -> Tensor:
        return self._binary("GreaterOrEqual", self, other, "bool")

    def equals(self, other: Any) -> Tensor:
        return self._binary("Equal", self, other, "bool")

    def __and__(self, other: Tensor) -> Tensor:
        return self._binary("And", self, other)

    def __or__(self, other: Tensor) -> Tensor:
        return self._binary("Or", self, other)

    def __invert__(self) -> Tensor:
        return self.graph.op("Not", self, width=self.width)


class Graph:
    """Collects nodes and constants.

    `real` is the type in which the graph computes, "float32" or "float64".
    """

    def __init__(self, real: str, reserved: Sequence[str] = ()) -> None:
        self.real = real
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[Any, tuple[str, np.ndarray]] = {}
        self.seen: dict[Any, tuple[Tensor, ...]] = {}
        self.reserved = set(reserved)
        self.counter = 0
        self.inner_domains: set[str] = set()
        self.functions: dict[str, onnx.FunctionProto] = {}

    def branch(self) -> Graph:
        """A builder for a graph inside a node.

        The inner graph can read the values of this graph; names are unique across both.
        """
        inner = Graph(self.real)
        inner.constants, inner.reserved = self.constants, self.reserved
        inner.fresh = self.fresh  # type: ignore[method-assign]
        return inner

    def body(
        self,
        name: str,
        inputs: Sequence[tuple[Tensor, Sequence[Any]]],
        outputs: Sequence[tuple[Tensor, Sequence[Any]]],
    ) -> onnx.GraphProto:
        """The nodes built on a branch, as a graph; inputs and outputs are pairs (tensor, shape)."""
        values = [
            [helper.make_tensor_value_info(t.name, ELEMENT_TYPES[t.dtype], s) for t, s in side]
            for side in (inputs, outputs)
        ]
        return helper.make_graph(self.nodes, name, values[0], values[1])

    def fresh(self, stem: str) -> str:
        while True:
            self.counter += 1
            name = f"{stem}_{self.counter}"
            if name not in self.reserved:
                return name

    def const(self, value: Any, dtype: str | None = None) -> Tensor:
        """A constant. Floating-point values get the type of the graph unless `dtype` is given."""
        array = np.asarray(value)
        if dtype is None:
            kinds = {"f": self.real, "i": "int64", "u": "int64", "b": "bool"}
            dtype = kinds.get(array.dtype.kind, "string")
        if dtype == "string":
            array = np.array([str(item) for item in array.ravel()], dtype=object).reshape(
                array.shape
            )
            key: Any = (dtype, array.shape, tuple(array.ravel()))
        else:
            array = np.ascontiguousarray(array, dtype=dtype).reshape(array.shape)
            key = (dtype, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = (self.fresh("c"), array)
        width = int(array.shape[array.ndim - 1]) if array.ndim else 1
        return Tensor(self, self.constants[key][0], dtype, width)

    def promoted(self, op: str, left: Any, right: Any) -> tuple[Tensor, Tensor]:
        """The operands of an operator as tensors of the type in which numpy computes."""
        operands = [x if isinstance(x, Tensor) else np.asarray(x) for x in (left, right)]
        types = {x.dtype for x in operands if isinstance(x, Tensor)}
        constants = [x for x in operands if isinstance(x, np.ndarray)]
        dtype = common_type(op, types, constants)
        first, second = (
            self.cast(x, dtype) if isinstance(x, Tensor) else self.const(x, dtype) for x in operands
        )
        return first, second

    def like(self, value: Any, partner: Tensor) -> Tensor:
        return value if isinstance(value, Tensor) else self.const(value, partner.dtype)

    def op(
        self,
        op_type: str,
        *inputs: Tensor | None,
        dtype: str | None = None,
        width: int | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Tensor:
        first = next(t for t in inputs if t is not None)
        return self.ops(op_type, inputs, [(dtype or first.dtype, width)], domain, **attributes)[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[tuple[str, int | None]],
        domain: str = "",
        **attributes: Any,
    ) -> tuple[Tensor, ...]:
        """Adds a node with several outputs. An identical node that exists already is reused."""
        if any(t is not None and t.dtype == DATES for t in inputs):
            raise TypeError(NO_NUMBERS)
        names = [t.name if t is not None else "" for t in inputs]
        size = sum(len(v) for v in attributes.values() if isinstance(v, list | str))
        keyable = size < 256 and not any(
            isinstance(v, onnx.GraphProto | onnx.TensorProto) for v in attributes.values()
        )
        key = (op_type, domain, tuple(names), repr(sorted(attributes.items()))) if keyable else None
        if key in self.seen:
            return self.seen[key]
        results = tuple(Tensor(self, self.fresh("t"), dtype, width) for dtype, width in outputs)
        # Give every node a name: if nodes have none, onnxruntime before 1.22 can fuse them into two
        # nodes with the same name.
        own = {name: v for name, v in attributes.items() if not isinstance(v, Attribute)}
        node = helper.make_node(
            op_type, names, [t.name for t in results], self.fresh("n"), domain=domain, **own
        )
        node.attribute.extend(
            v.proto(name) for name, v in attributes.items() if isinstance(v, Attribute)
        )
        self.nodes.append(node)
        if key is not None:
            self.seen[key] = results
        return results

    def call_function(
        self,
        function: onnx.FunctionProto,
        inputs: Sequence[Tensor],
        outputs: Sequence[tuple[str, int | None]],
        **attributes: Any,
    ) -> tuple[Tensor, ...]:
        """Adds a node that calls a function of the model. `outputs` are (dtype, width)."""
        self.functions[function.name] = function
        return self.ops(function.name, inputs, outputs, function.domain, **attributes)

    def function(
        self, domain: str, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> onnx.FunctionProto:
        """The nodes of this graph as a function of a model.

        The result depends only on the calls that built the graph, so the same calls give the same
        bytes.
        """
        nodes = _live(self.nodes, [t.name for t in outputs])
        used = {n for node in nodes for n in (*node.input, *_captured(node))}
        constants = [
            helper.make_node("Constant", [], [n], f"{n}_node", value=_tensor_proto(array, ""))
            for n, array in self.constants.values()
            if n in used
        ]
        versions = _versions({node.domain for node in nodes} | self.inner_domains, trees=False)
        return helper.make_function(
            domain,
            name,
            [t.name for t in inputs],
            [t.name for t in outputs],
            constants + nodes,
            [helper.make_opsetid(d, v) for d, v in versions.items()],
            sorted(_references(nodes)),
        )

    # Functions with numpy's names. Tensors are [N, width] unless a converter documents another
    # shape.

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        if x.dtype == dtype:
            return x
        if dtype not in ELEMENT_TYPES:
            raise ValueError(f"type: expected {', '.join(ELEMENT_TYPES)}, got '{dtype}'")
        if x.dtype == DATES:
            raise TypeError(NO_NUMBERS)
        if dtype == "float64" and x.wide is not None:
            return x.wide
        result = self.op("Cast", x, dtype=dtype, width=x.width, to=int(ELEMENT_TYPES[dtype]))
        result.single = x.single
        if dtype.startswith("float") and x.range is not None:
            result.range = x.range.rounded(dtype)
        return result

    def narrow(self, x: Tensor) -> Tensor:
        """Casts a double to the type of the graph.

        The result keeps the double as `wide`, for steps that split at thresholds.
        """
        result = self.cast(x, self.real)
        if result is not x:
            result.wide = x
        return result

    def unary(self, op: str, x: Tensor, dtype: str | None = None, **attributes: Any) -> Tensor:
        return self.op(op, x, dtype=dtype, width=x.width, **attributes)

    def exp(self, x: Tensor) -> Tensor:
        return self.unary("Exp", self.real_numbers(x))

    def log(self, x: Tensor) -> Tensor:
        return self.unary("Log", self.real_numbers(x))

    def sqrt(self, x: Tensor) -> Tensor:
        return self.unary("Sqrt", self.real_numbers(x))

    def real_numbers(self, x: Tensor) -> Tensor:
        """x as floating-point numbers, which are doubles for integers, as in numpy."""
        return x if x.dtype.startswith("float") else self.cast(x, "float64")

    def abs(self, x: Tensor) -> Tensor:
        return self.unary("Abs", x)

    def sigmoid(self, x: Tensor) -> Tensor:
        return self.unary("Sigmoid", x)

    def softmax(self, x: Tensor) -> Tensor:
        return self.unary("Softmax", x, axis=1)

    def isnan(self, x: Tensor) -> Tensor:
        return self.unary("IsNaN", self.real_numbers(x), "bool")

    def reduce(self, op: str, x: Tensor, axis: int = 1, keep: bool = True) -> Tensor:
        axes = [axis]
        width = 1 if keep and axis in (1, -1) else x.width if axis == 0 else None
        return self.op(op, x, self.const(axes), width=width, keepdims=int(keep))

    def sum(self, x: Tensor, axis: int = 1, keep: bool = True) -> Tensor:
        x = self.cast(x, "int64") if x.dtype == "bool" else x
        return self.reduce("ReduceSum", x, axis, keep)

    def mean(self, x: Tensor, axis: int = 1, keep: bool = True) -> Tensor:
        return self.reduce("ReduceMean", self.real_numbers(x), axis, keep)

    def max(self, x: Tensor, axis: int = 1, keep: bool = True) -> Tensor:
        return self.reduce("ReduceMax", x, axis, keep)

    def min(self, x: Tensor, axis: int = 1, keep: bool = True) -> Tensor:
        return self.reduce("ReduceMin", x, axis, keep)

    def logsumexp(self, x: Tensor, axis: int = 1) -> Tensor:
        largest = self.max(x, axis)
        return self.log(self.sum(self.exp(x - largest), axis)) + largest

    def argmax(self, x: Tensor, axis: int = 1, keep: bool = False, last: bool = False) -> Tensor:
        return self.op(
            "ArgMax",
            x,
            dtype="int64",
            width=1 if keep else None,
            axis=axis,
            keepdims=int(keep),
            select_last_index=int(last),
        )

    def argmin(self, x: Tensor, axis: int = 1, keep: bool = False) -> Tensor:
        return self.op(
            "ArgMin", x, dtype="int64", width=1 if keep else None, axis=axis, keepdims=int(keep)
        )

    def topk(self, x: Tensor, k: int, largest: bool = False) -> tuple[Tensor, Tensor]:
        outputs = [(x.dtype, k), ("int64", k)]
        values, indices = self.ops(
            "TopK", (x, self.const([k])), outputs, axis=-1, largest=int(largest), sorted=1
        )
        return values, indices

    def where(self, condition: Tensor, yes: Any, no: Any) -> Tensor:
        if not isinstance(yes, Tensor) and not isinstance(no, Tensor):
            yes = self.const(float(yes))
        yes, no = self.promoted("Where", yes, no)
        if yes.dtype == "bool":  # ONNX Runtime has no Where for bools
            return condition._binary("Or", condition & yes, ~condition & no)
        widths = [t.width for t in (condition, yes, no)]
        width = None if None in widths else max(w for w in widths if w is not None)
        return self.op("Where", condition, yes, no, dtype=yes.dtype, width=width)

    def maximum(self, x: Tensor, low: Any) -> Tensor:
        return x._binary("Max", x, low)

    def minimum(self, x: Tensor, high: Any) -> Tensor:
        return x._binary("Min", x, high)

    def concat(self, parts: Sequence[Tensor], axis: int = 1) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        widths = [p.width for p in parts]
        width = (
            parts[0].width
            if axis == 0
            else None
            if None in widths
            else sum(w for w in widths if w is not None)
        )
        result = self.op("Concat", *parts, width=width, axis=axis)
        result.single = all(p.single for p in parts)
        result.range = Range.beside([p.range for p in parts]) if axis == 1 else None
        if result.dtype == "float32" and any(p.wide is not None for p in parts):
            result.wide = self.concat([self.cast(p, "float64") for p in parts], axis)
        return result

    def columns(self, x: Tensor, indices: Iterable[Any]) -> Tensor:
        """The given columns of a matrix, in this order."""
        chosen = [int(i) for i in indices]
        if x.width is not None and chosen == list(range(x.width)):
            return x
        result = self.op(
            "Gather", x, self.const(np.array(chosen, dtype="int64")), width=len(chosen), axis=1
        )
        result.single = x.single
        result.range = None if x.range is None else x.range.select(chosen)
        if x.wide is not None:
            result.wide = self.columns(x.wide, chosen)
        return result

    def gather(self, table: Any, index: Tensor, axis: int = 0) -> Tensor:
        table = table if isinstance(table, Tensor) else self.const(table)
        return self.op("Gather", table, index, dtype=table.dtype, axis=axis)

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        width = int(shape[-1]) if shape[-1] > 0 else None
        if len(shape) == 1:
            width = None
        return self.op("Reshape", x, self.const(np.array(shape, dtype="int64")), width=width)

    def transpose(self, x: Tensor, axes: Sequence[int] = (1, 0)) -> Tensor:
        return self.op("Transpose", x, perm=[int(a) for a in axes])

    def flatten(self, x: Tensor) -> Tensor:
        """Reshapes [N, 1] to [N]."""
        return self.op("Squeeze", x, self.const([1]), width=None)

    def column(self, x: Tensor) -> Tensor:
        """Reshapes [N] to [N, 1]."""
        return self.op("Unsqueeze", x, self.const([1]), width=1)

    def rows_of(self, x: Tensor) -> Tensor:
        """The number of rows, an int64 tensor of one element."""
        return self.op("Shape", x, dtype="int64", width=1, start=0, end=1)

    def finish(
        self,
        name: str,
        inputs: Sequence[tuple[Tensor, int]],
        outputs: Sequence[tuple[str, Tensor, Any]],
    ) -> onnx.ModelProto:
        """Builds the model. `outputs` are (name, tensor, shape after N)."""
        names: dict[str, str] = {}
        taken = {t.name for t, _ in inputs} | {n for n, _ in self.constants.values()}
        for output, tensor, _ in outputs:
            if tensor.name in taken:
                self.nodes.append(helper.make_node("Identity", [tensor.name], [output]))
            else:
                names[tensor.name] = output
                taken.add(tensor.name)
        nodes = _live(
            self.nodes,
            [names.get(t.name, o) if t.name not in names else t.name for o, t, _ in outputs]
            + [o for o, _, _ in outputs],
        )
        for node in nodes:
            node.input[:] = [names.get(n, n) for n in node.input]
            node.output[:] = [names.get(n, n) for n in node.output]
        used = {n for node in nodes for n in (*node.input, *_captured(node))}
        initializers = [
            _tensor_proto(array, n) for n, array in self.constants.values() if n in used
        ]
        graph = helper.make_graph(
            nodes,
            name,
            [
                helper.make_tensor_value_info(
                    t.name, ELEMENT_TYPES["int64" if t.dtype == DATES else t.dtype], ["N", width]
                )
                for t, width in inputs
            ],
            [
                helper.make_tensor_value_info(o, ELEMENT_TYPES[t.dtype], ["N", *shape])
                for o, t, shape in outputs
            ],
            initializers,
        )
        domains = {node.domain for node in nodes} | self.inner_domains
        called = {(node.domain, node.op_type) for node in nodes}
        functions = [f for f in self.functions.values() if (f.domain, f.name) in called]
        domains |= {o.domain for f in functions for o in f.opset_import}
        versions = _versions(domains, any(node.op_type == "TreeEnsemble" for node in nodes))
        imports = versions | {f.domain: FUNCTIONS_VERSION for f in functions}
        model = helper.make_model(
            graph,
            functions=functions,
            opset_imports=[helper.make_opsetid(d, v) for d, v in imports.items()],
            ir_version=IR_VERSION,
            producer_name="sidecall",
        )
        # A function must import the same versions as its model. The model has copies of the
        # functions; the originals are shared by all exports of this process.
        for function in model.functions:
            for opset in function.opset_import:
                opset.version = versions[opset.domain]
        return model


def _versions(domains: Iterable[str], trees: bool) -> dict[str, int]:
    """The versions of the operator sets; `trees`: whether a node is a TreeEnsemble."""
    versions = OPSETS | ({"ai.onnx.ml": DOUBLE_TREES} if trees else {})
    return {d: v for d, v in versions.items() if d in {"", *domains}}


def _tensor_proto(array: np.ndarray, name: str) -> onnx.TensorProto:
    if array.dtype == object:
        return helper.make_tensor(
            name, TensorProto.STRING, array.shape, [s.encode("utf-8") for s in array.ravel()]
        )
    return numpy_helper.from_array(array, name)


def _live(nodes: list[onnx.NodeProto], wanted: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that some output needs.

    The builder adds nodes in topological order, so one pass from the last node to the first is
    enough.
    """
    needed = set(wanted)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(_captured(node))
    return kept[::-1]


def _captured(node: onnx.NodeProto) -> set[str]:
    """Every name that the graphs inside a node read."""
    graphs = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    inner = [n for graph in graphs for n in graph.node]
    names = {name for n in inner for name in n.input}
    names.update(output.name for graph in graphs for output in graph.output)
    return names.union(*(_captured(n) for n in inner)) if inner else names


def _references(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Every attribute of the function that the nodes of its body refer to."""
    names = set()
    for node in nodes:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                names.add(attribute.ref_attr_name)
            if attribute.type == onnx.AttributeProto.GRAPH:
                names |= _references(attribute.g.node)
    return names
