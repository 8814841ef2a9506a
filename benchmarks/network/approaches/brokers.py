"""Shared by the approaches that use a broker: a body for each kind of workload, and one Python
worker behind the broker.
"""

import shutil
from pathlib import Path

from approach import Approach
from host import Host, UnavailableError


class Broker(Approach):
    group = "queue"
    workloads = ("gbm", "null", "image", "penguins", "forest")
    crossings = 4  # into the kernel and out of it, once to the broker and once to the worker

    def body_of(self, kind: str) -> str:
        """The faster body: arrays as bytes. Records have strings and need JSON."""
        return "json" if kind == "record" else "binary"

    def start_worker(self, host: Host, folder: str, where: str) -> None:
        worker = host.start([host.python, str(host.servers / folder / "worker.py"), where])
        host.wait_for_word(worker, f"the worker of {self.name}")


def program(*paths: str) -> str:
    """The first program that exists."""
    for path in paths:
        found = shutil.which(path)
        if found:
            return found
    raise UnavailableError(f"{Path(paths[0]).name} is not installed")
