"""A model with datetimes, with and without a time zone, in several units. Used by ../generate.py."""

from __future__ import annotations

from typing import Any

import onnx

from . import build
from .build import Cases, model, node, tensor, with_contract
from .contracts import Contract, contract, feature

RESERVED = -(2**63)
MISSING = {"value": RESERVED}
# One day of 2026, with and without the digits that only nanoseconds hold.
DAY = 1769817600
GOOD = {
    "seen": "2026-01-31T01:00:00.25+01:00",
    "born": "2026-01-31",
    "exact": "2026-01-31T00:00:00.000000001Z",
    "due": "1970-01-01T00:00:01Z",
}
GOOD_OUT = [DAY * 1000 + 250, DAY, DAY * 10**9 + 1, 1000000]


def dates() -> tuple[onnx.ModelProto, Contract]:
    """`transformed` holds the count of each datetime."""
    features = [
        feature("seen", "datetime", missing=MISSING, unit="ms", zone="Europe/Berlin", epoch="s"),
        feature("born", "datetime", unit="s"),
        feature("exact", "datetime", missing=MISSING, unit="ns", zone="UTC"),
        feature(
            "due", "datetime", unit="us", zone="+02:00", domain=[[0, 10**15], [2 * 10**15, 2**62]]
        ),
    ]
    names = [entry["name"] for entry in features]
    graph = model(
        [(name, "int64", ["N", 1]) for name in names],
        [("transformed", "int64", ["N", 4])],
        [node("Concat", names, ["transformed"], axis=1)],
    )
    golden = ([["2026-01-31T00:00:00.25Z", None], ["2026-01-31T00:00:00", "1969-12-31T23:59:59"],
               ["2026-01-31T00:00:00.000000001Z", None], ["1970-01-01T00:00:01Z", "1970-01-01T00:00:00.000001Z"]],
              {"transformed": [GOOD_OUT, [RESERVED, -1, RESERVED, 1]]})  # fmt: skip
    outputs = [{"name": "transformed", "role": "transformed", "type": "int64", "width": 4}]
    made = contract("dates", "transform", features, outputs, golden)
    return graph, made


def datetimes() -> Cases:
    c = Cases("datetimes")
    graph, made = dates()
    build.write_model("dates.onnx", with_contract(graph, made))
    text_cases(c)
    number_cases(c)
    range_cases(c)
    tensor_cases(c)
    return c


