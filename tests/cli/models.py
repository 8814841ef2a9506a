"""Small hand-written models with a contract, so that the command's tests need no exporter.

A classifier has one input per feature and scores z = bias + sum(weight * value); P(last class) =
softmax over [-z, z].
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sidecall.exporting import artifact

MISSING_FLOAT = 40.0  # the value that the graph substitutes for a NaN
MISSING_STRING = "\ufdd0"
TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}

Feature = dict[str, Any]
Record = dict[str, Any]

AGE: Feature = {
    "name": "age",
    "type": "float32",
    "nullable": True,
    "weight": 0.02,
    "seen": {"min": 18, "max": 90},
}
INCOME: Feature = {"name": "income", "type": "float32", "nullable": False, "weight": -0.001}
KIDS: Feature = {"name": "kids", "type": "int64", "nullable": False, "weight": 0.25}
JOB: Feature = {
    "name": "job",
    "type": "string",
    "nullable": False,
    "weight": 0.5,
    "allowed": ["clerk", "nurse", "teacher"],
}
FEATURES = [AGE, INCOME, KIDS, JOB]
ROWS: list[Record] = [
    {"age": 39, "income": 1000, "kids": 0, "job": "nurse"},
    {"age": None, "income": 250.5, "kids": 2, "job": "clerk"},
    {"age": 20, "income": 2000, "kids": 1, "job": "teacher"},
]


def _number(feature: Feature, value: Any) -> float:
    if value is None:
        return MISSING_FLOAT
    return (
        float(feature["allowed"].index(value))
        if feature["type"] == "string"
        else float(np.float32(value))
    )


def score(features: list[Feature], record: Record, bias: float = 0.0) -> float:
    return bias + sum(f["weight"] * _number(f, record.get(f["name"])) for f in features)


def answer(
    features: list[Feature],
    record: Record,
    *,
    classes: tuple[Any, Any] = ("no", "yes"),
    bias: float = 0.0,
) -> Record:
    """The answer that the classifier must give for one record, by the formula."""
    p = 1 / (1 + math.exp(-2 * score(features, record, bias)))
    return {
        "label": classes[int(p > 0.5)],
        "probabilities": {str(classes[0]): 1 - p, str(classes[1]): p},
    }


def _column(feature: Feature) -> list[onnx.NodeProto]:
    """Nodes that turn a feature's input into a float32 column of the same name."""
    name, result = feature["name"], f"{feature['name']}__column"
    if feature["type"] == "string":
        keys = feature["allowed"]
        return [
            helper.make_node(
                "LabelEncoder",
                [name],
                [result],
                domain="ai.onnx.ml",
                keys_strings=keys,
                values_floats=[float(i) for i in range(len(keys))],
                default_float=-1.0,
            )
        ]
    if feature["type"] != "float32":
        return [helper.make_node("Cast", [name], [result], to=TensorProto.FLOAT)]
    return [
        helper.make_node("IsNaN", [name], [f"{result}nan"]),
        helper.make_node("Where", [f"{result}nan", "__missing", name], [result]),
    ]


def _classifier_graph(
    features: list[Feature], classes: tuple[Any, Any], bias: float
) -> onnx.GraphProto:
    weights = [f["weight"] for f in features]
    labels = (
        {"classlabels_strings": list(classes)}
        if isinstance(classes[0], str)
        else {"classlabels_ints": list(classes)}
    )
    nodes = [node for feature in features for node in _column(feature)]
    nodes.append(
        helper.make_node("Concat", [f"{f['name']}__column" for f in features], ["__X"], axis=1)
    )
    nodes.append(
        helper.make_node(
            "LinearClassifier",
            ["__X"],
            ["label", "probabilities"],
            domain="ai.onnx.ml",
            post_transform="SOFTMAX",
            coefficients=[-w for w in weights] + weights,
            intercepts=[-bias, bias],
            **labels,
        )
    )
    label_type = TensorProto.STRING if isinstance(classes[0], str) else TensorProto.INT64
    return helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(f["name"], TYPES[f["type"]], ["N", 1]) for f in features],
        [
            helper.make_tensor_value_info("label", label_type, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
        ],
        [numpy_helper.from_array(np.array([[MISSING_FLOAT]], np.float32), "__missing")],
    )


def _contract_feature(feature: Feature) -> Feature:
    entry = {k: v for k, v in feature.items() if k != "weight"} | {
        "input": feature["name"],
        "column": 0,
    }
    if feature["nullable"]:
        entry["missing"] = {"value": MISSING_STRING} if feature["type"] == "string" else "nan"
    return entry


