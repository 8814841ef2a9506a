"""Functions of FunctionTransformer that are traced: the graph computes what numpy and pandas do."""

import numpy as np
import pandas as pd
import pytest
from convert_harness import layout, run_graph, run_graph_natively
from sidecall.convert import NotConvertible, to_graph
from sidecall.convert.checks import Checks, Range
from sklearn.preprocessing import FunctionTransformer

HARD = [0.0, -0.0, 1.0, -1.0, 0.3, 7.0, -7.0, 6.999999999999999, 2.5, 1e300, 1e-310]
HARD += [np.inf, -np.inf, np.nan]
NUMBERS = np.array(
    [[a, b, c] for a in HARD for b, c in zip(HARD, HARD[3:] + HARD[:3], strict=True)]
)
WHOLE = np.array([[-8, 0, 3], [7, -1, 2], [0, 14, -14], [100, -100, 6]])
FRAME = pd.DataFrame(
    {
        "a": [1.5, -2.0, np.nan, 0.0],
        "b": [0.5, np.nan, 3.0, -1.0],
        "n": [3, -8, 0, 14],
        "s": ["x", "y", "zé", "x"],
        "f": [True, False, True, True],
    }
)
MIXED = FRAME[["a", "b", "n"]]

ARRAY_FUNCTIONS = {
    "arithmetic": lambda x: 2 * x + 1 - x / 3,
    "columns": lambda x: np.column_stack([x[:, 0] / x[:, 1], x[:, 2] * x[:, 0]]),
    "columns beside": lambda x: np.hstack([x, x[:, [0]] - x[:, [1]]]),
    "concatenate": lambda x: np.concatenate([x[:, 2:], x[:, :1]], axis=1),
    "stack": lambda x: np.stack([x[:, 0], x[:, -1]], axis=1),
    "reversed": lambda x: x[:, ::-1],
    "sum": lambda x: x.sum(axis=1, keepdims=True),
    "mean": lambda x: np.mean(x, axis=1).reshape(-1, 1),
    "largest": lambda x: np.max(x, axis=1)[:, None],
    "smallest": lambda x: np.expand_dims(x.min(axis=1), 1),
    "where": lambda x: np.where(x > 0.3, x, -1),
    "nested where": lambda x: np.where((x >= 0) & ~(x == 1), np.sqrt(np.abs(x)), x * 0 + 5),
    "clip": lambda x: np.clip(x, -1, 1.5),
    "clip from below": lambda x: x.clip(min=0),
    "round": lambda x: np.round(x, 1),
    "comparison": lambda x: (x > 0.3).astype(float),
    "comparison of bools": lambda x: ((x > 0) < (x < 7)) * 2,
    "remainder": lambda x: x % 7,
    "remainder of a negative number": lambda x: x % -2.5,
    "floor division": lambda x: x // 0.3,
    "logic": lambda x: np.logical_or(x, x > 0) ^ np.logical_not(x),
    "fmax": lambda x: np.fmax(x, 0.5) + np.fmin(x, 2.0),
    "constants for each column": lambda x: np.maximum(x, [0, 1, 2]),
    "tests": lambda x: np.isnan(x) | np.isfinite(x),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "shape": lambda x: (x * 2).reshape((x.shape[0], x.shape[1])),
    "isinstance": lambda x: -x if isinstance(x, np.ndarray) else x,
    "isin": lambda x: np.isin(x, [1.0, 7]),
}
FRAME_FUNCTIONS = {
    "assign": lambda df: df.assign(r=df["a"] / df["b"], q=lambda d: d.r * 2),
    "set a column": lambda df: _with_column(df),
    "choose": lambda df: df[["n", "a"]] * 2,
    "attribute": lambda df: df.a.to_frame("a"),
    "drop": lambda df: df.drop(columns="n"),
    "rename": lambda df: df.rename(columns={"a": "z"}),
    "loc and iloc": lambda df: df.loc[:, ["b", "a"]].iloc[:, 1:] > 0,
    "missing": lambda df: df.isna().astype(float),
    "fillna": lambda df: df.fillna(0),
    "apply": lambda df: df.apply(np.square),
    "ufunc": lambda df: np.log1p(df.abs()),
    "values": lambda df: df.values * 2,
    "clip": lambda df: df.clip(lower=0),
    "sum without missing": lambda df: df.assign(s=df.sum(axis=1), m=df.mean(axis=1)),
    "largest without missing": lambda df: df.assign(s=df.max(axis=1), m=df.min(axis=1))[["s", "m"]],
    "whole numbers": lambda df: df.assign(d=df["n"] // 7, r=df["n"] % -7, p=df.n**3, q=df.n / 3),
    "constant": lambda df: df.assign(c=1.5)[["c"]],
    "between": lambda df: df.assign(
        p=df["a"].between(-2, 0), q=df.b.between(df.a, 1.0, inclusive="left")
    )[["p", "q"]],
    "map": lambda df: df.assign(
        p=df["n"].map({3: 1, -8: 2, 0: -3, 14: 4}), q=df.n.map({3: 0.1}), r=df.a.map({0: 7})
    )[["p", "q", "r"]],
    "map of floats": lambda df: df["a"].map({0.0: 7, 3.0: 0.5}).to_frame(),
    "shape": lambda df: np.ravel(df["a"])[:, None] + np.reshape(df["n"], (-1, 1)),
}
TEXT_FUNCTIONS = {
    "equal": lambda df: (df[["s"]] == "x").astype(int),
    "where": lambda df: df.assign(g=np.where(df["s"] != "zé", 1, 2))[["g"]],
    "isin": lambda df: df["s"].isin(["x", "y"]).to_frame(),
    "bool": lambda df: df[["f"]] * 2,
    "choice of bools": lambda df: np.where(df[["f"]], False, ~df[["f"]]),
    "map of text": lambda df: df["s"].map({"x": 1, "zé": 2}).to_frame(),
    "map of bools": lambda df: df["f"].map({True: 0.5, False: -1}).to_frame(),
    "map to text": lambda df: (df["s"].map({"x": "u", "zé": "v", "y": "u"}) == "u").to_frame(),
}


def _with_column(frame):
    frame = frame.copy()
    frame["c"] = frame["a"] - 1
    return frame


def check(function, data):
    """Compares the graph with the function on both engines, bit for bit except for NaN."""
    with np.errstate(all="ignore"):
        expected = np.asarray(FunctionTransformer(function).fit_transform(data))
    model = FunctionTransformer(function).fit(data)
    inputs, feeds = layout(data)
    steps = {id(model): "float32" if expected.dtype == np.float32 else "float64"}
    examples = {id(model): data.iloc[:1] if hasattr(data, "iloc") else data[:1]}
    graph = to_graph(model, inputs, precision="float64", steps=steps, examples=examples)
    for engine in (run_graph, run_graph_natively):
        got = engine(graph, feeds)["transformed"]
        np.testing.assert_allclose(got, expected.astype(got.dtype), rtol=4e-16, atol=0)


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
@pytest.mark.parametrize("data", [NUMBERS, NUMBERS.astype("float32")], ids=["float64", "float32"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_arrays_agree(name, data):
    check(ARRAY_FUNCTIONS[name], data)


@pytest.mark.parametrize(
    "name", ["arithmetic", "sum", "where", "remainder", "comparison", "clip", "isin", "shape"]
)
def test_functions_of_whole_numbers_agree(name):
    check(ARRAY_FUNCTIONS[name], WHOLE)


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (np.log10, [10.0**k for k in range(-3, 16)]),
        (np.log2, [2.0**k for k in range(-20, 60)]),
        # numpy's cbrt of a cube is a whole number on some processors only, so it is left out.
        (np.exp2, [float(k) for k in range(-30, 40)]),
    ],
)
def test_whole_results_may_be_rounded_down_next(function, numbers):
    x = np.array([numbers]).T
    check(lambda x: np.floor(function(x)), x)


def test_the_cosine_of_a_large_number_agrees():
    x = np.array([[2.0**53], [-(2.0**63)], [1e5], [0.5], [-3.0]]) / 24 * 2 * np.pi
    model = FunctionTransformer(np.cos).fit(x)
    inputs, feeds = layout(x)
    graph = to_graph(model, inputs, precision="float64")
    for engine in (run_graph, run_graph_natively):
        got = engine(graph, feeds)["transformed"]
        np.testing.assert_allclose(got, np.cos(x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", FRAME_FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_frames_agree(name):
    check(FRAME_FUNCTIONS[name], MIXED)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers_have_the_shorter_ways_of_numpy():
    check(lambda x: x**0.5, NUMBERS)
    check(lambda x: x**2 + x**-1.0, NUMBERS)
    check(lambda df: np.isnan(df**0.5), MIXED.astype(float))


def traced(function, data, ranges):
    """The graph of a function of a DataFrame whose columns are float64 tensors in the file."""
    model = FunctionTransformer(function).fit(data)
    checks = Checks(inputs=ranges)
    inputs = [(name, "float64", 1) for name in data.columns]
    examples = {id(model): data.iloc[:1]}
    graph = to_graph(model, inputs, precision="float64", steps={}, examples=examples, checks=checks)
    return lambda **columns: run_graph(
        graph,
        {name: np.array(values, "float64").reshape(-1, 1) for name, values in columns.items()},
    )


def test_integers_that_cannot_be_missing_wrap_around_as_in_numpy():
    data = pd.DataFrame({"n": [1, 2, 3]})
    run = traced(lambda df: df * df, data, {"n": Range.of(-np.inf, np.inf, False, 1)})
    values = [4_000_000_000, -7, 2**53 - 1]
    got = run(n=values)
    np.testing.assert_array_equal(got["transformed"].ravel(), np.array(values) * np.array(values))
    # A double of 2^53 also stands for the integer 2^53 + 1.
    np.testing.assert_array_equal(run(n=[2.0**54, 2.0**53, -(2.0**53), 1])["refused"], [1, 1, 1, 0])


def test_integers_that_may_be_missing_are_refused_where_doubles_are_not_exact():
    data = pd.DataFrame({"n": [1, 2, 3]})
    run = traced(lambda df: df * df, data, {"n": Range.of(-np.inf, np.inf, True, 1)})
    got = run(n=[3, np.nan, 94_906_265, 94_906_267])
    np.testing.assert_array_equal(got["transformed"].ravel()[:2], [9, np.nan])
    np.testing.assert_array_equal(got["refused"], [0, 0, 0, 1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.column_stack([x[:, 0] * x[:, 1], x[:, 1]]),
        lambda x: x[:, [0]] * x[:, [1]],
        lambda x: np.max(x, axis=1)[:, None] * x[:, [0]],
        lambda x: np.round(x)[:, [0]] * x[:, [1]],
    ],
)
def test_columns_of_an_array_of_integers_stay_integers(function):
    data = np.array([[1, 2], [3, 4]])
    model = FunctionTransformer(function).fit(data)
    graph = to_graph(
        model,
        [("X", "float64", 2)],
        precision="float64",
        steps={},
        examples={id(model): data[:1]},
        checks=Checks(inputs={"X": Range.of(-np.inf, np.inf, True, 2)}),
    )
    rows = np.array([[3.0, 5.0], [4e9, 4e9], [np.nan, 1.0]])
    got = run_graph(graph, {"X": rows})
    assert got["refused"].tolist()[:2] == [0, 1]
    assert got["transformed"][0, 0] == 15


@pytest.mark.parametrize(
    "function", [lambda df: df.isin([2**53 + 1]), lambda df: df == 2**53 + 1, lambda df: df * 2**53]
)
def test_constants_that_a_double_does_not_hold_are_refused(function):
    data = pd.DataFrame({"n": [1, 2, 3]})
    with pytest.raises(NotConvertible, match="whole numbers from 2\\^53"):
        traced(function, data, {"n": Range.of(-np.inf, np.inf, True, 1)})


def test_bools_that_may_be_missing_can_be_filled_and_asked_for():
    data = pd.DataFrame({"f": [True, False]})
    ranges = {"f": Range.of(0, 1, True, 1)}
    run = traced(lambda df: df.assign(g=df.f.isna(), f=df.f.fillna(True)) * 1, data, ranges)
    np.testing.assert_array_equal(run(f=[1, 0, np.nan])["transformed"], [[1, 0], [0, 0], [1, 1]])
    for function in (
        lambda df: df * 2,
        lambda df: ~df,
        lambda df: df.assign(g=np.where(df.f, 1, 0)),
    ):
        with pytest.raises(NotConvertible, match="a bool column that may be missing"):
            traced(function, data, ranges)


@pytest.mark.parametrize("name", TEXT_FUNCTIONS)
def test_functions_of_text_and_bools_agree(name):
    check(TEXT_FUNCTIONS[name], FRAME[["f"]] if "bool" in name else FRAME[["s"]])


@pytest.mark.parametrize(
    ("function", "data", "reason"),
    [
        (lambda x: x - x.mean(axis=0), WHOLE, "it combines the values of several rows"),
        (lambda x: x[:2], WHOLE, "it chooses rows"),
        (lambda x: x if (x > 0).any() else -x, WHOLE, "it uses .any"),
        (lambda x: x if x[:, 0] > 0 else -x, WHOLE, "values in a condition (use np.where)"),
        (lambda x: len(x) * x, WHOLE, "the number of rows"),
        (lambda x: np.array(list(x)), WHOLE, "a loop over rows"),
        (lambda x: np.c_[x, x], WHOLE, "needs the values"),
        (lambda x: x + len(str(x)), WHOLE, "the text of its values"),
        (lambda x: x + len(f"{x}"), WHOLE, "the text of its values"),
        (lambda x: np.sort(x, axis=1), WHOLE, "numpy.sort, which is not supported"),
        (lambda x: np.linalg.norm(x, axis=1), WHOLE, "numpy.linalg.norm"),
        (lambda x: np.arctan2(x, x), WHOLE, "numpy.arctan2, which is not supported"),
        (lambda x: np.add.reduce(x, axis=1)[:, None], WHOLE, "np.add.reduce"),
        (lambda x: x.T, WHOLE, "it uses .T"),
        (lambda x: x + np.ones((4, 1)), WHOLE, "a number for each row"),
        (lambda x: x // x, WHOLE, "a divisor that is not one number other than 0"),
        (lambda x: x % 0, WHOLE, "a divisor that is not one number other than 0"),
        (lambda x: x**x, WHOLE, "a power other than 1 to 8"),
        (lambda x: x & 1, WHOLE, "combines the bits"),
        (lambda x: (x / 2).astype(int), WHOLE, "it converts float64 to int64"),
        (lambda x: x.astype("float16"), WHOLE, "the type float16"),
        (lambda x: x[:, 0], WHOLE, "it returns an array of one dimension"),
        (lambda df: df["z"], MIXED, "column 'z': expected one of a, b, n"),
        (lambda df: df.fillna(df.mean()), MIXED, "it combines the values of several rows"),
        (lambda df: df[df["a"] > 0], MIXED, "it chooses rows"),
        (lambda df: df["s"].str.len().to_frame(), FRAME, "it uses .str"),
        (lambda df: (df[["s"]] > "a"), FRAME, "np.greater with text"),
        (lambda df: pd.concat([df, df], axis=1), MIXED, "it calls pandas.concat"),
        (lambda df: df.values * 2, FRAME, "its array holds numbers and text"),
        (lambda df: df["s"].map(len).to_frame(), FRAME, "something else than a dict"),
        (lambda df: df["s"].map({}).to_frame(), FRAME, "a dict with at least one key"),
        (lambda df: df["s"].map({"x": 1, 2: 2}).to_frame(), FRAME, "keys that are not text"),
        (lambda df: df["a"].map({1.5: 1}).to_frame(), FRAME, "keys that are not whole numbers"),
        (lambda df: df["n"].map({3: 1, 0: "y"}).to_frame(), FRAME, "not all numbers, or all text"),
        (lambda df: df["n"].map({3: 2**60}).to_frame(), FRAME, "whole numbers from 2^53"),
    ],
)  # fmt: skip
def test_functions_that_cannot_be_traced_are_refused(function, data, reason):
    model = FunctionTransformer(function)
    inputs, _ = layout(data)
    with pytest.raises(NotConvertible) as caught:
        to_graph(model, inputs, precision="float64", steps={}, examples={id(model): data[:1]})
    assert "cannot be traced" in caught.value.reason and reason in caught.value.reason


# Arrays propagate NaN, and DataFrames leave it out, so the kind of a result decides the answer.
ARRAYS_OF_FRAMES = [
    lambda d: np.where(d[["a", "b"]] > 1, 1, d[["a", "b"]]).sum(axis=1).reshape(-1, 1),
    lambda d: np.where(d["a"].isna().to_frame(), 0.0, d[["b"]]).max(axis=1)[:, None],
    lambda d: np.nan_to_num(d[["a", "b"]], nan=7.0).mean(axis=1).reshape(-1, 1),
    lambda d: np.isin(d[["a", "b"]], [1.5, 3.0]).sum(axis=1).reshape(-1, 1),
    lambda d: (
        d
        * sum(
            2**k
            for k, x in enumerate(
                [
                    np.where(d > 0, 1, d),
                    np.nan_to_num(d),
                    np.nan_to_num(d["a"]),
                    np.isin(d["a"], [1.0]),
                    np.isin(d, [1.0]),
                    np.ravel(d["a"]),
                ]
            )
            if isinstance(x, np.ndarray)
        )
    ),
]


@pytest.mark.parametrize("number", range(len(ARRAYS_OF_FRAMES)))
def test_functions_of_numpy_make_arrays_of_frames(number):
    check(ARRAYS_OF_FRAMES[number], MIXED)


CLIPPED = [
    lambda d: d["a"].clip(upper=d["b"]).to_frame(),
    lambda d: d["a"].clip(d["b"], d["c"]).to_frame(),
    lambda d: np.clip(d["a"], d["b"], None).to_frame(),
    lambda d: np.clip(d["a"].to_numpy(), d["b"].to_numpy(), None).reshape(-1, 1),
    lambda d: d.clip(lower=d[["b", "c", "a"]].to_numpy()),
    lambda d: d["a"].clip(7, 0).to_frame(),
    lambda d: np.clip(d["a"].to_numpy(), 7, 0).reshape(-1, 1),
    lambda d: d["a"].clip(upper=np.nan).to_frame(),
]


@pytest.mark.parametrize("number", range(len(CLIPPED)))
def test_clip_takes_missing_and_crossed_bounds_as_the_original(number):
    check(CLIPPED[number], pd.DataFrame(NUMBERS, columns=["a", "b", "c"]))


MEMBERS = [[3.0, np.nan], [3.0, None], [], [True], ["1", 0.3], {0.3, 7}, np.array([0.3]), [np.inf]]
MEMBERS += [np.array([0.3], dtype="float32")]


@pytest.mark.parametrize("values", MEMBERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_isin_finds_the_numbers_that_pandas_and_numpy_find(values, dtype):
    frame = pd.DataFrame(NUMBERS, columns=["a", "b", "c"]).astype(dtype)
    check(lambda d: d["a"].isin(values).to_frame(), frame)
    check(lambda d: d.isin(values), frame)
    check(lambda d: np.isin(d["a"], values).reshape(-1, 1), frame)


@pytest.mark.parametrize("values", [["x", None], ["x", np.nan], ["x", 1], [1], []], ids=repr)
def test_isin_finds_the_texts_that_pandas_finds(values):
    frame = pd.DataFrame({"s": ["x", None, "1", "y"]}, dtype="str")
    check(lambda d: d["s"].isin(values).to_frame(), frame)
    check(lambda d: np.isin(d["s"], values).reshape(-1, 1), frame)


def test_objects_of_numbers_and_bools_may_become_numbers():
    check(lambda d: d[["a", "f"]].to_numpy(), FRAME)
    check(lambda d: d[["a", "f"]].to_numpy().astype(float).max(axis=1)[:, None], FRAME)
