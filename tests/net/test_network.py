"""Models on servers that speak the Open Inference Protocol: opening, runs, deadlines, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import sidecall
from peer import MODELS, RECORD, Peer, free_port
from raw_server import RawServer, answer
from sidecall import errors
from tls import Authority, serve
from vector_servers import engine_path

pytestmark = pytest.mark.usefixtures("network_library")
ROOT = Path(__file__).parents[2]
ROUTES = ["http", "grpc"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    started = Peer(MODELS)
    yield started
    started.close()


@pytest.fixture
def expected() -> dict:
    with sidecall.open(MODELS / "penguins.onnx") as model:
        features = {feature.name for feature in model.features}
        record = {name: value for name, value in RECORD.items() if name in features}
        return {"record": record, "answer": model.predict(record)}


@pytest.mark.parametrize("route", ROUTES)
def test_a_record_gives_the_same_answer_as_in_this_process(
    peer: Peer, route: str, expected: dict
) -> None:
    with sidecall.open(peer.uri(route, "penguins.onnx")) as model:
        assert model.predict(expected["record"]) == expected["answer"]
        assert model.warning is None


@pytest.mark.parametrize("route", ROUTES)
def test_golden_rows_run_when_the_model_is_opened(peer: Peer, route: str) -> None:
    def spoil(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: array + 1 if array.dtype == np.float32 else array
            for name, array in outputs.items()
        }

    peer.change = spoil
    with pytest.raises(errors.VerificationFailed):
        sidecall.open(peer.uri(route, "penguins.onnx"))
    with sidecall.open(peer.uri(route, "penguins.onnx"), verify="warn") as model:
        assert model.warning is not None


@pytest.mark.parametrize("route", ROUTES)
def test_the_contract_can_come_from_a_local_file(route: str, expected: dict) -> None:
    peer = Peer(MODELS, with_contract=False)
    uri = peer.uri(route, "penguins.onnx")
    with sidecall.open(uri) as model, pytest.raises(errors.NoContract):
        model.predict(expected["record"])
    with sidecall.open(f"{uri}?contract={MODELS / 'penguins.onnx'}") as model:
        assert model.predict(expected["record"]) == expected["answer"]
    with pytest.raises(errors.FileNotFound):
        sidecall.open(f"{uri}?contract={MODELS / 'absent.onnx'}")
    with pytest.raises(errors.NoContract):
        sidecall.open(f"{uri}?contract={MODELS / 'add.onnx'}")
    with pytest.raises(errors.ContractInvalid):
        sidecall.open(f"{uri}?contract={MODELS / 'matrix.onnx'}")
    peer.close()


def test_answers_of_grpc_that_are_not_in_binary_are_read(peer: Peer) -> None:
    peer.raw_contents = False
    for name in ("kinds.onnx", "penguins.onnx", "label_string.onnx", "label_bool.onnx"):
        sidecall.open(peer.uri("grpc", name)).close()
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        limits = np.iinfo(kind)
        values = np.array([limits.min, 0, limits.max], kind)
        with sidecall.open(peer.uri("grpc", f"identity_{kind}.onnx")) as model:
            (got,) = model.run({model.inputs[0].name: values}).values()
            assert got.tolist() == values.tolist()


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_host_without_a_server_is_unreachable(scheme: str) -> None:
    begin = time.monotonic()
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"{scheme}://127.0.0.1:{free_port()}/m")
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"{scheme}://host.invalid:80/m")
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("route", ROUTES)
def test_a_model_that_the_server_does_not_have_is_unreachable(peer: Peer, route: str) -> None:
    with pytest.raises(errors.Unreachable, match=r"absent\.onnx"):
        sidecall.open(peer.uri(route, "absent.onnx"))


@pytest.mark.parametrize("route", ROUTES)
def test_open_waits_for_a_model_that_is_not_ready(peer: Peer, route: str) -> None:
    peer.is_ready = False
    with pytest.raises(errors.Unreachable, match="not ready"):
        sidecall.open(peer.uri(route, "add.onnx"))
    threading.Timer(0.3, lambda: setattr(peer, "is_ready", True)).start()
    begin = time.monotonic()
    sidecall.open(peer.uri(route, "add.onnx"), wait=10).close()
    assert time.monotonic() - begin > 0.25


@pytest.mark.parametrize("route", ROUTES)
def test_a_run_ends_at_its_deadline_which_the_server_learns(peer: Peer, route: str) -> None:
    with sidecall.open(peer.uri(route, "add.onnx")) as model:
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in model.inputs}
        model.run(inputs)
        peer.delay = 2
        begin = time.monotonic()
        with pytest.raises(errors.Timeout):
            model.run(inputs, timeout=0.25)
        assert 0.24 < time.monotonic() - begin < 0.5
        headers = {name.lower(): value for name, value in peer.seen[-1].items()}
        if route == "grpc":
            assert 0 < float(headers["time_remaining"]) <= 0.3
        else:
            assert 0 < int(headers["sidecall-timeout-ms"]) <= 251
        peer.delay = 0
        model.run(inputs)


def test_a_run_that_is_cancelled_ends_at_once_and_the_server_learns(peer: Peer) -> None:
    with sidecall.open(peer.uri("grpc", "add.onnx")) as model, model.call(1) as call:
        for spec in model.inputs:
            call.inputs[spec.name][:] = 0
        peer.delay = 3
        begin = time.monotonic()
        threading.Timer(0.2, call.cancel).start()
        with pytest.raises(errors.Cancelled):
            call.run()
        assert time.monotonic() - begin < 1
        while peer.num_cancelled == 0:
            assert time.monotonic() - begin < 2
            time.sleep(0.01)


@pytest.mark.parametrize("route", ROUTES)
def test_many_threads_share_a_model(peer: Peer, route: str) -> None:
    with sidecall.open(peer.uri(route, "add.onnx")) as model, ThreadPoolExecutor(16) as pool:
        (first, *rest) = [spec.name for spec in model.inputs]

        def add(i: int) -> float:
            inputs = {first: np.full((1, 2), i, np.float32)} | {
                name: np.ones((1, 2), np.float32) for name in rest
            }
            return float(next(iter(model.run(inputs).values()))[0, 0])

        reference = sidecall.open(MODELS / "add.onnx")
        for i, got in enumerate(pool.map(add, range(200))):
            inputs = {first: np.full((1, 2), i, np.float32)} | {
                name: np.ones((1, 2), np.float32) for name in rest
            }
            assert got == float(next(iter(reference.run(inputs).values()))[0, 0])


@pytest.mark.parametrize("route", ROUTES)
def test_asynchronous_runs_wait_together(peer: Peer, route: str, expected: dict) -> None:
    async def predict_all() -> list[dict]:
        with sidecall.open(peer.uri(route, "penguins.onnx")) as model:
            peer.delay = 0.3
            return await asyncio.gather(*(model.apredict(expected["record"]) for _ in range(4)))

    begin = time.monotonic()
    assert asyncio.run(predict_all()) == [expected["answer"]] * 4
    assert time.monotonic() - begin < 1.2 + 0.3


def test_a_silent_connection_is_not_used_for_ever(peer: Peer) -> None:
    """Between client and server stands a proxy that stops to forward what connections it has."""
    frozen: list[threading.Event] = []
    proxy = socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, target: socket.socket, is_frozen: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not is_frozen.is_set():
                    target.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = proxy.accept()
                server = socket.create_connection(("127.0.0.1", peer.grpc_port))
                frozen.append(threading.Event())
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=forward, args=(*pair, frozen[-1]), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with sidecall.open(f"grpc://127.0.0.1:{proxy.getsockname()[1]}/add.onnx") as model:
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in model.inputs}
        model.run(inputs)
        for event in frozen:
            event.set()
        with pytest.raises(errors.Timeout):
            model.run(inputs, timeout=0.3)
        model.run(inputs, timeout=5)
    proxy.close()


def test_programs_that_the_host_starts_get_no_connection(peer: Peer) -> None:
    with sidecall.open(peer.uri("http", "add.onnx")):
        code = """