def save(
    path: Path, graph: onnx.GraphProto, contract: dict[str, Any] | None, *, raw: str | None = None
) -> Path:
    """Writes the model with its contract.

    `raw` is a text that is stored instead of the contract.
    """
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    )
    model.ir_version = 9
    text = raw if raw is not None else json.dumps(contract) if contract is not None else None
    path.write_bytes(model.SerializeToString() if text is None else artifact.seal(model, text)[0])
    return path


def classifier_contract(
    features: list[Feature],
    classes: tuple[Any, Any],
    bias: float,
    rows: list[Record],
    name: str,
    version: str,
) -> dict[str, Any]:
    label_type = "string" if isinstance(classes[0], str) else "int64"
    answers = [answer(features, row, classes=classes, bias=bias) for row in rows]
    return {
        "format": 5,
        "model": {
            "name": name,
            "version": version,
            "created": "2026-11-24T12:00:00Z",
            "task": "classification",
            "metadata": {"owner": "tests"},
        },
        "features": [_contract_feature(f) for f in features],
        "outputs": [
            {
                "name": "label",
                "role": "label",
                "type": label_type,
                "classes": list(classes),
                "decision": {"rule": "argmax", "output": "probabilities"},
            },
            {
                "name": "probabilities",
                "role": "probabilities",
                "type": "float32",
                "classes": list(classes),
            },
        ],
        "verification": {
            "source": "synthetic",
            "rows": len(rows),
            "features": [[row.get(f["name"]) for row in rows] for f in features],
            "outputs": {
                "label": [a["label"] for a in answers],
                "probabilities": [list(a["probabilities"].values()) for a in answers],
            },
            "tolerance": {"probabilities": {"absolute": 1e-6, "relative": 1e-5}},
        },
        "parity": {
            "rows": 333,
            "weak": True,
            "precision": "float32",
            "outputs": [
                {"name": "probabilities", "largest": 1.5e-7, "at_row": 17},
                {"name": "label", "disagreements": 0, "closest_margin": None},
            ],
        },
        "versions": {"sidecall": "0.1.0", "scikit-learn": "1.9.1"},
    }


def classifier(
    path: Path,
    features: list[Feature] | None = None,
    *,
    classes: tuple[Any, Any] = ("no", "yes"),
    bias: float = 0.0,
    rows: list[Record] | None = None,
    name: str = "jobs",
    version: str = "1",
    change: Any = None,
) -> Path:
    """Writes a classifier. `change(contract)` may modify the contract before it is stored."""
    features = FEATURES if features is None else features
    contract = classifier_contract(
        features, classes, bias, ROWS if rows is None else rows, name, version
    )
    if change:
        change(contract)
    return save(path, _classifier_graph(features, classes, bias), contract)


def tensor_graph(dtype: int = TensorProto.FLOAT, width: int = 2) -> onnx.GraphProto:
    """y = x + x: a model that needs no contract."""
    return helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "tensors",
        [helper.make_tensor_value_info("x", dtype, ["N", width])],
        [helper.make_tensor_value_info("y", dtype, ["N", width])],
    )


def bare(path: Path, dtype: int = TensorProto.FLOAT, width: int = 2) -> Path:
    """Writes a file without a contract."""
    return save(path, tensor_graph(dtype, width), None)


def regressor(
    path: Path,
    *,
    names: tuple[str, ...] = ("x0", "x1"),
    weights: tuple[float, ...] = (2.0, 2.0),
    bias: float = 1.0,
) -> Path:
    """Writes a linear regression over one matrix X: the layout of models that were trained on an
    array.
    """
    width = len(names)
    graph = helper.make_graph(
        [
            helper.make_node(
                "LinearRegressor",
                ["X"],
                ["prediction"],
                domain="ai.onnx.ml",
                coefficients=list(weights),
                intercepts=[bias],
                targets=1,
            )
        ],
        "regressor",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", 1])],
    )
    contract = {
        "format": 5,
        "model": {
            "name": "price",
            "version": "3",
            "created": "2026-11-24T12:00:00Z",
            "task": "regression",
            "metadata": {},
        },
        "features": [
            {"name": name, "type": "float32", "nullable": False, "input": "X", "column": column}
            for column, name in enumerate(names)
        ],
        "outputs": [{"name": "prediction", "role": "prediction", "type": "float32"}],
        "verification": {
            "source": "synthetic",
            "rows": 2,
            "features": [[0.0, 1.0]] * width,
            "outputs": {"prediction": [bias, bias + sum(weights)]},
            "tolerance": {"prediction": {"absolute": 1e-6, "relative": 1e-5}},
        },
        "parity": {
            "rows": 1000,
            "weak": False,
            "precision": "float32",
            "outputs": [{"name": "prediction", "largest": 0.0, "at_row": 0}],
        },
        "versions": {"sidecall": "0.1.0"},
    }
    return save(path, graph, contract)