def text_cases(c: Cases) -> None:
    def good(name: str, out: list[int], **values: Any) -> None:
        c.ok(name, "dates.onnx", record={**GOOD, **values}, result={"transformed": out})

    good("each_unit", GOOD_OUT)
    good("missing", [RESERVED, DAY, RESERVED, 1000000], seen=None, exact=None)
    good(
        "a_space_and_no_seconds",
        [(DAY + 1800) * 1000, DAY + 1800, *GOOD_OUT[2:]],
        seen="2026-01-31 00:30Z",
        born="2026-01-31 00:30",
    )
    good("lower_case_and_a_comma", [DAY * 1000 + 5, *GOOD_OUT[1:]], seen="2026-01-31t00:00:00,005z")
    good(
        "short_zones",
        [DAY * 1000, DAY, GOOD_OUT[2], 7200 * 10**6],
        seen="2026-01-30T19:30:00-0430",
        due="1970-01-01T00:00:00-02",
    )
    # Berlin until 1893, as Python's isoformat() writes it.
    good(
        "zones_with_seconds",
        [-2493763208000, DAY, -2493763208 * 10**9 + 1, 1000000],
        seen="1890-12-23T00:53:20+00:53:28",
        exact="1890-12-23T00:53:20.000000001+005328",
    )
    good(
        "before_1970",
        [-1, -86400, -1, 0],
        seen="1969-12-31T23:59:59.999Z",
        born="1969-12-31",
        exact="1969-12-31T23:59:59.999999999Z",
        due="1970-01-01T00:00Z",
    )
    good(
        "a_leap_day",
        [951782400000, 951782400, 951782400 * 10**9, 1000000],
        seen="2000-02-29T00:00Z",
        born="2000-02-29",
        exact="2000-02-29T00:00:00Z",
    )
    good(
        "the_first_and_the_last_year",
        [-62135596800000, 253402300799, *GOOD_OUT[2:]],
        seen="0001-01-01T00:00Z",
        born="9999-12-31T23:59:59",
    )
    good(
        "zeros_beyond_the_unit",
        [DAY * 1000, DAY, *GOOD_OUT[2:]],
        seen="2026-01-31T00:00:00.000000Z",
        born="2026-01-31T00:00:00.0",
    )
    example = "a datetime such as '2026-01-31T12:30:00Z'"
    wall = "a datetime such as '2026-01-31T12:30:00'"
    for name, text, got in (
        ("no_zone", "2026-01-31T00:00:00", "one without a zone"), ("a_date_alone", "2026-01-31", "a date without a time and a zone"),
        ("other_text", "31.01.2026", "another text"), ("empty", "", "an empty string"), ("no_such_date", "2026-02-29T00:00Z", "a date that does not exist"),
        ("no_such_time", "2026-01-31T24:00Z", "a time that does not exist"), ("no_such_zone", "2026-01-31T00:00+24:00", "a zone that does not exist"),
        ("no_such_seconds_of_a_zone", "2026-01-31T00:00+00:53:60", "a zone that does not exist"), ("a_zone_of_two_forms", "2026-01-31T00:00+0053:28", "another text"),
        ("text_of_a_number", "1769817600", "another text"), ("a_space_at_the_end", "2026-01-31T00:00Z ", "another text"),
    ):  # fmt: skip
        c.bad(
            name,
            "dates.onnx",
            "INVALID_STRING",
            {"name": "seen", "expected": example, "got": got},
            record={**GOOD, "seen": text},
            after="datetimes/each_unit",
        )
    c.bad(
        "a_zone_too_many",
        "dates.onnx",
        "INVALID_STRING",
        {"name": "born", "expected": wall, "got": "one with a zone"},
        record={**GOOD, "born": "2026-01-31T00:00:00Z"},
    )
    c.bad(
        "finer_than_the_unit",
        "dates.onnx",
        "INVALID_STRING",
        {
            "name": "born",
            "expected": "a datetime of whole s (truncate a finer datetime)",
            "got": "a finer datetime",
        },
        record={**GOOD, "born": "2026-01-31T00:00:00.5"},
    )
    c.bad(
        "not_nullable",
        "dates.onnx",
        "MISSING_VALUE",
        {"name": "born", "expected": "datetime", "got": "a missing value"},
        record={**GOOD, "born": None},
    )
    c.bad(
        "absent",
        "dates.onnx",
        "MISSING_VALUE",
        {"name": "born"},
        record={key: GOOD[key] for key in ("seen", "exact", "due")},
    )
    c.bad(
        "a_boolean",
        "dates.onnx",
        "DTYPE_MISMATCH",
        {"name": "born", "expected": wall, "got": "bool"},
        record={**GOOD, "born": True},
    )
    c.bad(
        "three_faults",
        "dates.onnx",
        "INVALID_STRING",
        {"name": "seen", "num_faults": 3},
        record={**GOOD, "seen": "x", "born": "y", "exact": "z"},
    )


