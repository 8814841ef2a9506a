"""A new model takes the place of the old one at an address that is a symbolic link, as
docs/serving.md describes under "A new model".
"""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import sidecall as python_client
from sidecall import errors

from serving import row_of, serving


class Caller:
    """A thread that calls one open model without pauses and never waits for a server."""

    def __init__(self, at: str, record: dict) -> None:
        self.model, self.record = python_client.open(at), record
        self.answers, self.failures = 0, []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.is_over.is_set():
            try:
                self.model.predict(self.record)
                self.answers += 1
            except errors.Error as error:
                self.failures.append(error)

    def wait_for_more(self, count: int) -> None:
        wanted = self.answers + count
        while self.answers < wanted and not self.failures:
            self.is_over.wait(0.01)

    def end(self) -> None:
        self.is_over.set()
        self.thread.join(60)


def turn(link: Path, to: str) -> None:
    following = link.with_name("next")
    following.symlink_to(to)
    following.replace(link)


def test_no_call_fails_while_servers_replace_one_another_behind_a_link(sidecall, jobs, tmp_path):
    record = json.loads(row_of(sidecall, jobs))
    link = tmp_path / "fraud.sock"
    at = f"shm:{link}"
    old = serving(sidecall, jobs, f"shm:{tmp_path}/0.sock")
    served = old.__enter__()
    turn(link, "0.sock")
    caller = Caller(at, record)
    try:
        for number in range(1, 4):
            caller.wait_for_more(20)
            new = serving(sidecall, jobs, f"shm:{tmp_path}/{number}.sock")
            following = new.__enter__()
            turn(link, f"{number}.sock")
            assert served.end() == 0
            old.__exit__(None, None, None)
            old, served = new, following
        caller.wait_for_more(20)
    finally:
        caller.end()
        old.__exit__(None, None, None)
    assert caller.failures == []


def test_a_new_model_that_is_refused_leaves_the_old_server_alone(sidecall, jobs, tmp_path):
    shutil.copy(tmp_path / jobs, tmp_path / "cut.onnx")
    with (tmp_path / "cut.onnx").open("r+b") as file:
        file.truncate(100)
    link = tmp_path / "fraud.sock"
    with serving(sidecall, jobs, f"shm:{tmp_path}/0.sock"):
        turn(link, "0.sock")
        assert sidecall("serve", "cut.onnx", "--at", f"shm:{tmp_path}/1.sock").code == 3
        assert sidecall("predict", f"shm:{link}", stdin=row_of(sidecall, jobs)).code == 0
