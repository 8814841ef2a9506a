"""Which inputs get float64, which graphs compute in double, and that no wrong number gets through."""

from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import pytest
import sidecall.convert
from contract_reader import File, check_contract
from export_data import houses, payments
from onnx import numpy_helper
from sidecall.exporting import ParityError, StepError, export
from sidecall.exporting.columns import column_of_array
from sidecall.exporting.precision import decimals, is_short, needs_float64
from sidecall.exporting.schema import denoted
from sklearn.cluster import DBSCAN
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import KNNImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC


def needs(values):
    return needs_float64(column_of_array("x", np.asarray(values)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([39.1, 17.99, 0.1, -5.5], False),
        ([1_700_000_001.0, 1_700_000_002.0], True),
        ([1_700_000_001, 1_700_000_002], True),
        ([2**24, -(2**24)], False),
        ([2**24 + 1], True),
        ([12_345.67, 99.99], False),
        ([1_234_567.89], True),
        ([1e39, 1.0], True),
        ([np.nan, np.nan], False),
        ([np.inf, 1.5], False),
        ([0.1, 0.25, 1_234_567.89, np.nan], True),
        (np.array([1 / 3, 2 / 3], dtype=np.float32), False),
        ([True, False], False),
    ],
)
def test_values_that_float32_falsifies(values, expected):
    assert needs(values) is expected


def test_full_precision_is_judged_by_its_spread():
    values = np.random.default_rng(0).normal(size=5000)
    assert not needs(values)
    assert not needs(values * 1e-20)
    assert needs(values + 1e4), "the step of float32 at 10 000 is a thousandth of the spread"
    assert not needs(np.append(np.round(values, 2), values.mean())), "one mean among decimals"


def test_short_decimals():
    assert is_short(np.array([0.1, 17.99, 1e15, 0.0, 123456789012345.0])).all()
    assert not is_short(np.array([0.1 + 0.2, 1 / 3, np.nan, np.inf])).any()
    assert decimals(column_of_array("x", np.array([1.25, 3.5, np.nan]))) == 2
    assert decimals(column_of_array("x", np.array([1.0, 3.0]))) is None
    assert decimals(column_of_array("x", np.array([1.25], dtype=np.float32))) is None
    assert denoted(np.array([60.4, 1 / 3]), short=True).tolist() == [60.4, float(np.float32(1 / 3))]
    assert denoted(np.array([60.4]), short=False).tolist() == [float(np.float32(60.4))]


def test_hint_decides(tmp_path):
    frame, target = houses(200)
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(frame[["area", "rooms"]], target)
    export(model, tmp_path / "m.onnx", frame[["area", "rooms"]], dtype={"area": "float64"})
    assert File(tmp_path / "m.onnx").inputs["X"][0] == "float64"
    for hint, message in (({"nope": "float64"}, "'nope', which is no feature"), ("float16", "expected float32 or float64, got float16")):
        with pytest.raises(sidecall.exporting.DataError, match=message):
            export(model, tmp_path / "no.onnx", frame[["area", "rooms"]], dtype=hint)


def test_double_inside_where_float32_is_not_enough(tmp_path):
    rng = np.random.default_rng(1)
    data = np.round(rng.uniform(1, 2, size=(1200, 2)), 3)
    target = data @ [1e6, -1e6]
    model = LinearRegression().fit(data, target)
    difference = make_pipeline(FunctionTransformer(), model)
    report = export(difference, tmp_path / "m.onnx", data)
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    assert file.inputs["X"][0] == "float32", "never another input type because of parity"
    rows = [{"x0": a, "x1": b} for a, b in data[:100].tolist()]
    expected = model.predict(data[:100])
    np.testing.assert_allclose(file.ask(rows)["prediction"].ravel(), expected, atol=1e-5 * np.abs(target).mean())
    if report.precision == "float64":
        assert "float32 is not enough" in report.why and "float64" in str(report)


def test_decimals_are_restored_where_a_midpoint_decides(tmp_path):
    """60.4 is the middle of 60.3 and 60.5: behind a scaler, one bit of the input turns the decision."""
    data = np.round(np.tile(np.arange(0.1, 60, 0.2), 10), 1).reshape(-1, 1)
    target = np.where(np.arange(len(data)) % 300 % 2 == 0, 1.0, 5.0)
    model = make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=30, min_samples_leaf=1, max_leaf_nodes=200)).fit(
        data, target
    )
    middles = np.round(np.arange(0.2, 59.9, 0.2), 1).reshape(-1, 1)
    everything = np.vstack([data, middles])
    report = export(model, tmp_path / "m.onnx", everything)
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    assert file.inputs["X"][0] == "float32" and report.precision == "float64"
    got = file.ask([{"x0": value} for value in everything.ravel().tolist()])["prediction"].ravel()
    np.testing.assert_allclose(got, model.predict(everything), rtol=1e-5)


