"""Comparisons and whole parts of functions whose last digits depend on the library.

The rows that are asked lie where the original's result crosses a constant or a whole number, and
up to three steps of the type beside them.
"""

import numpy as np
import pandas as pd
import pytest
import sidecall
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

FUNCTIONS = {
    "log10": np.log10,
    "log2": np.log2,
    "log1p": np.log1p,
    "tanh": lambda d: np.tanh(d / 100) * 3,
    "power": lambda d: d**1.5,
    "falling": lambda d: 2 - np.log10(d),
}
STEPS = {
    ">": lambda r: r > 3,
    ">=": lambda r: r >= 3,
    "<": lambda r: r < 3,
    "<=": lambda r: r <= 3,
    "==": lambda r: r == 2,
    "!=": lambda r: r != 2,
    "mirrored": lambda r: np.less(2.5, r),
    "np.where": lambda r: np.where(r >= 2, r, 0.0),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "sign": lambda r: np.sign(r - 2),
    "//": lambda r: r // 1,
    "// below 0": lambda r: r // -2,
    "%": lambda r: r % 1,
    "% below 0": lambda r: r % -2,
}
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RNG.uniform(1, 5000, 50), "b": RNG.uniform(1, 5000, 50)})


def crossings(function, dtype):
    """Numbers at which the function crosses -3, -2.5, ..., 12, and the three numbers beside each.

    Each number is found by bisection, as where the original's own function crosses.
    """
    low, high = np.array(0.5, dtype), np.array(30000.0, dtype)
    rising = function(low) <= function(high)
    found = [10.0**k for k in range(5)]
    for target in np.arange(-3.0, 12.5, 0.5):
        below, above = low, high
        for _ in range(80):
            middle = (below + above) / dtype(2)
            if (function(middle) >= target) == rising:
                above = middle
            else:
                below = middle
        found.append(above)
    numbers = [np.unique(np.array(found, dtype))]
    for end in (np.inf, -np.inf):
        beside = numbers[0]
        for _ in range(3):
            beside = np.nextafter(beside, dtype(end))
            numbers.append(beside)
    return np.concatenate(numbers)


def check(model, folder, rows):
    path = folder / "model.onnx"
    sidecall.export(model, path, rows[:5], progress=False)
    expected = np.asarray(model.transform(rows), "float64")
    tolerance = 1e-8 if set(map(str, rows.dtypes)) == {"float64"} else 1e-5
    for engine in ("native", "onnxruntime"):
        got = np.asarray(sidecall.open(path, engine=engine).predict(rows), "float64")
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_last_digits_do_not_decide(name, step, dtype, tmp_path):
    function, then = FUNCTIONS[name], STEPS[step]
    numbers = crossings(function, dtype)
    rows = pd.DataFrame({"a": numbers, "b": numbers[::-1]})
    model = FunctionTransformer(lambda d: then(function(d)) * 1.0).fit(rows)
    check(model, tmp_path, rows)


def test_columns_with_other_constants_and_functions_are_each_exact(tmp_path):
    def steps(d):
        return d.assign(
            c=np.floor(np.log10(d.a)) + (np.log1p(d.b) > np.log1p(1000.0)),
            d=np.where(np.log10(d.a) >= 3, np.log10(d.a), 0.0),
            e=(np.floor(np.log2(d.b)) % 3 < 1) * 1.0,
        )[["c", "d", "e"]]

    numbers = np.concatenate([crossings(f, np.float64) for f in (np.log10, np.log2, np.log1p)])
    rows = pd.DataFrame({"a": numbers, "b": numbers[::-1]})
    check(FunctionTransformer(steps).fit(rows), tmp_path, rows)
    array = FunctionTransformer(lambda d: (np.log10(d.values) >= np.array([2.0, 3.0])) * 1.0)
    check(array.fit(rows), tmp_path, rows)
    ufuncs = make_pipeline(FunctionTransformer(np.log10), FunctionTransformer(np.floor))
    check(ufuncs.fit(rows), tmp_path, rows)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("step", STEPS)
def test_numbers_without_a_result_answer_as_in_numpy(step, tmp_path):
    values = [np.nan, -1.0, -0.0, 0.0, 5e-324, 1.0, 100.0, 1000.0, 1.7e308]
    rows = pd.DataFrame({"a": values, "b": values[::-1]})
    then = STEPS[step]
    model = FunctionTransformer(lambda d: np.maximum(then(np.log10(d)) * 1.0, -400.0)).fit(rows)
    check(model, tmp_path, rows)
    filled = FunctionTransformer(lambda d: then(np.log10(d.clip(1e-3, 1e9).fillna(1000.0))) * 1.0)
    check(filled.fit(rows), tmp_path, rows)


@pytest.mark.parametrize("function", [np.exp, np.sin, lambda d: np.log(d.sum(axis=1)).to_frame()])
@pytest.mark.parametrize("step", STEPS)
def test_functions_without_splits_are_still_exported(function, step, tmp_path):
    then = STEPS[step]
    model = FunctionTransformer(lambda d: then(function(d / 700)) * 1.0).fit(FRAME)
    check(model, tmp_path, FRAME)


def test_boosting_after_whole_parts_splits_alike(tmp_path):
    def whole_and_rest(d):
        logarithm = np.log10(d)
        return np.where(logarithm > 2, np.floor(logarithm) + logarithm, 0.0)

    numbers = crossings(np.log10, np.float64)
    rows = pd.DataFrame({"a": numbers, "b": numbers[::-1]})
    model = make_pipeline(
        FunctionTransformer(whole_and_rest), HistGradientBoostingRegressor(min_samples_leaf=2)
    ).fit(rows, numbers)
    sidecall.export(model, tmp_path / "model.onnx", rows[:5], progress=False)
    for engine in ("native", "onnxruntime"):
        got = sidecall.open(tmp_path / "model.onnx", engine=engine).predict(rows)["prediction"]
        np.testing.assert_allclose(np.asarray(got), model.predict(rows), rtol=1e-9)
