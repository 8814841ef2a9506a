"""CatBoost's models in exported files, with columns of numbers and of categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
from catboost import (
    CatBoost,
    CatBoostClassifier,
    CatBoostRanker,
    CatBoostRegressor,
    sum_models,
)
from convert_harness import layout, run_graph, run_graph_natively
from sidecall.convert import NotConvertible, to_graph
from sidecall.convert.families.boosting.catboost_categories import hashes_of
from sidecall.exporting.errors import StepError
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SMALL: dict[str, Any] = {
    "iterations": 12, "depth": 4, "verbose": 0, "thread_count": 1, "allow_writing_files": False
}  # fmt: skip
CATEGORIES = ["city", "code", "flag", "two", "shop"]
RNG = np.random.default_rng(0)


def table(size: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "city": rng.choice(["a", "é", "\U0001f600 b", 'q"\\\n', "", "1"], size),
            "x": np.where(rng.random(size) < 0.1, np.nan, rng.normal(size=size)),
            "code": rng.integers(-3, 8, size),
            "flag": rng.random(size) < 0.5,
            "z": rng.normal(size=size).round(1),
            "two": rng.choice(["u", "v"], size),
            "shop": rng.choice([f"shop {k}" for k in range(30)], size),
        }
    )


ROWS = table(300)
NUMBERS = ROWS[["x", "z", "code"]]
IS_SET = (ROWS["city"].isin(["a", "1"]) ^ (ROWS["two"] == "u") ^ (ROWS["z"] > 0)).to_numpy()
AMOUNT = ROWS["z"] + 3 * IS_SET + ROWS["code"] % 3
CLASS = np.array(["no", "maybe", "yes"])[ROWS["code"].to_numpy() % 3]


def known(model: Any, rows: pd.DataFrame) -> dict[int, dict[int, list[Any]]]:
    columns = model.get_cat_feature_indices()
    return {id(model): {k: rows.iloc[:, k].unique().tolist() for k in columns}}


def agrees(model: Any, rows: pd.DataFrame, given: pd.DataFrame = ROWS) -> None:
    """Compares both engines with the model on `rows`; the categories are those of `given`."""
    inputs, feeds = layout(rows)
    graph = to_graph(model, inputs, precision="float64", categories=known(model, given))
    is_classifier = isinstance(model, CatBoostClassifier)
    wanted = model.predict_proba(rows) if is_classifier else model.predict(rows)
    for run in (run_graph, run_graph_natively):
        answers = run(graph, feeds)
        got = answers["probabilities" if is_classifier else "prediction"]
        np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=0, atol=1e-13)
        if is_classifier:
            labels = np.ravel(model.predict(rows))
            assert np.array_equal(np.ravel(answers["label"]).astype(labels.dtype), labels)


def beside_borders(model: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with numbers at and beside the borders of "x", halfway to the next float32, and the
    ends of the types.
    """
    place = list(rows.columns).index("x")
    borders = np.array(model.get_borders()[place], "float64")[:30]
    assert len(borders)
    above = np.nextafter(borders.astype("float32"), np.float32(np.inf)).astype("float64")
    middle = (borders + above) / 2
    numbers = np.concatenate(
        [
            [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e300, -1e300, 3.4028235e38, -3.4028235e38],
            *(np.nextafter(part, end) for part in (borders, middle) for end in (-9e9, 9e9)),
            *(borders, above, middle),
        ]
    )
    return rows.iloc[np.arange(len(numbers)) % len(rows)].assign(x=numbers)


@pytest.mark.parametrize(
    ("policy", "nan_mode"),
    [
        ("SymmetricTree", "Min"),
        ("SymmetricTree", "Max"),
        ("Depthwise", "Max"),
        ("Lossguide", "Min"),
    ],
)
def test_trees_of_numbers_agree(policy: str, nan_mode: str) -> None:
    options = SMALL | {"grow_policy": policy, "nan_mode": nan_mode}
    model = CatBoostRegressor(**options).fit(NUMBERS, AMOUNT)
    agrees(model, beside_borders(model, NUMBERS))
    model = CatBoostClassifier(**options).fit(NUMBERS, CLASS)
    agrees(model, beside_borders(model, NUMBERS))


def test_missing_values_agree_if_training_had_none() -> None:
    rows = NUMBERS.fillna(0.5)
    for nan_mode in ("Min", "Max", "Forbidden"):
        model = CatBoostRegressor(**SMALL, nan_mode=nan_mode).fit(rows, AMOUNT)
        agrees(model, NUMBERS)


