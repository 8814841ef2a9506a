"""The files of a server with TLS are replaced, are damaged and expire while it runs."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest
from own_server import OwnServer, Start, wait_until
from tls import Authority

pytestmark = pytest.mark.usefixtures("network_library")

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def https() -> list[str]:
    return ["--http", "localhost:0"]


def options(cert: Path, key: Path) -> list[str]:
    return ["--tls-cert", str(cert), "--tls-key", str(key)]


def copy(sources: tuple[Path, Path], *targets: Path) -> None:
    for source, target in zip(sources, targets, strict=True):
        shutil.copy(source, target)


def client_of(
    own: OwnServer, authority: Authority, identity: tuple[Path, Path] | None = None
) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority.cert))
    if identity is not None:
        context.load_cert_chain(*identity)
    return context.wrap_socket(own.connect(), server_hostname="localhost")


def is_served(
    own: OwnServer, authority: Authority, identity: tuple[Path, Path] | None = None
) -> bool:
    try:
        with client_of(own, authority, identity) as client:
            client.sendall(LIVE)
            return client.recv(100).startswith(b"HTTP/1.1 200 ")
    except (ssl.SSLError, ConnectionError):
        return False


def metrics_of(own: OwnServer, authority: Authority) -> str:
    with client_of(own, authority) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def test_a_certificate_that_is_replaced(start: Start, tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    copy(first.issue("localhost"), cert, key)
    own = start("penguins.onnx", *https(), *options(cert, key))
    kept = client_of(own, first)
    new_cert, new_key = second.issue("localhost")
    shutil.copy(new_cert, cert)  # does not fit the key
    (event,) = own.await_events("server.certificate_failed")
    assert "key: the file is not the key of the certificate" in event["reason"]
    assert is_served(own, first) and not is_served(own, second)
    labels = f'{{at="{own.at["http"]}",file="certificate"}}'
    metrics = metrics_of(own, first)
    assert f"sidecall_file_usable{labels} 0\n" in metrics
    assert f"sidecall_file_failures_total{labels} 1\n" in metrics
    shutil.copy(new_key, key)
    wait_until(lambda: is_served(own, second))
    assert f"sidecall_file_usable{labels} 1\n" in metrics_of(own, second)
    assert len(own.await_events("server.certificate", 2)) == 2
    assert len(own.events("server.certificate_failed")) == 1
    kept.sendall(LIVE)
    assert kept.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("object_options", [None, ["--workers", "1"]], ids=["sandbox", "workers"])
def test_certificates_behind_links_are_read_again(
    start: Start, tmp_path: Path, object_options: list[str] | None
) -> None:
    """Kubernetes and certbot replace links."""
    first, second = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    mount = tmp_path / "mount"

    def publish(authority: Authority) -> None:
        folder = mount / f"..{authority.folder.name}"
        folder.mkdir(parents=True)
        copy(authority.issue("localhost"), folder / "tls.crt", folder / "tls.key")
        (mount / "..next").symlink_to(folder.name)
        (mount / "..next").rename(mount / "..data")

    publish(first)
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    given = options(mount / "tls.crt", mount / "tls.key")
    if object_options is None:
        own = start("penguins.onnx", *https(), *given, "--sandbox=require")
    else:
        own = start("serving_parts:judge", *https(), *given, *object_options)
    assert is_served(own, first)
    publish(second)
    shutil.rmtree(mount / "..first")
    wait_until(lambda: is_served(own, second))
    assert not own.events("server.certificate_failed")


def test_without_its_authorities_no_client_is_admitted(start: Start, tmp_path: Path) -> None:
    authority, clients = Authority(tmp_path / "ca"), Authority(tmp_path / "clients")
    others = Authority(tmp_path / "others")
    accepted, me = tmp_path / "accepted.pem", clients.issue("me")
    shutil.copy(clients.cert, accepted)
    given = [*options(*authority.issue("localhost")), "--tls-client-ca", str(accepted)]
    own = start("penguins.onnx", *https(), *given)
    assert is_served(own, authority, me)
    # The second certificate is cut off.
    accepted.write_bytes(clients.cert.read_bytes() + others.cert.read_bytes()[:200])
    wait_until(lambda: not is_served(own, authority, me))
    (event,) = own.await_events("server.certificate_failed")
    assert event["reason"].startswith("client_ca: the file is not a PEM file")
    shutil.copy(clients.cert, accepted)
    wait_until(lambda: is_served(own, authority, me))
    shutil.copy(others.cert, accepted)
    wait_until(lambda: not is_served(own, authority, me))
    assert is_served(own, authority, others.issue("me"))


@pytest.mark.parametrize(
    ("days", "warning"),
    [
        (0, ("server.certificate_expired", "error")),
        (1, ("server.certificate_expires", "warning")),
        (20, ("server.certificate_expires", "warning")),
        (40, None),
    ],
)
def test_the_log_tells_when_a_certificate_expires(
    start: Start, tmp_path: Path, days: int, warning: tuple[str, str] | None
) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("localhost", days=days)
    own = start("penguins.onnx", *https(), *options(cert, key))
    (loaded,) = own.events("server.certificate")
    warnings = own.events("server.certificate_expires") + own.events("server.certificate_expired")
    assert [(each["event"], each["level"]) for each in warnings] == ([warning] if warning else [])
    for event in (loaded, *warnings):
        assert days - 1 <= event["days_left"] <= days  # a day that has begun does not count
    if days > 0:
        with client_of(own, authority) as client:
            until = client.getpeercert()["notAfter"]
        name = "sidecall_certificate_expires_timestamp_seconds"
        line = f'{name}{{at="{own.at["http"]}"}} {ssl.cert_time_to_seconds(until)}\n'
        assert line in metrics_of(own, authority)
