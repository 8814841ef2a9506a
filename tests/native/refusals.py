"""Nodes that the native engine refuses: with which status, with which words, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto
from operator_cases import Case, Input, Known
from sidecall import errors
from two_engines import MICROSOFT, ML, OPSET

FILE, UNSUPPORTED, ENGINE = errors.FileInvalid, errors.Unsupported, errors.Engine
INT64, FLOAT, BOOL = TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL


@dataclass
class Refusal:
    case: Case
    version: int
    status: type[errors.Error]
    words: str
    # Whether the model opens and only the run fails, as for indices that are data.
    at_run: bool = False
    # Whether ONNX Runtime answers, because only this engine does not support the node. None if it
    # is not asked, because it reads outside of its memory.
    other_answers: bool | None = False


REFUSALS: list[Refusal] = []


@dataclass
class Adder:
    """Adds refusals of one operator."""

    op: str
    version: int = OPSET
    domain: str = ""
    types: tuple[int | None, ...] = (None,)
    base: dict[str, Any] = field(default_factory=dict)

    def __call__(
        self,
        status: type[errors.Error],
        words: str,
        *inputs: Input,
        version: int | None = None,
        at_run: bool = False,
        answers: bool | None = False,
        types: tuple[int | None, ...] | None = None,
        **attributes: Any,
    ) -> None:
        case = Case(self.op, inputs, {**self.base, **attributes}, types or self.types, self.domain)
        number = self.version if version is None else version
        REFUSALS.append(Refusal(case, number, status, words, at_run, answers))


def of(dtype: str, *shape: int) -> Any:
    return np.ones(shape, dtype) if dtype != "object" else np.full(shape, "a", object)


def ints(*values: int) -> Known:
    return Known(np.array(values, np.int64))


REAL, WHOLE, FLAG, TEXT = (of(kind, 4, 3) for kind in ("float32", "int64", "bool", "object"))
DOUBLE = of("float64", 4, 3)
NO_TYPE = "this engine does not compute it for"

# ---- Element-wise ----

for op in ("Sub", "Div", "Mod", "Pow"):
    Adder(op)(FILE, "expected at most 2 inputs, got 3", REAL, REAL, REAL)
for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"):
    Adder(op, types=(BOOL,))(FILE, "expected at most 2 inputs, got 3", REAL, REAL, REAL)
for op in ("And", "Or", "Xor"):
    Adder(op, types=(BOOL,))(FILE, "expected at most 2 inputs, got 3", FLAG, FLAG, FLAG)
for op in ("Abs", "Exp", "Erf", "Relu", "Elu", "Softplus"):
    Adder(op)(FILE, "expected at most 1 input, got 2", REAL, REAL)
Adder("Not", types=(BOOL,))(FILE, "expected at most 1 input, got 2", FLAG, FLAG)
Adder("Where")(FILE, "expected at most 3 inputs, got 4", FLAG, REAL, REAL, REAL)
Adder("Clip", 6)(FILE, "expected at most 1 input, got 2", REAL, REAL)
for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Equal"):
    kind = (BOOL,) if op == "Equal" else (None,)
    add = Adder(op, types=kind)
    add(FILE, "expected inputs of one type, got float32 and int64", REAL, WHOLE)
    add(ENGINE, "do not broadcast", REAL, of("float32", 3, 3))
    if op != "Equal":
        add(UNSUPPORTED, f"{NO_TYPE} string", TEXT, TEXT)
        add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG, FLAG)
for dtype in ("int64", "int32"):
    zeros = np.array([1, 0, 2], dtype)
    for op in ("Div", "Mod"):
        Adder(op)(ENGINE, "an integer is divided by 0", of(dtype, 4, 3), zeros, at_run=True)
Adder("Mod")(UNSUPPORTED, "expected fmod 1 for floating-point numbers, got 0", REAL, REAL)
Adder("Mod")(UNSUPPORTED, "expected fmod 0 for integers, got 1", WHOLE, WHOLE, fmod=1, answers=True)
Adder("Mod")(FILE, "expected inputs of one type", REAL, DOUBLE, fmod=1)
add = Adder("Clip")
add(FILE, "expected inputs of one type", REAL, Known(0.0))
add(FILE, "expected inputs of one type", REAL, None, Known(1))
add(ENGINE, "expected limits of one element each", REAL, Known([1.0, 2.0], "float32"))
add(ENGINE, "expected limits of one element each", REAL, None, Known([[1.0]], "float32"))
add(UNSUPPORTED, f"{NO_TYPE} string", TEXT)
Adder("Clip", 6)(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
Adder("Clip", 6)(UNSUPPORTED, f"{NO_TYPE} float64", DOUBLE)
Adder("Max")(FILE, "expected inputs of one type", REAL, REAL, DOUBLE)
Adder("Pow")(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, WHOLE, answers=True)
Adder("Pow")(UNSUPPORTED, f"{NO_TYPE} float32", REAL, FLAG)
for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
    add = Adder(op, types=(BOOL,))
    add(FILE, "expected inputs of one type", REAL, DOUBLE)
    add(UNSUPPORTED, f"{NO_TYPE} string", TEXT, TEXT)
    add(ENGINE, "do not broadcast", REAL, of("float32", 2))
for op in ("And", "Or", "Xor"):
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, WHOLE)
    Adder(op)(FILE, "expected inputs of one type", FLAG, REAL)
    Adder(op)(ENGINE, "do not broadcast", FLAG, of("bool", 2))
add = Adder("Where", types=(FLOAT,))
add(UNSUPPORTED, f"{NO_TYPE} float32", REAL, REAL, REAL)
add(FILE, "expected inputs of one type", FLAG, REAL, DOUBLE)
add(FILE, "expected an input at position 2", FLAG, REAL)
add(ENGINE, "do not broadcast", FLAG, REAL, of("float32", 2))
for op in ("Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "Exp", "Log", "Sin", "Cos", "Tanh"):
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
for op in ("Erf", "Sigmoid"):
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} int32", of("int32", 2))
for op in ("Neg", "Abs", "Sign"):
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} bool", FLAG)
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} string", TEXT)
Adder("Relu")(UNSUPPORTED, f"{NO_TYPE} int32", of("int32", 2), answers=True)
Adder("Relu")(UNSUPPORTED, f"{NO_TYPE} string", TEXT)
Adder("Not")(UNSUPPORTED, f"{NO_TYPE} float32", REAL)
for op in ("LeakyRelu", "Elu", "Selu", "Softplus", "Softsign"):
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} string", TEXT)
for op in ("LeakyRelu", "Elu", "Selu"):
    Adder(op)(FILE, "attribute 'alpha' has an unexpected type", REAL, alpha=1)
add = Adder("Dropout")
half = Known(0.5, "float32")
add(UNSUPPORTED, "this engine does not train", REAL, half, Known(True), answers=True)
add(UNSUPPORTED, "this engine does not train", REAL, half, np.array(False), answers=True)
add(UNSUPPORTED, "does not compute its mask", REAL, types=(None, BOOL), answers=True)
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
add = Adder("BatchNormalization")
per_channel = [of("float32", 3)] * 4
add(ENGINE, "one number for each of 3 channels", REAL, *[of("float32", 2)] * 4)
add(ENGINE, "one number for each of 3 channels", REAL, *per_channel[1:], of("float32", 3, 1))
add(FILE, "expected inputs of one type", REAL, *per_channel[1:], of("float64", 3), answers=None)
add(FILE, "expected an input at position 4", REAL, *per_channel[1:])
add(ENGINE, "rank 2 or more", of("float32", 3), *per_channel, answers=None)
add(UNSUPPORTED, "this engine does not train", REAL, *per_channel, training_mode=1, answers=None)
add(UNSUPPORTED, "by channels only", REAL, *per_channel, version=7, spatial=0, answers=None)
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, *[of("int64", 3)] * 4)
for op in ("IsNaN", "IsInf"):
    Adder(op, types=(BOOL,))(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
add = Adder("Cast")
add(UNSUPPORTED, "does not cast float32 to string", REAL, to=8, types=(8,), answers=True)
add(UNSUPPORTED, "does not cast string to float32", TEXT, to=1, types=(1,), at_run=False)
add(UNSUPPORTED, "does not cast float32 to float16", REAL, to=10, types=(FLOAT,))
add(UNSUPPORTED, "does not cast float32 to", REAL, to=2**40, types=(FLOAT,))
add(FILE, "attribute 'to' has an unexpected type", REAL, to=1.5)

# ---- Shapes ----

add = Adder("Reshape")
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([12], np.int64), answers=True)
add(ENGINE, "does not fit the number of elements", REAL, ints(5, 2))
add(ENGINE, "does not fit the number of elements", REAL, ints(-1, 5))
add(FILE, "leaves more than one dimension open", REAL, ints(-1, -1))
add(FILE, "has a negative dimension", REAL, ints(-2, 6))
add(FILE, "takes a dimension from the input", REAL, ints(4, 3, 0))
add(FILE, "expected integers, got float32", REAL, Known(np.ones(2, np.float32)))
add(FILE, "expected an input at position 1", REAL)
for version in (11, 21):
    add = Adder("Squeeze", version)
    axis = {"axes": [0]} if version == 11 else {}
    add(ENGINE, "only a dimension of 1", *([REAL] if axis else [REAL, ints(0)]), **axis)
    axis = {"axes": [2]} if version == 11 else {}
    add(FILE, "axis 2 of a tensor of rank 2", *([REAL] if axis else [REAL, ints(2)]), **axis)
    add = Adder("Unsqueeze", version)
    axis = {"axes": [0, 0]} if version == 11 else {}
    add(FILE, "an axis is given twice", *([REAL] if axis else [REAL, ints(0, 0)]), **axis)
    axis = {"axes": [-4]} if version == 11 else {}
    add(FILE, "axis -4 of a tensor of rank 3", *([REAL] if axis else [REAL, ints(-4)]), **axis)
Adder("Squeeze")(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([0]), answers=False)
Adder("Flatten")(FILE, "axis 3 of a tensor of rank 2", REAL, axis=3)
Adder("Flatten")(FILE, "axis -3 of a tensor of rank 2", REAL, axis=-3)
add = Adder("Constant", types=(FLOAT,))
add(UNSUPPORTED, "does not know the kind of its value")
add = Adder("ConstantOfShape", types=(FLOAT,))
add(FILE, "negative dimension", ints(2, -1))
add(UNSUPPORTED, "depends on the inputs' values", np.array([2], np.int64), answers=True)
add(FILE, "does not have one element", ints(2), value=np.ones(2, np.float32))
add(FILE, "expected integers", Known(np.ones(1, np.float32)))
add = Adder("Range", types=(INT64,))
zero = Known(np.array(0))
add(ENGINE, "the difference of two elements is 0", zero, Known(np.array(5)), zero)
add(FILE, "three numbers of one type", zero, Known(np.array(5.0)), Known(np.array(1)))
add(FILE, "three numbers of one type", zero, Known(np.array([5, 6])), Known(np.array(1)))
add(
    UNSUPPORTED,
    "depends on the inputs' values",
    zero,
    np.array(5),
    Known(np.array(1)),
    answers=True,
)
add(FILE, "expected an input at position 2", zero, zero)
tiny, inf = Known(np.array(5e-324)), Known(np.array(np.inf))
Adder("Range")(ENGINE, "not finite or too large", Known(np.array(0.0)), inf, Known(np.array(1.0)))
Adder("Range")(ENGINE, "not finite or too large", Known(np.array(0.0)), Known(np.array(1.0)), tiny)

# ---- Copies ----

add = Adder("Expand")
add(ENGINE, "does not broadcast to the shape", REAL, ints(4, 2))
add(ENGINE, "does not broadcast to the shape", REAL, ints(-1, 3))
add(FILE, "negative dimension", of("float32", 1, 3), ints(-1, 3))
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([4, 3]), answers=True)
add = Adder("Tile")
add(ENGINE, "a number of repeats for each dimension", REAL, ints(2))
add(FILE, "a number of repeats is negative", REAL, ints(2, -1))
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([1, 2]), answers=True)
add = Adder("Transpose")
add(FILE, "is not a permutation", REAL, perm=[0, 0])
add(FILE, "axis 2 of a tensor of rank 2", REAL, perm=[0, 2])
add(FILE, "does not fit the input's rank", REAL, perm=[0])
add(FILE, "is not a permutation", REAL, perm=[0, -1])
add = Adder("Slice")
add(FILE, "a step is 0", REAL, ints(0), ints(2), ints(0), ints(0))
add(FILE, "an axis is given twice", REAL, ints(0, 0), ints(2, 2), ints(0, -2))
add(FILE, "different numbers of elements", REAL, ints(0, 0), ints(2))
add(FILE, "axis 2 of a tensor of rank 2", REAL, ints(0), ints(2), ints(2))
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([0]), ints(2), answers=True)
add(FILE, "different numbers of elements", REAL, version=9, starts=[0], ends=[1, 2])
add = Adder("Concat")
add(FILE, "attribute 'axis' is missing", REAL, REAL)
add(ENGINE, "differ in another dimension", REAL, of("float32", 3, 3), axis=1)
add(ENGINE, "differ in another dimension", REAL, of("float32", 4), axis=0)
add(FILE, "expected inputs of one type", REAL, DOUBLE, axis=1)
add(FILE, "axis 2 of a tensor of rank 2", REAL, REAL, axis=2)
add = Adder("Split", types=(None, None))
add(ENGINE, "do not add up", REAL, ints(1, 1), axis=1)
add(ENGINE, "do not add up", REAL, ints(-1, 4), axis=1)
add(ENGINE, "do not add up", REAL, ints(1, 1, 1), axis=1)
add(ENGINE, "cannot be split into parts of one size", REAL, axis=1, version=13)
add(FILE, "does not fit the outputs", REAL, axis=1, num_outputs=3)
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([1, 2]), axis=1, answers=True)
add(ENGINE, "do not add up", REAL, axis=1, split=[1, 1], version=11)
add = Adder("Pad")
add(UNSUPPORTED, "pads with a constant only", REAL, ints(0, 1, 0, 1), mode="reflect", answers=True)
add(FILE, "two numbers for each axis", REAL, ints(1, 2))
add(ENGINE, "more elements are removed", REAL, ints(0, -4, 0, 0))
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([0, 1, 0, 1]), answers=True)
add(FILE, "expected one constant", REAL, ints(0, 1, 0, 1), Known(np.float64(1)))
add(FILE, "an axis is given twice", REAL, ints(1, 1, 1, 1), None, ints(0, -2))
add(UNSUPPORTED, "does not pad strings", TEXT, ints(0, 1, 0, 1), answers=False)
add(
    UNSUPPORTED,
    "pads with a constant only",
    REAL,
    version=7,
    mode="edge",
    pads=[0, 1, 0, 1],
    answers=True,
)

# ---- Indices ----

add = Adder("Gather")
out = "an index is outside of its axis"
add(ENGINE, out, REAL, ints(4), at_run=True)
add(ENGINE, out, REAL, ints(-5), at_run=True)
add(ENGINE, out, REAL, np.array([0, 2**62]), at_run=True)
add(ENGINE, out, Known([1.0, 2.0]), np.array([-(2**63)]), at_run=True, types=(11,))
add(ENGINE, out, of("float32", 0, 3), np.array([0]), at_run=True)
add(FILE, "expected indices of int64 or int32", REAL, REAL)
add(FILE, "axis 2 of a tensor of rank 2", REAL, ints(0), axis=2)
add(FILE, "axis 0 of a tensor of rank 0", of("float32"), ints(0))
add = Adder("GatherElements")
add(ENGINE, out, REAL, np.array([[0, 7, 0]]), at_run=True)
add(ENGINE, "do not fit the shape", REAL, np.array([0, 1]))
add(ENGINE, "do not fit the shape", REAL, np.zeros((4, 9), np.int64), axis=0)
add(FILE, "expected indices of int64 or int32", REAL, REAL)
add = Adder("GatherND")
add(ENGINE, out, REAL, np.array([[0, 3]]), at_run=True)
add(FILE, "do not fit the rank", REAL, np.array([[0, 0, 0]]))
add(FILE, "do not fit the rank", REAL, np.array([[0]]), batch_dims=2)
add(FILE, "do not fit the rank", REAL, np.array([[0]]), batch_dims=-1)
add(ENGINE, "differ in shape", REAL, np.array([[0]]), batch_dims=1)
for op, version in (("Scatter", 9), ("ScatterElements", 18)):
    add = Adder(op, version)
    one = of("float32", 1, 3)
    add(ENGINE, out, REAL, np.array([[0, 9, 0]]), one, at_run=True)
    add(ENGINE, "differ in shape", REAL, np.array([[0, 1, 0]]), of("float32", 1, 2))
    add(FILE, "expected updates of the type", REAL, np.array([[0, 1, 0]]), of("float64", 1, 3))
add = Adder("ScatterElements")
index = np.array([[0, 1, 0]])
add(
    UNSUPPORTED, "reduces by 'none' and 'add' only", REAL, index, one, reduction="mul", answers=True
)
add(
    UNSUPPORTED,
    "does not add string",
    TEXT,
    index,
    of("object", 1, 3),
    reduction="add",
    answers=True,
)
add = Adder("Compress")
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([True]), answers=True)
add(FILE, "expected a condition of bool", REAL, ints(1))
add(FILE, "axis 2 of a tensor of rank 2", REAL, Known([True]), axis=2)
add = Adder("OneHot", types=(FLOAT,))
two = Known(np.array([0, 1], np.float32))
add(ENGINE, "more than 0 as the depth", WHOLE, ints(0), two)
add(ENGINE, "more than 0 as the depth", WHOLE, ints(-3), two)
add(UNSUPPORTED, "depends on the inputs' values", WHOLE, np.array([3]), two, answers=True)
add(FILE, "expected two values", WHOLE, ints(3), Known(np.ones(3, np.float32)))
add(FILE, "axis 3 of a tensor of rank 3", WHOLE, ints(3), two, axis=3)
add(UNSUPPORTED, "does not take indices of bool", FLAG, ints(3), two)

# ---- Reductions and products ----

for op in (
    *("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"),
    *("ReduceMax", "ReduceMin", "ReduceLogSumExp"),
):
    before = 11 if op == "ReduceSum" else 13
    add = Adder(op)
    add(FILE, "axis 2 of a tensor of rank 2", REAL, ints(2))
    add(FILE, "axis -3 of a tensor of rank 2", REAL, version=before, axes=[-3])
    add(UNSUPPORTED, f"{NO_TYPE} string", TEXT, ints(1))
    add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([1]), answers=True)
    add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG, version=before)
for op in ("ArgMax", "ArgMin"):
    add = Adder(op, types=(INT64,))
    add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG, axis=1)
    add(FILE, "axis 2 of a tensor of rank 2", REAL, axis=2)
    add(ENGINE, "the axis has no elements", of("float32", 3, 0), axis=1)
add = Adder("TopK", types=(None, INT64))
add(ENGINE, "k is 4, but the axis has 3 elements", REAL, ints(4))
add(ENGINE, "k is -1, but the axis has 3 elements", REAL, ints(-1))
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array([1]), answers=True)
add(FILE, "expected k as a list of one number", REAL, ints(1, 2))
add(UNSUPPORTED, f"{NO_TYPE} string", TEXT, ints(1))
add = Adder("CumSum")
add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG, Known(1))
add(FILE, "axis 2 of a tensor of rank 2", REAL, Known(2))
add(FILE, "expected one axis", REAL, ints(0, 1))
add(UNSUPPORTED, "depends on the inputs' values", REAL, np.array(1), answers=True)
for op in ("Softmax", "LogSoftmax"):
    Adder(op)(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
    Adder(op)(FILE, "axis 2 of a tensor of rank 2", REAL, axis=2)
add = Adder("LpNormalization")
add(FILE, "p: expected 1 or 2, got 3", REAL, p=3)
add(FILE, "p: expected 1 or 2, got 0", REAL, p=0)
add(FILE, "axis 2 of a tensor of rank 2", REAL, axis=2)
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
add = Adder("MatMul")
add(ENGINE, "rows of 3 elements and columns of 4", REAL, of("float32", 4, 2))
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, of("int64", 3, 2), answers=True)
add(FILE, "expected inputs of one type", REAL, of("float64", 3, 2))
add(FILE, "an operand of rank 0", REAL, of("float32"))
add(ENGINE, "do not broadcast", of("float32", 2, 4, 3), of("float32", 3, 3, 2))
add = Adder("Gemm")
add(ENGINE, "rows of 3 elements and columns of 4", REAL, of("float32", 4, 2))
add(ENGINE, "C does not broadcast to [4,2]", REAL, of("float32", 3, 2), of("float32", 3))
add(FILE, "not a matrix", of("float32", 3), of("float32", 3, 2))
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, of("int64", 3, 2))


def ml(op: str, version: int, types: tuple[int | None, ...], **base: Any) -> Adder:
    return Adder(op, version, ML, types, base)


# ---- Look-ups ----

KEYS = of("int64", 3)
add = ml("LabelEncoder", 4, (INT64,))
add(FILE, "expected values in exactly 1 attribute, got 0", KEYS)
add(FILE, "expected keys in exactly 1 attribute, got 0", KEYS, values_int64s=[1])
two_keys = {"keys_int64s": [1], "keys_strings": ["a"], "values_int64s": [1]}
add(FILE, "expected keys in exactly 1 attribute, got 2", KEYS, **two_keys)
add(FILE, "got 2 keys and 1 values", KEYS, keys_int64s=[1, 2], values_int64s=[1])
add(
    FILE, "its keys are string, but its input is int64", KEYS, keys_strings=["a"], values_int64s=[1]
)
one_key = {"keys_int64s": [1], "values_int64s": [1]}
add(FILE, "1 element of the type of the values", KEYS, **one_key, default_tensor=np.ones(1, "f4"))
add(FILE, "1 element of the type of the values", KEYS, **one_key, default_tensor=np.ones(2, "i8"))
square = np.ones((1, 1), np.int64)
add(FILE, "expected a tensor of rank 1", KEYS, keys_tensor=square, values_int64s=[1])
small = np.ones(1, np.int32)
add(UNSUPPORTED, "got one of int32", KEYS, keys_int64s=[1], values_tensor=small, types=(6,))
ml("LabelEncoder", 2, (INT64,))(FILE, "expected values in exactly 1 attribute, got 0", KEYS)
add = ml("LabelEncoder", 1, (8,))
add(FILE, "expected classes_strings", KEYS)
add(UNSUPPORTED, f"{NO_TYPE} float32", REAL, classes_strings=["a"])
add = ml("CategoryMapper", 1, (8,))
add(FILE, "expected cats_strings and cats_int64s", KEYS)
add(FILE, "got 1 strings and 2 numbers", KEYS, cats_strings=["a"], cats_int64s=[1, 2])
add(UNSUPPORTED, f"{NO_TYPE} float32", REAL, cats_strings=["a"], cats_int64s=[1])
add = ml("OneHotEncoder", 1, (FLOAT,))
add(FILE, "expected either cats_int64s or cats_strings", KEYS)
both_kinds = {"cats_int64s": [1], "cats_strings": ["a"]}
add(FILE, "expected either cats_int64s or cats_strings", KEYS, **both_kinds)
add(ENGINE, "unknown category", KEYS, cats_int64s=[5, 2], zeros=0, at_run=True)
add(UNSUPPORTED, f"{NO_TYPE} int64", KEYS, cats_strings=["a"], answers=True)
add = ml("ArrayFeatureExtractor", 1, (None,))
add(ENGINE, "an index is out of range", REAL, ints(3), at_run=True)
add(ENGINE, "an index is out of range", REAL, np.array([-1]), at_run=True)
add(FILE, "expected indices of int64", REAL, Known(np.ones(1, np.int32)))
add(ENGINE, "at least 1 index", REAL, Known(np.ones(0, np.int64)))
add(ENGINE, "rank 1 or more", of("float32"), ints(0))
add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG, ints(0))

# ---- Features and linear models ----

add = ml("Scaler", 1, (FLOAT,))
add(FILE, "got 0 and 0", REAL)
add(FILE, "got 2 and 1", REAL, offset=[1.0, 2.0], scale=[1.0])
add(ENGINE, "expected 1 or 2 columns, got 3", REAL, offset=[1.0, 2.0], scale=[1.0, 2.0])
add(ENGINE, "rank 0", of("float32"), offset=[1.0], scale=[1.0])
add(UNSUPPORTED, f"{NO_TYPE} string", TEXT, offset=[1.0], scale=[1.0])
add = ml("Imputer", 1, (None,))
add(FILE, "expected either imputed_value_floats or imputed_value_int64s", REAL)
both_kinds = {"imputed_value_floats": [1.0], "imputed_value_int64s": [1]}
add(FILE, "expected either imputed_value_floats or imputed_value_int64s", REAL, **both_kinds)
add(UNSUPPORTED, f"{NO_TYPE} float32", REAL, imputed_value_int64s=[1])
add(UNSUPPORTED, f"{NO_TYPE} float64", DOUBLE, imputed_value_floats=[1.0])
add = ml("Binarizer", 1, (None,))
add(UNSUPPORTED, f"{NO_TYPE} float64", DOUBLE)
add(ENGINE, "the input has a NaN", np.full((2, 2), np.nan, np.float32), at_run=True)
add = ml("Normalizer", 1, (FLOAT,))
add(FILE, "norm: expected MAX, L1 or L2", REAL, norm="L3")
add(ENGINE, "rank 3", of("float32", 2, 2, 2))
add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG)
add = ml("FeatureVectorizer", 1, (FLOAT,))
add(FILE, "expected one number for each of 1 inputs, got 0", REAL)
add(FILE, "expected one number for each of 1 inputs, got 2", REAL, inputdimensions=[1, 2])
add(FILE, "inputdimensions: out of range", REAL, inputdimensions=[-1])
add(FILE, "inputdimensions: out of range", REAL, inputdimensions=[2**62])
add(ENGINE, "different numbers of rows", REAL, of("float32", 2, 1), inputdimensions=[3, 1])
add = ml("LinearRegressor", 1, (FLOAT,))
add(FILE, "targets: expected 1 or more", REAL)
add(FILE, "targets: expected 1 or more", REAL, coefficients=[1.0] * 3, targets=0)
add(FILE, "targets: expected 1 or more", REAL, coefficients=[1.0] * 3, targets=2**62)
add(ENGINE, "coefficients for 2 columns, but its input has 3", REAL, coefficients=[1.0, 2.0])
add(FILE, "post_transform: expected NONE", REAL, coefficients=[1.0] * 3, post_transform="X")
add(UNSUPPORTED, f"{NO_TYPE} float64", DOUBLE, coefficients=[1.0] * 3)
model = {"coefficients": [1.0] * 3, "intercepts": [1.0], "classlabels_ints": [1, 2]}
add = ml("LinearClassifier", 1, (INT64, FLOAT), **model)
add(FILE, "a label for each class, got 1", REAL, classlabels_ints=[1])
add(FILE, "a label for each class, got 3", REAL, classlabels_ints=[1, 2, 3])
add(FILE, "either classlabels_ints or classlabels_strings", REAL, classlabels_strings=["a", "b"])
add(FILE, "coefficients and an intercept for each class", REAL, intercepts=None)
add(ENGINE, "coefficients for 2 columns", REAL, coefficients=[1.0, 2.0])
add(FILE, "post_transform: expected NONE", REAL, post_transform="X")
add(UNSUPPORTED, "PROBIT for two classes", REAL, post_transform="PROBIT", answers=True)
add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG)

# ---- Support vector machines and distances ----

kernel: dict[str, Any] = {"kernel_type": "RBF", "kernel_params": [0.5, 0.0, 3.0]}
model = {**kernel, "n_supports": 2, "support_vectors": [1.0] * 6, "coefficients": [1.0, -2.0]}
model["rho"] = [0.25]
add = ml("SVMRegressor", 1, (FLOAT,), **model)
add(FILE, "expected coefficients and rho", REAL, coefficients=None)
add(FILE, "expected coefficients and rho", REAL, rho=None)
add(FILE, "a coefficient for each of 2 vectors, got 1", REAL, coefficients=[1.0], answers=None)
add(FILE, "n_supports: expected 0 or more, got -1", REAL, n_supports=-1)
add(FILE, "6 numbers for 4 vectors", REAL, n_supports=4)
add(FILE, "6 numbers for 4611686018427387904 vectors", REAL, n_supports=2**62)
add(FILE, "0 numbers for 2 vectors", REAL, support_vectors=None)
add(FILE, "kernel_type: expected LINEAR, POLY, RBF or SIGMOID", REAL, kernel_type="X")
add(FILE, "kernel_params: expected gamma, coef0 and degree", REAL, kernel_params=None)
add(FILE, "got 2 numbers", REAL, kernel_params=[1.0, 2.0], answers=None)
add(ENGINE, "vectors have 3 components, but its input has 2 columns", of("float32", 4, 2))
add(ENGINE, "rank 3", of("float32", 4, 3, 1), answers=None)
add(UNSUPPORTED, f"{NO_TYPE} float64", DOUBLE)
add(UNSUPPORTED, "no post_transform for it but NONE", REAL, post_transform="LOGISTIC", answers=True)
add(FILE, "post_transform: expected NONE", REAL, post_transform="X")
model = {**model, "n_supports": None, "vectors_per_class": [1, 1], "classlabels_ints": [3, 4]}
add = ml("SVMClassifier", 1, (INT64, FLOAT), **model)
add(FILE, "expected coefficients and rho", REAL, coefficients=None)
add(FILE, "expected coefficients and rho", REAL, rho=None)
add(FILE, "either classlabels_ints or classlabels_strings", REAL, classlabels_ints=None)
both_kinds = {"classlabels_strings": ["a", "b"]}
add(FILE, "either classlabels_ints or classlabels_strings", REAL, **both_kinds, answers=None)
add(UNSUPPORTED, "expected 2 to 65535 classes, got 1", REAL, classlabels_ints=[1], answers=False)
add(FILE, "one number for each of 2 classes, got 1", REAL, vectors_per_class=[2])
add(FILE, "one number for each of 2 classes, got 3", REAL, vectors_per_class=[1, 1, 0])
add(FILE, "got -1 for a class", REAL, vectors_per_class=[3, -1], answers=None)
add(FILE, "got 4611686018427387904 for a class", REAL, vectors_per_class=[1, 2**62], answers=None)
add(FILE, "got 6 for a class", REAL, vectors_per_class=[1, 6], answers=None)
add(FILE, "6 numbers for 4 vectors", REAL, vectors_per_class=[1, 3], answers=None)
add(FILE, "coefficients: expected at least 2 numbers, got 1", REAL, coefficients=[1.0])
three = {"classlabels_ints": [1, 2, 3], "vectors_per_class": [1, 1, 1]}
add(FILE, "coefficients: expected at least 6 numbers, got 2", REAL, **three)
add(FILE, "rho: expected at least 3 numbers, got 1", REAL, **three, coefficients=[1.0] * 6)
add(FILE, "prob_a and prob_b of one length, got 1 and 0", REAL, prob_a=[1.0])
less = {**three, "coefficients": [1.0] * 6, "rho": [1.0] * 3, "prob_a": [1.0], "prob_b": [1.0]}
add(FILE, "prob_a: expected at least 3 numbers, got 1", REAL, **less)
add(FILE, "kernel_type: expected LINEAR, POLY, RBF or SIGMOID", REAL, kernel_type="X")
add(FILE, "got 4 numbers", REAL, kernel_params=[1.0] * 4)
add(
    ENGINE,
    "vectors have 3 components, but its input has 2 columns",
    of("float32", 4, 2),
    answers=None,
)
add(UNSUPPORTED, "PROBIT for two classes", REAL, post_transform="PROBIT", answers=True)
add(UNSUPPORTED, f"{NO_TYPE} bool", FLAG)
linear = {"vectors_per_class": None, "support_vectors": None, "coefficients": [1.0] * 5}
add(FILE, "5 numbers for 2 vectors", REAL, **linear, answers=None)
add = Adder("CDist", 1, MICROSOFT, base={"metric": "euclidean"})
add(FILE, "metric: expected euclidean or sqeuclidean, got 'cosine'", REAL, REAL, metric="cosine")
add(FILE, "expected inputs of one type, got float32 and float64", REAL, DOUBLE)
add(ENGINE, "two matrices with rows of one length", REAL, of("float32", 2, 4))
add(ENGINE, "two matrices with rows of one length", REAL, of("float32", 3))
add(ENGINE, "two matrices with rows of one length", of("float32", 4, 0), of("float32", 2, 0))
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, WHOLE)
