"""Files that must not open, or that must open only with a warning.

Broken files, foreign files, false contracts. Used by ../generate.py.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import onnx
from onnx import TensorProto, helper

from .build import Cases, data_of, model, node, with_contract, write_model
from .contracts import MAKERS, changed

X1 = {"x": {"dtype": "float32", "shape": [2], "data": [1, 2]}}


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field, for content that no protobuf writer writes."""
    size, length = len(payload), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


def with_graph_fields(more: bytes, *, without: str, proto: bytes) -> bytes:
    """The model with `more` at the end of its graph, in place of the graph's field `without`."""
    parsed = onnx.load_from_string(proto)
    parsed.graph.ClearField(without)  # type: ignore[arg-type]
    graph = parsed.graph.SerializeToString(deterministic=True) + more
    parsed.ClearField("graph")
    return data_of(parsed) + field(7, graph)


def group_in_output() -> bytes:
    """A protobuf group, which ONNX does not use, in place of the output's shape.

    No engine can infer that shape.
    """
    inputs = [("x", "float32", ["N"]), ("shape", "int64", ["M"])]
    plain = data_of(
        model(inputs, [("y", "float32", ["N"])], [node("Reshape", ["x", "shape"], ["y"])])
    )
    return with_graph_fields(
        field(12, field(1, b"y") + field(2, field(1, b"\x08\x01\x5b\x5c"))),
        without="output",
        proto=plain,
    )


def files() -> Cases:
    c = Cases("files")
    good = with_contract(*MAKERS["matrix"]())
    for what, cut in (
        ("1", 1),
        ("2", 2),
        ("10", 10),
        ("half", len(good) // 2),
        ("all_but_one", len(good) - 1),
    ):
        write_model(f"broken/cut_{what}.onnx", good[:cut])
        c.bad(f"cut_{what}", f"broken/cut_{what}.onnx", "FILE_INVALID")
    pixel = b"\x00" + b"\xff\x00\x00"

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(pixel, 9))
        + chunk(b"IEND", b"")
    )
    foreign = {
        "empty": b"",
        "text": b"This is not a model.\n",
        "json": b'{"format": 1}\n',
        "png": png,
        "elf": b"\x7fELF\x02\x01\x01" + bytes(57),
        "zeros": bytes(64),
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00K\x01K\x02\x86\x94.",
        "zip": b"PK\x05\x06" + bytes(18),
        "no_graph": onnx.ModelProto(ir_version=8, producer_name="x").SerializeToString(),
        "tail": good + b"\x00\x01tail",
        "length_beyond": b"\x08\x08" + b"\x3a\xff\xff\xff\xff\x7f",
        "varint_too_long": b"\x08" + b"\xff" * 12,
        "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "group_in_output": group_in_output(),
        "unknown_field": good + field(15, b""),
        "graph_twice": good + field(7, b""),
        "number_in_longer_form": good.replace(b"\x08\x08", b"\x08\x88\x00", 1),
    }
    for what, data in foreign.items():
        write_model(f"broken/{what}.onnx", data)
        c.bad(what, f"broken/{what}.onnx", "FILE_INVALID")
        c.bad(f"{what}_bytes", f"broken/{what}.onnx", "FILE_INVALID", open={"as": "bytes"})
    c.bad("no_such_file", "broken/no_such_file.onnx", "FILE_NOT_FOUND")
    c.bad("folder", "broken", "FILE_UNREADABLE")
    c.bad("file_as_folder", "add.onnx/x.onnx", "FILE_NOT_FOUND")
    c.bad(
        "uri_no_such_file",
        "add.onnx",
        "FILE_NOT_FOUND",
        open={"uri": "file://$MODELS/no_such.onnx"},
    )
    c.bad(
        "uri_bad_percent", "add.onnx", "INVALID_ARGUMENT", open={"uri": "file://$MODELS/%zz.onnx"}
    )
    c.bad(
        "uri_cut_percent", "add.onnx", "INVALID_ARGUMENT", open={"uri": "file://$MODELS/add.onnx%2"}
    )
    c.bad(
        "uri_percent_nul",
        "add.onnx",
        "INVALID_ARGUMENT",
        open={"uri": "file://$MODELS/add.onnx%00"},
    )
    c.bad("uri_host", "add.onnx", "INVALID_ARGUMENT", open={"uri": "file://elsewhere/add.onnx"})
    c.bad(
        "uri_unknown_scheme",
        "add.onnx",
        "UNSUPPORTED",
        open={"uri": "s3://models.example/add.onnx"},
    )
    c.bad("uri_exec_not_allowed", "add.onnx", "INVALID_ARGUMENT", open={"uri": "exec:true"})
    c.bad("uri_empty", "add.onnx", "INVALID_ARGUMENT", open={"uri": ""})
    return c


