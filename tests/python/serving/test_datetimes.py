"""Served objects get the datetimes of records as pandas has them, in their unit and zone."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall import errors

MISSING = {"value": -(2**63)}
SEEN = {"unit": "ms", "zone": "Europe/Berlin", "epoch": "s", "nullable": True, "missing": MISSING}
BORN = {"unit": "s", "nullable": False}
RECORD = {"seen": "2026-07-31T22:30:00Z", "born": "2000-02-29"}


def contract(output: dict[str, Any], **features: Any) -> dict[str, Any]:
    entries = [
        {"name": name, "type": "datetime", "input": name, "column": 0, **more}
        for name, more in features.items()
    ]
    outputs = [{"name": "prediction", "role": "prediction", **output}]
    return {"format": 5, "model": {"name": "dates"}, "features": entries, "outputs": outputs}


class Hours:
    """An estimator that answers with the hour in Berlin, and keeps what it got."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []

    def fit(self, rows: Any, labels: Any = None) -> Hours:
        return self

    def predict(self, frame: pd.DataFrame) -> Any:
        self.frames.append(frame)
        return frame.iloc[:, 0].dt.hour.to_numpy(dtype=np.float64, na_value=-1)


@pytest.fixture
def hours() -> Hours:
    return Hours()


def test_an_estimator_gets_a_frame_with_units_and_zones(serve, at, hours, each_backend):
    serve(hours, contract=contract({"type": "float64"}, seen=SEEN, born=BORN))
    client = sidecall.open(at)
    assert [feature.type_text for feature in client.features] == [
        "datetime[ms, Europe/Berlin]",
        "datetime[s]",
    ]
    assert client.predict(RECORD) == {"prediction": 0.0}
    assert client.predict([RECORD, RECORD | {"seen": 1785537000}, RECORD | {"seen": None}]) == [
        {"prediction": 0.0},
        {"prediction": 0.0},
        {"prediction": -1.0},
    ]
    frame = hours.frames[-1]
    assert [str(dtype) for dtype in frame.dtypes] == [
        "datetime64[ms, Europe/Berlin]",
        "datetime64[s]",
    ]
    assert frame["seen"].tolist() == [pd.Timestamp("2026-08-01T00:30", tz="Europe/Berlin")] * 2 + [
        pd.NaT
    ]
    assert frame["born"].tolist() == [pd.Timestamp("2000-02-29")] * 3
    with pytest.raises(errors.InvalidString, match="one without a zone"):
        client.predict(RECORD | {"seen": "2026-07-31T22:30:00"})
    with pytest.raises(errors.MissingValue):
        client.predict({"seen": "2026-07-31T22:30:00Z"})


@pytest.mark.parametrize(
    ("more", "dtype"),
    [
        ({"unit": "ns", "zone": "+05:30"}, "datetime64[ns, UTC+05:30]"),
        ({"unit": "us", "zone": "UTC"}, "datetime64[us, UTC]"),
        ({"unit": "ns"}, "datetime64[ns]"),
    ],
)
def test_a_single_datetime_comes_in_a_frame_too(serve, at, hours, more, dtype):
    serve(hours, contract=contract({"type": "float64"}, when=more | {"nullable": False}))
    text = "2026-01-31T23:00:00" + ("Z" if "zone" in more else "")
    hour = 4.0 if more.get("zone") == "+05:30" else 23.0
    assert sidecall.open(at).predict({"when": text}) == {"prediction": hour}
    assert str(hours.frames[-1].dtypes.iloc[0]) == dtype


def test_a_function_over_records_gets_timestamps(serve, at, each_backend):
    seen: list[Any] = []

    def describe(record: dict[str, Any]) -> Any:
        seen.append(record)
        return {"prediction": str(record["seen"])}

    serve(describe, contract=contract({"type": "string"}, seen=SEEN, born=BORN))
    client = sidecall.open(at)
    assert client.predict(RECORD) == {"prediction": "2026-08-01 00:30:00+02:00"}
    assert client.predict(RECORD | {"seen": None}) == {"prediction": "None"}
    assert isinstance(seen[0]["born"], datetime.datetime)
    assert seen[0]["born"] == datetime.datetime(2000, 2, 29)


def test_a_contract_without_a_unit_is_refused(serve):
    with pytest.raises(errors.ContractInvalid, match="unit"):
        serve(
            lambda record: {"prediction": 1.0},
            contract=contract({"type": "float64"}, seen={"nullable": False}),
        )
