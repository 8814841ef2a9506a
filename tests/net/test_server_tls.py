"""The server with TLS: certificates of both sides, protocols, files that change, slow readers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import time
from pathlib import Path

import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start
from sidecall import errors
from tls import Authority

pytestmark = pytest.mark.usefixtures("network_library")


def options(cert: Path, key: Path) -> list[str]:
    return ["--tls-cert", str(cert), "--tls-key", str(key)]


def both() -> list[str]:
    return ["--http", "localhost:0", "--grpc", "localhost:0"]


def secure(own: OwnServer, authority: Authority, **changes: object) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.set_alpn_protocols(["http/1.1"])
    for name, value in changes.items():
        setattr(context, name, value)
    address = own.at["http"].rpartition("/")[2]
    port = int(address.rpartition(":")[2])
    plain = socket.create_connection(("localhost", port), 10)
    return context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_certificate_of_the_authority(start: Start, tmp_path: Path, protocol: str) -> None:
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", *both(), *options(*authority.issue("localhost")))
    assert own.at[protocol].startswith(f"{protocol}s://")
    with sidecall.open(f"{own.uri(protocol, 'penguins')}?ca={authority.cert}") as model:
        assert model.predict(RECORD)["label"] == "Adelie"
        assert len(model.predict([RECORD] * 5000)) == 5000
    other = Authority(tmp_path / "other")
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"{own.uri(protocol, 'penguins')}?ca={other.cert}")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_only_clients_with_a_certificate(start: Start, tmp_path: Path, protocol: str) -> None:
    authority, clients = Authority(tmp_path / "ca"), Authority(tmp_path / "clients")
    given = options(*authority.issue("localhost"))
    own = start("penguins.onnx", *both(), *given, "--tls-client-ca", str(clients.cert))
    uri = f"{own.uri(protocol, 'penguins')}?ca={authority.cert}"
    cert, key = clients.issue("me")
    with sidecall.open(f"{uri}&cert={cert}&key={key}") as model:
        assert model.predict(RECORD)["label"] == "Adelie"
    with pytest.raises(errors.Error):
        sidecall.open(uri)
    cert, key = authority.issue("you")
    with pytest.raises(errors.Error):
        sidecall.open(f"{uri}&cert={cert}&key={key}")


def test_tls_1_1_is_refused(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", *both(), *options(*authority.issue("localhost")))
    with pytest.raises(ssl.SSLError), pytest.warns(DeprecationWarning):
        secure(
            own,
            authority,
            minimum_version=ssl.TLSVersion.TLSv1_1,
            maximum_version=ssl.TLSVersion.TLSv1_1,
        )
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with secure(own, authority, minimum_version=version, maximum_version=version) as client:
            client.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_certificate_that_is_replaced(start: Start, tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for source, target in zip(first.issue("localhost"), (cert, key), strict=True):
        shutil.copy(source, target)
    own = start("penguins.onnx", *both(), *options(cert, key))
    kept = secure(own, first)
    new_cert, new_key = second.issue("localhost")
    shutil.copy(new_cert, cert)  # does not fit the key for a moment
    time.sleep(1.1)
    secure(own, first).close()
    shutil.copy(new_key, key)
    deadline = time.monotonic() + 10
    while True:
        try:
            secure(own, second).close()
            break
        except ssl.SSLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    kept.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_reads_slowly_gets_every_answer(start: Start, tmp_path: Path) -> None:
    """A record of TLS that is half sent must be sent to its end before anything follows it."""
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", *both(), *options(*authority.issue("localhost")))
    count = 3000
    with secure(own, authority) as client:
        client.settimeout(0.2)
        request = f"GET {MODEL} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        left, answer, num_answers = request * count, bytearray(), 0
        status_line = b"HTTP/1.1 200 OK"
        while num_answers < count:
            if left:
                with contextlib.suppress(TimeoutError):
                    left = left[client.send(left[:16384]) :]
                if len(left) > len(request) * count // 2:
                    continue  # lets the answers pile up first
            try:
                part = client.recv(4096)
            except TimeoutError:
                continue
            assert part, "expected more answers, got the end of the connection"
            answer += part
            # A status line may begin in the part before.
            first = max(0, len(answer) - len(part) - len(status_line) + 1)
            num_answers += answer.count(status_line, first)
    bodies = {bytes(each.partition(b"\r\n\r\n")[2]) for each in answer.split(status_line)[1:-1]}
    assert len(bodies) == 1


def test_a_client_without_tls(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", *both(), *options(*authority.issue("localhost")))
    port = int(own.at["http"].rpartition(":")[2])
    with socket.create_connection(("localhost", port), 10) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP/1.1 200" not in client.recv(1000)
    with sidecall.open(f"{own.uri('http', 'penguins')}?ca={authority.cert}") as model:
        assert model.predict(RECORD)["label"] == "Adelie"


@pytest.mark.parametrize("what", ["cert", "key", "pair"])
def test_files_that_are_no_certificate(start: Start, tmp_path: Path, what: str) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("localhost")
    (tmp_path / "empty").write_text("")
    given = {
        "cert": (tmp_path / "empty", key),
        "key": (cert, tmp_path / "empty"),
        "pair": (cert, authority.issue("other")[1]),
    }[what]
    with pytest.raises(AssertionError, match="cert" if what == "cert" else "key"):
        start("penguins.onnx", *both(), *options(*given))


def test_a_key_that_cannot_be_read(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("localhost")
    key.unlink()
    with pytest.raises(AssertionError, match="key"):
        start("penguins.onnx", *both(), *options(cert, key))
