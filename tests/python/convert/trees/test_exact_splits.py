"""Functions whose last digits depend on the library, before steps that compare with thresholds.

Few rows are exported, so that no comparison of answers can find what is wrong. The rows that are
asked lie at the numbers that were fitted, and one step of the type beside them.
"""

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall.exporting import StepError
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

RNG = np.random.default_rng(0)
# More than 255 numbers, so that histogram gradient boosting has thresholds that are among them.
FRAME = pd.DataFrame(
    {"price": RNG.integers(1, 20000, 1500) + 0.0, "size": RNG.gamma(2, 50, 1500).round(2) + 0.01}
)
TARGET = np.log(FRAME.price) * FRAME["size"] ** 0.3 + RNG.normal(0, 0.1, len(FRAME))


def boosting():
    return HistGradientBoostingRegressor(max_iter=12, random_state=0)


def forest():
    return RandomForestRegressor(3, random_state=0, n_jobs=1)


def check(model, folder, frame=FRAME):
    """Fits a pipeline, exports it with five rows, and compares rows at and beside each number."""
    model.fit(frame, TARGET)
    path = folder / "model.onnx"
    sidecall.export(model, path, frame[:5], progress=False)
    up, down = (
        frame.apply(lambda column, end=end: np.nextafter(column, column.dtype.type(end)))
        for end in (np.inf, -np.inf)
    )
    for engine in ("native", "onnxruntime"):
        exported = sidecall.open(path, engine=engine)
        for rows in (frame, up, down):
            expected = model.predict(rows)
            got = exported.predict(rows)["prediction"]
            np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-9)


