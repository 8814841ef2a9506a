"""A server for exec: that closes its control socket at once and does not end on SIGTERM.

stubborn_server.py LOG COMMAND...: only the first start does this, and writes to LOG what happens.
Every later start executes COMMAND.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

# The message LOAD of shm/PROTOCOL.md, with no connections. It says that the server is ready.
LOAD = b"\x03\0\0\0\0"

log, command = Path(sys.argv[1]), sys.argv[2:]


def note(line: str) -> None:
    with log.open("a") as file:
        file.write(f"{line}\n")


if log.exists():
    note("next")
    os.execv(command[0], command)
note(f"pid {os.getpid()}")
signal.signal(signal.SIGTERM, lambda *_: note("SIGTERM"))
with socket.socket(fileno=int(os.environ["SIDECALL_FD"])) as control:
    control.send(LOAD)
note("drains")
while True:
    time.sleep(60)
