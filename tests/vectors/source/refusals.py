"""Contracts that state what a model refuses.

Domains, empty strings, rows that a step refuses, answers that must be finite. Used by
../generate.py.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx

from . import build
from .build import Cases, const, model, node, tensor, with_contract
from .contracts import FILL, NAN, Contract, contract, feature, wide
from .contracts import MAKERS as FORMAT_1

LARGEST = {"float32": float(np.finfo(np.float32).max), "float64": float(np.finfo(np.float64).max)}
EVERY_INTEGER = [[-(2**53) - 1, 2**53 + 1]]
RESERVED = -(2**63)
Made = tuple[onnx.ModelProto, Contract]


def limits() -> Made:
    """A domain of each kind; `transformed` holds each number, and 1 for each string."""
    features = [
        feature("share", "float32", "X", 0, NAN, domain=[[0, 1]]),
        feature("speed", "float32", "X", 1, domain=[[-LARGEST["float32"], LARGEST["float32"]]]),
        feature("level", "float64", domain=[[0.1, 0.3]]),
        feature("ratio", "float64", domain=[["-inf", -1], [0.5, 0.75], [1, "inf"]]),
        feature("step", "float64", domain=[[0, 0], [2, 2], [4, 4], [6, 8]]),
        feature("count", "int64", missing={"value": RESERVED}, domain=EVERY_INTEGER),
        feature("year", "int64", "years", domain=[[1900, 2100]]),
        feature("word", "string", empty=False),
        feature("note", "string", missing=FILL, empty=True),
    ]
    inputs = [("X", "float32", ["N", 2]), ("level", "float64", ["N", 1]), ("ratio", "float64", ["N", 1]), ("step", "float64", ["N", 1]),
              ("count", "int64", ["N", 1]), ("years", "float64", ["N", 1]), ("word", "string", ["N", 1]), ("note", "string", ["N"])]  # fmt: skip
    table = {"keys_strings": ["\ufdd0"], "values_floats": [-1.0], "default_float": 1.0}
    nodes = [
        node("LabelEncoder", ["word"], ["word_code"], domain="ai.onnx.ml", **table),
        node("LabelEncoder", ["note"], ["note_flat"], domain="ai.onnx.ml", **table),
        node("Unsqueeze", ["note_flat", "axis"], ["note_code"]),
    ]
    parts = ["X", "level", "ratio", "step", "count", "years", "word_code", "note_code"]
    nodes += [node("Cast", [name], [f"{name}_out"], to=11) for name in parts]
    nodes.append(node("Concat", [f"{name}_out" for name in parts], ["transformed"], axis=1))
    graph = model(
        inputs,
        [("transformed", "float64", ["N", 9])],
        nodes,
        [const("axis", "int64", [1], [1])],
        ml=True,
    )
    golden = ([[0.5, None], [1, -2], [0.2, 0.3], [0.5, -7], [2, 7], [5, None], [1900, 2000], ["a", "b"], [None, ""]],
              {"transformed": [[0.5, 1, 0.2, 0.5, 2, 5, 1900, 1, -1], ["nan", -2, 0.3, -7, 7, RESERVED, 2000, 1, 1]]})  # fmt: skip
    return graph, contract(
        "limits",
        "transform",
        features,
        [{"name": "transformed", "role": "transformed", "type": "float64", "width": 9}],
        golden,
    )


STEPS = [
    {"step": "log", "expected": "numbers above 0"},
    {"step": "pca", "expected": "finite numbers"},
]


def steps(is_column: bool) -> Made:
    """prediction = a / b, which must be finite.

    Step 1 refuses a < 0, step 2 refuses a > 100. For a = 77 the graph reports a step that does not
    exist.
    """
    nodes = [
        node("Split", ["X"], ["a", "b"], axis=1),
        node("Div", ["a", "b"], ["prediction"]),
        node("Less", ["a", "zero"], ["is_low"]),
        node("Greater", ["a", "hundred"], ["is_high"]),
        node("Equal", ["a", "odd"], ["is_odd"]),
        node("Where", ["is_odd", "seven", "fine"], ["odd_code"]),
        node("Where", ["is_high", "second", "odd_code"], ["high_code"]),
        node("Where", ["is_low", "first", "high_code"], ["refused" if is_column else "column"]),
    ]
    if not is_column:
        nodes.append(node("Squeeze", ["column", "axis"], ["refused"]))
    init = [
        const(name, "float32", [1], [number])
        for name, number in (("zero", 0), ("hundred", 100), ("odd", 77))
    ]
    init += [
        const(name, "int64", [1], [number])
        for name, number in (("fine", 0), ("first", 1), ("second", 2), ("seven", 7), ("axis", 1))
    ]
    outputs = [
        ("prediction", "float32", ["N", 1]),
        ("refused", "int64", ["N", 1] if is_column else ["N"]),
    ]
    graph = model([("X", "float32", ["N", 2])], outputs, nodes, init)
    features = [feature("a", "float32", "X", 0), feature("b", "float32", "X", 1)]
    made = contract("steps", "regression", features, [{"name": "prediction", "role": "prediction", "type": "float32", "finite": True}],
                    ([[6, 1], [2, 4]], {"prediction": [3, 0.25]}))  # fmt: skip
    made["refused"] = {"output": "refused", "steps": copy.deepcopy(STEPS)}
    return graph, made


def finite() -> Made:
    """probabilities are the inputs themselves, and must be finite."""
    graph, made = FORMAT_1["label_string"]()
    made["outputs"][1]["finite"] = True
    return graph, made


def finite_wide() -> Made:
    graph, made = wide("prediction", "float64")
    made["outputs"][0]["finite"] = True
    return graph, made


def inverse() -> Made:
    """prediction = -1 / x. The model accepts minus infinity, and nothing above 100."""
    graph = model([("X", "float32", ["N", 1])], [("prediction", "float32", ["N", 1])], [node("Div", ["minus_one", "X"], ["prediction"])],
                  [const("minus_one", "float32", [1], [-1])])  # fmt: skip
    features = [feature("x", "float32", "X", 0, domain=[["-inf", 100]])]
    outputs = [{"name": "prediction", "role": "prediction", "type": "float32"}]
    return graph, contract(
        "inverse", "regression", features, outputs, ([[-2, 4]], {"prediction": [0.5, -0.25]})
    )


MAKERS = {
    "limits": limits,
    "inverse": inverse,
    "steps": lambda: steps(is_column=True),
    "steps_rank1": lambda: steps(is_column=False),
    "finite": finite,
    "finite_wide": finite_wide,
}


def bytes_of(name: str, change: Any = None) -> bytes:
    graph, made = MAKERS[name]()
    if change:
        change(made)
    return with_contract(graph, made)


def put(path: str, value: Any) -> Any:
    """Changes one place, such as `features.0.name`."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]

    def change(made: Any) -> None:
        for step in way:
            made = made[step]
        made[last] = value

    return change


