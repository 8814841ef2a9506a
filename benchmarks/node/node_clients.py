"""The Node.js processes of benchmarks/node and benchmarks/engine; used by their run.py."""

import os
import shutil
import subprocess
from pathlib import Path

from rounds import Client

HERE = Path(__file__).resolve().parent


class Clients:
    """The measured processes, one per package, so that no two share a heap or a library."""

    def __init__(self, build: Path):
        self.node = shutil.which("node") or "node"
        self.package = HERE.parents[1] / "bindings" / "node"
        self.peer = build / "node-peers" / "node_modules" / "onnxruntime-node"
        self.addon = build / "lib" / "sidecall.node"
        for path in (self.addon, self.peer):
            if not path.exists():
                raise FileNotFoundError(f"expected {path}: make bench-node builds or installs it")
        library = next(
            self.peer.glob(f"bin/napi-v*/linux/{self.print_of('process.arch')}/libonnxruntime.so.1")
        )
        self.environment = {
            "BENCH_ONNXRUNTIME_NODE": str(self.peer),
            # A test sets this to a package with wrong answers.
            "BENCH_SIDECALL": os.environ.get("BENCH_SIDECALL", str(self.package)),
            "SIDECALL_NODE_ADDON": str(self.addon),
            "SIDECALL_ONNXRUNTIME": str(library),  # the library of both packages
            "ORT_DISABLE_TELEMETRY": "1",
        }

    def open(self, name: str, cpu: int | None = None, **more: str) -> Client:
        pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
        command = [*pinned, self.node, "--expose-gc", str(HERE / "client.js")]
        return Client(name, command, self.environment | more)

    def print_of(self, expression: str) -> str:
        done = subprocess.run(
            [self.node, "-p", expression], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def versions(self) -> dict[str, str]:
        peer = self.print_of(f"require({str(self.peer / 'package.json')!r}).version")
        return {
            "node": self.print_of("process.versions.node"),
            "v8": self.print_of("process.versions.v8"),
            "onnxruntime-node": peer,
        }
