"""Clients that others wrote call our server: those of Triton, of KServe, and gRPC's own.

Those for Go and Java are in test_server_clients_go_java.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import sidecall
import yaml
from own_server import RECORD, OwnServer
from peer import PROTOS, messages
from vector_servers import MODELS

pytestmark = pytest.mark.usefixtures("network_library")
HERE = Path(__file__).parents[1]
PEERS = HERE.parents[1] / "build/peers"
ROWS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


def arrays(bytes_of_text: type = np.object_) -> dict[str, np.ndarray[Any, Any]]:
    return {
        name: np.full((ROWS, 1), value.encode() if isinstance(value, str) else value).astype(
            bytes_of_text if isinstance(value, str) else np.float32
        )
        for name, value in RECORD.items()
    }


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray[Any, Any]]:
    with sidecall.open(MODELS / "penguins.onnx") as model:
        texts = {
            name: np.full((ROWS, 1), value, dtype=object if isinstance(value, str) else np.float32)
            for name, value in RECORD.items()
        }
        return {name: np.array(array) for name, array in model.run(texts).items()}


def fill(module: Any, name: str, array: np.ndarray[Any, Any], **options: Any) -> Any:
    given = module.InferInput(name, array.shape, "BYTES" if array.dtype == object else "FP32")
    given.set_data_from_numpy(array, **options)
    return given


def same(result: Any, expected: dict[str, np.ndarray[Any, Any]]) -> None:
    assert [text.decode() for text in result.as_numpy("label")] == list(expected["label"])
    np.testing.assert_array_equal(result.as_numpy("probabilities"), expected["probabilities"])


@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
def test_tritons_client_over_http(
    server: OwnServer, expected: dict[str, Any], is_binary: bool
) -> None:
    module = pytest.importorskip("tritonclient.http")
    with module.InferenceServerClient(f"127.0.0.1:{server.port()}") as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("penguins")
        assert client.get_model_metadata("penguins")["platform"] == "sidecall"
        assert client.get_server_metadata()["name"] == "sidecall"
        inputs = [fill(module, *each, binary_data=is_binary) for each in arrays().items()]
        outputs = [
            module.InferRequestedOutput(name, binary_data=is_binary)
            for name in ("label", "probabilities")
        ]
        result = client.infer("penguins", inputs, outputs=outputs, request_id="7")
        assert result.get_response()["id"] == "7"
        if is_binary:
            same(result, expected)
        # Without a list of outputs the client asks for all of them in binary.
        same(client.infer("penguins", inputs), expected)
        pending = [client.async_infer("penguins", inputs) for _ in range(5)]
        for each in pending:
            same(each.get_result(), expected)
        with pytest.raises(Exception, match="expected an input of the model"):
            client.infer("penguins", [fill(module, "no", np.zeros((1, 1), np.float32))])


def test_tritons_client_over_http_with_asyncio(server: OwnServer, expected: dict[str, Any]) -> None:
    module = pytest.importorskip("tritonclient.http.aio")

    async def call() -> Any:
        async with module.InferenceServerClient(f"127.0.0.1:{server.port()}") as client:
            inputs = [fill(module, *each) for each in arrays().items()]
            return await asyncio.gather(*(client.infer("penguins", inputs) for _ in range(5)))

    for result in asyncio.run(call()):
        same(result, expected)


# A program of its own, because its messages have the names of those of peer.py.
TRITON_GRPC = """
import asyncio, sys
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
address, path = sys.argv[1:]
with np.load(path, allow_pickle=True) as file:
    arrays = {name: file[name] for name in file}
def fill(name, array):
    given = triton.InferInput(name, array.shape, "BYTES" if array.dtype == object else "FP32")
    given.set_data_from_numpy(array)
    return given
inputs = [fill(*each) for each in arrays.items()]
def show(result):
    labels = [text.decode() for text in result.as_numpy("label")]
    print(*labels, result.as_numpy("probabilities").sum())
with triton.InferenceServerClient(address) as client:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("penguins")
    assert client.get_model_metadata("penguins").platform == "sidecall"
    show(client.infer("penguins", inputs, client_timeout=10))
    try:
        client.infer("penguins", [fill("no", np.zeros((1, 1), np.float32))])
    except triton.InferenceServerException as error:
        print(error.status())