GOOD = {
    "share": 0.5,
    "speed": 1,
    "level": 0.2,
    "ratio": 0.5,
    "step": 2,
    "count": 5,
    "year": 2000,
    "word": "a",
    "note": "b",
}
GOOD_OUT = [0.5, 1, 0.2, 0.5, 2, 5, 2000, 1, 1]
RANGES = {"share": "from 0 to 1", "level": "from 0.1 to 0.3", "ratio": "from -inf to -1 or from 0.5 to 0.75 or from 1 to inf",
          "step": "from 0 to 0 or from 2 to 2 or from 4 to 4 or in another interval", "count": "from -9007199254740993 to 9007199254740993",
          "year": "from 1900 to 2100"}  # fmt: skip


def limits_cases(c: Cases) -> None:
    def ok(what: str, at: int, name: str, value: Any, out: Any) -> None:
        c.ok(
            what,
            "limits.onnx",
            record={**GOOD, name: value},
            result={"transformed": [out if i == at else v for i, v in enumerate(GOOD_OUT)]},
        )

    def bad(what: str, name: str, value: Any) -> None:
        expected = f"a number {RANGES[name]}"
        error = {"name": name, "row": 0, "expected": expected, "got": "another", "num_faults": 1,
                 "message": f"feature '{name}': expected {expected}, got another"}  # fmt: skip
        c.bad(
            what, "limits.onnx", "OUT_OF_RANGE", error, record={**GOOD, name: value}, after="limits"
        )

    c.ok("limits", "limits.onnx", record=GOOD, result={"transformed": GOOD_OUT})
    up, down = float(np.nextafter(0.3, 1)), float(np.nextafter(0.1, 0))
    ok("low_end", 2, "level", 0.1, 0.1)
    ok("high_end", 2, "level", 0.3, 0.3)
    ok("one_ulp_inside", 2, "level", float(np.nextafter(0.3, 0)), float(np.nextafter(0.3, 0)))
    bad("one_ulp_above", "level", up)
    bad("one_ulp_below", "level", down)
    # The values as float32: 1.00000001 is 1, 1.0000001 is 1 + 2^-23, and -1e-60 is zero.
    ok("rounded_to_the_end", 0, "share", 1.00000001, 1)
    ok("rounded_to_zero", 0, "share", -1e-60, 0)
    bad("rounded_beyond_the_end", "share", 1.0000001)
    bad("smallest_below_zero", "share", -1.401298464324817e-45)
    ok("missing_beside_a_domain", 0, "share", None, "nan")
    ok("largest_float32", 1, "speed", LARGEST["float32"], LARGEST["float32"])
    ok("end_of_a_gap", 3, "ratio", 0.75, 0.75)
    ok("far_in_an_open_interval", 3, "ratio", 1e300, 1e300)
    ok("end_of_an_open_interval", 3, "ratio", -1, -1)
    bad("in_a_gap", "ratio", 0.8)
    bad("one_ulp_into_a_gap", "ratio", float(np.nextafter(-1, 0)))
    ok("in_the_fourth_interval", 4, "step", 7.5, 7.5)
    ok("in_an_interval_of_one_number", 4, "step", 4, 4)
    bad("between_intervals", "step", 3)
    bad("above_all_intervals", "step", 8.5)
    ok("integer_at_its_end", 5, "count", 2**53 + 1, 2**53)
    bad("integer_beyond_its_end", "count", 2**53 + 2)
    bad("negative_integer_beyond_its_end", "count", -(2**53) - 2)
    ok("missing_integer_beside_a_domain", 5, "count", None, RESERVED)
    ok("integer_in_a_float_column", 6, "year", 2100, 2100)
    bad("integer_outside_in_a_float_column", "year", 2101)
    c.bad("empty_string", "limits.onnx", "INVALID_STRING",
          {"name": "word", "row": 0, "num_faults": 1, "message": "feature 'word': expected a string that is not empty, got an empty one"},
          record={**GOOD, "word": ""}, after="limits")  # fmt: skip
    ok("empty_string_where_accepted", 8, "note", "", 1)
    ok("blank_string", 7, "word", " ", 1)
    message = "; ".join([
        "feature 'share': expected a number from 0 to 1, got another (row 1)",
        "feature 'word': expected a string that is not empty, got an empty one (row 1)",
        "feature 'year': expected a number from 1900 to 2100, got another (row 3)",
        "and 1 more"])  # fmt: skip
    c.bad("faults_in_two_of_five", "limits.onnx", "OUT_OF_RANGE", {"row": 1, "name": "share", "num_faults": 4, "message": message},
          record=[GOOD, {**GOOD, "share": 2, "word": ""}, GOOD, {**GOOD, "year": 0, "word": ""}, GOOD], after="limits")  # fmt: skip


