"""Ray Serve is not measured; the report gives the reason.

It was tried with Ray from PyPI, a local cluster, one replica and JSON answers.
"""

from approach import Approach
from host import Host, UnavailableError


class RayServe(Approach):
    name = "ray-serve"
    title = "Ray Serve, JSON"
    group = "REST"
    transport = "http"
    body = "json"
    crossings = 4

    def start(self, host: Host) -> dict:
        raise UnavailableError(
            "a local cluster takes 18 s to start and 1 GiB, and its processes listen on every interface; Ray Serve is made for several machines"
        )
