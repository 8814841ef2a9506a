"""The options of `serve`, checked once and passed to every process that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecall import errors

_FLUSH_NS = 200_000_000
LEVELS = ("debug", "info", "warning", "error")


@dataclass
class Log:
    """Writes log lines to a descriptor, on a thread of the library."""

    fd: int = 2
    as_json: bool = False
    least_level: int = 1

    def native(self) -> tuple[int, bool, int]:
        return self.fd, self.as_json, self.least_level

    @staticmethod
    def flush() -> None:
        """Waits, but not long, until all lines are written. Called before a process ends."""
        from sidecall import _backend

        _backend.load(None).log_flush(_FLUSH_NS)

    def write(self, level: int, event: str, **facts: Any) -> None:
        if level < self.least_level:
            return
        import json

        from sidecall import _backend

        text = json.dumps({"event": event, **facts}, ensure_ascii=False, separators=(",", ":"))
        _backend.load(None).log_line(self.fd, self.as_json, level, text)


@dataclass
class Options:
    """The options of one server. `native` holds the fields of sidecall_server_options."""

    at: str | None  # of the server that runs the object; None for its parent's or for none
    verify: int = 0
    drain_ns: int = 10_000_000_000
    native: dict[str, Any] = field(default_factory=dict)
    log: Log | None = None  # None: nothing is logged
    network: list[str] = field(default_factory=list)  # the addresses for HTTP and gRPC

    @property
    def place(self) -> str | None:
        """The first address without its options; None for a child process of a client."""
        places = self.places()
        return places[0] if places else None

    def places(self) -> list[str]:
        """All addresses without their options, for messages."""
        return [
            at.partition("?")[0] for at in ([] if self.at is None else [self.at]) + self.network
        ]


def native_options(
    *,
    threads: int,
    copy: str,
    allow_uids: Sequence[int],
    group: int | str | None,
    max_connections: int,
    max_connections_per_user: int,
    max_call_bytes: int,
    max_memory_bytes: int,
    max_memory_per_user_bytes: int,
    drain_ns: int,
    timeout: float,
    max_run: float,
    unready_after: float,
) -> dict[str, Any]:
    if copy not in ("auto", "always"):
        raise errors.InvalidArgument(f"copy: expected 'auto' or 'always', got {copy!r}")
    return {
        "num_threads": threads,
        "copy_inputs": 1 if copy == "always" else 0,
        "allow_uids": list(allow_uids),
        "group": _group_id(group),
        "max_connections": max_connections,
        "max_connections_per_user": max_connections_per_user,
        "max_request_bytes": max_call_bytes,
        "max_response_bytes": max_call_bytes,
        "max_memory_bytes": max_memory_bytes,
        "max_memory_per_user_bytes": max_memory_per_user_bytes,
        "drain_ns": drain_ns,
        "timeout_ns": int(timeout * 1e9),
        "max_run_ns": int(max_run * 1e9),
        "unready_after_ns": int(unready_after * 1e9),
    }


def log_of(log: str | None, level: str) -> Log | None:
    if level not in LEVELS:
        raise errors.InvalidArgument(
            f"log_level: expected 'debug', 'info', 'warning' or 'error', got {level!r}"
        )
    if log not in (None, "text", "json"):
        raise errors.InvalidArgument(f"log: expected 'text', 'json' or None, got {log!r}")
    return None if log is None else Log(2, log == "json", LEVELS.index(level))


def _group_id(group: int | str | None) -> int:
    if group is None:
        return -1
    if isinstance(group, int) or group.isdigit():
        return int(group)
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise errors.InvalidArgument(
            f"group: expected the name or number of a group, got {group!r}"
        ) from None
