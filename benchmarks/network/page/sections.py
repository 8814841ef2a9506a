"""The parts of the report that other programs than run.py measured: sidecall's server, its
replacement under load, its balancing, and the programs that need no network. Used by write.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from page.figures import time_label


@dataclass
class Section:
    """A heading, sentences, a table, and the bars of a member of network.json."""

    title: str
    text: str
    head: list[str]
    rows: list[list[str]]
    bars: list[dict]
    picture: str = ""  # a name of the pictures, or ""


SERVING = (
    "One client in C++ sends the same bytes to each server, one call after the other, and the "
    "servers take turns. The echo is a program with the same HTTP parser that answers with "
    "recorded bytes. sidecall's server runs its own engine here, as it does without options."
)
ROLLOUT = (
    "Eight threads call two servers over HTTP and gRPC without a pause, while the servers are "
    "replaced one after the other."
)
BALANCING = (
    "Each server runs one call after the other and takes 5 ms for each; in the last setup one of "
    "four takes 20 ms. Calls are due at random times, and the time of a call counts from then. "
    "sidecall's client, with a list of addresses, is compared with clients that take the servers "
    "in turn or at random. The load is a share of what all servers of a setup can take together; "
    "once one of them gets more calls than it can take, its queue grows until the measurement ends."
)
FILE_ONLY = (
    "A C program opens a file, runs it once and ends. It runs in turn with libsidecall as it is, "
    "and with the same library without the network route. Private memory is what the process alone "
    "has changed or allocated."
)


def sections_of(document: dict) -> list[Section]:
    """The sections that the document has, in the order of the report."""
    makers = {
        "serving": _serving,
        "rollout": _rollout,
        "balancing": _balancing,
        "file_only": _file_only,
    }
    found = []
    for name, make in makers.items():
        if name in document:
            bars = [bar for bar in document["bars"] if bar["name"] in document[name]["bars"]]
            found.append(make(document[name]["rows"], bars))
    return found


def balancing_setups(rows: Iterable[dict]) -> list[tuple[list[int], list[dict]]]:
    """The rows of each setup: what a run takes on each server in ms, and the rows."""
    found: dict[tuple[int, ...], list[dict]] = {}
    for row in rows:
        found.setdefault(tuple(row["run_ms"]), []).append(row)
    return [(list(run_ms), of_setup) for run_ms, of_setup in found.items()]


def setup_title(run_ms: list[int]) -> str:
    count = "one server" if len(run_ms) == 1 else f"{len(run_ms)} servers"
    return count if len(set(run_ms)) == 1 else f"{count}, one of them slow"


def _serving(rows: list[dict], bars: list[dict]) -> Section:
    table = [
        [row["server"], *(_time(row, key) for key in ("p50_us", "p99_us", "cpu_us", "busy_cpu_us"))]
        for row in rows
    ]
    head = ["server, call", "p50", "p99", "CPU of the server for a call", "CPU, eight clients"]
    return Section("sidecall's server", SERVING, head, table, bars)


def _rollout(rows: list[dict], bars: list[dict]) -> Section:
    keys = ("replaced", "calls", "failed", "wrong")
    table = [[row["signal"], *(str(row[key]) for key in keys)] for row in rows]
    return Section("Servers that are replaced", ROLLOUT, ["signal", *keys], table, bars)


def _balancing(rows: list[dict], bars: list[dict]) -> Section:
    table = [
        [
            setup_title(row["run_ms"]),
            row["way"],
            f"{row['load']:.0%} ({row['rate']}/s)",
            *(_time(row, key) for key in ("p50_us", "p90_us", "p99_us")),
            ", ".join(f"{share:.1%}" for share in row["shares"]),
        ]
        for row in rows
    ]
    head = ["servers", "choice", "load", "p50", "p90", "p99", "share of each server"]
    return Section("Several servers", BALANCING, head, table, bars, "balancing")


def _file_only(rows: list[dict], bars: list[dict]) -> Section:
    table = [
        [
            row["library"],
            _time(row, "start_us"),
            f"{row['private_kib']:,.0f} KiB",
            str(row["mapped"]),
        ]
        for row in rows
    ]
    head = ["libsidecall", "start to end", "private memory", "libraries"]
    return Section("Programs that need no network", FILE_ONLY, head, table, bars)


def _time(row: dict, key: str) -> str:
    return time_label(row[key]) if key in row else ""