def broken(change):
    """The real converter, and then a fault that a converter might have."""
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
@pytest.mark.parametrize(("change", "output"), [(nudge_a_weight, "probabilities"), (flip_labels, "label")])
def test_a_wrong_conversion_is_refused(tmp_path, monkeypatch, rows, change, output):
    frame, target = payments(rows)
    numbers = frame[["amount", "hour"]]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, target)
    monkeypatch.setattr(sidecall.convert, "to_graph", broken(change))
    with pytest.raises(ParityError) as caught:
        export(model, tmp_path / "m.onnx", numbers)
    assert caught.value.output == output and caught.value.largest > 0
    text = str(caught.value)
    # The change reaches the beginnings of the pipeline too, if it finds a weight there.
    assert text.startswith(("cannot export standardscaler (StandardScaler): ", "cannot export logisticregression (LogisticRegression): "))
    assert " rows, first in row " in text and "sidecall serve pipeline.joblib --at shm:NAME --trust-pickle" in text
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_names_the_first_step_that_differs(tmp_path):
    """Whole numbers have neighbours that are equally near, and scikit-learn takes any of them."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 4, (200, 3)).astype(float)
    data[rng.random(data.shape) < 0.2] = np.nan
    inner = make_pipeline(KNNImputer(n_neighbors=3), StandardScaler())
    model = make_pipeline(inner, LogisticRegression()).fit(data, rng.integers(0, 2, 200))
    with pytest.raises(ParityError, match="equally near") as caught:
        export(model, tmp_path / "m.onnx", data)
    assert caught.value.step == "pipeline > knnimputer (KNNImputer)"
    assert "sidecall.serve(obj" in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_fault_that_shows_only_on_missing_values(tmp_path, monkeypatch):
    """The data holds none, the pipeline accepts them: synthetic rows find what data cannot."""
    frame, target = houses(1500)
    numbers = frame[["area", "rooms"]]
    model = HistGradientBoostingRegressor(max_iter=10).fit(numbers.assign(area=numbers["area"].where(numbers["rooms"] > 1)), target)
    full = numbers[numbers["rooms"] > 1]

    def zero_for_nan(graph):
        name = graph.graph.input[0].name
        for node in graph.graph.node:
            node.input[:] = ["filled" if item == name else item for item in node.input]
        fill = onnx.helper.make_node(
            "Imputer", [name], ["filled"], domain="ai.onnx.ml", imputed_value_floats=[0.0], replaced_value_float=float("nan")
        )
        graph.graph.node.insert(0, fill)

    monkeypatch.setattr(sidecall.convert, "to_graph", broken(zero_for_nan))
    with pytest.raises(ParityError, match="synthetic rows"):
        export(model, tmp_path / "m.onnx", full)


def test_a_graph_that_does_not_load(tmp_path, monkeypatch):
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])

    def unknown_operator(graph):
        graph.graph.node[0].op_type = "NoSuchOperator"

    real = sidecall.convert.to_graph
    monkeypatch.setattr(sidecall.convert, "to_graph", lambda *a, **k: (lambda graph: (unknown_operator(graph), graph)[1])(real(*a, **k)))
    with pytest.raises(StepError, match="onnxruntime does not load the converted graph"):
        export(model, tmp_path / "m.onnx", [[0.0], [1.0]])


def test_a_step_that_does_not_convert_is_named(tmp_path):
    frame, target = houses(50)
    numbers = frame[["area", "rooms"]]
    model = make_pipeline(FunctionTransformer(lambda x: x.round(1) + len(str(x))), LinearRegression()).fit(numbers, target)
    with pytest.raises(StepError) as caught:
        export(model, tmp_path / "m.onnx", numbers)
    text = str(caught.value)
    assert "functiontransformer" in text.lower() and caught.value.step and caught.value.reason
    assert 'sidecall.serve(obj, at="shm:NAME", data=X)' in text
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_predict_is_refused(tmp_path):
    with pytest.raises(sidecall.exporting.ModelError, match="expected a fitted model"):
        export(DBSCAN().fit([[0.0], [1.0]]), tmp_path / "m.onnx", [[0.0], [1.0]])


def test_labels_that_contradict_probabilities_compare_exactly(tmp_path):
    """Platt scaling: argmax of probabilities is not the label, so no rule may claim it."""
    rng = np.random.default_rng(3)
    data = np.round(rng.normal(size=(300, 2)), 2)
    target = (data[:, 0] + rng.normal(size=300) > 0.9).astype(int)
    model = SVC(kernel="linear").fit(data, target)
    export(model, tmp_path / "m.onnx", data)
    label = File(tmp_path / "m.onnx").contract["outputs"][0]
    assert label["decision"] == {"rule": "threshold", "output": "scores", "column": 0, "threshold": 0.0}


def test_an_unrelated_file_at_the_path_survives_a_refusal(tmp_path):
    (tmp_path / "m.onnx").write_text("mine")
    model = make_pipeline(FunctionTransformer(lambda x: x + len(str(x))), LinearRegression()).fit(np.array([[0.0], [1.0]]), [0.0, 1.0])
    with pytest.raises(StepError):
        export(model, tmp_path / "m.onnx", pd.DataFrame([[0.0], [1.0]]))
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_values_that_float32_cannot_tell_from_a_threshold(tmp_path):
    """Bin edges are data values of full precision; behind a scaler half of the rows that equal one would turn."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(3000, 1))
    model = make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=200, min_samples_leaf=2)).fit(
        np.repeat(data, 2, axis=0), rng.normal(size=6000)
    )
    try:
        export(model, tmp_path / "m.onnx", data)
    except ParityError as error:
        assert 'dtype="float64"' in str(error)
    else:
        raise AssertionError("rows on a bin edge turned in silence")
    export(model, tmp_path / "m.onnx", data, dtype="float64")
    file = File(tmp_path / "m.onnx")
    got = file.ask([{"x0": value} for value in data.ravel().tolist()])["prediction"].ravel()
    np.testing.assert_allclose(got, model.predict(data), rtol=1e-5, atol=1e-6)
