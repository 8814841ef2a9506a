"""LightGBM and XGBoost: as models and inside other models, with missing values and categories."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from convert_harness import assert_agrees, differences, layout, run, run_graph
from sidecall.convert import NotConvertible, to_graph
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import StackingClassifier, VotingRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MaxAbsScaler, OneHotEncoder, StandardScaler

CANCER, MALIGNANT = load_breast_cancer(return_X_y=True)
WINE, CULTIVAR = load_wine(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
HOLES = np.where(np.random.default_rng(0).random(WINE.shape) < 0.1, np.nan, WINE)
QUICK = {"n_estimators": 15, "verbose": -1}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"boosting_type": "dart"},
        {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"objective": "multiclassova"},
    ],
    ids=str,
)
def test_lightgbm_classifiers_agree(params):
    model = lightgbm.LGBMClassifier(**QUICK, **params)
    assert_agrees(model.fit(WINE, np.array(["a", "b", "c"])[CULTIVAR]), WINE.astype("float32"))
    if "objective" not in params:
        assert_agrees(model.fit(CANCER, MALIGNANT), CANCER.astype("float32"))


def test_two_classes_with_only_positive_leaves_agree():
    rng = np.random.default_rng(0)
    rows, is_common = rng.normal(size=(2000, 3)), rng.random(2000) < 0.97
    model = lightgbm.LGBMClassifier(n_estimators=2, boost_from_average=False, verbose=-1)
    assert_agrees(model.fit(rows, is_common.astype(int)), rows.astype("float32"))


@pytest.mark.parametrize(
    "objective", ["regression", "l1", "poisson", "gamma", "tweedie", "quantile", "cross_entropy"]
)
def test_lightgbm_regressors_agree(objective):
    y = PROGRESS / PROGRESS.max() if objective == "cross_entropy" else PROGRESS
    assert_agrees(
        lightgbm.LGBMRegressor(objective=objective, **QUICK).fit(DIABETES, y),
        DIABETES.astype("float32"),
    )


def test_lightgbm_with_reg_sqrt_agrees():
    assert_agrees(
        lightgbm.LGBMRegressor(reg_sqrt=True, **QUICK).fit(DIABETES, PROGRESS),
        DIABETES.astype("float32"),
    )


def test_lightgbm_missing_values_agree_whether_or_not_training_had_them():
    assert_agrees(lightgbm.LGBMClassifier(**QUICK).fit(HOLES, CULTIVAR), HOLES.astype("float32"))
    assert_agrees(lightgbm.LGBMClassifier(**QUICK).fit(WINE, CULTIVAR), HOLES.astype("float32"))


def test_numbers_that_lightgbm_reads_as_zero_agree():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 2)) * (rng.random((2000, 2)) < 0.7)
    model = lightgbm.LGBMClassifier(**QUICK).fit(rows, (rows[:, 0] < 0) ^ (rows[:, 1] < 0.5))
    zero = float(np.float32(1e-35))
    neighbours = [np.nextafter(np.float32(zero), np.float32(end)) for end in (0, 1)]
    beside = [zero, *map(float, neighbours), 0.0, 1e-40, 1.0]
    assert str(-zero) in model.booster_.model_to_string(), "no threshold beside zero"
    numbers = np.array([sign * number for number in beside for sign in (-1, 1)])
    edges = np.column_stack([numbers, rng.permutation(numbers)])
    assert_agrees(model, edges)
    assert_agrees(model, edges.astype("float32"))


def test_lightgbm_agrees_on_rounded_float64_rows():
    model = lightgbm.LGBMClassifier(verbose=-1).fit(CANCER, MALIGNANT)
    got = run(model, CANCER.astype("float32"), rows="float64")["probabilities"]
    assert np.abs(got - model.predict_proba(CANCER)).max() < 1e-6


def frame(size=400):
    rng = np.random.default_rng(2)
    rows = pd.DataFrame(
        {
            "city": rng.choice(list("abcdefg"), size),
            "x": rng.normal(size=size),
            "code": rng.integers(0, 8, size),
        }
    )
    y = rows["city"].isin(["a", "d", "g"]).to_numpy() ^ rows["code"].isin([1, 5]).to_numpy()
    return rows, y.astype(int)


SMALL_GROUPS = {"min_child_samples": 3, "min_data_per_group": 2, "cat_smooth": 1}


def test_lightgbm_pandas_categories_agree():
    rows, y = frame()
    model = lightgbm.LGBMClassifier(**QUICK, **SMALL_GROUPS).fit(
        rows.assign(city=rows["city"].astype("category")), y
    )
    rows.loc[:30, "city"] = "unseen"
    assert_agrees(model, rows.assign(city=rows["city"].astype("category")))


def test_lightgbm_integer_categories_agree():
    rows, y = frame()
    x = rows[["code", "x"]].to_numpy()
    model = lightgbm.LGBMClassifier(**QUICK, **SMALL_GROUPS).fit(x, y, categorical_feature=[0])
    assert_agrees(model, np.vstack([x, [[99, 0.0], [np.nan, 0.0]]]).astype("float32"))


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
@pytest.mark.parametrize("boosting", ["gbdt", "rf", "dart"])
def test_linear_trees_agree(boosting, share):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(800, 4)).round(2)
    target = rows[:, 0] * rows[:, 1] + np.abs(rows[:, 2])
    rows[rng.random(rows.shape) < share] = np.nan
    bagging = {"bagging_freq": 1, "bagging_fraction": 0.5} if boosting == "rf" else {}
    params = {"linear_tree": True, "boosting_type": boosting, "linear_lambda": 0.1, **bagging}
    model = lightgbm.LGBMRegressor(**QUICK, **params).fit(rows, target)
    fresh = np.vstack([rows, rng.normal(size=(200, 4)) * 3])
    fresh[rng.random(fresh.shape) < 0.1] = np.nan
    assert_agrees(model, fresh.astype("float32"), tolerance=1e-4)


def test_linear_trees_refuse_rows_whose_products_are_infinite():
    model = lightgbm.LGBMRegressor(**QUICK, linear_tree=True).fit(DIABETES, PROGRESS)
    rows = DIABETES[:4].astype("float64").copy()
    rows[1, 2], rows[2, 3], rows[3, 2] = np.inf, -1e101, np.nan
    assert run(model, rows, "float64")["refused"].tolist() == [0, 1, 1, 0]


def test_linear_trees_of_classifiers_agree():
    rows = CANCER[:, :5].astype("float32")
    model = lightgbm.LGBMClassifier(**QUICK, linear_tree=True).fit(rows, MALIGNANT)
    assert_agrees(model, rows, tolerance=1e-4)
    model = lightgbm.LGBMClassifier(**QUICK, linear_tree=True).fit(WINE[:, :5], CULTIVAR)
    assert_agrees(model, WINE[:, :5].astype("float32"), tolerance=1e-4)


@pytest.mark.parametrize("use_categories", [False, True])
def test_zeros_that_are_missing_agree(use_categories):
    rng = np.random.default_rng(0)
    rows = rng.integers(-2, 3, (600, 3)).astype("float64")
    rows[:, 2] = rng.integers(0, 4, 600)
    rows[rng.random(600) < 0.1, 0] = np.nan
    target = np.nan_to_num(rows[:, 0]) * 3 + (rows[:, 1] == 0) * 7 + (rows[:, 2] == 0) * 5
    categories = {"categorical_feature": [2]} if use_categories else {}
    model = lightgbm.LGBMRegressor(**QUICK, **SMALL_GROUPS, zero_as_missing=True)
    model.fit(rows, target, **categories)
    tiny = np.float32([[1e-36, -1e-35, 1], [np.nan, 1e-35, 0], [2e-35, -2e-35, np.nan]])
    assert_agrees(model, np.vstack([rows, tiny]).astype("float32"))


def test_lightgbm_pandas_categories_of_numbers_agree():
    rows, y = frame()
    rows = rows.assign(code=rows["code"] * 10, city=rows["city"].astype("category"))
    rows["code"] = rows["code"].astype("category")
    model = lightgbm.LGBMClassifier(**QUICK, **SMALL_GROUPS).fit(rows, y)
    fresh = rows.assign(code=rows["code"].astype("int64"), city=rows["city"].astype(object))
    fresh.loc[:5, "code"] = 7
    inputs, feeds = layout(fresh)
    wanted = model.predict_proba(
        fresh.assign(
            code=pd.Categorical(fresh["code"], rows["code"].cat.categories),
            city=pd.Categorical(fresh["city"], rows["city"].cat.categories),
        )
    )
    for precision in ("float32", "float64"):
        graph = to_graph(model, inputs, precision=precision)
        got = run_graph(graph, feeds)["probabilities"]
        np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("objective", ["regression", "poisson", "binary", "multiclass"])
def test_bare_boosters_agree(objective):
    x, y = {"binary": (CANCER, MALIGNANT), "multiclass": (WINE, CULTIVAR)}.get(
        objective, (DIABETES, PROGRESS)
    )
    params = {"objective": objective, "verbose": -1}
    params |= {"num_class": 3} if objective == "multiclass" else {}
    booster = lightgbm.train(params, lightgbm.Dataset(x, y), num_boost_round=10)
    assert_agrees(booster, x.astype("float32"))


# XGBoost itself computes in float32, which limits the agreement.
XGB = {"tolerance": 1e-5, "exact": 1e-5}


@pytest.mark.parametrize("params", [{}, {"num_parallel_tree": 3}, {"base_score": 0.3}], ids=str)
def test_xgboost_classifiers_agree(params):
    model = xgboost.XGBClassifier(n_estimators=10, **params)
    assert_agrees(model.fit(CANCER, MALIGNANT), CANCER.astype("float32"), **XGB)
    assert_agrees(model.fit(HOLES, CULTIVAR), HOLES.astype("float32"), **XGB)


@pytest.mark.parametrize(
    "objective",
    [
        "reg:squarederror",
        "reg:absoluteerror",
        "count:poisson",
        "reg:gamma",
        "reg:tweedie",
        "reg:logistic",
    ],
)
def test_xgboost_regressors_agree(objective):
    y = PROGRESS / PROGRESS.max() if objective == "reg:logistic" else PROGRESS
    assert_agrees(
        xgboost.XGBRegressor(n_estimators=10, objective=objective).fit(DIABETES, y),
        DIABETES.astype("float32"),
        **XGB,
    )


def test_xgboost_with_several_targets_and_forests_agrees():
    y = np.c_[PROGRESS, PROGRESS[::-1]]
    assert_agrees(
        xgboost.XGBRegressor(n_estimators=5).fit(DIABETES, y), DIABETES.astype("float32"), **XGB
    )
    assert_agrees(
        xgboost.XGBRFClassifier(n_estimators=10).fit(CANCER, MALIGNANT),
        CANCER.astype("float32"),
        **XGB,
    )


def texts(size=300):
    rng = np.random.default_rng(3)
    rows = np.array(
        [" ".join(rng.choice(list("abcdefghij"), size=rng.integers(1, 9))) for _ in range(size)],
        dtype=object,
    )
    return rows, rng.integers(0, 3, size)


@pytest.mark.parametrize(
    "kind", ["XGBClassifier", "XGBRFClassifier", "XGBRegressor", "XGBRFRegressor"]
)
@pytest.mark.parametrize("vectorizer", [CountVectorizer, TfidfVectorizer])
def test_xgboost_reads_zeros_of_a_sparse_matrix_as_missing(kind, vectorizer):
    rows, y = texts()
    steps = (
        vectorizer(token_pattern=r"(?u)\b\w+\b"),
        MaxAbsScaler(),
        getattr(xgboost, kind)(n_estimators=5),
    )
    pipeline = make_pipeline(*steps).fit(rows, y)
    assert_agrees(pipeline, rows, **XGB)


@pytest.mark.parametrize("sparse_threshold", [0.0, 1.0])
def test_xgboost_reads_zeros_as_missing_only_from_sparse_columns(
    sparse_threshold,
):
    rng = np.random.default_rng(4)
    table = pd.DataFrame(
        {"a": rng.integers(-2, 3, 400).astype(float), "b": rng.choice(["x", "y", "z"], 400)}
    )
    y = (table.a.abs() + (table.b == "x") > 1).astype(int)
    columns = [("a", "passthrough", ["a"]), ("b", OneHotEncoder(), ["b"])]
    model = xgboost.XGBClassifier(n_estimators=5)
    pipeline = make_pipeline(
        ColumnTransformer(columns, sparse_threshold=sparse_threshold), model
    ).fit(table, y)
    assert pipeline[0].sparse_output_ == bool(sparse_threshold)
    assert_agrees(pipeline, table, **XGB)


@pytest.mark.parametrize("encode", ["onehot", "onehot-dense"])
def test_xgboost_after_bins_agrees(encode):
    rows = np.random.default_rng(5).integers(-3, 9, (300, 4)).astype("float32")
    bins = KBinsDiscretizer(4, encode=encode, strategy="uniform")
    assert_agrees(
        make_pipeline(bins, xgboost.XGBRFClassifier(n_estimators=5)).fit(
            rows, rows.sum(axis=1) > 9
        ),
        rows,
        **XGB,
    )


@pytest.mark.parametrize("model", [xgboost.XGBClassifier, xgboost.XGBRFClassifier])
@pytest.mark.parametrize("missing", [-1.0, 0.0, 1.0, 0.1])
def test_values_that_xgboost_takes_as_missing_agree(missing, model):
    rng = np.random.default_rng(0)
    rows = rng.integers(-2, 3, (500, 4)).astype("float32")
    rows[rng.random(rows.shape) < 0.1] = np.float32(0.1)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    fitted = model(n_estimators=8, missing=missing).fit(rows, rng.integers(0, 2, 500))
    assert_agrees(fitted, rows, **XGB)


def test_xgboost_dart_agrees():
    params = {"n_estimators": 20, "booster": "dart", "rate_drop": 0.3}
    model = xgboost.XGBClassifier(**params).fit(CANCER, MALIGNANT)
    assert_agrees(model, CANCER.astype("float32"), **XGB)
    model = xgboost.XGBClassifier(**params).fit(HOLES, CULTIVAR)
    assert_agrees(model, HOLES.astype("float32"), **XGB)


@pytest.mark.parametrize("base", [None, 0.25])
def test_the_sums_of_dart_have_the_same_bits(base):
    params = {"n_estimators": 30, "booster": "dart", "rate_drop": 0.2, "base_score": base}
    model = xgboost.XGBRegressor(**params).fit(DIABETES, PROGRESS)
    rows = DIABETES.astype("float32")
    assert np.array_equal(run(model, rows)["prediction"].ravel(), model.predict(rows))


def test_xgboost_stops_at_its_best_iteration():
    model = xgboost.XGBClassifier(n_estimators=40, early_stopping_rounds=2)
    model.fit(
        CANCER[::2], MALIGNANT[::2], eval_set=[(CANCER[1::2], MALIGNANT[1::2])], verbose=False
    )
    assert model.best_iteration < 39
    assert_agrees(model, CANCER.astype("float32"), **XGB)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"booster": "gblinear"}, "'gblinear' is not supported"),
        ({"objective": "binary:hinge"}, "'binary:hinge' is not supported"),
    ],
    ids=str,
)
def test_unsupported_xgboost_options_are_refused(params, reason):
    model = xgboost.XGBClassifier(n_estimators=3, **params).fit(CANCER, MALIGNANT)
    with pytest.raises(NotConvertible, match=reason):
        to_graph(model, [("X", "float32", 30)], precision="float32")


@pytest.mark.parametrize("largest_one_hot", [1, 100])
@pytest.mark.parametrize("model", [xgboost.XGBRegressor, xgboost.XGBRFRegressor])
def test_xgboost_categories_of_text_agree(model, largest_one_hot):
    rows, y = frame()
    rows = rows.assign(city=rows["city"].mask(rows["x"] > 1).astype("category"))
    rows.loc[rows["x"] < -1, "x"] = np.nan
    params = {"n_estimators": 8, "enable_categorical": True, "max_cat_to_onehot": largest_one_hot}
    fitted = model(**params).fit(rows, y + rows["code"])
    assert_agrees(fitted, rows, **XGB)
    # XGBoost numbers the categories of new rows as in training.
    fresh = rows[::-1].iloc[:150].copy()
    fresh["city"] = pd.Categorical(fresh["city"].astype(object), list("gfeda"))
    assert_agrees(fitted, fresh, **XGB)


@pytest.mark.parametrize("missing", [np.nan, -1.0])
def test_xgboost_categories_that_are_numbers_agree(missing):
    rng = np.random.default_rng(0)
    rows = np.c_[rng.integers(0, 40, 500), rng.normal(size=500)]
    y = np.isin(rows[:, 0], [1, 5, 9, 31, 33]) ^ (rows[:, 1] > 0)
    rows[:50, 0] = missing
    kinds = {"feature_types": ["c", "q"], "enable_categorical": True, "max_cat_to_onehot": 1}
    model = xgboost.XGBClassifier(n_estimators=8, missing=missing, **kinds).fit(rows, y)
    odd = [-0.0, -0.5, -1, 2.5, 39, 39.99, 40, 1e9, 2.0**24, 2.0**31, 3e38, np.nan]
    assert_agrees(model, np.c_[odd, np.zeros(len(odd))], **XGB)
    assert_agrees(model, rows, **XGB)


def test_xgboost_categories_that_cannot_be_told_apart_are_refused():
    inputs = [("city", "string", 1), ("x", "float64", 1)]
    rows, y = frame()
    rows = rows[["city", "x"]]
    params = {"n_estimators": 3, "enable_categorical": True}

    def fitted(city, **options):
        table = rows.assign(city=city.astype("category"))
        return xgboost.XGBClassifier(**params, **options).fit(table, y)

    with pytest.raises(NotConvertible, match="categories that are not ASCII"):
        to_graph(fitted(rows["city"].replace("a", "é")), inputs)
    with pytest.raises(NotConvertible, match="missing=2 is also the number of a category"):
        to_graph(fitted(rows["city"], missing=2), inputs)
    codes = xgboost.XGBClassifier(feature_types=["c", "q"], **params)
    codes.fit(np.c_[np.arange(len(y)) % 7, rows["x"]], y)
    with pytest.raises(NotConvertible, match="the categories of its columns of text"):
        to_graph(codes, inputs)


BOOSTERS = {
    "reg:squarederror": {},
    "reg:logistic": {},
    "reg:gamma": {},
    "reg:quantileerror": {"quantile_alpha": [0.2, 0.8]},
    "count:poisson": {"booster": "dart", "rate_drop": 0.3},
    "binary:logistic": {"base_score": 0.2},
    "binary:logitraw": {},
    "multi:softprob": {"num_class": 3},
    "multi:softmax": {"num_class": 3},
    "rank:ndcg": {},
}


@pytest.mark.parametrize("objective", BOOSTERS)
def test_boosters_of_xgboost_agree(objective):
    y = {"m": CULTIVAR, "b": CULTIVAR > 0, "c": CULTIVAR}.get(objective[0], (CULTIVAR + 1) / 4)
    y = CULTIVAR if objective.startswith("rank") else y
    data = xgboost.DMatrix(HOLES, y)
    if objective.startswith("rank"):
        data.set_group([10] * 17 + [8])
    params = {"objective": objective, "max_depth": 3} | BOOSTERS[objective]
    booster = xgboost.train(params, data, 10)
    assert_agrees(booster, HOLES.astype("float32"), **XGB)


def test_a_booster_of_xgboost_answers_with_all_trees():
    data = xgboost.DMatrix(CANCER[::2], MALIGNANT[::2])
    others = [(xgboost.DMatrix(CANCER[1::2], MALIGNANT[1::2]), "others")]
    booster = xgboost.train(
        {"objective": "binary:logistic"}, data, 60, others, early_stopping_rounds=3, verbose_eval=0
    )
    assert booster.best_iteration < booster.num_boosted_rounds() - 1
    assert_agrees(booster, CANCER.astype("float32"), **XGB)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"booster": "gblinear"}, "'gblinear' is not supported"),
        ({"objective": "binary:hinge"}, "'binary:hinge' is not supported"),
        ({"objective": "survival:cox"}, "'survival:cox' is not supported"),
    ],
    ids=str,
)
def test_unsupported_boosters_of_xgboost_are_refused(params, reason):
    booster = xgboost.train(params, xgboost.DMatrix(CANCER, MALIGNANT), 3)
    with pytest.raises(NotConvertible, match=reason):
        to_graph(booster, [("X", "float32", 30)], precision="float32")


def test_boosting_inside_stacking_and_voting_agrees():
    inner = [("l", lightgbm.LGBMClassifier(**QUICK)), ("x", xgboost.XGBClassifier(n_estimators=5))]
    model = make_pipeline(
        StandardScaler(), StackingClassifier(inner, LogisticRegression(max_iter=50), cv=2)
    ).fit(CANCER, MALIGNANT)
    assert differences(model, CANCER, "float64")["probabilities"] < 1e-5
    voting = VotingRegressor(
        [("l", lightgbm.LGBMRegressor(**QUICK)), ("r", Ridge())], weights=[2, 1]
    ).fit(DIABETES, PROGRESS)
    assert_agrees(voting, DIABETES.astype("float32"))
