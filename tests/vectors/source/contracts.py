"""Models with a contract that is written by hand, as docs/contract.md describes it: every feature
type, encoding, role and rule.

Used by records.py and opening.py.
"""

from __future__ import annotations

import copy
from typing import Any

import onnx

from .build import const, model, node, with_contract, write_model

Contract = dict[str, Any]


def feature(
    name: str, dtype: str, at: str | None = None, column: int = 0, missing: Any = None, **more: Any
) -> dict[str, Any]:
    """`missing` makes the feature nullable."""
    out = {
        "name": name,
        "type": dtype,
        "nullable": missing is not None,
        "input": at or name,
        "column": column,
        **more,
    }
    if missing is not None:
        out["missing"] = missing
    return out


def contract(name: str, task: str, features: list[Any], outputs: list[Any], golden: tuple[list[Any], dict[str, Any]] | None = None,
             tolerance: float = 1e-6) -> Contract:  # fmt: skip
    """golden: the values of each feature, and the answers of each output that is verified."""
    out: Contract = {
        "format": 5,
        "model": {
            "name": name,
            "version": "7",
            "created": "2026-11-24T12:00:00Z",
            "task": task,
            "metadata": {"owner": "vectors"},
        },
        "features": features,
        "outputs": outputs,
        "verification": {"source": "none"},
        "parity": {"rows": 0, "weak": True, "outputs": [], "precision": "float32"},
        "versions": {"onnx": "any"},
    }
    if golden:
        columns, answers = golden
        tolerances = {
            k: {"absolute": tolerance, "relative": 1e-5} for k, v in answers.items() if k != "label"
        }
        out["verification"] = {
            "source": "synthetic",
            "rows": len(columns[0]),
            "features": columns,
            "outputs": answers,
            "tolerance": tolerances,
        }
    return out


NAN, FILL = "nan", {"value": "\ufdd0"}
FINITE_FLOAT32 = {"domain": [[-3.4028234663852886e38, 3.4028234663852886e38]]}


def matrix() -> tuple[onnx.ModelProto, Contract]:
    """prediction = a + 10 b + 100 c + 1000 d, where NaN counts as -1."""
    nodes = [
        node("IsNaN", ["X"], ["gone"]),
        node("Where", ["gone", "minus", "X"], ["filled"]),
        node("MatMul", ["filled", "weights"], ["prediction"]),
    ]
    graph = model([("X", "float32", ["N", 4])], [("prediction", "float32", ["N", 1])], nodes,
                  [const("minus", "float32", [1], [-1]), const("weights", "float32", [4, 1], [1, 10, 100, 1000])])  # fmt: skip
    features = [
        feature("a", "float32", "X", 0, NAN),
        feature("b", "int64", "X", 1, NAN),
        feature("c", "bool", "X", 2),
        feature("d", "float32", "X", 3),
    ]
    golden = ([[1.5, None], [2, None], [True, False], [0.25, 4]], {"prediction": [371.5, 3989]})
    return graph, contract(
        "matrix",
        "regression",
        features,
        [{"name": "prediction", "role": "prediction", "type": "float32"}],
        golden,
    )


def kinds() -> tuple[onnx.ModelProto, Contract]:
    """A model with one input per feature: two features of each type, of which one is nullable.

    `transformed` returns each value as float64; a table maps the strings to numbers.
    """
    table = {
        "keys_strings": ["a", "b", "Größe", "\ufdd0"],
        "values_floats": [1.0, 2.0, 3.0, -1.0],
        "default_float": 0.0,
    }
    columns = [
        ("f32", "float32", NAN),
        ("f64", "float64", NAN),
        ("i64", "int64", {"value": -999}),
        ("flag", "bool", NAN),
        ("word", "string", FILL),
    ]
    columns += [(name + "_must", dtype, None) for name, dtype, _ in columns]
    inputs, nodes, features = [], [], []
    for name, dtype, missing in columns:
        # A bool tensor has no spare value that could mean missing; a floating-point column has NaN.
        inputs.append((name, "float32" if dtype == "bool" and missing else dtype, ["N", 1]))
        more = FINITE_FLOAT32 if dtype == "float32" else {}
        features.append(feature(name, dtype, missing=missing, **more))
        if dtype == "string":
            nodes.append(
                node("LabelEncoder", [name], [name + "_code"], domain="ai.onnx.ml", **table)
            )
        nodes.append(
            node("Cast", [name + "_code" if dtype == "string" else name], [name + "_out"], to=11)
        )
    nodes.append(node("Concat", [name + "_out" for name, _, _ in columns], ["transformed"], axis=1))
    graph = model(inputs, [("transformed", "float64", ["N", 10])], nodes, ml=True)
    golden = ([[0.5, None], [0.1, None], [7, None], [True, None], ["a", None], [0.5, 2], [0.1, 1e300], [9007199254740993, -5], [True, False], ["Größe", "zzz"]],
              {"transformed": [[0.5, 0.1, 7, 1, 1, 0.5, 0.1, 9007199254740992, 1, 3], ["nan", "nan", -999, "nan", -1, 2, 1e300, -5, 0, 0]]})  # fmt: skip
    return graph, contract(
        "kinds",
        "transform",
        features,
        [{"name": "transformed", "role": "transformed", "type": "float64", "width": 10}],
        golden,
        0,
    )


