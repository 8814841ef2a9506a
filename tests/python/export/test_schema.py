"""Features from data: types, missing values, closed lists, layouts, names.

Every refusal names the column.
"""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest
from contract_reader import File, check_contract
from sidecall.exporting import DataError, ExportError, ModelError, export
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier


def fit(frame, *steps):
    target = np.arange(len(frame)) % 2
    return make_pipeline(*steps, LogisticRegression()).fit(frame, target)


def features_of(tmp_path, model, frame, **options):
    export(model, tmp_path / "m.onnx", frame, **options)
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    return {entry["name"]: entry for entry in file.contract["features"]}, file


def mixed(rows=60):
    return pd.DataFrame(
        {
            "n": np.arange(rows) / 10,
            "s": ["a", "b", "c"] * (rows // 3),
            "i": np.arange(rows),
            "b": np.arange(rows) % 2 == 0,
        }
    )


def encode(handle="ignore", columns=("s",)):
    return make_column_transformer(
        (OneHotEncoder(handle_unknown=handle), list(columns)), remainder="passthrough"
    )


def test_a_frame_of_numbers_has_one_matrix_input(tmp_path):
    frame = mixed()[["n", "i", "b"]]
    features, file = features_of(tmp_path, fit(frame, StandardScaler()), frame)
    assert file.inputs == {"X": ("float64", file.inputs["X"][1])} and file.inputs["X"][1][1] == 3
    assert [(f["type"], f["input"], f["column"]) for f in features.values()] == [
        ("float64", "X", 0),
        ("int64", "X", 1),
        ("bool", "X", 2),
    ]


def test_a_frame_with_text_has_one_input_per_column(tmp_path):
    frame = mixed()
    features, file = features_of(tmp_path, fit(frame, encode()), frame)
    assert {name: dtype for name, (dtype, _) in file.inputs.items()} == {
        "n": "float64",
        "s": "string",
        "i": "int64",
        "b": "bool",
    }
    assert [entry["nullable"] for entry in features.values()] == [False, True, False, False]
    assert features["s"]["missing"] == {"value": "\ufdd0"}
    assert features["b"]["seen"] == {"categories": [False, True]}


def test_nullable_depends_on_the_pipeline_and_not_on_the_data(tmp_path):
    frame = mixed().drop(columns="b")
    first = ColumnTransformer(
        [
            ("num", SimpleImputer(), ["n", "i"]),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["s"]),
        ]
    )
    features, file = features_of(tmp_path, fit(frame, first), frame)
    assert all(entry["nullable"] for entry in features.values())
    assert (
        features["i"]["type"] == "int64"
        and features["i"]["missing"] == "nan"
        and file.inputs["i"][0] == "float64"
    )
    with_nan = frame.assign(n=frame["n"].where(frame["n"] > 1))
    features, _ = features_of(tmp_path, fit(frame, encode()), frame)
    assert not features["n"]["nullable"]
    with pytest.raises(ModelError, match="fails on the data"):
        export(fit(frame, encode()), tmp_path / "no.onnx", with_nan)


def test_closed_lists_come_from_the_encoder(tmp_path):
    frame = mixed()
    features, _ = features_of(tmp_path, fit(frame, encode("error", ["s", "b"])), frame.iloc[:2])
    assert features["s"]["allowed"] == ["a", "b", "c"], (
        "also the categories that the data at export does not contain"
    )
    assert "allowed" not in features["n"] and not features["s"]["nullable"]


def test_integer_categories_are_listed_as_int(tmp_path):
    frame = mixed().assign(i=np.arange(60) % 4 * 10)
    features, _ = features_of(tmp_path, fit(frame, encode("error", ["i", "s"])), frame)
    assert features["i"]["allowed"] == [0, 10, 20, 30]
    assert all(type(value) is int for value in features["i"]["allowed"])


def test_a_missing_value_may_be_a_category(tmp_path):
    frame = mixed()
    frame.loc[::5, "s"] = np.nan
    features, file = features_of(tmp_path, fit(frame, encode("error")), frame)
    assert features["s"]["nullable"] and features["s"]["allowed"] == ["a", "b", "c"]
    model = fit(frame, encode("error"))
    rows = [{"n": 1.0, "s": None, "i": 3, "b": True}, {"n": 1.0, "s": "a", "i": 3, "b": True}]
    expected = model.predict_proba(pd.DataFrame(rows).astype({"s": frame["s"].dtype}))
    np.testing.assert_allclose(file.ask(rows)["probabilities"], expected, atol=1e-5)


