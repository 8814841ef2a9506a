"""TLS: which servers a client trusts, which clients a server trusts, and which versions are used."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import sidecall
from peer import Peer
from sidecall import errors

MODELS = Path(__file__).parents[1] / "vectors/models"
ROUTES = ["http", "grpc"]


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.cert = folder, folder / "ca.pem"
        extension = "basicConstraints=critical,CA:TRUE"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", folder / "ca.key", "-out", self.cert, "-days", "2"),
            *("-subj", f"/CN={folder.name}", "-addext", extension),
        )

    def _openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)

    def issue(self, name: str, *, days: int = 2) -> tuple[Path, Path]:
        """The certificate for a host, and its key."""
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / "request", self.folder / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", request, "-subj", f"/CN={name}"),
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.folder / "ca.key"),
            *("-CAcreateserial", "-out", cert, "-days", str(days), "-extfile", extensions),
        )
        return cert, key


def serve(
    authority: Authority,
    name: str = "localhost",
    *,
    clients: Authority | None = None,
    version: ssl.TLSVersion | None = None,
) -> Peer:
    """A server with a certificate for `name`; only clients of `clients` may connect."""
    cert, key = authority.issue(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.cert)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())],
        None if clients is None else clients.cert.read_bytes(),
        require_client_auth=clients is not None,
    )
    return Peer(MODELS, tls=(context, credentials))


@pytest.fixture
def authority(network_library: Path, tmp_path: Path) -> Authority:
    assert network_library.is_file()
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
    for query in ("", f"?ca={other.cert}", f"?ca={tmp_path / 'absent.pem'}"):
        with pytest.raises(errors.Unreachable):
            sidecall.open(uri + query)
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
