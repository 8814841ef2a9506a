"""Certificates and servers with TLS, for the tests of the network route."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import grpc
from peer import Peer

MODELS = Path(__file__).parents[1] / "vectors/models"


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

    def issue(self, name: str, *, days: int = 2, key_type: str = "ec:P-256") -> tuple[Path, Path]:
        """The certificate for a host, and its key. With 0 days, the certificate has expired."""
        kind, _, size = key_type.partition(":")
        parameter = {"ec": "ec_paramgen_curve", "rsa": "rsa_keygen_bits"}[kind]
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / "request", self.folder / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
        self._openssl(
            *("req", "-newkey", kind, "-pkeyopt", f"{parameter}:{size}", "-nodes"),
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
    host: str = "127.0.0.1",
    ports: tuple[int, int] = (0, 0),
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
    return Peer(MODELS, tls=(context, credentials), host=host, ports=ports)
