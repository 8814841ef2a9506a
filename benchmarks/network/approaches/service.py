"""A whole web service: Fastify scores one penguins record per request.

The model is in Fastify's process, behind `shm:`, or behind FastAPI. The native client calls Fastify
over HTTP.
"""

import os
import shutil
from pathlib import Path

from approach import Approach
from approaches.rest import serve
from host import HERE, Host, UnavailableError, free_port

WORKLOAD = "penguins"
PACKAGE = HERE.parents[1] / "bindings/node"


class _Service(Approach):
    group = "service"
    transport = "http"
    body = "json"
    clients = ("native",)
    without = {
        "node": "one load generator for all three services",
        "python": "one load generator for all three services",
    }
    workloads = (WORKLOAD,)
    warm_up = 5000  # the first calls took four times as long

    def start(self, host: Host) -> dict:
        packages = host.peers / "node/node_modules"
        node = shutil.which("node")
        if node is None or not (packages / "fastify").exists():
            raise UnavailableError(
                "Node.js or Fastify is not installed: make bench installs Fastify"
            )
        # Put sidecall beside the other packages, as npm install does.
        modules = host.folder / "node_modules"
        modules.mkdir()
        (modules / "sidecall").symlink_to(PACKAGE)
        environment = {
            "NODE_PATH": os.pathsep.join([str(modules), str(packages)]),
            "NODE_ENV": "production",
        }
        port = free_port()
        host.start(
            [node, str(HERE / "service/app.js"), str(port), *self.back_end(host)], environment
        )
        host.wait_for_port(port, "Fastify")
        return {"url": f"http://127.0.0.1:{port}/score"}

    def back_end(self, host: Host) -> list[str]:
        """Starts the back end that Fastify calls; returns Fastify's arguments for it."""
        raise NotImplementedError

    def model(self, host: Host) -> Path:
        return host.workloads / WORKLOAD / "model.onnx"


class ServiceInProcess(_Service):
    name = "service-in-process"
    title = "Fastify, sidecall in its process"
    crossings = 2  # for the request that Fastify receives
    note = "predictSync in the handler"

    def back_end(self, host: Host) -> list[str]:
        return ["in-process", str(self.model(host))]


class ServiceShm(_Service):
    name = "service-shm"
    title = "Fastify, sidecall over shm:"
    crossings = 3  # plus one into the segment
    note = "predict in the handler, to the native server in its default waiting mode"

    def back_end(self, host: Host) -> list[str]:
        socket = host.folder / "model.sock"
        host.start([host.sidecall, "serve", str(self.model(host)), "--at", f"shm:{socket}"])
        host.wait_for_file(socket, "the sidecall server")
        return ["shm", f"shm:{socket}"]


class ServiceRest(_Service):
    name = "service-fastapi"
    title = "Fastify, calling FastAPI"
    crossings = 4  # plus those of the request that FastAPI receives
    note = "undici's pool in the handler, to the tuned FastAPI of rest-json"

    def back_end(self, host: Host) -> list[str]:
        return ["http", f"{serve(host, host.servers / 'fastapi_onnx', None)['url']}/{WORKLOAD}"]
