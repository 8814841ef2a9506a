"""Splits the time of one REST call and one gRPC call into engine, serialisation, kernel and
framework.

Used by run.py. The parts are measured separately, with the bodies of the real call. Engine and
serialisation of both sides are measured in one process. The kernel part is measured with two
processes that only send each other bodies of the same length over the same kind of socket. The rest
of the call's time belongs to the frameworks (HTTP, event loop, threads, dispatch).
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
from collect import Collection
from plan import Cell

ROUNDS = 400
ECHO = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
peer, _ = listener.accept()
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
asked, answer = int(sys.argv[1]), bytes(int(sys.argv[2]))
while True:
    left = asked
    while left:
        got = peer.recv(left)
        if not got:
            sys.exit()
        left -= len(got)
    peer.sendall(answer)
"""


def measure(build: Path, folder: Path, library: Path, collection: Collection) -> list[dict]:
    """Decomposes each of the two approaches if its Python client was measured."""
    os.environ |= {
        "BENCH_WORKLOADS": str(folder / "workloads"),
        "SIDECALL_ONNXRUNTIME": str(library),
    }
    sys.path.insert(0, str(build / "peers/python"))
    models = _served_models()
    parts = {"rest-json": _rest, "grpc-python-tcp": _grpc}
    found = []
    for approach, measured in parts.items():
        series = collection.find(approach, "python", Cell("gbm", 1))
        if series is None:
            continue
        total = series.median("p50_us")
        row = np.fromfile(folder / "workloads/gbm/input.f32", np.float32, 30).reshape(1, 30)
        engine, serialise, kernel = measured(models, row)
        known = engine + serialise + kernel
        split = {
            "engine": engine,
            "serialise": serialise,
            "kernel": kernel,
            "framework": max(total - known, 0.0),
        }
        found.append(
            {
                "approach": approach,
                "client": "python",
                "total_us": total,
                "parts_us": split,
                "transport_us": total - engine,
            }
        )
    return found


def _served_models() -> ModuleType:
    """Loads servers/models.py under another name: a different `models` is imported already."""
    spec = util.spec_from_file_location(
        "served_models", Path(__file__).resolve().parent / "servers/models.py"
    )
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _median_us(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


def _rest(models: ModuleType, row: np.ndarray) -> tuple[float, float, float]:
    """Engine, serialisation and kernel in us; only the kernel part includes HTTP headers."""
    import orjson

    answers = models.answer_tensors("gbm", row)
    asked = json.dumps({"X": row.tolist()}).encode()
    answered = orjson.dumps(answers, option=orjson.OPT_SERIALIZE_NUMPY)
    serialise = [
        lambda: json.dumps({"X": row.tolist()}).encode(),
        lambda: np.array(orjson.loads(asked)["X"], np.float32),
        lambda: orjson.dumps(answers, option=orjson.OPT_SERIALIZE_NUMPY),
        lambda: json.loads(answered),
    ]
    engine = _median_us(lambda: models.answer_tensors("gbm", row))
    return (
        engine,
        sum(map(_median_us, serialise)),
        _kernel_us(len(asked) + 200, len(answered) + 150),
    )


def _grpc(models: ModuleType, row: np.ndarray) -> tuple[float, float, float]:
    import prediction_pb2 as messages

    answers = models.answer_tensors("gbm", row)

    def ask() -> bytes:
        return messages.PredictRequest(
            model="gbm", shape=row.shape, values=row.ravel()
        ).SerializeToString()

    def answer() -> bytes:
        return messages.PredictResponse(
            label=answers["label"], values=answers["probabilities"].ravel()
        ).SerializeToString()

    asked, answered = ask(), answer()
    serialise = [
        ask,
        lambda: np.array(messages.PredictRequest.FromString(asked).values, np.float32).reshape(
            1, 30
        ),
        answer,
        lambda: np.array(messages.PredictResponse.FromString(answered).values, np.float32),
    ]
    engine = _median_us(lambda: models.answer_tensors("gbm", row))
    return engine, sum(map(_median_us, serialise)), _kernel_us(len(asked) + 60, len(answered) + 60)


def _kernel_us(asked: int, answered: int) -> float:
    """The round-trip time of bodies of these lengths over TCP on loopback."""
    with ExitStack() as stack:
        echo = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", ECHO, str(asked), str(answered)], stdout=subprocess.PIPE
            )
        )
        peer = stack.enter_context(
            socket.create_connection(("127.0.0.1", int(echo.stdout.readline())))
        )
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = bytes(asked)

        def call() -> None:
            peer.sendall(body)
            left = answered
            while left:
                left -= len(peer.recv(left))

        return _median_us(call)