def number_cases(c: Cases) -> None:
    """As JSON text only: the functions of C that set integers take counts of the tensor's unit."""
    rest = '"born": "2026-01-31", "exact": null, "due": "1970-01-01T00:00:01Z"'
    out = [DAY, RESERVED, 1000000]
    for name, number, count in (
        ("seconds", "1769817600", DAY * 1000), ("a_fraction", "1769817600.25", DAY * 1000 + 250), ("an_exponent", "1.7698176e9", DAY * 1000),
        ("a_negative_number", "-0.001", -1), ("zero", "-0", 0), ("many_zeros", "1769817600.0000000000000000000000000", DAY * 1000),
    ):  # fmt: skip
        c.ok(
            name,
            "dates.onnx",
            json=f'{{"seen": {number}, {rest}}}',
            result={"transformed": [count, *out]},
        )
    for name, number in (
        ("too_fine", "0.0001"),
        ("too_large", "9223372036854776"),
        ("huge", "1e300"),
        ("tiny", "1e-300"),
    ):
        c.bad(
            name,
            "dates.onnx",
            "OUT_OF_RANGE",
            {"name": "seen"},
            json=f'{{"seen": {number}, {rest}}}',
        )
    c.bad(
        "no_epoch",
        "dates.onnx",
        "DTYPE_MISMATCH",
        {"name": "exact", "got": "a number, for which the contract has no 'epoch'"},
        json='{"seen": null, "born": "2026-01-31", "exact": 1769817600, "due": "1970-01-01T00:00:01Z"}',
    )


def range_cases(c: Cases) -> None:
    c.ok(
        "the_largest_count",
        "dates.onnx",
        record={**GOOD, "exact": "2262-04-11T23:47:16.854775807Z"},
        result={"transformed": [*GOOD_OUT[:2], 2**63 - 1, GOOD_OUT[3]]},
    )
    c.ok(
        "the_smallest_count",
        "dates.onnx",
        record={**GOOD, "exact": "1677-09-21T00:12:43.145224193Z"},
        result={"transformed": [*GOOD_OUT[:2], RESERVED + 1, GOOD_OUT[3]]},
    )
    expected = {
        "name": "exact",
        "expected": "a datetime that int64 can count in ns",
        "got": "one beyond its range",
    }
    for name, text in (
        ("above_the_largest_count", "2262-04-11T23:47:16.854775808Z"),
        ("below_the_smallest_count", "1677-09-21T00:12:43.145224192Z"),
    ):
        c.bad(name, "dates.onnx", "OUT_OF_RANGE", expected, record={**GOOD, "exact": text})
    for name, text in (
        ("before_the_domain", "1969-12-31T23:59:59.999999Z"),
        ("in_a_hole", "2001-09-09T01:46:40.000001Z"),
    ):
        c.bad(
            name,
            "dates.onnx",
            "OUT_OF_RANGE",
            {"name": "due", "got": "another"},
            record={**GOOD, "due": text},
        )


def tensor_cases(c: Cases) -> None:
    def inputs(**counts: int) -> dict[str, Any]:
        values = dict(zip(("seen", "born", "exact", "due"), GOOD_OUT, strict=True)) | counts
        return {name: tensor("int64", [1, 1], [value]) for name, value in values.items()}

    c.ok(
        "counts",
        "dates.onnx",
        inputs=inputs(),
        outputs={"transformed": tensor("int64", [1, 4], GOOD_OUT)},
    )
    c.ok(
        "missing_counts",
        "dates.onnx",
        inputs=inputs(seen=RESERVED, exact=RESERVED),
        outputs={"transformed": tensor("int64", [1, 4], [RESERVED, DAY, RESERVED, 1000000])},
    )
    c.bad(
        "missing_where_it_is_not_nullable",
        "dates.onnx",
        "MISSING_VALUE",
        {"name": "born", "expected": "datetime"},
        inputs=inputs(born=RESERVED),
    )
    c.bad(
        "missing_in_a_domain",
        "dates.onnx",
        "MISSING_VALUE",
        {"name": "due"},
        inputs=inputs(due=RESERVED),
    )
    c.bad(
        "outside_the_domain", "dates.onnx", "OUT_OF_RANGE", {"name": "due"}, inputs=inputs(due=-1)
    )
    c.bad(
        "another_type",
        "dates.onnx",
        "DTYPE_MISMATCH",
        {"name": "born"},
        inputs={**inputs(), "born": tensor("float64", [1, 1], [1.5])},
    )
