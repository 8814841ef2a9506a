"""Reports the state of a server to the service manager that started it, such as systemd.

Uses systemd's notify protocol (man sd_notify): one datagram of NAME=VALUE lines to the socket
in NOTIFY_SOCKET. command/terminal/service_manager.cpp does the same for the native command.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from sidecall import _backend, errors

# Child processes must not get these variables: only the server itself reports to the manager.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_NEVER = float("inf")


class ServiceManager:
    """The service manager of a server. If there is no manager, every method does nothing.

    `at` is the server's address over shared memory, and `places` are all its addresses. If it has
    none, a client has started this process, so the process is not the service that a manager
    watches.
    """

    def __init__(self, at: str | None, places: Sequence[str]) -> None:
        self._at, self._places = at, " ".join(places)
        self._address = os.environ.get("NOTIFY_SOCKET", "") if places else ""
        if not self._address.startswith(("/", "@")):
            self._address = ""
        self._interval = _keep_alive_seconds() if self._address else _NEVER
        self._due = time.monotonic() + self._interval

    def ready(self) -> None:
        self._send(f"READY=1\nSTATUS=serving at {self._places.encode('unicode_escape').decode()}")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=draining")

    def pause(self) -> float:
        """Returns the seconds until `keep_alive` is due; infinity if it is never due."""
        return max(0.0, self._due - time.monotonic())

    def keep_alive(self) -> None:
        """Sends WATCHDOG=1 if it is due and the server answers at its own address."""
        if self.pause() > 0:
            return
        self._due = time.monotonic() + self._interval
        if self._is_answering():
            self._send("WATCHDOG=1")

    def _is_answering(self) -> bool:
        if self._at is None:
            return True
        try:
            _backend.load(None).query(self._at, 0)
        except errors.Busy:
            return True
        except errors.Error:
            return False
        return True

    def _send(self, lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # If sending fails, the manager notices by itself that no message has arrived.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(1.0)
            manager.sendto(lines.encode(), address)


def _keep_alive_seconds() -> float:
    """Returns half of the time after which the manager restarts a process that is silent."""
    process = os.environ.get("WATCHDOG_PID", "")
    limit = os.environ.get("WATCHDOG_USEC", "")
    if process not in ("", str(os.getpid())) or not limit.isdecimal() or int(limit) == 0:
        return _NEVER
    return int(limit) / 2e6
