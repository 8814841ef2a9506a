"""The harness of `make parity` finds the differences that exist and reports no others."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import sidecall
from sidecall.comparing.rows import Rows
from sidecall.comparing.sides import OriginalSide, Output
from sidecall.exporting import artifact
from sidecall.exporting.data.columns import column_of_array
from sidecall.exporting.model.original import Original
from sidecall.exporting.model.steps import estimators_in
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler
from sklearn.svm import SVC, NuSVC
from sklearn.tree import DecisionTreeRegressor
from vector_files import MODELS
from xgboost import XGBRegressor

from parity.document import bars, native_defects, refusals
from parity.drawing import packages as packages_drawn
from parity.drawing.pipelines import Drawn, draw
from parity.drawing.steps import Sampler
from parity.judging import cpus, orders
from parity.judging.edges import find_jumps, held_edges
from parity.judging.engines import NOT_PROVEN, Engines, failure, without_names
from parity.judging.exactness import gives_float32, jumps_are_fixed, raw_tree_output
from parity.judging.judge import BuiltRows, Judge, judge
from parity.ledger import Ledger

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RNG.uniform(0, 10, 400), "b": RNG.uniform(-1, 1, 400)})
TARGET = np.floor(FRAME["a"]) + FRAME["b"]
# Pipelines of the fixed seed with steps of other packages.
OTHERS = {
    3: "xgboost",
    11: "imblearn",
    15: "catboost",
    19: "feature_engine",
    27: "category_encoders",
    35: "skrub",
}
# What the bars add up.
COUNTED = ("rows", "compared", "wrong", "unstable", "tree_bits", "routes")
COUNTED += ("refused_by_original", "refused_by_file")


def drawn_of(model: Any, frame: pd.DataFrame = FRAME) -> Drawn:
    return Drawn(0, 0, "made up", "regression", "frame", model, frame, np.arange(200), "")


def compared(
    original: Any, other: Any, folder: Path, rows: int = 200, engine: str = "onnxruntime"
) -> dict[str, Any]:
    """Compares `original` with a file that answers as `other` on this engine.

    Returns what the judge counts for the engine.
    """
    sidecall.export(other, folder / "model.onnx", FRAME, progress=False, dtype="float64")
    with Engines(folder / "model.onnx") as engines:
        judging = Judge(drawn_of(original), engines)
        judging.sides[engine].file = OriginalSide(Original(other), judging.outputs)
        return vars(judging.compare(rows, 30, folder)[engine])


class Checked(TransformerMixin, BaseEstimator):
    """Passes numbers through and refuses those above a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def fit(self, x: Any, y: Any = None) -> Checked:
        self.fitted_ = True
        return self

    def transform(self, x: Any) -> Any:
        if (x["a"] > self.limit).any():
            raise ValueError("too large")
        return x


