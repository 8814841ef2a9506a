"""sidecall verify: the table, and the differences that it shows."""

from __future__ import annotations

import json
import re

import models
import pytest


def spoil_answer(contract):
    contract["verification"]["outputs"]["probabilities"][1] = [0.25, 0.75]


def drop_rows(contract):
    contract["verification"] = {
        "source": "none",
        "rows": 0,
        "features": [],
        "outputs": {},
        "tolerance": {},
    }


def test_models_whose_answers_agree_pass(sidecall, jobs, tmp_path):
    models.regressor(tmp_path / "price.onnx")
    done = sidecall("verify", jobs, "price.onnx")
    assert (done.code, done.err) == (0, "")
    header, _, *lines = done.lines()
    assert header.split() == ["model", "verdict", "id", "rows", "output", "largest", "tolerance"]
    jobs_id, price_id = (
        json.loads(sidecall("info", file, "--json").out)["id"][:12] for file in (jobs, "price.onnx")
    )
    assert [line.split()[:5] for line in lines] == [
        ["jobs.onnx", "ok", jobs_id, "3", "label"],
        ["jobs.onnx", "ok", jobs_id, "3", "probabilities"],
        ["price.onnx", "ok", price_id, "2", "prediction"],
    ]
    assert re.search(r"1e-06 \+ 1e-05 relative$", lines[1])


def test_json_reports_every_model(sidecall, jobs):
    done = sidecall("verify", jobs, "--json")
    assert (done.code, done.err) == (0, "")
    [verdict] = json.loads(done.out)
    assert (verdict["file"], verdict["holds"], verdict["problem"]) == ("jobs.onnx", True, None)
    report = verdict["report"]
    assert report["id"] == json.loads(sidecall("info", jobs, "--json").out)["id"]
    assert report["rows"] == 3 and report["source"] == "synthetic"
    assert report["engine"].startswith("onnxruntime ")
    assert all(output["holds"] for output in report["outputs"])


def test_a_model_without_golden_rows_passes(sidecall, tmp_path):
    models.classifier(tmp_path / "none.onnx", change=drop_rows)
    done = sidecall("verify", "none.onnx")
    assert (done.code, done.err) == (0, "")
    assert "no rows" in done.out


def test_a_differing_answer_fails_with_code_1(sidecall, jobs, tmp_path):
    models.classifier(tmp_path / "wrong.onnx", change=spoil_answer)
    done = sidecall("verify", jobs, "wrong.onnx", env={"SIDECALL_VERIFY": "error"})
    assert done.code == 1
    assert [line.split()[1] for line in done.lines()[2:]] == ["ok", "ok", "DIFFERS", "DIFFERS"]
    assert done.err.startswith("sidecall: wrong.onnx: ") and "probabilities" in done.err
    [_, verdict] = json.loads(sidecall("verify", jobs, "wrong.onnx", "--json").out)
    assert not verdict["holds"] and verdict["problem"]
    assert [
        output["holds"]
        for output in verdict["report"]["outputs"]
        if output["name"] == "probabilities"
    ] == [False]


@pytest.mark.parametrize("command", ["verify", "info", "predict", "serve", "types"])
def test_a_file_whose_bytes_have_changed_fails_with_code_3(sidecall, jobs, tmp_path, command):
    content = (tmp_path / jobs).read_bytes()
    changed = content.replace(b'"teacher"', b'"teachet"', 1)
    assert changed != content
    (tmp_path / jobs).write_bytes(changed)
    more = {"types": ["--lang=go"], "serve": ["--at", f"shm:{tmp_path}/jobs.sock"]}.get(command, [])
    done = sidecall(command, jobs, *more, env={"SIDECALL_VERIFY": "off"})
    assert done.code == 3
    assert "expected the bytes that the export wrote" in done.err + done.out


def test_a_missing_file_does_not_stop_the_other_checks(sidecall, jobs):
    done = sidecall("verify", "none.onnx", jobs)
    assert done.code == 3
    assert [line.split()[:2] for line in done.lines()[2:]] == [
        ["none.onnx", "error"],
        ["jobs.onnx", "ok"],
        ["jobs.onnx", "ok"],
    ]
    assert done.err.count("\n") == 1 and "none.onnx" in done.err


def test_a_file_without_a_contract_fails_with_code_3(sidecall, tmp_path):
    models.bare(tmp_path / "bare.onnx")
    done = sidecall("verify", "bare.onnx")
    assert done.code == 3
    assert "contract" in done.err


def test_a_missing_argument_is_refused(sidecall):
    done = sidecall("verify")
    assert (done.code, done.out) == (1, "")
    assert (
        done.err == "sidecall: verify: expected MODEL, got nothing (see sidecall verify --help)\n"
    )
