"""announce.py SOCKET COMMAND...: replaces itself with COMMAND. A child process prints "ready" to
stdout once SOCKET exists. Used by servers.py.
"""

import os
import sys
import time
from pathlib import Path

socket, *command = sys.argv[1:]
if os.fork() == 0:
    deadline = time.monotonic() + 30
    while not Path(socket).is_socket() and time.monotonic() < deadline:
        time.sleep(0.01)
    if Path(socket).is_socket():
        print("ready", flush=True)
    os._exit(0)
os.execv(command[0], command)
