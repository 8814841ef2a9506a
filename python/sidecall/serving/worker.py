"""`python -m sidecall.serving.worker FD`: one worker of a supervised server.

FD is the descriptor of a file with the pickled service and options. SIDECALL_FD is the descriptor
of the worker's control socket.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

from sidecall import errors

from .options import Options
from .process import CLOSE_NS, GRACE_NS, Signals, cut_off, ended_by, open_servers, readable

FAILED = 3


def pack(service: bytes, options: Options) -> int:
    """Returns a memory file with everything that a worker needs. `service` is a pickle."""
    fd = os.memfd_create("sidecall-service", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        pickle.dump({"path": sys.path, "options": options, "service": service}, file)
    return fd


def main(fd: int) -> int:
    # Other workers read the same file. Opening the file again gives this process its own offset.
    with Path(f"/proc/self/fd/{fd}").open("rb") as file:
        payload = pickle.load(file)
    os.close(fd)
    sys.path[:] = payload["path"]
    options: Options = payload["options"]
    # Ctrl-C reaches the whole process group, so the worker ignores it. The supervisor then hangs
    # up, and that ends the worker.
    with (
        Signals(ignored=(signal.SIGINT,)) as signals,
        ended_by(signals.fd, options.drain_ns + GRACE_NS),
    ):
        try:
            # The supervisor sends nothing over the control socket before the server is open. If the
            # socket becomes readable before that, the supervisor is gone.
            with ended_by(int(os.environ["SIDECALL_FD"]), GRACE_NS, FAILED):
                served = pickle.loads(payload["service"])
            server, _ = open_servers(served, options)
        except errors.Error as error:
            if options.log is not None:
                options.log.write(3, "worker.failed", reason=str(error))
                options.log.flush()
            return FAILED
        # If the supervisor hangs up, the library drains on its own; then server.fd is readable.
        with ended_by(server.fd, CLOSE_NS):
            is_signal = signals.fd in readable([signals.fd, server.fd])
            if not server.drain(options.drain_ns if is_signal else 0):
                cut_off(options.log)
            server.close()
        return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