def closed() -> tuple[onnx.ModelProto, Contract]:
    """Closed lists for each type that can have one.

    prediction = code of size + level + 100 door, where a missing size counts as -1.
    """
    nodes = [
        node("LabelEncoder", ["size"], ["code"], domain="ai.onnx.ml", keys_strings=["S", "M", "L", "\ufdd0"], values_floats=[1.0, 2.0, 3.0, -1.0], default_float=99.0),
        node("Cast", ["level"], ["level_f"], to=1), node("Cast", ["door"], ["door_f"], to=1), node("Mul", ["door_f", "hundred"], ["door_h"]),
        node("Sum", ["code", "level_f", "door_h"], ["prediction"]),
    ]  # fmt: skip
    graph = model(
        [("size", "string", ["N", 1]), ("level", "int64", ["N", 1]), ("door", "bool", ["N", 1])],
        [("prediction", "float32", ["N", 1])],
        nodes,
        [const("hundred", "float32", [1], [100])],
        ml=True,
    )
    features = [
        feature("size", "string", missing=FILL, allowed=["S", "M", "L"]),
        feature("level", "int64", allowed=[10, 20]),
        feature("door", "bool", allowed=[True]),
    ]
    golden = ([["S", None], [10, 20], [True, True]], {"prediction": [111, 119]})
    return graph, contract(
        "closed",
        "regression",
        features,
        [{"name": "prediction", "role": "prediction", "type": "float32"}],
        golden,
    )


LABELS = {"string": ["no", "yes", 'don\'t "know"'], "int64": [3, 5, -7], "bool": [False, True]}


def classifier(
    label_type: str, tensor_type: str | None = None, threshold: float | None = None
) -> tuple[onnx.ModelProto, Contract]:
    """probabilities are the inputs x0, x1, (x2) themselves.

    The label is their argmax. With a threshold it is class 1 if x1 lies above it, else class 0.
    """
    classes = LABELS[label_type]
    if threshold is not None:
        classes = classes[:2]
    n, tensor_type = len(classes), tensor_type or label_type
    init = [
        const(
            "classes", tensor_type, [n], [int(c) if tensor_type != "string" else c for c in classes]
        )
    ]
    nodes = [node("Identity", ["X"], ["probabilities"])]
    if threshold is None:
        nodes.append(node("ArgMax", ["X"], ["best"], axis=1, keepdims=0))
    else:
        init += [const("one", "int64", [1], [1]), const("cut", "float32", [1], [threshold])]
        nodes += [
            node("Gather", ["X", "one"], ["second"], axis=1),
            node("Squeeze", ["second", "one"], ["flat"]),
            node("Greater", ["flat", "cut"], ["above"]),
            node("Cast", ["above"], ["best"], to=7),
        ]
    nodes.append(node("Gather", ["classes", "best"], ["label"]))
    graph = model(
        [("X", "float32", ["N", n])],
        [("label", tensor_type, ["N"]), ("probabilities", "float32", ["N", n])],
        nodes,
        init,
    )
    decision: dict[str, Any] = {"rule": "argmax", "output": "probabilities"}
    if threshold is not None:
        decision = {
            "rule": "threshold",
            "output": "probabilities",
            "column": 1,
            "threshold": threshold,
        }
    outputs = [{"name": "label", "role": "label", "type": label_type, "classes": classes, "decision": decision},
               {"name": "probabilities", "role": "probabilities", "type": "float32", "classes": classes}]  # fmt: skip
    rows = [[0.75, 0.25, 0.0][:n], [0.125, 0.875, 0.0][:n]]
    golden = (
        [[row[i] for row in rows] for i in range(n)],
        {"label": [classes[0], classes[1]], "probabilities": rows},
    )
    return graph, contract(
        "classifier",
        "classification",
        [feature(f"x{i}", "float32", "X", i) for i in range(n)],
        outputs,
        golden,
    )


