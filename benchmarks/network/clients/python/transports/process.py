"""One process per call: the row as a JSON line on its stdin, the answer on its stdout."""

import subprocess
from collections.abc import Callable

from transports import CALL_TIMEOUT_S, BytesTransport, nothing


class Transport(BytesTransport):
    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        command = self.at["command"]

        def exchange(body: bytes) -> bytes:
            done = subprocess.run(
                command,
                input=body + b"\n",
                capture_output=True,
                timeout=CALL_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(
                    f"{command[0]}: expected exit code 0, got {done.returncode}: {done.stderr[-500:].decode(errors='replace')}"
                )
            return done.stdout

        return exchange, nothing
