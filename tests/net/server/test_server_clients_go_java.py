"""gRPC's own clients for Go and Java call our server. The programs are in clients/.

Debian's packages have gRPC for both: `make build/.system-grpc-clients` installs them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_server import OwnServer

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("network_library")]
HERE = Path(__file__).parents[1]
PROTOS = HERE.parents[1] / "net/server/grpc/protos"
# What each client prints: whether the server is live, three things of the model's metadata, the
# label of a row, and the number of the status NOT_FOUND for a model that is not there.
PRINTED = ["true", "penguins 7 BYTES", "Adelie", "5"]
JAVA_PACKAGES = Path("/usr/share/java")
# Each of Debian's jars that gRPC for Java needs at run time.
JARS = [
    *("grpc-api", "grpc-context", "grpc-core", "grpc-netty", "grpc-protobuf", "grpc-stub"),
    *("grpc-protobuf-lite", "protobuf", "guava", "gson", "perfmark-api"),
    *("netty-buffer", "netty-codec", "netty-codec-http", "netty-codec-http2", "netty-common"),
    *("netty-handler", "netty-handler-proxy", "netty-resolver", "netty-transport"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


def run(words: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def generate(folder: Path, *options: str) -> None:
    run(["protoc", f"-I{PROTOS}", *options, "open_inference.proto"], folder)


def test_grpcs_client_for_go(server: OwnServer, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    package = "Mopen_inference.proto=sidecall/inference"
    generate(
        tmp_path,
        *(f"--go_out={source}", f"--go_opt={package}"),
        *(f"--go-grpc_out={source}", f"--go-grpc_opt={package}"),
    )
    # Debian's packages are one GOPATH, and the generated one is another. They need no modules.
    path = f"{tmp_path}:/usr/share/gocode"
    run(
        ["go", "build", "-o", str(tmp_path / "client"), str(HERE / "clients/client.go")],
        tmp_path,
        GO111MODULE="off",
        GOFLAGS="",
        GOPATH=path,
    )
    printed = run([str(tmp_path / "client"), f"127.0.0.1:{server.port('grpc')}"], tmp_path)
    assert printed.splitlines() == PRINTED


def test_grpcs_client_for_java(server: OwnServer, tmp_path: Path) -> None:
    plugin = "--plugin=protoc-gen-grpc-java=/usr/bin/grpc_java_plugin"
    generate(tmp_path, f"--java_out={tmp_path}", plugin, f"--grpc-java_out={tmp_path}")
    # The generated code names annotations of javax.annotation, which are not there at run time.
    jars = [*JARS, "geronimo-annotation-1.3-spec"]
    path = ":".join([str(tmp_path), *(str(JAVA_PACKAGES / f"{jar}.jar") for jar in jars)])
    sources = [*tmp_path.rglob("*.java"), HERE / "clients/Client.java"]
    run(["javac", "-nowarn", "-cp", path, "-d", str(tmp_path), *map(str, sources)], tmp_path)
    words = ["java", "-cp", path, "Client", f"127.0.0.1:{server.port('grpc')}"]
    assert run(words, tmp_path).splitlines() == PRINTED
