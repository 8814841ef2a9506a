"""A refusal names the step at fault, not a later one, and says what to do.

Models that only resemble the refused models are converted.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
import sidecall
import xgboost
from contract_reader import File, check_contract
from sidecall.convert.families import functions
from sidecall.exporting import StepError
from sidecall.exporting.errors import ParityError
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import KNNImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler
from sklearn.svm import LinearSVC

ROWS = 1000
RNG = np.random.default_rng(11)
X = np.round(RNG.gamma(2, 3, size=(ROWS, 4)), 2)
Y = X[:, 0] + np.sqrt(X[:, 1]) + RNG.normal(size=ROWS)
LABELS = np.c_[Y > 8, X[:, 2] > 5].astype(int)


def outputs_of(path, model, data=X):
    report = sidecall.export(model, path, data)
    check_contract(File(path))
    return [output["name"] for output in report.contract["outputs"]]


@pytest.mark.parametrize(
    "ranker",
    [lightgbm.LGBMRanker(n_estimators=5, verbose=-1), xgboost.XGBRanker(n_estimators=5)],
    ids=["lgbm", "xgb"],
)
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_rankers_answer_with_scores_as_prediction(tmp_path, ranker, in_pipeline):
    ranker.fit(X, LABELS[:, 0], group=[10] * (ROWS // 10))
    model = make_pipeline(FunctionTransformer().fit(X), ranker) if in_pipeline else ranker
    assert outputs_of(tmp_path / "m.onnx", model) == ["prediction"]
    assert sidecall.check(model, X).ok
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answers = opened.predict(pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"]))["prediction"]
    np.testing.assert_allclose(answers, model.predict(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("member", "second"), [(LogisticRegression(), "probabilities"), (LinearSVC(), "scores")]
)
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_chain_of_classifiers_answers_for_each_label(tmp_path, member, second, order):
    model = ClassifierChain(member, order=order).fit(X, LABELS)
    assert outputs_of(tmp_path / "m.onnx", model) == ["label", second]
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answers = opened.predict(
            [dict(zip(("x0", "x1", "x2", "x3"), row, strict=True)) for row in X[:20].tolist()]
        )
    expected = (
        model.predict_proba(X[:20])
        if second == "probabilities"
        else model.decision_function(X[:20])
    )
    for answer, labels, numbers in zip(answers, model.predict(X[:20]), expected, strict=True):
        assert answer["label"] == labels.tolist()
        got = list(answer[second].values()) if second == "probabilities" else answer[second]
        np.testing.assert_allclose(got, numbers, rtol=1e-6)


def test_neighbours_with_several_outputs_are_refused_with_advice(tmp_path):
    with pytest.raises(StepError, match="inside MultiOutputClassifier"):
        sidecall.export(KNeighborsClassifier().fit(X, LABELS), tmp_path / "m.onnx", X)


def blurred(graph, x):
    """log1p with an error of a few units in the last place."""
    return LOG1P(graph, x) * (1.0 + 2.0**-50)


LOG1P = functions.UNARY[np.log1p]


def boosted(*steps):
    """Trees whose thresholds equal values of their training data."""
    return make_pipeline(
        FunctionTransformer(np.log1p), *steps, HistGradientBoostingRegressor(max_iter=60)
    ).fit(X, Y)


@pytest.mark.parametrize(
    "steps", [[], [FunctionTransformer()]], ids=["directly", "after an exact step"]
)
def test_last_digits_of_a_function_of_one_column_change_no_tree(tmp_path, monkeypatch, steps):
    """The trees compare the column itself (decision 050)."""
    monkeypatch.setitem(functions.UNARY, np.log1p, blurred)
    assert outputs_of(tmp_path / "m.onnx", boosted(*steps)) == ["prediction"]


def test_a_model_converts_after_the_advised_rounding(tmp_path, monkeypatch):
    monkeypatch.setitem(functions.UNARY, np.log1p, blurred)
    model = boosted(FunctionTransformer(np.round, kw_args={"decimals": 6}))
    assert outputs_of(tmp_path / "m.onnx", model) == ["prediction"]


def test_a_last_step_that_differs_on_exact_inputs_is_named(tmp_path):
    frame = holes()[["a", "b"]]
    model = make_pipeline(StandardScaler(), KNNImputer(n_neighbors=3)).fit(frame)
    with pytest.raises(ParityError) as caught:
        sidecall.export(model, tmp_path / "m.onnx", frame)
    assert caught.value.step == "knnimputer (KNNImputer)" and "at equal distances" in str(
        caught.value
    )


def test_the_step_before_a_discontinuous_transformer_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(functions.UNARY, np.log1p, blurred)
    x = np.random.default_rng(0).integers(0, 8, (400, 1)).astype(float)
    model = make_pipeline(
        FunctionTransformer(np.log1p), QuantileTransformer(n_quantiles=20), Ridge()
    )
    with pytest.raises(ParityError) as caught:
        sidecall.export(model.fit(x, x[:, 0] % 3), tmp_path / "m.onnx", x)
    assert caught.value.step == "functiontransformer (FunctionTransformer)"
    assert (
        "quantiletransformer (QuantileTransformer) after it depends on these digits: round the numbers"
        in str(caught.value)
    )


def test_a_step_with_float32_sums_is_refused_with_advice(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    model = make_pipeline(
        Nystroem(gamma=0.01, n_components=30, random_state=0), xgboost.XGBRegressor(n_estimators=20)
    ).fit(x, x[:, 0])
    with pytest.raises(ParityError, match="fit the model on float64 columns") as caught:
        sidecall.export(model, tmp_path / "m.onnx", x)
    assert caught.value.step == "nystroem (Nystroem)"


def holes():
    frame = pd.DataFrame(np.round(X), columns=list("abcd"))
    return frame.mask(np.random.default_rng(2).random(frame.shape) < 0.2)


TIES = KNNImputer(n_neighbors=3)
BRANCHES = {
    "knnimputer": make_column_transformer((TIES, ["a", "b"]), (StandardScaler(), ["c"])),
    "pipeline > knnimputer": make_column_transformer(
        (StandardScaler(), ["c"]), (make_pipeline(TIES, StandardScaler()), ["a", "b"])
    ),
    "imputed": FeatureUnion([("scaled", StandardScaler()), ("imputed", TIES)]),
}


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("inside", [False, True], ids=["bare", "in a pipeline"])
def test_a_branch_of_a_union_is_named(tmp_path, branch, inside):
    frame = holes()
    model = make_pipeline(BRANCHES[branch], KNNImputer(), Ridge()) if inside else BRANCHES[branch]
    name = type(BRANCHES[branch]).__name__.lower()
    with pytest.raises(ParityError, match="at equal distances") as caught:
        sidecall.export(model.fit(frame, Y), tmp_path / "m.onnx", frame)
    assert caught.value.step == (
        f"{name} > {branch} (KNNImputer)" if inside else f"{branch} (KNNImputer)"
    )
