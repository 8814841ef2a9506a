"""The same numbers in float32 tensors, in float64 tensors and in records, for inputs of both types.

Used by ../generate.py.
"""

from __future__ import annotations

from typing import Any

from .build import Cases, tensor

LARGEST = 3.4028234663852886e38  # the largest float32
# The largest double that rounds to LARGEST. The next double rounds to infinity: it lies half-way
# between LARGEST and 2**128, which would be the next float32.
LAST = 3.4028235677973362e38
SMALLEST = 1.401298464324817e-45
ULP = 2.0**-23  # the distance between float32 numbers at 1

# Name, doubles, and the values that these become in a float32 input. A tie rounds to even.
ROUNDED: list[tuple[str, list[Any], list[Any]]] = [
    ("decimals", [0.1, 7.315, -1e-3], [0.10000000149011612, 7.315000057220459, -0.0010000000474974513]),
    ("ties", [1 + ULP / 2, 1 + 3 * ULP / 2, -1 - ULP / 2], [1.0, 1 + 2 * ULP, -1.0]),
    ("beside_a_tie", [1 + ULP / 2 + 2.0**-52, 1 + 3 * ULP / 2 - 2.0**-52], [1 + ULP, 1 + ULP]),
    ("ends", [LARGEST, -LARGEST, 3.402823466385288e38, LAST], [LARGEST, -LARGEST, LARGEST, LARGEST]),
    ("subnormals", [SMALLEST, 1e-45, 1.1754942106924411e-38, SMALLEST * 1.5], [SMALLEST, SMALLEST, 1.1754942106924411e-38, 2 * SMALLEST]),
    ("towards_zero", [5e-324, SMALLEST / 2, -SMALLEST / 2, 1e-300], [0.0, 0.0, -0.0, 0.0]),
    ("zeros", [0.0, -0.0], [0.0, -0.0]),
    ("not_finite", ["nan", "inf", "-inf"], ["nan", "inf", "-inf"]),
]  # fmt: skip
BEYOND = "a number beyond its range"
# Doubles whose nearest float32 is an infinity.
TOO_LARGE = [3.4028235677973366e38, -1e39, 1.7976931348623157e308]


def rows(data: list[Any], dtype: str) -> dict[str, Any]:
    """A tensor for X: one row per number, with an integer next to it."""
    return tensor(
        dtype, [len(data), 2], [value for k, number in enumerate(data) for value in (number, k)]
    )


def widths() -> Cases:
    c = Cases("widths")
    for what, doubles, floats in ROUNDED:
        count = [len(doubles)]
        c.ok(
            f"float32_{what}",
            "identity_float32.onnx",
            inputs={"x": tensor("float64", count, doubles)},
            outputs={"y": tensor("float32", count, floats)},
        )
        c.ok(
            f"float64_{what}",
            "identity_float64.onnx",
            inputs={"x": tensor("float32", count, floats)},
            outputs={"y": tensor("float64", count, floats)},
        )
        held, wide = rows(floats, "float64"), rows(doubles, "float64")
        c.ok(
            f"features_float32_{what}",
            "floats_float32.onnx",
            inputs={"X": wide},
            outputs={"transformed": held},
        )
        c.ok(
            f"features_float64_{what}",
            "floats_float64.onnx",
            inputs={"X": rows(floats, "float32")},
            outputs={"transformed": held},
        )
        if what != "not_finite":  # JSON cannot express these
            record = [{"x": number, "n": k} for k, number in enumerate(doubles)]
            for dtype, answers in (("float32", floats), ("float64", doubles)):
                result = [{"transformed": [number, k]} for k, number in enumerate(answers)]
                c.ok(
                    f"records_{dtype}_{what}", f"floats_{dtype}.onnx", record=record, result=result
                )
    refusals(c)
    return c


def beyond_where_infinity_is_taken(c: Cases) -> None:
    """inverse.onnx accepts minus infinity, but not infinity.

    It therefore accepts numbers that become minus infinity when they are rounded to float32.
    """
    for k, number in enumerate(TOO_LARGE):
        low = -abs(number)
        c.ok(f"minus_infinity_{k}", "inverse.onnx", inputs={"X": tensor("float64", [3, 1], [-2, low, 4])}, outputs={"prediction": tensor("float32", [3, 1], [0.5, 0, -0.25])})  # fmt: skip
        c.ok(
            f"minus_infinity_in_a_record_{k}",
            "inverse.onnx",
            record={"x": low},
            result={"prediction": 0},
        )
        error = {
            "name": "x",
            "expected": "float32",
            "got": BEYOND,
            "row": 1,
            "num_faults": 1,
            "message": f"feature 'x': expected float32, got {BEYOND} (row 1)",
        }
        given = {"X": tensor("float64", [3, 1], [low, -low, 1])}
        c.bad(
            f"plus_infinity_{k}",
            "inverse.onnx",
            "OUT_OF_RANGE",
            error,
            inputs=given,
            after=f"minus_infinity_{k}",
        )
        record = [{"x": low}, {"x": -low}, {"x": 1}]
        c.bad(
            f"plus_infinity_in_records_{k}",
            "inverse.onnx",
            "OUT_OF_RANGE",
            error,
            record=record,
            after=f"minus_infinity_{k}",
        )


