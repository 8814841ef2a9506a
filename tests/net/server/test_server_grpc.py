"""The services of gRPC: what the server refuses, health checks, and reflection."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from own_server import RECORD, OwnServer, Start, wait_until
from peer import messages

pytestmark = pytest.mark.usefixtures("network_library")
SERVICE = "inference.GRPCInferenceService"
HEALTH = "/grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
GENERATOR = Path(__file__).parents[3] / "tools/generate_descriptors.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


@pytest.fixture
def channel(server: OwnServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port('grpc')}") as opened:
        yield opened


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def named(service: str) -> bytes:
    """A HealthCheckRequest."""
    return b"\x0a" + bytes([len(service)]) + service.encode()


# Runs.


def request(**changes: Any) -> Any:
    protos, _ = messages()
    built = protos.ModelInferRequest(model_name="penguins", **changes)
    for name, value in RECORD.items():
        tensor = built.inputs.add(name=name, shape=[1, 1])
        if isinstance(value, str):
            tensor.datatype = "BYTES"
            tensor.contents.bytes_contents.append(value.encode())
        else:
            tensor.datatype = "FP32"
            tensor.contents.fp32_contents.append(value)
    return built


def infer(channel: grpc.Channel, message: Any) -> Any:
    _, services = messages()
    return services.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=60)


@pytest.mark.parametrize(
    "name",
    [
        *("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"),
        *("classification", "sequence_id", "sequence_start", "sequence_end"),
    ],
)
@pytest.mark.parametrize("place", ["request", "input", "output"])
def test_features_that_the_server_does_not_have_are_refused_by_name(
    channel: grpc.Channel, place: str, name: str
) -> None:
    message = request()
    output = message.outputs.add(name="label")
    owner = {"request": message, "input": message.inputs[0], "output": output}[place]
    owner.parameters[name].int64_param = 1
    code, text = refused(lambda: infer(channel, message))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and f"the parameter '{name}'" in text


def test_other_parameters_are_ignored(channel: grpc.Channel) -> None:
    message = request()
    message.parameters["priority"].int64_param = 1
    message.inputs[0].parameters["binary_data_size"].int64_param = 4
    message.outputs.add(name="label").parameters["mine"].string_param = "x"
    assert infer(channel, message).raw_output_contents[0].endswith(b"Adelie")


@pytest.mark.parametrize(
    "value", ["", "5", "S", "-1S", "+1S", "1.5S", "123456789S", "5s", "xS", "99999999999999999999n"]
)
def test_a_timeout_that_is_none_is_refused(server: OwnServer, value: str) -> None:
    status, text = raw_call(server, ("grpc-timeout", value))
    assert status == "3" and "header grpc-timeout: " in text


def test_a_timeout_that_occurs_twice_is_refused(server: OwnServer) -> None:
    status, text = raw_call(server, ("grpc-timeout", "9S"), ("grpc-timeout", "9S"))
    assert status == "3" and "got the header twice" in text


@pytest.mark.parametrize("value", ["99999999H", "60S", "00000009M"])
def test_a_timeout_may_be_long(server: OwnServer, value: str) -> None:
    assert raw_call(server, ("grpc-timeout", value))[0] == "0"


def raw_call(server: OwnServer, *headers: tuple[str, str]) -> tuple[str, str]:
    """The status and the message of a run, with headers that gRPC's own client would not send."""
    message = request().SerializeToString()
    words = ["curl", "--silent", "--http2-prior-knowledge", "--data-binary", "@-", "--output", "-"]
    words += ["--dump-header", "/dev/stderr", "--header", "content-type: application/grpc"]
    for name, value in headers:
        words += ["--header", f"{name}: {value}" if value else f"{name};"]
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{server.port('grpc')}/{SERVICE}/ModelInfer"],
        input=b"\0" + len(message).to_bytes(4, "big") + message,
        capture_output=True,
        timeout=60,
        check=True,
    )
    lines = [line.partition(": ") for line in done.stderr.decode().splitlines()]
    told = {name: value for name, _, value in lines}
    return told["grpc-status"], unquote(told.get("grpc-message", ""))