@pytest.mark.parametrize(
    "loss",
    ["MAE", "Quantile:alpha=0.9", "Poisson", "Tweedie:variance_power=1.5", "RMSEWithUncertainty"],
)
def test_losses_of_regressors_agree(loss: str) -> None:
    agrees(CatBoostRegressor(**SMALL, loss_function=loss).fit(NUMBERS, AMOUNT.abs()), NUMBERS)


def test_losses_of_classifiers_agree() -> None:
    share = (ROWS["z"].abs() % 1).to_numpy()
    agrees(CatBoostClassifier(**SMALL, loss_function="CrossEntropy").fit(NUMBERS, share), NUMBERS)
    model = CatBoostClassifier(**SMALL, loss_function="MultiClassOneVsAll").fit(NUMBERS, CLASS)
    agrees(model, NUMBERS)


def test_several_targets_rankers_and_base_models_agree() -> None:
    targets = np.c_[AMOUNT, ROWS["z"]]
    agrees(CatBoostRegressor(**SMALL, loss_function="MultiRMSE").fit(NUMBERS, targets), NUMBERS)
    groups = np.arange(len(ROWS)) // 20
    agrees(CatBoostRanker(**SMALL).fit(NUMBERS, ROWS["code"], group_id=groups), NUMBERS)
    agrees(CatBoost(SMALL | {"loss_function": "Logloss"}).fit(NUMBERS, IS_SET), NUMBERS)


def test_loaded_models_and_sums_of_models_agree(tmp_path: Path) -> None:
    first = CatBoostRegressor(**SMALL, loss_function="Poisson").fit(NUMBERS, AMOUNT.abs())
    first.save_model(tmp_path / "m.cbm")
    agrees(CatBoostRegressor().load_model(tmp_path / "m.cbm"), NUMBERS)
    agrees(CatBoost().load_model(tmp_path / "m.cbm"), NUMBERS)
    second = CatBoostRegressor(**SMALL).fit(NUMBERS, ROWS["z"])
    agrees(sum_models([first, second], weights=[0.3, 0.7]), NUMBERS)
    with_categories = CatBoostRegressor(**SMALL, cat_features=CATEGORIES).fit(ROWS, AMOUNT)
    with pytest.raises(NotConvertible, match="a sum of models with target statistics"):
        agrees(sum_models([with_categories, with_categories]), ROWS)


def test_a_threshold_of_the_probability_agrees() -> None:
    model = CatBoostClassifier(**SMALL).fit(NUMBERS, IS_SET)
    model.set_probability_threshold(0.3)
    agrees(model, NUMBERS)


def test_whole_numbers_beyond_2_to_the_53_agree() -> None:
    whole = pd.DataFrame({"x": 2**60 + np.arange(200) * 2**50, "y": RNG.integers(0, 9, 200)})
    model = CatBoostRegressor(**SMALL).fit(whole, np.sin(np.arange(200)) + whole["y"])
    offsets = (-1, 0, 1, 2**36 - 1, 2**36, 2**36 + 1, 2**37)
    numbers = [int(border) + k for border in model.get_borders()[0] for k in offsets]
    rows = pd.DataFrame({"x": numbers, "y": 3})
    agrees(model, rows, whole)
    # CatBoost rounds the same numbers twice if they are Python objects.
    objects = rows.to_numpy(object)
    inputs, feeds = layout(rows)
    graph = to_graph(model, inputs, examples={id(model): objects[:1]})
    wanted = model.predict(objects)
    assert not np.array_equal(wanted, model.predict(rows))
    np.testing.assert_allclose(run_graph(graph, feeds)["prediction"].ravel(), wanted, atol=1e-13)


@pytest.mark.parametrize(
    "kind", [None, "Borders", "Buckets", "BinarizedTargetMeanValue", "Counter"]
)
@pytest.mark.parametrize("policy", ["SymmetricTree", "Lossguide"])
def test_categories_agree(kind: str | None, policy: str) -> None:
    options = SMALL | {"grow_policy": policy, "depth": 5, "learning_rate": 0.5}
    if kind:
        options |= {"simple_ctr": [kind], "combinations_ctr": [kind]}
    rows = table(300, seed=1)
    rows.loc[:9, "city"], rows.loc[5:14, "shop"], rows.loc[12:19, "code"] = "unseen", "?", 2**40
    model = CatBoostRegressor(**options).fit(ROWS, AMOUNT, cat_features=CATEGORIES)
    agrees(model, rows)
    agrees(model, beside_borders(model, rows))
    model = CatBoostClassifier(**options, one_hot_max_size=6)
    agrees(model.fit(ROWS, CLASS, cat_features=CATEGORIES), rows)


