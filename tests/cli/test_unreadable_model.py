"""Every command on a model that does not open: the message and the exit code give the reason."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[1] / "vectors/models"
COMMANDS = {
    "verify": ["verify", "bad.onnx"],
    "info": ["info", "bad.onnx"],
    "predict": ["predict", "bad.onnx"],
    "stream": ["predict", "bad.onnx", "--stream"],
    "run": ["run", "bad.onnx"],
    "bench": ["bench", "bad.onnx"],
    "types": ["types", "bad.onnx"],
    "diff": ["diff", "bad.onnx", "bad.onnx"],
    "serve": ["serve", "bad.onnx", "--at", "shm:unreadable-model"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "model",
    ["broken/group_in_output", "broken/text", "external/hidden_location", "external/parent"],
)
def test_a_model_that_does_not_open_ends_each_command_with_3(sidecall, tmp_path, model, words):
    shutil.copy(MODELS / f"{model}.onnx", tmp_path / "bad.onnx")
    done = sidecall(*words, stdin="{}\n")
    assert done.code == 3
    assert re.fullmatch(r"sidecall: file 'bad\.onnx': (not an ONNX model|expected ).+\n", done.err)


def test_verify_reports_each_model_and_fails_if_one_fails(sidecall, tmp_path):
    shutil.copy(MODELS / "penguins.onnx", tmp_path / "good.onnx")
    shutil.copy(MODELS / "broken/group_in_output.onnx", tmp_path / "bad.onnx")
    done = sidecall("verify", "good.onnx", "bad.onnx", "--json")
    assert done.code == 3
    good, bad = json.loads(done.out)
    assert good["holds"] is True and good["problem"] is None
    assert bad["holds"] is False and "an unknown field (11)" in bad["problem"]
    lines = sidecall("verify", "good.onnx", "bad.onnx").lines()
    assert [line.split()[:2] for line in lines if line.startswith("bad.onnx")] == [
        ["bad.onnx", "error"]
    ]
