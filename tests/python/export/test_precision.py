"""Inputs and steps have the types of the model, and a graph with wrong numbers is refused."""

from __future__ import annotations

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import sidecall.convert
import xgboost
from contract_reader import File, check_contract
from export_data import houses, payments
from onnx import numpy_helper
from sidecall.exporting import ParityError, StepError, export
from sidecall.exporting.data.columns import column_of_array
from sidecall.exporting.data.precision import decimals, is_short
from sklearn.cluster import DBSCAN
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC


def test_short_decimals_are_recognised():
    assert is_short(np.array([0.1, 17.99, 1e15, 0.0, 123456789012345.0])).all()
    assert not is_short(np.array([0.1 + 0.2, 1 / 3, np.nan, np.inf])).any()
    assert decimals(column_of_array("x", np.array([1.25, 3.5, np.nan]))) == 2
    assert decimals(column_of_array("x", np.array([1.0, 3.0]))) is None
    assert decimals(column_of_array("x", np.array([1.25], dtype=np.float32))) is None


def test_dtype_sets_the_types_of_the_inputs(tmp_path):
    frame, target = houses(200)
    numbers = frame[["area", "rooms"]]
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(numbers, target)
    export(model, tmp_path / "m.onnx", numbers, dtype={"area": "float32"})
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    assert {name: dtype for name, (dtype, _) in file.inputs.items()} == {
        "area": "float32",
        "rooms": "int64",
    }
    assert file.ask([{"area": 60.4, "rooms": 3}])["prediction"].dtype == np.float64, (
        "the steps still compute in float64, as the model does"
    )
    for hint, message in (
        ({"nope": "float64"}, "dtype: expected names of features, got 'nope'"),
        ("float16", "expected 'float32' or 'float64', got 'float16'"),
    ):
        with pytest.raises(sidecall.exporting.DataError, match=message):
            export(model, tmp_path / "no.onnx", numbers, dtype=hint)


@pytest.mark.filterwarnings("ignore")
def test_an_iterative_imputer_writes_its_guesses_in_the_type_of_the_rows(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc")).astype("float32")
    rows["c"] = rows["a"] * 2 + rows["b"]
    rows = rows.mask(rng.random(rows.shape) < 0.1)
    imputer = IterativeImputer(max_iter=3, random_state=0)
    model = make_pipeline(imputer, ExtraTreesRegressor(5, max_depth=6, random_state=0))
    model.fit(rows, rng.normal(size=300))
    export(model, tmp_path / "m.onnx", rows)
    answers = sidecall.open(tmp_path / "m.onnx").predict(rows)["prediction"]
    assert np.array_equal(answers, model.predict(rows))


def test_the_report_of_precision_float32_counts_rounded_rows(tmp_path):
    """Each further row, such as 0.4, lies half-way between two training rows, such as 0.3 and 0.5.

    Most of these numbers equal no float32. After a scaler, one bit of the input decides which
    branch of a tree a row takes.
    """
    data = np.round(np.tile(np.arange(0.1, 60, 0.2), 10), 1).reshape(-1, 1)
    target = np.where(np.arange(len(data)) % 300 % 2 == 0, 1.0, 5.0)
    model = make_pipeline(
        StandardScaler(),
        HistGradientBoostingRegressor(max_iter=30, min_samples_leaf=1, max_leaf_nodes=200),
    ).fit(data, target)
    everything = np.vstack([data, np.round(np.arange(0.2, 59.9, 0.2), 1).reshape(-1, 1)])
    rows = [{"x0": value} for value in everything.ravel().tolist()]
    expected = model.predict(everything)

    report = export(model, tmp_path / "m.onnx", everything)
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    assert file.inputs["X"][0] == "float64" and report.precision == "float64"
    assert (file.ask(rows)["prediction"].ravel() == expected).all(), "not one bit differs"

    with pytest.raises(ParityError, match=r"float32 is not enough: \d+ of \d+ rows"):
        export(model, tmp_path / "no.onnx", everything, precision="float32")

    carats = np.random.default_rng(0).gamma(2, 0.4, 3000).reshape(-1, 1)
    model = HistGradientBoostingRegressor(max_iter=30).fit(carats, 3000 * carats.ravel() ** 2)
    edges = np.unique(
        np.concatenate([tree.nodes["num_threshold"] for (tree,) in model._predictors])
    )
    some = np.vstack([carats, edges.reshape(-1, 1), np.nextafter(edges, np.inf).reshape(-1, 1)])
    report = export(model, tmp_path / "single.onnx", some, precision="float32")
    check_contract(File(tmp_path / "single.onnx"))
    assert (
        File(tmp_path / "single.onnx").inputs["X"][0] == "float32" and report.precision == "float32"
    )
    assert (
        f"{report.parity['rounded']} rows get another answer from the file than from the model"
        in str(report)
        and report.parity["rounded"] > 0
    )

    for precision, dtype, message in (
        ("half", None, "expected 'original' or 'float32', got 'half'"),
        ("float32", "float64", "dtype: expected None"),
    ):
        with pytest.raises(sidecall.exporting.DataError, match=message):
            export(model, tmp_path / "no.onnx", everything, precision=precision, dtype=dtype)


@pytest.mark.parametrize(
    "scaler", [StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler()]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_compute_in_the_types_of_the_original(tmp_path, scaler, dtype):
    """A scaler of scikit-learn keeps float32.

    The boosting model after the scaler has thresholds between the scaled numbers, so one bit
    decides which branch a row takes.
    """
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1500, 3)).astype(dtype)
    model = make_pipeline(scaler, HistGradientBoostingRegressor(max_iter=40, max_bins=255)).fit(
        data, data.sum(axis=1)
    )
    report = export(model, tmp_path / "m.onnx", data)
    assert report.precision == ("by step" if dtype == "float32" else "float64")
    thresholds = np.concatenate([tree.nodes["num_threshold"] for (tree,) in model[-1]._predictors])
    near = (
        np.sort(
            rng.choice(
                scaler.inverse_transform(np.repeat(thresholds.reshape(-1, 1), 3, axis=1)).ravel(),
                3000,
            )
        )
        .reshape(-1, 3)
        .astype(dtype)
    )
    rows = np.vstack(
        [
            near,
            np.nextafter(near, np.array(np.inf, dtype)),
            np.nextafter(near, np.array(-np.inf, dtype)),
        ]
    )
    file = File(tmp_path / "m.onnx")
    got = file.ask([dict(zip(("x0", "x1", "x2"), row, strict=True)) for row in rows.tolist()])[
        "prediction"
    ].ravel()
    assert (got == model.predict(rows)).all()


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(n_estimators=30),
        HistGradientBoostingRegressor(max_iter=30),
        RandomForestRegressor(20),
        ExtraTreesRegressor(20),
        lightgbm.LGBMRegressor(n_estimators=30, verbose=-1),
        lightgbm.LGBMRegressor(
            n_estimators=30, verbose=-1, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5
        ),
        xgboost.XGBRegressor(n_estimators=30),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scores_of_trees_have_the_same_bits(tmp_path, model):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1200, 4))
    model.fit(data, data @ [3.0, -1.0, 0.5, 0.0] + 17.3)
    export(model, tmp_path / "m.onnx", data)
    fresh = rng.normal(size=(3000, 4))
    got = File(tmp_path / "m.onnx").ask(
        [dict(zip(("x0", "x1", "x2", "x3"), row, strict=True)) for row in fresh.tolist()]
    )["prediction"]
    expected = model.predict(fresh)
    assert got.dtype == expected.dtype and (got.ravel() == expected).all()