def refusals(c: Cases) -> None:
    after, features_after = "float32_decimals", "finite_decimals"
    _, doubles, floats = ROUNDED[0]
    c.ok(
        features_after,
        "floats_finite.onnx",
        inputs={"X": rows(doubles, "float64")},
        outputs={"transformed": rows(floats, "float64")},
    )
    for k, number in enumerate(TOO_LARGE):
        message = f"input 'x': expected float32, got {BEYOND} (row 1)"
        c.bad(f"beyond_{k}", "identity_float32.onnx", "OUT_OF_RANGE", {"name": "x", "expected": "float32", "got": BEYOND, "row": 1, "num_faults": 1, "message": message},
              inputs={"x": tensor("float64", [3], [0.5, number, 0.5])}, after=after)  # fmt: skip
        # The message is the same as for a record.
        message = f"feature 'x': expected float32, got {BEYOND} (row 1)"
        error = {
            "name": "x",
            "expected": "float32",
            "got": BEYOND,
            "row": 1,
            "num_faults": 1,
            "message": message,
        }
        c.bad(
            f"features_beyond_{k}",
            "floats_finite.onnx",
            "OUT_OF_RANGE",
            error,
            inputs={"X": rows([0.5, number, 0.5], "float64")},
            after=features_after,
        )
        c.bad(
            f"records_beyond_{k}",
            "floats_finite.onnx",
            "OUT_OF_RANGE",
            error,
            record=[{"x": 0.5, "n": 0}, {"x": number, "n": 1}],
            after=features_after,
        )
    error = {
        "name": "x",
        "expected": "float32",
        "got": BEYOND,
        "row": 0,
        "num_faults": 1,
        "message": f"feature 'x': expected float32, got {BEYOND}",
    }
    c.bad(
        "one_row_beyond",
        "floats_finite.onnx",
        "OUT_OF_RANGE",
        error,
        inputs={"X": rows([1e39], "float64")},
        after=features_after,
    )
    error = {"name": "x", "row": 1, "num_faults": 2, "message": f"feature 'x': expected float32, got {BEYOND} (row 1); feature 'x': expected float32, got {BEYOND} (row 2)"}  # fmt: skip
    data = [0.5, 1, 1e39, 2, -1e39, 3]
    c.bad(
        "faults_of_all_rows",
        "floats_finite.onnx",
        "OUT_OF_RANGE",
        error,
        inputs={"X": tensor("float64", [3, 2], data)},
        after=features_after,
    )
    record = [{"x": x, "n": int(n)} for x, n in zip(data[::2], data[1::2], strict=True)]
    c.bad(
        "faults_of_all_records",
        "floats_finite.onnx",
        "OUT_OF_RANGE",
        error,
        record=record,
        after=features_after,
    )
    beyond_where_infinity_is_taken(c)
    # An integer that float32 cannot hold exactly is rounded, as the model itself rounds it.
    held = {"transformed": tensor("float64", [1, 2], [0.5, 16777216])}
    c.ok(
        "integer_rounded",
        "floats_float32.onnx",
        inputs={"X": tensor("float64", [1, 2], [0.5, 16777217])},
        outputs=held,
    )
    c.ok(
        "integer_rounded_in_a_record",
        "floats_float32.onnx",
        record={"x": 0.5, "n": 16777217},
        result={"transformed": [0.5, 16777216]},
    )
    c.ok(
        "integer_exact",
        "floats_float32.onnx",
        inputs={"X": tensor("float64", [1, 2], [0.5, -16777216])},
        outputs={"transformed": tensor("float64", [1, 2], [0.5, -16777216])},
    )
    missing = {"name": "n", "expected": "int64", "got": "a missing value", "row": 0}
    for dtype, other in (("float32", "float64"), ("float64", "float32")):
        nothing = tensor(other, [1, 2], [0.5, "nan"])
        c.bad(
            f"missing_{dtype}",
            f"floats_{dtype}.onnx",
            "MISSING_VALUE",
            missing,
            inputs={"X": nothing},
            after=f"features_{dtype}_decimals",
        )
        for what, shape, data in (
            ("wide", [1, 3], [1, 2, 3]),
            ("rank_1", [2], [1, 2]),
            ("empty", [0, 2], []),
        ):
            c.bad(
                f"{dtype}_{what}",
                f"floats_{dtype}.onnx",
                "SHAPE_MISMATCH",
                {"name": "X"},
                inputs={"X": tensor(other, shape, data)},
                after=f"features_{dtype}_decimals",
            )
        # numpy's integers are accepted as numbers, as Python's are.
        for wrong in ("int32", "int64", "uint8"):
            error = {
                "name": "x",
                "expected": dtype,
                "got": wrong,
                "row": -1,
                "num_faults": 1,
                "message": f"input 'x': expected {dtype}, got {wrong}",
            }
            given = tensor(wrong, [2], [1, 2])
            c.bad(
                f"{dtype}_given_{wrong}",
                f"identity_{dtype}.onnx",
                "DTYPE_MISMATCH",
                error,
                inputs={"x": given},
                after=f"{dtype}_decimals",
            )
        for taker in ("int32", "int64", "float16", "string", "bool"):
            error = {"name": "x", "expected": taker, "got": dtype}
            c.bad(
                f"{taker}_given_{dtype}",
                f"identity_{taker}.onnx",
                "DTYPE_MISMATCH",
                error,
                inputs={"x": tensor(dtype, [1], [1])},
                after=f"types/identity_{taker}",
            )
