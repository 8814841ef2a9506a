"""TLS: which servers a client trusts, which clients a server trusts, and which versions work."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import sidecall
from peer import Peer
from sidecall import errors
from tls import Authority, serve

pytestmark = pytest.mark.usefixtures("network_library")
MODELS = Path(__file__).parents[1] / "vectors/models"
ROUTES = ["http", "grpc"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_of_a_trusted_authority_is_called(authority: Authority, route: str) -> None:
    peer = serve(authority)
    with sidecall.open(f"{peer.uri(route, 'penguins.onnx')}?ca={authority.cert}") as model:
        assert model.warning is None
    peer.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_is_not_trusted_is_not_called(
    authority: Authority, tmp_path: Path, route: str
) -> None:
    other = Authority(tmp_path / "other")
    peer = serve(authority)
    uri = peer.uri(route, "penguins.onnx")
    for query in ("", f"?ca={other.cert}"):
        with pytest.raises(errors.Unreachable):
            sidecall.open(uri + query)
    with pytest.raises(errors.FileNotFound, match="ca"):
        sidecall.open(f"{uri}?ca={tmp_path / 'absent.pem'}")
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"{uri.replace('localhost', '127.0.0.1')}?ca={authority.cert}")
    peer.close()
    peer = serve(authority, "elsewhere")
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"{peer.uri(route, 'penguins.onnx')}?ca={authority.cert}")
    peer.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_may_ask_for_a_certificate_of_the_client(
    authority: Authority, tmp_path: Path, route: str
) -> None:
    clients = Authority(tmp_path / "clients")
    cert, key = clients.issue("caller")
    peer = serve(authority, clients=clients)
    uri = f"{peer.uri(route, 'penguins.onnx')}?ca={authority.cert}"
    sidecall.open(f"{uri}&cert={cert}&key={key}").close()
    wrong_cert, wrong_key = authority.issue("caller")
    for query in ("", f"&cert={wrong_cert}&key={wrong_key}"):
        with pytest.raises((errors.Unreachable, errors.PeerDied, errors.Denied)):
            sidecall.open(uri + query)
    peer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_newer_are_spoken(authority: Authority, version: ssl.TLSVersion) -> None:
    peer = serve(authority, version=version)
    sidecall.open(f"{peer.uri('http', 'penguins.onnx')}?ca={authority.cert}").close()
    peer.close()


def test_tls_1_1_is_refused(authority: Authority) -> None:
    peer = serve(authority, version=ssl.TLSVersion.TLSv1_1)
    with pytest.raises((errors.Unreachable, errors.PeerDied)):
        sidecall.open(f"{peer.uri('http', 'penguins.onnx')}?ca={authority.cert}")
    peer.close()


def test_a_plain_server_does_not_get_a_request_over_tls(authority: Authority) -> None:
    peer = Peer(MODELS)
    uri = peer.uri("http", "penguins.onnx").replace("http:", "https:")
    with pytest.raises((errors.Unreachable, errors.PeerDied)):
        sidecall.open(f"{uri}?ca={authority.cert}")
    peer.close()


def test_the_authorities_of_the_system_are_trusted(authority: Authority) -> None:
    peer = serve(authority)
    code = f"import sidecall; sidecall.open({peer.uri('http', 'penguins.onnx')!r}).close()"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=60,
        env=os.environ | {"SSL_CERT_FILE": str(authority.cert)},
    )
    peer.close()