# Methods.


@pytest.mark.parametrize(
    "method",
    [
        *(f"/{SERVICE}/ModelStreamInfer", f"/{SERVICE}/RepositoryIndex", f"/{SERVICE}/"),
        *("/grpc.health.v1.Health/Other", "/other.Service/Method", "/"),
    ],
)
def test_unknown_methods_are_answered_before_the_client_ends_its_stream(
    server: OwnServer, channel: grpc.Channel, method: str
) -> None:
    before = refusals(server)
    may_end = threading.Event()

    def sent() -> Iterator[bytes]:
        yield b""
        may_end.wait(60)

    try:
        call = channel.stream_stream(method)(sent(), timeout=60)
        code, text = refused(lambda: next(call))
    finally:
        may_end.set()
    assert code == grpc.StatusCode.UNIMPLEMENTED and "method" in text
    wait_until(lambda: refusals(server) > before)


def refusals(server: OwnServer, status: str = "4xx") -> float:
    """How many requests the metrics of gRPC count with this class of status."""
    lines = [line for line in server.get("/metrics")[1].splitlines() if "requests_total{" in line]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if 'at="grpc' in line and f'status="{status}"' in line
    )


def test_metrics_count_refused_calls_as_refused(server: OwnServer, channel: grpc.Channel) -> None:
    protos, services = messages()
    stub = services.GRPCInferenceServiceStub(channel)
    before, good = refusals(server), refusals(server, "2xx")
    other = protos.ModelMetadataRequest(name="other")
    code, _ = refused(lambda: stub.ModelMetadata(other, timeout=60))
    assert code == grpc.StatusCode.NOT_FOUND and refusals(server) == before + 1
    code, _ = refused(
        lambda: stub.ServerLive(
            protos.ServerLiveRequest(), timeout=60, compression=grpc.Compression.Gzip
        )
    )
    assert code == grpc.StatusCode.UNIMPLEMENTED and refusals(server) == before + 2
    assert refusals(server, "2xx") == good


# Health.


@pytest.mark.parametrize("service", ["", SERVICE, "penguins"])
def test_known_services_are_served(channel: grpc.Channel, service: str) -> None:
    check = channel.unary_unary(f"{HEALTH}/Check")
    assert check(named(service), timeout=60) == SERVING


@pytest.mark.parametrize("service", ["other", "inference", "Penguins", "grpc.health.v1.Health2"])
def test_the_health_of_other_services_is_not_found(channel: grpc.Channel, service: str) -> None:
    check = channel.unary_unary(f"{HEALTH}/Check")
    code, text = refused(lambda: check(named(service), timeout=60))
    assert code == grpc.StatusCode.NOT_FOUND and SERVICE in text


def test_a_health_check_that_is_no_message_is_refused(channel: grpc.Channel) -> None:
    for method in ("Check", "Watch"):
        call = channel.unary_stream(f"{HEALTH}/{method}")
        code, text = refused(lambda call=call: list(call(b"\x0a\xff", timeout=60)))
        assert code == grpc.StatusCode.INVALID_ARGUMENT and "protobuf" in text


def test_a_watch_of_an_unknown_service_says_so_and_goes_on(channel: grpc.Channel) -> None:
    call = channel.unary_stream(f"{HEALTH}/Watch")(named("other"), timeout=60)
    assert next(call) == SERVICE_UNKNOWN and call.is_active()
    call.cancel()


def test_a_watch_needs_one_message(channel: grpc.Channel) -> None:
    watch = channel.stream_stream(f"{HEALTH}/Watch")
    for sent in ([], [b"", b""]):
        code, text = refused(lambda sent=sent: list(watch(iter(sent), timeout=60)))
        assert code == grpc.StatusCode.INVALID_ARGUMENT and "expected" in text