class BatchDependent(RegressorMixin, BaseEstimator):
    """Answers a row differently if it is the only row of its batch."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, x: Any, y: Any) -> BatchDependent:
        self.fitted_ = True
        return self

    def predict(self, x: Any) -> np.ndarray:
        return self.model.predict(x) + (0.5 if len(x) > 1 else 0.0)


def test_a_seed_and_a_number_give_the_same_pipeline_and_the_same_rows(tmp_path: Path) -> None:
    results = [judge(draw(11, 3), tmp_path, 200, 30) for _ in range(2)]
    for result in results:
        for key in ("seconds", "export_s"):
            result.pop(key, None)
    assert results[0] == results[1]


def test_different_numbers_of_one_seed_give_different_pipelines() -> None:
    assert len({draw(11, number).steps for number in range(3)}) > 1


def test_every_fourth_pipeline_has_steps_of_another_package() -> None:
    def packages(model: Any) -> set[str]:
        return {type(step).__module__.partition(".")[0] for step in estimators_in(model)}

    for number, package in OTHERS.items():
        assert package in packages(draw(11, number).model)
    rng = np.random.default_rng(0)
    steps = [packages_drawn.package(Sampler(rng)) for _ in range(200)]
    assert set(steps) == {name for _, name in packages_drawn.WEIGHTS}
    with pytest.raises(ValueError, match="imblearn"):
        packages_drawn.task(Sampler(rng), "imblearn", ["regression"])


def test_rows_without_an_unknown_category_do_not_list_that_of_another_row() -> None:
    pool = pd.DataFrame({"word": pd.Categorical(["a", "b"]), "x": [1.0, 2.0]})
    given = pd.DataFrame(
        {"word": pd.Categorical(["a", "?", None], ["a", "b", "?"]), "x": [1.0, 2.0, 3.0]}
    )
    rows = BuiltRows(given, given, pool)
    assert list(rows.take([0, 2]).original["word"].cat.categories) == ["a", "b"]
    taken = rows.take(slice(0, 2))
    assert list(taken.original["word"]) == ["a", "?"]
    assert list(taken.original["word"].cat.categories) == ["\x7f\x7f\x7f", "a", "b", "?"]
    assert list(taken.take([0]).original["word"].cat.categories) == ["a", "b"]


def test_xgboost_refuses_an_unknown_category_beside_one_that_is_not_ascii() -> None:
    pool = pd.DataFrame({"word": pd.Categorical(["a", "b", "c", "a"])})
    model = XGBRegressor(n_estimators=1, enable_categorical=True).fit(pool, [1.0, 2.0, 3.0, 1.0])
    given = pd.DataFrame({"word": pd.Categorical(["0", "é"], ["a", "b", "c", "0", "é"])})
    rows = BuiltRows(given, given, pool)
    with pytest.raises(ValueError, match="not in the training set"):
        model.predict(rows.take([0]).original)


def test_a_file_that_answers_as_its_original_has_no_differences(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(FRAME, TARGET)
    counts = compared(model, model, tmp_path)
    assert (counts["wrong"], counts["compared"] > 200) == (0, True)


def test_a_threshold_that_moved_by_one_ulp_is_found(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(), DecisionTreeRegressor(max_depth=3))
    model.fit(FRAME, TARGET)
    bent = deepcopy(model)
    threshold = bent[-1].tree_.threshold
    threshold[0] = np.nextafter(np.float32(threshold[0]), np.float32(np.inf))
    counts = compared(model, bent, tmp_path, rows=2000)
    assert counts["wrong"] > 0
    assert {name for name, (_, wrong) in counts["families"].items() if wrong} <= {"edge", "jump"}


def test_a_wrong_answer_of_the_native_engine_is_counted_for_it_alone(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(FRAME, TARGET)
    other = deepcopy(model)
    other[-1].intercept_ += 1e-3
    sidecall.export(model, tmp_path / "model.onnx", FRAME, progress=False, dtype="float64")
    with Engines(tmp_path / "model.onnx") as engines:
        judging = Judge(drawn_of(model), engines)
        judging.sides["native"].file = OriginalSide(Original(other), judging.outputs)
        counts = judging.compare(200, 30, tmp_path)
    assert counts["onnxruntime"].wrong == 0
    assert counts["native"].wrong > 0.9 * counts["native"].compared
    assert counts["native"].rows == counts["onnxruntime"].rows


def test_a_file_that_the_native_engine_refuses_is_counted_by_operator() -> None:
    with pytest.raises(sidecall.errors.Unsupported) as caught:
        sidecall.open(MODELS / "nonzero.onnx", engine="native")
    reason = without_names(caught.value)
    assert reason.startswith("NonZero: this engine does not have the operator")
    found = {"outcome": "compared", "native": failure(caught.value)}
    assert refusals([found, found]) == {reason: 2}
    assert native_defects([found]) == []


def test_a_file_that_is_not_proven_on_the_native_engine_is_not_compared_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.onnx"
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(FRAME, TARGET)
    sidecall.export(model, path, FRAME, progress=False)
    with Engines(path) as engines:
        assert set(engines.models) == {"onnxruntime", "native"}
    file = onnx.load(path)
    (entry,) = (each for each in file.metadata_props if each.key == "sidecall.contract")
    contract = json.loads(entry.value)
    del contract["engines"]["native"]
    path.write_bytes(artifact.seal(file, json.dumps(contract))[0])
    with Engines(path) as engines:
        assert set(engines.models) == {"onnxruntime"}
        assert engines.failed["native"] == {"outcome": "refused", "reason": NOT_PROVEN}


def test_a_file_that_only_onnxruntime_runs_is_compared_there(tmp_path: Path) -> None:
    with Engines(MODELS / "nonzero.onnx") as engines:
        assert set(engines.models) == {"onnxruntime"}
        assert engines.failed["native"]["outcome"] == "refused"
    with pytest.raises(sidecall.errors.FileNotFound):
        Engines(tmp_path / "none.onnx")


def test_an_error_of_the_native_engine_that_is_no_refusal_is_a_defect() -> None:
    try:
        raise ValueError("a mistake")
    except ValueError as error:
        failed = failure(error)
    assert (failed["outcome"], failed["reason"]) == ("defect", "ValueError: a mistake")
    found = {"outcome": "compared", "native": failed, **dict.fromkeys(COUNTED, 0)}
    holds = {bar.name: bar.holds for bar in bars([found], 149)}
    assert not holds["native_defects"]
    assert not holds["native_estimators"]
    assert holds["native_wrong_rows"]


def test_a_value_of_a_leaf_that_moved_by_one_bit_is_found(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(), DecisionTreeRegressor(max_depth=3))
    model.fit(FRAME, TARGET)
    bent = deepcopy(model)
    values = bent[-1].tree_.value
    values[:] = np.nextafter(values, np.inf)
    counts = compared(model, bent, tmp_path)
    assert (counts["wrong"], counts["tree_bits"]) == (0, counts["tree_rows"])


def test_a_row_that_only_the_original_refuses_is_counted_separately(tmp_path: Path) -> None:
    model = LinearRegression().fit(FRAME, TARGET)
    counts = compared(make_pipeline(Checked(9.5), model), model, tmp_path)
    assert counts["by_original"] > 0
    assert counts["wrong"] == 0


def test_rows_with_two_answers_of_the_original_are_unstable(tmp_path: Path) -> None:
    model = LinearRegression().fit(FRAME, TARGET)
    counts = compared(BatchDependent(model).fit(FRAME, TARGET), model, tmp_path)
    assert counts["wrong"] == 0
    assert counts["unstable"] > 0.9 * counts["compared"]


def test_the_order_of_fitted_rows_decides_only_about_rows_that_rounding_makes_equally_near() -> (
    None
):
    fitted = FRAME.assign(c=TARGET)
    model = make_pipeline(KNNImputer(n_neighbors=3), LinearRegression()).fit(fitted, TARGET)
    asked = pd.DataFrame({"a": [2.5, 2.0**53], "b": [0.5, 0.5], "c": np.nan})
    output = Output("prediction", True, "predict", ["prediction"], None)
    (answers,) = orders.ask(model, [output], Rows(asked, asked))
    differs = answers.values["prediction"].ravel() != model.predict(asked)
    assert differs.tolist() == [False, True]
    plain = LinearRegression().fit(FRAME, TARGET)
    assert list(orders.ask(plain, [output], Rows(FRAME, FRAME))) == []


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bisection_ends_at_the_two_neighbours_of_a_threshold(dtype: type) -> None:
    x = FRAME[["a"]].to_numpy(dtype=dtype)
    model = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=1)).fit(x, x[:, 0] > 4)
    columns = [column_of_array("a", x[:, 0])]

    def ask(rows: list[Any]) -> np.ndarray:
        return model.predict(rows[0].as_float().astype(dtype).reshape(-1, 1)).reshape(-1, 1)

    jumps = find_jumps(ask, columns, {0: np.dtype(dtype)}, 5, np.random.default_rng(1))
    assert jumps
    for jump in jumps:
        low, high = sorted((dtype(jump.low), dtype(jump.high)))
        assert np.nextafter(low, dtype(np.inf)) == high
        assert model.predict([[low]]) != model.predict([[high]])


def test_edges_are_named_by_the_columns_of_the_row() -> None:
    branches = [("bins", KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), ["b"])]
    model = make_pipeline(ColumnTransformer(branches, remainder="passthrough"), LinearRegression())
    edges = held_edges(model.fit(FRAME, TARGET), ["a", "b"])
    assert list(edges) == ["b"]
    assert len(edges["b"]) == 4


def test_thresholds_after_a_scaler_are_not_edges_of_the_row() -> None:
    model = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=2)).fit(FRAME, TARGET)
    assert held_edges(model, ["a", "b"]) == {}
    assert raw_tree_output(model) is None


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([StandardScaler(), DecisionTreeRegressor()], True),
        ([StandardScaler(), SVC()], False),
        ([StandardScaler(), NuSVC(nu=0.1)], False),
        ([PCA(), DecisionTreeRegressor()], False),
        ([KNeighborsRegressor()], False),
    ],
    ids=["tree", "SVC", "NuSVC", "PCA", "neighbours"],
)
def test_no_row_is_placed_where_the_sign_of_a_sum_decides(
    steps: list[Any], expected: bool, searched: bool
) -> None:
    model = make_pipeline(*steps)
    if searched:
        model = GridSearchCV(model, {}, cv=2).fit(FRAME, np.arange(400) % 3)
    assert jumps_are_fixed(model) == expected


@pytest.mark.parametrize(("dtype", "expected"), [(np.float64, False), (np.float32, True)])
def test_a_step_that_returns_float32_is_detected(dtype: type, expected: bool) -> None:
    frame = FRAME.astype(dtype)
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(frame, TARGET)
    assert gives_float32(model, frame) is expected


def test_float32_inside_a_transformer_that_returns_float64_is_detected() -> None:
    frame = FRAME.astype({"a": np.float32})
    branches = [("scale", StandardScaler(), ["a"]), ("as it is", "passthrough", ["b"])]
    model = make_pipeline(ColumnTransformer(branches)).fit(frame)
    assert model.transform(frame).dtype == np.float64
    assert gives_float32(model, frame)


def test_a_run_resumes_with_its_stored_results(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    first = Ledger(path, "1000/10")
    first.begin("7:0")
    first.add("7:0", {"wrong": 0})
    assert first.fresh_seed(5) == 5
    path.write_text(path.read_text(encoding="utf-8") + '{"key": "cut o', encoding="utf-8")
    again = Ledger(path, "1000/10")
    assert again.results == {"7:0": {"wrong": 0}}
    assert again.fresh_seed(6) == 5


def test_results_of_other_settings_are_not_used(tmp_path: Path) -> None:
    Ledger(tmp_path / "results.jsonl", "1000/10").add("7:0", {"wrong": 0})
    assert Ledger(tmp_path / "results.jsonl", "2000/10").results == {}


def test_a_pipeline_that_ends_the_process_twice_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Ledger(path, "1000/10").begin("7:0")
    assert not Ledger(path, "1000/10").died("7:0")
    Ledger(path, "1000/10").begin("7:0")
    assert Ledger(path, "1000/10").died("7:0")


def test_the_original_is_asked_for_the_same_rows_on_other_cpus(tmp_path: Path) -> None:
    model = Pipeline([("scale", StandardScaler()), ("line", LinearRegression())])
    original = Original(model.fit(FRAME, TARGET))
    outputs = [Output("prediction", True, "predict", ["prediction"], None)]
    expected = OriginalSide(original, outputs).ask(Rows(FRAME, FRAME)).values["prediction"]
    answers = list(cpus.ask(model, outputs, Rows(FRAME, FRAME), tmp_path))
    assert len(answers) == len(cpus.others())
    for answer in answers:
        np.testing.assert_allclose(answer.values["prediction"], expected, rtol=1e-12)
