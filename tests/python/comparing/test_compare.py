"""sidecall.compare: moved answers, refusals by either model, unstable rows, the first step that
differs.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import sidecall
from comparing_parts import Echo, floor_half
from export_data import payments
from sidecall.comparing import Comparison
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBRegressor

# Which answers count as moved.


def test_an_exact_model_holds(steps):
    model, path, data = steps
    report = sidecall.compare(model, path, data)
    assert isinstance(report, Comparison) and report.holds
    assert (report.rows, report.compared, report.moved, report.unstable, report.begin) == (
        400,
        400,
        0,
        0,
        None,
    )
    (output,) = report.outputs
    assert (output.name, output.rows, output.moved, output.largest, output.absolute) == (
        "prediction",
        400,
        0,
        0.0,
        1e-8,
    )
    assert [(b.low, b.high, b.held) for b in report.bins] == [
        (0.0, 0.0, 400)
    ] and report.worst == []


def test_differences_are_counted_measured_and_put_in_order(steps):
    _, path, data = steps

    def off(values):
        return floor_half(values) + np.select(
            [values == 7, values == 11, values == 12], [0.5, -2.0, 1e-9]
        )

    report = sidecall.compare(Echo(off), path, data)
    assert report.moved == report.outputs[0].moved == 2  # 1e-9 is within the tolerance
    assert (report.outputs[0].largest, report.outputs[0].largest_row) == (2.0, 11)
    worst = [(w.row, w.kind, w.output, w.expected, w.got, w.difference) for w in report.worst]
    assert worst == [
        (11, "value", "prediction", 3.0, 5.0, 2.0),
        (7, "value", "prediction", 3.5, 3.0, 0.5),
    ]
    by_edge = {b.low: (b.held, b.moved) for b in report.bins if b.held or b.moved}
    assert by_edge == {0.0: (397, 0), 1e-10: (1, 0), 1e-1: (0, 2)}


@pytest.mark.parametrize(
    ("options", "moved"),
    [
        ({}, 400),
        ({"absolute": 0.25}, 0),
        ({"absolute": 0.0, "relative": 0.0}, 400),
        ({"absolute": 0.0, "relative": 0.01}, 40),
    ],
)
def test_tolerances_decide_which_rows_moved(steps, options, moved):
    """Every answer differs by 0.2, which is within a tolerance of 1 % if the answer is above 20."""
    _, path, data = steps
    assert (
        sidecall.compare(
            Echo(lambda values: floor_half(values) + 0.2), path, data, stability=0, **options
        ).moved
        == moved
    )


def test_outputs_that_the_original_computes_in_float32_have_a_wider_tolerance(steps):
    _, path, data = steps
    slightly = Echo(lambda values: (floor_half(values) * (1 + 1e-6)).astype(np.float32))
    report = sidecall.compare(slightly, path, data)
    assert report.holds and report.outputs[0].absolute == report.outputs[0].relative == 1e-5
    assert not sidecall.compare(
        slightly, path, data, absolute=1e-8, relative=1e-8, stability=0
    ).holds


def test_an_ensemble_with_xgboost_has_the_tolerance_of_float32(folder):
    data = np.round(np.random.default_rng(0).normal(size=(200, 2)), 2)
    model = VotingRegressor(
        [("boosted", XGBRegressor(n_estimators=3)), ("linear", LinearRegression())]
    ).fit(data, data[:, 0])
    assert model.predict(data).dtype == np.float64
    sidecall.export(model, folder / "voting.onnx", data)
    report = sidecall.compare(model, folder / "voting.onnx", data)
    assert report.outputs[0].absolute == 1e-5 and report.holds


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinities_always_differ_from_a_number(steps, value):
    _, path, data = steps
    report = sidecall.compare(
        Echo(lambda values: np.where(values == 5, value, floor_half(values))),
        path,
        data,
        absolute=1e300,
    )
    assert report.moved == 1 and report.worst[0].row == 5 and report.outputs[0].largest == np.inf
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["worst"][0]["expected"] == {"inf": "inf", "-inf": "-inf"}.get(str(value), "nan")


def test_a_row_with_a_different_label_has_moved(folder):
    data = np.arange(40.0).reshape(-1, 1)
    target = np.where(data[:, 0] < 20, "low", "high")
    model = RandomForestClassifier(3, random_state=0).fit(data, target)
    sidecall.export(model, folder / "label.onnx", data)
    other = RandomForestClassifier(3, random_state=0).fit(
        data, np.where(data[:, 0] < 15, "low", "high")
    )
    report = sidecall.compare(other, folder / "label.onnx", data)
    label = report.outputs[0]
    assert (label.name, label.is_number, label.largest) == (
        "label",
        False,
        None,
    ) and 1 <= label.moved <= 8
    assert (
        {w.kind for w in report.worst} >= {"label"}
        and report.worst[0].expected == "high"
        and report.worst[0].got == "low"
    )


# Refusals.


def test_rows_that_both_models_refuse_have_not_moved(fraud):
    model, path, frame = fraud
    rows = frame.head(60).reset_index(drop=True)
    rows.loc[3, "country"] = "XX"  # refused by both
    rows.loc[7, "amount"] = np.inf  # refused by both: `amount` must be finite
    report = sidecall.compare(model, path, rows, absolute=1e-5)
    assert (report.refused_by_both, report.refused_by_original, report.refused_by_model) == (
        2,
        0,
        0,
    )
    assert report.moved == 0 and report.compared == 58


def test_each_refused_row_is_found_individually(steps):
    _, path, data = steps

    def refuse(values):
        if np.isin(values, [0, 13, 399]).any():
            raise ValueError(f"a value of the data: {values[0]}")
        return floor_half(values)

    report = sidecall.compare(Echo(refuse), path, data)
    assert (report.refused_by_original, report.refused_by_model, report.moved, report.compared) == (
        3,
        0,
        3,
        397,
    )
    assert [(w.row, w.kind, w.output, w.expected, w.got) for w in report.worst] == [
        (row, "refusal", "refused", "ValueError", "answered") for row in (0, 13, 399)
    ]
    assert "a value of the data" not in str(report) + json.dumps(report.as_json())


def test_rows_that_only_the_exported_model_refuses_have_moved(fraud):
    _, path, frame = fraud
    rows = frame.head(30).assign(country=lambda f: f["country"].where(f.index != f.index[4], "XX"))
    data, target = payments(1200)
    data = data[["amount", "country", "hour"]].assign(country=data["country"].fillna("none"))
    first = make_column_transformer(
        (StandardScaler(), ["amount", "hour"]),
        (OneHotEncoder(handle_unknown="ignore"), ["country"]),
    )
    tolerant = make_pipeline(first, LogisticRegression(max_iter=500)).fit(data, target)
    report = sidecall.compare(tolerant, path, rows, absolute=1e-5)
    assert (report.refused_by_original, report.refused_by_model, report.moved) == (0, 1, 1)
    assert report.worst[0].got == "UNKNOWN_CATEGORY: feature 'country'" and "XX" not in str(report)


def test_the_report_says_when_no_row_was_compared(fraud):
    model, path, frame = fraud
    report = sidecall.compare(model, path, frame.head(3).assign(country="XX"))
    assert (report.moved, report.compared, report.refused_by_both) == (0, 0, 3)
    assert "no row was answered by both models" in str(report)


# Stability.


def test_an_unstable_row_has_not_moved(steps):
    _, path, data = steps

    def by_batch(values):  # row 30 agrees only in a batch of one row, row 31 never agrees
        return (
            floor_half(values)
            + np.where(values == 30, 0.5 * (len(values) > 1), 0)
            + np.where(values == 31, 0.25, 0)
        )

    report = sidecall.compare(Echo(by_batch), path, data)
    assert (report.unstable, report.moved, report.checked) == (1, 1, 2)
    assert [w.row for w in report.worst] == [31]


def test_the_stability_of_agreeing_rows_is_checked_only_on_request(steps):
    _, path, data = steps
    unstable = Echo(lambda values: floor_half(values) + (values == 30) * 0.5 * (len(values) == 1))
    assert sidecall.compare(unstable, path, data).unstable == 0
    report = sidecall.compare(unstable, path, data, stability=None)
    assert (report.unstable, report.moved, report.checked, report.unchecked) == (1, 0, 400, 0)


def test_the_report_states_how_many_rows_were_not_checked(steps):
    _, path, data = steps
    report = sidecall.compare(Echo(lambda values: floor_half(values) + 1), path, data, stability=5)
    assert (report.moved, report.checked, report.unchecked) == (400, 5, 395)
    assert "5 rows were checked for stability, and 395 others that differ were not" in str(report)


def test_a_row_that_is_refused_in_another_batch_is_unstable(steps):
    _, path, data = steps

    def refuse_alone(values):
        if len(values) == 1 and values[0] == 9:
            raise ValueError
        return floor_half(values) + (values == 9)

    report = sidecall.compare(Echo(refuse_alone), path, data)
    assert (report.unstable, report.moved) == (1, 0)


# The first step that differs.


def test_an_input_that_the_file_rounds_is_named_as_the_first_difference(folder):
    """Some values are so close to a threshold that, rounded to float32, they equal it."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "carat": np.round(rng.gamma(2, 0.4, 3000) + 0.2, 2),
            "table": rng.integers(50, 70, 3000).astype(float),
        }
    )
    model = HistGradientBoostingRegressor(max_iter=30).fit(frame, 3000 * frame["carat"] ** 2)
    sidecall.export(model, folder / "diamonds.onnx", frame, dtype="float32")
    report = sidecall.compare(model, folder / "diamonds.onnx", frame / 25.4 * 25.4, stability=50)
    assert report.moved > 0 and report.outputs[0].largest > 1
    assert report.begin.step == "input" and "'carat'" in report.begin.reason
    assert "the difference begins in input" in str(report)


