"""Executes blocks of code as a reader would: one after the other, in one shell or interpreter.

A block can use the variables and functions of earlier blocks of its language on the same page.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from types import TracebackType

# Reads blocks as lines of JSON and executes them in one namespace. After the output of a block it
# prints the block's "end" text, and 1 if the block failed, otherwise 0.
PYTHON = """
import json, sys, traceback
sys.path.insert(0, "")
names = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    try:
        exec(compile(block["code"], block["place"], "exec"), names)
        failed = False
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        failed = True
    print(block["end"], int(failed), flush=True)
"""


# After this time a block is assumed to hang.
PATIENCE_S = 600


class Failed(Exception):
    """A block that did not run to its end; the text is its output."""


class Session:
    """An interpreter of one language in one folder. Standard error goes to a file of its own."""

    def __init__(self, language: str, folder: Path, environment: dict[str, str]) -> None:
        self.is_python = language == "python"
        command = [sys.executable, "-u", "-c", PYTHON] if self.is_python else ["bash", "--norc"]
        self.errors = folder / f".{language}.stderr"
        with self.errors.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def run(self, code: str, place: str) -> str:
        """Executes a block and returns what it printed."""
        end = f"end of block {uuid.uuid4()}"
        assert self.process.stdin is not None
        if self.is_python:
            text = json.dumps({"code": code, "place": place, "end": end}) + "\n"
        else:
            # A block fails if one of its commands fails, as with set -e, but the shell goes on.
            # The script comes from standard input, which its commands must not read.
            text = (
                f"trap 'failed=1' ERR; failed=0; {{\n{code}\n}} </dev/null\n"
                f"printf '%s %s\\n' '{end}' $failed\n"
            )
        watchdog = threading.Timer(PATIENCE_S, os.killpg, (self.process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the interpreter has ended; its output says why
        try:
            return self._output(end)
        finally:
            watchdog.cancel()

    def _output(self, end: str) -> str:
        assert self.process.stdout is not None
        printed = []
        for line in self.process.stdout:
            before, found, after = line.partition(end)
            printed.append(before)
            if found:
                if after.strip() != "0":
                    break
                return "".join(printed)
        errors = self.errors.read_text(encoding="utf-8", errors="replace")
        raise Failed("".join(printed) + errors)

    def close(self) -> None:
        """Ends the interpreter and the programs that its blocks left running."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        except ProcessLookupError:
            self.process.wait()
        finally:
            self.process.stdin.close()
            self.process.stdout.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
