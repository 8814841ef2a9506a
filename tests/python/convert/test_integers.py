"""Functions of integers of every width compute in the column's type, as numpy and pandas do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from convert_harness import run_graph, run_graph_natively
from parity.integers import EXPRESSIONS, WIDTHS, compiled, ends, frame_of
from sidecall.convert import NotConvertible, to_graph
from sidecall.convert.checks import Checks, Range
from sklearn.preprocessing import FunctionTransformer

NUMPY_WIDTHS = [width for width in WIDTHS if width != "Int8"]
WIDTHS_WITH_ENDS = [width for width in NUMPY_WIDTHS if width != "bool"]
# These show each way in which a result is computed.
QUICK = (
    "d[['a']] * c", "d[['a']] ** 2", "-d[['a']]", "np.abs(d[['a']])", "d[['a']] // -3",
    "d[['a']] // 7", "d[['a']] % 7", "1 / (d[['a']] + 1)", "(d['a'] - d['b']).to_frame()",
    "np.abs(d['a'] - d['b']).to_frame()", "d[['a', 'b']].sum(axis=1).to_frame() * 2",
    "d[['n']].astype('uint16') - 3", "np.maximum(d[['a']], 3) * c",
    "np.max(d[['a', 'b']].to_numpy(), axis=1)[:, None] * c",
    "np.where(d['a'] > d['b'], d['a'], d['k'])[:, None] * 3",
)  # fmt: skip


def graph_of(function, rows, validate=False, missing=False):
    """The graph of the function, its inputs, and what the conversion found.

    `missing`: whether numbers may be missing.
    """
    feeds = {
        name: (column if column.dtype.kind in "bf" else column.astype("int64")).reshape(-1, 1)
        for name, column in ((name, rows[name].to_numpy()) for name in rows)
    }
    inputs = [(name, str(tensor.dtype), 1) for name, tensor in feeds.items()]
    if missing:
        inputs = [(name, "float32" if t == "float32" else "float64", 1) for name, t, _ in inputs]
    model = FunctionTransformer(function, validate=validate)
    checks = Checks(inputs={name: Range.of(-np.inf, np.inf, missing, 1) for name in feeds})
    examples = {id(model): rows.iloc[:1]}
    return to_graph(model, inputs, steps={}, examples=examples, checks=checks), feeds, checks


def check(expression, width):
    """Compares the graph with Python on both engines, or returns why it does not convert."""
    rows, function = frame_of(width, ends(width)), compiled(expression, width)
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(function(rows))
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        return str(error)
    try:
        graph, feeds, _ = graph_of(function, rows)
    except NotConvertible as error:
        return str(error)
    for engine in (run_graph, run_graph_natively):
        got = engine(graph, feeds)
        answered = got["refused"] == 0 if "refused" in got else slice(None)
        numbers = got["transformed"]
        wanted = expected.astype(numbers.dtype).reshape(numbers.shape)
        precision = 1e-5 if expected.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(numbers[answered], wanted[answered], rtol=precision, atol=0)
    return ""


def compare(expression, width):
    """Compares the graph with Python, at the ends of the type. It may be refused."""
    if width.startswith("float"):
        values = [0.0, -0.0, 0.1, 1.5, -1.5, 3e38, 1e-40, 7.3, np.inf, -np.inf, np.nan]
    else:
        values = [v for v in ends(width) if width == "bool" or v <= np.iinfo(width).max]
    column = np.array(values, dtype=width)
    rows = pd.DataFrame({"a": column, "b": column[::-1]})
    try:
        wanted = pd.DataFrame(compiled(expression, width)(rows))
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return
    try:
        graph, feeds, _ = graph_of(compiled(expression, width), rows)
    except NotConvertible as error:
        assert any(word in str(error) for word in ("uint64", "a type of numpy", "not one number"))
        return
    is_single = set(map(str, wanted.dtypes)) == {"float32"}
    for engine in (run_graph, run_graph_natively):
        got = engine(graph, feeds)
        numbers = got["transformed"][got["refused"] == 0 if "refused" in got else slice(None)]
        expected = wanted.to_numpy(numbers.dtype)
        expected = expected[got["refused"] == 0] if "refused" in got else expected
        precision = 3e-6 if is_single else 1e-12
        np.testing.assert_allclose(numbers, expected, rtol=precision, atol=0)
        if is_single:
            np.testing.assert_array_equal(numbers, numbers.astype("float32"))


@pytest.mark.parametrize("width", NUMPY_WIDTHS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_results_wrap_around_in_the_type_of_the_column(width):
    refused = {e: reason for e in QUICK if (reason := check(e, width))}
    if width in ("uint64", "bool"):
        assert all("uint64" in r or "bool" in r for r in refused.values()), refused
    else:
        assert not any(
            "transformed" in r or "cannot be traced" in r
            for r in refused.values()
            if "uint64" not in r
        ), refused


@pytest.mark.long
@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_function_of_integers_agrees_or_is_refused(expression):
    for width in NUMPY_WIDTHS:
        check(expression, width)


@pytest.mark.parametrize("width", WIDTHS_WITH_ENDS)
@pytest.mark.parametrize(
    "function", [np.square, np.abs, np.negative, np.sign, np.positive, np.floor, np.fabs, np.sqrt]
)
@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_numpy_that_are_given_directly_keep_the_types(function, width, validate):
    column = np.array(ends(width), dtype=width)
    rows = pd.DataFrame({"a": column, "b": column[::-1]})
    wanted = function(rows)
    try:
        graph, feeds, _ = graph_of(function, rows, validate)
    except NotConvertible as error:
        assert "float16" in str(error) or "computes in uint64" in str(error)
        return
    for engine in (run_graph, run_graph_natively):
        got = engine(graph, feeds)["transformed"]
        np.testing.assert_array_equal(got, wanted.to_numpy(got.dtype))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_adjacent_columns_of_one_type_are_computed_together():
    rows = pd.DataFrame({"a": [1, 2], "b": [3, 4], "x": [0.5, 1.0], "y": [1.0, 2.0]})
    graph, _, _ = graph_of(np.square, rows)
    assert [node.op_type for node in graph.graph.node].count("Mul") == 2


# Numbers whose type decides the type of the result.
_EXPONENTS = (
    "2.0", "1.0", "0.5", "-1.0", "True", "np.float32(2)", "np.float64(2)", "np.int64(2)",
    "np.uint8(2)", "np.array(2.0)", "2",
)  # fmt: skip
_CONTAINERS = {"d['a']": ".to_frame()", "d[['a']]": "", "d[['a']].to_numpy()": ""}


@pytest.mark.parametrize("exponent", _EXPONENTS)
@pytest.mark.parametrize("width", [*WIDTHS_WITH_ENDS, "bool", "float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
def test_powers_have_the_type_that_the_exponent_gives(exponent, width):
    for container, end in _CONTAINERS.items():
        for power in (f"{container} ** {exponent}", f"np.power({container}, {exponent})"):
            compare(f"({power}){end} * 3", width)


@pytest.mark.parametrize("number", ["np.float64(.1)", "np.float32(.1)", "np.uint64(3)", "0.1"])
@pytest.mark.parametrize("width", ["int64", "float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_of_numpy_have_the_type_that_pandas_or_numpy_gives_them(number, width):
    for container, end in _CONTAINERS.items():
        for operator in ("+", "*", "/", "%", "==", ">="):
            compare(f"({container} {operator} {number}){end}", width)


@pytest.mark.parametrize("width", [*WIDTHS_WITH_ENDS, "bool"])
@pytest.mark.parametrize(
    "expression",
    [
        "d['a'].fillna(0.0).to_frame()", "d[['a']].fillna(0.5)",
        "d.fillna({'a': 0.0, 'absent': 1})", "d['a'].fillna(d['b'] / 3).to_frame()",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_filling_a_column_in_which_nothing_is_missing_keeps_its_type(expression, width):
    compare(f"({expression}) * 3", width)


@pytest.mark.parametrize(
    ("expression", "width", "reason"),
    [
        ("d['a'].fillna(0.5).to_frame()", "int64", "fills int64 with a fraction.*astype"),
        ("d['a'].fillna(d['b'] / 3).to_frame()", "int64", "numbers of another type.*astype"),
        ("d['a'].fillna(np.float64(0.1)).to_frame()", "float32", r"float32 does not hold \(use"),
        ("d['a'].fillna(True).to_frame()", "float64", "fills numbers with a bool"),
        ("d['a'].clip(0, 2.5).to_frame()", "int64", "clips int64 with a fraction.*astype"),
        ("d['a'].clip(np.float64(.1), 3).to_frame()", "float32", r"float32 does not hold \(use"),
    ],
)
def test_results_whose_type_depends_on_values_are_refused_with_advice(expression, width, reason):
    rows = pd.DataFrame({"a": np.array([1, 2], width), "b": np.array([1, 2], width)})
    with pytest.raises(NotConvertible, match=reason):
        graph_of(compiled(expression, width), rows, missing=True)


def test_a_conversion_of_signed_integers_to_uint64_is_refused_with_advice():
    rows = pd.DataFrame({"a": np.array([1, 2], "int32")})
    with pytest.raises(NotConvertible, match=r"int32 to uint64.*no uint64; use"):
        graph_of(lambda d: d.astype("uint64"), rows)


def test_a_column_that_may_be_missing_is_filled_with_whole_floats():
    rows = pd.DataFrame({"a": [1, 2]})
    graph, _, _ = graph_of(lambda d: d.fillna(3.0) * 2, rows, missing=True)
    got = run_graph(graph, {"a": np.array([[5.0], [np.nan]])})
    np.testing.assert_array_equal(got["transformed"], [[10.0], [6.0]])


def test_whole_floats_as_ends_of_clip_keep_integers():
    compare("d[['a']].clip(0.0, 50.0) * 10**17", "int64")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_means_of_float32_are_float32():
    compare("d.assign(c=d['a']).mean(axis=1).to_frame() * .1", "float32")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
@pytest.mark.parametrize("function", [np.sqrt, np.log1p, np.sin, lambda d: np.exp(d)])
def test_functions_that_compute_in_float16_are_refused_by_this_name(dtype, function):
    rows = pd.DataFrame({"a": np.array([1, 0, 1], dtype=dtype)})
    with pytest.raises(NotConvertible, match=r"computes in float16.*\.astype\('float64'\)"):
        graph_of(function, rows)


def test_columns_of_float16_are_refused_by_this_name():
    rows = pd.DataFrame({"a": np.array([1, 0.5], dtype="float16")})
    with pytest.raises(NotConvertible, match="numbers of type float16"):
        graph_of(lambda d: d * 3, rows)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("d['a'] * np.int64(300)", "a number of a type of numpy"),
        ("d[['a']].clip(0, 0.5)", "it clips int8 with other ends"),
        ("(d['a'] // d['b']).to_frame()", "a divisor that is not one number"),
        ("d[['a', 'f']].to_numpy() * 3", "its array holds bools and numbers"),
    ],
)
def test_types_that_depend_on_values_are_refused(expression, reason):
    rows = pd.DataFrame(
        {"a": np.array([1, 2], "int8"), "b": np.array([1, 2], "int8"), "f": [True, False]}
    )
    with pytest.raises(NotConvertible, match=reason):
        graph_of(compiled(expression, "int8"), rows)


def test_only_columns_that_are_computed_in_their_width_are_limited_to_it():
    rows = pd.DataFrame({name: np.array([1, 2], "int8") for name in "abcde"})

    def function(d):
        return pd.DataFrame(
            {
                "p": d["a"] * 3,
                "q": d["b"] / 3,
                "r": d["c"] > 5,
                "s": d["d"],
                "t": d["e"].astype("int64") * 3,
            }
        )

    _, _, checks = graph_of(function, rows)
    assert checks.widths == {("a", 0): (-128, 127)}


def test_integers_of_64_bits_get_no_further_nodes():
    rows = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    graph, _, checks = graph_of(lambda d: (d["a"] * 3 + d["b"]).to_frame(), rows)
    assert [node.op_type for node in graph.graph.node] == ["Mul", "Add", "Cast"]
    assert not checks.widths