def broken(change):
    """The real converter, followed by a fault that a converter might have."""
    real = sidecall.convert.to_graph

    def to_graph(*arguments, **options):
        graph = real(*arguments, **options)
        change(graph)
        onnx.checker.check_model(graph)
        return graph

    return to_graph


def nudge_a_weight(graph):
    for item in graph.graph.initializer:
        values = numpy_helper.to_array(item)
        if values.dtype in (np.float32, np.float64) and values.size > 1:
            changed = values.copy()
            changed.flat[0] = changed.flat[0] * 1.01 + 0.01
            item.CopyFrom(numpy_helper.from_array(changed, item.name))
            return
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "coefficients":
                attribute.floats[0] = attribute.floats[0] * 1.01 + 0.01
                return
    raise AssertionError("nothing to change")


def flip_labels(graph):
    label = graph.graph.output[0].name
    for node in graph.graph.node:
        node.output[:] = ["inner" if name == label else name for name in node.output]
    graph.graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "one"))
    graph.graph.node.append(onnx.helper.make_node("Sub", ["one", "inner"], [label]))


@pytest.mark.parametrize("rows", [40, 3000])
@pytest.mark.parametrize(
    ("change", "output"), [(nudge_a_weight, "probabilities"), (flip_labels, "label")]
)
def test_a_wrong_conversion_is_refused(tmp_path, monkeypatch, rows, change, output):
    frame, target = payments(rows)
    numbers = frame[["amount", "hour"]]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, target)
    monkeypatch.setattr(sidecall.convert, "to_graph", broken(change))
    with pytest.raises(ParityError) as caught:
        export(model, tmp_path / "m.onnx", numbers)
    assert caught.value.output == output and caught.value.largest > 0
    text = str(caught.value)
    # To find the wrong step, export converts the first step by itself as well. If the change
    # affects that graph too, the error names the first step.
    assert text.startswith(
        (
            "cannot export standardscaler (StandardScaler): ",
            "cannot export logisticregression (LogisticRegression): ",
        )
    )
    assert (
        " rows, first in row " in text
        and "sidecall serve pipeline.joblib --at shm:NAME --trust-pickle" in text
    )
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_first_step_that_differs(tmp_path):
    """Integers have equally near neighbours, and scikit-learn chooses any of them."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 4, (200, 3)).astype(float)
    data[rng.random(data.shape) < 0.2] = np.nan
    inner = make_pipeline(KNNImputer(n_neighbors=3), StandardScaler())
    model = make_pipeline(inner, LogisticRegression()).fit(data, rng.integers(0, 2, 200))
    with pytest.raises(ParityError, match="at equal distances") as caught:
        export(model, tmp_path / "m.onnx", data)
    assert caught.value.step == "pipeline > knnimputer (KNNImputer)"
    assert "sidecall.serve(obj" in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_fault_that_affects_only_missing_values_is_found(tmp_path, monkeypatch):
    """The data has no missing values. Synthetic rows have them and find the fault."""
    frame, target = houses(1500)
    numbers = frame[["area", "rooms"]]
    model = HistGradientBoostingRegressor(max_iter=10).fit(
        numbers.assign(area=numbers["area"].where(numbers["rooms"] > 1)), target
    )
    full = numbers[numbers["rooms"] > 1]

    def zero_for_nan(graph):
        name = graph.graph.input[0].name
        for node in graph.graph.node:
            node.input[:] = ["filled" if item == name else item for item in node.input]
        graph.graph.initializer.append(numpy_helper.from_array(np.array(0.0), "zero"))
        graph.graph.node.insert(
            0, onnx.helper.make_node("Where", ["absent", "zero", name], ["filled"])
        )
        graph.graph.node.insert(0, onnx.helper.make_node("IsNaN", [name], ["absent"]))

    monkeypatch.setattr(sidecall.convert, "to_graph", broken(zero_for_nan))
    with pytest.raises(ParityError, match="synthetic rows"):
        export(model, tmp_path / "m.onnx", full)


def test_a_graph_that_does_not_load_is_refused(tmp_path, monkeypatch):
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])

    def unknown_operator(graph):
        graph.graph.node[0].op_type = "NoSuchOperator"

    real = sidecall.convert.to_graph
    monkeypatch.setattr(
        sidecall.convert,
        "to_graph",
        lambda *a, **k: (lambda graph: (unknown_operator(graph), graph)[1])(real(*a, **k)),
    )
    with pytest.raises(StepError, match="onnxruntime does not load the converted graph"):
        export(model, tmp_path / "m.onnx", [[0.0], [1.0]])


def test_a_step_that_does_not_convert_is_named(tmp_path):
    frame, target = houses(50)
    numbers = frame[["area", "rooms"]]
    model = make_pipeline(
        FunctionTransformer(lambda x: x.round(1) + len(str(x))), LinearRegression()
    ).fit(numbers, target)
    with pytest.raises(StepError) as caught:
        export(model, tmp_path / "m.onnx", numbers)
    text = str(caught.value)
    assert "functiontransformer" in text.lower() and caught.value.step and caught.value.reason
    assert 'sidecall.serve(obj, at="shm:NAME", data=X)' in text
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_predict_is_refused(tmp_path):
    with pytest.raises(sidecall.exporting.ModelError, match="expected a fitted model"):
        export(DBSCAN().fit([[0.0], [1.0]]), tmp_path / "m.onnx", [[0.0], [1.0]])


def test_the_contract_derives_the_label_of_an_svc_from_its_scores(tmp_path):
    """An SVC decides by the sign of its score."""
    rng = np.random.default_rng(3)
    data = np.round(rng.normal(size=(300, 2)), 2)
    target = (data[:, 0] + rng.normal(size=300) > 0.9).astype(int)
    model = SVC(kernel="linear").fit(data, target)
    export(model, tmp_path / "m.onnx", data)
    label = File(tmp_path / "m.onnx").contract["outputs"][0]
    assert label["decision"] == {
        "rule": "threshold",
        "output": "scores",
        "column": 0,
        "threshold": 0.0,
    }


def test_an_unrelated_file_at_the_path_survives_a_refusal(tmp_path):
    (tmp_path / "m.onnx").write_text("mine")
    model = make_pipeline(FunctionTransformer(lambda x: x + len(str(x))), LinearRegression()).fit(
        np.array([[0.0], [1.0]]), [0.0, 1.0]
    )
    with pytest.raises(StepError):
        export(model, tmp_path / "m.onnx", pd.DataFrame([[0.0], [1.0]]))
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_values_on_a_bin_edge_keep_their_bin(tmp_path):
    """Bin edges are data values with all digits of a float64.

    After a scaler, an error of one bit would change the branch of every second row that equals an
    edge.
    """
    rng = np.random.default_rng(0)
    data = rng.normal(size=(3000, 1))
    model = make_pipeline(
        StandardScaler(),
        HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=200, min_samples_leaf=2),
    ).fit(np.repeat(data, 2, axis=0), rng.normal(size=6000))
    export(model, tmp_path / "m.onnx", data)
    got = (
        File(tmp_path / "m.onnx")
        .ask([{"x0": value} for value in data.ravel().tolist()])["prediction"]
        .ravel()
    )
    assert (got == model.predict(data)).all()