import os
for fd in os.listdir("/proc/self/fd"):
    if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}"):
        print(os.readlink(f"/proc/self/fd/{fd}"))
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            close_fds=False,
        )
    assert "socket" not in done.stdout


def test_a_forked_child_must_open_the_model_again(peer: Peer) -> None:
    code = f"""
import os, sidecall
model = sidecall.open({peer.uri("http", "add.onnx")!r})
inputs = {{spec.name: [[1.0, 2.0]] for spec in model.inputs}}
model.run(inputs)
child = os.fork()
if child == 0:
    try:
        model.run(inputs)
    except sidecall.errors.Forked:
        with sidecall.open({peer.uri("grpc", "add.onnx")!r}) as again:
            again.run(inputs)
        model.close()
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
model.run(inputs)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("route", ROUTES)
def test_a_socket_of_this_host_replaces_a_host(tmp_path: Path, route: str) -> None:
    peer = Peer(MODELS, sockets=tmp_path)
    for form in (f"{tmp_path}", f"//{tmp_path}"):
        sidecall.open(f"{route}+unix:{form}/{route}.sock/penguins.onnx").close()
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"{route}+unix:{tmp_path}/absent.sock/penguins.onnx")
    peer.close()


def test_proxies_of_the_environment_and_netrc_are_ignored(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login someone password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    dead = f"http://127.0.0.1:{free_port()}"
    environment = os.environ | dict.fromkeys(
        ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"), dead
    )
    code = f"import sidecall; sidecall.open({peer.uri('http', 'penguins.onnx')!r}).close()"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=60,
        env=environment | {"HOME": str(tmp_path)},
    )
    assert all("Authorization" not in headers for headers in peer.seen)


def test_a_token_is_read_from_its_file_for_each_request(tmp_path: Path) -> None:
    right = {"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [1.5]}]}
    server, token = RawServer(answer(right)), tmp_path / "token"
    token.write_text("first\n")
    inputs = {"x": np.array([[1.0, 2.0]])}
    with sidecall.open(f"{server.uri}?token={token}") as model:
        model.run(inputs)
        token.write_text("second\n")
        model.run(inputs)
        token.write_text("two\nlines\n")
        with pytest.raises(errors.Denied, match="token"):
            model.run(inputs)
        token.unlink()
        with pytest.raises(errors.Denied, match="token"):
            model.run(inputs)
    sent = [line for request in server.requests for line in request.split(b"\r\n")]
    tokens = [line for line in sent if line.startswith(b"Authorization")]
    assert set(tokens) == {b"Authorization: Bearer first", b"Authorization: Bearer second"}
    server.close()


WRONG_URIS = [
    "http://",
    "http://host",
    "http://host/",
    "http:///m",
    "http://user:secret@host/m",
    "http://host:0/m",
    "http://host:65536/m",
    "http://host:x/m",
    "http://ho st/m",
    "http://hößt/m",
    "http://host/m#part",
    "http://host/m?contract",
    "http://host/m?contract=",
    "http://host/m?unknown=1",
    "http://host/m?format=xml",
    "http://host/m?format=json&format=json",
    "http://host/m?version=1&version=2",
    "http://host/m?ca=/x",
    "http://host/m%",
    "http://host/m%g0",
    "http://host/m%00",
    "http://host/m%ff",
    "https://host/m?cert=/x",
    "https://host/m?key=/x",
    "grpc://host/a/m",
    "grpc://host/m?format=json",
    "http+unix:relative.sock/m",
    "http+unix:/m",
    "http+unix:/" + "x" * 108 + "/m",
    "http://host/..",
    "http://host/%2e%2e",
    "http://host/a/../m",
    "http://host/m?version=..",
    "http://[::1]x/m",
    "http://[::1/m",
    "HTTP://user:secret@host/m",
]


@pytest.mark.parametrize("uri", WRONG_URIS)
def test_a_wrong_uri_is_refused_without_a_request(uri: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^uri: expected .*, got ") as caught:
        sidecall.open(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("route", ROUTES)
def test_the_name_of_a_model_may_have_any_characters(tmp_path: Path, route: str) -> None:
    name = "modèle 1 %2F été?.onnx"
    (tmp_path / name).write_bytes((MODELS / "penguins.onnx").read_bytes())
    peer = Peer(tmp_path)
    with sidecall.open(peer.uri(route, quote(name, safe=""))) as model:
        assert model.warning is None
    peer.close()


def test_the_command_predicts_over_the_network(peer: Peer, expected: dict) -> None:
    command = ROOT / "build/bin/sidecall"
    done = subprocess.run(
        [command, "predict", peer.uri("grpc", "penguins.onnx")],
        input=json.dumps(expected["record"]) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == expected["answer"]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_node_predicts_beside_its_own_tls_and_http_2(
    tmp_path: Path, expected: dict, secure: bool
) -> None:
    """Node.js exports its own OpenSSL and nghttp2, to which a library could bind by mistake."""
    authority = Authority(tmp_path / "authority")
    peer = serve(authority) if secure else Peer(MODELS)
    query = f"?ca={authority.cert}" if secure else ""
    script = f"""
