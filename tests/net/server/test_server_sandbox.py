"""A server for HTTP and gRPC with --sandbox serves, and reads only the files that it needs."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
from pathlib import Path

import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start, wait_until
from sidecall import errors
from tls import Authority
from vector_servers import MODELS, command_environment, command_path

pytestmark = pytest.mark.usefixtures("network_library")

SANDBOX = "--sandbox=require"
BOTH = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")


def refusal(*options: str, **environment: str) -> str:
    """The last line of a server that does not start."""
    done = subprocess.run(
        [command_path(), "serve", str(MODELS / "penguins.onnx"), "--http", "127.0.0.1:0", *options],
        env=command_environment(**environment),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()[-1]


def status_with(own: OwnServer, token: str) -> int:
    return own.get(MODEL, authorization=f"Bearer {token}")[0]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_confined_server_gives_the_same_answers(start: Start, protocol: str) -> None:
    own = start("penguins.onnx", SANDBOX, *BOTH)
    with (
        sidecall.open(MODELS / "penguins.onnx") as here,
        sidecall.open(own.uri(protocol, "penguins")) as there,
    ):
        records = [RECORD] * 3
        assert there.predict(records) == here.predict(records)
        with pytest.raises(errors.DtypeMismatch):
            there.predict({"island": 1})
    for task in Path(f"/proc/{own.process.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        assert "Seccomp:\t2" in lines and "NoNewPrivs:\t1" in lines
    parts = [event["part"] for event in own.events("sandbox.confined")]
    assert parts == ["files", "system calls"]
    assert own.end() == 0, own.log()


@pytest.mark.parametrize("scheme", ["shm", "http", "grpc"])
def test_the_first_request_is_served_by_a_confined_process(tmp_path: Path, scheme: str) -> None:
    """strace delays the last step of the confinement, while a client waits for an answer."""
    folder = tmp_path / "sockets"
    folder.mkdir()
    place = f"{folder}/socket"
    option = [f"--{scheme}", place] if scheme != "shm" else ["--at", f"shm:{place}"]
    delay = ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", "inject=seccomp:delay_enter=2s"]
    words = [command_path(), "serve", str(MODELS / "penguins.onnx"), SANDBOX, *option]
    environment = command_environment()
    with subprocess.Popen([*delay, *words], env=environment, stderr=subprocess.DEVNULL) as traced:
        children = Path(f"/proc/{traced.pid}/task/{traced.pid}/children")
        try:
            wait_until(Path(place).exists, 60)
            (server,) = children.read_text().split()
            uri = f"shm:{place}" if scheme == "shm" else f"{scheme}+unix:{place}/penguins"
            with sidecall.open(uri, wait=30) as model:
                lines = Path(f"/proc/{server}/status").read_text().splitlines()
                assert "Seccomp:\t2" in lines
                assert model.predict([RECORD])
        finally:
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
            traced.kill()


def test_all_kinds_of_addresses_can_be_confined(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir()
    with sidecall.open(MODELS / "penguins.onnx") as model:
        expected = model.predict(RECORD)
    own = start(
        "penguins.onnx",
        SANDBOX,
        *("--at", f"shm:{folder}/a.sock", "--http", f"{folder}/http", "--grpc", f"{folder}/grpc"),
        *("--http", "localhost:0"),
    )
    for uri in (
        f"shm:{folder}/a.sock",
        f"http+unix:{folder}/http/penguins",
        f"grpc+unix:{folder}/grpc/penguins",
    ):
        with sidecall.open(uri) as model:
            assert model.predict(RECORD) == expected
    # The name was looked up before the files were confined.
    addresses = [event["at"] for event in own.events("server.listening") if "at" in event]
    (address,) = [at for at in addresses if at.startswith("http://")]
    port = address.rpartition(":")[2]
    own.at["http"] = f"http://127.0.0.1:{port}"
    assert own.get("/v2", host=f"localhost:{port}")[0] == 200
    assert own.get("/v2", host=f"elsewhere:{port}")[0] == 421
    assert own.end() == 0, own.log()


def test_tokens_that_are_renamed_into_place_are_read_again(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    tokens = folder / "tokens"
    tokens.write_text("first\n")
    own = start("penguins.onnx", SANDBOX, *BOTH, "--tokens", str(tokens))
    assert status_with(own, "first") == 200 and status_with(own, "second") == 401
    (folder / "new").write_text("second\n")
    (folder / "new").rename(tokens)
    wait_until(lambda: status_with(own, "second") == 200)
    assert status_with(own, "first") == 401


def test_tokens_of_a_mounted_secret_are_read_again(start: Start, tmp_path: Path) -> None:
    """Kubernetes replaces the link ..data, which leads to a folder made for each version."""
    mount = tmp_path / "mount"

    def publish(version: str) -> None:
        (mount / f"..{version}").mkdir(parents=True)
        (mount / f"..{version}" / "tokens").write_text(f"{version}\n")
        (mount / "..next").symlink_to(f"..{version}")
        (mount / "..next").rename(mount / "..data")

    publish("first")
    (mount / "tokens").symlink_to("..data/tokens")
    own = start("penguins.onnx", SANDBOX, *BOTH, "--tokens", str(mount / "tokens"))
    assert status_with(own, "first") == 200
    publish("second")
    shutil.rmtree(mount / "..first")
    wait_until(lambda: status_with(own, "second") == 200)
    assert status_with(own, "first") == 401


def test_tokens_behind_a_link_are_read_again(start: Start, tmp_path: Path) -> None:
    """As for certificates of certbot: the link leads to a file in another folder."""
    live, archive, other = (tmp_path / name for name in ("live", "archive", "other"))
    for folder, token in ((live, None), (archive, "first"), (other, "stranger")):
        folder.mkdir()
        if token is not None:
            (folder / "1").write_text(f"{token}\n")
    (live / "tokens").symlink_to("../archive/1")
    own = start("penguins.onnx", SANDBOX, *BOTH, "--tokens", str(live / "tokens"))
    (archive / "2").write_text("second\n")
    (live / "next").symlink_to("../archive/2")
    (live / "next").rename(live / "tokens")
    wait_until(lambda: status_with(own, "second") == 200)
    # A third folder was not known at the start, so the server cannot read there.
    (live / "next").symlink_to("../other/1")
    (live / "next").rename(live / "tokens")
    wait_until(lambda: status_with(own, "second") == 401)
    assert status_with(own, "stranger") == 401
    for event in own.events("server.tokens_failed"):
        assert "Permission denied" in event["reason"]


def test_a_certificate_that_is_replaced_is_read_again(start: Start, tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    folder = tmp_path / "tls"
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    for source, target in zip(first.issue("localhost"), (cert, key), strict=True):
        shutil.copy(source, target)
    own = start("penguins.onnx", SANDBOX, *BOTH, "--tls-cert", str(cert), "--tls-key", str(key))

    def is_trusted(authority: Authority) -> bool:
        context = ssl.create_default_context(cafile=str(authority.cert))
        try:
            context.wrap_socket(own.connect(), server_hostname="localhost").close()
        except ssl.SSLError:
            return False
        return True

    assert is_trusted(first) and not is_trusted(second)
    for source, target in zip(second.issue("localhost"), (cert, key), strict=True):
        shutil.copy(source, target)
    wait_until(lambda: is_trusted(second), 10)


@pytest.mark.parametrize("option", ["--tokens", "--tls-client-ca"])
def test_a_file_in_a_folder_that_others_use_is_refused(tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"
    file.write_text("token\n")
    message = refusal(SANDBOX, option, str(file), HOME=str(tmp_path))
    assert f"--sandbox: expected {option} in a folder of its own" in message


def test_a_socket_in_such_a_folder_is_refused_beside_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "tokens").write_text("token\n")
    words = ("--at", f"shm:{tmp_path}/a.sock", "--tokens", str(folder / "tokens"))
    message = refusal(SANDBOX, *words, HOME=str(tmp_path))
    assert "expected the socket in a folder of its own" in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "tokens: expected a file" in refusal(SANDBOX, "--tokens", str(tmp_path / "a/none"))


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [command_path(), "serve", str(MODELS / "penguins.onnx"), "--http", "127.0.0.1:0", SANDBOX],
        env=command_environment(SIDECALL_NET=str(tmp_path / "none.so")),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode != 0
    assert "libsidecall-net" in done.stderr or "none.so" in done.stderr
