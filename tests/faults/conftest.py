"""Makes fault_peers.py importable and gives each fault test a socket address."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/twice.sock"
