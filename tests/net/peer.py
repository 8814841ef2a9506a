"""A server that speaks the Open Inference Protocol over HTTP and gRPC and shares no code with ours.

It runs ONNX files of a folder with ONNX Runtime's own Python package. Its messages are those of
Python's json module and of Google's protobuf.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import numpy as np
import onnx
import onnxruntime

HERE = Path(__file__).parent
PROTOS = Path(__file__).parents[2] / "net/server/grpc/protos"
MODELS = HERE.parent / "vectors/models"
# A record that penguins.onnx takes, and some features more.
RECORD = {
    "island": "Biscoe",
    "bill_length_mm": 45.1,
    "bill_depth_mm": 14.5,
    "flipper_length_mm": 215,
    "body_mass_g": 5000,
    "sex": "FEMALE",
}
DATATYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
ONNX_TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
} | {
    f"tensor({kind}{bits})": f"{kind}{bits}".upper()
    for kind in ("int", "uint")
    for bits in (8, 16, 32, 64)
}


class Refused(Exception):
    """A request that the server answers with an error."""

    def __init__(self, status: int, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


class Served:
    """One model file."""

    def __init__(self, path: Path, with_contract: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(str(path), options)
        properties = {
            entry.key: entry.value
            for entry in onnx.load(path, load_external_data=False).metadata_props
        }
        self.properties: dict[str, str] = {}
        if with_contract and "sidecall.contract" in properties:
            self.properties["sidecall.contract"] = properties["sidecall.contract"]
            self.properties["sidecall.model_id"] = properties["sidecall.id"]

    def describe(self, specs: list[Any]) -> list[tuple[str, str, list[int]]]:
        if not all(spec.type in ONNX_TYPES for spec in specs):
            raise Refused(
                500, grpc.StatusCode.INTERNAL, "the protocol has no name for a type of the model"
            )
        return [
            (
                spec.name,
                ONNX_TYPES[spec.type],
                [size if isinstance(size, int) else -1 for size in spec.shape],
            )
            for spec in specs
        ]

    @property
    def inputs(self) -> list[tuple[str, str, list[int]]]:
        return self.describe(self.session.get_inputs())

    @property
    def outputs(self) -> list[tuple[str, str, list[int]]]:
        return self.describe(self.session.get_outputs())

    def run(self, inputs: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        names = names or [spec.name for spec in self.session.get_outputs()]
        try:
            return dict(zip(names, self.session.run(names, inputs), strict=True))
        except Exception as error:  # onnxruntime has no common class for its errors
            raise Refused(400, grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def to_binary(array: np.ndarray) -> bytes:
    if array.dtype != np.object_:
        return np.ascontiguousarray(array).tobytes()
    texts = [text.encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def from_binary(data: bytes, datatype: str, shape: list[int]) -> np.ndarray:
    if datatype != "BYTES":
        return np.frombuffer(data, DATATYPES[datatype]).reshape(shape)
    texts = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return np.array(texts, np.object_).reshape(shape)


def datatype_of(array: np.ndarray) -> str:
    return next(name for name, kind in DATATYPES.items() if array.dtype == np.dtype(kind))


@cache
def messages() -> tuple[Any, Any]:
    """The classes of open_inference.proto, which grpcio-tools compiles."""
    sys.path.insert(0, str(PROTOS))
    try:
        protos, services = grpc.protos_and_services("open_inference.proto")
    finally:
        sys.path.remove(str(PROTOS))
    return protos, services


class Peer:
    """Serves all models of a folder until `close`.

    `sockets`: a folder for sockets, which the server then listens on besides ports. `tls`: an SSL
    context for HTTP and credentials for gRPC. `binary`: whether the server takes tensors in binary
    over HTTP, and says so. `delay`: how many seconds each run takes longer. `host`, `ports`: where
    it listens, over HTTP and gRPC; by default on free ports.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binary: bool = True,
        with_contract: bool = True,
        sockets: Path | None = None,
        tls: tuple[ssl.SSLContext, grpc.ServerCredentials] | None = None,
        host: str = "127.0.0.1",
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        self.folder, self.binary, self.with_contract = folder, binary, with_contract
        self.delay = 0.0
        self.model_id = ""  # told in the metadata and with each answer
        self.status = 200  # of runs over HTTP; 0 closes the connection without an answer
        self.is_ready = True
        self.raw_contents = True  # whether gRPC answers in binary
        self.seen: list[dict[str, str]] = []  # the headers of runs
        self.change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda outputs: (
            outputs
        )
        self.num_described = 0  # how often the metadata of a model was asked for
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()
        self.num_cancelled = 0  # runs over gRPC that the client cancelled
        self._tls = tls
        self.host = host
        self._http: list[ThreadingHTTPServer] = [Server((host, ports[0]), handler_of(self))]
        self.port = self._http[0].server_port
        if tls is not None:
            self._http[0].socket = tls[0].wrap_socket(self._http[0].socket, server_side=True)
        if sockets is not None:
            self._http.append(SocketServer(str(sockets / "http.sock"), handler_of(self)))
        for server in self._http:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self._grpc = grpc.server(
            ThreadPoolExecutor(4),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        messages()[1].add_GRPCInferenceServiceServicer_to_server(service_of(self), self._grpc)
        self.grpc_port = (
            self._grpc.add_insecure_port(f"{host}:{ports[1]}")
            if tls is None
            else self._grpc.add_secure_port(f"{host}:{ports[1]}", tls[1])
        )
        if sockets is not None:
            self._grpc.add_insecure_port(f"unix:{sockets}/grpc.sock")
        self._grpc.start()

    def uri(self, route: str, model: str) -> str:
        secure = "" if self._tls is None else "s"
        host = self.host if self._tls is None else "localhost"
        return f"{route}{secure}://{host}:{self.ports[route]}/{model}"

    @property
    def ports(self) -> dict[str, int]:
        return {"http": self.port, "grpc": self.grpc_port}

    def authority(self, route: str) -> str:
        return f"{self.host}:{self.ports[route]}"

    def properties_of(self, model: str) -> dict[str, str]:
        self.num_described += 1
        told = {"sidecall.model_id": self.model_id} if self.model_id else {}
        return self.served(model).properties | told

    def served(self, model: str) -> Served:
        path = self.folder / model
        if not path.is_file():
            raise Refused(404, grpc.StatusCode.NOT_FOUND, f"unknown model '{model}'")
        with self._lock:
            if model not in self._served:
                self._served[model] = Served(path, self.with_contract)
            return self._served[model]

    def run(
        self, model: str, inputs: dict[str, np.ndarray], names: list[str], headers: dict[str, str]
    ) -> dict[str, np.ndarray]:
        self.seen.append(headers)
        time.sleep(self.delay)
        return self.change(self.served(model).run(inputs, names))

    def close(self) -> None:
        for server in self._http:
            server.shutdown()
            server.server_close()
        self._grpc.stop(None)


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # of connections that are not accepted yet


class SocketServer(ThreadingHTTPServer):
    """Serves HTTP at a socket of this host."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


def handler_of(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # an answer is sent at once, so Nagle's algorithm does not delay it

        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def reply_json(self, document: dict[str, Any], status: int = 200) -> None:
            self.reply(status, json.dumps(document).encode(), Content_Type="application/json")

        def handle_path(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = [unquote(part) for part in self.path.split("/")[1:]]
            try:
                if parts == ["v2"]:
                    extensions = ["binary_tensor_data"] if peer.binary else []
                    self.reply_json({"name": "peer", "version": "1", "extensions": extensions})
                elif parts[:2] != ["v2", "models"] or len(parts) < 3:
                    raise Refused(404, grpc.StatusCode.NOT_FOUND, "unknown path")
                elif parts[3:] == ["ready"]:
                    peer.served(parts[2])
                    self.reply(200 if peer.is_ready else 503, b"")
                elif parts[3:] == ["infer"]:
                    self.infer(parts[2], body)
                else:
                    properties = peer.properties_of(parts[2])
                    self.reply_json(metadata_of(parts[2], peer.served(parts[2]), properties))
            except Refused as error:
                self.reply_json({"error": str(error)}, error.status)

        do_GET = do_POST = handle_path  # noqa: N815

        def infer(self, model: str, body: bytes) -> None:
            length = int(self.headers.get("Inference-Header-Content-Length", len(body)))
            request, binary = json.loads(body[:length]), body[length:]
            if binary and not peer.binary:
                raise Refused(400, grpc.StatusCode.INVALID_ARGUMENT, "expected JSON")
            inputs = {}
            for tensor in request["inputs"]:
                datatype, shape = tensor["datatype"], tensor["shape"]
                size = tensor.get("parameters", {}).get("binary_data_size")
                if size is None:
                    inputs[tensor["name"]] = np.array(tensor["data"], DATATYPES[datatype]).reshape(
                        shape
                    )
                    continue
                inputs[tensor["name"]] = from_binary(binary[:size], datatype, shape)
                binary = binary[size:]
            wanted = request.get("outputs", [])
            outputs = peer.run(
                model, inputs, [each["name"] for each in wanted], dict(self.headers.items())
            )
            as_binary = {
                each["name"] for each in wanted if each.get("parameters", {}).get("binary_data")
            }
            parts, described = [], []
            for name, array in outputs.items():
                entry: dict[str, Any] = {
                    "name": name,
                    "datatype": datatype_of(array),
                    "shape": list(array.shape),
                }
                if name in as_binary:
                    parts.append(to_binary(array))
                    entry["parameters"] = {"binary_data_size": len(parts[-1])}
                else:
                    entry["data"] = array.tolist()
                described.append(entry)
            document = {"model_name": model, "outputs": described}
            if peer.model_id:
                document["parameters"] = {"sidecall.model_id": peer.model_id}
            head = json.dumps(document).encode()
            headers = {"Inference_Header_Content_Length": str(len(head))} if parts else {}
            if peer.status == 0:
                self.close_connection = True
            elif peer.status != 200:
                self.reply_json({"error": "not now"}, peer.status)
            else:
                self.reply(200, head + b"".join(parts), **headers)

    return Handler


def metadata_of(name: str, served: Served, properties: dict[str, str]) -> dict[str, Any]:
    def listed(specs: list[tuple[str, str, list[int]]]) -> list[dict[str, Any]]:
        return [{"name": n, "datatype": kind, "shape": shape} for n, kind, shape in specs]

    return {
        "name": name,
        "versions": ["1"],
        "platform": "onnxruntime",
        "inputs": listed(served.inputs),
        "outputs": listed(served.outputs),
        "properties": properties,
    }


CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def service_of(peer: Peer) -> Any:
    protos, services = messages()

    def answering(method: Callable[[Any, dict[str, str]], Any]) -> Callable[..., Any]:
        def call(_self: object, request: Any, context: grpc.ServicerContext) -> Any:
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            headers["time_remaining"] = str(context.time_remaining())

            def count() -> None:
                peer.num_cancelled += 1

            is_over = False
            context.add_callback(lambda: None if is_over else count())
            try:
                answer = method(request, headers)
                is_over = True
                return answer
            except Refused as error:
                context.abort(error.code, str(error))

        return call

    def ready(request: Any, _: dict[str, str]) -> Any:
        peer.served(request.name)
        return protos.ModelReadyResponse(ready=peer.is_ready)

    def metadata(request: Any, _: dict[str, str]) -> Any:
        served = peer.served(request.name)
        answer = protos.ModelMetadataResponse(name=request.name, platform="onnxruntime")
        for specs, to in ((served.inputs, answer.inputs), (served.outputs, answer.outputs)):
            for name, kind, shape in specs:
                to.add(name=name, datatype=kind, shape=shape)
        answer.properties.update(peer.properties_of(request.name))
        return answer

    def infer(request: Any, headers: dict[str, str]) -> Any:
        inputs = {
            tensor.name: from_binary(raw, tensor.datatype, list(tensor.shape))
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        outputs = peer.run(
            request.model_name, inputs, [each.name for each in request.outputs], headers
        )
        if peer.status != 200:
            raise Refused(503, grpc.StatusCode.UNAVAILABLE, "not now")
        answer = protos.ModelInferResponse(model_name=request.model_name)
        if peer.model_id:
            answer.parameters["sidecall.model_id"].string_param = peer.model_id
        for name, array in outputs.items():
            kind = datatype_of(array)
            tensor = answer.outputs.add(name=name, datatype=kind, shape=array.shape)
            if peer.raw_contents or kind not in CONTENTS:
                answer.raw_output_contents.append(to_binary(array))
                continue
            values = [v.encode() if isinstance(v, str) else v for v in array.ravel().tolist()]
            getattr(tensor.contents, CONTENTS[kind]).extend(values)
        return answer

    members = {"ModelReady": ready, "ModelMetadata": metadata, "ModelInfer": infer}
    return type(
        "Service",
        (services.GRPCInferenceServiceServicer,),
        {name: answering(method) for name, method in members.items()},
    )()


def free_port() -> int:
    """A port of this host on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class PeerProcess:
    """A Peer in a process of its own, which `kill` ends with all its connections."""

    def __init__(
        self,
        folder: Path,
        *,
        with_contract: bool = True,
        delay: float = 0.0,
        host: str = "127.0.0.1",
        ports: dict[str, int] | None = None,
    ) -> None:
        given = (0, 0) if ports is None else (ports["http"], ports["grpc"])
        code = f"""
import json, sys, time
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
import peer
served = peer.Peer(
    Path({str(folder)!r}), with_contract={with_contract}, host={host!r}, ports={given}
)
served.delay = {delay}
print(json.dumps(served.ports), flush=True)
time.sleep(600)
"""
        self._process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.host, self.pid = host, self._process.pid
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline())

    def authority(self, route: str) -> str:
        return f"{self.host}:{self.ports[route]}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
