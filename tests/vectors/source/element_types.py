"""One model per element type, and cases of `run` with its values.

Used by ../generate.py.
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from .build import DTYPES, Cases, model, node, tensor, write_model

# Three elements of each type, including the limits of its range; for raw types, their bits.
SAMPLES: dict[str, list[Any]] = {
    "float32": [1.5, -3.4028234663852886e38, 1.401298464324817e-45],
    "float64": [1.5, -1.7976931348623157e308, 5e-324],
    "int8": [0, -128, 127], "int16": [1, -32768, 32767], "int32": [1, -2147483648, 2147483647],
    "int64": [1, -9223372036854775808, 9223372036854775807], "uint8": [0, 1, 255], "uint16": [0, 1, 65535],
    "uint32": [0, 1, 4294967295], "uint64": [0, 1, 18446744073709551615], "bool": [True, False, True],
    "string": ["", "plain", "Grüße 🐧"],
}  # fmt: skip
RAW: dict[str, list[int]] = {
    "float16": [0x3C00, 0xFBFF, 0x7E00], "bfloat16": [0x3F80, 0xFF7F, 0x0001], "float8e4m3fn": [0x38, 0xFE, 0x01],
    "float8e4m3fnuz": [0x38, 0xFF, 0x01], "float8e5m2": [0x3C, 0xFB, 0x01], "float8e5m2fnuz": [0x3C, 0xFF, 0x01],
}  # fmt: skip


def types() -> Cases:
    cases = Cases("types")
    for dtype in [*SAMPLES, *RAW]:
        name, raw = f"identity_{dtype}.onnx", dtype in RAW
        write_model(
            name,
            model(
                [("x", dtype, ["N"])],
                [("y", dtype, ["N"])],
                [node("Identity", ["x"], ["y"])],
                opset=19,
                ir=9,
            ),
        )
        given = tensor(dtype, [3], RAW[dtype] if raw else SAMPLES[dtype], raw)
        cases.ok(f"identity_{dtype}", name, inputs={"x": given}, outputs={"y": given})
        # In some languages an array of integers is valid for float32 and float64. Only strings are
        # wrong in all languages; widths.py tests the other types.
        wrong = (
            "string"
            if dtype in ("float32", "float64")
            else "float32"
            if dtype == "int32"
            else "int32"
        )
        data: list[Any] = ["1", "2", "3"] if wrong == "string" else [1, 2, 3]
        cases.bad(f"identity_{dtype}_given_{wrong}", name, "DTYPE_MISMATCH", {"name": "x", "expected": dtype, "got": wrong, "num_faults": 1},
                  inputs={"x": tensor(wrong, [3], data)}, after=f"identity_{dtype}")  # fmt: skip
    for dtype, packed, back in (
        ("int4", [0x21, 0x87], [1, 2, 7, -8]),
        ("uint4", [0x21, 0xF7], [1, 2, 7, 15]),
    ):
        write_model(
            f"from_{dtype}.onnx",
            model(
                [("x", dtype, ["N"])],
                [("y", "int8", ["N"])],
                [node("Cast", ["x"], ["y"], to=TensorProto.INT8)],
                opset=21,
                ir=10,
            ),
        )
        write_model(
            f"to_{dtype}.onnx",
            model(
                [("x", "int8", ["N"])],
                [("y", dtype, ["N"])],
                [node("Cast", ["x"], ["y"], to=DTYPES[dtype])],
                opset=21,
                ir=10,
            ),
        )
        cases.ok(
            f"from_{dtype}",
            f"from_{dtype}.onnx",
            inputs={"x": tensor(dtype, [4], packed, True)},
            outputs={"y": tensor("int8", [4], back)},
        )
        cases.ok(
            f"to_{dtype}",
            f"to_{dtype}.onnx",
            inputs={"x": tensor("int8", [4], back)},
            outputs={"y": tensor(dtype, [4], packed, True)},
        )
        # Three elements fill one and a half bytes: the upper half of the last byte is unused.
        cases.ok(
            f"from_{dtype}_odd",
            f"from_{dtype}.onnx",
            inputs={"x": tensor(dtype, [3], [packed[0], packed[1] & 15], True)},
            outputs={"y": tensor("int8", [3], back[:3])},
        )
        cases.bad(f"from_{dtype}_given_int8", f"from_{dtype}.onnx", "DTYPE_MISMATCH", {"name": "x", "expected": dtype, "got": "int8"},
                  inputs={"x": tensor("int8", [4], back)}, after=f"from_{dtype}")  # fmt: skip
    cases.ok(
        "float32_not_finite",
        "identity_float32.onnx",
        inputs={"x": tensor("float32", [3], ["nan", "inf", "-inf"])},
        outputs={"y": tensor("float32", [3], ["nan", "inf", "-inf"])},
    )
    cases.ok(
        "float64_not_finite",
        "identity_float64.onnx",
        inputs={"x": tensor("float64", [3], ["nan", "inf", "-inf"])},
        outputs={"y": tensor("float64", [3], ["nan", "inf", "-inf"])},
    )
    cases.bad(
        "string_given_uint8",
        "identity_string.onnx",
        "DTYPE_MISMATCH",
        {"name": "x", "expected": "string", "got": "uint8"},
        inputs={"x": tensor("uint8", [1], [65])},
    )
    cases.bad(
        "bool_given_uint8",
        "identity_bool.onnx",
        "DTYPE_MISMATCH",
        {"name": "x", "expected": "bool", "got": "uint8"},
        inputs={"x": tensor("uint8", [1], [1])},
    )
    return cases
