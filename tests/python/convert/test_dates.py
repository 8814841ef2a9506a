"""Parts of dates in graphs are those of pandas, for every unit and zone, on both engines."""

from __future__ import annotations

import datetime
import warnings
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import pytz
import sidecall
from convert_harness import run_graph
from sidecall.convert.dates import MISSING_DATE, UNITS, DateType, offsets, zone_name
from sidecall.convert.graph.builder import Tensor
from sidecall.convert.graph.calendar import FLAGS, INTEGERS, flag, midnight, part, wall_clock
from sidecall.convert.graph.dates import Dates
from sidecall.convert.registry import Conversion

ZONES: list[Any] = [
    None,
    datetime.UTC,
    datetime.timezone(datetime.timedelta(hours=-9, minutes=-30)),
    pytz.timezone("America/New_York"),
    *map(
        ZoneInfo,
        ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
         "Africa/Casablanca", "Pacific/Apia", "Africa/Monrovia"),
    ),
]  # fmt: skip


def seconds_of(zone: Any) -> np.ndarray:
    """Seconds at random, and one second beside years, leap days, and changes of the zone."""
    rng = np.random.default_rng(0)
    years = np.arange(1, 10_000, 41).astype(str)
    texts = [f"{year.zfill(4)}-{day}" for year in years for day in ("01-01", "02-28", "03-01")]
    texts += [f"{year}-{day}" for year in (1900, 1968, 1970, 2000, 2024, 2100, 2262)
              for day in ("01-01", "02-28", "03-01", "12-31")]  # fmt: skip
    days = np.array(texts, dtype="datetime64[D]").astype("int64") * 86400
    first, last = DateType("s", zone).counts
    changes = np.array([], "int64") if zone is None else offsets(zone).starts
    beside = np.concatenate([days, days + 86400, changes, changes + 3600, changes - 3600, [0]])
    found = np.concatenate(
        [beside - 1, beside, beside + 1, rng.integers(first, last, 500, endpoint=True),
         rng.integers(-(2**31), 2**32, 500), [first, last]]
    )  # fmt: skip
    return np.unique(found[(found >= first) & (found <= last)])


