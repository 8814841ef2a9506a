"""sidecall info: the page for people, compared literally, and the JSON for programs."""

from __future__ import annotations

import json
import re

import models
import pytest

PAGE = """\
file      jobs.onnx
name      jobs
version   1
task      classification
created   2026-11-24T12:00:00Z
id        {id}
engine    {engine}
metadata  {{"owner":"tests"}}

feature  type     nullable  input   values
-------  -------  --------  ------  --------------------------
age      float32  yes       age     18 to 90
income   float32  no        income
kids     int64    no        kids
job      string   no        job     only clerk, nurse, teacher

output         type     classes or width
-------------  -------  ----------------
label          string   no, yes
probabilities  float32  no, yes

tensor  name           type and shape
------  -------------  --------------
input   age            float32[N, 1]
input   income         float32[N, 1]
input   kids           int64[N, 1]
input   job            string[N, 1]
output  label          string[N]
output  probabilities  float32[N, 2]

parity with the original, 333 rows (weak: few rows), precision float32
  probabilities: largest difference 1.5e-07
  label: no label differs

golden rows: 3 (synthetic)
made with: sidecall 0.1.0, scikit-learn 1.9.1
"""

BARE_PAGE = """\
file      bare.onnx
id        {id}
engine    {engine}
contract  none: predict needs a contract (sidecall export), run does not

tensor  name  type and shape
------  ----  --------------
input   x     float32[N, 2]
output  y     float32[N, 2]
"""


def engine_line(info: dict[str, str]) -> str:
    return f"{info['engine']}: {info['engine_reason']}"


def test_the_page_shows_the_whole_contract(sidecall, jobs):
    done = sidecall("info", jobs)
    assert (done.code, done.err) == (0, "")
    info = json.loads(sidecall("info", jobs, "--json").out)
    assert info["engine_reason"] == "the export did not prove the file on the native engine"
    assert done.out == PAGE.format(id=info["id"], engine=engine_line(info))


def test_json_holds_the_contract_and_the_tensors(sidecall, jobs):
    done = sidecall("info", jobs, "--json")
    assert (done.code, done.err) == (0, "")
    info = json.loads(done.out)
    assert list(info) == [
        "file",
        "id",
        "engine",
        "engine_reason",
        "inputs",
        "outputs",
        "columns",
        "contract",
    ]
    assert info["file"] == "jobs.onnx"
    assert info["inputs"][2] == {"name": "kids", "type": "int64", "shape": ["N", 1]}
    assert info["outputs"][0] == {"name": "label", "type": "string", "shape": ["N"]}
    assert info["columns"] == ["label", "probabilities.no", "probabilities.yes"]
    assert len(info["id"]) == 64
    expected = models.classifier_contract(
        models.FEATURES, ("no", "yes"), 0.0, models.ROWS, "jobs", "1"
    )
    assert info["contract"] == expected


def test_a_file_without_a_contract_shows_its_tensors(sidecall, tmp_path):
    models.bare(tmp_path / "bare.onnx")
    info = json.loads(sidecall("info", "bare.onnx", "--json").out)
    assert info["contract"] is None
    done = sidecall("info", "bare.onnx")
    assert (done.code, done.err) == (0, "")
    assert done.out == BARE_PAGE.format(id=info["id"], engine=engine_line(info))


def test_a_long_list_of_classes_is_shortened(sidecall, tmp_path):
    job = models.JOB | {"allowed": [f"job number {i}" for i in range(40)]}
    models.classifier(tmp_path / "many.onnx", [job], rows=[{"job": "job number 7"}])
    line = next(line for line in sidecall("info", "many.onnx").lines() if line.startswith("job "))
    assert line.endswith("...") and len(line) < 120


def test_a_model_whose_golden_rows_disagree_can_be_shown(sidecall, tmp_path):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][0] = [0.5, 0.5]

    models.classifier(tmp_path / "wrong.onnx", change=spoil)
    done = sidecall("info", "wrong.onnx", env={"SIDECALL_VERIFY": "error"})
    assert (done.code, done.err) == (0, "")


def test_control_characters_in_names_are_escaped(sidecall, tmp_path):
    def spoil(contract):
        contract["model"]["name"] = "\x1b]0;owned\x07\nid        0000"
        contract["model"]["version"] = "\u009b2J"

    models.classifier(tmp_path / "evil.onnx", change=spoil)
    done = sidecall("info", "evil.onnx")
    assert done.code == 0
    assert "name      \\u001b]0;owned\\u0007\\u000aid        0000\n" in done.out
    assert "version   \\u009b2J\n" in done.out


def test_columns_are_aligned_for_non_ascii_names(sidecall, tmp_path):
    features = [models.KIDS | {"name": "größe"}, models.KIDS | {"name": "kinder"}]
    models.classifier(tmp_path / "utf8.onnx", features, rows=[{"größe": 1, "kinder": 2}])
    lines = [
        line
        for line in sidecall("info", "utf8.onnx").lines()
        if line.startswith(("größe", "kinder"))
    ]
    assert {line.index("int64") for line in lines} == {9}


def test_a_missing_file_fails_with_code_3(sidecall):
    done = sidecall("info", "none.onnx")
    assert (done.code, done.out) == (3, "")
    assert "none.onnx" in done.err


def test_a_contract_that_is_not_json_fails_with_code_3(sidecall, tmp_path):
    models.save(tmp_path / "bad.onnx", models.tensor_graph(), None, raw='{"format": 5')
    done = sidecall("info", "bad.onnx")
    assert (done.code, done.out) == (3, "")


def test_a_contract_of_another_format_fails_with_code_3(sidecall, tmp_path):
    models.save(tmp_path / "other.onnx", models.tensor_graph(), None, raw='{"format": 6}')
    done = sidecall("info", "other.onnx")
    assert (done.code, done.out) == (3, "")
    assert "format" in done.err


def test_the_domain_of_a_feature_is_shown_with_its_seen_values(sidecall, tmp_path):
    def limit(contract):
        for feature in contract["features"]:
            if feature["name"] == "age":
                feature.update(seen={"min": 18, "max": 90}, domain=[[0, 150]])
            elif feature["name"] == "income":
                feature.update(domain=[[-3.4028234663852886e38, 3.4028234663852886e38]])
            elif feature["name"] == "job":
                feature.update(empty=False)

    models.classifier(tmp_path / "limits.onnx", change=limit)
    lines = {line.split()[0]: line for line in sidecall("info", "limits.onnx").lines() if line}
    assert "18 to 90 in the data; accepts 0 to 150" in lines["age"]
    assert "not empty" in lines["job"]
    assert "accepts" not in lines["income"]


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["page", "json"])
def test_control_characters_of_a_file_are_escaped(sidecall, tmp_path, form):
    wild = "\x1b[2J\x9b1m\x7f\nfake: all is well"

    def spoil(contract):
        contract["model"]["metadata"] = {wild: wild}
        contract["parity"] |= {"rows": wild, "precision": wild}
        contract["versions"] = {wild: wild}

    models.classifier(tmp_path / "wild.onnx", name=wild, version=wild, change=spoil)
    done = sidecall("info", "wild.onnx", *form)
    assert (done.code, done.err) == (0, "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", done.out)
    assert not any(line.startswith("fake") for line in done.lines())
    if form:
        assert json.loads(done.out)["contract"]["parity"]["precision"] == wild
