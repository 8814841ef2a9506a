"""Reads an exported file as docs/contract.md describes, with onnx and onnxruntime only.

Uses none of sidecall's own code.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

import numpy as np
import onnx
import onnxruntime

TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}
FEATURE_TYPES = {"float32", "float64", "int64", "bool", "string", "datetime"}
ROLES = {"label", "probabilities", "prediction", "scores", "transformed"}
FLOORS = {"float32": (1e-6, 1e-5), "float64": (1e-12, 1e-9)}


class File:
    """One exported file. `ask` takes records as rows of Python values, with None for missing."""

    def __init__(self, path: Any) -> None:
        self.bytes = path.read_bytes()
        self.proto = onnx.load_from_string(self.bytes)
        onnx.checker.check_model(self.proto)
        properties = {entry.key: entry.value for entry in self.proto.metadata_props}
        assert list(properties) == ["sidecall.contract", "sidecall.id"]
        self.id = properties["sidecall.id"]
        self.text = properties["sidecall.contract"]
        self.contract = json.loads(self.text)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.bytes, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {
            spec.name: (TYPES[spec.type], spec.shape) for spec in self.session.get_inputs()
        }
        self.outputs = {
            spec.name: (TYPES[spec.type], spec.shape) for spec in self.session.get_outputs()
        }

    def tensors(self, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        result = {}
        for name, (dtype, shape) in self.inputs.items():
            width = shape[1] if len(shape) == 2 else 1
            tensor = np.empty((len(rows), width), dtype=object if dtype == "string" else dtype)
            for feature in self.contract["features"]:
                if feature["input"] == name:
                    tensor[:, feature["column"]] = [
                        encode(feature, row.get(feature["name"])) for row in rows
                    ]
            result[name] = tensor
        return result

    def ask(self, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        names = list(self.outputs)
        return dict(zip(names, self.session.run(names, self.tensors(rows)), strict=True))

    def golden_rows(self) -> list[dict[str, Any]]:
        names = [feature["name"] for feature in self.contract["features"]]
        columns = self.contract["verification"]["features"]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def encode(feature: dict[str, Any], value: Any) -> Any:
    if is_missing(value):
        assert feature["nullable"], f"{feature['name']}: a missing value is not accepted"
        return math.nan if feature["missing"] == "nan" else feature["missing"]["value"]
    if feature["type"] == "datetime":
        assert value.endswith("Z") == ("zone" in feature)
        return np.datetime64(value.removesuffix("Z"), feature["unit"]).astype("int64")
    if isinstance(value, str) and feature["type"] != "string":
        value = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[value]
    if "allowed" in feature:
        assert value in feature["allowed"], f"{feature['name']}: not in the closed list"
    return value


def is_missing(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ == "NAType"
        or (isinstance(value, float) and value != value)
    )


def records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a DataFrame as records with plain Python values."""
    return [
        {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def check_contract(file: File) -> None:
    """Checks every rule of docs/contract.md that a reader can check."""
    contract = file.contract
    assert contract["format"] == 5
    assert set(contract) - {"refused"} == {
        "format",
        "model",
        "features",
        "outputs",
        "verification",
        "parity",
        "engines",
        "versions",
    }
    assert file.id == id_of(file.bytes, file.id)
    _check_model(contract["model"])
    _check_features(contract["features"], file)
    for output in contract["outputs"]:
        _check_output(output, contract, file)
    assert [output["name"] for output in contract["outputs"]] + ["refused"] * (
        "refused" in contract
    ) == list(file.outputs)
    if "refused" in contract:
        _check_refused(contract["refused"], file)
    _check_verification(contract, file)
    assert (
        contract["parity"]["weak"] == (contract["parity"]["rows"] < 1000)
        or contract["parity"]["source"] == "synthetic"
    )
    assert contract["parity"]["precision"] in ("float32", "float64", "by step")
    assert {"sidecall", "python", "scikit-learn", "onnx", "onnxruntime", "numpy"} <= set(
        contract["versions"]
    )
    assert set(contract["engines"]) <= {"onnxruntime", "native"}
    assert contract["engines"]["onnxruntime"] == contract["versions"]["onnxruntime"]


def id_of(content: bytes, stored: str) -> str:
    """The SHA-256 of the file with 64 zeros in place of the id (no external data)."""
    assert content.count(stored.encode()) == 1
    return hashlib.sha256(content.replace(stored.encode(), b"0" * 64)).hexdigest()


def _check_model(model: dict[str, Any]) -> None:
    assert "id" not in model
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", model["created"])
    assert model["task"] in ("classification", "regression", "outlier", "clustering", "transform")
    assert (
        isinstance(model["name"], str)
        and isinstance(model["version"], str)
        and isinstance(model.get("metadata", {}), dict)
    )


def _check_features(features: list[dict[str, Any]], file: File) -> None:
    places = [(feature["input"], feature["column"]) for feature in features]
    wanted = [
        (name, column)
        for name, (_, shape) in file.inputs.items()
        for column in range(shape[1] if len(shape) == 2 else 1)
    ]
    assert sorted(places) == sorted(wanted), "every place belongs to one feature"
    names = [feature["name"] for feature in features]
    assert len(set(names)) == len(names) and all(name and "\0" not in name for name in names)
    for feature in features:
        tensor = file.inputs[feature["input"]][0]
        assert feature["type"] in FEATURE_TYPES and isinstance(feature["nullable"], bool)
        assert (feature["type"] == "string") == (tensor == "string")
        assert ("missing" in feature) == feature["nullable"]
        if feature["nullable"]:
            assert (
                feature["missing"] == "nan"
                if tensor in ("float32", "float64")
                else "value" in feature["missing"]
            )
        if feature["type"] in ("float32", "float64"):
            assert feature["type"] == tensor
        _check_domain(feature, tensor)
        assert feature.get("empty", False) is False and (
            "empty" not in feature or feature["type"] == "string"
        )
        seen = feature.get("seen", {})
        assert len(seen.get("categories", [])) <= 100 and set(seen) in (
            set(),
            {"min", "max"},
            {"categories"},
        )


def _check_domain(feature: dict[str, Any], tensor: str) -> None:
    if "domain" not in feature:
        return
    assert feature["type"] in ("float32", "float64", "int64") and "allowed" not in feature
    ends = [
        float(end) if isinstance(end, str) else end
        for interval in feature["domain"]
        for end in interval
    ]
    assert ends and all(len(interval) == 2 for interval in feature["domain"])
    assert all(low <= high for low, high in zip(ends[::2], ends[1::2], strict=True))
    assert all(high < low for high, low in zip(ends[1::2], ends[2::2], strict=False)), (
        "ascending and disjoint"
    )
    if tensor == "int64":
        assert all(type(end) is int for end in ends)
    else:
        assert all(
            type(end) is float and float(np.dtype(tensor).type(end)) == end for end in ends
        ), "numbers of the tensor's type"
    for word in ("min", "max"):
        value = feature.get("seen", {}).get(word, ends[0])
        assert any(low <= value <= high for low, high in zip(ends[::2], ends[1::2], strict=True))


def _check_refused(refused: dict[str, Any], file: File) -> None:
    assert refused["output"] == "refused" and list(file.outputs)[-1] == "refused"
    dtype, shape = file.outputs["refused"]
    assert dtype == "int64" and (len(shape) == 1 or shape[1:] == [1])
    assert refused["steps"] and all(
        set(step) == {"step", "expected"} and all(step.values()) for step in refused["steps"]
    )


def _check_output(output: dict[str, Any], contract: dict[str, Any], file: File) -> None:
    dtype, shape = file.outputs[output["name"]]
    assert (
        output["role"] in ROLES
        and {"distances": "scores", "indices": "prediction"}.get(output["name"], output["name"])
        == output["role"]
    )
    assert output["type"] == dtype or (output["type"] == "bool" and dtype == "int64")
    classes, width = output.get("classes"), output.get("width")
    if classes is not None and output["role"] == "label":
        python = {"string": str, "int64": int, "bool": bool}[output["type"]]
        assert all(type(label) is python for label in classes)
    several = (
        width
        if width is not None
        else len(classes)
        if classes is not None and output["role"] != "label"
        else None
    )
    if several is not None and len(shape) == 2 and isinstance(shape[1], int):
        assert shape[1] == several
    if several is None:
        assert len(shape) == 1 or shape[1] == 1
    assert len(shape) in (1, 2) and not isinstance(shape[0], int), "the number of rows is free"
    assert len(shape) == 1 or isinstance(shape[1], int), "the width is fixed"
    assert "finite" not in output or (
        output["finite"] is True and output["type"].startswith("float")
    )
    decision = output.get("decision")
    if decision is not None:
        assert output["role"] == "label" and decision["rule"] in ("argmax", "threshold")
        assert decision["output"] in file.outputs


def _check_verification(contract: dict[str, Any], file: File) -> None:
    part = contract["verification"]
    size = len(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode())
    assert size <= 64 * 1024
    assert part["source"] in ("synthetic", "real", "none")
    if part["source"] == "none":
        assert part["rows"] == 0
        return
    assert len(part["features"]) == len(contract["features"])
    assert all(
        len(values) == part["rows"] for values in [*part["features"], *part["outputs"].values()]
    )
    got = file.ask(file.golden_rows())
    for output in contract["outputs"]:
        if output.get("deterministic", True):
            agree(output, part, got[output["name"]], contract)
    for name, tolerance in part["tolerance"].items():
        absolute, relative = FLOORS[file.outputs[name][0]]
        assert tolerance["absolute"] >= absolute and tolerance["relative"] >= relative


def agree(
    output: dict[str, Any], part: dict[str, Any], got: np.ndarray, contract: dict[str, Any]
) -> None:
    expected = part["outputs"][output["name"]]
    got = got.reshape(len(got), -1)
    for row, values in enumerate(expected):
        values = values if isinstance(values, list) else [values]
        assert len(values) == got.shape[1]
        if output["role"] == "label":
            if [str(int(v)) if not isinstance(v, str) else v for v in values] != [
                str(int(v)) if not isinstance(v, str) else v for v in got[row]
            ]:
                assert (
                    margin(output, part, row, values[0], got[row][0])
                    <= part["tolerance"][output["decision"]["output"]]["absolute"]
                )
            continue
        for want, have in zip(values, got[row].tolist(), strict=True):
            want = float(want) if output["type"].startswith("float") else want
            if (
                output["type"].startswith("float")
                and not (math.isnan(want) and math.isnan(have))
                and want != have
            ):
                limit = part["tolerance"][output["name"]]
                assert abs(have - want) <= limit["absolute"] + limit["relative"] * abs(want), (
                    output["name"],
                    row,
                )
            elif not output["type"].startswith("float"):
                assert want == have


def margin(output: dict[str, Any], part: dict[str, Any], row: int, want: Any, have: Any) -> float:
    rule = output["decision"]
    scores = part["outputs"][rule["output"]][row]
    scores = scores if isinstance(scores, list) else [scores]
    if rule["rule"] == "threshold":
        return abs(scores[rule["column"]] - rule["threshold"])
    return scores[output["classes"].index(want)] - scores[output["classes"].index(have)]
