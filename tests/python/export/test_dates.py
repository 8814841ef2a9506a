"""Models that read dates: the file answers as the model does, on both engines."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import sidecall
from contract_reader import File, check_contract
from feature_engine.datetime import DatetimeFeatures
from sidecall.exporting import DataError, StepError
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skrub import ApplyToCols, DatetimeEncoder, TableVectorizer

ROWS = 200
BERLIN = ZoneInfo("Europe/Berlin")


def frame(unit: str = "us", zone: Any = None, *, missing: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    when = pd.Series(pd.date_range("2024-02-27", periods=ROWS, freq="7h3min", tz=zone, unit=unit))
    if missing:
        when[[5, 77]] = pd.NaT
    until = pd.Series(pd.date_range("2024-03-27", periods=ROWS, freq="5h1min", tz=zone, unit=unit))
    return pd.DataFrame({"amount": rng.normal(size=ROWS), "when": when, "until": until})


def parts(df):
    when = df["when"].dt
    return df.assign(
        year=when.year, month=when.month, day=when.day, hour=when.hour, minute=when.minute,
        second=when.second, microsecond=when.microsecond, nanosecond=when.nanosecond,
        weekday=when.weekday, day_of_year=when.day_of_year, quarter=when.quarter,
        days=when.days_in_month, leap=when.is_leap_year, first=when.is_month_start,
        last=when.is_month_end, missing=df["when"].isna(),
    ).drop(columns=["when", "until"])  # fmt: skip


def arithmetic(df):
    when = df["when"].dt
    return df.assign(
        a=when.year * 10_000 + when.month * 100 + when.day,
        b=np.sin(2 * np.pi * when.hour / 24),
        c=when.hour // 6,
        d=when.day_of_week >= 5,
        e=when.hour.isin([1, 2]),
        f=np.where(when.hour < 6, 1, 0),
        g=when.minute % 7,
        h=when.hour.clip(3, 9),
        i=when.hour.fillna(-1),
    ).drop(columns=["when", "until"])


def members(df):
    """pandas finds dates, and no texts of dates."""
    when = df["when"]
    first = pd.Timestamp("2024-02-27", tz=when.dt.tz)
    return df.assign(
        a=when.isin([first]),
        b=when.isin(["2024-02-27", "2024-02-27 07:03"]),
        c=when.isin([first, None]),
        d=when.isin(["2024-02-27", first]),
        e=when.isin([pd.NaT]),
        f=when.isin([None]),
        g=when.isin([]),
        h=when.isin([first.tz_localize(None), first.tz_localize(None).tz_localize("UTC")]),
        i=(when - first).isin([pd.Timedelta(hours=7, minutes=3), "14:06:00"]),
        j=when.dt.isocalendar().week.isin([9, None]),
        k=when.dt.day.isin([27, np.nan]),
    ).drop(columns=["when", "until"])


def differences(df):
    when, until = df["when"], df["until"]
    moment = pd.Timestamp("2024-03-01 12:00:00.000001", tz=when.dt.tz)
    since, left = when - moment, until - when
    return df.assign(
        a=since.dt.days, b=since.dt.total_seconds(), c=left.dt.days, d=left.dt.total_seconds(),
        e=left / pd.Timedelta("1D"), f=when > moment, g=when <= moment, h=when != moment,
        i=when == moment, j=left > pd.Timedelta("3h"), k=since.dt.seconds,
        l=(when + pd.Timedelta("1D")).dt.day, m=when < until, n=when >= "2024-04-01",
    ).drop(columns=["when", "until"])  # fmt: skip


def clocks(df):
    when = df["when"]
    local = when.dt.tz_localize(None)
    return df.assign(
        a=local.dt.normalize().dt.day,
        b=(local - local.dt.normalize()).dt.total_seconds(),
        c=when.dt.tz_convert("Asia/Kolkata").dt.hour,
        d=when.dt.tz_convert("UTC").dt.normalize().dt.day,
        e=when.dt.tz_convert(None).dt.hour,
    ).drop(columns=["when", "until"])


def rounded(df):
    when, iso = df["when"], df["when"].dt.isocalendar()
    local = when.dt.tz_localize(None)
    return df.assign(
        a=(local - local.dt.floor("D")).dt.total_seconds(),
        b=local.dt.floor("15min").dt.minute,
        c=iso.week.astype(float), d=iso.year.astype(float), e=iso["day"].astype(float),
        f=when.between(pd.Timestamp("2024-03-01", tz=when.dt.tz), df["until"]),
        g=when.between("2024-03-01", "2024-03-05", inclusive="neither"),
        h=when < pd.NaT, i=when != pd.NaT,
        j=when.dt.weekday.map({0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: -6, 6: 0}),
        k=when.dt.hour.map({0: 0.5, 12: 1.25}),
    ).drop(columns=["when", "until"])  # fmt: skip


def made(df):
    when = df["when"].dt
    return pd.DataFrame(
        {"hour": when.hour, "one": 1.0, "late": when.hour > 20, "amount": df["amount"]},
        index=df.index,
    )


def proven(report: Any) -> bool:
    return set(report.contract["engines"]) == {"onnxruntime", "native"}


@pytest.mark.parametrize(
    "function", [parts, arithmetic, differences, clocks, rounded, made, members]
)
@pytest.mark.parametrize(
    ("unit", "zone"),
    [
        ("us", None),
        ("s", None),
        ("ns", BERLIN),
        ("us", datetime.timezone(datetime.timedelta(hours=-3))),
    ],
    ids=str,
)
def test_functions_of_dates_are_traced(tmp_path: Path, function: Any, unit: str, zone: Any) -> None:
    if function is clocks and zone is None:
        zone = datetime.UTC
    data = frame(unit, zone)
    model = FunctionTransformer(function).fit(data)
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert proven(report)
    check_contract(File(tmp_path / "m.onnx"))
    texts = (
        data.astype(object)
        .where(data.notna(), None)
        .map(lambda v: v.isoformat() if hasattr(v, "isoformat") else v)
    )
    records = texts.to_dict("records")
    expected = model.transform(data).to_numpy(dtype="float64")
    with sidecall.open(tmp_path / "m.onnx") as opened:
        got = [opened.predict(record)["transformed"] for record in records[:10]]
    np.testing.assert_array_equal(np.asarray(got, dtype="float64"), expected[:10])


def test_the_contract_says_unit_and_zone(tmp_path: Path) -> None:
    data = frame("ms", BERLIN)
    model = FunctionTransformer(parts).fit(data)
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    feature = report.contract["features"][1]
    assert feature["type"] == "datetime"
    assert (feature["unit"], feature["zone"]) == ("ms", "Europe/Berlin")
    assert feature["seen"] == {"min": "2024-02-26T23:00:00.000Z", "max": "2024-04-25T09:57:00.000Z"}
    assert "datetime ms Europe/Berlin" in str(report)
    golden = report.contract["verification"]["features"][1]
    # The hours that are repeated and skipped, a leap day, and a missing date.
    assert {"2024-10-27T00:30:00.000Z", "2024-03-31T01:30:00.000Z", None} <= set(golden)
    assert "2024-02-29T22:59:59.999Z" in golden


def test_a_file_without_ranges_has_no_date_of_the_data(tmp_path: Path) -> None:
    data = frame()
    model = FunctionTransformer(parts).fit(data)
    report = sidecall.export(model, tmp_path / "m.onnx", data, ranges=False)
    golden = set(report.contract["verification"]["features"][1]) - {None}
    assert "seen" not in report.contract["features"][1]
    assert golden.isdisjoint(data["when"].dropna().dt.strftime("%Y-%m-%dT%H:%M:%S.%f"))


def test_a_function_whose_numbers_wrap_around_beyond_int32_is_refused(tmp_path: Path) -> None:
    data = frame(missing=False)

    def wrapping(df):
        return df.assign(a=df["when"].dt.year * 1_050_000).drop(columns=["when", "until"])

    with pytest.raises(StepError, match="whole numbers of the type int32"):
        sidecall.export(FunctionTransformer(wrapping).fit(data), tmp_path / "m.onnx", data)


def test_dates_after_the_list_of_a_zone_are_refused(tmp_path: Path) -> None:
    data = frame("us", BERLIN)
    sidecall.export(FunctionTransformer(parts).fit(data), tmp_path / "m.onnx", data)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        record = {"amount": 1.0, "until": "2024-01-01T00:00:00Z"}
        assert opened.predict({**record, "when": "2262-12-31T23:59:59Z"})["transformed"][1] == 2263
        with pytest.raises(sidecall.Error, match="dates of the years 1 to 2262"):
            opened.predict({**record, "when": "2263-01-01T00:00:00Z"})


STRANGE = {
    "text": (lambda df: df.assign(when=df["when"].dt.strftime("%H").isna()), r"\.dt\.strftime"),
    "array": (lambda df: df[["when"]].values.astype("int64"), "its array holds dates"),
    "values": (lambda df: df.assign(when=df["when"].values > df["until"].values), "with .dt"),
    "week": (lambda df: df.assign(when=df["when"].dt.isocalendar().week > 9), "isocalendar"),
    "map": (lambda df: df.assign(when=df["when"].map({pd.NaT: 1})), "uses .map with dates"),
    "fine": (
        lambda df: df.assign(when=df["when"].dt.floor("1ns") == df["when"]),
        "finer than the unit us",
    ),
    "microseconds": (
        lambda df: df.assign(when=(df["when"] - pd.Timestamp("2024-01-01")).dt.microseconds),
        r"\.dt\.microseconds",
    ),
    "date": (lambda df: df.assign(when=df["when"] == datetime.date(2024, 1, 1)), "dates and date"),
    "zone": (
        lambda df: df.assign(when=df["when"] == pd.Timestamp("2024-01-01", tz="UTC")),
        "with and without a zone",
    ),
    "local": (
        lambda df: df.assign(when=df["when"].dt.tz_localize("Europe/Berlin").dt.hour),
        r"a zone other than UTC",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_functions_that_cannot_be_recorded_are_refused(case: str) -> None:
    function, message = STRANGE[case]
    data = frame()
    data = data.assign(until=data["until"]) if case in ("values", "array") else data[["when"]]
    model = FunctionTransformer(function).fit(data)
    model.transform(data)
    (step,) = sidecall.check(model, data).steps
    assert not step.converts
    assert re.search(message, step.reason)


def test_numbers_of_records_count_the_epoch_that_the_export_names(tmp_path: Path) -> None:
    data = frame("ms", BERLIN, missing=False)
    model = FunctionTransformer(arithmetic).fit(data)
    sidecall.export(model, tmp_path / "all.onnx", data, epoch="ms")
    sidecall.export(model, tmp_path / "one.onnx", data, epoch={"until": "s"})
    expected = model.transform(data.iloc[:1]).to_numpy(dtype="float64")[0]
    when, until = (data[name].astype("int64").iloc[0] for name in ("when", "until"))
    record = {"amount": data["amount"][0], "when": int(when), "until": int(until)}
    with sidecall.open(tmp_path / "all.onnx") as opened:
        assert [f.epoch for f in opened.features] == [None, "ms", "ms"]
        assert np.array_equal(opened.predict(record)["transformed"], expected)
        with pytest.raises(sidecall.errors.OutOfRange):
            opened.predict(record | {"when": 0.5})
    with sidecall.open(tmp_path / "one.onnx") as opened:
        text = data["when"][0].isoformat()
        answer = opened.predict(record | {"when": text, "until": int(until) // 1000})
        assert np.array_equal(answer["transformed"], expected)
        with pytest.raises(sidecall.errors.DtypeMismatch, match="has no 'epoch'"):
            opened.predict(record)


@pytest.mark.parametrize(
    ("epoch", "zone", "message"),
    [
        ("h", BERLIN, "epoch of 'when': expected s, ms, us, ns, got 'h'"),
        ({"amount": "s"}, BERLIN, "names of datetime features with a zone, got 'amount'"),
        ({"then": "s"}, BERLIN, "names of datetime features with a zone, got 'then'"),
        ("s", None, "epoch: expected None for a model without datetime features"),
    ],
)
def test_an_epoch_that_fits_no_feature_is_refused(
    tmp_path: Path, epoch: Any, zone: Any, message: str
) -> None:
    data = frame("s", zone)
    model = FunctionTransformer(made).fit(data)
    with pytest.raises(DataError, match=message):
        sidecall.export(model, tmp_path / "m.onnx", data, epoch=epoch)
    assert not (tmp_path / "m.onnx").exists()


def test_a_date_that_a_step_takes_as_a_number_is_refused(tmp_path: Path) -> None:
    data = frame(missing=False)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["when"]), (StandardScaler(), ["amount"])
    )
    model = make_pipeline(encode, Ridge()).fit(data, data["amount"])
    with pytest.raises(StepError, match="column of dates reaches a step that computes with num"):
        sidecall.export(model, tmp_path / "m.onnx", data)
    report = sidecall.check(model, data)
    assert [step.converts for step in report.steps][:1] == [False]


def test_a_column_of_dates_as_an_answer_is_refused(tmp_path: Path) -> None:
    data = frame()
    model = FunctionTransformer(lambda df: df[["when"]]).fit(data)
    with pytest.raises((StepError, sidecall.exporting.ModelError)):
        sidecall.export(model, tmp_path / "m.onnx", data)


def test_a_dropped_column_of_dates_is_a_feature_that_may_be_missing(tmp_path: Path) -> None:
    data = frame("us", BERLIN)
    select = make_column_transformer((StandardScaler(), ["amount"]), ("drop", ["when"]))
    model = make_pipeline(select, Ridge()).fit(data, data["amount"])
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert [f["type"] for f in report.contract["features"]] == ["float64", "datetime", "datetime"]
    with sidecall.open(tmp_path / "m.onnx") as opened:
        assert opened.predict({"amount": 1.0})["prediction"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.Series([datetime.datetime(2024, 1, 1)] * ROWS, dtype=object), "pandas.to_datetime"),
        (pd.Series(pd.timedelta_range("1s", periods=ROWS)), "timedelta"),
        (frame()["until"].dt.to_period("D"), "period"),
        (frame()["until"].astype("timestamp[us][pyarrow]"), r"astype\('datetime64\[us\]'\)"),
        (pd.Series(np.array(["12345-01-01"] * ROWS, dtype="M8[s]")), "years 1 to 9999"),
    ],
)
def test_columns_of_other_types_of_dates_are_refused(
    tmp_path: Path, values: Any, message: str
) -> None:
    data = frame().assign(until=values)
    model = FunctionTransformer(lambda df: df.assign(until=df["until"].isna())).fit(data)
    with pytest.raises(DataError, match=message):
        sidecall.export(model, tmp_path / "m.onnx", data)


ENCODERS = {
    "parts": DatetimeEncoder(resolution="nanosecond", add_weekday=True, add_day_of_year=True),
    "none": DatetimeEncoder(resolution=None, add_weekday=True),
    "circular": DatetimeEncoder(periodic_encoding="circular", add_weekday=True),
    "spline": DatetimeEncoder(periodic_encoding="spline", add_total_seconds=False),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_the_encoder_of_skrub(tmp_path: Path, name: str) -> None:
    unit, zone = {"parts": ("ns", BERLIN), "spline": ("ms", None)}.get(name, ("s", None))
    data = frame(unit, zone).drop(columns="until")
    model = ApplyToCols(ENCODERS[name], cols=["when"]).fit(data)
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert proven(report)
    assert max(output["largest"] for output in report.contract["parity"]["outputs"]) <= 1e-15


def test_the_table_vectorizer_of_skrub_encodes_dates(tmp_path: Path) -> None:
    data = frame("us", BERLIN).drop(columns="until")
    model = make_pipeline(TableVectorizer(), StandardScaler()).fit(data)
    assert proven(sidecall.export(model, tmp_path / "m.onnx", data))
    assert sidecall.check(model, data).ok
    with pytest.raises(StepError, match="fit saw a column of"):
        sidecall.export(model, tmp_path / "m.onnx", data.astype({"when": "M8[ns, Europe/Berlin]"}))


@pytest.mark.parametrize("missing", ["raise", "ignore"])
def test_the_features_of_feature_engine(tmp_path: Path, missing: str) -> None:
    data = frame("us", BERLIN, missing=missing == "ignore")
    wanted = ["month", "semester", "weekend", "day_of_week", "hour", "month_end", "leap_year"]
    model = DatetimeFeatures(
        variables=["when", "until"],
        features_to_extract="all" if missing == "raise" else wanted,
        missing_values=missing,
        utc=missing == "ignore",
    ).fit(data)
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert proven(report)
    assert report.contract["features"][1]["nullable"] == (missing == "ignore")


def test_the_features_of_feature_engine_from_texts_are_refused(tmp_path: Path) -> None:
    data = frame(missing=False).assign(until=frame()["until"].dt.strftime("%Y-%m-%d"))
    data = data.drop(columns="when")
    model = DatetimeFeatures(variables=["until"]).fit(data)
    with pytest.raises(StepError, match="reads dates from texts"):
        sidecall.export(model, tmp_path / "m.onnx", data)


class Opening(TransformerMixin, BaseEstimator):
    """Hours on the clock of Tokyo, weekends, and days since the first date of fit."""

    def fit(self, df, y=None):
        self.first_ = df["when"].min()
        return self

    def transform(self, df):
        tokyo = df["when"].dt.tz_convert("Asia/Tokyo").dt
        age = (df["when"] - self.first_).dt.total_seconds() / 86400.0
        return np.column_stack([tokyo.hour, tokyo.is_month_end, age])


@sidecall.register_converter(Opening)
def convert_opening(step, columns, g):
    when = columns["when"]
    tokyo = g.tz_convert(when, "Asia/Tokyo")
    counts = g.date_counts(when) - step.first_.value // 1000  # from nanoseconds
    age = g.where(g.missing(when), np.nan, g.cast(counts, "float64") / 1e6 / 86400.0)
    return [g.date_part(tokyo, "hour"), g.date_part(tokyo, "is_month_end"), age]


def test_a_registered_converter_reads_dates(tmp_path: Path) -> None:
    data = frame("us", BERLIN)[["when"]]
    assert proven(sidecall.export(Opening().fit(data), tmp_path / "m.onnx", data))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda columns, g: columns["when"] + 1, "column of dates"),
        (lambda columns, g: columns.matrix(), "column of dates"),
        (lambda columns, g: g.date_part(columns["when"], "century"), "name: expected year, month"),
        (lambda columns, g: g.date_part(columns["amount"], "year"), "expected a column of dates"),
        (lambda columns, g: g.tz_convert(columns["when"], "UTC"), "column with a zone"),
    ],
)
def test_a_registered_converter_that_misreads_dates_is_refused(body: Any, message: str) -> None:
    class Misread(Opening):
        def transform(self, df):
            return np.zeros((len(df), 1))

    sidecall.register_converter(Misread)(lambda step, columns, g: body(columns, g))
    report = sidecall.check(Misread().fit(frame()), frame())
    assert not report.ok and message in str(report.refusal)
