"""`python -m sidecall.serving.worker FD`: one worker of a supervised server. FD holds what it serves, SIDECALL_FD is its control socket."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

from sidecall import errors

from .options import Options
from .process import Signals, open_server, readable

FAILED = 3


def pack(service: bytes, options: Options) -> int:
    """A memory file with everything that a worker needs. `service` is a pickle."""
    fd = os.memfd_create("sidecall-service", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        pickle.dump({"path": sys.path, "options": options, "service": service}, file)
    return fd


def main(fd: int) -> int:
    with Path(f"/proc/self/fd/{fd}").open("rb") as file:  # its own offset: other workers read the same file
        parcel = pickle.load(file)
    os.close(fd)
    sys.path[:] = parcel["path"]
    options: Options = parcel["options"]
    # Ctrl-C reaches the whole group: the supervisor then hangs up, and that is the sign to end.
    with Signals(ignored=(signal.SIGINT,)) as signals:
        try:
            server = open_server(pickle.loads(parcel["service"]), options)
        except errors.Error as error:
            if options.log is not None:
                options.log.write(3, "worker.failed", reason=str(error))
            return FAILED
        try:
            if signals.fd in readable([signals.fd, server.fd]):
                return 0 if server.drain(options.drain_ns) else FAILED
            return 0
        finally:
            server.close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
