"""At which addresses a server listens, and how it counts clients by address."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from own_server import OwnServer, Start, wait_until

pytestmark = pytest.mark.usefixtures("network_library")
LOCAL_IPV6 = "0" * 31 + "1"
has_ipv6 = LOCAL_IPV6 in Path("/proc/net/if_inet6").read_text(encoding="ascii")
LOCAL = ["127.0.0.1", "127.0.0.2", *(["::1"] if has_ipv6 else [])]


def is_answered(ip: str, port: int) -> bool:
    """Whether a client with this IP address is answered at the same address."""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection((ip, port), 5, source_address=(ip, 0)) as client,
    ):
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(15) == b"HTTP/1.1 200 OK"
    return False


@pytest.fixture
def start_at(start: Start, resolver: str, tmp_path: Path) -> Callable[..., OwnServer]:
    """Starts a server at a name with these addresses."""

    def begin(*ips: str, options: tuple[str, ...] = ()) -> OwnServer:
        file = tmp_path / "addresses"
        file.write_text("".join(f"{ip}\n" for ip in ips))
        words = ["--http", "localhost:0", *options]
        return start("add.onnx", *words, LD_PRELOAD=resolver, TEST_ADDRESSES=str(file))

    return begin


def test_a_server_listens_at_all_addresses_of_a_name(start_at: Callable[..., OwnServer]) -> None:
    own = start_at(*LOCAL)
    assert all(is_answered(ip, own.port()) for ip in LOCAL)
    assert not is_answered("127.0.0.3", own.port())
    assert own.end() == 0
    assert not any(is_answered(ip, own.port()) for ip in LOCAL)


def test_an_address_that_a_name_has_twice_is_taken_once(
    start_at: Callable[..., OwnServer],
) -> None:
    own = start_at("127.0.0.1", "127.0.0.2", "127.0.0.1")
    assert is_answered("127.0.0.1", own.port())


def test_an_address_that_this_machine_does_not_have_is_left_out(
    start_at: Callable[..., OwnServer],
) -> None:
    own = start_at("2001:db8::1", "127.0.0.1")
    assert is_answered("127.0.0.1", own.port())


def test_a_name_without_an_address_of_this_machine_is_refused(
    start_at: Callable[..., OwnServer],
) -> None:
    with pytest.raises(AssertionError, match="cannot listen"):
        start_at("2001:db8::1")


@pytest.mark.parametrize("ip", LOCAL)
def test_the_connections_of_one_client_are_limited(
    start_at: Callable[..., OwnServer], ip: str
) -> None:
    own = start_at(*LOCAL, options=("--max-connections-per-user", "2"))
    held = [socket.create_connection((ip, own.port()), 5, (ip, 0)) for _ in range(2)]
    assert not is_answered(ip, own.port())
    assert all(is_answered(other, own.port()) for other in LOCAL if other != ip)
    for each in held:
        each.close()
    wait_until(lambda: is_answered(ip, own.port()), 5)
