"""REST with FastAPI on uvicorn.

Variants: onnxruntime with JSON and binary, over TCP and a Unix socket; and joblib with
scikit-learn, which most teams use.
"""

from pathlib import Path

from approach import Approach
from host import Host, free_port

UVICORN = [
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level",
    "warning",
    "--workers",
    "1",
    "--timeout-keep-alive",
    "600",
]


def serve(host: Host, app: Path, socket: Path | None) -> dict:
    """Starts the `app` of app.py; returns its address."""
    command = [host.python, "-m", "uvicorn", "app:app", "--app-dir", str(app), *UVICORN]
    if socket is not None:
        host.start([*command, "--uds", str(socket)])
        host.wait_for_socket(socket, "uvicorn")
        return {"unix": str(socket), "path": ""}
    port = free_port()
    host.start([*command, "--host", "127.0.0.1", "--port", str(port)])
    host.wait_for_port(port, "uvicorn")
    return {"url": f"http://127.0.0.1:{port}"}


class _Rest(Approach):
    group = "REST"
    transport = "http"
    crossings = 2  # into the kernel and out of it
    app = "fastapi_onnx"
    is_unix = False
    note = "uvloop, httptools, kept-alive connections, no access log, one worker, async endpoints, orjson"

    def start(self, host: Host) -> dict:
        return serve(
            host, host.servers / self.app, host.folder / "rest.sock" if self.is_unix else None
        )


class RestJson(_Rest):
    name = "rest-json"
    title = "FastAPI, JSON"
    body = "json"
    workloads = ("gbm", "null", "image", "penguins", "forest")


class RestJsonUnix(RestJson):
    name = "rest-json-unix"
    title = "FastAPI, JSON, Unix socket"
    workloads = ("gbm", "penguins")
    max_rows = 1
    is_unix = True


class RestBinary(_Rest):
    name = "rest-binary"
    title = "FastAPI, binary body"
    body = "binary"
    workloads = ("gbm", "null", "image", "forest")


class RestBinaryUnix(RestBinary):
    name = "rest-binary-unix"
    title = "FastAPI, binary body, Unix socket"
    workloads = ("gbm", "image")
    max_rows = 1
    is_unix = True


class RestSklearn(_Rest):
    name = "rest-sklearn"
    title = "FastAPI with joblib and scikit-learn"
    body = "json"
    engine = "scikit-learn"
    app = "fastapi_sklearn"
    workloads = ("gbm", "penguins", "forest")
    note = "pydantic models, `def` endpoints in the thread pool, predict and predict_proba: what most teams deploy. uvicorn as above"