def test_hashes_are_those_of_catboost() -> None:
    texts = ["", "a", "\x01", "1\x012", "\\'\"\r\n", "é\u2028", "\U0001f600" * 40, "-5"]
    hashes = hashes_of([*texts, *texts])
    assert sorted(hashes) == sorted(texts)
    rows = pd.DataFrame({"text": texts})
    model = CatBoostRegressor(**SMALL | {"depth": 3}, one_hot_max_size=20, min_data_in_leaf=1)
    model.fit(rows, np.arange(8.0), cat_features=["text"])
    agrees(model, rows, rows)


def check(model: Any, path: Path, rows: Any, fresh: pd.DataFrame) -> None:
    report = sidecall.export(model, path, rows, progress=False)
    assert set(report.contract["engines"]) == {"onnxruntime", "native"}
    with sidecall.open(path) as opened:
        answers = opened.predict(fresh)
    wanted = model.predict_proba(fresh)
    got = answers[[name for name in answers.columns if name != "label"]]
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    assert answers["label"].tolist() == np.ravel(model.predict(fresh)).tolist()


def test_a_file_with_categories_answers_as_the_model(tmp_path: Path) -> None:
    model = CatBoostClassifier(**SMALL, cat_features=CATEGORIES).fit(ROWS, CLASS)
    fresh = table(200, seed=2)
    fresh.loc[:9, "city"] = "unseen"
    check(model, tmp_path / "m.onnx", ROWS, fresh)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        record = {name: value for name, value in ROWS.iloc[0].items() if value == value}
        for wrong in ({"city": None}, {"code": 2.5}, {"code": None}):
            with pytest.raises(sidecall.errors.Error) as caught:
                opened.predict(record | wrong)
            assert caught.value.code in ("MISSING_VALUE", "DTYPE_MISMATCH")


@pytest.mark.filterwarnings("ignore")
def test_categories_behind_an_imputer_agree(tmp_path: Path) -> None:
    impute = make_column_transformer(
        (SimpleImputer(strategy="most_frequent"), ["city", "shop"]),
        (StandardScaler(), ["z"]),
        remainder="drop",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = make_pipeline(impute, CatBoostClassifier(**SMALL, cat_features=["city", "shop"]))
    fresh = table(100, seed=3)
    fresh.loc[:20, "city"] = None
    check(model.fit(ROWS, IS_SET), tmp_path / "m.onnx", ROWS, fresh)


def test_categories_of_pandas_and_of_arrays_agree(tmp_path: Path) -> None:
    rows = ROWS[["city", "z"]].astype({"city": "category"})
    model = CatBoostClassifier(**SMALL, cat_features=["city"]).fit(rows, IS_SET)
    check(model, tmp_path / "m.onnx", rows, rows)
    array = ROWS[["code", "flag"]].to_numpy("int64")
    model = CatBoostClassifier(**SMALL, cat_features=[0, 1]).fit(array, IS_SET)
    sidecall.export(model, tmp_path / "m.onnx", array, progress=False)


def test_data_without_a_category_of_the_training_is_refused(tmp_path: Path) -> None:
    model = CatBoostRegressor(**SMALL, cat_features=CATEGORIES).fit(ROWS, AMOUNT)
    few = ROWS[ROWS["city"] != "é"]
    with pytest.raises(StepError, match="training had categories of 'city' that the data lacks"):
        sidecall.export(model, tmp_path / "m.onnx", few, progress=False)
    assert "'city'" in (sidecall.check(model, few).steps[0].reason)
    (step,) = sidecall.check(model).steps
    assert not step.converts and "hashes instead of its categories" in step.reason


@pytest.mark.filterwarnings("ignore")
def test_what_no_file_of_catboost_tells_is_refused() -> None:
    def reason(model: Any, rows: pd.DataFrame) -> str:
        with pytest.raises(NotConvertible) as caught:
            to_graph(model, layout(rows)[0], categories=known(model, rows))
        return caught.value.reason

    rows = ROWS.assign(words=ROWS["city"] + " a b")[["z", "words"]]
    model = CatBoostClassifier(**SMALL, text_features=["words"]).fit(rows, IS_SET)
    assert reason(model, rows) == "its text feature 'words' is not supported; drop it before fit"
    two = ["Borders:TargetBorderCount=1", "Borders:TargetBorderCount=3"]
    model = CatBoostRegressor(**SMALL, cat_features=CATEGORIES, simple_ctr=two)
    assert "one table for both" in reason(model.fit(ROWS, AMOUNT), ROWS)
    labels = np.c_[IS_SET, ~IS_SET].astype(int)
    model = CatBoostClassifier(**SMALL, loss_function="MultiLogloss").fit(NUMBERS, labels)
    assert "the loss 'MultiLogloss'" in reason(model, NUMBERS)


def test_a_model_that_is_not_fitted_is_refused() -> None:
    (step,) = sidecall.check(CatBoostRegressor()).steps
    assert step.reason == "it is not fitted"
