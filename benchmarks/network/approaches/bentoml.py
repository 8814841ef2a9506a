"""BentoML over onnxruntime, JSON."""

from approaches.model_servers import ModelServer
from host import Host


class BentoMl(ModelServer):
    name = "bentoml"
    title = "BentoML, JSON"
    product = "BentoML"
    note = "bentoml serve, one worker, async endpoints, no access log, no metrics"

    def arguments(self, host: Host, port: int) -> list[str]:
        where = [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--timeout-keep-alive",
            "600",
            "--working-dir",
            str(host.servers / "bentoml"),
        ]
        return ["-m", "bentoml", "serve", "service:Predictor", *where]

    def settings(self, host: Host, port: int) -> dict[str, str]:
        return {"BENTOML_HOME": str(host.folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
