"""A server of the channel that answers every HELLO with a status of the test's choice."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS_MESSAGE = struct.Struct("<8sHHIQQ")
_STATUS_ANSWER = 3
_SEALED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def _sealed(text: bytes) -> int:
    fd = os.memfd_create("status", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, text)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALED)
    return fd


def _answer_all(listener: socket.socket, text: bytes) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # The listener was closed: the test is over.
        with client:
            client.recv(4096)
            fd = _sealed(text)
            message = _STATUS_MESSAGE.pack(b"sidecall", 1, 0, _STATUS_ANSWER, len(text), 0)
            client.sendmsg(
                [message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            )
            os.close(fd)


@contextmanager
def lying(path: Path, text: bytes) -> Iterator[str]:
    """Starts such a server and yields its address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(8)
        thread = threading.Thread(target=_answer_all, args=(listener, text), daemon=True)
        thread.start()
        yield f"shm:{path}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
