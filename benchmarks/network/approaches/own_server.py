"""sidecall's own server over HTTP and gRPC, called by sidecall's own client."""

import subprocess
from pathlib import Path
from typing import ClassVar

from approach import Approach
from host import Host, UnavailableError, free_port


def start_server(host: Host, workload: str, **addresses: str) -> subprocess.Popen:
    """Serves a workload by its name until the visit ends; returns as soon as clients can connect.

    `addresses` has one for each protocol, as `sidecall serve` takes it:
    `http="127.0.0.1:8000"`, `grpc="/run/model.sock"`.
    """
    command = [host.sidecall, "serve", str(host.workloads / workload / "model.onnx")]
    command += ["--name", workload]
    for protocol, address in addresses.items():
        command += [f"--{protocol}", address]
    process = host.start(command)
    for address in addresses.values():
        if address.startswith("/"):
            host.wait_for_socket(Path(address), "the sidecall server")
        else:
            host.wait_for_port(int(address.rpartition(":")[2]), "the sidecall server")
    return process


class _OwnServer(Approach):
    group = "network"
    transport = "sidecall"
    workloads = ("gbm", "null", "image", "penguins")
    crossings = 2  # into the kernel and out of it
    protocol: ClassVar[str]
    is_unix = False

    def start(self, host: Host) -> dict:
        """Starts one server per workload, because a server serves one model."""
        if not host.network_library.exists():
            raise UnavailableError(f"{host.network_library.name} was not built: run make net")
        uris = {}
        for name in host.workload_names():
            if name not in self.workloads:
                continue
            if self.is_unix:
                address = str(host.folder / f"{name}.sock")
                uris[name] = f"{self.protocol}+unix:{address}/{name}"
            else:
                address = f"127.0.0.1:{free_port()}"
                uris[name] = f"{self.protocol}://{address}/{name}"
            start_server(host, name, **{self.protocol: address})
        return {"uri": uris}


class SidecallHttp(_OwnServer):
    name = "sidecall-http"
    title = "sidecall, HTTP"
    protocol = "http"
    note = "sidecall serve --http with one thread; tensors travel in binary"


class SidecallHttpUnix(SidecallHttp):
    name = "sidecall-http-unix"
    title = "sidecall, HTTP, Unix socket"
    workloads = ("gbm", "penguins")
    max_rows = 1
    is_unix = True


class SidecallGrpc(_OwnServer):
    name = "sidecall-grpc"
    title = "sidecall, gRPC"
    protocol = "grpc"
    note = "sidecall serve --grpc with one thread"


class SidecallGrpcUnix(SidecallGrpc):
    name = "sidecall-grpc-unix"
    title = "sidecall, gRPC, Unix socket"
    is_unix = True
