"""The cases of `predict`: types, missing values, closed lists, roles, JSON texts.

Used by ../generate.py.
"""

from __future__ import annotations

from typing import Any

from .build import Cases

KINDS = {
    "f32": 0.5,
    "f64": 0.1,
    "i64": 7,
    "flag": True,
    "word": "a",
    "f32_must": 2,
    "f64_must": 3,
    "i64_must": 4,
    "flag_must": False,
    "word_must": "b",
}
KINDS_OUT = [0.5, 0.1, 7, 1, 1, 2, 3, 4, 0, 2]
MUST = {key: value for key, value in KINDS.items() if key.endswith("_must")}
TYPE = {"f32": "float32", "f64": "float64", "i64": "int64", "flag": "bool", "word": "string"}


def kinds() -> Cases:
    c = Cases("kinds")

    def ok(
        what: str, change: dict[str, Any], out: dict[int, Any], base: dict[str, Any] = KINDS
    ) -> None:
        c.ok(
            what,
            "kinds.onnx",
            record={**base, **change},
            result={"transformed": [out.get(i, v) for i, v in enumerate(KINDS_OUT)]},
        )

    ok("all", {}, {})
    c.ok(
        "any_order",
        "kinds.onnx",
        record=dict(reversed(KINDS.items())),
        result={"transformed": KINDS_OUT},
    )
    missing = {0: "nan", 1: "nan", 2: -999, 3: "nan", 4: -1}
    ok("absent_is_missing", {}, missing, MUST)
    ok("null_is_missing", dict.fromkeys(TYPE), missing)
    ok(
        "integers_for_floats",
        {"f32": 3, "f64": 4, "f32_must": -16777216, "f64_must": 9007199254740992},
        {0: 3, 1: 4, 5: -16777216, 6: 9007199254740992},
    )
    ok("whole_floats_for_integers", {"i64": 3.0, "i64_must": -4.0}, {2: 3, 7: -4})
    ok(
        "ends_of_int64",
        {"i64": 9223372036854775807, "i64_must": -9223372036854775808},
        {2: 9223372036854775807, 7: -9223372036854775808},
    )
    ok("negative_zero", {"f32": -0.0, "f64": -0.0}, {0: 0.0, 1: 0.0})
    ok("unknown_word", {"word": "zzz", "word_must": ""}, {4: 0, 9: 0})
    ok("word_of_unicode", {"word": "Größe"}, {4: 3})
    ok(
        "smallest_float",
        {"f64": 5e-324, "f32": 1.401298464324817e-45},
        {1: 5e-324, 0: 1.401298464324817e-45},
    )
    c.ok(
        "list",
        "kinds.onnx",
        record=[KINDS, MUST],
        result=[
            {"transformed": KINDS_OUT},
            {"transformed": [missing.get(i, v) for i, v in enumerate(KINDS_OUT)]},
        ],
    )
    c.ok("list_of_one", "kinds.onnx", record=[KINDS], result=[{"transformed": KINDS_OUT}])
    c.ok(
        "extra_ignored",
        "kinds.onnx",
        open={"extra": "ignore"},
        record={**KINDS, "more": 1, "": None, "X": {"a": [1]}},
        result={"transformed": KINDS_OUT},
    )

    def bad(what: str, change: dict[str, Any], status: str, **error: Any) -> None:
        if "expected" in error and "got" in error:
            error["message"] = (
                f"feature '{error['name']}': expected {error['expected']}, got {error['got']}"
            )
        c.bad(
            what,
            "kinds.onnx",
            status,
            {"row": 0, "num_faults": 1, **error},
            record={**KINDS, **change},
            after="all",
        )

    for name in MUST:
        dtype = TYPE[name.removesuffix("_must")]
        bad(
            f"null_in_{name}",
            {name: None},
            "MISSING_VALUE",
            name=name,
            expected=dtype,
            got="a missing value",
        )
        c.bad(f"absent_{name}", "kinds.onnx", "MISSING_VALUE", {"name": name, "expected": dtype, "got": "a missing value", "row": 0, "num_faults": 1},
              record={key: value for key, value in KINDS.items() if key != name}, after="all")  # fmt: skip
    for name, _wrong in (("f32", "text"), ("f64", "text"), ("i64", "text"), ("flag", "text")):
        bad(
            f"string_in_{name}",
            {name: "1"},
            "DTYPE_MISMATCH",
            name=name,
            expected=TYPE[name],
            got="string",
        )
    for name in ("f32", "f64", "i64", "word"):
        bad(
            f"bool_in_{name}",
            {name: True},
            "DTYPE_MISMATCH",
            name=name,
            expected=TYPE[name],
            got="bool",
        )
    for name in ("flag", "word"):
        bad(
            f"integer_in_{name}",
            {name: 1},
            "DTYPE_MISMATCH",
            name=name,
            expected=TYPE[name],
            got="int64",
        )
        bad(
            f"float_in_{name}",
            {name: 1.5},
            "DTYPE_MISMATCH",
            name=name,
            expected=TYPE[name],
            got="float64",
        )
    bad(
        "fraction_in_i64",
        {"i64": 1.5},
        "DTYPE_MISMATCH",
        name="i64",
        expected="int64",
        got="float64",
    )
    for name in TYPE:
        bad(f"list_in_{name}", {name: [1]}, "DTYPE_MISMATCH", name=name, expected=TYPE[name])
        bad(f"object_in_{name}", {name: {"a": 1}}, "DTYPE_MISMATCH", name=name, expected=TYPE[name])
    bad("too_large_for_f32", {"f32": 1e300}, "OUT_OF_RANGE", name="f32", expected="float32")
    bad("too_large_for_i64", {"i64": 1e30}, "OUT_OF_RANGE", name="i64", expected="int64")
    bad(
        "unsigned_in_i64",
        {"i64": 9223372036854775808},
        "OUT_OF_RANGE",
        name="i64",
        expected="int64",
    )
    # Written without a fraction, this float is the first integer above the range of int64.
    bad(
        "float_two_to_63",
        {"i64": 9223372036854775808.0},
        "OUT_OF_RANGE",
        name="i64",
        expected="int64",
    )
    bad("nul_in_word", {"word": "a\u0000b"}, "INVALID_STRING", name="word", expected="string")
    bad(
        "unknown_feature",
        {"wrod": "a"},
        "UNKNOWN_NAME",
        name="wrod",
        message="feature 'wrod': expected a feature of the model, got an unknown name",
    )
    bad("other_case", {"Word": "a"}, "UNKNOWN_NAME", name="Word")
    bad("empty_name", {"": "a"}, "UNKNOWN_NAME", name="")
    c.bad("many_faults", "kinds.onnx", "DTYPE_MISMATCH", {"num_faults": 4, "row": 0, "name": "f32", "expected": "float32", "got": "string"},
          record={**KINDS, "f32": "x", "i64_must": None, "word": 5, "flag": 1}, after="all")  # fmt: skip
    c.bad("faults_in_two_rows", "kinds.onnx", "MISSING_VALUE", {"num_faults": 2, "row": 1, "name": "i64_must", "expected": "int64", "got": "a missing value"},
          record=[KINDS, {**KINDS, "i64_must": None}, {**KINDS, "f32": []}], after="list")  # fmt: skip
    c.bad(
        "empty_record",
        "kinds.onnx",
        "MISSING_VALUE",
        {"num_faults": 5, "row": 0},
        record={},
        after="all",
    )
    c.bad("empty_list", "kinds.onnx", "SHAPE_MISMATCH", record=[], after="all")
    return c