FUNCTIONS = {
    "log1p": np.log1p,
    "expm1": lambda d: np.expm1(-d / 5000),
    "falling": lambda d: 3.0 - np.log10(d) * 2.0,
    "power": lambda d: d**1.3,
    "falling power": lambda d: d**-1.3,
    "tanh": lambda d: d.assign(price=np.tanh(d.price / 9000)),
    "of a condition": lambda d: d.assign(price=np.where(d.price > 50, np.log(d.price), 0.0)),
    "of itself": lambda d: d + np.log1p(d),
    "rounded mixture": lambda d: d.assign(r=np.round(np.log(d.price) - np.log(d["size"]), 6)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_boosting_splits_at_the_numbers_that_the_original_function_gives(name, tmp_path):
    check(make_pipeline(FunctionTransformer(FUNCTIONS[name]), boosting()), tmp_path)


STEPS = {
    "scaled": lambda: [FunctionTransformer(np.log1p), StandardScaler(), MinMaxScaler()],
    "power transform": lambda: [PowerTransformer()],
    "box-cox": lambda: [PowerTransformer("box-cox", standardize=False)],
    "bins": lambda: [FunctionTransformer(np.log1p), KBinsDiscretizer(20, encode="ordinal")],
    "binary": lambda: [FunctionTransformer(np.log), Binarizer(threshold=np.log(FRAME.price[3]))],
}


@pytest.mark.parametrize("name", STEPS)
def test_a_chain_of_steps_is_one_function(name, tmp_path):
    check(make_pipeline(*STEPS[name](), boosting()), tmp_path)


@pytest.mark.parametrize("last", [forest, lambda: GradientBoostingRegressor(n_estimators=8)])
def test_trees_that_round_to_float32_split_alike(last, tmp_path):
    check(make_pipeline(FunctionTransformer(np.log1p), last()), tmp_path)
    check(make_pipeline(QuantileTransformer(n_quantiles=50), last()), tmp_path)


def test_functions_of_float32_split_alike(tmp_path):
    model = make_pipeline(FunctionTransformer(np.log1p), boosting())
    check(model, tmp_path, FRAME.astype("float32"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_missing_numbers_and_those_without_a_logarithm_take_the_same_branch(tmp_path):
    frame = FRAME - 40.0
    frame.loc[::7, "price"] = np.nan
    logarithm = FunctionTransformer(np.log)
    check(make_pipeline(logarithm, boosting()), tmp_path, frame)
    check(make_pipeline(FunctionTransformer(lambda d: d**1.7), boosting()), tmp_path, frame)
    filled = SimpleImputer(strategy="median")
    frame = frame.replace(0.0, 1.0)
    check(make_pipeline(logarithm, filled, boosting()), tmp_path, frame)


REFUSED = {
    "several columns": [
        FunctionTransformer(lambda d: pd.DataFrame({"r": np.log(d.price) - np.log(d["size"])}))
    ],
    "not monotone": [FunctionTransformer(lambda d: np.sin(d / 1000))],
    "a product of matrices": [FunctionTransformer(np.log1p), StandardScaler(), PCA(2)],
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("rows", [5, 1000])
def test_boosting_of_other_last_digits_is_refused_whatever_the_number_of_rows(name, rows, tmp_path):
    model = make_pipeline(*REFUSED[name], boosting()).fit(FRAME, TARGET)
    with pytest.raises(StepError, match=r"the last digits of these results differ.*np\.round"):
        sidecall.export(model, tmp_path / "model.onnx", FRAME[:rows], progress=False)


@pytest.mark.parametrize("name", REFUSED)
def test_thresholds_between_numbers_need_no_last_digits(name, tmp_path):
    model = make_pipeline(*REFUSED[name], forest()).fit(FRAME, TARGET)
    sidecall.export(model, tmp_path / "model.onnx", FRAME[:5], progress=False)
    got = sidecall.open(tmp_path / "model.onnx").predict(FRAME)["prediction"]
    np.testing.assert_allclose(np.asarray(got), model.predict(FRAME), rtol=1e-9)


def test_a_projection_of_exact_numbers_before_boosting_is_exported(tmp_path):
    check(make_pipeline(StandardScaler(), PCA(2), boosting()), tmp_path)


@pytest.mark.parametrize(
    "function", [np.sqrt, np.square, np.log1p, np.exp, np.reciprocal, np.deg2rad, np.rad2deg]
)
@pytest.mark.parametrize("singles", [["price"], ["price", "size"]])
def test_a_function_computes_each_column_in_its_own_type(function, singles, tmp_path):
    rows = FRAME / 100 + 0.1
    rows = rows.astype(dict.fromkeys(singles, "float32"))
    check(make_pipeline(FunctionTransformer(function), boosting()), tmp_path, rows)


def spline(extrapolation, degree, function=np.log1p, n_knots=7):
    return make_pipeline(
        FunctionTransformer(function),
        SplineTransformer(n_knots, degree=degree, knots="quantile", extrapolation=extrapolation),
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("degree", [0, 1, 3])
@pytest.mark.parametrize("extrapolation", ["continue", "constant", "linear", "periodic"])
def test_splines_jump_at_the_numbers_that_the_original_function_gives(
    extrapolation, degree, dtype, tmp_path
):
    numbers = np.repeat([1.0, 3.0, 12.5, 99.0, 1000.0, 5000.0], [9, 4, 30, 15, 40, 5])
    frame = pd.DataFrame({"a": numbers, "b": numbers[::-1] + 6, "c": numbers**0.5}).astype(dtype)
    model = spline(extrapolation, degree, n_knots=15 if degree == 3 else 7).fit(frame)
    knots = [np.unique(basis.t, return_counts=True)[1] for basis in model[-1].bsplines_]
    assert max(counts.max() for counts in knots) > max(degree, 1)
    path = tmp_path / "model.onnx"
    sidecall.export(model, path, frame[:5], progress=False)
    rows = [frame.drop_duplicates(), frame[::7] * 1.5, frame[::7] / 1.5]
    for end in (np.inf, -np.inf):
        beside = rows[0]
        for _ in range(3):
            beside = beside.apply(lambda c, end=end: np.nextafter(c, c.dtype.type(end)))
            rows.append(beside)
    rows = pd.concat(rows, ignore_index=True)
    if (extrapolation, degree) == ("constant", 0):  # scikit-learn fails above the last knot
        last = [basis.t[-1] for basis in model[-1].bsplines_]
        rows = rows[(model[0].transform(rows) <= last).all(axis=1)]
    tolerance = 1e-8 if dtype == "float64" else 1e-5
    for engine in ("native", "onnxruntime"):
        got = sidecall.open(path, engine=engine).predict(rows)
        expected = model.transform(rows)
        np.testing.assert_allclose(np.asarray(got), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rows", [5, 300])
def test_splines_that_jump_after_a_function_that_rises_and_falls_are_refused(rows, tmp_path):
    frame = pd.DataFrame({"a": np.repeat([1.0, 2.0, 3.0, 5.0], 100)})
    model = spline("continue", 1, np.sin).fit(frame)
    with pytest.raises(StepError, match=r"results of np\.sin.*last digits.*np\.round"):
        sidecall.export(model, tmp_path / "model.onnx", frame[:rows], progress=False)
    rounded = spline("continue", 1, lambda d: np.round(np.sin(d), 6)).fit(frame)
    sidecall.export(rounded, tmp_path / "model.onnx", frame[:rows], progress=False)
    smooth = spline("continue", 1, np.sin).fit(pd.DataFrame({"a": np.arange(1.0, 40.0)}))
    sidecall.export(smooth, tmp_path / "model.onnx", frame[:rows], progress=False)


def test_periodic_knots_that_differ_in_their_last_digits_are_refused(tmp_path):
    frame = pd.DataFrame({"b": np.repeat([3.0, 7.0, 1000.0, 30.0], 100)})
    model = spline("periodic", 3, np.log10).fit(frame)
    assert np.diff(model[-1].bsplines_[0].t).min() < 0
    with pytest.raises(StepError, match=r"knots differ only in their last digits.*np\.round"):
        sidecall.export(model, tmp_path / "model.onnx", frame[:5], progress=False)
