"""Ray Serve over onnxruntime, JSON: one node, and one replica for each workload.

Usage: server.py PORT WORKLOAD...
"""

import signal
import sys
from pathlib import Path
from typing import Any

import models

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scaleout"))
from clusters import ADDRESS, ray_cluster


class Predict:
    def __init__(self, name: str) -> None:
        from ray.serve._private import replica

        # A replica listens for other replicas, after this function and on every interface.
        add = replica.add_port_to_grpc_server
        replica.add_port_to_grpc_server = lambda server, _: add(server, f"{ADDRESS}:0")
        self.name = name

    async def __call__(self, request: Any) -> Any:
        from starlette.responses import Response

        answer = models.answer_json(self.name, await request.body())
        return Response(answer, media_type="application/json")


def main() -> None:
    port, *names = sys.argv[1:]
    with ray_cluster(nodes=0):
        from ray import serve

        serve.start(http_options={"host": ADDRESS, "port": int(port)})
        deploy = serve.deployment(
            ray_actor_options={"num_cpus": 0},
            max_ongoing_requests=1000,
            logging_config={"enable_access_log": False},
        )
        for name in names:
            serve.run(deploy(Predict).bind(name), name=name, route_prefix=f"/{name}")
        print("ready", flush=True)
        signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    # A thread of Ray must not take the signal, so it is blocked before there are threads.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main()
