"""soak_command.py COMMAND URI FIRST SEED WAIT: the client of the soak that keeps
`COMMAND predict URI --stream` running; soak_call.py describes what a client writes.

If the command ends by itself, for example because it cannot open the model, the outcome of the call
is EXIT and the exit code. If a signal ends the command, the outcome is KILLED. The next call starts
the command again.
"""

import json
import subprocess
import sys
from contextlib import suppress

from soak_call import DEADLINE, Caller, Line, Request

USUAL = ["record"]
RARE = ["one-shot", "wrong", "garbage"]


class Client:
    def __init__(self, command: str, uri: str, first: int, seed: int, wait: float):
        options = ["--stream", "--allow-exec", "--timeout", str(DEADLINE)]
        if wait > 0:
            options += ["--wait", str(wait)]
        # Each record has the features of all models, so some models do not know all of them.
        self._words = [command, "predict", uri, *options, "--extra", "ignore"]
        self._wait = wait
        self._process: subprocess.Popen | None = None
        self._caller = Caller(first, seed, USUAL, RARE)

    def call_until_stdin_ends(self) -> None:
        self._caller.call_until_stdin_ends(self._call)
        if self._process is not None:
            self._process.stdin.close()
            if self._process.wait(30) != 0:
                raise RuntimeError("the command: expected exit code 0 at the end of its input")

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._width = 0  # unknown until the first answer

    def _call(self, kind: str) -> None:
        deadline = DEADLINE
        if self._process is None:
            self._start()
            deadline += 30 + self._wait  # the command also opens the model
        request = self._caller.request(kind)
        record = request.record("abc")
        if kind == "wrong":
            del record["a"]
        text = "{" if kind == "garbage" else json.dumps(record)
        line = Line(request.number, kind, self._width, deadline)
        said = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        if said.endswith("\n"):
            self._report(line, request, json.loads(said))
        else:
            code = self._end()
            line.write("KILLED" if code < 0 else f"EXIT {code}", 0, said)

    def _report(self, line: Line, request: Request, answer: dict) -> None:
        if "error" in answer:
            error = answer["error"]
            line.write(error["status"], 0, error["message"])
            if error["status"] == "CONTRACT_CHANGED":
                self._end()
            return
        self._width = len(answer["y"])
        model = request.answerer(answer["y"], None, self._width)
        line.write("OK" if model else "WRONG", model)

    def _end(self) -> int:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        code = self._process.wait(30)
        self._process.stdout.close()
        self._process = None
        return code


if __name__ == "__main__":
    command, uri, first, seed, wait = sys.argv[1:]
    Client(command, uri, int(first), int(seed), float(wait)).call_until_stdin_ends()
