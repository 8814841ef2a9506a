"""`sidecall serve` for Python objects and pickles.

The native command runs `python -m sidecall.serving serve` for them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sidecall import errors
from sidecall.exporting.errors import DataError, ExportError, NoDataError

# Exit codes, the same for every command of sidecall.
OK, USAGE, BAD_INPUT, BAD_MODEL, ENVIRONMENT = 0, 1, 2, 3, 4


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = f"serve: {message} (see sidecall serve app:model --help)"
        raise SystemExit(_fail(USAGE, text))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # The native command starts Python without the current folder in its search path. A trusted
    # pickle usually needs the modules in that folder for its classes. For module:object, targets.py
    # adds the folder.
    if options.trust_pickle:
        sys.path.insert(0, str(Path.cwd()))
    try:
        from .run import serve

        _raise_descriptor_limit()
        serve(
            options.target,
            options.at,
            http=options.http,
            grpc=options.grpc,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            tls_client_ca=options.tls_client_ca,
            tokens=options.tokens,
            insecure=options.insecure,
            allow_hosts=options.allow_host,
            workers=options.workers,
            threads=options.threads,
            data=_data(options),
            contract=options.contract,
            name=options.name,
            version=options.version,
            golden=options.golden,
            ranges=not options.no_ranges,
            feature_names=options.feature_names,
            trust_pickle=options.trust_pickle,
            copy=options.copy,
            allow_uids=options.allow_uid,
            group=options.group,
            max_connections=options.max_connections,
            max_connections_per_user=options.max_connections_per_user,
            max_call_bytes=int(options.max_call * (1 << 20)),
            max_memory_bytes=int(options.max_memory * (1 << 20)),
            max_memory_per_user_bytes=(
                None
                if options.max_memory_per_user is None
                else int(options.max_memory_per_user * (1 << 20))
            ),
            timeout=options.timeout,
            max_run=options.max_run,
            unready_after=options.unready_after,
            drain_timeout=options.drain_timeout,
            log="json" if options.json_log else "text",
            log_level=options.log_level,
        )
    except errors.Error as error:
        return _fail(_code_of(error), f"{error}{_advice(error)}")
    except ModuleNotFoundError as error:
        text = str(error)
        if "pip install" not in text:
            text = f"{error.name or 'a package'} is not installed"
        return _fail(ENVIRONMENT, text)
    except Exception:
        # Python itself would end with 1, which means wrong usage. The module of the object has
        # failed, perhaps because a file or a database is not there yet: a restart may help.
        return _fail(ENVIRONMENT, traceback.format_exc().rstrip())
    return OK


def _data(options: argparse.Namespace) -> Any:
    if options.data is None:
        return None
    from sidecall.exporting.files import InputError, load_data

    from .targets import resolve

    target, _ = resolve(options.target, trust_pickle=options.trust_pickle)
    try:
        return load_data(options.data, target, options.trust_pickle, options.drop)
    except InputError as error:
        raise errors.InvalidArgument(str(error)) from error


def _code_of(error: errors.Error) -> int:
    if isinstance(error, ExportError):  # the model could not be described by data
        return BAD_INPUT if isinstance(error, DataError) else BAD_MODEL
    if isinstance(error, errors.Busy):
        return ENVIRONMENT
    return {10: USAGE, 20: BAD_MODEL, 30: BAD_MODEL, 40: BAD_INPUT}.get(error.family, ENVIRONMENT)


def _advice(error: errors.Error) -> str:
    return ": pass rows as in training with --data FILE" if isinstance(error, NoDataError) else ""


def _fail(code: int, error: object) -> int:
    # Standard error may be closed, or on a full disk. print() would keep the text, and Python would
    # fail again when it writes the text at exit, and end with another code.
    with contextlib.suppress(OSError):
        os.write(2, f"sidecall: {error}\n".encode(errors="backslashreplace"))
    return code


def _raise_descriptor_limit() -> None:
    """Allows as many descriptors as the system does: each connection takes one or two."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def add_network_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--http",
        metavar="HOST:PORT|/PATH",
        action="append",
        default=[],
        help="also serve the Open Inference Protocol and records over HTTP; may be repeated",
    )
    add(
        "--grpc",
        metavar="HOST:PORT|/PATH",
        action="append",
        default=[],
        help="the same over gRPC; may be repeated",
    )
    add("--tls-cert", metavar="FILE", help="certificate for TLS over HTTP and gRPC, as PEM")
    add("--tls-key", metavar="FILE", help="key of the certificate, as PEM")
    add(
        "--tls-client-ca",
        metavar="FILE",
        help="clients need a certificate of these authorities, as PEM",
    )
    add(
        "--tokens",
        metavar="FILE",
        help="clients need one of the tokens in this file, one in each line",
    )
    add(
        "--insecure",
        action="store_true",
        help="let anyone call over HTTP and gRPC who reaches an address beyond this host",
    )
    add(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="another name under which clients reach this server over HTTP; may be repeated; "
        "'*' for any",
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sidecall", description="Serving of Python objects.")
    commands = parser.add_subparsers(required=True, metavar="serve", parser_class=_Parser)
    serve = commands.add_parser(
        "serve", prog="sidecall serve", help="let other programs call a Python object"
    )
    add = serve.add_argument
    add(
        "target", metavar="APP", help="module:object, or a fitted model as .joblib, .pkl or .pickle"
    )
    add(
        "--at",
        metavar="ADDRESS",
        help="shm:NAME or shm:/path; without --http and --grpc the default is the socket in "
        "SIDECALL_FD",
    )
    add_network_options(serve)
    add(
        "--workers",
        metavar="N",
        type=int,
        help="number of worker processes, restarted when they die; by default this process serves",
    )
    add(
        "--threads",
        metavar="N",
        type=int,
        default=1,
        help="threads of each process that run the object (default: 1)",
    )
    add(
        "--trust-pickle",
        action="store_true",
        help="load the pickle file; this can run any code of its author",
    )
    add(
        "--data",
        metavar="FILE",
        help="representative rows: .csv, .jsonl, .parquet, .npy, .txt (one text per line), .joblib",
    )
    add(
        "--drop",
        metavar="COLUMN",
        action="append",
        default=[],
        help="a column of the data that is not a feature, such as the target; may be repeated",
    )
    add(
        "--feature-names",
        metavar="A,B,...",
        type=lambda text: text.split(","),
        help="names for the columns of an array",
    )
    add("--contract", metavar="FILE", help="a .contract.json file instead of data")
    add("--name", help="the model's name")
    add("--version", default="", help="the model's version")
    add(
        "--golden",
        choices=("synthetic", "real", "none"),
        default="synthetic",
        help="source of the golden rows, which are verified at start",
    )
    add(
        "--no-ranges",
        action="store_true",
        help="do not store the minimum, maximum and categories of the data",
    )
    add(
        "--allow-uid",
        metavar="UID",
        type=int,
        action="append",
        default=[],
        help="id of another user to admit; may be repeated",
    )
    add("--group", help="group to admit, by name or number (default: none)")
    add(
        "--copy",
        choices=("auto", "always"),
        default="auto",
        help="auto (default): copy an input only if reading it in place is unsafe; always: copy "
        "every input",
    )
    add(
        "--max-connections",
        metavar="N",
        type=int,
        default=1024,
        help="connections at the same time (default: 1024)",
    )
    add(
        "--max-connections-per-user",
        metavar="N",
        type=int,
        default=512,
        help="connections of one user (default: 512)",
    )
    add(
        "--max-call",
        metavar="MIB",
        type=float,
        default=256,
        help="largest request or answer in MiB (default: 256)",
    )
    add(
        "--max-memory",
        metavar="MIB",
        type=float,
        default=4096,
        help="memory that all clients can make the server hold, in MiB (default: 4096)",
    )
    add(
        "--max-memory-per-user",
        metavar="MIB",
        type=float,
        help="the limit for one user, in MiB (default: half of --max-memory if other users are "
        "admitted, else all of it)",
    )
    add(
        "--timeout",
        metavar="S",
        type=float,
        default=30,
        help="deadline of calls that have none, in seconds (default: 30)",
    )
    add(
        "--max-run",
        metavar="S",
        type=float,
        help="seconds that a run may take, whatever its deadline is: then its worker is killed and "
        "replaced; 0 for no limit; needs --workers (default: as --timeout)",
    )
    add(
        "--unready-after",
        metavar="S",
        type=float,
        default=5,
        help="the server is not ready if calls wait and no worker has been idle or has ended a run "
        "for this many seconds (default: 5)",
    )
    add(
        "--drain-timeout",
        metavar="S",
        type=float,
        default=10,
        help="seconds for running calls to end after SIGTERM (default: 10)",
    )
    add("--json-log", action="store_true", help="write log lines as JSON")
    add(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="lowest level to log (default: info)",
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
