"""BentoML over onnxruntime, JSON."""

import os

from approach import Approach
from host import Host, UnavailableError, free_port


class BentoMl(Approach):
    name = "bentoml"
    title = "BentoML, JSON"
    group = "REST"
    transport = "http"
    body = "json"
    workloads = ("gbm", "penguins")
    max_rows = 100
    crossings = 2
    note = "bentoml serve, one worker, async endpoints, no access log, no metrics"

    def start(self, host: Host) -> dict:
        if not (host.peers / "bentoml/bentoml").exists():
            raise UnavailableError("BentoML is not there: python benchmarks/network/peers.py bentoml")
        port = free_port()
        environment = {
            "PYTHONPATH": os.pathsep.join([str(host.servers), str(host.peers / "bentoml")]),
            "BENTOML_HOME": str(host.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        service = host.servers / "bentoml"
        where = ["--host", "127.0.0.1", "--port", str(port), "--timeout-keep-alive", "600", "--working-dir", str(service)]
        host.start([host.python, "-m", "bentoml", "serve", "service:Predictor", *where], environment, cwd=service)
        host.wait_for_port(port, "BentoML")
        return {"url": f"http://127.0.0.1:{port}"}
