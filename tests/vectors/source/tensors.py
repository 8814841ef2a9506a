"""Models without a contract, and the cases of `run`: shapes, strings, names.

Used by ../generate.py.
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper

from .build import Cases, const, model, node, tensor, value, write_model


def shape_models() -> None:
    write_model(
        "add.onnx",
        model(
            [("x", "float32", ["N", 2])],
            [("y", "float32", ["N", 2])],
            [node("Add", ["x", "c"], ["y"])],
            [const("c", "float32", [2], [10, 20])],
        ),
    )
    write_model("two_inputs.onnx", model([("a", "float32", ["N"]), ("b", "int64", ["N"])], [("sum", "float32", ["N"]), ("twice", "int64", ["N"])],
                                         [node("Cast", ["b"], ["f"], to=1), node("Add", ["a", "f"], ["sum"]), node("Add", ["b", "b"], ["twice"])]))  # fmt: skip
    write_model(
        "free_dims.onnx",
        model(
            [("x", "float32", ["N", "T", 3])],
            [("y", "float32", ["N", 3])],
            [node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)],
            [const("axis", "int64", [1], [1])],
        ),
    )
    write_model(
        "nonzero.onnx",
        model(
            [("x", "int64", ["N"])],
            [("at", "int64", [1, "K"]), ("twice", "int64", ["N"])],
            [node("NonZero", ["x"], ["at"]), node("Add", ["x", "x"], ["twice"])],
        ),
    )
    no_shape = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    write_model(
        "no_shape.onnx",
        model(
            [("x", "float32", ["N", 2]), ("shape", "int64", [2])],
            [no_shape],
            [node("Reshape", ["x", "shape"], ["y"])],
        ),
    )
    # An output without a shape; ONNX Runtime infers none either.
    unshaped = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    write_model("unshaped.onnx", model([("x", "float32", ["N", 3])], [unshaped], [node("FeatureVectorizer", ["x"], ["y"], domain="ai.onnx.ml", inputdimensions=[3])], ml=True))  # fmt: skip
    write_model(
        "static.onnx",
        model(
            [("x", "float32", [2, 3])],
            [("y", "float32", [3, 2])],
            [node("Transpose", ["x"], ["y"], perm=[1, 0])],
        ),
    )
    write_model(
        "scalar.onnx",
        model([("x", "float64", [])], [("y", "float64", [])], [node("Neg", ["x"], ["y"])]),
    )
    write_model(
        "no_inputs.onnx",
        model(
            [],
            [("y", "int64", [3])],
            [node("Constant", [], ["y"], value=const("v", "int64", [3], [7, 8, 9]))],
        ),
    )
    write_model(
        "rank7.onnx",
        model(
            [("x", "int32", ["N", 1, 2, 1, 2, 1, 1])],
            [("y", "int32", ["N", 1, 2, 1, 2, 1, 1])],
            [node("Identity", ["x"], ["y"])],
        ),
    )
    write_model(
        "gather.onnx",
        model(
            [("at", "int64", ["N"])],
            [("y", "float32", ["N"])],
            [node("Gather", ["c", "at"], ["y"])],
            [const("c", "float32", [3], [5, 6, 7])],
        ),
    )
    write_model(
        "matmul.onnx",
        model(
            [("a", "float32", ["N", "K"]), ("b", "float32", ["K", "M"])],
            [("y", "float32", ["N", "M"])],
            [node("MatMul", ["a", "b"], ["y"])],
        ),
    )
    # An initializer with the name of an input is the input's default value. The engine does not
    # list such inputs, so sidecall treats them as constants.
    write_model(
        "optional_input.onnx",
        model(
            [("x", "float32", ["N"]), ("scale", "float32", [1])],
            [("y", "float32", ["N"])],
            [node("Mul", ["x", "scale"], ["y"])],
            [const("scale", "float32", [1], [3])],
        ),
    )
    write_model(
        "strings.onnx",
        model(
            [("first", "string", ["N"]), ("second", "string", ["N"])],
            [("joined", "string", ["N"])],
            [node("StringConcat", ["first", "second"], ["joined"])],
            opset=20,
            ir=9,
        ),
    )
    write_model(
        "split.onnx",
        model(
            [("text", "string", ["N"])],
            [("words", "string", ["N", "K"]), ("counts", "int64", ["N"])],
            [node("StringSplit", ["text"], ["words", "counts"], delimiter=" ")],
            opset=20,
            ir=9,
        ),
    )
    write_model(
        "odd_names.onnx",
        model(
            [('Größe (cm) / "x"', "float32", ["N"])],
            [("y.0", "float32", ["N"])],
            [node("Neg", ['Größe (cm) / "x"'], ["y.0"])],
        ),
    )
    # For the tests of deadlines: a run takes as long as requested, namely n rounds of a few nodes,
    # and can be interrupted between two rounds.
    body = helper.make_graph([node("Identity", ["go"], ["go_on"]), node("Erf", ["a"], ["b"])], "round",
                             [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []), helper.make_tensor_value_info("a", 1, ["N"])],
                             [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_tensor_value_info("b", 1, ["N"])])  # fmt: skip
    write_model(
        "slow.onnx",
        model(
            [("x", "float32", ["N"]), ("n", "int64", [])],
            [("y", "float32", ["N"])],
            [node("Loop", ["n", "", "x"], ["y"], body=body)],
        ),
    )
    # The signature does not give the width of the output, which can differ from run to run.
    write_model(
        "tile.onnx",
        model(
            [("x", "float32", ["N", "W"])],
            [value("y", "float32", ["N", "W2"])],
            [node("Concat", ["x", "x"], ["y"], axis=1)],
        ),
    )


def f32(shape: list[int], data: list[Any]) -> dict[str, Any]:
    return tensor("float32", shape, data)


def i64(shape: list[int], data: list[Any]) -> dict[str, Any]:
    return tensor("int64", shape, data)


def text(data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return tensor("string", shape or [len(data)], data)


def shapes() -> Cases:
    shape_models()
    c = Cases("shapes")
    c.ok(
        "add",
        "add.onnx",
        inputs={"x": f32([2, 2], [1, 2, 3, 4])},
        outputs={"y": f32([2, 2], [11, 22, 13, 24])},
    )
    c.ok(
        "add_one_row",
        "add.onnx",
        inputs={"x": f32([1, 2], [1, 2])},
        outputs={"y": f32([1, 2], [11, 22])},
    )
    c.ok(
        "add_many_rows",
        "add.onnx",
        inputs={"x": f32([300, 2], [1, 2] * 300)},
        outputs={"y": f32([300, 2], [11, 22] * 300)},
    )
    c.ok(
        "add_by_bytes",
        "add.onnx",
        open={"as": "bytes"},
        inputs={"x": f32([1, 2], [1, 2])},
        outputs={"y": f32([1, 2], [11, 22])},
    )
    c.ok(
        "add_by_uri",
        "add.onnx",
        open={"uri": "file://$MODELS/add.onnx"},
        inputs={"x": f32([1, 2], [1, 2])},
        outputs={"y": f32([1, 2], [11, 22])},
    )
    c.ok(
        "add_by_uri_percent",
        "add.onnx",
        open={"uri": "file://$MODELS/%61dd.%6fnnx"},
        inputs={"x": f32([1, 2], [1, 2])},
        outputs={"y": f32([1, 2], [11, 22])},
    )
    bad = [
        ("add_wrong_dtype", "DTYPE_MISMATCH", {"x": text(["1", "2"], [1, 2])}, {"name": "x", "expected": "float32", "got": "string"}),
        ("add_rank_1", "SHAPE_MISMATCH", {"x": f32([2], [1, 2])}, {"name": "x", "expected": "float32[N,2]", "got": "float32[2]"}),
        ("add_rank_3", "SHAPE_MISMATCH", {"x": f32([1, 1, 2], [1, 2])}, {"name": "x", "expected": "float32[N,2]", "got": "float32[1,1,2]"}),
        ("add_rank_0", "SHAPE_MISMATCH", {"x": f32([], [1])}, {"name": "x", "expected": "float32[N,2]", "got": "float32[]"}),
        ("add_wide", "SHAPE_MISMATCH", {"x": f32([1, 3], [1, 2, 3])}, {"name": "x", "expected": "float32[N,2]", "got": "float32[1,3]"}),
        ("add_narrow", "SHAPE_MISMATCH", {"x": f32([1, 1], [1])}, {"name": "x", "expected": "float32[N,2]", "got": "float32[1,1]"}),
        ("add_zero_rows", "SHAPE_MISMATCH", {"x": f32([0, 2], [])}, {"name": "x", "expected": "at least 1 row", "got": "0 rows"}),
        ("add_unknown_name", "UNKNOWN_NAME", {"x": f32([1, 2], [1, 2]), "z": f32([1], [1])}, {"name": "z", "message": "input 'z': expected one of 'x', got an unknown name"}),
        ("add_other_case", "UNKNOWN_NAME", {"X": f32([1, 2], [1, 2])}, {"name": "X"}),
        ("add_output_name", "UNKNOWN_NAME", {"x": f32([1, 2], [1, 2]), "y": f32([1, 2], [1, 2])}, {"name": "y"}),
        ("add_missing", "MISSING_INPUT", {}, {"name": "x", "expected": "float32[N,2]", "got": "nothing"}),
    ]  # fmt: skip
    for what, status, inputs, error in bad:
        # The complete message, tested once: every language gives this text.
        if "expected" in error:
            error["message"] = f"input 'x': expected {error['expected']}, got {error['got']}"
        c.bad(what, "add.onnx", status, error, inputs=inputs, after="add")
    c.ok(
        "two_inputs",
        "two_inputs.onnx",
        inputs={"a": f32([2], [0.5, 1.5]), "b": i64([2], [1, 2])},
        outputs={"sum": f32([2], [1.5, 3.5]), "twice": i64([2], [2, 4])},
    )
    c.bad(
        "two_inputs_one_missing",
        "two_inputs.onnx",
        "MISSING_INPUT",
        {"name": "b"},
        inputs={"a": f32([1], [1])},
        after="two_inputs",
    )
    c.bad(
        "two_inputs_rows_differ",
        "two_inputs.onnx",
        "SHAPE_MISMATCH",
        {"name": "b"},
        inputs={"a": f32([2], [1, 2]), "b": i64([3], [1, 2, 3])},
        after="two_inputs",
    )
    c.bad(
        "two_inputs_swapped_types",
        "two_inputs.onnx",
        "DTYPE_MISMATCH",
        {"name": "b", "expected": "int64", "got": "float32"},
        inputs={"b": f32([1], [1]), "a": i64([1], [1])},
        after="two_inputs",
    )
    c.bad(
        "two_inputs_unknown_and_missing",
        "two_inputs.onnx",
        "UNKNOWN_NAME",
        {"name": "q"},
        inputs={"a": f32([1], [1]), "q": f32([1], [1])},
        after="two_inputs",
    )
    c.ok(
        "free_dims",
        "free_dims.onnx",
        inputs={"x": f32([1, 2, 3], [1, 2, 3, 4, 5, 6])},
        outputs={"y": f32([1, 3], [5, 7, 9])},
    )
    c.ok(
        "free_dims_longer",
        "free_dims.onnx",
        inputs={"x": f32([2, 3, 3], [1] * 18)},
        outputs={"y": f32([2, 3], [3] * 6)},
    )
    c.ok(
        "free_dims_empty",
        "free_dims.onnx",
        inputs={"x": f32([2, 0, 3], [])},
        outputs={"y": f32([2, 3], [0] * 6)},
    )
    c.bad(
        "free_dims_last_wrong",
        "free_dims.onnx",
        "SHAPE_MISMATCH",
        {"name": "x", "expected": "float32[N,T,3]", "got": "float32[1,2,2]"},
        inputs={"x": f32([1, 2, 2], [1, 2, 3, 4])},
        after="free_dims",
    )
    c.ok(
        "nonzero",
        "nonzero.onnx",
        inputs={"x": i64([4], [0, 5, 0, 6])},
        outputs={"at": i64([1, 2], [1, 3]), "twice": i64([4], [0, 10, 0, 12])},
    )
    c.ok(
        "nonzero_none",
        "nonzero.onnx",
        inputs={"x": i64([2], [0, 0])},
        outputs={"at": i64([1, 0], []), "twice": i64([2], [0, 0])},
    )
    c.ok(
        "no_shape",
        "no_shape.onnx",
        inputs={"x": f32([2, 2], [1, 2, 3, 4]), "shape": i64([2], [4, 1])},
        outputs={"y": f32([4, 1], [1, 2, 3, 4])},
    )
    for rows in (1, 3):
        values = list(range(3 * rows))
        c.ok(
            f"unshaped_{rows}",
            "unshaped.onnx",
            inputs={"x": f32([rows, 3], values)},
            outputs={"y": f32([rows, 3], values)},
        )
    c.bad("unshaped_width", "unshaped.onnx", "SHAPE_MISMATCH", inputs={"x": f32([2, 4], [1] * 8)})
    c.bad(
        "unshaped_dtype",
        "unshaped.onnx",
        "DTYPE_MISMATCH",
        inputs={"x": text(["1", "2", "3"], [1, 3])},
    )
    c.bad("unshaped_nothing", "unshaped.onnx", "MISSING_INPUT", inputs={})
    c.bad(
        "no_shape_engine_refuses",
        "no_shape.onnx",
        "ENGINE",
        inputs={"x": f32([2, 2], [1, 2, 3, 4]), "shape": i64([2], [3, 1])},
        after="no_shape",
    )
    c.ok(
        "static",
        "static.onnx",
        inputs={"x": f32([2, 3], [1, 2, 3, 4, 5, 6])},
        outputs={"y": f32([3, 2], [1, 4, 2, 5, 3, 6])},
    )
    c.bad(
        "static_more_rows",
        "static.onnx",
        "SHAPE_MISMATCH",
        {"name": "x", "expected": "float32[2,3]", "got": "float32[3,3]"},
        inputs={"x": f32([3, 3], [1] * 9)},
        after="static",
    )
    c.bad(
        "static_transposed",
        "static.onnx",
        "SHAPE_MISMATCH",
        {"name": "x", "got": "float32[3,2]"},
        inputs={"x": f32([3, 2], [1] * 6)},
        after="static",
    )
    c.ok(
        "scalar",
        "scalar.onnx",
        inputs={"x": tensor("float64", [], [2.5])},
        outputs={"y": tensor("float64", [], [-2.5])},
    )
    c.bad(
        "scalar_given_one",
        "scalar.onnx",
        "SHAPE_MISMATCH",
        {"name": "x", "expected": "float64[]", "got": "float64[1]"},
        inputs={"x": tensor("float64", [1], [2.5])},
        after="scalar",
    )
    c.ok("no_inputs", "no_inputs.onnx", inputs={}, outputs={"y": i64([3], [7, 8, 9])})
    c.bad(
        "no_inputs_given_one",
        "no_inputs.onnx",
        "UNKNOWN_NAME",
        {"name": "x"},
        inputs={"x": f32([1], [1])},
        after="no_inputs",
    )
    c.ok(
        "rank7",
        "rank7.onnx",
        inputs={"x": tensor("int32", [2, 1, 2, 1, 2, 1, 1], list(range(8)))},
        outputs={"y": tensor("int32", [2, 1, 2, 1, 2, 1, 1], list(range(8)))},
    )
    c.ok("gather", "gather.onnx", inputs={"at": i64([2], [2, 0])}, outputs={"y": f32([2], [7, 5])})
    c.bad(
        "gather_out_of_bounds",
        "gather.onnx",
        "ENGINE",
        inputs={"at": i64([1], [3])},
        after="gather",
    )
    c.ok(
        "matmul",
        "matmul.onnx",
        inputs={"a": f32([1, 2], [1, 2]), "b": f32([2, 2], [1, 2, 3, 4])},
        outputs={"y": f32([1, 2], [7, 10])},
    )
    c.bad(
        "matmul_inner_differs",
        "matmul.onnx",
        "SHAPE_MISMATCH",
        {"name": "b"},
        inputs={"a": f32([1, 2], [1, 2]), "b": f32([3, 1], [1, 2, 3])},
        after="matmul",
    )
    c.bad(
        "default_of_an_input_given",
        "optional_input.onnx",
        "UNKNOWN_NAME",
        {"name": "scale"},
        inputs={"x": f32([1], [2]), "scale": f32([1], [5])},
        after="default_of_an_input",
    )
    c.ok(
        "default_of_an_input",
        "optional_input.onnx",
        inputs={"x": f32([1], [2])},
        outputs={"y": f32([1], [6])},
    )
    c.ok(
        "odd_names",
        "odd_names.onnx",
        inputs={'Größe (cm) / "x"': f32([1], [2])},
        outputs={"y.0": f32([1], [-2])},
    )
    c.ok(
        "slow_no_rounds",
        "slow.onnx",
        inputs={"x": f32([2], [1, 2]), "n": i64([], [0])},
        outputs={"y": f32([2], [1, 2])},
    )
    c.ok("tile", "tile.onnx", inputs={"x": f32([1, 1], [3])}, outputs={"y": f32([1, 2], [3, 3])})
    c.ok(
        "tile_wider",
        "tile.onnx",
        inputs={"x": f32([1, 2], [3, 4])},
        outputs={"y": f32([1, 4], [3, 4, 3, 4])},
    )
    return c


def strings() -> Cases:
    c = Cases("strings")
    c.ok(
        "joined",
        "strings.onnx",
        inputs={"first": text(["a", "", "Größe"]), "second": text(["b", "", " 🐧"])},
        outputs={"joined": text(["ab", "", "Größe 🐧"])},
    )
    c.ok(
        "long",
        "strings.onnx",
        inputs={"first": text(["x" * 5000]), "second": text(["y" * 5000])},
        outputs={"joined": text(["x" * 5000 + "y" * 5000])},
    )
    c.ok(
        "ends_of_unicode",
        "identity_string.onnx",
        inputs={"x": text(["\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff"])},
        outputs={"y": text(["\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff"])},
    )
    c.ok(
        "split",
        "split.onnx",
        inputs={"text": text(["one two", "three"])},
        outputs={"words": text(["one", "two", "three", ""], [2, 2]), "counts": i64([2], [2, 1])},
    )
    c.ok(
        "split_other_width",
        "split.onnx",
        inputs={"text": text(["a b c"])},
        outputs={"words": text(["a", "b", "c"], [1, 3]), "counts": i64([1], [3])},
    )
    for what, data in (("nul", ["ok", {"hex": "610062"}]), ("only_nul", [{"hex": "00"}, "ok"]), ("not_utf8", ["ok", {"hex": "ff00"}]), ("overlong", [{"hex": "c080"}, "ok"]),
                       ("surrogate", [{"hex": "eda080"}, "ok"]), ("beyond_unicode", [{"hex": "f4908080"}, "ok"]), ("cut", [{"hex": "e282"}, "ok"]), ("lone_continuation", [{"hex": "80"}, "ok"])):  # fmt: skip
        row = next(i for i, item in enumerate(data) if isinstance(item, dict))
        c.bad(
            what,
            "identity_string.onnx",
            "INVALID_STRING",
            {"name": "x", "row": row},
            inputs={"x": text(data)},
            after="types/identity_string",
        )
    c.bad(
        "rows_differ",
        "strings.onnx",
        "SHAPE_MISMATCH",
        {"name": "second"},
        inputs={"first": text(["a", "b"]), "second": text(["c"])},
        after="joined",
    )
    c.bad(
        "rank_2",
        "strings.onnx",
        "SHAPE_MISMATCH",
        {"name": "first", "expected": "string[N]", "got": "string[1,1]"},
        inputs={"first": text(["a"], [1, 1]), "second": text(["c"])},
        after="joined",
    )
    c.bad(
        "zero_rows",
        "strings.onnx",
        "SHAPE_MISMATCH",
        {"name": "first"},
        inputs={"first": text([], [0]), "second": text([], [0])},
        after="joined",
    )
    return c
