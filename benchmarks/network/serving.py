"""`make bench-serving`: measures the server for HTTP and gRPC beside its peers, and writes bars.

Each server gets the bytes of the same request from the same client, one call after the other, and
the servers take turns. Beside each stands a bare echo: a program with the same HTTP parser that
answers with recorded bytes. The results go to network.json, beside those of run.py.

python benchmarks/network/serving.py --build build
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from approaches.grpc import GrpcCppTcp
from approaches.own_server import start_server
from approaches.rest import RestJson
from approaches.triton import TritonHttp
from client_process import ClientProcess
from common import (
    RESULTS,
    Bar,
    check_document,
    describe_machine,
    describe_versions,
    find_in_package,
    guarded,
    make_parser,
    print_table,
)
from host import Host, free_port, visit
from versions import PACKAGES, programs
from workload import all_workloads

ROUNDS, CALLS = 9, 2000
CLIENT_WARM_UP = 50  # calls that bench-http-client makes before it measures
# CPU time counts when a server is busy. With one client, most of it is what the kernel takes to
# wake up an idle CPU, and what our server polls before it sleeps.
BUSY = 8
RECORD, TENSOR = "penguins", "gbm"
JSON = "Content-Type: application/json"


def start_sidecall(host: Host, workload: str) -> tuple[int, int]:
    """Serves a workload; returns the ports for HTTP and gRPC."""
    http, grpc = free_port(), free_port()
    start_server(host, workload, http=f"127.0.0.1:{http}", grpc=f"127.0.0.1:{grpc}")
    return http, grpc


def start_echo(host: Host, answer: Path) -> int:
    port = free_port()
    host.start([str(host.build / "bin/bench-http-echo"), str(port), str(answer)])
    host.wait_for_port(port, "the echo")
    return port


class Caller:
    """Posts the same bytes to a server with bench-http-client."""

    def __init__(self, host: Host, name: str, url: str, body: bytes, *headers: str) -> None:
        self.name, self.host = name, host
        file = host.folder / f"{name}.request"
        file.write_bytes(body)
        self.answer = host.folder / f"{name}.answer"
        self.words = [str(host.build / "bin/bench-http-client"), url, str(file)]
        self.headers = headers
        self.p50: list[float] = []
        self.p99: list[float] = []

    def ask(self, calls: int, answer: Path) -> str:
        return self.host.run([*self.words, str(calls), str(answer), *self.headers])

    def call(self, calls: int) -> None:
        p50, p99 = map(float, self.ask(calls, self.answer).split())
        self.p50.append(p50)
        self.p99.append(p99)

    def row(self) -> dict:
        return {"server": self.name, "p50_us": median(self.p50), "p99_us": median(self.p99)}


def take_turns(callers: list[Caller], calls: int, rounds: int) -> None:
    for number in range(rounds):
        for caller in callers if number % 2 == 0 else reversed(callers):
            caller.call(calls)


def record_of(host: Host, workload: str) -> dict:
    """The first record of a workload."""
    text = (host.workloads / workload / "records.jsonl").read_text(encoding="utf-8")
    return json.loads(text.splitlines()[0])


def binary_request(row: np.ndarray) -> tuple[bytes, str]:
    """A run on one row in binary, as sidecall's client sends it; and the header with its length."""
    described = {"name": "X", "shape": list(row.shape), "datatype": "FP32"}
    head = json.dumps(
        {
            "id": "1",
            "inputs": [described | {"parameters": {"binary_data_size": row.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return head + row.tobytes(), f"Inference-Header-Content-Length: {len(head)}"


def cpu_per_call(caller: Caller, calls: int, clients: int) -> float:
    """The CPU time that the servers of a host take for each call of several clients, in us."""
    before = caller.host.cost()[0]
    answers = [caller.host.folder / f"{caller.name}.answer{i}" for i in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda answer: caller.ask(calls, answer), answers))
    return (caller.host.cost()[0] - before) / ((calls + CLIENT_WARM_UP) * clients) * 1e6


def triton_client(url: str, model: str, row: np.ndarray, calls: int) -> float:
    """The median time of a call with NVIDIA's client, in us."""
    import tritonclient.http as triton

    with triton.InferenceServerClient(url) as client:
        given = triton.InferInput("X", row.shape, "FP32")
        given.set_data_from_numpy(row)
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            client.infer(model, [given])
            times.append(time.perf_counter() - begun)
    return median(times) * 1e6


def closed_loop(process: ClientProcess, seconds: float) -> float:
    said = process.ask(do="closed", clients=1, seconds=seconds, warm_up=50, first=0)
    if said["calls"] == 0:
        raise SystemExit(f"no call was answered: {said['error']}")
    return float(said["p50_us"])


class Measurement:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.build = arguments.build.resolve()
        self.folder = folder
        self.calls, self.rounds = (50, 1) if arguments.quick else (CALLS, ROUNDS)
        self.seconds = 0.05 if arguments.quick else 1.0
        self.workloads = folder / "workloads"
        for workload in all_workloads():
            if workload.name in (RECORD, TENSOR):
                workload.write(self.workloads)
        self.row = np.fromfile(self.workloads / TENSOR / "input.f32", np.float32, 30).reshape(1, 30)
        self.rows: list[dict] = []
        self.bars: list[Bar] = []

    def visit(self, name: str):
        folder = self.folder / name
        folder.mkdir()
        library = find_in_package("onnxruntime", "capi/libonnxruntime.so*")
        return visit(build=self.build, folder=folder, workloads=self.workloads, onnxruntime=library)

    def add(self, name: str, value: float, limit: float) -> None:
        self.bars.append(Bar(name, value, limit))

    def records(self) -> None:
        """A record as JSON: FastAPI, our server, the echo."""
        with self.visit("records") as host, self.visit("fastapi") as peer:
            http, _ = start_sidecall(host, RECORD)
            fastapi = RestJson().start(peer)["url"]
            record = json.dumps(record_of(host, RECORD)).encode()
            url = f"http://127.0.0.1:{http}/v2/models/{RECORD}/predict"
            ours = Caller(host, "sidecall, record", url, record, JSON)
            theirs = Caller(peer, "FastAPI, record", f"{fastapi}/{RECORD}", record, JSON)
            ours.call(10)
            echo_port = start_echo(host, ours.answer)
            echo = Caller(host, "echo, record", f"http://127.0.0.1:{echo_port}/", record, JSON)
            callers = [ours, theirs, echo]
            for caller in callers:
                caller.call(self.calls)
                caller.p50.clear()
                caller.p99.clear()
            take_turns(callers, self.calls, self.rounds)
            self.rows += [caller.row() for caller in callers]
            cpu_alone = [cpu_per_call(caller, self.calls * 5, 1) for caller in callers]
            cpu = [cpu_per_call(caller, self.calls * 5, BUSY) for caller in callers]
            for row, alone, busy in zip(self.rows[-3:], cpu_alone, cpu, strict=True):
                row |= {"cpu_us": alone, "busy_cpu_us": busy}
            p50 = [median(caller.p50) for caller in callers]
            self.add("http_vs_fastapi", p50[0] / p50[1], 0.4)
            self.add("http_vs_echo", p50[0] / p50[2], 2.0)
            self.add("http_cpu_vs_fastapi", cpu[0] / cpu[1], 0.125)

    def tensors(self) -> None:
        """A tensor in binary: our server, the echo; and NVIDIA's client with both."""
        with self.visit("tensors") as host:
            http, _ = start_sidecall(host, TENSOR)
            body, header = binary_request(self.row)
            headers = ["Content-Type: application/octet-stream", header]
            url = f"http://127.0.0.1:{http}/v2/models/{TENSOR}/infer"
            ours = Caller(host, "sidecall, tensor", url, body, *headers)
            ours.call(10)
            port = start_echo(host, ours.answer)
            echo = Caller(host, "echo, tensor", f"http://127.0.0.1:{port}/", body, *headers)
            for caller in (ours, echo):
                caller.call(self.calls)
                caller.p50.clear()
                caller.p99.clear()
            take_turns([ours, echo], self.calls, self.rounds)
            self.rows += [ours.row(), echo.row()]
            self.add("http_binary_vs_echo", median(ours.p50) / median(echo.p50), 1.8)
            with self.visit("triton") as peer:
                urls = {
                    "sidecall": f"127.0.0.1:{http}",
                    "echo": f"127.0.0.1:{port}",
                    "Triton": TritonHttp().start(peer)["url"],
                }
                times: dict[str, list[float]] = {name: [] for name in urls}
                for _ in range(self.rounds):
                    for name, at in urls.items():
                        times[name].append(
                            triton_client(at, TENSOR, self.row, max(self.calls // 4, 20))
                        )
            found = {name: median(each) for name, each in times.items()}
            self.rows += [
                {"server": f"{name}, Triton's client", "p50_us": value}
                for name, value in found.items()
            ]
            self.add("triton_client_vs_canned", found["sidecall"] / found["echo"], 1.3)
            self.add("triton_client_vs_triton", found["sidecall"] / found["Triton"], 0.7)

    def grpc(self) -> None:
        """gRPC: our client with our server, and gRPC's C++ client with its C++ server."""
        with self.visit("grpc") as host:
            _, port = start_sidecall(host, TENSOR)
            places = {
                "sidecall": ("sidecall", "none", {"uri": f"grpc://127.0.0.1:{port}/{TENSOR}"}),
                "gRPC for C++": ("grpc", "protobuf", GrpcCppTcp().start(host)),
            }
            times: dict[str, list[float]] = {name: [] for name in places}
            for _ in range(self.rounds):
                for name, (transport, body, at) in places.items():
                    with ClientProcess("native", host, {}) as process:
                        process.ask(
                            do="open",
                            workload=str(self.workloads / TENSOR),
                            rows=1,
                            transport=transport,
                            body=body,
                            at=at,
                        )
                        times[name].append(closed_loop(process, self.seconds))
            found = {name: median(each) for name, each in times.items()}
            self.rows += [
                {"server": f"{name}, gRPC", "p50_us": value} for name, value in found.items()
            ]
            self.add("grpc_vs_cpp_grpc", found["sidecall"] / found["gRPC for C++"], 0.6)


SECTIONS = ("serving", "rollout", "balancing", "file_only")  # what others than run.py measure


def keep_sections(document: dict, path: Path) -> dict:
    """The document of run.py with the sections and bars of others in the file that it replaces."""
    if not path.exists():
        return document
    old = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: old[name] for name in SECTIONS if name in old}
    names = {bar for section in kept.values() for bar in section["bars"]}
    bars = [bar for bar in document["bars"] if bar["name"] not in names]
    bars += [bar for bar in old["bars"] if bar["name"] in names]
    return document | kept | {"bars": bars}


def write_section(name: str, rows: list[dict], bars: list[Bar], path: Path) -> None:
    """Adds bars and a table to the document of run.py, whose other parts stay."""
    document = json.loads(path.read_text(encoding="utf-8"))
    names = {bar.name for bar in bars}
    others = [bar for bar in document["bars"] if bar["name"] not in names]
    document["bars"] = others + [bar.document() for bar in bars]
    document[name] = {
        "machine": describe_machine(),
        "versions": describe_versions(PACKAGES) | programs(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "rows": rows,
        "bars": sorted(names),
    }
    check_document(document)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    description = "Measures the server for HTTP and gRPC."
    arguments = make_parser(description, "network", "the CMake build folder").parse_args()
    with tempfile.TemporaryDirectory(prefix="sidecall-serving-") as name:
        measurement = Measurement(arguments, Path(name))
        measurement.records()
        measurement.tensors()
        measurement.grpc()
    print_table(
        ["server", "p50 us", "p99 us", "CPU us", f"CPU us, {BUSY} clients"],
        [
            [
                row["server"],
                *(
                    f"{row[key]:.1f}" if key in row else ""
                    for key in ("p50_us", "p99_us", "cpu_us", "busy_cpu_us")
                ),
            ]
            for row in measurement.rows
        ],
    )
    for bar in measurement.bars:
        print(
            f"{bar.name:<26} {bar.value:8.3f} {bar.limit:8.3f} {'holds' if bar.holds else 'MISSED'}"
        )
    if not arguments.quick:
        path = arguments.output or RESULTS / "network.json"
        write_section("serving", measurement.rows, measurement.bars, path)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
