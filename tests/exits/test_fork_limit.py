"""The limit of the time that fork() waits for a thread that opens a file."""

import os
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("SIDECALL_BUILD", Path(__file__).parents[2] / "build"))


@pytest.mark.long
def test_fork_waits_at_most_ten_seconds() -> None:
    words = [BUILD / "bin/sidecall-core-thread-tests", "[.long]"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 test case" in done.stdout