@pytest.mark.parametrize("sentinel", [None, np.nan, pd.NA], ids=["None", "nan", "NA"])
def test_object_columns_with_each_kind_of_missing_value_are_nullable(tmp_path, sentinel):
    frame = mixed()
    frame["s"] = frame["s"].astype(object)
    frame.loc[::7, "s"] = sentinel
    frame["s"] = frame["s"].where(frame["s"].notna(), sentinel)
    missing = sentinel if sentinel is not pd.NA else pd.NA
    first = make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="?", missing_values=missing),
                OneHotEncoder(),
            ),
            ["s"],
        ),
        remainder="passthrough",
    )
    features, _ = features_of(tmp_path, fit(frame, first), frame)
    assert features["s"]["nullable"] and features["s"]["type"] == "string"


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("Int64", [1, 2, None], "int64"),
        ("boolean", [True, False, None], "bool"),
        ("Float64", [1.5, 2.5, None], "float64"),
        ("float32", [0.1, 0.2, 0.3], "float32"),
        ("int8", [1, 2, 3], "int64"),
        ("uint64", [1, 2, 3], "int64"),
        ("float16", [1.5, 2.0, 3.0], "float32"),
    ],
)
def test_number_types_of_pandas_are_mapped(tmp_path, dtype, values, expected):
    frame = mixed().assign(v=pd.array(values * 20, dtype=dtype))
    first = ColumnTransformer(
        [
            ("num", SimpleImputer(strategy="median"), ["n"]),
            ("v", SimpleImputer(strategy="most_frequent"), ["v"]),
            ("s", OneHotEncoder(handle_unknown="ignore"), ["s"]),
        ]
    )
    if dtype == "boolean":
        first = ColumnTransformer(
            [
                ("v", OneHotEncoder(handle_unknown="ignore"), ["v"]),
                ("s", OneHotEncoder(handle_unknown="ignore"), ["s"]),
            ]
        )
    features, _ = features_of(tmp_path, fit(frame, first), frame)
    assert features["v"]["type"] == expected and features["v"]["nullable"]


@pytest.mark.parametrize("dtype", ["string", "category", "str", object])
def test_text_types_of_pandas_are_strings(tmp_path, dtype):
    frame = mixed().astype({"s": dtype})
    features, _ = features_of(tmp_path, fit(frame, encode()), frame)
    assert features["s"]["type"] == "string" and features["s"]["seen"] == {
        "categories": ["a", "b", "c"]
    }


@pytest.mark.parametrize("dtype", ["category", object])
def test_categorical_and_object_columns_have_a_closed_list(tmp_path, dtype):
    frame = mixed().astype({"s": dtype})
    features, _ = features_of(tmp_path, fit(frame, encode("error")), frame)
    assert features["s"]["allowed"] == ["a", "b", "c"]


def test_arrays_of_text_have_one_string_matrix(tmp_path):
    data = np.array([["a", "x"], ["b", "y"], ["a", "y"], ["b", "x"]] * 5, dtype=object)
    features, file = features_of(tmp_path, fit(data, OneHotEncoder(handle_unknown="ignore")), data)
    assert file.inputs["X"][0] == "string" and list(features) == ["x0", "x1"]


def test_names_are_kept_unchanged(tmp_path):
    names = ["with space", "dots.and-dashes", "größe", "日本", "a/b", "label", "X", "0"]
    frame = pd.DataFrame(
        {name: np.arange(40) * (i + 1) % 7 for i, name in enumerate(names)}
    ).assign(s=["a", "b"] * 20)
    features, file = features_of(tmp_path, fit(frame, encode()), frame)
    assert list(features) == [*names, "s"]
    assert features["größe"]["input"] == "größe" and features["with space"]["input"] == "with space"
    assert features["label"]["input"] in file.inputs and features["label"]["input"] != "label"


def test_columns_of_an_array_are_numbered_or_named(tmp_path):
    data = np.random.default_rng(0).normal(size=(30, 3))
    model = LinearRegression().fit(data, data @ [1, 2, 3])
    assert list(features_of(tmp_path, model, data)[0]) == ["x0", "x1", "x2"]
    assert list(features_of(tmp_path, model, data, feature_names=["a b", "ü", "z"])[0]) == [
        "a b",
        "ü",
        "z",
    ]
    with pytest.raises(DataError, match="expected 3 feature names, got 2"):
        export(model, tmp_path / "m.onnx", data, feature_names=["a", "b"])
    with pytest.raises(DataError, match="'a': expected one column of that name, got several"):
        export(model, tmp_path / "m.onnx", data, feature_names=["a", "b", "a"])
    with pytest.raises(DataError, match="got one that is empty"):
        export(model, tmp_path / "m.onnx", data, feature_names=["a", "", "c"])
    with pytest.raises(DataError, match="contains NUL"):
        export(model, tmp_path / "m.onnx", data, feature_names=["a", "b\0", "c"])