def graphs() -> Cases:
    """Graphs that the API cannot express or that the engine does not know."""
    c = Cases("graphs")
    x, y = ("x", "float32", ["N"]), ("y", "float32", ["N"])
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    write_model(
        "graphs/sequence_out.onnx",
        model([x], [sequence], [node("SequenceConstruct", ["x"], ["y"])]),
    )
    c.bad(
        "sequence_out",
        "graphs/sequence_out.onnx",
        "UNSUPPORTED",
        {"name": "y", "expected": "a tensor", "got": "a sequence"},
    )
    write_model(
        "graphs/sequence_in.onnx",
        model(
            [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)],
            [("y", "float32", None)],
            [node("ConcatFromSequence", ["x"], ["y"], axis=0)],
        ),
    )
    c.bad("sequence_in", "graphs/sequence_in.onnx", "UNSUPPORTED", {"name": "x"})
    maps = helper.make_value_info(
        "y",
        helper.make_sequence_type_proto(
            helper.make_map_type_proto(
                TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
            )
        ),
    )
    write_model(
        "graphs/zipmap.onnx",
        model(
            [("x", "float32", ["N", 2])],
            [maps],
            [node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])],
            ml=True,
        ),
    )
    c.bad("zipmap", "graphs/zipmap.onnx", "UNSUPPORTED", {"name": "y"})
    optional = helper.make_value_info(
        "y",
        helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])),
    )
    write_model(
        "graphs/optional_out.onnx", model([x], [optional], [node("Optional", ["x"], ["y"])])
    )
    c.bad("optional_out", "graphs/optional_out.onnx", "UNSUPPORTED", {"name": "y"})
    bad = {
        "unknown_op": model([x], [y], [node("Frobnicate", ["x"], ["y"])]),
        "unknown_domain": model(
            [x],
            [y],
            [node("Add", ["x", "x"], ["y"], domain="com.example")],
            domains=("com.example",),
        ),
        "opset_too_new": model([x], [y], [node("Neg", ["x"], ["y"])], opset=999),
        "ir_version_too_new": model([x], [y], [node("Neg", ["x"], ["y"])], ir=999),
        "not_connected": model([x], [y], [node("Neg", ["nowhere"], ["y"])]),
        "cycle": model([x], [y], [node("Add", ["x", "y"], ["z"]), node("Neg", ["z"], ["y"])]),
        "types_disagree": model([x, ("i", "int64", ["N"])], [y], [node("Add", ["x", "i"], ["y"])]),
        "output_not_computed": model([x], [y], [node("Neg", ["x"], ["z"])]),
    }
    for what, proto in bad.items():
        write_model(f"graphs/{what}.onnx", proto)
        c.bad(what, f"graphs/{what}.onnx", "ENGINE")
    complex64 = helper.make_tensor_value_info("x", TensorProto.COMPLEX64, ["N"])
    write_model(
        "graphs/complex.onnx",
        model(
            [complex64],
            [helper.make_tensor_value_info("y", TensorProto.COMPLEX64, ["N"])],
            [node("Identity", ["x"], ["y"])],
        ),
    )
    c.bad("complex", "graphs/complex.onnx", "ENGINE")
    return c


