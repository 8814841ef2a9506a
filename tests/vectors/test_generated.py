"""Checks models/ and cases/ against their sources: generate.py must write the committed files.

Exported pipelines are left out, because they differ with each release of their libraries.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from source import build, contracts, external_data  # noqa: E402
from source.groups import PLAIN  # noqa: E402

EXPORTED = {"penguins.onnx", "gbm.onnx", "spam.onnx"}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_committed_files_equal_the_generated_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (build, external_data):
        monkeypatch.setattr(module, "MODELS", tmp_path / "models")
    monkeypatch.setattr(build, "CASES", tmp_path / "cases")
    contracts.write_all()
    count = negative = 0
    for make in PLAIN:
        cases = make()
        count += cases.write()
        negative += sum("expect_status" in case for case in cases.list)
    written = files(tmp_path / "models")
    committed = {
        name: data for name, data in files(HERE / "models").items() if name not in EXPORTED
    }
    assert sorted(written) == sorted(committed)
    assert [name for name in written if written[name] != committed[name]] == []
    assert files(tmp_path / "cases") == {
        name: data for name, data in files(HERE / "cases").items() if name != "exported.json"
    }
    assert count >= 400
    assert negative * 2 >= count