def test_feature_names_are_refused_for_a_frame(tmp_path):
    frame = mixed()[["n", "i"]]
    with pytest.raises(DataError, match="feature_names: expected None for a DataFrame"):
        export(fit(frame), tmp_path / "m.onnx", frame, feature_names=["a", "b"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.period_range("2020-01-01", periods=60), "got period"),
        (pd.timedelta_range("1s", periods=60), "got datetime|got timedelta"),
        (np.arange(60) * 1j, "got complex"),
        ([decimal.Decimal(1), datetime.date(2020, 1, 1)] * 30, "column 'v'.*datetime"),
        (["a", 1] * 30, "got numbers, strings"),
        ([True, 1.5] * 30, "got booleans, numbers"),
        ([[1], [2]] * 30, "got list values"),
        ([b"x"] * 60, "got bytes values"),
        ([2**70] * 60, "expected integers in the range of int64"),
        (["a\0b"] * 60, "NUL inside a string"),
        (["\ufdd0"] * 60, "U\\+FDD0"),
        (["\ud800"] * 60, "lone surrogate|surrogate"),
    ],
)
def test_columns_of_unsupported_types_are_refused(tmp_path, values, message):
    series = pd.Series(values) if not isinstance(values, list) else pd.Series(values, dtype=object)
    model = fit(mixed().assign(v=1.0), encode())
    frame = mixed().assign(v=series)
    with pytest.raises(DataError, match=message) as caught:
        export(model, tmp_path / "m.onnx", frame)
    assert caught.value.name == "v" and "'v'" in str(caught.value)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "1-dimensional|at least one row"),
        (np.zeros((0, 3)), "at least one row"),
        (np.zeros(5), "expected data of shape|flat list"),
        (np.zeros((2, 2, 2)), "got a 3-dimensional array"),
        ([{"a": 1}], "got a list of dict"),
        ([[1, 2], [3]], "rows of different lengths|dimensional"),
        (np.array([[[1], {}]], dtype=object), "nested|dimensional"),
        ([1, 2, 3], "expected"),
    ],
)
def test_invalid_data_is_refused(tmp_path, data, message):
    model = LinearRegression().fit(np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(DataError, match=message):
        export(model, tmp_path / "m.onnx", data)


def test_missing_columns_are_named(tmp_path):
    frame = mixed()
    with pytest.raises(DataError, match="got data without 'n', 'b'"):
        export(fit(frame, encode()), tmp_path / "m.onnx", frame[["s", "i"]])


def test_integers_beyond_2_53_in_a_float_matrix_are_refused(tmp_path):
    frame = pd.DataFrame({"id": np.arange(60) + 2**60, "n": np.arange(60) / 10})
    with pytest.raises(DataError, match="'id': expected integers up to 2\\^53"):
        export(fit(frame, StandardScaler()), tmp_path / "m.onnx", frame)


def test_a_nullable_column_of_large_integers_has_a_reserved_value(tmp_path):
    frame = mixed().assign(id=2**60 + np.arange(60))
    first = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["s"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["id"]),
    )
    features, file = features_of(tmp_path, fit(frame, first), frame)
    assert features["id"]["type"] == "int64" and file.inputs["id"][0] == "int64"
    assert features["id"]["missing"] == {"value": -(2**63)}
    assert None in file.contract["verification"]["features"][list(features).index("id")]


def test_a_text_pipeline_needs_data(tmp_path):
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        ["abc abd", "def xyz"] * 3, [0, 1] * 3
    )
    with pytest.raises(DataError, match="the model does not store its number of features"):
        export(model, tmp_path / "m.onnx")
    features, _ = features_of(
        tmp_path, model, pd.Series(["abc abd", "def"]), feature_names=["body"]
    )
    assert features["body"]["input"] == "text"


def test_without_data_only_models_of_numbers_are_exported(tmp_path):
    frame = mixed()
    with pytest.raises(DataError, match="fails on synthetic numbers"):
        export(fit(frame, encode()), tmp_path / "m.onnx")
    model = DecisionTreeClassifier().fit(frame[["n", "i"]], frame["b"])
    report = export(model, tmp_path / "m.onnx")
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    assert (
        report.weak
        and file.contract["parity"]["source"] == "synthetic"
        and "no data was given" in str(report)
    )
    assert all("seen" not in entry for entry in file.contract["features"])


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        object(),
        "text",
        5,
    ],
)
def test_models_that_are_not_fitted_are_refused(tmp_path, model):
    with pytest.raises(ExportError):
        export(model, tmp_path / "m.onnx", np.zeros((5, 2)))
    assert list(tmp_path.iterdir()) == []
