"""The server with TLS: certificates of both sides, protocols, slow readers. The tests of files that
change are in test_server_certificates.py."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start
from sidecall import errors
from tls import Authority

pytestmark = pytest.mark.usefixtures("network_library")


LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


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


@pytest.fixture(scope="module")
def rsa_server(
    network_library: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OwnServer, Authority]]:
    folder = tmp_path_factory.mktemp("rsa")
    authority = Authority(folder / "ca")
    cert, key = authority.issue("localhost", key_type="rsa:2048")
    own = OwnServer("penguins.onnx", folder, *both(), *options(cert, key))
    yield own, authority
    own.end()


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


@pytest.mark.parametrize(
    ("ciphers", "is_accepted"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", True),
        ("ECDHE-RSA-AES256-GCM-SHA384", True),
        ("ECDHE-RSA-CHACHA20-POLY1305", True),
        ("kRSA", False),
        ("DHE", False),
        ("ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-CAMELLIA128-SHA256", False),
        ("AESCCM:AESCCM8:kRSA+AESGCM", False),
    ],
)
def test_ciphers_of_tls_1_2(
    rsa_server: tuple[OwnServer, Authority], ciphers: str, is_accepted: bool
) -> None:
    own, authority = rsa_server
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    if is_accepted:
        with context.wrap_socket(own.connect(), server_hostname="localhost") as client:
            assert client.cipher()[0] == ciphers
        return
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(own.connect(), server_hostname="localhost")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(start: Start, tmp_path: Path, version: ssl.TLSVersion) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("localhost")
    own = start("penguins.onnx", *both(), *options(cert, key), "--threads", "2")
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.minimum_version = context.maximum_version = version
    session = None
    for attempt in range(6):
        with context.wrap_socket(
            own.connect(), server_hostname="localhost", session=session
        ) as client:
            client.sendall(LIVE)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            assert client.session_reused == (attempt > 0)
            session = client.session
            assert session.has_ticket


def test_sessions_of_clients_with_a_certificate_are_not_resumed(
    start: Start, tmp_path: Path
) -> None:
    """A resumed session would hide from the server that the certificate has expired."""
    authority, clients = Authority(tmp_path / "ca"), Authority(tmp_path / "clients")
    given = options(*authority.issue("localhost"))
    own = start("penguins.onnx", *both(), *given, "--tls-client-ca", str(clients.cert))
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.load_cert_chain(*clients.issue("me"))
    session = None
    for _ in range(2):
        with context.wrap_socket(
            own.connect(), server_hostname="localhost", session=session
        ) as client:
            client.sendall(LIVE)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            assert not client.session_reused
            session = client.session


def test_keys_can_be_updated(start: Start, tmp_path: Path) -> None:
    """`K` lets the client of OpenSSL take new keys and ask for new ones, `k` only take them."""
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", *both(), *options(*authority.issue("localhost")))
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{own.port()}", "-tls1_3", "-msg"]
    with subprocess.Popen(
        [*words, "-CAfile", authority.cert, "-servername", "localhost"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        output = b""

        def read_until(mark: bytes, count: int) -> None:
            nonlocal output
            while output.count(mark) < count:
                part = os.read(client.stdout.fileno(), 65536)
                assert part, output
                output += part

        read_until(b"Verify return code: 0 (ok)", 1)
        for turn, update in enumerate([b"K\n", b"K\n", b"k\n", b"K\n"]):
            client.stdin.write(update)
            client.stdin.flush()
            read_until(b">>> TLS 1.3, Handshake [length 0005], KeyUpdate", turn + 1)
            client.stdin.write(LIVE)
            client.stdin.flush()
            read_until(b"HTTP/1.1 200 OK", turn + 1)
        client.kill()
    assert output.count(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate") == 3


def test_in_the_sandbox_too_a_thread_that_yields_does_handshakes(
    start: Start, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", "--sandbox", *both(), *options(*authority.issue("localhost")))

    def priorities() -> set[int]:
        tasks = Path(f"/proc/{own.process.pid}/task").iterdir()
        return {int((task / "stat").read_text().rpartition(")")[2].split()[16]) for task in tasks}

    assert priorities() == {0}
    secure(own, authority).close()
    assert priorities() == {0, 5}


def test_clients_that_leave_during_the_handshake(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    own = start("penguins.onnx", *both(), *options(*authority.issue("localhost")))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(authority.cert))
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    waiting = []
    for count in range(100):
        client = own.connect()
        client.sendall(hello[: len(hello) // 2] if count % 3 == 0 else hello)
        if count % 2 == 0:  # a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + bytes(7))
            client.close()
        else:
            waiting.append(client)
    secure(own, authority).close()
    for client in waiting:
        client.close()
    uri = f"{own.uri('http', 'penguins')}?ca={authority.cert}"
    with sidecall.open(uri) as model:
        assert model.predict(RECORD)["label"] == "Adelie"
    assert own.end() == 0, own.log()


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
