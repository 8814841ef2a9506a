"""NVIDIA's Triton, Seldon's MLServer and KServe's own server answer as the model in this process.

The contract comes from the file that is here. Triton serves the folders that `export_layout` and
`export(..., layout="triton")` write. The wheel that contains Triton has no backend onnxruntime, so
here the Python backend runs the same files: only the line of the backend is changed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import sidecall
from peer import DATATYPES, ONNX_TYPES, free_port
from sklearn.linear_model import LinearRegression

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("network_library")]
ROOT = Path(__file__).parents[2]
MODELS, PEERS = ROOT / "tests/vectors/models", ROOT / "build/peers"
# Triton's strings need an older NumPy (servers/triton_model.py). MLServer sends null instead of
# NaN, which some golden rows expect.
WITHOUT_STRINGS = ["gbm", "steps", "floats_float64", "matrix"]
EXPORTED = "line"  # a model that the fixture exports
WITHOUT_NAN = ["gbm", "steps", "penguins", "label_string"]
# MLServer and KServe take only JSON over HTTP, which has no NaN. The golden rows of these have NaN.
NAN_IN_GOLDEN_ROWS = ["penguins", "floats_float64", "matrix"]


@dataclass
class Served:
    """The ports of a server by protocol, and the file of each model that it serves."""

    ports: dict[str, int]
    files: dict[str, Path]


def specs_of(path: Path) -> tuple[list, list]:
    session = onnxruntime.InferenceSession(str(path))
    return session.get_inputs(), session.get_outputs()


def dims_of(spec: object) -> list[int]:
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def wait_for(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not listen")


@contextmanager
def running(words: list, environment: dict[str, str], log: Path, *ports: int) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )
        try:
            for port in ports:
                wait_for(port, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # KServe waits for connections that are kept
                process.kill()
                process.wait(10)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, home = tmp_path_factory.mktemp("triton"), PEERS / "triton/pytriton/tritonserver"
    repository = folder / "repository"
    files = {
        name: sidecall.export_layout(MODELS / f"{name}.onnx", repository / name, "triton")
        for name in WITHOUT_STRINGS
    }
    data = np.random.default_rng(0).normal(size=(50, 3))
    report = sidecall.export(
        LinearRegression().fit(data, data.sum(axis=1)), repository / EXPORTED, data, layout="triton"
    )
    files[EXPORTED] = report.path
    for file in files.values():
        shutil.copy(Path(__file__).parent / "servers/triton_model.py", file.parent / "model.py")
        config = file.parents[1] / "config.pbtxt"
        before, line, after = config.read_text().partition('\nbackend: "onnxruntime"\n')
        assert line
        config.write_text(f'{before}\nbackend: "python"\n{after}')
    ports = {"http": free_port(), "grpc": free_port()}
    libraries = [PEERS / "triton/nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
    words = [
        home / "bin/tritonserver",
        f"--model-repository={folder}/repository",
        f"--backend-directory={home}/backends",
        f"--cache-directory={home}/caches",
        f"--http-port={ports['http']}",
        f"--grpc-port={ports['grpc']}",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--allow-metrics=false",
        "--exit-timeout-secs=2",
    ]
    environment = {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    with running(words, environment, folder / "log", *ports.values()):
        yield Served(ports, files)


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("mlserver")
    files = {name: MODELS / f"{name}.onnx" for name in WITHOUT_NAN}
    for model, file in files.items():

        def tensors(specs: list) -> list[dict]:
            return [
                {"name": spec.name, "datatype": ONNX_TYPES[spec.type], "shape": dims_of(spec)}
                for spec in specs
            ]

        inputs, outputs = specs_of(file)
        (folder / model).mkdir()
        shutil.copy(
            Path(__file__).parent / "servers/mlserver_runtime.py", folder / model / "runtime.py"
        )
        settings = {
            "name": model,
            "implementation": "runtime.Runtime",
            "inputs": tensors(inputs),
            "outputs": tensors(outputs),
            "parameters": {"uri": str(file)},
        }
        (folder / model / "model-settings.json").write_text(json.dumps(settings))
    ports = {"http": free_port(), "grpc": free_port()}
    general = {
        "host": "127.0.0.1",
        "http_port": ports["http"],
        "grpc_port": ports["grpc"],
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    (folder / "settings.json").write_text(json.dumps(general))
    environment = {
        "PYTHONPATH": os.pathsep.join([str(PEERS / "mlserver"), sysconfig.get_path("purelib")])
    }
    words = [sys.executable, PEERS / "mlserver/bin/mlserver", "start", folder]
    with running(words, environment, folder / "log", *ports.values()):
        yield Served(ports, files)


@pytest.fixture(scope="module")
def kserve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kserve")
    names = sorted({*WITHOUT_STRINGS, *WITHOUT_NAN})
    files = {name: MODELS / f"{name}.onnx" for name in names}
    ports = {"http": free_port(), "grpc": free_port()}
    words = [
        *(sys.executable, Path(__file__).parent / "servers/kserve_server.py"),
        *ports.values(),
        *(f"{name}={file}" for name, file in files.items()),
    ]
    environment = {
        "PYTHONPATH": os.pathsep.join([str(PEERS / "kserve"), sysconfig.get_path("purelib")])
    }
    with running(words, environment, folder / "log", *ports.values()):
        yield Served(ports, files)


CASES = (
    [("triton", name) for name in [*WITHOUT_STRINGS, EXPORTED]]
    + [("mlserver", name) for name in WITHOUT_NAN]
    + [("kserve", name) for name in sorted({*WITHOUT_STRINGS, *WITHOUT_NAN})]
)


@pytest.mark.parametrize("route", ["http", "grpc"])
@pytest.mark.parametrize(("server", "name"), CASES)
def test_golden_rows_and_random_rows_give_the_same_answers(
    server: str, name: str, route: str, request: pytest.FixtureRequest
) -> None:
    served = request.getfixturevalue(server)
    port, path = served.ports[route], served.files[name]
    uri = f"{route}://127.0.0.1:{port}/{name}?contract={path}"
    only_json = server != "triton" and route == "http"
    verify = "off" if only_json and name in NAN_IN_GOLDEN_ROWS else "error"
    rng = np.random.default_rng(0)
    with (
        sidecall.open(path, engine="onnxruntime") as local,
        sidecall.open(uri, wait=30, verify=verify) as remote,
    ):
        inputs, _ = specs_of(path)
        for rows in (1, 7):
            given = {}
            for spec in inputs:
                shape = [rows if size == -1 else size for size in dims_of(spec)]
                kind = np.dtype(DATATYPES[ONNX_TYPES[spec.type]])
                given[spec.name] = (
                    np.full(shape, "Biscoe", np.object_)
                    if kind == np.object_
                    else rng.uniform(0, 2, shape).astype(kind)
                )
            try:
                expected = local.run(given)
            except sidecall.errors.Error as error:
                with pytest.raises(type(error)):
                    remote.run(given)
                continue
            for output, array in remote.run(given).items():
                np.testing.assert_array_equal(array, expected[output])


@pytest.mark.parametrize("route", ["http", "grpc"])
@pytest.mark.parametrize("server", ["triton", "mlserver", "kserve"])
def test_a_model_that_the_server_does_not_have_is_unreachable(
    server: str, route: str, request: pytest.FixtureRequest
) -> None:
    port = request.getfixturevalue(server).ports[route]
    with pytest.raises(sidecall.errors.Unreachable, match="other"):
        sidecall.open(f"{route}://127.0.0.1:{port}/other")


@pytest.mark.parametrize("route", ["http", "grpc"])
@pytest.mark.parametrize("server", ["triton", "mlserver", "kserve"])
def test_the_contract_of_another_model_is_refused(
    server: str, route: str, request: pytest.FixtureRequest
) -> None:
    port = request.getfixturevalue(server).ports[route]
    contract = MODELS / "penguins.onnx"
    with pytest.raises(sidecall.errors.ContractInvalid, match="'island'"):
        sidecall.open(f"{route}://127.0.0.1:{port}/gbm?contract={contract}", wait=30)


@pytest.mark.parametrize("route", ["http", "grpc"])
def test_kserve_has_no_versions(kserve: Served, route: str) -> None:
    """Over gRPC KServe ignores the version."""
    uri = f"{route}://127.0.0.1:{kserve.ports[route]}/gbm?version=3"
    if route == "grpc":
        sidecall.open(uri).close()
        return
    with pytest.raises(sidecall.errors.Unreachable, match="versioning"):
        sidecall.open(uri)


@pytest.mark.parametrize("route", ["http", "grpc"])
def test_an_error_of_kserve_is_an_error_of_the_engine(kserve: Served, route: str) -> None:
    with sidecall.open(f"{route}://127.0.0.1:{kserve.ports[route]}/penguins") as model:
        rows = {spec.name: 3 if spec.name == "year" else 2 for spec in model.inputs}
        given = {
            spec.name: np.full((rows[spec.name], 1), "Biscoe", np.object_)
            if spec.dtype == "string"
            else np.ones((rows[spec.name], 1), spec.dtype)
            for spec in model.inputs
        }
        with pytest.raises(sidecall.errors.Engine, match="Concat"):
            model.run(given)
        given = {name: array[:2] for name, array in given.items()}
        assert len(model.run(given)["label"]) == 2


def test_kserve_gets_no_number_that_json_does_not_have(kserve: Served) -> None:
    given = {"X": np.full((1, 30), np.nan, np.float32)}
    with (
        sidecall.open(f"http://127.0.0.1:{kserve.ports['http']}/gbm") as model,
        pytest.raises(sidecall.errors.Unsupported, match="JSON"),
    ):
        model.run(given)
