"""LitServe over onnxruntime, JSON."""

import os

from approach import Approach
from host import Host, UnavailableError, free_port


class LitServe(Approach):
    name = "litserve"
    title = "LitServe, JSON"
    group = "REST"
    transport = "http"
    body = "json"
    workloads = ("gbm", "penguins")
    max_rows = 100
    crossings = 4  # through the kernel to the web process, and through a socket of ZeroMQ to the worker
    note = "a worker process for each model, fast_queue, no access log"

    def start(self, host: Host) -> dict:
        if not (host.peers / "litserve/litserve").exists():
            raise UnavailableError("LitServe is not there: python benchmarks/network/peers.py litserve")
        port = free_port()
        modules = os.pathsep.join([str(host.servers), str(host.peers / "litserve")])
        host.start([host.python, str(host.servers / "litserve/server.py"), str(port), *host.workload_names()], {"PYTHONPATH": modules})
        host.wait_for_port(port, "LitServe")
        return {"url": f"http://127.0.0.1:{port}"}
