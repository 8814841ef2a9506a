"""Functions that look for something, or catch an error, are refused unless the original's branch
is the one that is traced."""

import builtins
import contextlib
import copy
import io
import sys
import threading
import warnings

import classes_of_frames
import numpy as np
import pandas as pd
import pytest
from convert_harness import layout
from sidecall.convert import NotConvertible, to_graph
from sklearn.preprocessing import FunctionTransformer
from test_tracing import FRAME, MIXED, check

TEXT = pd.DataFrame({"s": ["x", "y", "zé", "x"]})


def refusal(function, data):
    model = FunctionTransformer(function)
    inputs, _ = layout(data)
    with pytest.raises(NotConvertible) as caught:
        to_graph(model, inputs, precision="float64", steps={}, examples={id(model): data[:1]})
    return caught.value.reason


def catches_an_exception(d):
    try:
        vip = d["s"].str.startswith("VIP").astype(int)
    except Exception:
        vip = 0
    return d.assign(vip=vip)[["vip"]]


def catches_everything(d):
    try:
        vip = d["s"].str.startswith("VIP").astype(int)
    except:  # noqa: E722
        vip = 0
    return d.assign(vip=vip)[["vip"]]


def catches_base_exceptions(d):
    vip = 0
    with contextlib.suppress(BaseException):
        vip = d["s"].str.startswith("VIP").astype(int)
    return d.assign(vip=vip)[["vip"]]


def catches_in_a_nested_function(d):
    def vip(column):
        try:
            return column.str.len()
        except AttributeError:
            return 0
        except Exception:
            return 1

    return d.assign(vip=lambda table: vip(table["s"]))[["vip"]]


