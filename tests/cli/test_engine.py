"""--engine, SIDECALL_ENGINE and the query of a model: which engine runs a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import models
import numpy as np
import pytest

from serving import row_of, serving

NONZERO = Path(__file__).parents[1] / "vectors/models/nonzero.onnx"

COMMANDS = [
    ("info",),
    ("types",),
    ("verify",),
    ("predict", "--from", "jsonl"),
    ("bench", "--seconds", "0.01"),
]


def engine_of(sidecall, *words: str, **environment: str) -> str:
    [verdict] = json.loads(sidecall("verify", "--json", *words, env=environment).out)
    return verdict["report"]["engine"].split()[0]


def test_the_option_the_query_and_the_variable_choose_the_engine(sidecall, jobs):
    assert engine_of(sidecall, jobs) == "onnxruntime"
    assert engine_of(sidecall, jobs, "--engine", "onnxruntime") == "onnxruntime"
    assert engine_of(sidecall, jobs, "--engine", "native") == "native"
    assert engine_of(sidecall, f"{jobs}?engine=native", "--engine", "onnxruntime") == "native"
    assert engine_of(sidecall, f"{jobs}?engine=auto", "--engine=native") == "onnxruntime"
    query = f"{jobs}?engine=onnxruntime"
    assert engine_of(sidecall, query, SIDECALL_ENGINE="native") == "native"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_opens_a_model_can_use_the_native_engine(sidecall, jobs, command):
    none = {"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"}
    row = row_of(sidecall, jobs)
    assert sidecall(*command, jobs, stdin=row, env=none).code != 0
    done = sidecall(*command, jobs, "--engine", "native", stdin=row, env=none)
    assert (done.code, done.err) == (0, "")


def test_run_and_diff_use_the_native_engine(sidecall, jobs, tmp_path):
    none = {"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"}
    shutil.copy(tmp_path / jobs, tmp_path / "new.onnx")
    assert sidecall("diff", jobs, "new.onnx", "--engine", "native", env=none).code == 0
    models.bare(tmp_path / "double.onnx")
    np.save(tmp_path / "x.npy", np.array([[1, 2]], np.float32))
    words = ["run", "double.onnx", "--tensor", "x=@x.npy", "--out", "y=@y.npy"]
    assert sidecall(*words, env=none).code == 4
    assert sidecall(*words, "--engine", "native", env=none).code == 0
    assert np.load(tmp_path / "y.npy").tolist() == [[2, 4]]


def test_a_server_uses_the_engine_of_its_option(sidecall, jobs, tmp_path):
    row = row_of(sidecall, jobs)
    here = sidecall("predict", jobs, "--engine", "native", stdin=row)
    none = {"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"}
    at = f"shm:{tmp_path}/jobs.sock"
    for model, options in ((jobs, ["--engine", "native"]), (f"{jobs}?engine=native", [])):
        with serving(sidecall, model, at, *options, env=none) as served:
            assert sidecall("predict", at, stdin=row, env=none).out == here.out
            assert 'engine="native 2"' in served.log()
            assert served.end() == 0


@pytest.mark.parametrize("command", ["predict", "serve"])
def test_a_wrong_engine_is_refused(sidecall, jobs, command):
    done = sidecall(command, jobs, "--engine", "fast", "--at=shm:x" if command == "serve" else "-")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"sidecall: {command}: --engine: expected auto, native or onnxruntime, got 'fast' (see sidecall {command} --help)\n"
    )


def test_a_wrong_query_or_variable_is_refused(sidecall, jobs):
    done = sidecall("info", f"{jobs}?engine=fast")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"sidecall: uri '{jobs}?engine=fast': expected the path of a file")
    done = sidecall("info", jobs, env={"SIDECALL_ENGINE": "fast"})
    assert (done.code, done.out) == (1, "")
    assert "SIDECALL_ENGINE: expected auto, native or onnxruntime, got 'fast'" in done.err


def test_doctor_shows_the_setting_and_has_no_option_for_it(sidecall):
    report = sidecall("doctor", "--json", env={"SIDECALL_ENGINE": "native"})
    assert json.loads(report.out)["settings"]["SIDECALL_ENGINE"] == "native"
    assert "--engine" not in sidecall("doctor", "--help").out


def test_info_says_which_engine_opens_the_file_and_why(sidecall, jobs):
    said = json.loads(sidecall("info", "--json", jobs).out)
    assert said["engine"].startswith("onnxruntime ")
    assert said["engine_reason"] == "the export did not prove the file on the native engine"
    page = sidecall("info", jobs, "--engine", "native").out
    assert "\nengine    native 2: the caller named it\n" in page


def test_the_native_engine_runs_a_file_where_there_is_no_onnxruntime(no_neighbour, jobs):
    nowhere = {"SIDECALL_ONNXRUNTIME": ""}
    said = json.loads(no_neighbour("info", "--json", jobs, env=nowhere).out)
    assert said["engine"] == "native 2"
    assert (
        said["engine_reason"]
        == "no usable ONNX Runtime was found, and it has all operators of the file"
    )


def test_a_file_that_no_engine_can_run_names_the_node(no_neighbour):
    done = no_neighbour("info", str(NONZERO), env={"SIDECALL_ONNXRUNTIME": ""})
    assert done.code == 4
    assert "the native engine cannot run this model: " in done.err and "(NonZero)" in done.err
    assert "ONNX Runtime library" in done.err


def test_doctor_says_which_engine_opens_a_model(sidecall, jobs):
    page = sidecall("doctor", jobs, env={"SIDECALL_ENGINE": "native"}).out
    assert "native engine: has all operators\n" in page
    assert "opens with native 2: SIDECALL_ENGINE names it\n" in page
    assert "SIDECALL_ENGINE=native\n" in page
    said = json.loads(sidecall("doctor", "--json", str(NONZERO)).out)["model"]
    assert "(NonZero)" in said["native_problem"] and said["problem"] is None
    assert said["engine"].startswith("onnxruntime ")


def test_doctor_says_why_a_model_cannot_be_opened(sidecall):
    done = sidecall("doctor", "none.onnx")
    assert "opens with no engine: " in done.out and "none.onnx" in done.out
    assert json.loads(sidecall("doctor", "--json").out)["model"] is None


def test_doctor_does_not_try_the_native_engine_against_the_address(sidecall, jobs, tmp_path):
    at = f"shm:{tmp_path}/jobs.sock"
    reason = "native engine: not tried, because the address of the model says what runs it\n"
    with serving(sidecall, jobs, at):
        page = sidecall("doctor", at).out
    assert reason in page and f"opens with server '{at}'\n" in page
    page = sidecall("doctor", f"{NONZERO}?engine=onnxruntime").out
    assert reason in page and ": the caller named it\n" in page


def test_doctor_shows_the_settings_that_it_leaves_out_for_the_model(sidecall, jobs):
    settings = {"SIDECALL_ENGINE": "onnxruntime", "SIDECALL_VERIFY": "warn"}
    page = sidecall("doctor", jobs, env=settings).out
    assert "SIDECALL_ENGINE=onnxruntime\n" in page and "SIDECALL_VERIFY=warn\n" in page
