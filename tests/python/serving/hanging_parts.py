"""A function that hangs, for the tests of servers. It imports little, because workers that are
started during a test import it too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from pathlib import Path


def work(how: str) -> float:
    """Returns the number of the process, after it did what `how` says."""
    word, *rest = how.split()
    if word == "sleep":
        time.sleep(float(rest[0]))
    if word == "hold":
        ctypes.PyDLL(None).sleep(int(rest[0]))  # does not release the GIL
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "await":
        begun, end = map(Path, rest)
        Path(begun, f"{os.getpid()}-{threading.get_ident()}").touch()
        while not end.exists():
            time.sleep(0.01)
    return float(os.getpid())