def catches_in_a_thread(d):
    found = []

    def work():
        try:
            found.append(d["s"].str.len())
        except Exception:
            found.append(0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return d.assign(vip=found[0])[["vip"]]


def helper_that_catches(column):
    try:
        return column.str.len()
    except Exception:
        return 0


def catches_in_a_helper(d):
    return d.assign(vip=helper_that_catches(d["s"]))[["vip"]]


def catches_arguments(d):
    try:
        return d.apply(lambda row: row["a"], axis=1).to_frame()
    except TypeError:
        return d[["b"]]


def catches_assignments(d):
    d = d.copy()
    with contextlib.suppress(Exception):
        d.loc[d["a"] > 0, "a"] = 0.0
    return d


def catches_functions_of_pandas(d):
    try:
        return pd.DataFrame({"q": pd.to_numeric(d["a"], downcast="float")})
    except Exception:
        return d[["a"]]


def catches_one_value(d):
    try:
        if d["a"].iloc[0] > 5:
            return d * 100
    except Exception:
        pass
    return d


def catches_warnings(d):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.log(d)
        except RuntimeWarning:
            return d


def catches_numpy_errors(d):
    with np.errstate(all="raise"):
        try:
            return np.log(d)
        except FloatingPointError:
            return d


def counts_rows(d):
    return d * (2 if d.shape[0] == 1 else 1)


def counts_index(d):
    try:
        return d * (2 if len(d.index) == 1 else 1)
    except Exception:
        return d


def asks_for_the_exact_type(d):
    return d * 2 if type(d) is pd.DataFrame else d


def asks_for_the_class(d):
    return d * 2 if d.__class__ is pd.DataFrame else d


def records_warnings(d):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        d = np.log(d)
    return d * 2 if caught else d


def logs_numpy_errors(d):
    log = io.StringIO()
    np.seterrcall(log)
    with np.errstate(all="log"):
        d = np.log(d)
    return d * 2 if log.getvalue() else d


def catches_numpy_errors_in_a_method(d):
    with np.errstate(all="raise"), contextlib.suppress(FloatingPointError):
        return d.to_numpy().sum(axis=1).reshape(-1, 1)
    return d


def hides_an_error_filter_behind_another(d):
    with warnings.catch_warnings(), contextlib.suppress(RuntimeWarning):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.log(d)
    return d


def replaces_showwarning(d):
    shown = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda *message: shown.append(message)
        d = np.log(d)
    return d * 2 if shown else d


def _closure():
    def is_frame(x):
        return type(x) is pd.DataFrame

    return is_frame


_is_frame = _closure()


def _checked(function):
    def checked(x):
        return function(x) if type(x).__name__ == "DataFrame" else x * 2

    return checked


def asks_in_another_module(d):
    return d * 2 if classes_of_frames.is_frame(d) else d


def asks_in_a_closure(d):
    return d * 2 if _is_frame(d) else d


@_checked
def asks_in_a_decorator(d):
    return d


def asks_by_the_module_of_builtins(d):
    return d * 2 if builtins.type(d) is pd.DataFrame else d


def asks_through_map(d):
    return d * 2 if list(map(type, [d])) == [pd.DataFrame] else d


def asks_by_a_default(d, kind=type):
    return d * 2 if kind(d) is pd.DataFrame else d


def asks_for_the_attributes(d):
    return d * 2 if "_mgr" in vars(d) else d


def lists_the_attributes(d):
    return d * 2 if "to_numpy" in dir(d) else d


def looks_for_text(d):
    return pd.DataFrame({"q": d["s"] if hasattr(d["s"], "str") else d["s"] == "x"})


def gets_text(d):
    found = getattr(d["s"], "str", None)
    return pd.DataFrame({"q": d["s"] == "x" if found is None else found.len()})


def looks_for_the_buffer(x):
    return x * 2 if hasattr(x, "__array_interface__") else x


def _name(x):
    return getattr(x, "__name__", type(x).__name__)


CAUGHT = [
    (catches_an_exception, TEXT, ".str"),
    (catches_everything, TEXT, ".str"),
    (catches_base_exceptions, TEXT, ".str"),
    (catches_in_a_nested_function, TEXT, ".str"),
    (catches_in_a_thread, TEXT, ".str"),
    (catches_in_a_helper, TEXT, ".str"),
    (catches_arguments, MIXED, ".apply with the argument 'axis'"),
    (catches_assignments, MIXED, "np.where(condition, new, d['c'])"),
    (catches_functions_of_pandas, MIXED, "pandas.to_numeric"),
    (catches_one_value, MIXED, ".iloc"),
    (catches_warnings, MIXED, "warnings"),
    (catches_numpy_errors, MIXED, "np.errstate"),
    (counts_rows, MIXED, "the number of rows"),
    (counts_index, MIXED, "the index"),
    (asks_for_the_exact_type, MIXED, "use isinstance()"),
    (asks_for_the_class, MIXED, "use isinstance()"),
    (asks_in_another_module, MIXED, "use isinstance()"),
    (asks_in_a_closure, MIXED, "use isinstance()"),
    (asks_in_a_decorator, MIXED, "use isinstance()"),
    (asks_by_the_module_of_builtins, MIXED, "use isinstance()"),
    (asks_through_map, MIXED, "use isinstance()"),
    (asks_by_a_default, MIXED, "use isinstance()"),
    (asks_for_the_attributes, MIXED, "vars()"),
    (lists_the_attributes, MIXED, "dir()"),
    (records_warnings, MIXED, "warnings.catch_warnings(record=True)"),
    (logs_numpy_errors, MIXED, "np.errstate"),
    (catches_numpy_errors_in_a_method, MIXED, "np.errstate"),
    (hides_an_error_filter_behind_another, MIXED, "warnings.simplefilter"),
    (replaces_showwarning, MIXED, "warnings.showwarning"),
    (looks_for_text, TEXT, ".str"),
    (gets_text, TEXT, ".str"),
    (looks_for_the_buffer, MIXED.to_numpy(), "__array_interface__"),
]


@pytest.mark.parametrize(("function", "data", "reason"), CAUGHT, ids=_name)
def test_a_function_cannot_catch_a_refusal(function, data, reason):
    assert reason in refusal(function, data)


def without_a_column(d):
    try:
        return d[["nope"]]
    except KeyError:
        return d * 2


def without_an_attribute(d):
    x = d.toarray() if hasattr(d, "toarray") else d
    return x * 2 if getattr(x, "nope", None) is None else x


def drops_what_is_not_there(d):
    try:
        return d.drop(columns=["nope"])
    except KeyError:
        return d.drop(columns=["nope", "a"], errors="ignore")


def sets_by_attribute(d):
    d = d.copy()
    d.a = d.a.clip(0, 1)
    return d


def of_each_kind(d):
    of_columns = 1 if isinstance(d["a"] + 1, pd.Series) else 2
    of_values = 3 if isinstance(d["a"].to_numpy(), pd.Series) else 5
    of_choices = 7 if isinstance(np.where(d["a"] > 0, 1, 0), np.ndarray) else 11
    of_rows = 13 if isinstance(d.sum(axis=1), pd.Series) else 17
    of_filled = 19 if isinstance(d["a"].fillna(0), np.ndarray) else 23
    of_tables = 29 if isinstance(d, (np.ndarray, pd.Series)) else 31
    return d * (of_columns * of_values * of_choices * of_rows * of_filled * of_tables)


def fills_what_can_be_filled(x):
    return x.fillna(0) if hasattr(x, "fillna") else np.nan_to_num(x) + 1


def names_of_columns(d):
    return d[[name for name in d.columns.tolist() if name != "a"]]


AGREE = [
    (without_a_column, MIXED),
    (without_an_attribute, MIXED),
    (drops_what_is_not_there, MIXED),
    (sets_by_attribute, MIXED),
    (of_each_kind, MIXED),
    (fills_what_can_be_filled, MIXED),
    (fills_what_can_be_filled, MIXED.to_numpy()),
    (names_of_columns, MIXED),
    (lambda d: (d["s"] == "x").to_frame() * (2 if d["s"].dtype == object else 3), TEXT),
]


@pytest.mark.parametrize(("function", "data"), AGREE, ids=_name)
def test_a_function_that_looks_for_something_finds_what_the_original_has(function, data):
    check(function, data)


def _quiet(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.log(x)


# Functions that ask for the class of something else, or that only hide warnings.
ALLOWED = [
    lambda d: d * (2 if classes_of_frames.is_frame(pd.DataFrame()) else 3),
    lambda d: d * (2 if _is_frame([]) else 3),
    lambda d: d * len(type("Kind", (), {}).__name__) + d * isinstance(int, type),
    lambda d: copy.copy(d) * 2,
    _quiet,
]


@pytest.mark.parametrize("number", range(len(ALLOWED)))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_may_ask_for_other_classes(number):
    check(ALLOWED[number], MIXED)
    assert "type" not in vars(classes_of_frames)
    assert "type" not in globals()


def test_a_profiler_that_runs_changes_nothing():
    before = sys.getprofile()
    sys.setprofile(lambda *_: None)
    try:
        ours = sys.getprofile()
        assert "use isinstance()" in refusal(asks_in_another_module, MIXED)
        assert sys.getprofile() is ours
    finally:
        sys.setprofile(before)


def test_a_refusal_of_one_function_does_not_concern_the_next():
    refusal(catches_an_exception, TEXT)
    check(lambda d: d * 2, MIXED)


# What refusals advise.
ADVISED = [
    lambda d: pd.DataFrame({"q": (d["a"] > 1) * 1 + (d["a"] > 5) * 1}),
    lambda d: (1.5 * d.to_numpy()[:, 0] + 2.0 * d.to_numpy()[:, 1]).reshape(-1, 1),
    lambda d: pd.DataFrame({"q": d.to_numpy().mean(axis=1), "k": d.notna().sum(axis=1)}),
    lambda d: pd.DataFrame({"q": np.floor(d["a"] / d["b"]), "k": d["n"] % 2}),
    lambda d: (np.abs(d - 1.5) <= 1e-8) | (1 / (1 + np.exp(-d)) > 0.7),
    lambda d: d.assign(a=np.where(d["a"] > 0, 0.0, d["a"]), c=1.0).max(axis=1).to_frame(),
    lambda d: pd.DataFrame({c: d[c] * 2 for c in d.columns if c in d.columns}),
]


@pytest.mark.parametrize("number", range(len(ADVISED)))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_refusals_advise_is_traced(number):
    check(ADVISED[number], MIXED)


REWRITTEN = [
    (lambda d: d * 2 if "a" in d else d, MIXED, ["'a' in d.columns"]),
    (lambda d: pd.DataFrame({c: d[c] for c in d}), MIXED, ["loop over d.columns"]),
    (lambda d: d[d["a"] > 0], MIXED, ["it chooses rows", "np.where"]),
    (lambda d: d["n"].to_frame() & 1, MIXED, ["the bits of numbers", "%"]),
    (lambda d: (d["s"] == d["s"]).to_frame(), TEXT, ["class Column", ".isin"]),
    (lambda d: pd.cut(d["a"], [0, 1, 2]).to_frame(), MIXED, ["pandas.cut", "(d['x'] > 1) * 1"]),
    (lambda d: pd.get_dummies(d), FRAME, ["pandas.get_dummies", "OneHotEncoder"]),
    (lambda d: d["s"].astype("category").to_frame(), TEXT, ["category", "OneHotEncoder"]),
    (catches_assignments, MIXED, ["np.where(condition, new, d['c'])"]),
    (catches_arguments, MIXED, ["'axis'", "d['a'] / d['b']"]),
    (lambda d: d["a"].eq(1).to_frame(), MIXED, [".eq", "use the operator"]),
    (
        lambda d: d[["a", "f"]].to_numpy().clip(0, 5),
        FRAME,
        ["array of objects", "d.astype(float).to_numpy()"],
    ),
    (lambda d: d["f"].to_frame().assign(a=d["a"]).values.max(axis=1), FRAME, ["array of objects"]),
    (lambda d: d.isin({"a": [1.5]}), MIXED, ["a list of values"]),
    (lambda d: d["s"].isin(["x", None]).to_frame(), TEXT.astype(object), [".isna()"]),
    (lambda d: d["a"].clip(upper=d["n"]).to_frame(), MIXED, [".astype(float)"]),
    (lambda d: d.max(axis=1), MIXED, ["it returns a column", ".to_frame()"]),
    (lambda d: d.to_numpy()[:, 0], MIXED, ["one dimension", ".reshape(-1, 1)"]),
    (
        lambda d: d.mean(axis=1, skipna=False).to_frame(),
        MIXED,
        [".mean with the argument 'skipna'"],
    ),
    (lambda x: x @ np.ones((3, 1)), MIXED.to_numpy(), ["numpy.matmul", "the sum of the products"]),
    (lambda d: np.select([d["a"] > 0], [1]).reshape(-1, 1), MIXED, ["numpy.select", "np.where"]),
]


@pytest.mark.parametrize(("function", "data", "reasons"), REWRITTEN)
def test_a_refusal_says_what_to_write_instead(function, data, reasons):
    text = refusal(function, data)
    assert all(reason in text for reason in reasons), text