async def call():
    async with triton_aio.InferenceServerClient(address) as client:
        return await asyncio.gather(*(client.infer("penguins", inputs) for _ in range(5)))
for result in asyncio.run(call()):
    show(result)
"""


def test_tritons_client_over_grpc(
    server: OwnServer, expected: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("tritonclient")
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays())
    done = subprocess.run(
        [sys.executable, "-c", TRITON_GRPC, f"127.0.0.1:{server.port('grpc')}", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answer = f"{' '.join(expected['label'])} {expected['probabilities'].sum()}"
    assert done.stdout.splitlines() == [answer, "StatusCode.INVALID_ARGUMENT", *[answer] * 5], (
        done.stderr
    )


# gRPC's own clients, with the messages of the protocol.


def request(protos: Any, is_raw: bool) -> Any:
    made = protos.ModelInferRequest(model_name="penguins", id="7")
    for name, array in arrays().items():
        is_text = array.dtype == object
        tensor = made.inputs.add(
            name=name, datatype="BYTES" if is_text else "FP32", shape=array.shape
        )
        values = array.ravel().tolist()
        if is_raw:
            made.raw_input_contents.append(
                b"".join(len(text).to_bytes(4, "little") + text for text in values)
                if is_text
                else array.tobytes()
            )
        elif is_text:
            tensor.contents.bytes_contents.extend(values)
        else:
            tensor.contents.fp32_contents.extend(values)
    return made


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "typed"])
def test_grpcs_client_for_python(server: OwnServer, expected: dict[str, Any], is_raw: bool) -> None:
    protos, services = messages()
    with grpc.insecure_channel(f"127.0.0.1:{server.port('grpc')}") as channel:
        stub = services.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(protos.ServerLiveRequest()).live
        assert stub.ServerReady(protos.ServerReadyRequest()).ready
        about = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
        assert b"sidecall.contract/1" in about(b"", timeout=10)
        assert stub.ModelReady(protos.ModelReadyRequest(name="penguins")).ready
        metadata = stub.ModelMetadata(protos.ModelMetadataRequest(name="penguins"))
        assert json.loads(metadata.properties["sidecall.contract"])["features"]
        answer = stub.ModelInfer(request(protos, is_raw), timeout=10)
        assert answer.id == "7"
        place = [output.name for output in answer.outputs].index("probabilities")
        np.testing.assert_array_equal(
            np.frombuffer(answer.raw_output_contents[place], expected["probabilities"].dtype),
            expected["probabilities"].ravel(),
        )


def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: grpc.StatusCode = caught.value.code()
    return code


def test_errors_for_grpcs_client(server: OwnServer) -> None:
    protos, services = messages()
    with grpc.insecure_channel(f"127.0.0.1:{server.port('grpc')}") as channel:
        stub = services.GRPCInferenceServiceStub(channel)
        other = protos.ModelMetadataRequest(name="other")
        assert code_of(lambda: stub.ModelMetadata(other)) == grpc.StatusCode.NOT_FOUND
        infer = protos.ModelInferRequest(model_name="other")
        assert code_of(lambda: stub.ModelInfer(infer)) == grpc.StatusCode.NOT_FOUND
        infer = protos.ModelInferRequest(model_name="penguins")
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(infer)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert dict(caught.value.trailing_metadata())["sidecall-status"] == "MISSING_INPUT"
        broken = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert code_of(lambda: broken(b"\xff\xff", timeout=10)) == grpc.StatusCode.INVALID_ARGUMENT
        streaming = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        assert code_of(lambda: list(streaming(iter([b""]), timeout=10))) == (
            grpc.StatusCode.UNIMPLEMENTED
        )


def test_grpcs_client_compresses_nothing_unless_it_is_told_to(server: OwnServer) -> None:
    protos, services = messages()
    with grpc.insecure_channel(
        f"127.0.0.1:{server.port('grpc')}", compression=grpc.Compression.Gzip
    ) as channel:
        stub = services.GRPCInferenceServiceStub(channel)
        code = code_of(lambda: stub.ModelInfer(request(protos, True), timeout=10))
        assert code == grpc.StatusCode.UNIMPLEMENTED


NODE = """
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const [address, proto] = process.argv.slice(1);
const definition = loader.loadSync(proto, { keepCase: true });
const { inference } = grpc.loadPackageDefinition(definition);
const client = new inference.GRPCInferenceService(address, grpc.credentials.createInsecure());
const texts = { island: 'Biscoe', sex: 'male' };
const numbers = {
  bill_length_mm: 40, bill_depth_mm: 18, flipper_length_mm: 190, body_mass_g: 4000, year: 2008,
};
const inputs = [
  ...Object.entries(texts).map(([name, value]) => ({
    name, datatype: 'BYTES', shape: [1, 1], contents: { bytes_contents: [Buffer.from(value)] },
  })),
  ...Object.entries(numbers).map(([name, value]) => ({
    name, datatype: 'FP32', shape: [1, 1], contents: { fp32_contents: [value] },
  })),
];
const outputs = [{ name: 'label' }];
client.ModelInfer({ model_name: 'penguins', inputs, outputs }, (error, answer) => {
  if (error) throw error;
  console.log(answer.raw_output_contents[0].subarray(4).toString());
  client.ModelInfer({ model_name: 'other' }, (refused) => {
    console.log(refused.code);
    client.close();
  });
});
"""


@pytest.mark.long
def test_grpcs_client_for_node(server: OwnServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *("node", "-e", NODE, f"127.0.0.1:{server.port('grpc')}"),
            str(PROTOS / "open_inference.proto"),
        ],
        env={
            "NODE_PATH": str(PEERS / "node/node_modules"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["Adelie", "5"], done.stderr


@pytest.mark.long
def test_kserves_clients(server: OwnServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, str(HERE / "clients/kserve_client.py")),
            *(f"http://127.0.0.1:{server.port()}", f"127.0.0.1:{server.port('grpc')}"),
        ],
        env=os.environ | {"PYTHONPATH": str(PEERS / "kserve")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ready = ["True True", "True", "Adelie", "Adelie"]
    assert done.stdout.splitlines() == [*ready, "404", *ready, "5"], done.stderr


def run_schemathesis(tmp_path: Path, *location: str) -> None:
    # A schema cannot say that a shape fits its data, or that all inputs must be there.
    words = ["--max-examples", "50", "--exclude-checks", "positive_data_acceptance"]
    done = subprocess.run(
        [*(sys.executable, "-m", "schemathesis.cli", "run"), *location, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Test cases" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("model", ["penguins.onnx", "dates.onnx"])
def test_schemathesis_finds_nothing(network_library: Path, tmp_path: Path, model: str) -> None:
    own = OwnServer(model, tmp_path)
    run_schemathesis(tmp_path, f"{own.at['http']}/openapi.json")
    assert own.end() == 0


def open_inference_document() -> dict[str, Any]:
    """The OpenAPI document of the protocol, with the deviations that docs/network.md explains.

    The file is an unchanged copy of specification/protocol/open_inference_rest.yaml in
    https://github.com/kserve/open-inference-protocol, commit d49cc23, under the licence Apache 2.0.
    """
    text = (HERE / "open_inference_rest.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text.replace("${", "{"))
    names = {"MODEL_NAME": "penguins", "MODEL_VERSION": "1"}
    for path in document["paths"].values():
        for parameter in path.get("parameters", []):
            parameter["schema"]["enum"] = [names[parameter["name"]]]
            for method in path.keys() - {"parameters"}:
                path[method]["responses"]["404"] = {"description": "another model or version"}
    return document


@pytest.mark.long
def test_schemathesis_finds_nothing_with_the_protocols_own_document(
    network_library: Path, tmp_path: Path
) -> None:
    own = OwnServer("penguins.onnx", tmp_path)
    path = tmp_path / "open_inference.json"
    path.write_text(json.dumps(open_inference_document()))
    run_schemathesis(tmp_path, str(path), "--url", own.at["http"])
    assert own.end() == 0