def tensors_of(rows: int) -> dict[str, Any]:
    """The tensors of `rows` rows with the values of GOOD."""
    floats = {
        name: tensor("float64", [rows, 1], [value] * rows)
        for name, value in (("level", 0.2), ("ratio", 0.5), ("step", 2), ("years", 2000))
    }
    return {"X": tensor("float32", [rows, 2], [0.5, 1] * rows), **floats, "count": tensor("int64", [rows, 1], [5] * rows),
            "word": tensor("string", [rows, 1], ["a"] * rows), "note": tensor("string", [rows], ["b"] * rows)}  # fmt: skip


def limits_tensor_cases(c: Cases) -> None:
    def with_values(rows: int, **data: list[Any]) -> dict[str, Any]:
        inputs = tensors_of(rows)
        return {name: {**one, "data": data.get(name, one["data"])} for name, one in inputs.items()}

    def ok(what: str, out: list[Any], **data: list[Any]) -> None:
        c.ok(
            what,
            "limits.onnx",
            inputs=with_values(1, **data),
            outputs={"transformed": tensor("float64", [1, 9], out)},
        )

    def bad(
        what: str, status: str, error: dict[str, Any], rows: int = 1, **data: list[Any]
    ) -> None:
        c.bad(what, "limits.onnx", status, error, inputs=with_values(rows, **data), after="limits")

    ok("tensors", GOOD_OUT)
    ok("tensors_infinite_where_accepted", [0.5, 1, 0.2, "-inf", 2, 5, 2000, 1, 1], ratio=["-inf"])
    ok(
        "tensors_missing",
        ["nan", 1, 0.2, 0.5, 2, RESERVED, 2000, 1, -1],
        X=["nan", 1],
        count=[RESERVED],
        note=["\ufdd0"],
    )
    bad("tensors_infinite", "OUT_OF_RANGE", {"name": "speed", "row": 0, "num_faults": 1, "expected": "a finite number", "got": "an infinite one",
        "message": "feature 'speed': expected a finite number, got an infinite one"}, X=[0.5, "inf"])  # fmt: skip
    bad(
        "tensors_infinite_beyond_a_range",
        "OUT_OF_RANGE",
        {"name": "share", "expected": "a number from 0 to 1", "got": "an infinite one"},
        X=["-inf", 1],
    )
    bad(
        "tensors_in_a_gap",
        "OUT_OF_RANGE",
        {"name": "ratio", "row": 0, "num_faults": 1, "got": "another"},
        ratio=[0],
    )
    bad(
        "tensors_missing_where_refused",
        "MISSING_VALUE",
        {"name": "level", "row": 0, "num_faults": 1},
        level=["nan"],
    )
    bad(
        "tensors_missing_strings_where_refused",
        "MISSING_VALUE",
        {"name": "word", "expected": "string", "got": "a missing value", "row": 1, "num_faults": 2},
        3,
        word=["a", "\ufdd0", "\ufdd0"],
    )
    bad(
        "tensors_integer_beyond",
        "OUT_OF_RANGE",
        {"name": "count", "row": 0, "num_faults": 1},
        count=[2**53 + 2],
    )
    message = "; ".join([
        "feature 'share': expected a number from 0 to 1, got another (row 1)",
        "feature 'ratio': expected a number from -inf to -1 or from 0.5 to 0.75 or from 1 to inf, got another (row 3)",
        "feature 'count': expected a number from -9007199254740993 to 9007199254740993, got another (row 3)",
        "and 1 more"])  # fmt: skip
    bad("tensors_faults_in_rows", "OUT_OF_RANGE", {"row": 1, "name": "share", "num_faults": 4, "message": message}, 5,
        X=[0.5, 1, 2, 1, 0, 0, 1, 1, 0.5, "inf"], ratio=[1, 1, 1, 0, 1], count=[RESERVED, 5, 5, 2**60, 5])  # fmt: skip
    message = ("feature 'word': expected a string that is not empty, got an empty one (row 0); "
               "feature 'word': expected a string that is not empty, got an empty one (row 2)")  # fmt: skip
    bad(
        "tensors_empty_strings",
        "INVALID_STRING",
        {"name": "word", "row": 0, "num_faults": 2, "message": message},
        3,
        word=["", "a", ""],
    )
    message = ("feature 'year': expected a number from 1900 to 2100, got another (row 0); "
               "feature 'word': expected a string that is not empty, got an empty one (row 0); "
               "feature 'share': expected a number from 0 to 1, got another (row 1)")  # fmt: skip
    bad("tensors_faults_of_strings_and_numbers", "OUT_OF_RANGE", {"name": "year", "row": 0, "num_faults": 3, "message": message}, 2,
        word=["", "a"], years=[1, 2000], X=[0, 0, 9, 0])  # fmt: skip


