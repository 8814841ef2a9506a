"""The search for accepted values, and the rules of steps, tested without a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sidecall.convert.checks import Range, Rule
from sidecall.exporting.inputs.intervals import Line, holds, outside, search
from sidecall.exporting.inputs.rules import LARGEST, LARGEST_SINGLE, LAST_SINGLE, find_rules
from sidecall.exporting.inputs.trials import Trials
from sidecall.exporting.model.original import Original
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 2)) ** 2 + 0.1
Y = (X[:, 0] > 1).astype(int)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_line_maps_consecutive_integers_to_adjacent_floats(dtype):
    line, kind = Line(dtype), np.dtype(dtype).type
    for value in (0.0, -0.0, 1.0, -1.5, float(np.finfo(dtype).max)):
        place = line.place(value)
        assert line.number(place) == value
        assert line.number(place + 1) == float(np.nextafter(kind(value), kind(np.inf)))
        assert line.number(place - 1) == float(np.nextafter(kind(value), kind(-np.inf)))


@pytest.mark.parametrize("rows", [1, 1000])
def test_the_ends_of_the_found_intervals_are_exact_for_every_batch_size(rows):
    def accepts(changes):
        return [-1.0 < value <= 7.3 if key == 0 else value != 0.0 for key, value in changes]

    found = search(Line("float64"), {0: [-np.inf, 5.0, np.inf], 1: [-1.0, 0.0, 1.0]}, accepts, rows)
    assert found[0] == [(float(np.nextafter(-1.0, 0)), 7.3)]
    assert found[1] == [(-1.0, -5e-324), (5e-324, 1.0)]


def test_integers_are_searched_as_integers():
    found = search(
        Line("int64"),
        {0: [-(2**63), 4, 2**63 - 1]},
        lambda changes: [3 <= value <= 2**53 + 1 for _, value in changes],
        7,
    )
    assert found == {0: [(3, 2**53 + 1)]}


def test_the_numbers_tried_outside_the_intervals_are_next_to_their_ends():
    assert outside(Line("int64"), [(1, 3), (5, 9)], (0, 9)) == [0, 4]
    assert holds([(1, 3), (5, 9)], np.array([0, 1, 4, 9])).tolist() == [False, True, False, True]


def rules_of(model, data=X):
    original = Original(model.fit(data, Y))
    original.describe(data)
    found = find_rules(original.steps.given)
    return (
        {
            type(given.step).__name__: found[place]
            for place, given in original.steps.given.items()
            if place in found
        },
        found,
        original,
    )


@pytest.mark.parametrize(
    ("model", "name", "rule"),
    [
        (LogisticRegression(), "LogisticRegression", Rule(-LARGEST, LARGEST, False)),
        (
            RandomForestClassifier(2),
            "RandomForestClassifier",
            Rule(-LAST_SINGLE, LAST_SINGLE, True),
        ),
        (
            HistGradientBoostingClassifier(max_iter=2),
            "HistGradientBoostingClassifier",
            Rule(-np.inf, np.inf, True),
        ),
        (
            make_pipeline(PowerTransformer("box-cox"), PCA(1), LogisticRegression()),
            "PowerTransformer",
            Rule(5e-324, LARGEST, True),
        ),
        (
            make_pipeline(StandardScaler(), PCA(1), LogisticRegression()),
            "PCA",
            Rule(-LARGEST, LARGEST, False),
        ),
        (
            make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
            "FunctionTransformer",
            Rule(-np.inf, np.inf, True),
        ),
    ],
)
def test_the_rule_of_a_step_describes_what_the_fitted_step_accepts(model, name, rule):
    assert rules_of(model)[0][name] == rule


def test_the_rule_of_a_float32_step_ends_at_the_largest_float32():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert rules_of(model, X.astype(np.float32))[0]["LogisticRegression"] == Rule(
        -LARGEST_SINGLE, LARGEST_SINGLE, False
    )


def test_one_call_finds_all_refused_rows():
    _, rules, original = rules_of(
        make_pipeline(FunctionTransformer(np.log), PCA(1), LogisticRegression())
    )
    trials = Trials(
        original, rules, lambda changes: np.array([[value, 1.0] for _, value in changes]), (0, 1.0)
    )
    changes = [(0, value) for value in (2.0, 0.0, -1.0, 3.0, np.inf, np.nan)]
    assert (
        trials.expected(changes)
        == trials.accepted_by_model(changes)
        == trials.one_by_one(changes)
        == [True, False, False, True, False, False]
    )


def test_trials_leave_the_steps_unchanged():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    _, rules, original = rules_of(model)
    Trials(
        original, rules, lambda changes: np.array([[value, 1.0] for _, value in changes]), (0, 1.0)
    ).expected([(0, np.inf)])
    assert not any(
        callable(value) for step in (model, model[0], model[1]) for value in vars(step).values()
    )


def test_only_a_known_finite_range_without_missing_values_satisfies_a_rule():
    rule = Rule(-LARGEST, LARGEST, False)
    assert Range.beside([Range.of(0.0, 1.0, False, 2), None]) is None
    assert Range.of(0.0, 1.0, False, 2).within(rule)
    assert not Range.of(0.0, np.inf, False, 2).within(rule)
    assert not Range.of(0.0, 1.0, [False, True], 2).within(rule)


def test_the_range_after_a_function_that_overflows_is_not_finite():
    assert Range.of(0.0, LARGEST, False, 1).through(np.exp, np.float64).high[0] == np.inf
    assert Range.of(-1.0, 1.0, False, 1).through(np.log, np.float64) is None


def test_equal_steps_have_their_own_rules_for_float32_and_for_float64_columns():
    frame = pd.DataFrame({"narrow": X[:, 0].astype("float32"), "wide": X[:, 1]})
    columns = make_column_transformer(
        (SimpleImputer(), ["narrow"]), (SimpleImputer(), ["wide"]), remainder="passthrough"
    )
    model = make_pipeline(columns, FunctionTransformer())
    _, rules, _ = rules_of(model, frame)
    parts = [step for _, step, _ in columns.transformers_ if isinstance(step, SimpleImputer)]
    assert [rules[id(step)].high for step in parts] == [LAST_SINGLE, LARGEST]
