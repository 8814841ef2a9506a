"""Shared by the model servers whose packages are installed separately, in build/peers: JSON over
HTTP, from one Python program.
"""

import os
from typing import ClassVar

from approach import Approach
from host import Host, UnavailableError, free_port


class ModelServer(Approach):
    group = "REST"
    transport = "http"
    body = "json"
    workloads = ("gbm", "penguins")
    max_rows = 100
    crossings = 2
    product: ClassVar[str]
    ready: ClassVar[str] = (
        ""  # for a server that listens early: the page that answers once the models are loaded
    )

    def start(self, host: Host) -> dict:
        modules = host.peers / self.name
        if not (modules / self.name).exists():
            raise UnavailableError(
                f"{self.product} is not installed: run python benchmarks/network/peers.py {self.name}"
            )
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {
            "PYTHONPATH": os.pathsep.join([str(host.servers), str(modules)])
        } | self.settings(host, port)
        host.start([host.python, *self.arguments(host, port)], environment)
        if self.ready:
            host.wait_for_url(f"{url}/{self.ready}", self.product)
        else:
            host.wait_for_port(port, self.product)
        return {"url": url}

    def arguments(self, host: Host, port: int) -> list[str]:
        """Arguments for the Python interpreter."""
        raise NotImplementedError

    def settings(self, host: Host, port: int) -> dict[str, str]:
        """Environment variables."""
        return {}