def steps_cases(c: Cases) -> None:
    good = {"a": 6, "b": 2}
    for name in ("steps", "steps_rank1"):
        c.ok(name, f"{name}.onnx", record=good, result={"prediction": 3})
        c.ok(f"{name}_tensor", f"{name}.onnx", inputs={"X": tensor("float32", [2, 2], [6, 2, 100, 4])},
             outputs={"prediction": tensor("float32", [2, 1], [3, 25])})  # fmt: skip
        c.bad(f"{name}_refused", f"{name}.onnx", "REFUSED", {"name": "log", "row": 0, "expected": "numbers above 0", "got": "others", "num_faults": 1,
              "message": "step 'log': expected numbers above 0, got others"}, record={"a": -1, "b": 2}, after=name)  # fmt: skip
        message = "step 'pca': expected finite numbers, got others (row 1); step 'log': expected numbers above 0, got others (row 3)"
        c.bad(f"{name}_refused_in_two_of_five", f"{name}.onnx", "REFUSED", {"name": "pca", "row": 1, "num_faults": 2, "message": message},
              record=[good, {"a": 101, "b": 2}, good, {"a": -5, "b": 0}, good], after=name)  # fmt: skip
        c.bad(f"{name}_refused_tensor", f"{name}.onnx", "REFUSED", {"name": "pca", "row": 1, "num_faults": 2, "message": message},
              inputs={"X": tensor("float32", [5, 2], [6, 2, 101, 2, 6, 2, -5, 0, 6, 2])}, after=f"{name}_tensor")  # fmt: skip
        c.bad(
            f"{name}_index_out_of_range",
            f"{name}.onnx",
            "ENGINE",
            record={"a": 77, "b": 1},
            after=name,
        )
    # If a step refuses a row, the row's non-finite output is not reported as well.
    message = "output 'prediction': expected finite numbers, got others (row 0); step 'pca': expected finite numbers, got others (row 1)"
    c.bad("refused_and_not_finite", "steps.onnx", "REFUSED", {"name": "prediction", "row": 0, "num_faults": 2, "message": message},
          record=[{"a": 1, "b": 0}, {"a": 200, "b": 0}, good], after="steps")  # fmt: skip
    c.bad("missing_before_refused", "steps.onnx", "MISSING_VALUE", {"name": "b", "row": 0, "num_faults": 1},
          record=[{"a": 1}, {"a": -1, "b": 2}], after="steps")  # fmt: skip