def test_the_step_that_computes_in_float32_is_named(fraud):
    model, path, frame = fraud
    report = sidecall.compare(model, path, frame, stability=10)
    assert report.moved > 0
    assert (
        report.begin.step.startswith("columntransformer > standardscaler")
        and "float32" in report.begin.reason
    )
    assert [stage.step for stage in report.begin.stages] == [
        "columntransformer (ColumnTransformer)",
        "logisticregression (LogisticRegression)",
    ]


def test_no_step_is_named_if_a_new_conversion_does_not_give_the_answers_of_the_file(folder):
    data = np.round(np.random.default_rng(0).normal(size=(300, 2)), 2)
    model = make_pipeline(StandardScaler(), DecisionTreeRegressor(random_state=0)).fit(
        data, data[:, 0].round()
    )
    sidecall.export(model, folder / "last.onnx", data, dtype="float64")
    changed = make_pipeline(
        model.steps[0][1],
        DecisionTreeRegressor(random_state=0, max_depth=2).fit(
            model[0].transform(data), data[:, 1]
        ),
    )
    report = sidecall.compare(changed, folder / "last.onnx", data, stability=5)
    # The file was made from `model`. A new conversion of `changed` does not give the answers of the
    # file, so the report makes no claim about the steps.
    assert (
        report.moved > 0
        and report.begin.step == ""
        and "does not give the answers of the file" in report.begin.reason
    )
    assert "could not be determined" in str(report)


def test_the_only_step_of_a_model_is_named(folder):
    data = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    model = LinearRegression().fit(data.astype(float), data[:, 0] * 1e6)
    sidecall.export(model, folder / "one.onnx", data, precision="float32")
    report = sidecall.compare(model, folder / "one.onnx", data.astype(float), stability=5)
    assert report.moved > 0 and report.begin.step == "LinearRegression"