def counts_of(kind: DateType) -> np.ndarray:
    low, high = kind.counts
    seconds = seconds_of(kind.zone)
    held = seconds[(seconds > low // kind.per_second) & (seconds < high // kind.per_second)]
    whole = held * kind.per_second
    more = np.random.default_rng(1).integers(0, kind.per_second, len(whole))
    ends = [low, low + 1, high - 1, high, -1, 0, 1, MISSING_DATE]
    return np.unique(np.concatenate([whole, whole + more, whole - 1, ends]))


def series(counts: np.ndarray, kind: DateType) -> pd.Series:
    column = pd.Series(counts.view(f"datetime64[{kind.unit}]"))
    if kind.zone is not None:
        column = column.dt.tz_localize("UTC").dt.tz_convert(kind.zone)
    return column


def answers(kind: DateType, counts: np.ndarray) -> dict[str, np.ndarray]:
    """All parts by the graph; both engines give the same ones."""
    g = Conversion("float64", ["x"])
    x = Dates(Tensor(g, "x", "int64", 1), kind)
    with g.step("", "test"):
        found = {name: part(g, x, name) for name in INTEGERS}
        found |= {name: flag(g, x, name) for name in FLAGS}
        found["wall_clock"] = wall_clock(g, x).counts
        if kind.zone is None:
            found["midnight"] = midnight(g, x).counts
        outputs = [(name, tensor, [1]) for name, tensor in found.items()]
        graph = g.finish("dates", [(x, 1)], outputs + g.refused())
    feeds = {"x": counts.reshape(-1, 1)}
    expected = run_graph(graph, feeds)
    with sidecall.open(graph.SerializeToString(), engine="native", verify="off") as model:
        got = model.run(feeds)
    for name, answer in expected.items():
        assert np.array_equal(np.asarray(got[name]).ravel(), answer.ravel()), name
    return {name: answer.ravel() for name, answer in expected.items()}


def of_pandas(column: pd.Series, name: str) -> np.ndarray:
    if name in ("wall_clock", "midnight"):
        local = column if column.dt.tz is None else column.dt.tz_localize(None)
        return np.asarray((local.dt.normalize() if name == "midnight" else local).array.asi8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in ("week", "iso_year", "iso_day"):
            found = column.dt.isocalendar()[name.removeprefix("iso_")]
            return found.to_numpy(dtype="float64", na_value=np.nan)
        return getattr(column.dt, name).to_numpy()


@pytest.mark.parametrize(
    ("zone", "unit"),
    [(zone, unit) for k, zone in enumerate(ZONES) for unit in (UNITS if k < 3 else ("us", "ns"))],
    ids=lambda item: item and f"{type(item).__module__} {item}",
)
def test_parts_are_those_of_pandas(zone: Any, unit: str) -> None:
    kind = DateType(unit, zone)
    counts = counts_of(kind)
    column = series(counts, kind)
    missing = counts == MISSING_DATE
    got = answers(kind, counts)
    # Only the start of the first day that nanoseconds can count is not known.
    refused = got.pop("refused", np.zeros(len(counts))) != 0
    assert refused.sum() == (2 if unit == "ns" and zone is None else 0)
    for name, answer in got.items():
        kept = ~refused if name == "midnight" else np.ones(len(counts), dtype=bool)
        expected = np.zeros(len(counts), dtype=object)
        expected[kept] = of_pandas(column[kept], name)
        wrong = (answer != expected) & kept
        if name in INTEGERS:
            wrong &= ~missing
        assert not wrong.any(), (name, column[wrong].iloc[0], answer[wrong][0], expected[wrong][0])


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, ZoneInfo("Europe/Berlin")])
def test_dates_outside_of_the_calendar_are_refused(zone: Any, unit: str) -> None:
    kind = DateType(unit, zone)
    low, high = kind.counts
    counts = np.array([low - 1, low, high, high + 1, 2**63 - 1, MISSING_DATE + 1, MISSING_DATE])
    expected = [1, 0, 0, 2, 2, 1, 0] if zone is not None else [1, 0, 0, 1, 1, 1, 0]
    refused = answers(kind, counts)["refused"]
    assert (refused != 0).tolist() == [bool(number) for number in expected]


def test_every_change_of_a_zone_is_in_its_table() -> None:
    """The list of a zone's changes in the system's database has no other ones."""
    from zoneinfo._zoneinfo import ZoneInfo as Listed

    for name in ("Europe/Berlin", "Africa/Cairo", "America/Argentina/San_Luis", "Asia/Gaza"):
        listed = Listed.no_cache(name)
        starts, before = [], int(listed._tti_before.utcoff.total_seconds())
        for start, info in zip(listed._trans_utc, listed._ttinfos, strict=True):
            now = int(info.utcoff.total_seconds())
            if now != before:
                starts.append(start)
            before = now
        found = offsets(ZoneInfo(name)).starts
        assert found[found <= starts[-1]].tolist() == starts


def test_zones_have_the_names_that_a_contract_holds() -> None:
    fixed = datetime.timezone(datetime.timedelta(hours=-9, minutes=-30))
    names = [datetime.UTC, pytz.UTC, ZoneInfo("UTC"), fixed, pytz.FixedOffset(120),
             pytz.timezone("Europe/Berlin"), ZoneInfo("Europe/Berlin")]  # fmt: skip
    expected = ["UTC", "UTC", "UTC", "-09:30", "+02:00", "Europe/Berlin", "Europe/Berlin"]
    assert list(map(zone_name, names)) == expected


def test_a_zone_without_a_name_is_refused() -> None:
    class Own(datetime.tzinfo):
        def utcoffset(self, when: Any) -> datetime.timedelta:
            return datetime.timedelta(hours=1)

    with pytest.raises(ValueError, match=r"expected a zone of zoneinfo, pytz or datetime.timezone"):
        zone_name(Own())
    with pytest.raises(ValueError, match="whole number of minutes"):
        zone_name(datetime.timezone(datetime.timedelta(seconds=1)))
