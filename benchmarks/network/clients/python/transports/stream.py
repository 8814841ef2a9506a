"""One process kept open by each thread: a JSON line in, a JSON line out."""

import subprocess
from collections.abc import Callable

from transports import CALL_TIMEOUT_S, BytesTransport


class Transport(BytesTransport):
    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        # The process's stdin is unbuffered: a line is one write. Its stdout is buffered: a line is
        # rarely more than one read.
        process = subprocess.Popen(
            self.at["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        lines = open(process.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115

        def exchange(body: bytes) -> bytes:
            process.stdin.write(body + b"\n")
            line = lines.readline()
            if not line:
                raise RuntimeError(
                    f"{self.at['command'][0]}: expected a line, got the end of its output"
                )
            return line

        def close() -> None:
            process.stdin.close()
            try:
                process.wait(CALL_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

        return exchange, close