const {{ open }} = require({str(ROOT / "bindings/node")!r})
async function main() {{
  for (const uri of {json.dumps([peer.uri(route, "penguins.onnx") + query for route in ROUTES])}) {{
    const model = await open(uri)
    const record = {json.dumps(expected["record"])}
    const answers = [model.predictSync(record)]
    for (let i = 0; i < 20; ++i) answers.push(model.predict(record))
    console.log(JSON.stringify(await Promise.all(answers)))
    model.close()
  }}
}}
main()
"""
    done = subprocess.run(
        ["node", "-e", script], capture_output=True, text=True, check=False, timeout=60
    )
    peer.close()
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines == [[expected["answer"]] * 21] * 2


def test_nothing_of_the_network_is_loaded_for_a_file() -> None:
    code = f"""
import sidecall
sidecall.open({str(MODELS / "penguins.onnx")!r}).close()
print(open("/proc/self/maps").read())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "libsidecall" in done.stdout
    assert "sidecall-net" not in done.stdout


def libraries_of(uri: Path | str, **environment: str) -> set[str]:
    """The libraries of a C program that has opened a model, without their versions."""
    program = Path(__file__).parents[2] / "build/bin/sidecall-open-model"
    done = subprocess.run(
        [program, "--maps", str(uri)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | environment,
    )
    files = {Path(line.split()[5]) for line in done.stdout.splitlines() if ".so" in line}
    return {file.name.split(".so")[0] for file in files if file.name.startswith("lib")}


OF_EVERY_PROGRAM = {"libc", "libgcc_s", "libm", "libsidecall", "libstdc++"}


def test_a_program_that_opens_only_files_loads_no_other_library(network_library: Path) -> None:
    path = MODELS / "gbm.onnx"
    assert libraries_of(path, SIDECALL_ENGINE="native") == OF_EVERY_PROGRAM
    more = libraries_of(path, SIDECALL_ENGINE="onnxruntime", SIDECALL_ONNXRUNTIME=engine_path())
    assert "libonnxruntime" in more
    assert not {name for name in more if "net" in name or "curl" in name or "nghttp2" in name}
    assert libraries_of("shm:no-server", SIDECALL_ENGINE="native") == OF_EVERY_PROGRAM


def test_a_program_that_opens_a_model_on_another_host_loads_one_library_more(
    network_library: Path,
) -> None:
    # Whatever else is loaded belongs to the resolver of the system.
    found = libraries_of("http://127.0.0.1:1/m", SIDECALL_ENGINE="native")
    assert found >= OF_EVERY_PROGRAM | {"libsidecall-net"}


def test_without_the_library_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sidecall
try:
    sidecall.open("http://127.0.0.1:1/m")
except sidecall.errors.Unsupported as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"SIDECALL_NET": str(tmp_path / "absent.so")},
    )
    assert "libsidecall-net.so" in done.stdout
    assert "SIDECALL_NET" in done.stdout
    assert "absent.so" in done.stdout


def test_no_symbol_of_the_library_binds_to_the_program(network_library: Path) -> None:
    def symbols(*options: str) -> set[str]:
        done = subprocess.run(
            ["nm", "-D", *options, network_library], capture_output=True, text=True, check=True
        )
        return {line.split()[-1] for line in done.stdout.splitlines()}

    assert symbols("--defined-only") == {"sidecall_net", "sidecall_net_serving"}
    parts = ("curl", "nghttp2", "mbedtls", "SSL", "psa_", "Z_", "inflate")
    assert not [name for name in symbols("--undefined-only") if any(p in name for p in parts)]
