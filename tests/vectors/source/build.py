"""Small helpers over onnx.helper: build a model, add a contract, store its bytes.

Used by every module of this folder.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
CASES = ROOT / "cases"

DTYPES = {
    "float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint16": TensorProto.UINT16,
    "int16": TensorProto.INT16, "int32": TensorProto.INT32, "int64": TensorProto.INT64, "string": TensorProto.STRING,
    "bool": TensorProto.BOOL, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE, "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64, "bfloat16": TensorProto.BFLOAT16, "float8e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8e4m3fnuz": TensorProto.FLOAT8E4M3FNUZ, "float8e5m2": TensorProto.FLOAT8E5M2,
    "float8e5m2fnuz": TensorProto.FLOAT8E5M2FNUZ, "uint4": TensorProto.UINT4, "int4": TensorProto.INT4,
}  # fmt: skip


def value(name: str, dtype: str, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, DTYPES[dtype], shape)


def const(name: str, dtype: str, shape: list[int], data: list[Any]) -> onnx.TensorProto:
    if dtype == "string":
        data = [text.encode() for text in data]
    return helper.make_tensor(name, DTYPES[dtype], shape, data)


node = helper.make_node


def model(inputs: list[Any], outputs: list[Any], nodes: list[Any], init: list[Any] | None = None, *, opset: int = 17,
          ir: int = 8, ml: bool = False, functions: list[Any] | None = None, domains: tuple[str, ...] = ()) -> onnx.ModelProto:  # fmt: skip
    """Builds a model. inputs and outputs: (name, dtype, shape), or a ready ValueInfoProto."""
    ready = [
        [v if isinstance(v, onnx.ValueInfoProto) else value(*v) for v in side]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "vectors", ready[0], ready[1], init or [])
    opsets = [helper.make_opsetid("", opset)] + (
        [helper.make_opsetid("ai.onnx.ml", 3)] if ml else []
    )
    opsets += [helper.make_opsetid(domain, 1) for domain in domains]
    return helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=ir,
        functions=functions or [],
        producer_name="vectors",
    )


def data_of(proto: onnx.ModelProto) -> bytes:
    return proto.SerializeToString(deterministic=True)


BLANK_ID = "0" * 64


def sealed(data: bytes, external: tuple[bytes, ...] = ()) -> bytes:
    """Fills in the id of a model (docs/contract.md, "The id"), which must be BLANK_ID so far."""
    if data.count(BLANK_ID.encode()) != 1:
        raise ValueError("expected one blank id")
    digest = hashlib.sha256(data)
    for content in external:
        digest.update(len(content).to_bytes(8, "little") + content)
    return data.replace(BLANK_ID.encode(), digest.hexdigest().encode())


def with_contract(
    proto: onnx.ModelProto,
    contract: dict[str, Any] | str | bytes,
    external: tuple[bytes, ...] = (),
    seal: bool = True,
) -> bytes:
    """The model's bytes with the contract inside.

    A str or bytes contract is stored as it is, however wrong. Without `seal` the id is missing.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    if isinstance(contract, dict):
        contract = json.dumps(contract, ensure_ascii=False)
    text = contract if isinstance(contract, str) else "@" * len(contract)
    helper.set_model_props(copy, {"sidecall.contract": text} | ({"sidecall.id": BLANK_ID} if seal else {}))
    data = data_of(copy)
    if isinstance(contract, bytes):  # it need not be UTF-8
        data = data.replace(text.encode(), contract)
    return sealed(data, external) if seal else data


def write_model(name: str, data: bytes | onnx.ModelProto) -> None:
    path = MODELS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data_of(data))


def tensor(dtype: str, shape: list[int], data: list[Any], raw: bool = False) -> dict[str, Any]:
    out: dict[str, Any] = {"dtype": dtype, "shape": shape, "data": data}
    if raw:
        out["raw"] = True
    return out


class Cases:
    """Collects the cases of one file and writes them in the order of collection, one per line."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.list: list[dict[str, Any]] = []

    def ok(self, what: str, model_name: str, **keys: Any) -> None:
        self.list.append({"name": f"{self.group}/{what}", "model": model_name, **keys})

    def bad(
        self,
        what: str,
        model_name: str,
        status: str,
        error: dict[str, Any] | None = None,
        **keys: Any,
    ) -> None:
        case = {
            "name": f"{self.group}/{what}",
            "model": model_name,
            **keys,
            "expect_status": status,
        }
        if error:
            case["expect_error"] = error
        if "after" in case:
            case["after"] = (
                f"{self.group}/{case['after']}" if "/" not in case["after"] else case["after"]
            )
        self.list.append(case)

    def write(self) -> int:
        CASES.mkdir(exist_ok=True)
        lines = ",\n".join("  " + json.dumps(case, ensure_ascii=True) for case in self.list)
        (CASES / f"{self.group}.json").write_text(f"[\n{lines}\n]\n")
        return len(self.list)