def wide(
    role: str,
    dtype: str = "float32",
    classes: list[Any] | None = None,
    width: int | None = 2,
    rank1: bool = False,
) -> tuple[onnx.ModelProto, Contract]:
    """The output named `role` holds x0 and x1 if `width` is 2, and otherwise their sum."""
    shape: list[Any] = ["N", width] if width and width > 1 else ["N"] if rank1 else ["N", 1]
    nodes = (
        [node("Identity", ["X"], ["values"])]
        if width and width > 1
        else [node("ReduceSum", ["X", "axis"], ["values"], keepdims=0 if rank1 else 1)]
    )
    nodes.append(
        node("Cast", ["values"], [role], to={"float32": 1, "float64": 11, "int64": 7}[dtype])
    )
    graph = model(
        [("X", "float32", ["N", 2])],
        [(role, dtype, shape)],
        nodes,
        [const("axis", "int64", [1], [1])] if nodes[0].op_type == "ReduceSum" else [],
    )
    output: dict[str, Any] = {"name": role, "role": role, "type": dtype}
    if classes:
        output["classes"] = classes
    if width and not (classes and role in ("scores", "probabilities")):
        output["width"] = width
    features = [feature("x0", "float32", "X", 0), feature("x1", "float32", "X", 1)]
    answers = [[1, 2], [3, 4]] if width and width > 1 else [[3], [7]] if width == 1 else [3, 7]
    return graph, contract(
        role, "regression", features, [output], ([[1, 3], [2, 4]], {role: answers})
    )


def text() -> tuple[onnx.ModelProto, Contract]:
    """A text pipeline: one string input of rank 1. prediction = number of words."""
    nodes = [
        node("StringSplit", ["text"], ["words", "counts"]),
        node("Cast", ["counts"], ["prediction"], to=1),
    ]
    graph = model(
        [("text", "string", ["N"])], [("prediction", "float32", ["N"])], nodes, opset=20, ir=9
    )
    return graph, contract(
        "text",
        "regression",
        [feature("text", "string")],
        [{"name": "prediction", "role": "prediction", "type": "float32"}],
        ([["one two", ""]], {"prediction": [2, 0]}),
    )


def floats(dtype: str, name: str = "", **domain: Any) -> tuple[onnx.ModelProto, Contract]:
    """`transformed` holds, as float64, the values of the input tensor, whose type is `dtype`.

    The values are a number x, which may be missing, and an integer n.
    """
    graph = model(
        [("X", dtype, ["N", 2])],
        [("transformed", "float64", ["N", 2])],
        [node("Cast", ["X"], ["transformed"], to=11)],
    )
    golden = ([[0.5, None], [3, -4]], {"transformed": [[0.5, 3], ["nan", -4]]})
    features = [feature("x", dtype, "X", 0, NAN, **domain), feature("n", "int64", "X", 1)]
    outputs = [{"name": "transformed", "role": "transformed", "type": "float64", "width": 2}]
    return graph, contract(name or f"floats_{dtype}", "transform", features, outputs, golden, 0)


def names() -> tuple[onnx.ModelProto, Contract]:
    """Names and classes that are not identifiers, and that JSON must escape."""
    graph, made = classifier("string")
    features = ["Größe (cm)", 'a.b "c" \\ /', "tab\tnew\nline 🐧"]
    classes = ["", "dotted.class", 'quote " back \\ tab \t é']
    for i, one in enumerate(made["features"]):
        one["name"] = features[i]
    for output in made["outputs"]:
        output["classes"] = classes
    made["verification"]["outputs"]["label"] = classes[:2]
    graph.graph.initializer[0].CopyFrom(const("classes", "string", [3], classes))
    return graph, made


MAKERS = {
    "matrix": matrix, "kinds": kinds, "closed": closed, "text": text, "names": names,
    "label_string": lambda: classifier("string"), "label_int": lambda: classifier("int64"), "label_bool": lambda: classifier("bool"),
    "label_bool_int": lambda: classifier("bool", "int64"), "threshold": lambda: classifier("string", threshold=0.375),
    "prediction_wide": lambda: wide("prediction"), "prediction_width1": lambda: wide("prediction", width=1), "prediction_rank1": lambda: wide("prediction", width=None, rank1=True),
    "prediction_float64": lambda: wide("prediction", "float64", width=None), "prediction_int64": lambda: wide("prediction", "int64", width=None),
    "label_wide": lambda: wide("label", "int64", classes=[0, 1, 2, 3, 4]), "scores": lambda: wide("scores", width=None), "scores_wide": lambda: wide("scores"),
    "scores_classes": lambda: wide("scores", classes=["in", "out"]), "transformed": lambda: wide("transformed"),
    "floats_float32": lambda: floats("float32"), "floats_float64": lambda: floats("float64"),
    "floats_finite": lambda: floats("float32", "floats_finite", **FINITE_FLOAT32),
}  # fmt: skip


def write_all() -> None:
    for name, make in MAKERS.items():
        graph, made = make()
        write_model(f"{name}.onnx", with_contract(graph, made))


def changed(name: str, change: Any) -> bytes:
    """The model `name` with a changed contract, from which opening.py makes its broken files."""
    graph, made = MAKERS[name]()
    made = copy.deepcopy(made)
    change(made)
    return with_contract(graph, made)
