"""MLServer over onnxruntime, JSON."""

import os

from approach import Approach
from host import Host, UnavailableError, free_port


class MlServer(Approach):
    name = "mlserver"
    title = "MLServer, JSON"
    group = "REST"
    transport = "http"
    body = "json"
    workloads = ("gbm", "penguins")
    max_rows = 100
    crossings = 2
    note = "custom handlers that take the same JSON as the others, no parallel workers, no metrics"

    def start(self, host: Host) -> dict:
        if not (host.peers / "mlserver/mlserver").exists():
            raise UnavailableError("MLServer is not there: python benchmarks/network/peers.py mlserver")
        http, grpc = free_port(), free_port()
        environment = {
            "PYTHONPATH": os.pathsep.join([str(host.servers), str(host.peers / "mlserver")]),
            "MLSERVER_HTTP_PORT": str(http),
            "MLSERVER_GRPC_PORT": str(grpc),
        }
        host.start([host.python, str(host.peers / "mlserver/bin/mlserver"), "start", str(host.servers / "mlserver")], environment)
        host.wait_for_url(f"http://127.0.0.1:{http}/v2/models/predictor/ready", "MLServer")  # it listens before its models are there
        return {"url": f"http://127.0.0.1:{http}"}
