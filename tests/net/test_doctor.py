"""sidecall doctor: what it says about models on other hosts, and about the way to a server."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from own_server import OwnServer, Start
from peer import free_port
from tls import Authority
from vector_servers import command_environment, command_path

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("network_library")


def doctor(*words: str, **env: str) -> tuple[int, str]:
    """The exit code and the output of `sidecall doctor`."""
    done = subprocess.run(
        [command_path(), "doctor", *words],
        env=command_environment(**env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def report_of(*words: str, **env: str) -> dict:
    return json.loads(doctor(*words, "--json", **env)[1])


def steps_of(uri: str, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and by step: its status and its text."""
    code, output = doctor(uri, "--json", **env)
    steps = json.loads(output)["model"]["steps"]
    return code, {step["step"]: (step["status"], step["text"]) for step in steps}


# ---- The library ----


def test_the_library_and_what_it_contains_are_shown() -> None:
    report = report_of()
    network = report["network"]
    assert report["network_problem"] is None
    assert network["version"] == report["version"]
    assert network["path"] == command_environment()["SIDECALL_NET"]
    versions = (ROOT / "net/libraries/versions.txt").read_text()
    for name, of_file in {
        "libcurl": "curl_",
        "nghttp2": "nghttp2_",
        "Mbed TLS": "mbedtls_",
    }.items():
        assert f"{of_file}{network['libraries'][name]}." in versions
    assert list(network["libraries"]) == ["libcurl", "nghttp2", "Mbed TLS", "llhttp"]
    page = doctor()[1]
    assert f"network   libsidecall-net.so {report['version']}\n" in page
    assert f"contains libcurl {network['libraries']['libcurl']}, " in page


def test_the_file_with_trusted_authorities_is_shown(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_text("")
    env = {"SSL_CERT_FILE": str(trusted)}
    assert report_of(**env)["network"]["ca_readable"] is True
    assert f"trusts the authorities in {trusted}\n" in doctor(**env)[1]


def test_a_file_with_authorities_that_is_missing_is_reported() -> None:
    env = {"SSL_CERT_FILE": "/no/ca.pem"}
    network = report_of(**env)["network"]
    assert (network["ca"], network["ca_readable"]) == ("/no/ca.pem", False)
    page = doctor(**env)[1]
    assert "trusts the authorities in /no/ca.pem, which cannot be read\n" in page


def test_a_missing_library_is_reported_and_needed_for_addresses_only() -> None:
    env = {"SIDECALL_NET": "/no/libsidecall-net.so"}
    code, page = doctor(**env)
    assert code == 0
    assert "network   not available: models on other hosts need libsidecall-net.so" in page
    report = report_of(**env)
    assert report["network"] is None and "/no/libsidecall-net.so" in report["network_problem"]
    code, steps = steps_of("http://localhost/m", **env)
    assert code == 3
    assert steps["address"][0] == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("int other(void) { return 0; }", "this library is not libsidecall-net.so"),
        (
            """struct api { const char *version; };
               static const struct api old = {"0.0.1"};
               const struct api *sidecall_net(void) { return &old; }
               const void *sidecall_net_serving(void) { return &old; }""",
            "got 0.0.1",
        ),
    ],
)
def test_a_library_that_does_not_fit_is_reported(tmp_path: Path, source: str, problem: str) -> None:
    library = tmp_path / "libsidecall-net.so"
    (tmp_path / "net.c").write_text(source)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, tmp_path / "net.c"], check=True, timeout=60
    )
    assert problem in report_of(SIDECALL_NET=str(library))["network_problem"]


# ---- The way to a server ----


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_all_steps_to_a_server_are_shown(start: Start, protocol: str) -> None:
    own = start("penguins.onnx")
    uri = own.uri(protocol, "penguins").replace("127.0.0.1", "localhost")
    code, steps = steps_of(uri)
    assert code == 0
    assert list(steps) == [
        *("name", "connection", "live", "ready", "metadata", "contract", "golden rows")
    ]
    assert {status for status, _ in steps.values()} == {"OK"}
    assert "127.0.0.1" in steps["name"][1]
    assert "with a contract" in steps["metadata"][1]
    assert "rows, all as recorded" in steps["golden rows"][1]
    page = doctor(uri)[1]
    assert f"model     {uri}\n" in page and "golden rows: " in page


def test_the_certificate_is_a_step(start: Start, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    cert, key = authority.issue("localhost")
    at = ["--http", "localhost:0", "--grpc", "localhost:0"]
    own = start("penguins.onnx", *at, "--tls-cert", str(cert), "--tls-key", str(key))
    for protocol in ("http", "grpc"):
        uri = own.uri(protocol, "penguins")
        code, steps = steps_of(f"{uri}?ca={authority.cert}")
        assert (code, steps["tls"][0]) == (0, "OK")
        assert f"certificate trusted by {authority.cert}" in steps["tls"][1]
        code, steps = steps_of(f"{uri}?ca={other.cert}")
        assert (code, list(steps)) == (4, ["name", "connection", "tls"])
        assert (steps["connection"][0], steps["tls"][0]) == ("OK", "UNREACHABLE")
        assert "certificate" in steps["tls"][1].lower()


def test_an_unknown_host_fails_at_its_name(network_library: Path) -> None:
    code, steps = steps_of("http://no-such-host.invalid:8000/m")
    assert code == 4
    assert steps == {"name": ("UNREACHABLE", "no IP address was found")}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_port_without_a_server_fails_at_the_connection(protocol: str) -> None:
    code, steps = steps_of(f"{protocol}://127.0.0.1:{free_port()}/m")
    assert code == 4
    assert list(steps) == ["connection"] and steps["connection"][0] == "UNREACHABLE"


def test_a_server_of_something_else_fails_after_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(1)
                    connection.sendall(b"220 ready\r\n")

        threading.Thread(target=answer, daemon=True).start()
        code, steps = steps_of(f"http://127.0.0.1:{listener.getsockname()[1]}/m")
    assert code == 4
    assert list(steps) == ["connection", "live"]
    assert steps["live"][0] in ("PROTOCOL", "PEER_DIED")


def test_another_model_fails_at_ready(start: Start) -> None:
    own: OwnServer = start("penguins.onnx")
    code, steps = steps_of(own.uri("http", "other"))
    assert code == 4
    assert steps["live"][0] == "OK"
    assert steps["ready"][0] == "UNREACHABLE" and "metadata" not in steps


def test_a_wrong_token_fails_after_live(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("right\n")
    (tmp_path / "mine").write_text("wrong\n")
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--tokens", str(tmp_path / "tokens"))
    code, steps = steps_of(f"{own.uri('http', 'penguins')}?token={tmp_path}/mine")
    assert code == 4
    assert (steps["live"][0], steps["ready"][0]) == ("OK", "DENIED")


def test_a_contract_of_another_model_fails_at_the_contract(start: Start) -> None:
    own = start("penguins.onnx")
    contract = ROOT / "tests/vectors/models/gbm.onnx"
    code, steps = steps_of(f"{own.uri('http', 'penguins')}?contract={contract}")
    assert steps["metadata"][0] == "OK"
    assert code != 0 and steps["contract"][0] != "OK" and "golden rows" not in steps


def test_one_server_of_several_that_is_missing_is_named(start: Start) -> None:
    own = start("penguins.onnx")
    port = free_port()
    uri = own.uri("http", "penguins").replace("/penguins", f",127.0.0.1:{port}/penguins")
    code, page = doctor(uri)
    assert code == 4
    assert f"connection of 127.0.0.1:{port}: UNREACHABLE: " in page
    assert "golden rows: " in page  # of the other server
