"""The options of `sidecall serve` for Python objects and pickles.

Written by tools/generate_options.py from serving/options.json.
"""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """One option; the members are those of the table, and `help` names the default."""

    name: str
    kind: str
    help: str
    value: str | None = None
    default: str | int | None = None
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = 0


OPTIONS = (
    Option(
        "at",
        "text",
        (
            "address of the server: shm:NAME or shm:/path; required without --http and --grpc, "
            "except in a child process with SIDECALL_FD"
        ),
        value="ADDRESS",
    ),
    Option(
        "http",
        "texts",
        "also serve the Open Inference Protocol and records over HTTP; may be repeated",
        value="HOST:PORT|/PATH",
    ),
    Option("grpc", "texts", "the same over gRPC; may be repeated", value="HOST:PORT|/PATH"),
    Option("tls-cert", "text", "certificate for TLS over HTTP and gRPC, as PEM", value="FILE"),
    Option("tls-key", "text", "key of the certificate, as PEM", value="FILE"),
    Option(
        "tls-client-ca",
        "text",
        "clients need a certificate of these authorities, as PEM",
        value="FILE",
    ),
    Option(
        "tokens",
        "text",
        "clients need one of the tokens in this file, one in each line",
        value="FILE",
    ),
    Option(
        "insecure",
        "flag",
        "let anyone call over HTTP and gRPC who reaches an address beyond this host",
    ),
    Option(
        "allow-host",
        "texts",
        (
            "another name under which clients reach this server over HTTP; may be repeated; '*' "
            "for any"
        ),
        value="NAME",
    ),
    Option("name", "text", "name of the model", value="NAME"),
    Option("version", "text", "version of the model", value="TEXT"),
    Option(
        "workers",
        "whole",
        (
            "number of worker processes, 1 to 1024, restarted when they die; by default this "
            "process serves"
        ),
        value="N",
        least=1,
        most=1024,
    ),
    Option(
        "threads",
        "whole",
        "threads of each process that run the model, 1 to 1024 (default: 1)",
        value="N",
        default=1,
        least=1,
        most=1024,
    ),
    Option("trust-pickle", "flag", "load the pickle file; this can run any code of its author"),
    Option(
        "data",
        "text",
        "representative rows: .csv, .jsonl, .parquet, .npy, .txt (one text per line), .joblib",
        value="FILE",
    ),
    Option(
        "drop",
        "texts",
        "a column of the data that is not a feature, such as the target; may be repeated",
        value="COLUMN",
    ),
    Option("feature-names", "text", "names for the columns of an array", value="A,B,..."),
    Option("contract", "text", "a .contract.json file instead of data", value="FILE"),
    Option(
        "golden",
        "choice",
        (
            "source of the golden rows, which are verified at start: synthetic, real or none "
            "(default: synthetic)"
        ),
        value="SOURCE",
        default="synthetic",
        choices=("synthetic", "real", "none"),
    ),
    Option("no-ranges", "flag", "do not store the minimum, maximum and categories of the data"),
    Option(
        "allow-uid",
        "wholes",
        "id of another user to admit; may be repeated",
        value="UID",
        least=0,
        most=4294967295,
    ),
    Option("group", "text", "group to admit, by name or number (default: none)", value="GROUP"),
    Option(
        "copy",
        "choice",
        (
            "auto (default): copy an input only if reading it in place is unsafe; always: copy "
            "every input"
        ),
        value="WHEN",
        default="auto",
        choices=("auto", "always"),
    ),
    Option(
        "max-connections",
        "whole",
        "connections at the same time, 1 to 1000000 (default: 1024)",
        value="N",
        default=1024,
        least=1,
        most=1000000,
    ),
    Option(
        "max-connections-per-user",
        "whole",
        "connections of one user, 1 to 1000000 (default: 512)",
        value="N",
        default=512,
        least=1,
        most=1000000,
    ),
    Option(
        "max-call",
        "mib",
        "largest request or answer in MiB (default: 256)",
        value="MIB",
        default=256,
        least=0.001,
        most=1048576,
    ),
    Option(
        "max-memory",
        "mib",
        "memory that all clients can make the server hold, in MiB (default: 4096)",
        value="MIB",
        default=4096,
        least=0.001,
        most=1000000000,
    ),
    Option(
        "max-memory-per-user",
        "mib",
        (
            "the limit for one user, in MiB (default: half of --max-memory if other users are "
            "admitted, else all of it)"
        ),
        value="MIB",
        least=0.001,
        most=1000000000,
    ),
    Option(
        "timeout",
        "seconds",
        "deadline of calls that have none (default: 30)",
        value="SECONDS",
        default=30,
    ),
    Option(
        "max-run",
        "seconds_or_zero",
        (
            "seconds that a run may take, whatever its deadline is: then its worker is killed "
            "and replaced; 0 for no limit; needs --workers (default: as --timeout)"
        ),
        value="SECONDS",
    ),
    Option(
        "unready-after",
        "seconds",
        "not ready if calls wait and no run has ended for this time (default: 5)",
        value="SECONDS",
        default=5,
    ),
    Option(
        "drain-timeout",
        "seconds",
        "time for running calls to end after SIGTERM (default: 10)",
        value="SECONDS",
        default=10,
    ),
    Option("json-log", "flag", "write log lines as JSON"),
    Option(
        "log-level",
        "choice",
        "lowest level to log: debug, info, warning or error (default: info)",
        value="LEVEL",
        default="info",
        choices=("debug", "info", "warning", "error"),
    ),
)
