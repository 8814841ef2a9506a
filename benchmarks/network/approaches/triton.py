"""Triton's Python backend with onnxruntime inside.

Variants: HTTP, gRPC, and HTTP with tensors in Triton's system shared memory.
"""

import json
import os
import shutil
import sysconfig
from pathlib import Path

from approach import Approach
from host import Host, UnavailableError, free_port

TYPES = {"float32": "TYPE_FP32", "float64": "TYPE_FP64", "int64": "TYPE_INT64"}


def write_repository(host: Host) -> Path:
    """Writes the layout that Triton loads: MODEL/config.pbtxt and MODEL/1/model.py for each tensor
    workload.
    """
    repository = host.folder / "repository"
    form = (host.servers / "triton/config.pbtxt").read_text()
    for name in host.workload_names():
        described = json.loads((host.workloads / name / "workload.json").read_text())
        if described["kind"] != "tensor":
            continue
        outputs = ", ".join(
            _tensor(one["name"], one["dtype"], one["dims"]) for one in described["outputs"]
        )
        taken = _tensor(described["input"]["name"], "float32", described["input"]["dims"])
        (repository / name / "1").mkdir(parents=True)
        shutil.copy(host.servers / "triton/model.py", repository / name / "1")
        (repository / name / "config.pbtxt").write_text(
            form.replace("NAME", name).replace("INPUTS", taken).replace("OUTPUTS", outputs)
        )
    return repository


def _tensor(name: str, dtype: str, dims: list[int]) -> str:
    return f'{{ name: "{name}", data_type: {TYPES[dtype]}, dims: {[-1, *dims]} }}'


class _Triton(Approach):
    group = "Triton"
    clients = ("python",)
    workloads = ("gbm", "null", "image", "forest")
    without = {
        "native": "neither Debian nor PyPI packages NVIDIA's C++ client",
        "node": "NVIDIA publishes no client for Node.js",
    }
    note = "Triton's Python backend (the server of nvidia-pytriton), one instance, no batching; NVIDIA's Python client"

    def start(self, host: Host) -> dict:
        home = host.peers / "triton/pytriton/tritonserver"
        if not (home / "backends/python/triton_python_backend_stub").exists():
            raise UnavailableError(
                "the server is not installed, or it has no backend for this Python: run python benchmarks/network/peers.py triton"
            )
        http, grpc = free_port(), free_port()
        libraries = [
            str(host.peers / "triton/nvidia_pytriton.libs"),
            sysconfig.get_config_var("LIBDIR"),
        ]
        modules = [str(host.servers), sysconfig.get_path("purelib")]
        host.start(
            [
                str(home / "bin/tritonserver"),
                f"--model-repository={write_repository(host)}",
                f"--backend-directory={home / 'backends'}",
                f"--cache-directory={home / 'caches'}",
                f"--http-port={http}",
                f"--grpc-port={grpc}",
                "--http-address=127.0.0.1",
                "--grpc-address=127.0.0.1",
                "--allow-metrics=false",
                "--log-info=false",
                "--exit-timeout-secs=2",  # it would wait for connections that clients left open
            ],
            {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PYTHONPATH": os.pathsep.join(modules)},
        )
        host.wait_for_port(grpc, "Triton")  # the gRPC port listens once all models are loaded
        host.wait_for_port(http, "Triton")
        return {"url": f"127.0.0.1:{grpc if self.transport == 'triton_grpc' else http}"}


class TritonHttp(_Triton):
    name = "triton-http"
    title = "Triton, HTTP"
    transport = "triton_http"
    body = "binary"
    crossings = 3  # into the kernel, out of it to Triton, through shared memory to Python


class TritonGrpc(_Triton):
    name = "triton-grpc"
    title = "Triton, gRPC"
    transport = "triton_grpc"
    body = "protobuf"
    crossings = 3


class TritonShm(_Triton):
    name = "triton-shm"
    title = "Triton, its shared memory"
    transport = "triton_shm"
    body = "binary"
    crossings = 2  # into the client's region, and from there to the Python process
