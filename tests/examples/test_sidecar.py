"""examples/sidecar: a server and a client in separate PID and mount namespaces with one shared
folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from vector_servers import command_path

ROOT = Path(__file__).resolve().parents[2]


def namespaces() -> str | None:
    """The reason why this process cannot create namespaces; None if it can."""
    if shutil.which("unshare") is None:
        return "the command unshare is not installed"
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    tried = subprocess.run(
        ["unshare", *user, "--pid", "--mount", "--fork", "--mount-proc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        None
        if tried.returncode == 0
        else f"unshare cannot create namespaces: {tried.stderr.strip()}"
    )


REASON = namespaces()


@pytest.mark.skipif(REASON is not None, reason=REASON or "")
def test_a_container_calls_a_model_of_another_container_through_a_shared_folder():
    environment = {**os.environ, "PYTHON": sys.executable, "SIDECALL_COMMAND": command_path()}
    done = subprocess.run(
        [ROOT / "examples/sidecar/sidecar.sh"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ready, *answers = done.stdout.splitlines()
    assert ready == "ready"
    assert [json.loads(answer)["label"] for answer in answers] == ["Gentoo", "Chinstrap"]
    assert "serve.ready at=shm:/mnt/app/penguins.sock" in done.stderr
    assert "process=1" in done.stderr  # the first process of its PID namespace
