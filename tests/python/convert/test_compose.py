"""Pipelines, column transformers and names: the inputs of each step, and the interface of the
graph.
"""

import numpy as np
import onnx
import pandas as pd
import pytest
from convert_harness import MISSING, assert_agrees, case_name, run, session
from sidecall.convert import NotConvertible, to_graph
from sklearn.cluster import KMeans
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
)

RNG = np.random.default_rng(0)
SIZE = 250
TRAINED = pd.DataFrame(
    {
        "a b": RNG.choice(["x", "y", None], SIZE),
        "größe.cm": RNG.normal(170, 10, SIZE),
        "n": RNG.integers(0, 9, SIZE),
        "ok": RNG.random(SIZE) > 0.5,
        "weight": RNG.normal(size=SIZE).astype("float32"),
    }
)
TRAINED.loc[::11, "größe.cm"] = np.nan
LABELS = np.where(
    TRAINED["n"] + TRAINED["weight"] > 6, "high", np.where(TRAINED["ok"], "mid", "low")
)
TARGET = TRAINED["n"] * 2.0 + TRAINED["weight"]
FRESH = TRAINED.sample(frac=1, random_state=1)
FRESH.loc[FRESH.index[:10], "a b"] = "unseen"


def columns(remainder="drop", **kwargs):
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent", add_indicator=True),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer(
        [
            ("words", words, ["a b"]),
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("gone", "drop", ["ok"]),
        ],
        remainder=remainder,
        **kwargs,
    )


@pytest.mark.parametrize(
    "last",
    [LogisticRegression(), HistGradientBoostingClassifier(max_iter=10), RandomForestClassifier(7)],
    ids=lambda m: type(m).__name__,
)
def test_pipelines_over_a_frame_of_mixed_types_agree(last):
    model = make_pipeline(columns(), last).fit(TRAINED, LABELS)
    # The tree models see scaled numbers, so only a float64 graph certainly takes the same branch.
    tolerance = 1e-5 if isinstance(last, LogisticRegression) else 1.0
    assert_agrees(model, FRESH, tolerance=tolerance, exact=1e-9) if tolerance < 1 else assert_exact(
        model
    )


def assert_exact(model):
    from convert_harness import differences

    found = differences(model, FRESH, "float64")
    assert found["label"] == 0 and found["probabilities"] < 1e-12


@pytest.mark.parametrize(
    "chosen",
    [
        ["größe.cm", "n"],
        [1, 2],
        slice(1, 3),
        slice("größe.cm", "n"),
        [False, True, True, False, False],
        make_column_selector("g|n"),
        lambda f: ["n"],
    ],
    ids=case_name,
)
@pytest.mark.parametrize("remainder", ["drop", StandardScaler()], ids=str)
def test_every_column_selector_agrees(chosen, remainder):
    frame = TRAINED[["a b", "größe.cm", "n", "ok", "weight"]].assign(
        **{"a b": 1.0, "größe.cm": TRAINED["größe.cm"].fillna(0)}
    )
    model = ColumnTransformer([("some", MinMaxScaler(), chosen)], remainder=remainder).fit(frame)
    assert_agrees(model, frame)


def test_passthrough_keeps_order_and_types():
    model = make_column_transformer(
        (OrdinalEncoder(), ["a b"]), ("passthrough", ["weight", "ok", "n"])
    ).fit(TRAINED)
    assert_agrees(model, TRAINED)


def test_strings_pass_through_as_strings():
    model = make_column_transformer(
        (SimpleImputer(strategy="constant", fill_value="none"), ["a b"])
    ).fit(TRAINED)
    assert_agrees(model, TRAINED)


def test_pandas_output_between_steps_agrees():
    model = make_pipeline(columns("passthrough").set_output(transform="pandas"), Ridge()).fit(
        TRAINED, TARGET
    )
    assert_agrees(model, FRESH)


def test_a_feature_union_with_weights_agrees():
    x = load_diabetes().data
    union = FeatureUnion(
        [("pca", PCA(3)), ("best", SelectKBest(k=4)), ("all", "passthrough"), ("none", "drop")],
        transformer_weights={"pca": 10.0},
    )
    assert_agrees(make_pipeline(union, Ridge()).fit(x, load_diabetes().target), x.astype("float32"))


@pytest.mark.parametrize(
    "inner",
    [
        {"transformer": StandardScaler()},
        {"transformer": MinMaxScaler()},
        {"transformer": PowerTransformer()},
        {"func": np.log1p, "inverse_func": np.expm1},
        {"func": np.log, "inverse_func": np.exp},
    ],
    ids=str,
)
def test_transformed_targets_agree(inner):
    x, y = load_diabetes(return_X_y=True)
    assert_agrees(
        TransformedTargetRegressor(LinearRegression(), **inner).fit(x, y), x.astype("float32")
    )


def test_a_target_whose_inverse_is_a_python_function_is_refused():
    x, y = load_diabetes(return_X_y=True)
    model = TransformedTargetRegressor(
        LinearRegression(),
        check_inverse=False,
        func=np.log,
        inverse_func=lambda v: np.exp(v) - np.exp(v).min(),
    ).fit(x, y)
    with pytest.raises(NotConvertible, match="transformer_"):
        to_graph(model, [("X", "float32", 10)], precision="float32")


