"""MLServer over onnxruntime, JSON."""

from approaches.model_servers import ModelServer
from host import Host, free_port


class MlServer(ModelServer):
    name = "mlserver"
    title = "MLServer, JSON"
    product = "MLServer"
    ready = "v2/models/predictor/ready"
    note = "custom handlers that take the same JSON as the others, no parallel workers, no metrics"

    def arguments(self, host: Host, port: int) -> list[str]:
        return [str(host.peers / "mlserver/bin/mlserver"), "start", str(host.servers / "mlserver")]

    def settings(self, host: Host, port: int) -> dict[str, str]:
        return {"MLSERVER_HTTP_PORT": str(port), "MLSERVER_GRPC_PORT": str(free_port())}
