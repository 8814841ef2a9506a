"""Fixtures for the command's tests: the command as a process, and files with models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from vector_servers import command_path as find_command
from vector_servers import engine_path

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    def lines(self) -> list[str]:
        return self.out.splitlines()


class Command:
    def __init__(self, path: str, cwd: Path) -> None:
        self.path, self.cwd = path, cwd
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECALL_", "ORT_"))}
        engine = os.environ.get("SIDECALL_ONNXRUNTIME") or engine_path()
        if engine:
            self.env["SIDECALL_ONNXRUNTIME"] = engine

    def __call__(
        self,
        *words: Any,
        stdin: str | bytes = b"",
        env: dict[str, str | None] | None = None,
        **options: Any,
    ) -> Outcome:
        """Runs the command until it exits. `env` adds variables; a value of None removes one."""
        environment = {k: v for k, v in (self.env | (env or {})).items() if v is not None}
        stdin = stdin.encode() if isinstance(stdin, str) else stdin
        options = {
            "input": stdin,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.cwd,
        } | options
        done = subprocess.run(
            [self.path, *map(str, words)], env=environment, timeout=60, check=False, **options
        )
        return Outcome(
            done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode()
        )

    def start(self, *words: Any, **options: Any) -> subprocess.Popen[bytes]:
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        return subprocess.Popen([self.path, *map(str, words)], cwd=self.cwd, env=self.env, **pipes)


@pytest.fixture(scope="session")
def command_path() -> str:
    return find_command()


@pytest.fixture
def sidecall(command_path: str, tmp_path: Path) -> Command:
    """Runs the command in the test's own folder, so that messages show short paths."""
    return Command(command_path, tmp_path)


@pytest.fixture
def no_neighbour(command_path: str, sidecall: Command, tmp_path: Path) -> Command:
    """A copy of the command in a folder of its own, so that it finds no Python next to itself."""
    (tmp_path / "alone").mkdir()
    sidecall.path = shutil.copy(command_path, tmp_path / "alone/sidecall")
    return sidecall


@pytest.fixture(scope="session")
def jobs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import models

    return models.classifier(tmp_path_factory.mktemp("jobs") / "jobs.onnx")


@pytest.fixture
def jobs(jobs_file: Path, tmp_path: Path) -> str:
    """Copies the classifier to `jobs.onnx` in the test's folder."""
    shutil.copy(jobs_file, tmp_path / "jobs.onnx")
    return "jobs.onnx"
