"""Ray Serve over onnxruntime, JSON: through its proxy, and past it."""

import importlib.util
import json
import urllib.request
from http.client import HTTPException

from approach import Approach
from host import Host, UnavailableError, free_port

# Ports that replicas look for a free one in.
PORTS = 100


class RayServe(Approach):
    name = "ray-serve"
    title = "Ray Serve, JSON"
    group = "REST"
    transport = "http"
    body = "json"
    workloads = ("gbm", "penguins")
    max_rows = 100
    crossings = 4  # through the kernel to the proxy, and from the proxy to the replica
    note = (
        "as installed: a request goes through Ray's proxy to the replica. One node on this machine, "
        "one replica for each model, no access log"
    )

    def start(self, host: Host) -> dict:
        port = free_port()
        names = self.start_server(host, port)
        host.wait_until(lambda: names <= set(names_at(port)), "Ray Serve")
        return {"url": f"http://127.0.0.1:{port}"}

    def start_server(self, host: Host, port: int, **settings: str) -> set[str]:
        """Returns the names of the workloads that it serves."""
        if importlib.util.find_spec("ray") is None:
            raise UnavailableError("Ray is not installed: run make bench-network-setup")
        names = [name for name in host.workload_names() if name in self.workloads]
        server = str(host.servers / "ray_serve/server.py")
        process = host.start([host.python, server, str(port), *names], settings)
        host.wait_for_word(process, "Ray Serve")
        return set(names)


class RayServeDirect(RayServe):
    name = "ray-serve-direct"
    title = "Ray Serve, JSON, past its proxy"
    crossings = 2
    note = (
        "RAY_SERVE_THROUGHPUT_OPTIMIZED=1, and the client calls the replica itself. With the "
        "settings that Ray recommends for a high throughput, HAProxy stands in between; here it is "
        "left out, because Ray lets it listen on every interface"
    )

    def start(self, host: Host) -> dict:
        # Below the ports that the kernel chooses, which other processes of Ray have.
        first = 20_000 + free_port() % 10_000
        settings = {
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + PORTS),
        }
        names = self.start_server(host, free_port(), **settings)
        found: dict[str, str] = {}

        def is_complete() -> bool:
            for port in range(first, first + PORTS):
                found.update(dict.fromkeys(names_at(port), f"http://127.0.0.1:{port}"))
                if names <= found.keys():
                    return True
            return False

        host.wait_until(is_complete, "Ray Serve")
        return {"url": found}


def names_at(port: int) -> list[str]:
    """The names of the applications behind this port, which a proxy or a replica listens on."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/routes", timeout=5) as answer:
            return list(json.load(answer).values())
    except (OSError, HTTPException, ValueError):
        return []