def test_a_watch_that_is_cancelled_leaves_nothing_behind(server: OwnServer) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port('grpc')}") as opened:
        watch = opened.unary_stream(f"{HEALTH}/Watch")
        for _ in range(40):
            call = watch(b"", timeout=60)
            assert next(call) == SERVING
            call.cancel()
    wait_until(server.has_no_work)
    assert server.metric("sidecall_held_bytes") < 100_000


def test_the_watches_of_a_connection_are_limited(channel: grpc.Channel) -> None:
    watch = channel.unary_stream(f"{HEALTH}/Watch")
    calls = [watch(b"", timeout=60) for _ in range(8)]
    assert [next(call) for call in calls] == [SERVING] * 8
    code, _ = refused(lambda: list(watch(b"", timeout=60)))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    calls[0].cancel()
    wait_until(lambda: is_taken(watch))
    for call in calls:
        call.cancel()


def is_taken(watch: Any) -> bool:
    call = watch(b"", timeout=60)
    try:
        return next(call) == SERVING
    except grpc.RpcError:
        return False
    finally:
        call.cancel()


def test_a_watch_ends_when_the_server_drains(start: Start) -> None:
    own = start()
    told: queue.Queue[Any] = queue.Queue()
    with grpc.insecure_channel(f"127.0.0.1:{own.port('grpc')}") as opened:
        call = opened.unary_stream(f"{HEALTH}/Watch")(b"", timeout=60)
        assert next(call) == SERVING

        def listen() -> None:
            try:
                for message in call:
                    told.put(message)
            except grpc.RpcError as error:
                told.put(error.code())

        listener = threading.Thread(target=listen)
        listener.start()
        assert own.end(signal.SIGTERM) == 0, own.log()
        listener.join(60)
    assert [told.get(timeout=60) for _ in range(2)] == [
        NOT_SERVING,
        grpc.StatusCode.UNAVAILABLE,
    ]


def test_a_watch_tells_each_change(start: Start) -> None:
    own = start("serving_parts:misbehave", "--workers", "1")
    told: list[bytes] = []

    def has_noticed() -> bool:
        """Ends the only worker until the watch has noticed: then no run can be executed."""
        if NOT_SERVING not in told:
            own.post("/v2/models/misbehave/predict", {"how": "kill"})
        return NOT_SERVING in told

    with grpc.insecure_channel(f"127.0.0.1:{own.port('grpc')}") as opened:
        call = opened.unary_stream(f"{HEALTH}/Watch")(b"", timeout=120)

        def listen() -> None:
            with contextlib.suppress(grpc.RpcError):
                for message in call:
                    told.append(message)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            wait_until(lambda: SERVING in told, 60)
            told.clear()
            wait_until(has_noticed, 60)
            # It may have noticed several ends, each with its new worker.
            wait_until(lambda: told[-1] == SERVING, 60)
            assert told == [NOT_SERVING, SERVING] * (len(told) // 2)
        finally:
            call.cancel()
            listener.join(60)


# Reflection.


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_descriptors", GENERATOR)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_descriptors_are_those_of_the_protos() -> None:
    assert generator().WRITTEN.read_text() == generator().write()


@pytest.fixture(params=["v1", "v1alpha"])
def reflect(request: Any, channel: grpc.Channel) -> Callable[..., Any]:
    """Asks questions in one stream; the members of ServerReflectionRequest are named."""
    package = f"grpc.reflection.{request.param}"
    pool = descriptor_pool.DescriptorPool()
    for file in generator().compile_files():
        pool.Add(file)
    find = pool.FindMessageTypeByName
    asked = message_factory.GetMessageClass(find(f"{package}.ServerReflectionRequest"))
    answered = message_factory.GetMessageClass(find(f"{package}.ServerReflectionResponse"))
    call = channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=asked.SerializeToString,
        response_deserializer=answered.FromString,
    )

    def ask(*questions: dict[str, Any]) -> list[Any]:
        waiting: queue.Queue[Any] = queue.Queue()
        answers = call(iter(waiting.get, None), timeout=60)
        told = []
        for question in questions:
            # Each answer comes before the next question is sent.
            waiting.put(asked(host="h", **question))
            told.append(next(answers))
            assert told[-1].valid_host == "h"
            assert told[-1].original_request == asked(host="h", **question)
        waiting.put(None)
        assert list(answers) == []
        return told

    return ask


