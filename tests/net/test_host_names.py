"""URIs with several hosts, and names of hosts that have several IP addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sidecall
from peer import MODELS, Peer, PeerProcess, free_port
from sidecall import errors
from tls import Authority, serve

pytestmark = pytest.mark.usefixtures("network_library")
MODEL = "penguins.onnx"
ROUTES = ["http", "grpc"]

WRONG_LISTS = [
    "http://a,/m",
    "http://,a/m",
    "http://a,,b/m",
    "http://,/m",
    "http://a:1,b:x/m",
    "http://a:1,b:0/m",
    "http://a,a/m",
    "http://a:80,a/m",
    "http://a,user:secret@b/m",
    "http://user:secret@a,b/m",
    "http://a, b/m",
    "http://a;b/m",
    "grpc://a,b,/m",
    "http://[::1],[::1/m",
    "http://[::1,::2]/m",
    "http://[abc]/m",
    "http://" + ",".join(f"h{i}" for i in range(65)) + "/m",
]


@pytest.mark.parametrize("uri", WRONG_LISTS)
def test_a_wrong_list_of_hosts_is_refused(uri: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^uri: expected .*, got ") as caught:
        sidecall.open(uri)
    assert "secret" not in str(caught.value)


@pytest.fixture
def run_with_names(tmp_path: Path, resolver: str) -> Callable[..., str]:
    """Runs a Python program in which the names of resolver.c have the addresses of a file."""

    def run(code: str) -> str:
        file = tmp_path / "addresses"
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=os.environ
            | {"LD_PRELOAD": resolver, "TEST_ADDRESSES": str(file), "TEST_FILE": str(file)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


NAMES = """
import os, sidecall, time
from pathlib import Path
file = Path(os.environ["TEST_FILE"])
record = {record!r}
def write(*ips):
    text = "".join(ip + "\\n" for ip in ips)
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").rename(file)
"""


@pytest.mark.parametrize("route", ROUTES)
def test_all_addresses_of_a_name_get_runs(
    run_with_names: Callable[..., str], route: str, record: dict
) -> None:
    first = Peer(MODELS)
    second = Peer(MODELS, host="127.0.0.2", ports=(first.port, first.grpc_port))
    port = first.ports[route]
    code = (
        NAMES.format(record=record)
        + f"""
write("127.0.0.1", "127.0.0.2")
with sidecall.open("{route}://replicas.test:{port}/{MODEL}") as model:
    for _ in range(40):
        model.predict(record)
"""
    )
    run_with_names(code)
    assert len(first.seen) > 5
    assert len(second.seen) > 5
    if route == "http":
        assert {headers["Host"] for headers in first.seen} == {f"replicas.test:{port}"}
    first.close()
    second.close()


@pytest.mark.parametrize("route", ROUTES)
def test_each_address_of_a_name_needs_a_certificate_for_the_name(
    run_with_names: Callable[..., str], tmp_path: Path, route: str, record: dict
) -> None:
    authority = Authority(tmp_path / "authority")
    first = serve(authority)
    ports = (first.port, first.grpc_port)
    second = serve(authority, host="127.0.0.2", ports=ports)
    wrong = serve(authority, "another.test", host="127.0.0.3", ports=ports)
    code = (
        NAMES.format(record=record)
        + f"""
write("127.0.0.1", "127.0.0.2", "127.0.0.3")
uri = "{route}s://localhost:{first.ports[route]}/{MODEL}?ca={authority.cert}"
with sidecall.open(uri) as model:
    for _ in range(40):
        model.predict(record)
"""
    )
    run_with_names(code)
    assert len(first.seen) > 5
    assert len(second.seen) > 5
    assert wrong.seen == []
    for peer in (first, second, wrong):
        peer.close()


def test_a_name_that_gets_another_address_is_followed(
    run_with_names: Callable[..., str], start_peer: Callable[..., PeerProcess], record: dict
) -> None:
    first = start_peer()
    second = Peer(MODELS, host="127.0.0.2", ports=(first.ports["http"], first.ports["grpc"]))
    code = (
        NAMES.format(record=record)
        + f"""
import signal
write("127.0.0.1")
with sidecall.open("http://replicas.test:{second.port}/{MODEL}") as model:
    expected = model.predict(record)
    time.sleep(1)  # names are looked up at most once a second
    os.kill({first.pid}, signal.SIGKILL)
    write("127.0.0.2")
    end = time.monotonic() + 10
    while True:
        try:
            assert model.predict(record) == expected
            break
        except (sidecall.errors.Unreachable, sidecall.errors.PeerDied):
            assert time.monotonic() < end
            time.sleep(0.05)
"""
    )
    run_with_names(code)
    assert len(second.seen) >= 2  # golden rows and a run
    second.close()


def test_a_resolver_that_hangs_does_not_hold_a_deadline_or_other_hosts_up(
    run_with_names: Callable[..., str], record: dict
) -> None:
    peer = Peer(MODELS)
    code = (
        NAMES.format(record=record)
        + f"""
begin = time.monotonic()
with sidecall.open("http://slow.test:80,{peer.authority("http")}/{MODEL}") as model:
    for _ in range(5):
        model.predict(record)
assert time.monotonic() - begin < 5
begin = time.monotonic()
try:
    sidecall.open("http://slow.test:80/{MODEL}", wait=0.5)
except sidecall.errors.Timeout as error:
    assert "slow.test" in str(error)
else:
    raise AssertionError("expected a timeout")
assert time.monotonic() - begin < 10
os._exit(0)
"""
    )
    run_with_names(code)
    peer.close()


def test_a_forked_child_opens_the_model_again_while_servers_are_verified(record: dict) -> None:
    peer = Peer(MODELS)
    uri = f"http://{peer.authority('http')},127.0.0.1:{free_port()}/{MODEL}"
    code = f"""
import os, sidecall, time
record = {record!r}
model = sidecall.open({uri!r})
model.predict(record)  # starts the thread that verifies the absent server
for _ in range(20):
    child = os.fork()
    if child == 0:
        try:
            model.predict(record)
        except sidecall.errors.Forked:
            model.close()
            with sidecall.open({uri!r}) as again:
                again.predict(record)
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    model.predict(record)
    time.sleep(0.05)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    peer.close()