def roles() -> Cases:
    c = Cases("roles")
    x2 = {"x0": 1, "x1": 2}
    for name, result in (
        ("prediction_wide", {"prediction": [1, 2]}), ("prediction_width1", {"prediction": [3]}), ("prediction_rank1", {"prediction": 3}), ("prediction_float64", {"prediction": 3}),
        ("prediction_int64", {"prediction": 3}), ("label_wide", {"label": [1, 2]}), ("scores", {"scores": 3}), ("scores_wide", {"scores": [1, 2]}),
        ("scores_classes", {"scores": {"in": 1, "out": 2}}), ("transformed", {"transformed": [1, 2]}),
    ):  # fmt: skip
        c.ok(name, f"{name}.onnx", record=x2, result=result)
        c.bad(
            f"{name}_missing",
            f"{name}.onnx",
            "MISSING_VALUE",
            {"name": "x1", "expected": "float32", "got": "a missing value", "row": 0},
            record={"x0": 1},
            after=name,
        )
    x3 = {"x0": 0.25, "x1": 0.5, "x2": 0.25}
    c.ok(
        "label_string",
        "label_string.onnx",
        record=x3,
        result={"label": "yes", "probabilities": {"no": 0.25, "yes": 0.5, 'don\'t "know"': 0.25}},
    )
    c.ok(
        "label_int",
        "label_int.onnx",
        record=x3,
        result={"label": 5, "probabilities": {"3": 0.25, "5": 0.5, "-7": 0.25}},
    )
    c.ok(
        "label_bool",
        "label_bool.onnx",
        record={"x0": 0.25, "x1": 0.75},
        result={"label": True, "probabilities": {"false": 0.25, "true": 0.75}},
    )
    c.ok(
        "label_bool_int",
        "label_bool_int.onnx",
        record={"x0": 0.75, "x1": 0.25},
        result={"label": False, "probabilities": {"false": 0.75, "true": 0.25}},
    )
    c.ok(
        "threshold_below",
        "threshold.onnx",
        record={"x0": 0.625, "x1": 0.375},
        result={"label": "no", "probabilities": {"no": 0.625, "yes": 0.375}},
    )
    c.ok(
        "threshold_above",
        "threshold.onnx",
        record={"x0": 0.5, "x1": 0.5},
        result={"label": "yes", "probabilities": {"no": 0.5, "yes": 0.5}},
    )
    c.ok("names", "names.onnx", record={"Größe (cm)": 0, "a.b \"c\" \\ /": 1, "tab\tnew\nline 🐧": 0},
         result={"label": "dotted.class", "probabilities": {"": 0, "dotted.class": 1, "quote \" back \\ tab \t é": 0}})  # fmt: skip
    c.bad(
        "names_missing",
        "names.onnx",
        "MISSING_VALUE",
        {"name": "Größe (cm)", "num_faults": 3, "row": 0},
        record={},
        after="names",
    )
    c.ok(
        "text",
        "text.onnx",
        record=[{"text": "one two  three"}, {"text": ""}, {"text": "🐧"}],
        result=[{"prediction": 3}, {"prediction": 0}, {"prediction": 1}],
    )
    c.bad(
        "text_number",
        "text.onnx",
        "DTYPE_MISMATCH",
        {"name": "text", "expected": "string", "got": "int64"},
        record={"text": 1},
        after="text",
    )
    c.ok(
        "matrix",
        "matrix.onnx",
        record={"a": 1, "b": 2, "c": True, "d": 0.5},
        result={"prediction": 621},
    )
    c.ok("matrix_missing", "matrix.onnx", record={"c": False, "d": 1}, result={"prediction": 989})
    c.ok(
        "matrix_tensor",
        "matrix.onnx",
        inputs={
            "X": {"dtype": "float32", "shape": [2, 4], "data": [1, 2, 1, 0.5, "nan", "nan", 0, 1]}
        },
        outputs={"prediction": {"dtype": "float32", "shape": [2, 1], "data": [621, 989]}},
    )
    c.bad(
        "matrix_c_missing",
        "matrix.onnx",
        "MISSING_VALUE",
        {"name": "c", "expected": "bool", "got": "a missing value", "row": 0},
        record={"a": 1, "b": 2, "d": 1},
        after="matrix",
    )
    c.bad(
        "matrix_c_number",
        "matrix.onnx",
        "DTYPE_MISMATCH",
        {"name": "c", "expected": "bool", "got": "int64"},
        record={"a": 1, "c": 1, "d": 1},
        after="matrix",
    )
    # 2^24 + 1 is rounded once, when it is stored in a float32 column.
    c.ok(
        "matrix_b_rounded",
        "matrix.onnx",
        record={"a": 0, "b": 16777217, "c": False, "d": 0},
        result={"prediction": 167772160},
    )
    c.bad("matrix_tensor_missing", "matrix.onnx", "MISSING_VALUE", {"name": "d", "expected": "float32", "got": "a missing value", "row": 1},
          inputs={"X": {"dtype": "float32", "shape": [2, 4], "data": [1, 2, 1, 0.5, 1, 1, 1, "nan"]}}, after="matrix_tensor")  # fmt: skip
    closed = {"size": "M", "level": 20, "door": True}
    c.ok("closed", "closed.onnx", record=closed, result={"prediction": 122})
    c.ok(
        "closed_missing",
        "closed.onnx",
        record={"level": 10, "door": True},
        result={"prediction": 109},
    )
    for name, wrong, _dtype in (
        ("size", "XL", "string"),
        ("level", 15, "int64"),
        ("door", False, "bool"),
    ):
        c.bad(
            f"closed_{name}",
            "closed.onnx",
            "UNKNOWN_CATEGORY",
            {
                "name": name,
                "row": 0,
                "num_faults": 1,
                "message": f"feature '{name}': expected a known category, got an unknown one",
            },
            record={**closed, name: wrong},
            after="closed",
        )
    c.bad(
        "closed_all",
        "closed.onnx",
        "UNKNOWN_CATEGORY",
        {"name": "size", "row": 1, "num_faults": 3},
        record=[closed, {"size": "", "level": 0, "door": False}],
        after="closed",
    )
    c.bad(
        "closed_level_missing",
        "closed.onnx",
        "MISSING_VALUE",
        {"name": "level", "row": 0},
        record={"size": "M", "door": True},
        after="closed",
    )
    one = {
        "size": {"dtype": "string", "shape": [1, 1], "data": ["XL"]},
        "level": {"dtype": "int64", "shape": [1, 1], "data": [10]},
        "door": {"dtype": "bool", "shape": [1, 1], "data": [True]},
    }
    c.bad(
        "closed_tensor_string",
        "closed.onnx",
        "UNKNOWN_CATEGORY",
        {"name": "size", "row": 0},
        inputs=one,
        after="closed",
    )
    c.bad("closed_tensor_integer", "closed.onnx", "UNKNOWN_CATEGORY", {"name": "level", "row": 0},
          inputs={**one, "size": {**one["size"], "data": ["S"]}, "level": {**one["level"], "data": [11]}}, after="closed")  # fmt: skip
    c.bad(
        "no_contract",
        "add.onnx",
        "NO_CONTRACT",
        {
            "message": "records need a contract and the file carries none: export the model with sidecall.export"
        },
        record={"x": 1},
        after="shapes/add",
    )
    return c


