"""LitServe over onnxruntime, JSON."""

from approaches.model_servers import ModelServer
from host import Host


class LitServe(ModelServer):
    name = "litserve"
    title = "LitServe, JSON"
    product = "LitServe"
    crossings = (
        4  # through the kernel to the web process, and through a ZeroMQ socket to the worker
    )
    note = "a worker process for each model, fast_queue, no access log"

    def arguments(self, host: Host, port: int) -> list[str]:
        return [str(host.servers / "litserve/server.py"), str(port), *host.workload_names()]
