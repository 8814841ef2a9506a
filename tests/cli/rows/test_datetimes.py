"""Features of type datetime: rows as CSV and JSON Lines, info, types and diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from sidecall.exporting import artifact

MODEL = Path(__file__).resolve().parents[2] / "vectors/models/dates.onnx"
HEAD = "seen,born,exact,due\n"
RESERVED = -(2**63)
DUE = "1970-01-01T00:00:01Z"
PLACE = "feature 'born': expected a datetime such as '2026-01-31T12:30:00', got "


def changed(path: Path, feature: str, **members: Any) -> Path:
    """A copy of the model whose contract gives the feature other members; None removes one."""
    model = onnx.load(MODEL)
    contract = json.loads(model.metadata_props[0].value)
    (entry,) = (each for each in contract["features"] if each["name"] == feature)
    entry.update(members)
    for name in [name for name, value in entry.items() if value is None]:
        del entry[name]
    contract["verification"] = {"source": "none"}
    path.write_bytes(artifact.seal(model, json.dumps(contract))[0])
    return path


def test_rows_of_csv(sidecall):
    rows = f"2026-01-31T01:00:00.25+01:00,2026-01-31,,{DUE}\n"
    rows += f'1769817600.25,"2026-01-31 00:00","",{DUE}\n'
    done = sidecall("predict", MODEL, "--from=csv", "--to=jsonl", stdin=HEAD + rows)
    assert (done.code, done.err) == (0, "")
    expected = {"transformed": [1769817600250, 1769817600, RESERVED, 1000000]}
    assert [json.loads(line) for line in done.lines()] == [expected, expected]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("x", PLACE + "another text"),
        ("31.01.2026", PLACE + "another text"),
        ("5", PLACE + "a number, for which the contract has no 'epoch'"),
        ("2026-01-31T00:00Z", PLACE + "one with a zone"),
        ("", "feature 'born': expected datetime, got a missing value"),
    ],
)
def test_faults_of_csv_name_their_place(sidecall, field, message):
    done = sidecall("predict", MODEL, "--from=csv", stdin=HEAD + f",{field},,{DUE}\n")
    assert (done.code, done.err) == (2, f"<stdin>:2:2: {message}\n")


def test_rows_of_json_lines(sidecall):
    good = {"seen": 5, "born": "2026-01-31", "due": DUE}
    bad = {"seen": True, "born": 5, "due": None}
    text = "".join(json.dumps(row) + "\n" for row in (good, bad))
    done = sidecall("predict", MODEL, stdin=text)
    assert json.loads(done.lines()[0])["transformed"] == [5000, 1769817600, RESERVED, 1000000]
    assert done.code == 2 and len(done.err.splitlines()) == 3
    assert PLACE + "a number, for which the contract has no 'epoch'" in done.err


def test_info_shows_unit_zone_and_limits(sidecall):
    text = sidecall("info", MODEL).out
    assert "seen     datetime[ms, Europe/Berlin]  yes" in text
    assert "born     datetime[s] " in text
    assert "accepts 1970-01-01T00:00:00Z to 2001-09-09T01:46:40Z or 2" in text


def test_written_types_take_the_values_that_predict_takes(sidecall, tmp_path):
    import datetime
    import importlib.util

    import sidecall as package
    from pydantic import ValidationError

    (tmp_path / "dates_models.py").write_text(sidecall("types", MODEL, "--lang=pydantic").out)
    spec = importlib.util.spec_from_file_location("dates_models", tmp_path / "dates_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    utc, day = datetime.UTC, datetime.datetime(2026, 1, 31)
    model = package.open(MODEL)
    for seen, count in ((day.replace(tzinfo=utc), 1769817600000), (5, 5000), (0.5, 500)):
        features = module.DatesFeatures(
            seen=seen, born=day, due=datetime.datetime(1970, 1, 2, tzinfo=utc)
        )
        answer = model.predict(features.model_dump(by_alias=True))
        assert module.DatesAnswer.model_validate(answer).transformed[0] == count
    for bad in ({"seen": day}, {"born": day.replace(tzinfo=utc)}, {"born": 5}, {"born": None}):
        with pytest.raises(ValidationError):
            module.DatesFeatures(**{"born": day, "due": day.replace(tzinfo=utc), **bad})


@pytest.mark.parametrize(
    ("feature", "members", "expected"),
    [
        ("exact", {"unit": "us"}, {"unit_changed": ["predict", "run"]}),
        ("born", {"unit": "ms"}, {"unit_changed": ["run"]}),
        ("seen", {"zone": "UTC"}, {"zone_changed": []}),
        ("born", {"zone": "UTC"}, {"zone_changed": ["predict", "run"]}),
        ("exact", {"zone": None}, {"zone_changed": ["predict", "run"]}),
        ("seen", {"epoch": "ms"}, {"epoch_changed": ["predict"]}),
        ("seen", {"epoch": None}, {"epoch_changed": ["predict"]}),
        ("exact", {"epoch": "s"}, {"epoch_changed": []}),
        ("born", {"type": "int64", "unit": None}, {"feature_retyped": ["predict"]}),
    ],
)
def test_diff_of_datetimes(sidecall, tmp_path, feature, members, expected):
    new = changed(tmp_path / "new.onnx", feature, **members)
    old = changed(tmp_path / "old.onnx", feature)
    report = json.loads(sidecall("diff", "--json", old, new).out)
    assert {change["kind"]: change["breaks"] for change in report["changes"]} == expected