def unreadable_contracts() -> dict[str, tuple[str, bytes]]:
    graph, whole = MAKERS["matrix"]()
    made = json.dumps(whole)
    return {
        "format_4": ("CONTRACT_FORMAT", changed("matrix", put("format", 4))),
        "format_6": ("CONTRACT_FORMAT", changed("matrix", put("format", 6))),
        "format_text": ("CONTRACT_INVALID", changed("matrix", put("format", "5"))),
        "format_missing": ("CONTRACT_INVALID", changed("matrix", put("format", ...))),
        "format_6_other_layout": (
            "CONTRACT_FORMAT",
            with_contract(graph, '{"format": 6, "columns": {}}'),
        ),
        "empty": ("CONTRACT_INVALID", with_contract(graph, "")),
        "not_json": ("CONTRACT_INVALID", with_contract(graph, "format: 5")),
        "cut_json": ("CONTRACT_INVALID", with_contract(graph, made[:-1])),
        "list": ("CONTRACT_INVALID", with_contract(graph, "[1]")),
        "number": ("CONTRACT_INVALID", with_contract(graph, "1")),
        "not_utf8": (
            "CONTRACT_INVALID",
            with_contract(graph, made.encode().replace(b"vectors", b"vect\xffrs")),
        ),
        "key_twice": ("CONTRACT_INVALID", with_contract(graph, made[:-1] + ', "format": 5}')),
    }


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Changes one place, such as `features.0.name`. The value `...` removes the place."""
    *steps, last = [int(s) if s.isdigit() else s for s in path.split(".")]

    def change(made: Any) -> None:
        for step in steps:
            made = made[step]
        if value is ...:
            del made[last]
        else:
            made[last] = value

    return change


# base model, place, new value
LIES: dict[str, tuple[str, str, Any]] = {
    "input_unknown": ("matrix", "features.0.input", "Y"),
    "column_beyond": ("matrix", "features.0.column", 4),
    "column_negative": ("matrix", "features.0.column", -1),
    "column_huge": ("matrix", "features.0.column", 2**40),
    "column_text": ("matrix", "features.0.column", "0"),
    "two_features_in_one_column": ("matrix", "features.1.column", 0),
    "column_without_feature": ("matrix", "features.3", ...),
    "name_twice": ("matrix", "features.1.name", "a"),
    "name_empty": ("matrix", "features.0.name", ""),
    "name_with_nul": ("matrix", "features.0.name", "a\0b"),
    "name_number": ("matrix", "features.0.name", 5),
    "name_missing": ("matrix", "features.0.name", ...),
    "type_unknown": ("matrix", "features.0.type", "int32"),
    "type_datetime": ("matrix", "features.0.type", "datetime"),
    "type_does_not_fit": ("matrix", "features.0.type", "string"),
    "string_type_does_not_fit": ("text", "features.0.type", "float32"),
    "float_in_an_integer": ("closed", "features.1.type", "float32"),
    "missing_absent": ("matrix", "features.0.missing", ...),
    "missing_word": ("matrix", "features.0.missing", "null"),
    "missing_value_in_float": ("matrix", "features.0.missing", {"value": 0}),
    "missing_nan_in_integer": ("kinds", "features.2.missing", "nan"),
    "missing_text_in_integer": ("kinds", "features.2.missing", {"value": "x"}),
    "missing_nan_in_string": ("kinds", "features.4.missing", "nan"),
    "missing_number_in_string": ("kinds", "features.4.missing", {"value": 1}),
    "allowed_of_other_type": ("closed", "features.0.allowed", ["S", 1]),
    "allowed_not_a_list": ("closed", "features.0.allowed", "S"),
    "nullable_text": ("matrix", "features.0.nullable", "true"),
    "features_absent": ("matrix", "features", ...),
    "features_empty": ("matrix", "features", []),
    "features_object": ("matrix", "features", {}),
    "feature_a_number": ("matrix", "features.0", 1),
    "outputs_absent": ("matrix", "outputs", ...),
    "outputs_empty": ("matrix", "outputs", []),
    "output_unknown": ("matrix", "outputs.0.name", "score"),
    "role_unknown": ("matrix", "outputs.0.role", "answer"),
    "role_absent": ("matrix", "outputs.0.role", ...),
    "output_type_does_not_fit": ("matrix", "outputs.0.type", "float64"),
    "label_type_does_not_fit": ("label_string", "outputs.0.type", "int64"),
    "classes_too_few": ("label_string", "outputs.1.classes", ["no", "yes"]),
    "classes_too_many": ("label_string", "outputs.1.classes", ["a", "b", "c", "d"]),
    "classes_absent": ("label_string", "outputs.1.classes", ...),
    "classes_mixed": ("label_string", "outputs.1.classes", ["a", 1, "c"]),
    "classes_twice": ("label_string", "outputs.1.classes", ["a", "b", "a"]),
    "classes_float": ("label_string", "outputs.1.classes", [0.5, 1.5, 2.5]),
    "width_too_large": ("prediction_wide", "outputs.0.width", 3),
    "width_zero": ("prediction_wide", "outputs.0.width", 0),
    "width_absent": ("prediction_wide", "outputs.0.width", ...),
    "decision_unknown_output": ("label_string", "outputs.0.decision.output", "scores"),
    "decision_unknown_rule": ("label_string", "outputs.0.decision.rule", "max"),
    "decision_column_beyond": ("threshold", "outputs.0.decision.column", 2),
    "decision_no_threshold": ("threshold", "outputs.0.decision.threshold", ...),
    "model_absent": ("matrix", "model", ...),
    "model_name_number": ("matrix", "model.name", 1),
    "golden_row_short": ("matrix", "verification.features.0", [1.5]),
    "golden_feature_short": ("matrix", "verification.features", [[1.5, None]]),
    "golden_value_of_other_type": ("matrix", "verification.features.0", ["x", 1]),
    "golden_missing_where_not_nullable": ("matrix", "verification.features.2", [True, None]),
    "golden_answer_short": ("matrix", "verification.outputs.prediction", [1]),
    "golden_answer_text": ("matrix", "verification.outputs.prediction", ["x", "y"]),
    "golden_answer_unknown_output": ("matrix", "verification.outputs", {"score": [1, 2]}),
    "golden_rows_zero": ("matrix", "verification.rows", 0),
    "golden_rows_negative": ("matrix", "verification.rows", -1),
    "golden_tolerance_absent": ("matrix", "verification.tolerance", ...),
    "golden_tolerance_negative": ("matrix", "verification.tolerance.prediction.absolute", -1),
    "golden_outside_the_list": ("closed", "verification.features.1", [10, 15]),
}


# Golden rows that the contract's own rules refuse.
REFUSED_ROWS = ("golden_missing_where_not_nullable", "golden_outside_the_list")


def contracts() -> Cases:
    c = Cases("contracts")
    for what, (status, data) in unreadable_contracts().items():
        write_model(f"contracts/{what}.onnx", data)
        c.bad(what, f"contracts/{what}.onnx", status)
    for format_ in (4, 6):
        c.bad(
            f"format_{format_}_bytes",
            f"contracts/format_{format_}.onnx",
            "CONTRACT_FORMAT",
            {
                "expected": "5",
                "got": str(format_),
                "message": f"file 'bytes': contract: expected format 5, got {format_}: export or serve "
                "the model with the version of sidecall that opens it",
            },
            open={"as": "bytes"},
        )
    c.bad(
        "format_6_without_verification",
        "contracts/format_6.onnx",
        "CONTRACT_FORMAT",
        open={"verify": "off"},
    )
    for what, (base, path, value) in LIES.items():
        write_model(f"contracts/{what}.onnx", changed(base, put(path, value)))
        c.bad(
            what,
            f"contracts/{what}.onnx",
            "VERIFICATION_FAILED" if what in REFUSED_ROWS else "CONTRACT_INVALID",
        )
    record = {"a": 1, "b": 2, "c": True, "d": 0.5}
    for what, path, value in (
        ("unknown_keys", "more", {"x": [1, None]}),
        ("unknown_feature_key", "features.0.unit", "cm"),
        ("seen", "features.0.seen", {"min": 5, "max": 6}),
        ("no_verification", "verification", {"source": "none"}),
        ("no_parity", "parity", ...),
        ("no_versions", "versions", ...),
        ("other_id", "model.id", "f" * 64),
    ):
        write_model(f"contracts/{what}.onnx", changed("matrix", put(path, value)))
        c.ok(what, f"contracts/{what}.onnx", record=record, result={"prediction": 621})
    return c


def verification() -> Cases:
    """Golden rows that disagree with the model, and some that only seem to disagree."""
    c = Cases("verification")
    record, result = {"a": 1, "b": 2, "c": True, "d": 0.5}, {"prediction": 621}
    x3, r3 = (
        {"x0": 0, "x1": 1, "x2": 0},
        {"label": "yes", "probabilities": {"no": 0, "yes": 1, 'don\'t "know"': 0}},
    )
    x2 = {"x0": 0.5, "x1": 0.5}
    # base, place, value, holds
    rows: dict[str, tuple[str, str, Any, bool]] = {
        "first_row": ("matrix", "verification.outputs.prediction", [371.6, 3989], False),
        "last_row": ("matrix", "verification.outputs.prediction", [371.5, 3990], False),
        "expected_nan": ("matrix", "verification.outputs.prediction", ["nan", 3989], False),
        "expected_inf": ("matrix", "verification.outputs.prediction", ["inf", 3989], False),
        "inside_tolerance": ("matrix", "verification.outputs.prediction", [371.503, 3989.03], True),
        "outside_tolerance": ("matrix", "verification.outputs.prediction", [371.51, 3989], False),
        "probability": (
            "label_string",
            "verification.outputs.probabilities",
            [[0.75, 0.25, 0], [0.125, 0.875, 0.01]],
            False,
        ),
        # The scores of row 0 are 0.75 and 0.25: far from a tie, so another label is wrong.
        "label_far": ("label_string", "verification.outputs.label", ["yes", "yes"], False),
        "label_far_int": ("label_int", "verification.outputs.label", [5, 5], False),
        "label_far_bool": ("label_bool", "verification.outputs.label", [True, True], False),
        "label_unknown": ("label_string", "verification.outputs.label", ["maybe", "yes"], False),
        "threshold_far": ("threshold", "verification.outputs.label", ["yes", "yes"], False),
        "wide_second_column": (
            "prediction_wide",
            "verification.outputs.prediction",
            [[1, 2], [3, 5]],
            False,
        ),
        "integer": ("prediction_int64", "verification.outputs.prediction", [3, 8], False),
        "label_wide": ("label_wide", "verification.outputs.label", [[1, 2], [3, 3]], False),
    }
    for what, (base, path, value, holds) in rows.items():
        write_model(f"verification/{what}.onnx", changed(base, put(path, value)))
        if holds:
            c.ok(what, f"verification/{what}.onnx", record=record, result=result)
            continue
        columns = {
            "probability": 'probabilities.don\'t "know"',
            "wide_second_column": "prediction.1",
            "label_wide": "label.1",
        }
        error = {
            "name": columns.get(what, path.split(".")[-1]),
            "row": 1
            if what in ("last_row", "probability", "wide_second_column", "integer", "label_wide")
            else 0,
        }
        c.bad(what, f"verification/{what}.onnx", "VERIFICATION_FAILED", error)
    c.bad(
        "first_row_bytes",
        "verification/first_row.onnx",
        "VERIFICATION_FAILED",
        {"name": "prediction", "row": 0, "expected": "371.6", "got": "371.5"},
        open={"as": "bytes"},
    )
    c.ok(
        "first_row_warn",
        "verification/first_row.onnx",
        open={"verify": "warn"},
        record=record,
        result=result,
    )
    c.ok(
        "first_row_off",
        "verification/first_row.onnx",
        open={"verify": "off"},
        record=record,
        result=result,
    )

    def near(made: Any) -> None:
        golden = made["verification"]
        # A tie within the tolerance: either label is accepted.
        golden["features"][0][0], golden["features"][1][0] = 0.5, 0.49999994
        golden["outputs"]["probabilities"][0] = [0.5, 0.49999994, 0]
        golden["outputs"]["label"][0] = "yes"

    write_model("verification/label_near.onnx", changed("label_string", near))
    c.ok("label_near", "verification/label_near.onnx", record=x3, result=r3)

    def near_exact(made: Any) -> None:
        near(made)
        del made["outputs"][0]["decision"]

    write_model("verification/label_near_no_decision.onnx", changed("label_string", near_exact))
    c.bad(
        "label_near_no_decision",
        "verification/label_near_no_decision.onnx",
        "VERIFICATION_FAILED",
        {"name": "label", "row": 0},
    )

    def near_threshold(made: Any) -> None:
        golden = made["verification"]
        golden["features"][0][0], golden["features"][1][0] = 0.625, 0.375
        golden["outputs"]["probabilities"][0] = [0.625, 0.375]
        golden["outputs"]["label"][0] = "yes"

    write_model("verification/threshold_near.onnx", changed("threshold", near_threshold))
    c.ok(
        "threshold_near",
        "verification/threshold_near.onnx",
        record=x2,
        result={"label": "yes", "probabilities": {"no": 0.5, "yes": 0.5}},
    )

    def left_out(made: Any) -> None:
        made["outputs"][0]["deterministic"] = False
        made["verification"]["outputs"]["prediction"] = [0, 0]

    write_model("verification/not_deterministic.onnx", changed("matrix", left_out))
    c.ok("not_deterministic", "verification/not_deterministic.onnx", record=record, result=result)

    def not_finite(made: Any) -> None:
        golden = made["verification"]
        golden["features"] = [["inf", 1], ["-inf", 2]]
        golden["outputs"]["prediction"] = [["inf", "-inf"], [1, 2]]

    write_model("verification/not_finite.onnx", changed("prediction_wide", not_finite))
    c.ok(
        "not_finite",
        "verification/not_finite.onnx",
        record={"x0": 1, "x1": 2},
        result={"prediction": [1, 2]},
    )
    return c