def finite_cases(c: Cases) -> None:
    probabilities = {"no": 0.25, "yes": 0.75, 'don\'t "know"': 0}
    c.ok(
        "finite",
        "finite.onnx",
        record={"x0": 0.25, "x1": 0.75, "x2": 0},
        result={"label": "yes", "probabilities": probabilities},
    )
    message = "output 'probabilities.yes': expected finite numbers, got others (row 1)"
    c.bad("not_finite", "finite.onnx", "REFUSED", {"name": "probabilities.yes", "row": 1, "expected": "finite numbers", "got": "others", "num_faults": 1,
          "message": message}, inputs={"X": tensor("float32", [2, 3], [1, 0, 0, 0, "inf", "-inf"])}, after="finite")  # fmt: skip
    c.ok(
        "finite_wide", "finite_wide.onnx", record={"x0": 1, "x1": 2}, result={"prediction": [1, 2]}
    )
    c.bad("not_finite_wide", "finite_wide.onnx", "REFUSED", {"name": "prediction.1", "row": 0, "num_faults": 1,
          "message": "output 'prediction.1': expected finite numbers, got others"}, inputs={"X": tensor("float32", [1, 2], [1, "inf"])}, after="finite_wide")  # fmt: skip


# base model, place, new value, what the error expects
LIES: dict[str, tuple[str, str, Any, str]] = {
    "domain_empty": ("limits", "features.0.domain", [], "at least one interval"),
    "domain_a_number": ("limits", "features.0.domain", 1, "an array"),
    "domain_of_numbers": ("limits", "features.0.domain", [0, 1], "an array"),
    "domain_of_three_ends": ("limits", "features.0.domain", [[0, 1, 2]], "a low and a high end"),
    "domain_with_swapped_ends": (
        "limits",
        "features.0.domain",
        [[1, 0]],
        "a low end that is not above the high end",
    ),
    "domain_not_sorted": (
        "limits",
        "features.0.domain",
        [[2, 3], [0, 1]],
        "intervals in ascending order without overlap",
    ),
    "domain_with_overlapping_intervals": (
        "limits",
        "features.0.domain",
        [[0, 2], [1, 3]],
        "intervals in ascending order without overlap",
    ),
    "domain_with_touching_intervals": (
        "limits",
        "features.0.domain",
        [[0, 1], [1, 3]],
        "intervals in ascending order without overlap",
    ),
    "domain_with_nan": ("limits", "features.0.domain", [["nan", 1]], 'a number, "-inf" or "inf"'),
    "domain_with_a_word": ("limits", "features.0.domain", [["low", 1]], "a number"),
    "domain_beyond_float32": (
        "limits",
        "features.0.domain",
        [[0, 1e39]],
        "a number that float32 can hold",
    ),
    "domain_touching_after_rounding": (
        "limits",
        "features.0.domain",
        [[0, 1], [1.00000001, 2]],
        "intervals in ascending order without overlap",
    ),
    "domain_of_fractions": ("limits", "features.5.domain", [[0, 1.5]], "an integer"),
    "domain_of_infinities_in_integers": ("limits", "features.5.domain", [[0, "inf"]], "an integer"),
    "domain_of_a_string": (
        "limits",
        "features.7.domain",
        [[0, 1]],
        "a feature of type float32, float64, int64 or datetime",
    ),
    "domain_beside_allowed": (
        "limits",
        "features.1.allowed",
        [1, 2],
        "a feature without 'allowed'",
    ),
    "empty_of_a_number": ("limits", "features.0.empty", False, "a feature of type string"),
    "empty_a_word": ("limits", "features.7.empty", "no", "a boolean"),
    "finite_of_a_label": (
        "finite",
        "outputs.0.finite",
        True,
        "an output of type float32 or float64",
    ),
    "finite_a_number": ("finite", "outputs.1.finite", 1, "a boolean"),
    "refused_not_the_last": (
        "steps",
        "refused.output",
        "prediction",
        "the last output of the graph, 'refused'",
    ),
    "refused_unknown_output": (
        "limits",
        "refused",
        {"output": "refused", "steps": STEPS},
        "the last output of the graph, 'transformed'",
    ),
    "refused_of_another_type": (
        "finite_wide",
        "refused",
        {"output": "prediction", "steps": STEPS},
        "an output of int64[N] or int64[N,1]",
    ),
    "refused_without_steps": ("steps", "refused.steps", [], "at least one step"),
    "refused_step_without_a_name": ("steps", "refused.steps.0.step", "", "a name"),
    "refused_step_without_a_text": ("steps", "refused.steps.0", {"step": "log"}, "a string"),
    "refused_a_list": ("steps", "refused", [], "an object"),
    "refused_as_an_output": ("steps", "outputs.0.name", "refused", "an output of the graph"),
}


def contract_cases(c: Cases) -> None:
    for what, (base, path, value, expected) in LIES.items():
        build.write_model(f"contracts/{what}.onnx", bytes_of(base, put(path, value)))
        c.bad(what, f"contracts/{what}.onnx", "CONTRACT_INVALID", {"expected": expected})
    build.write_model(
        "contracts/steps_renamed.onnx", bytes_of("steps", put("refused.steps.1.step", "scaler"))
    )
    c.bad(
        "steps_renamed",
        "contracts/steps_renamed.onnx",
        "REFUSED",
        {"name": "scaler", "row": 0},
        record={"a": 101, "b": 1},
    )
    golden = put("verification.features", [[6, -1], [2, 4]])
    build.write_model("contracts/golden_row_refused.onnx", bytes_of("steps", golden))
    c.bad(
        "golden_row_refused",
        "contracts/golden_row_refused.onnx",
        "VERIFICATION_FAILED",
        {"name": "log"},
    )


def refusals() -> Cases:
    c = Cases("refusals")
    for name in MAKERS:
        build.write_model(f"{name}.onnx", bytes_of(name))
    limits_cases(c)
    limits_tensor_cases(c)
    steps_cases(c)
    finite_cases(c)
    contract_cases(c)
    return c