def test_a_search_answers_as_its_best_estimator():
    search = GridSearchCV(
        make_pipeline(columns(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, cv=2
    ).fit(TRAINED, LABELS)
    assert_agrees(search, FRESH)


def test_names_are_kept_unchanged():
    model = make_pipeline(columns(), LogisticRegression()).fit(TRAINED, LABELS)
    inputs = [
        ("a b", "string", 1),
        ("größe.cm", "float64", 1),
        ("n", "int64", 1),
        ("ok", "bool", 1),
        ("weight", "float32", 1),
    ]
    graph = to_graph(model, inputs, precision="float32")
    assert [
        (i.name, [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim])
        for i in graph.graph.input
    ] == [(n, ["N", 1]) for n, _, _ in inputs]
    assert [o.name for o in graph.graph.output] == ["label", "probabilities"]
    assert not graph.metadata_props
    onnx.checker.check_model(graph)


def test_the_order_and_the_names_of_inputs_may_differ_from_training():
    model = make_pipeline(columns(), LogisticRegression()).fit(TRAINED, LABELS)
    expected = run(model, FRESH)["probabilities"]
    turned = FRESH[FRESH.columns[::-1]]
    assert np.array_equal(run(model, turned)["probabilities"], expected)
    renamed = FRESH.rename(columns={"n": "label "})
    assert np.array_equal(run(model, renamed)["probabilities"], expected)


@pytest.mark.parametrize("name", ["label", "probabilities", "prediction", "scores", "transformed"])
def test_an_input_may_not_have_the_name_of_an_output(name):
    with pytest.raises(NotConvertible, match=f"'{name}'"):
        to_graph(StandardScaler().fit([[1.0]]), [(name, "float32", 1)], precision="float32")


def test_columns_that_no_step_reads_stay_inputs():
    model = make_column_transformer((StandardScaler(), ["weight"])).fit(TRAINED)
    assert [
        i.name
        for i in session(
            to_graph(model, [(c, "float32", 1) for c in TRAINED], precision="float32")
        ).get_inputs()
    ] == list(TRAINED)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([0, 1, 2], "int64"),
        ([5, 7, 9], "int64"),
        ([0.0, 1.0, 2.0], "int64"),
        (["a", "b", "ü"], "object"),
        ([False, True, True], "int64"),
    ],
)
def test_labels_have_the_type_of_the_classes(classes, expected):
    x = np.repeat([[0.0], [5.0], [9.0]], 5, axis=0)
    y = np.repeat(np.array(classes), 5)
    model = GradientBoostingClassifier(n_estimators=5).fit(x, y)
    got = run(model, x.astype("float32"))["label"]
    assert got.dtype == expected and got.shape == (15,) and (got == model.predict(x)).all()


def test_classes_of_fractions_are_refused():
    x = np.array([[0.0], [1.0]])
    model = KMeans(2, n_init=1).fit(x)  # any fitted model would do
    model.classes_ = np.array([0.5, 1.0])
    from sidecall.convert.graph.builder import Graph
    from sidecall.convert.output import class_labels

    graph = Graph("float32")
    with pytest.raises(NotConvertible, match="strings, integers or booleans"):
        class_labels(graph, model.classes_, graph.const([0]))


def test_missing_strings_are_missing_for_every_step():
    model = make_pipeline(columns(), LogisticRegression()).fit(TRAINED, LABELS)
    one = TRAINED.iloc[[0, 1]].copy()
    one["a b"] = [None, "x"]
    assert_agrees(model, one)
    assert MISSING not in {
        c for encoder in [model[0].named_transformers_["words"][-1]] for c in encoder.categories_[0]
    }


def test_no_rows_and_one_row_are_answered():
    model = make_pipeline(columns(), GradientBoostingClassifier(n_estimators=3)).fit(
        TRAINED, LABELS
    )
    assert run(model, FRESH[:0])["probabilities"].shape == (0, 3)
    assert run(model, FRESH[:1])["probabilities"].shape == (1, 3)


def test_a_string_that_reaches_arithmetic_is_refused():
    model = StandardScaler().fit([[1.0]])
    with pytest.raises(NotConvertible, match="column of strings"):
        to_graph(model, [("X", "string", 1)], precision="float32")


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(), make_pipeline(StandardScaler(), Ridge())],
    ids=lambda m: type(m).__name__,
)
def test_models_that_are_not_fitted_are_refused(model):
    with pytest.raises(NotConvertible, match="not fitted"):
        to_graph(model, [("X", "float32", 3)], precision="float32")


def test_a_search_without_a_model_is_refused():
    x, y = load_diabetes(return_X_y=True)
    search = GridSearchCV(Ridge(), {"alpha": [1, 2]}, refit=False, cv=2).fit(x, y)
    with pytest.raises(NotConvertible):
        to_graph(search, [("X", "float32", 10)], precision="float32")


class Doubler(FunctionTransformer):
    """A subclass may do anything, so its parent's converter must not be used for it."""

    def transform(self, x):
        return super().transform(x) * 2


def test_estimators_of_other_packages_are_refused():
    model = make_pipeline(Doubler(), Ridge()).fit(np.array([[1.0], [2.0]]), [1.0, 2.0])
    with pytest.raises(NotConvertible, match="no converter for the class") as caught:
        to_graph(model, [("X", "float32", 1)], precision="float32")
    assert caught.value.step == "doubler (Doubler)"


@pytest.mark.parametrize(
    "argument", [{"precision": "float16"}, {"precision": "float32", "rows": "int8"}]
)
def test_invalid_arguments_are_refused(argument):
    with pytest.raises(ValueError, match="expected 'float32' or 'float64'"):
        to_graph(StandardScaler().fit([[1.0]]), [("X", "float32", 1)], **argument)