def test_reflection_lists_the_services(reflect: Callable[..., Any]) -> None:
    (answer,) = reflect({"list_services": ""})
    assert [each.name for each in answer.list_services_response.service] == [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


@pytest.mark.parametrize(
    "symbol",
    [
        *(SERVICE, f"{SERVICE}.ModelInfer", "inference.ModelInferRequest.InferInputTensor"),
        *("grpc.health.v1.Health.Watch", "grpc.health.v1.HealthCheckResponse.ServingStatus"),
        *("inference.ModelInferRequest.model_name", "grpc.reflection.v1alpha.ServerReflection"),
    ],
)
def test_reflection_finds_the_file_of_a_symbol(reflect: Callable[..., Any], symbol: str) -> None:
    (first,) = reflect({"file_containing_symbol": symbol})
    (data,) = first.file_descriptor_response.file_descriptor_proto
    file = descriptor_pb2.FileDescriptorProto.FromString(data)
    (second,) = reflect({"file_by_filename": file.name})
    assert second.file_descriptor_response.file_descriptor_proto == [data]
    assert symbol in generator().symbols(file) and symbol.startswith(f"{file.package}.")


def test_reflection_describes_messages_that_the_server_takes(
    channel: grpc.Channel, reflect: Callable[..., Any]
) -> None:
    (answer,) = reflect({"file_containing_symbol": SERVICE})
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(answer.file_descriptor_response.file_descriptor_proto[0])
    method = pool.FindServiceByName(SERVICE).FindMethodByName("ServerMetadata")
    classes = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
    asked, answered = classes
    told = channel.unary_unary(f"/{SERVICE}/ServerMetadata")(b"", timeout=60)
    assert asked().SerializeToString() == b"" and answered.FromString(told).name == "sidecall"


def test_reflection_answers_several_questions_in_one_stream(reflect: Callable[..., Any]) -> None:
    questions = [{"list_services": "*"}, {"file_containing_symbol": SERVICE}] * 20
    assert [answer.WhichOneof("message_response") for answer in reflect(*questions)] == [
        "list_services_response",
        "file_descriptor_response",
    ] * 20


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"file_by_filename": "other.proto"}, 5),
        ({"file_by_filename": ""}, 5),
        ({"file_containing_symbol": "inference"}, 5),
        ({"file_containing_symbol": f"{SERVICE}.Other"}, 5),
        ({"file_containing_symbol": ""}, 5),
        ({"file_containing_extension": {"containing_type": SERVICE, "extension_number": 1}}, 5),
        ({"all_extension_numbers_of_type": "inference.Other"}, 5),
        ({}, 3),
    ],
)
def test_reflection_says_what_it_does_not_find(
    reflect: Callable[..., Any], question: dict[str, Any], code: int
) -> None:
    (answer,) = reflect(question)
    assert answer.error_response.error_code == code and answer.error_response.error_message


def test_types_have_no_extensions(reflect: Callable[..., Any]) -> None:
    (answer,) = reflect({"all_extension_numbers_of_type": "inference.ModelInferRequest"})
    found = answer.all_extension_numbers_response
    assert found.base_type_name == "inference.ModelInferRequest" and not found.extension_number


@pytest.mark.parametrize("message", [b"\xff", b"\x18\x01", b"x" * 5000])
def test_reflection_refuses_what_is_no_question(channel: grpc.Channel, message: bytes) -> None:
    call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    code, _ = refused(lambda: list(call(iter([message]), timeout=60)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_client_that_reads_no_answers_fills_no_memory(server: OwnServer) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port('grpc')}") as opened:
        call = opened.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        question = b"\x22" + bytes([len(SERVICE)]) + SERVICE.encode()
        answers = call(iter([question] * 5000), timeout=60)
        assert server.is_alive()
        assert server.metric("sidecall_held_bytes") < 1024 * 1024
        answers.cancel()
    wait_until(server.has_no_work)
