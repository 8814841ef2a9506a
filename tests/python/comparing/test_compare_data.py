"""sidecall.compare: containers and files of rows, models that it refuses, and its output for
people.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import sidecall
from comparing_parts import Echo
from export_data import messages, payments
from sidecall.exporting import DataError, ModelError
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

ROWS = 1200

# Data.


def test_rows_in_pieces_give_the_same_report(fraud):
    model, path, frame = fraud
    whole = sidecall.compare(model, path, frame, stability=20)
    for data in (iter([frame[:500], frame[500:501], frame[501:]]), [frame[:700], frame[700:]]):
        parts = sidecall.compare(model, path, data, stability=20, chunk=300)
        assert (parts.rows, parts.moved) == (whole.rows, whole.moved)
        assert parts.outputs == whole.outputs and [w.row for w in parts.worst] == [
            w.row for w in whole.worst
        ]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "pkl"])
def test_rows_are_read_from_files(fraud, folder, suffix):
    model, path, frame = fraud
    file = folder / f"rows.{suffix}"
    rows = frame.assign(extra="left out").sample(frac=1.0, random_state=0)
    if suffix == "jsonl":
        rows.to_json(file, orient="records", lines=True, double_precision=15)
    elif suffix in ("parquet", "pkl"):
        getattr(rows, {"parquet": "to_parquet", "pkl": "to_pickle"}[suffix])(file)
    else:
        rows.to_csv(file, index=False, sep="\t" if suffix == "tsv" else ",")
    report = sidecall.compare(model, path, file, chunk=450, stability=0, trust_pickle=True)
    assert report.rows == report.compared == ROWS
    assert report.moved == sidecall.compare(model, path, frame, stability=0).moved
    assert "columns that are not features were left out: extra" in report.notes


def test_text_that_consists_of_digits_stays_text(folder):
    frame = pd.DataFrame({"code": ["007", "8", "x9"] * 20, "n": range(60)})
    first = make_column_transformer((OneHotEncoder(), ["code"]), remainder="passthrough")
    model = make_pipeline(first, LinearRegression()).fit(frame, frame["n"])
    sidecall.export(model, folder / "codes.onnx", frame)
    frame[frame["code"] != "x9"].to_csv(folder / "codes.csv", index=False)
    report = sidecall.compare(model, folder / "codes.onnx", folder / "codes.csv", chunk=7)
    assert (report.compared, report.refused_by_both) == (40, 0)


def test_arrays_and_text_are_compared(folder, steps):
    model, path, data = steps
    np.save(folder / "steps.npy", data)
    for same in (data, data.tolist(), folder / "steps.npy", pd.DataFrame(data)):
        assert sidecall.compare(model, path, same).rows == 400
    texts, labels = messages(200)
    spam = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    sidecall.export(spam, folder / "spam.onnx", texts)
    (folder / "spam.txt").write_text("\n".join(texts), encoding="utf-8")
    for same in (texts, pd.Series(texts), np.array(texts), folder / "spam.txt"):
        assert sidecall.compare(spam, folder / "spam.onnx", same, absolute=1e-5).moved == 0


def test_missing_values_are_compared_in_every_container(folder):
    frame, target = payments(400)
    frame = frame[["age", "amount"]]
    model = HistGradientBoostingRegressor(max_iter=5).fit(frame, target)
    sidecall.export(model, folder / "age.onnx", frame)
    frame.to_json(folder / "age.jsonl", orient="records", lines=True)
    frame.to_csv(folder / "age.csv", index=False)
    for data in (frame, frame.convert_dtypes(), folder / "age.jsonl", folder / "age.csv"):
        report = sidecall.compare(model, folder / "age.onnx", data, absolute=1e-5)
        assert (report.compared, report.moved) == (400, 0)


def test_the_original_gets_rows_in_the_type_of_the_option_dtypes(folder):
    """The original gets float64 although the rows are float32."""
    data = np.random.default_rng(0).normal(size=(300, 4)) * [1, 10, 100, 1000]
    model = StandardScaler().fit(data)
    sidecall.export(model, folder / "scaler.onnx", data, dtype="float64")
    narrow = data.astype(np.float32)
    assert (
        sidecall.compare(model, folder / "scaler.onnx", narrow, dtypes="float64")
        .outputs[0]
        .absolute
        == 1e-8
    )
    report = sidecall.compare(model, folder / "scaler.onnx", narrow)
    assert report.outputs[0].absolute == 1e-5 and any(
        "float32 columns were passed to the original unchanged" in note for note in report.notes
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected data"),
        (5, "expected a DataFrame, an array"),
        (np.empty((0, 1)), "at least one row of data, got none"),
        ([], "at least one row of data, got none"),
        (np.zeros((3, 2)), "expected rows of 1 features, got an array of shape 3x2"),
        (iter([{"x0": 1}]), "expected an iterator of DataFrames"),
        ([{"x0": 1}], "got a list of dict"),
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), "data without 'x0'"),
    ],
)
def test_invalid_data_is_refused(steps, data, message):
    model, path, _ = steps
    with pytest.raises(DataError, match=re.escape(message)):
        sidecall.compare(model, path, data)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.csv", None, "no such file"),
        ("rows.xyz", "x", "expected .csv, .tsv"),
        ("rows.parquet", "secret", "expected parquet data"),
        ("broken.jsonl", '{"x0": 1}\n{"x0"', "broken.jsonl:2: expected a record as JSON"),
        ("quote.csv", 'x0\n"secret', "expected csv data, got a file that cannot be read"),
        ("rows.pkl", "secret", "--trust-pickle"),
    ],
)
def test_the_error_for_an_unreadable_file_does_not_quote_it(steps, tmp_path, name, text, message):
    model, path, _ = steps
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        sidecall.compare(model, path, tmp_path / name)
    assert "secret" not in str(caught.value)


def test_parquet_without_pyarrow_says_what_to_install(steps, tmp_path, monkeypatch):
    model, path, _ = steps
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        ModuleNotFoundError, match="reading Parquet needs pyarrow: pip install pyarrow"
    ):
        sidecall.compare(model, path, tmp_path / "rows.parquet")


# Models.


def test_a_model_that_is_not_the_original_is_refused(fraud, steps):
    _, path, frame = fraud
    with pytest.raises(ModelError, match="without the output 'label'"):
        sidecall.compare(steps[0], path, frame)
    others = LogisticRegression().fit(frame[["amount"]], np.where(frame["amount"] > 60, "a", "b"))
    with pytest.raises(ModelError, match="different classes"):
        sidecall.compare(others, path, frame)
    with pytest.raises(ModelError, match="expected a fitted model"):
        sidecall.compare(object(), path, frame)


@pytest.mark.parametrize(
    "option",
    [
        {"chunk": 0},
        {"worst": -1},
        {"stability": -1},
        {"absolute": -1.0},
        {"relative": float("nan")},
    ],
)
def test_invalid_options_are_refused(steps, option):
    model, path, data = steps
    with pytest.raises(DataError, match=f"{next(iter(option))}: expected"):
        sidecall.compare(model, path, data, **option)


def test_a_file_without_a_contract_is_refused(steps, models):
    model, _, data = steps
    bare = sorted(models.glob("*.onnx"))
    path = next(file for file in bare if sidecall.open(file, verify="off").contract is None)
    with pytest.raises(sidecall.errors.NoContract):
        sidecall.compare(model, path, data)
    with pytest.raises(FileNotFoundError):
        sidecall.compare(model, "none.onnx", data)


def test_compare_does_not_close_a_model_that_the_caller_opened(steps):
    model, path, data = steps
    with sidecall.open(path) as opened:
        assert sidecall.compare(model, opened, data).holds
        assert opened.predict({"x0": 4.0}) == {"prediction": 2.0}


def test_a_model_served_without_conversion_is_compared(steps, tmp_path):
    """Such a server has no graph whose steps could be compared, but its answers are compared."""
    model, _, data = steps
    doubled = make_pipeline(
        FunctionTransformer(np.negative), FunctionTransformer(np.negative), model
    ).fit(data, data[:, 0])
    with sidecall.serve(doubled, f"shm:{tmp_path}/served.sock", data=data, block=False, log=None):
        assert sidecall.compare(doubled, f"shm:{tmp_path}/served.sock", data).holds
        other = Echo(lambda values: values + 1)
        report = sidecall.compare(
            make_pipeline(FunctionTransformer(), other).fit(data),
            f"shm:{tmp_path}/served.sock",
            data,
            stability=5,
        )
    assert (report.compared, report.moved, report.precision) == (400, 400, "original")
    assert report.begin.step == "" and "served without conversion" in report.begin.reason


# Output for people.


def test_progress_counts_rows(steps):
    model, path, data = steps
    seen = []
    sidecall.compare(
        model, path, data, chunk=150, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(150, 400), (300, 400), (400, 400)]
    seen.clear()
    sidecall.compare(
        model,
        path,
        iter([data]),
        chunk=400,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(400, 0)]


def test_nothing_is_printed_and_the_data_is_unchanged(fraud, capfd):
    model, path, frame = fraud
    before = frame.copy()
    sidecall.compare(model, path, frame, stability=2, dtypes={"amount": "float32"})
    pd.testing.assert_frame_equal(frame, before)
    assert capfd.readouterr() == ("", "")


def test_a_comparison_is_shown_in_a_notebook(fraud):
    model, path, frame = fraud
    report = sidecall.compare(model, path, frame.rename(columns={}), stability=2)
    html = report._repr_html_()
    assert html.startswith("<div") and "<svg" in html and 'role="img"' in html
    for part in (
        f"{report.moved:,} of {ROWS:,} rows",
        "probabilities.0",
        "the difference begins in",
        "worst rows",
    ):
        assert part in html, part
    for foreign in ("<script", "<style", "http://", "https://", "url("):
        assert foreign not in html.replace('xmlns="http://www.w3.org/2000/svg"', ""), foreign


def test_names_are_escaped_in_html(folder):
    name = "<script>alert(1)</script>"
    frame = pd.DataFrame({name: np.arange(30.0)})
    model = LinearRegression().fit(frame, frame[name] * 1e-3)
    report = sidecall.export(model, folder / "script.onnx", frame, name=name)
    comparison = sidecall.compare(model, folder / "script.onnx", frame + 0.1)
    for html in (report._repr_html_(), comparison._repr_html_()):
        assert "<script" not in html
    assert "&lt;script&gt;" in report._repr_html_()


def test_an_export_report_is_shown_in_a_notebook(fraud, folder):
    model, _, frame = fraud
    html = sidecall.export(model, folder / "page.onnx", frame)._repr_html_()
    for part in (
        "<svg",
        "largest difference of each output",
        "probabilities",
        "amount",
        "made with sidecall",
        "golden rows",
    ):
        assert part in html, part


# Dates.


def hours(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"hour": frame["when"].dt.hour})


@pytest.mark.parametrize("zone", ["Europe/Berlin", "+05:30", None])
def test_dates_reach_the_original_in_the_unit_and_zone_of_fit(folder, zone):
    frame = pd.DataFrame({"when": pd.date_range("2026-03-28", periods=60, freq="5h", tz=zone)})
    frame.loc[3, "when"] = pd.NaT
    model = make_pipeline(FunctionTransformer(hours)).fit(frame)
    path = folder / f"hours-{zone is None}-{len(zone or '')}.onnx"
    sidecall.export(model, path, frame)
    frame.to_csv(folder / "dates.csv", index=False)
    frame.to_json(folder / "dates.jsonl", orient="records", lines=True, date_format="iso")
    sets = [frame, folder / "dates.csv", frame.assign(when=frame["when"].dt.as_unit("ns"))]
    if zone is not None:
        sets += [
            folder / "dates.jsonl",
            frame.assign(when=frame["when"].dt.tz_convert("Australia/Lord_Howe")),
        ]
    for data in sets:
        report = sidecall.compare(model, path, data, stability=0)
        assert (report.rows, report.compared, report.moved) == (60, 60, 0)


def test_dates_without_the_zone_of_fit_are_not_given_one(folder):
    frame = pd.DataFrame({"when": pd.date_range("2026-03-28", periods=60, freq="5h", tz="UTC")})
    model = make_pipeline(FunctionTransformer(hours)).fit(frame)
    sidecall.export(model, folder / "hours.onnx", frame)
    other = frame.assign(when=frame["when"].dt.tz_localize(None))
    assert sidecall.compare(model, folder / "hours.onnx", other, stability=0).moved == 60