def json_texts() -> Cases:
    c = Cases("json")
    good = '{"a": 1, "b": 2, "c": true, "d": 0.5}'
    result = {"prediction": 621}
    texts = {
        "plain": good, "no_blanks": good.replace(" ", ""), "blanks": "\r\n\t {\n" + good[1:-1] + " }\n\n", "exponents": '{"a": 10e-1, "b": 0.2E1, "c": true, "d": 5e-1}',
        "escaped_key": good.replace('"a"', '"\\u0061"'), "long_number": good.replace("0.5", "0.5" + "0" * 400),
    }  # fmt: skip
    for what, value in texts.items():
        c.ok(what, "matrix.onnx", json=value, result=result)
    c.ok("list", "matrix.onnx", json=f"[{good} , {good}]", result=[result, result])
    c.ok("surrogate_pair", "names.onnx", json='{"Gr\\u00f6\\u00dfe (cm)": 1, "a.b \\"c\\" \\\\ \\/": 0, "tab\\tnew\\nline \\ud83d\\udc27": 0}',
         result={"label": "", "probabilities": {"": 1, "dotted.class": 0, "quote \" back \\ tab \t é": 0}})  # fmt: skip
    broken = {
        "empty": "", "blank": "  \n", "cut_object": '{"a": 1', "cut_string": '{"a', "cut_list": f"[{good}", "trailing_comma": '{"a": 1,}', "trailing_text": good + "x", "two_records": good + good,
        "single_quotes": "{'a': 1}", "comment": "{/* a */}", "no_colon": '{"a" 1}', "key_twice": '{"a": 1, "a": 2, "c": true, "d": 1}', "key_twice_escaped": '{"a": 1, "\\u0061": 2, "c": true, "d": 1}',
        "leading_zero": good.replace("0.5", "00.5"), "plus": good.replace("0.5", "+5"), "dot_only": good.replace("0.5", ".5"), "hex": good.replace("0.5", "0x5"), "bare_word": good.replace("true", "yes"),
        "python_word": good.replace("true", "True"), "nan": good.replace("0.5", "NaN"), "infinity": good.replace("0.5", "-Infinity"), "control_in_string": '{"a\tb": 1}', "bad_escape": '{"\\x": 1}', "deep": '{"a": ' + "[" * 20000, "deep_objects": '{"a":' * 5000,
        "deep_closed": '{"a": ' + "[" * 2000 + "]" * 2000 + "}",
    }  # fmt: skip
    for what, value in broken.items():
        c.bad(what, "matrix.onnx", "INVALID_JSON", json=value, after="plain")
    c.bad(
        "nul_at_end",
        "matrix.onnx",
        "INVALID_JSON",
        json={"hex": good.encode().hex() + "00"},
        after="plain",
    )
    c.bad(
        "utf16",
        "matrix.onnx",
        "INVALID_JSON",
        json={"hex": good.encode("utf-16-le").hex()},
        after="plain",
    )
    for what, hexed in (
        ("not_utf8", b'{"word": "'.hex() + "ff" + b'"}'.hex()),
        ("overlong", b'{"word": "'.hex() + "c0af" + b'"}'.hex()),
    ):
        c.bad(what, "kinds.onnx", "INVALID_JSON", json={"hex": hexed}, after="kinds/all")
    c.bad(
        "lone_surrogate",
        "kinds.onnx",
        "INVALID_JSON",
        json='{"word": "\\ud800"}',
        after="kinds/all",
    )
    # Each control character stands inside a long string, because parsers read blocks of 16 bytes.
    for code in range(0x20):
        long = f"{'a' * 21}{chr(code)}{'b' * 21}"
        for what, text in (("value", f'{{"word": "{long}"}}'), ("key", f'{{"{long}": 1}}')):
            got = "a NUL" if code == 0 else "a control character that is not escaped"
            message = f"records: expected JSON, got {got} (byte {text.index(chr(code))})"
            c.bad(
                f"byte_{code:02x}_in_{what}",
                "kinds.onnx",
                "INVALID_JSON",
                {"message": message},
                json=text,
                after="kinds/all",
            )
    for what, value in (("number", "3"), ("string", '"a"'), ("null", "null"), ("true", "true")):
        c.bad(f"top_{what}", "matrix.onnx", "DTYPE_MISMATCH", json=value, after="plain")
    c.bad("list_of_numbers", "matrix.onnx", "DTYPE_MISMATCH", json="[1, 2]", after="plain")
    c.bad("list_in_list", "matrix.onnx", "DTYPE_MISMATCH", json=f"[[{good}]]", after="plain")
    c.bad("list_with_null", "matrix.onnx", "DTYPE_MISMATCH", json=f"[{good}, null]", after="plain")
    c.bad(
        "beyond_double",
        "matrix.onnx",
        "OUT_OF_RANGE",
        {"name": "a", "row": 0, "got": "a number beyond its range", "num_faults": 1},
        json=good.replace('"a": 1', '"a": 1e999'),
        after="plain",
    )
    # The other faults of the records are reported too.
    c.bad(
        "beyond_double_among_others",
        "matrix.onnx",
        "DTYPE_MISMATCH",
        {"name": "a", "row": 0, "num_faults": 3},
        json="["
        + good.replace('"a": 1', '"a": "x"').replace('"b": 2', '"b": -1e400')
        + ", "
        + good.replace('"a": 1', '"a": 1' + "0" * 400)
        + "]",
        after="plain",
    )
    for what, text, got in (
        ("nan", good.replace('"a": 1', '"a": NaN'), "NaN: write a missing number as null"),
        (
            "infinity",
            good.replace('"a": 1', '"a": -Infinity'),
            "Infinity, which JSON does not have",
        ),
        ("none", good.replace('"a": 1', '"a": None'), "a word for a missing value: write null"),
        ("cut_off_in_an_object", good[:-1], "text that ends within an object"),
        ("cut_off_in_a_list", f"[{good}", "text that ends within a list"),
        ("cut_off_before_a_value", '{"a": ', "text that ends within a value or before it"),
        ("empty", "", "no text"),
    ):
        byte = {"nan": text.find("NaN"), "infinity": text.find("Inf"), "none": text.find("None")}
        message = f"records: expected JSON, got {got} (byte {byte.get(what, len(text))})"
        c.bad(
            f"found_{what}",
            "matrix.onnx",
            "INVALID_JSON",
            {"message": message},
            json=text,
            after="plain",
        )
    c.bad(
        "found_gzip",
        "matrix.onnx",
        "INVALID_JSON",
        {
            "message": "records: expected JSON, got text that is compressed with gzip: send it "
            "uncompressed (byte 0)"
        },
        json={"hex": "1f8b0800000000000003"},
        after="plain",
    )
    c.bad(
        "huge_integer",
        "matrix.onnx",
        "OUT_OF_RANGE",
        {"name": "b"},
        json=good.replace('"b": 2', '"b": ' + "9" * 40),
        after="plain",
    )
    return c
