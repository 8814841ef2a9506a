"""Generated Python types in tests: models to write them for, and the modules that result."""

from __future__ import annotations

import keyword
import sys
import typing
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import models
import sidecall as package
from onnx import TensorProto, helper
from pydantic import BaseModel

VECTORS = Path(__file__).parents[1] / "vectors" / "models"
LANGUAGES = ["python", "pydantic"]

# Names of features and classes that are difficult in one of the languages.
ODD_NAMES = [
    "it's",
    'a"b',
    '"""',
    'x"""\nimport os\n"""',
    "back\\slash",
    "ends with \\",
    "line\nand\r\ttab",
    "\x1b[31m",
    "\u202eevil\u2066",
    "\u2028",
    "größe",
    "\ufb01eld",  # the ligature fi, which Python would change to f and i in an identifier
    "日本",
    "🐧",
    "a b",
    "a-b",
    "a_b",
    "a_b_2",
    "2024",
    "_",
    "_x",
    "x",
    "__private",
    *("__class__", "__slots__", "__annotations__", "__dict__", "__debug__", "__init__"),
    *("model_config", "model_dump", "model_fields", "model_x", "field_model_x", "copy", "json"),
    *("dict", "schema", "validate", "construct", "self", "cls", "total", "keys", "id", "type"),
    *("str", "int", "float", "bool", "list", "Int64", "_strictly", "BaseModel", "Field"),
    *sorted({*dir(BaseModel), *dir(type(BaseModel))}),
    *("MFeatures", "MAnswer", "MProbabilities", "ValueError", "kind", "value"),
    *typing.__all__,
    *keyword.kwlist,
    *keyword.softkwlist,
]
ODD_NAMES = list(dict.fromkeys(ODD_NAMES))


def load(source: str) -> ModuleType:
    """Executes a generated file. A warning is an error."""
    module = ModuleType("generated")
    sys.modules["generated"] = module
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(source, "generated.py", "exec", dont_inherit=True), module.__dict__)
    return module


def save(
    path: Path,
    features: list[dict[str, Any]],
    *,
    classes: list[str] | None = None,
    name: str = "m",
    version: str = "1",
) -> Path:
    """Writes a model with these features, and the rest of an input for each feature.

    Its answer has the numbers 0, 1, 2, ... for the classes, or one number without classes.
    """
    width = len(classes) if classes else 1
    rows = helper.make_node("Shape", ["i0"], ["shape"], start=0, end=1)
    numbers = helper.make_tensor("numbers", TensorProto.FLOAT, [1, width], list(range(width)))
    count = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        [
            rows,
            helper.make_node("Concat", ["shape", "one"], ["repeats"], axis=0),
            helper.make_node("Tile", ["numbers", "repeats"], ["y"]),
        ],
        "m",
        [
            helper.make_tensor_value_info(
                f"i{i}", models.TYPES[feature.get("tensor", feature["type"])], ["N", 1]
            )
            for i, feature in enumerate(features)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])],
        [numbers, count],
    )
    listed = [
        {"nullable": False, "input": f"i{i}", "column": 0}
        | {key: value for key, value in feature.items() if key != "tensor"}
        for i, feature in enumerate(features)
    ]
    output = {"name": "y", "type": "float32"}
    output |= {"role": "scores", "classes": classes} if classes else {"role": "prediction"}
    contract = {
        "format": 5,
        "model": {"name": name, "version": version},
        "features": listed,
        "outputs": [output],
    }
    return models.save(path, graph, contract)


def types_of(sidecall: Any, path: Path, language: str) -> str:
    """The text for class names that begin with M. The native engine opens a file faster."""
    words = ("types", path, "--lang", language, "--name", "M")
    native = sidecall(*words, "--engine", "native")
    done = native if native.code == 0 else sidecall(*words)
    assert (done.code, done.err) == (0, "")
    return done.out


def open_model(path: Path) -> package.Model:
    return package.open(str(path), verify="off")


def opened_vectors() -> list[tuple[Path, package.Model]]:
    """Every model of the vectors that opens and has a contract."""
    found = []
    for path in sorted(VECTORS.rglob("*.onnx")):
        try:
            model = open_model(path)
        except package.Error:
            continue
        if model.contract is not None:
            found.append((path, model))
    assert len(found) >= 60
    return found
