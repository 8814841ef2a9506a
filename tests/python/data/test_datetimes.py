"""Features of type datetime in Python: records, DataFrames, arrays, calls and the signature.

The model dates.onnx returns the count of each of its four datetimes: `seen` counts ms and has a
zone, `born` counts s and has none, `exact` counts ns and has a zone, `due` counts us and has a zone.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sidecall
from sidecall import errors

Load = Callable[..., sidecall.Model]
DAY = 1769817600  # 2026-01-31 in seconds
RESERVED = np.iinfo(np.int64).min
GOOD = {
    "seen": "2026-01-31T00:00:00Z",
    "born": "2026-01-31",
    "exact": "2026-01-31T00:00:00Z",
    "due": "1970-01-01T00:00:01Z",
}
PLACE = {"seen": 0, "born": 1, "exact": 2, "due": 3}
BERLIN = ZoneInfo("Europe/Berlin")
EXAMPLE = "2026-01-31T12:30:00"


@pytest.fixture
def model(load: Load) -> sidecall.Model:
    return load("dates.onnx")


def count(model: sidecall.Model, name: str, value: Any) -> int:
    answer: int = model.predict({**GOOD, name: value})["transformed"][PLACE[name]]
    return answer


class Number(enum.IntEnum):
    FIVE = 5


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seen", datetime.datetime(2026, 1, 31, 1, 0, 0, 250000, BERLIN), DAY * 1000 + 250),
        ("seen", datetime.datetime(1969, 12, 31, 23, 59, 59, 999000, datetime.UTC), -1),
        ("seen", pd.Timestamp("2026-01-31T01:00", tz="Europe/Berlin"), DAY * 1000),
        # The hour that occurs twice, first and second.
        ("seen", datetime.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), 1792888200000),
        ("seen", datetime.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), 1792891800000),
        ("seen", None, RESERVED),
        ("seen", pd.NaT, RESERVED),
        ("seen", pd.NA, RESERVED),
        ("seen", np.datetime64("NaT"), RESERVED),
        ("seen", float("nan"), RESERVED),
        ("seen", DAY, DAY * 1000),
        ("seen", DAY + 0.25, DAY * 1000 + 250),
        ("seen", np.int32(5), 5000),
        ("seen", np.uint8(5), 5000),
        ("seen", np.float64(0.001), 1),
        ("seen", np.float32(0.5), 500),
        ("seen", Number.FIVE, 5000),
        ("seen", 1e9, 10**12),
        ("born", datetime.datetime(2026, 1, 31), DAY),
        ("born", datetime.datetime(1, 1, 1), -62135596800),
        ("born", datetime.datetime(9999, 12, 31, 23, 59, 59), 253402300799),
        ("born", pd.Timestamp("2026-01-31"), DAY),
        ("born", pd.Timestamp(np.datetime64("20000-01-01", "s")), 568971820800),
        ("born", np.datetime64("2026-01-31T00:00:00.000000000"), DAY),
        ("born", np.datetime64(5, "25s"), 125),
        ("born", np.datetime64(7 * 10**18, "as"), 7),
        ("exact", pd.Timestamp("2026-01-31T00:00:00.000000001Z"), DAY * 10**9 + 1),
        ("exact", datetime.datetime(2026, 1, 31, 0, 0, 0, 1, datetime.UTC), DAY * 10**9 + 1000),
        ("exact", pd.Timestamp.min.tz_localize("UTC"), RESERVED + 1),
        ("exact", pd.Timestamp.max.tz_localize("UTC"), 2**63 - 1),
    ],
)
def test_values_of_records(model: sidecall.Model, name: str, value: Any, expected: int) -> None:
    assert count(model, name, value) == expected


def test_every_unit_of_numpy_gives_what_numpy_itself_gives(model: sidecall.Model) -> None:
    for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us"):
        for number in (-7001, -401, -13, -1, 0, 1, 11, 12, 401, 7001):
            value = np.datetime64(number, unit) + np.timedelta64(0, unit)
            whole = value.astype("M8[s]")
            if whole.astype("M8[us]") == value:
                assert count(model, "born", value) == whole.astype(np.int64), value


@pytest.mark.parametrize(
    ("name", "value", "error", "expected", "got"),
    [
        (
            "seen",
            datetime.datetime(2026, 1, 31),
            errors.DtypeMismatch,
            f"a datetime such as '{EXAMPLE}Z'",
            "a datetime without a zone",
        ),
        (
            "seen",
            pd.Timestamp("2026-01-31"),
            errors.DtypeMismatch,
            None,
            "a datetime without a zone",
        ),
        (
            "seen",
            np.datetime64("2026-01-31"),
            errors.DtypeMismatch,
            None,
            "a datetime without a zone",
        ),
        (
            "born",
            datetime.datetime(2026, 1, 31, tzinfo=BERLIN),
            errors.DtypeMismatch,
            f"a datetime such as '{EXAMPLE}'",
            "a datetime with a zone",
        ),
        (
            "born",
            pd.Timestamp("2026-01-31", tz="UTC"),
            errors.DtypeMismatch,
            None,
            "a datetime with a zone",
        ),
        (
            "born",
            datetime.date(2026, 1, 31),
            errors.DtypeMismatch,
            None,
            "a date without a time; convert it to a datetime",
        ),
        ("born", datetime.time(1), errors.DtypeMismatch, None, "time"),
        ("born", pd.Timedelta(1), errors.DtypeMismatch, None, "Timedelta"),
        ("born", np.timedelta64(1, "s"), errors.DtypeMismatch, None, "timedelta64"),
        ("born", True, errors.DtypeMismatch, None, "bool"),
        ("born", np.True_, errors.DtypeMismatch, None, "bool"),
        ("born", [1], errors.DtypeMismatch, None, "array"),
        ("born", {}, errors.DtypeMismatch, None, "object"),
        ("born", 5, errors.DtypeMismatch, None, "a number, for which the contract has no 'epoch'"),
        (
            "born",
            5.5,
            errors.DtypeMismatch,
            None,
            "a number, for which the contract has no 'epoch'",
        ),
        ("born", None, errors.MissingValue, "datetime", "a missing value"),
        ("born", pd.NaT, errors.MissingValue, "datetime", "a missing value"),
        ("born", "2026-01-31T00:00Z", errors.InvalidString, None, "one with a zone"),
        ("born", "\ud800", errors.InvalidString, None, "another text"),
        (
            "born",
            datetime.datetime(2026, 1, 31, 0, 0, 0, 1),
            errors.OutOfRange,
            "a datetime of whole s (truncate a finer datetime)",
            "a finer datetime",
        ),
        (
            "born",
            np.datetime64(1, "as"),
            errors.DtypeMismatch,
            None,
            "a datetime64 with a part of a nanosecond",
        ),
        (
            "born",
            np.datetime64(2**62, "D"),
            errors.OutOfRange,
            "a datetime that int64 can count in s",
            "one beyond its range",
        ),
        ("born", np.datetime64(2**62, "Y"), errors.OutOfRange, None, "one beyond its range"),
        (
            "exact",
            datetime.datetime(2300, 1, 1, tzinfo=datetime.UTC),
            errors.OutOfRange,
            "a datetime that int64 can count in ns",
            "one beyond its range",
        ),
        (
            "seen",
            0.0001,
            errors.OutOfRange,
            "a datetime of whole ms (truncate a finer datetime)",
            "a finer datetime",
        ),
        ("seen", 10**30, errors.OutOfRange, None, "one beyond its range"),
        ("seen", float("inf"), errors.DtypeMismatch, None, "float64"),
        (
            "due",
            datetime.datetime(1969, 12, 31, tzinfo=datetime.UTC),
            errors.OutOfRange,
            None,
            "another",
        ),
    ],
)
def test_refused_values_of_records(
    model: sidecall.Model, name: str, value: Any, error: type, expected: str | None, got: str
) -> None:
    with pytest.raises(error) as caught:
        count(model, name, value)
    assert (caught.value.name, caught.value.got) == (name, got)
    if expected is not None:
        assert caught.value.expected == expected


def test_an_integer_of_thousands_of_digits_is_out_of_range(model: sidecall.Model) -> None:
    with pytest.raises(errors.OutOfRange, match="one beyond its range"):
        count(model, "seen", 10**5000)


def test_datetimes_are_refused_by_features_of_other_types(load: Load) -> None:
    kinds = load("kinds.onnx")
    for value in (datetime.datetime(2026, 1, 31), pd.Timestamp("2026-01-31"), np.datetime64("NaT")):
        with pytest.raises(errors.DtypeMismatch):
            kinds.predict({"f32_must": value})


def test_the_signature_shows_unit_zone_and_epoch(model: sidecall.Model) -> None:
    shown = {f.name: (f.dtype, f.unit, f.zone, f.epoch, f.type_text) for f in model.features}
    assert shown == {
        "seen": ("datetime", "ms", "Europe/Berlin", "s", "datetime[ms, Europe/Berlin]"),
        "born": ("datetime", "s", None, None, "datetime[s]"),
        "exact": ("datetime", "ns", "UTC", None, "datetime[ns, UTC]"),
        "due": ("datetime", "us", "+02:00", None, "datetime[us, +02:00]"),
    }
    assert "datetime[ms, Europe/Berlin]" in model._repr_html_()


def frame() -> pd.DataFrame:
    utc = pd.to_datetime(pd.Series(["2026-01-31T00:00:00.25", None]))
    return pd.DataFrame(
        {
            "seen": utc.dt.tz_localize("UTC").dt.tz_convert("America/New_York"),
            "born": pd.Series(["2026-01-31", "1969-12-31T23:59:59"]).astype("M8[ns]"),
            "exact": pd.to_datetime(pd.Series(["2026-01-31", None]), utc=True),
            "due": pd.Series(np.array([1, 2], "M8[s]")).dt.tz_localize("UTC"),
        }
    )


EXPECTED = [
    [DAY * 1000 + 250, DAY, DAY * 10**9, 10**6],
    [RESERVED, -1, RESERVED, 2 * 10**6],
]


def table(answer: Any) -> list[list[int]]:
    return [list(row) for row in zip(*(answer[f"transformed.{i}"] for i in range(4)), strict=True)]


def test_data_frames_of_pandas(model: sidecall.Model) -> None:
    data = frame()
    assert table(model.predict(data)) == EXPECTED
    for unit in ("ms", "us", "ns"):
        zoned = {
            name: data[name].astype(f"datetime64[{unit}, UTC]") for name in ("seen", "exact", "due")
        }
        assert table(model.predict(data.assign(**zoned))) == EXPECTED
    assert table(model.predict(data.assign(born=data["born"].astype("M8[s]")))) == EXPECTED
    objects = data.astype(object)
    assert table(model.predict(objects)) == EXPECTED
    text = data.assign(born=["2026-01-31", "1969-12-31T23:59:59"])
    assert table(model.predict(text)) == EXPECTED
    numbers = data.assign(seen=[DAY + 0.25, np.nan])
    assert table(model.predict(numbers)) == EXPECTED
    whole = data.assign(seen=pd.array([DAY, None], dtype="Int64"))
    assert table(model.predict(whole))[0][0] == DAY * 1000
    assert table(model.predict(whole))[1][0] == RESERVED


def test_data_frames_with_columns_of_pyarrow(model: sidecall.Model) -> None:
    data = frame()
    arrow = data.assign(
        seen=data["seen"].astype(pd.ArrowDtype(pa.timestamp("us", "Europe/Berlin"))),
        born=data["born"].astype(pd.ArrowDtype(pa.timestamp("s"))),
        exact=data["exact"].astype(pd.ArrowDtype(pa.timestamp("ns", "UTC"))),
    )
    assert table(model.predict(arrow)) == EXPECTED
    dates = data.assign(
        born=pd.Series([datetime.date(2026, 1, 31)] * 2, dtype=pd.ArrowDtype(pa.date32()))
    )
    with pytest.raises(errors.DtypeMismatch, match="date32"):
        model.predict(dates)


def test_data_frames_of_polars(model: sidecall.Model) -> None:
    data = pl.DataFrame(
        {
            "seen": pl.Series([DAY * 10**6 + 250000, None]).cast(pl.Datetime("us", "Asia/Tokyo")),
            "born": pl.Series([DAY * 1000, -1000]).cast(pl.Datetime("ms")),
            "exact": pl.Series([DAY * 10**9, None]).cast(pl.Datetime("ns", "UTC")),
            "due": pl.Series([1000, 2000]).cast(pl.Datetime("ms", "UTC")),
        }
    )
    answer = model.predict(data)
    assert isinstance(answer, pl.DataFrame)
    assert table(answer) == EXPECTED
    with pytest.raises(errors.DtypeMismatch) as caught:
        model.predict(data.with_columns(born=pl.Series([0, 1]).cast(pl.Date)))
    assert caught.value.got == "Date"


@pytest.mark.parametrize(
    ("column", "values", "error", "got"),
    [
        (
            "seen",
            pd.Series(np.array([0, 1], "M8[ms]")),
            errors.DtypeMismatch,
            "datetime64[ms] without a zone",
        ),
        ("born", frame()["due"], errors.DtypeMismatch, "datetime64[s, UTC] with a zone"),
        (
            "born",
            pd.Series(np.array([0, 1], "M8[ms]")),
            errors.OutOfRange,
            "a finer datetime",
        ),
        (
            "exact",
            pd.Series(np.array([0, 2**60], "M8[s]")).dt.tz_localize("UTC"),
            errors.OutOfRange,
            "one beyond its range",
        ),
        ("born", pd.Series([pd.NaT, pd.NaT]), errors.MissingValue, "a missing value"),
        ("born", pd.Series(np.array([0, 1], "m8[s]")), errors.DtypeMismatch, "timedelta64[s]"),
        (
            "born",
            pd.Series(pd.period_range("2026", periods=2, freq="D")),
            errors.DtypeMismatch,
            "Period",
        ),
        (
            "born",
            pd.Series([0, 1]),
            errors.DtypeMismatch,
            "a number, for which the contract has no 'epoch'",
        ),
        (
            "due",
            pd.Series(np.array([-1, 1], "M8[s]")).dt.tz_localize("UTC"),
            errors.OutOfRange,
            "another",
        ),
    ],
)
def test_refused_columns(
    model: sidecall.Model, column: str, values: pd.Series, error: type, got: str
) -> None:
    with pytest.raises(error) as caught:
        model.predict(frame().assign(**{column: values}))
    assert (caught.value.name, caught.value.got) == (column, got)


def test_the_row_is_named_that_a_unit_cannot_hold(model: sidecall.Model) -> None:
    data = pd.concat([frame()] * 3, ignore_index=True)
    data["born"] = pd.Series([np.datetime64(k, "s") for k in range(6)]).astype("M8[ns]")
    data.loc[4, "born"] += pd.Timedelta(1)
    with pytest.raises(errors.OutOfRange) as caught:
        model.predict(data)
    assert (caught.value.row, len(caught.value.faults)) == (4, 1)


def test_datetime_columns_for_other_features_are_refused_as_before(load: Load) -> None:
    with pytest.raises(errors.DtypeMismatch, match=r"datetime64\[ns\]"):
        load("matrix.onnx").predict(
            pd.DataFrame({"a": np.zeros(2, "M8[ns]"), "b": 1, "c": True, "d": 1.5})
        )


def test_arrays_of_datetime64_are_tensors(model: sidecall.Model) -> None:
    counts = [DAY, -1]
    inputs = {
        "seen": np.array(counts, "M8[s]").reshape(-1, 1),
        "born": np.array([DAY // 86400, 0], "M8[D]").reshape(-1, 1),
        "exact": np.ma.masked_array(np.array(counts, "M8[s]"), [False, True]).reshape(-1, 1),
        "due": np.array([1, 2], ">M8[s]").reshape(-1, 1),
    }
    expected = [
        [DAY * 1000, DAY, DAY * 10**9, 10**6],
        [-1000, 0, RESERVED, 2 * 10**6],
    ]
    assert model.run(inputs)["transformed"].tolist() == expected
    assert model.run(inputs)["transformed"].tolist() == expected
    for bad in (np.array([[1]], "M8[ms]"), np.array([[2**62]], "M8[D]")):
        with pytest.raises(errors.OutOfRange, match="input 'born'"):
            model.run({**inputs, "born": bad})
    with pytest.raises(errors.MissingValue):
        model.run({**inputs, "born": np.array([["NaT"], ["NaT"]], "M8[s]")})
    with pytest.raises(errors.DtypeMismatch):
        model.run({**inputs, "born": np.zeros((2, 1), "m8[s]")})


def test_a_call_sets_datetimes(model: sidecall.Model) -> None:
    with model.call() as call:
        for name, value in GOOD.items():
            call.set(0, name, value)
        call.set(0, "born", datetime.datetime(1970, 1, 2))
        call.set(0, "seen", 5)
        call.run()
        assert [call.get(0, f"transformed.{i}") for i in range(2)] == [5000, 86400]
        with pytest.raises(errors.DtypeMismatch):
            call.set(0, "born", 5)
